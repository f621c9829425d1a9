"""Many problems at once: reductions of the same shape in one vmapped solve, and clouds of several widths and seeds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..control import Control
from ..errors import (
    SolveError,
    Words,
    argument_error,
    check_flags,
    check_integer,
    check_key,
    check_sequence,
    check_times,
    positive_number,
)
from ..iterate import times_of_whole_steps
from ..neurons import Particles
from ..particles.flow import solve_particles
from ..particles.initial import initial_cloud
from ..problem.problem import Problem
from ..problem.start import GaussianStart
from ..problem.training import Training
from ..reduce import reduce
from ..reduced.base import AbstractReduction
from ..reduced.build import default_sizes
from ..reduced.flow import solve_reduced
from ..solution import Solution, with_masks
from .result import Sweep, every_run, item

_REMEDY = "Pass a dict from labels to problems, or a list of problems."


@with_masks
def sweep(
    problems: Any,
    ts: Any,
    *,
    widths: Any = (),
    seeds: Any = 1,
    key: Any = None,
    cells: Any = None,
    nodes: Any = None,
    modes: Any = None,
    method: str | None = None,
    training: Any = None,
    rtol: Any = None,
    atol: Any = None,
    stop: Any = None,
    observe: Any = None,
    throw: bool = True,
) -> Sweep:
    """Solve many problems, those whose reductions have the same shapes in one vmapped compiled loop.

    Arguments:
      problems: a dict from labels to problems, or a list (labels "0", "1", …); they may differ in everything.
      ts: times [T] of the record, the same for all.
      widths, seeds: also move clouds of these numbers of neurons from `seeds` independent starts each, drawn from `key`
        (default jax.random.key(0)). All clouds of a problem are one vmapped run: a cloud of m neurons repeated M/m times
        is the same network with M neurons, so that every width must divide the largest.
      cells, nodes, modes: as in `mf.reduce`; by default problems of one angle share the largest number of nodes and of
        modes that one of them needs, so that they stack.
      method, training, rtol, atol, stop: as in `mf.solve_reduced`, the same for all problems; clouds get `training` and
        `stop`.
      observe: as in `mf.solve_reduced`, of the states of the reduced equations.
      throw: raise SolveError, with the sweep in its `.solution`, if a run ended early.

    Returns a Sweep, with solutions by label. In a vmapped loop every problem waits for the one with most steps. A problem
    with shapes of its own, or whose equation depends on its numbers (whether a start is balanced), runs by itself.
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
    both = {"training": training, "stop": stop} | _finite_steps(training, ts)
    Control(stop, observe=observe)  # for its checks
    options = {"method": method, "rtol": rtol, "atol": atol, "observe": observe} | both
    solutions = _solve(_reductions(table, cells, nodes, modes), ts, options)
    clouds = {}
    if widths:
        clouds = {
            label: _run_clouds(problem, ts, widths, seeds, k, both)
            for (label, problem), k in zip(table.items(), keys, strict=True)
        }
    found = Sweep(tuple(table), ts, solutions, clouds)
    early = {name: run for name, run in every_run(found) if not bool(run.succeeded)}
    if throw and early:
        sentence = next(iter(early.values())).sentence()
        raise SolveError(f"{len(early)} of the runs ended early ({'; '.join(early)}): {sentence}", found)
    return found


def _finite_steps(training: Any, ts: Array) -> dict[str, Any]:
    """What compiled code cannot find out of finite steps: that the times are multiples of them, and how many they are."""
    if not isinstance(training, Training) or training.step is None:
        return {}
    return {"max_steps": int(times_of_whole_steps(ts, training.step).numbers[-1])}


def _labelled(problems: Any) -> dict[str, Problem]:
    if not isinstance(problems, Mapping | list | tuple) or not problems:
        raise argument_error("problems", "a dict or a list of problems, at least one", problems, _REMEDY)
    table = dict(problems) if isinstance(problems, Mapping) else {str(i): p for i, p in enumerate(problems)}
    for label, problem in table.items():
        if not isinstance(label, str):
            raise argument_error("problems", "a dict whose keys are strings", label, _REMEDY)
        if not isinstance(problem, Problem):
            got = Words(f"of type {type(problem).__name__} at {label!r}")
            raise argument_error("problems", "made of objects of type Problem", got, "Build them with mf.Problem.")
    return table


def _checked_widths(widths: Any, table: dict[str, Problem]) -> tuple[int, ...]:
    remedy = "Pass for example (64, 256)."
    widths = check_sequence("widths", widths, "a tuple of numbers of neurons", remedy)
    widths = tuple(check_integer("widths", width, 1, remedy) for width in widths)
    if len(set(widths)) < len(widths) or any(max(widths) % width for width in widths):
        raise argument_error("widths", "different divisors of the largest", widths, remedy)
    if any(width % 2 for width in widths) and not all(isinstance(p.start, GaussianStart) for p in table.values()):
        raise argument_error("widths", "even, as many a > 0 as a < 0", widths, remedy)
    return widths


def _reductions(table: dict[str, Problem], cells: Any, nodes: Any, modes: Any) -> dict[str, AbstractReduction]:
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


def _solve(reductions: dict[str, AbstractReduction], ts: Array, options: dict[str, Any]) -> dict[str, Solution]:
    """Groups of reductions with equal structure and shapes, one vmapped solve each."""
    groups: dict[Any, list[str]] = {}
    for label, reduced in reductions.items():
        leaves, structure = jax.tree.flatten(reduced)
        groups.setdefault((structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)), []).append(label)
    found = {}
    for labels in groups.values():
        first = reductions[labels[0]]
        if len(labels) == 1 or first.decided_by_values(options["method"], options["training"]):
            for label in labels:
                with _named(label):
                    found[label] = _solve_one(reductions[label], ts, options)
            continue
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(reductions[label] for label in labels))
        runs = _solve_stacked(stacked, ts, options)
        found |= {label: item(runs, i) for i, label in enumerate(labels)}
    return found


def _solve_one(reduced: AbstractReduction, ts: Array, options: dict[str, Any]) -> Solution:
    return solve_reduced(reduced, ts, derivative="forward", throw=False, **options)  # the mode that compiles faster


@eqx.filter_jit
def _solve_stacked(stacked: PyTree, ts: Array, options: dict[str, Any]) -> Solution:
    return eqx.filter_vmap(lambda reduced: _solve_one(reduced, ts, options))(stacked)


def _run_clouds(problem, ts, widths: tuple[int, ...], seeds: int, key: Array, options) -> dict[int, Solution]:
    """Clouds of every width and seed, tiled to the largest width, in one vmapped run."""
    largest, keys = max(widths), jax.random.split(key, (len(widths), seeds))
    starts = [
        [_tiled(initial_cloud(problem, width=width, key=k), largest) for k in row]
        for width, row in zip(widths, keys, strict=True)
    ]
    clouds = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(cloud for row in starts for cloud in row))
    runs = _move_clouds(problem, clouds, ts, options)
    by_width = {}
    for index, width in enumerate(widths):
        own = jax.tree.map(lambda leaf, i=index: leaf[i * seeds : (i + 1) * seeds] if eqx.is_array(leaf) else leaf, runs)
        final = jax.tree.map(lambda leaf, m=width: leaf[:, :m], own.final)
        by_width[width] = eqx.tree_at(lambda run: run.final, own, final)
    return by_width


@eqx.filter_jit
def _move_clouds(problem: Problem, clouds: Particles, ts: Array, options: dict[str, Any]) -> Solution:
    def one(cloud):
        return solve_particles(problem, cloud, ts, derivative="forward", throw=False, **options)

    return eqx.filter_vmap(one)(clouds)


def _tiled(cloud: Particles, width: int) -> Particles:
    copies = width // cloud.width
    return jax.tree.map(lambda leaf: jnp.tile(leaf, (copies,) + (1,) * (leaf.ndim - 1)), cloud)
