"""From a problem with any unit a σ(b·x + β) and any loss to its orbits: which blocks, which rules."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import Words, argument_error, check_integer, check_reducible
from ...problem.functions import values_on_host
from ...problem.problem import Problem
from ...problem.rotated import unrotated
from ...problem.targets import AbstractTarget, RadialIndex, SingleIndex
from ...problem.units import AbstractRidgeUnit
from ...types import DTypeLike, IntLike, RealFunction
from .average import AbstractAverage, RuleAverage, closed_average
from .blocks import OrbitBlocks, orbit_blocks
from .breaks import breaks_of
from .gauss import direction_rule
from .laws import Counts, Splits, input_points, product, start_points
from .quotient import InputRule, Labels, OrbitReduction, OrbitState, Variants

_PARTICLES = "Use `solve_particles`, which needs no symmetry."
_NODES = "It is the number of labels per angle and sign; the other rules grow with it."
_SMOOTH = 1e-7  # relative change of some means of f* with half as many nodes again, below which a rule resolves it
_FAR = 8.0  # standard deviations, up to which kinks are looked for
_SAME = 1e-6  # of the interval: a kink that is found so near to a declared one is that one
_MOST = 2**27  # labels × inputs: arrays of so many numbers are held
_DEFAULT = {1: 16, 2: 48, 3: 12, 4: 6}  # labels per angle, by the number of blocks


class RuleSizes(NamedTuple):
    """Nodes of the rules: of the labels per angle, of a random a or β, of the inputs, and of the average."""

    labels: int
    scalars: int
    inputs: Counts
    omega: int


def check_orbits(problem: Problem, limit: bool = False) -> OrbitBlocks:
    """The blocks of a problem, or of its limit d → ∞.

    Raises NoReductionError, saying why, if it has no reduced equation of this kind.
    """
    unit = _ridge_unit(problem)
    blocks = orbit_blocks(problem, limit)
    sizes = rule_sizes(blocks, _DEFAULT[len(blocks.dims)])
    jax.eval_shape(lambda: start_points(problem.start, blocks, sizes.inputs, 2)[2])
    _closed(unit, blocks)
    return blocks


def _ridge_unit(problem: Problem) -> AbstractRidgeUnit:
    reason = f"the unit {type(problem.unit).__name__} is no function of b·x + β, so that its orbits are not known"
    return check_reducible(problem.unit, AbstractRidgeUnit, reason, _PARTICLES)


def build_orbits(
    problem: Problem, cells: IntLike | None, nodes: IntLike | None, modes: IntLike | None, limit: bool = False
) -> OrbitReduction:
    """The equation on orbits, or its limit d → ∞; raises NoReductionError, saying why, if there is none."""
    blocks = check_orbits(problem, limit)
    for name, given in (("cells", cells), ("modes", modes)):
        if given is not None:
            raise argument_error(name, "left out for labels of neurons", given, "Pass `nodes`, with which all rules grow.")
    nodes = check_integer("nodes", _DEFAULT[len(blocks.dims)] if nodes is None else nodes, 4, _NODES)
    sizes = rule_sizes(blocks, nodes)
    _check_memory(blocks, sizes, nodes)
    splits = splits_of(problem, blocks, sizes)
    return _build(problem, blocks, sizes, splits)


def rule_sizes(blocks: OrbitBlocks, nodes: int) -> RuleSizes:
    """All rules in proportion to the labels: twice the nodes, twice of everything."""
    count = len(blocks.dims)
    share = nodes / _DEFAULT[count]
    kept, norm = {0: 0, 1: 32, 2: 16, 3: 10}[len(blocks.signed)], {1: 8, 2: 6, 3: 5, 4: 4}[count]
    omega = {0: 1, 1: 24, 2: 10}.get(len(blocks.radial), 6)
    inputs = Counts(_scaled(kept, share), _scaled(norm, share))
    return RuleSizes(nodes, _scaled({1: 16, 2: 10, 3: 6, 4: 4}[count], share), inputs, _scaled(omega, share))


def _check_memory(blocks: OrbitBlocks, sizes: RuleSizes, nodes: int) -> None:
    """Raise ArgumentError where labels × inputs are more numbers than a machine holds."""
    inputs = math.prod(sizes.inputs.kept if kept else sizes.inputs.norm for kept in blocks.kept)
    labels = 2 * sizes.labels ** (len(blocks.dims) - 1)
    if labels * inputs > _MOST:
        expected = f"so few that labels × inputs are at most {_MOST:.0e}"
        got = Words(f"{nodes}, for which they are {labels} × {inputs} = {labels * inputs:.0e}")
        raise argument_error("nodes", expected, got, "Pass fewer nodes, or a target of fewer blocks.")


def _scaled(count: int, share: float) -> int:
    return max(2, int(np.ceil(count * share)))


@eqx.filter_jit
def _build(problem: Problem, blocks: OrbitBlocks, sizes: RuleSizes, splits: Splits) -> OrbitReduction:
    """Compiled as one function, in which the target is evaluated once, at the inputs of both rules."""
    unit = _ridge_unit(problem)
    few, many = (input_points(problem.inputs, blocks, Counts(*(k * n for n in sizes.inputs)), splits) for k in (1, 2))
    values = problem.values(blocks.representatives(jnp.concatenate([few[0], many[0]])))
    dtype, count = values.dtype, len(few[1])
    labels, *coarser = (_labels(problem, blocks, *each, dtype) for each in _halved(sizes))
    return OrbitReduction(
        blocks=blocks,
        loss=problem.loss,
        average=_average(unit, blocks, sizes.omega, dtype),
        inputs=InputRule(*few, values[:count]),
        labels=labels,
        floor=jnp.asarray(0.0 if problem.noise is None else problem.noise**2 / 2, dtype),
        variants=Variants(tuple(coarser), InputRule(*many, values[count:]), _average(unit, blocks, 2 * sizes.omega, dtype)),
        biased=unit.biased,
    )


def _halved(sizes: RuleSizes) -> Iterator[tuple[int, int]]:
    """Labels per angle, and nodes for a random a or β: all, a half and a quarter."""
    labels, scalars = sizes.labels, sizes.scalars
    for _ in range(3):
        yield labels, scalars
        labels, scalars = _scaled(labels, 0.5), _scaled(scalars, 0.5)


def _labels(problem: Problem, blocks: OrbitBlocks, count: int, scalars: int, dtype: DTypeLike) -> Labels:
    """The neurons at time 0."""
    neurons = start_points(problem.start, blocks, Counts(count, count), scalars)
    a, q, bias, weight = (jnp.asarray(leaf, dtype) for leaf in neurons)
    return Labels(OrbitState(a, q, bias), weight)


def _average(unit: AbstractRidgeUnit, blocks: OrbitBlocks, count: int, dtype: DTypeLike) -> AbstractAverage:
    """In closed form over the last radial block where there is one, by a rule otherwise."""
    dims, closed = [blocks.dims[i] for i in blocks.radial], _closed(unit, blocks)
    if closed is not None:
        return closed(*_directions(dims[:-1], count, dtype), dims[-1])
    return RuleAverage(unit, *_directions(dims, count, dtype))


def _closed(unit: AbstractRidgeUnit, blocks: OrbitBlocks) -> Callable[..., AbstractAverage] | None:
    """The closed average over the last radial block, if there is one; refuses units that have no average of any kind."""
    return closed_average(unit, blocks.dims[blocks.radial[-1]] if len(blocks.radial) else 1)


def _directions(dims: list[int | float], count: int, dtype: DTypeLike) -> tuple[Float[Array, "q r"], Float[Array, " q"]]:
    """Nodes and probabilities of the product of rules for ω in several blocks."""
    omega, probability = product([direction_rule(dim, count) for dim in dims])
    return jnp.asarray(omega, dtype), jnp.asarray(probability, dtype)


def splits_of(problem: Problem, blocks: OrbitBlocks, sizes: RuleSizes) -> Splits:
    """None, where the target is resolved without; else at the kinks of g, declared ones and those that are found, where f*
    is g of one coordinate or norm, and at 0 in every kept coordinate where it is not."""
    none, finer = ((),) * len(blocks.dims), Counts(*(_scaled(n, 1.5) for n in sizes.inputs))
    seen = values_on_host(lambda _: _seen(problem, blocks, sizes.inputs, finer), np.zeros(1))
    if seen is not None and _agree(*seen[0]):
        return none
    spread = values_on_host(lambda _: _spreads(*input_points(problem.inputs, blocks, sizes.inputs, none)), np.zeros(1))
    length = np.ones(len(blocks.dims)) if spread is None else spread[0] / np.sqrt(blocks.dims)
    profile = profile_of(unrotated(problem.target))
    if profile is None:
        return tuple((0.0,) if kept else () for kept in blocks.kept)
    high = length[0] * (np.sqrt(blocks.dims[0]) + _FAR)
    places = _kinks(*profile, -high if blocks.kept[0] else 0.0, high)
    return (tuple((places / length[0]).tolist()), *none[1:])


@functools.singledispatch
def profile_of(target: AbstractTarget) -> tuple[RealFunction, tuple[float, ...]] | None:
    """g and its declared kinks, where f* is g of the first coordinate or norm."""
    return None


@profile_of.register
def _(target: SingleIndex):
    return target.g, target.kinks


@profile_of.register
def _(target: RadialIndex):
    if target.dim_h > 1:
        return target.g, target.kinks
    return lambda x: target.g(jnp.abs(x)), (*(-kink for kink in target.kinks), *target.kinks)  # its block is a coordinate


def _kinks(g: RealFunction, declared: tuple[float, ...], low: float, high: float) -> np.ndarray:
    """The declared kinks, and what else is found."""
    found = [b for b in breaks_of(g, low, high) if all(abs(b - kink) > _SAME * (high - low) for kink in declared)]
    return np.sort([*declared, *found])


def _spreads(points: Float[Array, "n K"], probability: Float[Array, " n"]) -> Float[Array, " K"]:
    """Root mean squares of the coordinates."""
    return jnp.sqrt(jnp.sum(probability[:, None] * points**2, axis=0))


@eqx.filter_jit
def _seen(problem: Problem, blocks: OrbitBlocks, *counts: Counts) -> Float[Array, "rules 3"]:
    """E f*, E f*² and the mean of f* times a plane wave, which sees what symmetry hides from the first two, by rules."""
    none = ((),) * len(blocks.dims)
    rules = [input_points(problem.inputs, blocks, each, none) for each in counts]
    points = jnp.concatenate([points for points, _ in rules])
    frequencies = np.where(blocks.of_target, 1 + np.arange(points.shape[1]) / 3, 0.0)  # what f* ignores says nothing of it
    frequencies = jnp.asarray(frequencies, points.dtype) / _spreads(*rules[0])
    values = problem.values(blocks.representatives(points))
    wave = jnp.sin(jnp.matmul(points, frequencies, precision=jax.lax.Precision.HIGHEST) + 0.3)
    means = jnp.stack([values, values**2, wave * values], axis=1)
    ends = np.cumsum([0, *(len(probability) for _, probability in rules)])
    return jnp.stack(
        [
            jnp.matmul(p, means[i:j], precision=jax.lax.Precision.HIGHEST)
            for (_, p), (i, j) in zip(rules, itertools.pairwise(ends), strict=True)
        ]
    )


def _agree(one: Float[np.ndarray, " 3"], other: Float[np.ndarray, " 3"]) -> bool:
    """Whether two rules are as good as equal."""
    if not np.all(np.isfinite([one, other])):
        return False
    size = np.sqrt(other[1])
    return bool(np.all(np.abs(one - other) <= _SMOOTH * np.maximum(size, size**2)))
