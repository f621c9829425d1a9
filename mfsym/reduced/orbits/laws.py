"""Cubatures of the laws on the coordinates that are left: of the inputs, and of the neurons at time 0 (host, then leaves).

A Gaussian has independent coordinates and norms. A uniform direction is nested: the first block takes a share of it, and
what is left is a uniform direction of the remaining blocks. Sizes are leaves, so that they can be differentiated.
"""

import functools
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import no_reduction
from ...problem.block_inputs import GaussianBlocks
from ...problem.inputs import AbstractInputs, Gaussian, Sphere
from ...problem.start import AbstractStart, BiasedStart, GaussianStart, IndependentStart, SphereStart, UnbalancedStart
from ...safe import safe_root
from .blocks import OrbitBlocks
from .gauss import Rule, coordinate_rule, direction_rule, norm_rule, share_rule

_PARTICLES = "Use `solve_particles`, which needs no symmetry."


class Counts(NamedTuple):
    """Nodes per piece of a kept coordinate, and per norm of a block."""

    kept: int
    norm: int


# Points that split the rule of every kept coordinate and norm, in standard deviations of one coordinate.
Splits = tuple[tuple[float, ...], ...]


def gaussian_points(blocks: OrbitBlocks, counts: Counts, splits: Splits) -> Rule:
    """Coordinates of x ~ N(0, I): a product of rules, [n, K] and [n]."""
    rules = []
    for dim, kept, of_target, breaks in zip(blocks.dims, blocks.kept, blocks.of_target, splits, strict=True):
        norms = counts.norm if of_target else _norms_left(dim, counts.norm)
        rules.append(coordinate_rule(counts.kept, breaks) if kept else norm_rule(dim, norms, breaks))
    return product(rules)


def _norms_left(dim: int | float, count: int) -> int:
    """Nodes for the norm of a block that the target ignores: it varies by 1/√(2 dim), of which networks see little. 5 nodes
    miss 2e-4 of means of tanh units in 2 dimensions; 4 miss 3e-6 in 10, and 3 miss 7e-7 in 28."""
    return math.ceil(count * (1.0 if dim < 10 else 0.8 if dim < 24 else 0.6))


def direction_points(blocks: OrbitBlocks, counts: Counts, splits: Splits) -> Rule:
    """Coordinates of a uniform direction of R^d, [n, K] and [n]; for d = ∞ all of it is in the last block."""
    if blocks.dim == np.inf:
        return np.eye(1, len(blocks.dims), len(blocks.dims) - 1), np.ones(1)
    points, probability = np.zeros((1, 0)), np.ones(1)
    left, rest = np.ones(1), blocks.dim
    for index, (dim, kept) in enumerate(zip(blocks.dims, blocks.kept, strict=True)):
        at = tuple(b / np.sqrt(blocks.dim) for b in splits[index])
        if kept:
            nodes, shares = direction_rule(rest, counts.kept, at)
        else:
            nodes, shares = share_rule(dim, rest - dim, counts.norm, at)
        column = (left[:, None] * nodes).ravel()
        points = np.concatenate([np.repeat(points, len(nodes), axis=0), column[:, None]], axis=1)
        left = (left[:, None] * np.sqrt(np.maximum(1 - nodes**2, 0))).ravel()
        probability, rest = (probability[:, None] * shares).ravel(), rest - dim
    return points, probability


def product(rules: list[Rule]) -> Rule:
    """The product of rules in one variable, [n, K] and [n]."""
    grids = np.meshgrid(*(rule[0] for rule in rules), indexing="ij")
    points = np.stack([grid.ravel() for grid in grids], axis=1) if rules else np.zeros((1, 0))
    return points, functools.reduce(np.multiply.outer, [rule[1] for rule in rules], np.ones(1)).ravel()


@functools.singledispatch
def input_points(
    inputs: AbstractInputs, blocks: OrbitBlocks, counts: Counts, splits: Splits
) -> tuple[Float[Array, "n K"], Float[Array, " n"]]:
    """A cubature of the coordinates of x: points [n, K] and probabilities [n], its rules split where `splits` say."""
    raise no_reduction(f"no rule for the orbits of inputs of type {type(inputs).__name__} is known")


@input_points.register
def _(inputs: Gaussian, blocks, counts, splits):
    points, probability = gaussian_points(blocks, counts, splits)
    return inputs.scale * jnp.asarray(points, inputs.scale.dtype), jnp.asarray(probability, inputs.scale.dtype)


@input_points.register
def _(inputs: GaussianBlocks, blocks, counts, splits):
    points, probability = gaussian_points(blocks, counts, splits)
    of_coordinate = np.repeat(np.arange(len(inputs.dims)), inputs.dims)
    first = np.cumsum([0, *blocks.dims])[:-1]
    scales = inputs.scales[of_coordinate[first]]
    return scales[None] * jnp.asarray(points, scales.dtype), jnp.asarray(probability, scales.dtype)


@input_points.register
def _(inputs: Sphere, blocks, counts, splits):
    points, probability = direction_points(blocks, counts, splits)
    return inputs.radius * jnp.asarray(points, inputs.radius.dtype), jnp.asarray(probability, inputs.radius.dtype)


class Neurons(NamedTuple):
    """Labels: outer weights [N], coordinates of b [N, K], biases [N], and what each stands for, [N]; these sum to 1."""

    a: Float[Array, " N"] | Float[np.ndarray, " N"]
    q: Float[Array, "N K"] | Float[np.ndarray, "N K"]
    bias: Float[Array, " N"] | Float[np.ndarray, " N"]
    weight: Float[np.ndarray, " N"]


@functools.singledispatch
def start_points(start: AbstractStart, blocks: OrbitBlocks, counts: Counts, sizes: int) -> Neurons:
    """A cubature of the neurons at time 0, with `sizes` nodes for a law of a; biases 0."""
    known = "a SphereStart, UnbalancedStart, GaussianStart or IndependentStart"
    raise no_reduction(f"labels of neurons start from {known}, not from the start {type(start).__name__}", _PARTICLES)


@start_points.register
def _(start: SphereStart, blocks, counts, sizes):
    masses = jnp.stack([start.mass_plus, start.mass_minus])
    return _of_directions(safe_root(2 * masses), safe_root(2 * masses), blocks, counts)


@start_points.register
def _(start: UnbalancedStart, blocks, counts, sizes):
    outer, inner = (jnp.stack([norm, norm]) for norm in (start.norm_a, start.norm_b))
    return _of_directions(outer, inner, blocks, counts)


@start_points.register
def _(start: GaussianStart, blocks, counts, sizes):
    return _independent(_standard_rule("normal", sizes), _normal_points(blocks, counts), start.scale_a, start.scale_b)


@start_points.register
def _(start: IndependentStart, blocks, counts, sizes):
    uniform = start.inner == "sphere"
    inner = direction_points(blocks, counts, ((),) * len(blocks.dims)) if uniform else _normal_points(blocks, counts)
    return _independent(_standard_rule(start.outer, sizes), inner, start.scale_a, start.scale_b)


def _normal_points(blocks: OrbitBlocks, counts: Counts) -> Rule:
    """Coordinates of b ~ N(0, I/d), all with smooth laws: they need fewer nodes each than the angles of a direction."""
    none, fewer = ((),) * len(blocks.dims), Counts(max(2, counts.kept // 3), max(2, counts.norm // 6))
    if blocks.dim == np.inf:  # ‖b‖ = 1
        return direction_points(blocks, fewer, none)
    points, probability = gaussian_points(blocks, fewer, none)
    return points / np.sqrt(blocks.dim), probability


def _independent(outer: Rule, inner: Rule, scale_a: Float[Array, ""], scale_b: Float[Array, ""]) -> Neurons:
    """a and b with laws of their own."""
    a, q = np.repeat(outer[0], len(inner[0])), np.tile(inner[0], (len(outer[0]), 1))
    return Neurons(scale_a * a, scale_b * q, 0 * a, np.multiply.outer(outer[1], inner[1]).ravel())


def _standard_rule(law: str, count: int) -> Rule:
    """A rule for a law of mean 0 and variance 1."""
    if law == "signs":
        return direction_rule(1, count)
    if law == "normal":
        return coordinate_rule(count)
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return np.sqrt(3) * nodes, weights / 2


@start_points.register
def _(start: BiasedStart, blocks, counts, sizes):
    neurons = start_points(start.start, blocks, counts, sizes)
    if not start.random:
        return neurons._replace(bias=neurons.bias + start.mean)
    nodes, share = _standard_rule(start.law, sizes)
    count = len(neurons.weight)
    a, weight = jnp.repeat(neurons.a, len(nodes)), np.multiply.outer(neurons.weight, share).ravel()
    return Neurons(a, jnp.repeat(neurons.q, len(nodes), axis=0), start.mean + start.scale * np.tile(nodes, count), weight)


def _of_directions(outer: Float[Array, " 2"], inner: Float[Array, " 2"], blocks: OrbitBlocks, counts: Counts) -> Neurons:
    """Half of the neurons of each sign, with uniform directions and one size per sign."""
    points, probability = direction_points(blocks, counts, ((),) * len(blocks.dims))
    a = jnp.repeat(outer * np.array([1.0, -1.0]), len(points))
    q = jnp.concatenate([size * points for size in inner])
    return Neurons(a, q, jnp.zeros_like(a), np.concatenate([probability, probability]) / 2)
