"""Many problems at once: reductions of the same shape in one vmapped solve, and clouds of several widths and seeds."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array

from ..control import Control, Stop
from ..errors import (
    SolveError,
    argument_error,
    check_flags,
    check_integer,
    check_is,
    check_key,
    check_sequence,
    check_times,
    positive_number,
)
from ..iterate import times_of_whole_steps
from ..neurons import BiasedParticles, Particles
from ..particles.ensemble import solve_ensemble
from ..particles.initial import check_widths, initial_cloud
from ..problem.problem import Problem
from ..problem.training import Training
from ..reduce import reduce
from ..reduced.base import AbstractReduction
from ..reduced.build import default_sizes
from ..reduced.flow import solve_reduced
from ..sharding import check_mesh_of_lanes, map_lanes, split_lanes, stack_lanes
from ..solution import Solution, with_masks, words_of_early_ends
from ..types import Checked, IntLike, KeyLike, Observe, Options, RealLike, Sizes, Times
from .result import Sweep

Problems: TypeAlias = Checked[Mapping[str, Problem] | Sequence[Problem]]
_REMEDY = "Pass a dict from labels to problems, or a list of problems."


@with_masks
def sweep(
    problems: Problems,
    ts: Times,
    *,
    widths: Checked[Sequence[int]] = (),
    seeds: IntLike = 1,
    key: KeyLike | None = None,
    cells: Sizes | None = None,
    nodes: IntLike | None = None,
    modes: IntLike | None = None,
    method: str | None = None,
    training: Checked[Training | None] = None,
    rtol: RealLike | None = None,
    atol: RealLike | None = None,
    max_steps: IntLike | None = None,
    stop: Checked[Stop | None] = None,
    observe: Observe | None = None,
    mesh: Checked[Mesh | None] = None,
    throw: bool = True,
) -> Sweep:
    """Solve many problems, those whose reductions have the same shapes in one vmapped compiled loop.

    Arguments:
      problems: a dict from labels to problems, or a list (labels "0", "1", …); they may differ in everything.
      ts: times [T] of the record, the same for all.
      widths, seeds: also move clouds of these numbers of neurons from `seeds` independent starts each, drawn from `key`
        (default jax.random.key(0)). All clouds of a problem are one ensemble: a cloud of m neurons repeated M/m times
        is the same network with M neurons, so that every width must divide the largest.
      cells, nodes, modes: as in `mf.reduce`; by default problems of one angle share the largest number of nodes and of
        modes that one of them needs, so that they stack.
      method, training, rtol, atol, max_steps, stop: as in `mf.solve_reduced`, the same for all problems; clouds get
        `training`, `max_steps` and `stop`, which may have no `seconds`: the runs of a batch end together.
      observe: as in `mf.solve_reduced`, of the states of the reduced equations.
      mesh: spread the problems of every stack, and the clouds of every problem, over all devices of this mesh, whatever its
        axes: `jax.make_mesh((8,), ("lanes",), axis_types=(jax.sharding.AxisType.Auto,))`. Every device goes through its own
        loop. With several processes each of them makes the same call, and gets all of the result.
      throw: raise SolveError, with the sweep in its `.solution`, if a run ended early; it says which, when and why.

    Returns a Sweep, with solutions by label. In a vmapped loop every problem waits for the one with most steps, but one
    that diverges, runs out of steps or starts from numbers that cannot be squared has no other effect on the others:
    `sweep.early()` names it. A problem with shapes of its own, or whose equation depends on its numbers (whether a start
    is balanced), runs by itself.
    Raises ArgumentError on wrong arguments, NoReductionError, naming the problem, if one has no reduced equation.
    """
    table = _labelled(problems)
    ts = check_times(ts)
    widths = _checked_widths(widths, table)
    seeds = check_integer("seeds", seeds, 1, "It is the number of independent clouds of every width.")
    check_flags(throw=throw)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None:
            positive_number(name, value, "It is a tolerance of one time step.")
    keys = jax.random.split(jax.random.key(0) if key is None else check_key(key), len(table))
    mesh = check_mesh_of_lanes(mesh)
    both = {"training": training, "stop": stop, "max_steps": _bound(max_steps, training, ts)}
    if Control(stop, observe=observe).in_segments:
        raise argument_error("stop", "without `seconds`", stop, "All runs of a batch are one compiled loop.")
    options = {"method": method, "rtol": rtol, "atol": atol, "observe": observe} | both
    solutions = _solve(_reductions(table, cells, nodes, modes), ts, options, mesh)
    clouds = {}
    if widths:
        clouds = {
            label: _run_clouds(problem, ts, widths, seeds, k, both | {"mesh": mesh})
            for (label, problem), k in zip(table.items(), keys, strict=True)
        }
    found = Sweep(tuple(table), ts, solutions, clouds)
    early = found.early() if throw else {}
    if early:
        raise SolveError(words_of_early_ends(early, "The sweep is in `.solution` of this error."), found)
    return found


def _bound(max_steps: IntLike | None, training: Checked[Training | None], ts: Array) -> int | None:
    """The bound on the steps. Compiled code cannot find out of finite steps that the times are multiples of them, and how
    many they are."""
    if max_steps is not None:
        max_steps = check_integer("max_steps", max_steps, 1, "It bounds the number of steps of every run.")
    if not isinstance(training, Training) or training.step is None:
        return max_steps
    needed = int(times_of_whole_steps(ts, training.step, training.schedule).numbers[-1])
    return needed if max_steps is None else min(max_steps, needed)


def _labelled(problems: Problems) -> dict[str, Problem]:
    expected = "a dict or a list of problems, at least one"
    if isinstance(problems, Mapping):
        table = dict(problems)
    else:
        table = {str(i): problem for i, problem in enumerate(check_sequence("problems", problems, expected, _REMEDY))}
    if not table:
        raise argument_error("problems", expected, problems, _REMEDY)
    for label, problem in table.items():
        check_is("problems", label, str, "a dict whose keys are strings", _REMEDY)
        check_is("problems", problem, Problem, f"of type Problem at {label!r}", "Build them with mf.Problem.")
    return table


def _checked_widths(widths: Checked[Sequence[int]], table: dict[str, Problem]) -> tuple[int, ...]:
    remedy = "Pass for example (64, 256)."
    widths = check_widths(table.values(), widths, 1, remedy)
    if len(set(widths)) < len(widths) or any(max(widths) % width for width in widths):
        raise argument_error("widths", "different divisors of the largest", widths, remedy)
    return widths


def _reductions(
    table: dict[str, Problem], cells: Sizes | None, nodes: IntLike | None, modes: IntLike | None
) -> dict[str, AbstractReduction]:
    """Every problem's reduction, with sizes that let those of one angle stack."""
    sizes = {label: default_sizes(problem) for label, problem in table.items()}
    shared: dict[bool, list[int]] = {}
    for size in sizes.values():
        if size is not None:
            largest = shared.setdefault(size.signed, [0, 0])
            largest[:] = max(largest[0], size.nodes), max(largest[1], size.modes)
    found = {}
    for label, problem in table.items():
        size, chosen = sizes[label], {"cells": cells, "nodes": nodes, "modes": modes}
        if size is not None:
            usual = dict(zip(("nodes", "modes"), shared[size.signed], strict=True))
            chosen |= {name: value for name, value in usual.items() if chosen[name] is None}
        with _named(label):
            found[label] = reduce(problem, **chosen)
    return found


@contextmanager
def _named(label: str) -> Iterator[None]:
    """Errors say which problem they are about."""
    try:
        yield
    except ValueError as error:
        error.add_note(f"This was problem {label!r} of the sweep.")
        raise


def _solve(reductions: dict[str, AbstractReduction], ts: Array, options: Options, mesh: Mesh | None) -> dict[str, Solution]:
    """Groups of reductions with equal structure and shapes, one vmapped solve each; by itself what its numbers decide."""
    groups: dict[Hashable, list[str]] = {}
    for label, reduced in reductions.items():
        leaves, structure = jax.tree.flatten(reduced)
        groups.setdefault((structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)), []).append(label)
    found: dict[str, Solution] = {}
    for labels in sorted(groups.values(), key=lambda labels: not _by_themselves(reductions[labels[0]], options)):
        if _by_themselves(reductions[labels[0]], options):
            for label in labels:
                with _named(label):
                    found[label] = _solve_one(reductions[label], ts, options)
            continue
        runs = map_lanes(_solve_one, stack_lanes([reductions[label] for label in labels]), (ts, options), mesh)
        found |= zip(labels, split_lanes(runs, len(labels)), strict=True)
    return {label: found[label] for label in reductions}


def _by_themselves(reduced: AbstractReduction, options: Options) -> bool:
    """Whether numbers decide how to solve it. Such problems come first: one that is refused ends the sweep at once."""
    return reduced.decided_by_values(options["method"], options["training"])


def _solve_one(reduced: AbstractReduction, ts: Array, options: Options) -> Solution:
    return solve_reduced(reduced, ts, derivative="forward", throw=False, **options)  # the mode that compiles faster


def _run_clouds(problem, ts, widths: tuple[int, ...], seeds: int, key: Array, options) -> dict[int, Solution]:
    """Clouds of every width and seed, tiled to the largest width, in one ensemble."""
    largest, keys = max(widths), jax.random.split(key, (len(widths), seeds))
    starts = [
        [_tiled(initial_cloud(problem, width=width, key=k), largest) for k in row]
        for width, row in zip(widths, keys, strict=True)
    ]
    clouds = stack_lanes([cloud for row in starts for cloud in row])
    runs = solve_ensemble(problem, clouds, ts, **options)
    by_width = {}
    for index, width in enumerate(widths):
        own = jax.tree.map(lambda leaf, i=index: leaf[i * seeds : (i + 1) * seeds] if eqx.is_array(leaf) else leaf, runs)
        final = jax.tree.map(lambda leaf, m=width: leaf[:, :m], own.final)
        by_width[width] = eqx.tree_at(lambda run: run.final, own, final)
    return by_width


def _tiled(cloud: Particles | BiasedParticles, width: int) -> Particles | BiasedParticles:
    copies = width // cloud.width
    return jax.tree.map(lambda leaf: jnp.tile(leaf, (copies,) + (1,) * (leaf.ndim - 1)), cloud)
