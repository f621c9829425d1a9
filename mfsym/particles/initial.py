"""Clouds drawn from the law of the neurons at time 0."""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from ..errors import (
    Words,
    argument_error,
    check_choice,
    check_floating,
    check_integer,
    check_is,
    check_key,
    check_sequence,
    is_traced,
)
from ..neurons import BiasedParticles, Particles
from ..problem.problem import Problem
from ..problem.quasi_random import host_generator, to_normal, unit_points
from ..problem.start import AbstractSignedStart, AbstractStart, BiasedStart, GaussianStart, IndependentStart, NormalStart
from ..problem.tree_units import example_neuron
from ..problem.units import ReLU, has_bias
from ..types import Checked, Cloud, DTypeLike, IntLike, KeyLike
from .angles import safe_direction, split_by_subspace
from .arguments import check_problem

_Start = TypeVar("_Start", bound=AbstractStart)
_GRID = 4097  # angles at which the law of an AngularStart is tabulated


def initial_cloud(problem: Problem, *, width: IntLike, key: KeyLike, dtype: DTypeLike | None = None) -> Cloud:
    """A random cloud of `width` neurons from the start of the problem; balanced signs where it has masses.

    For a unit with a bias they are BiasedParticles, with biases 0 unless the start is a `BiasedStart`; from a `NormalStart`
    they are like the example that a `FunctionUnit` or a `ModuleUnit` has, and of the shapes that other units know.
    """
    check_problem(problem)
    draw = _biased_cloud if has_bias(problem.unit) else functools.partial(_cloud_from, problem.start)
    return draw(problem, width, check_key(key), dtype)


def check_widths(problems: Iterable[Problem], widths: Checked[Sequence[int]], least: int, remedy: str) -> tuple[int, ...]:
    """Numbers of neurons of clouds from the starts of these problems; even ones where the signs of a are balanced."""
    widths = check_sequence("widths", widths, "a tuple of numbers of neurons", remedy)
    widths = tuple(check_integer("widths", width, least, remedy) for width in widths)
    if any(width % 2 for width in widths) and not all(_draws_signs(problem.start) for problem in problems):
        raise argument_error("widths", "even, as many a > 0 as a < 0", widths, remedy)
    return widths


@functools.singledispatch
def _draws_signs(start: AbstractStart) -> bool:
    """Whether the sign of every a is drawn by itself, rather than half of them being positive."""
    return False


@_draws_signs.register(GaussianStart)
@_draws_signs.register(IndependentStart)
def _(start):
    return True


@_draws_signs.register
def _(start: BiasedStart):
    return _draws_signs(start.start)


@functools.singledispatch
def _without_bias(start: AbstractStart) -> AbstractStart:
    """The law of (a, b)."""
    return start


@_without_bias.register
def _(start: BiasedStart):
    return start.start


@functools.singledispatch
def _cloud_from(start: AbstractStart, problem: Problem, width: IntLike, key: KeyLike, dtype: DTypeLike | None) -> Cloud:
    """A cloud of one law of neurons: a start with masses, unless another law is registered below."""
    return sphere_cloud(problem, width=width, key=key, dtype=dtype)


@_cloud_from.register
def _(start: GaussianStart, problem, width, key, dtype):
    return gaussian_cloud(problem, width=width, key=key, dtype=dtype)


@_cloud_from.register
def _(start: IndependentStart, problem, width, key, dtype):
    """a and b by the laws of each."""
    width, dtype = check_integer("width", width, 1), check_floating(dtype)
    outer, inner = jax.random.split(key)
    b = jax.random.normal(inner, (width, problem.dim), dtype)
    b = safe_direction(b) if start.inner == "sphere" else b / math.sqrt(problem.dim)
    a = start.scale_a.astype(dtype) * _standard(start.outer, outer, width, dtype)
    return Particles(a, start.scale_b.astype(dtype) * b)


@_cloud_from.register
def _(start: NormalStart, problem, width, key, dtype):
    """Independent normal entries in every leaf of the example of a neuron."""
    width, dtype = check_integer("width", width, 1, "It is the number of neurons."), check_floating(dtype)
    example = example_neuron(problem.unit, problem.dim, problem.target_shape)
    if example is None:
        remedy = "Pass mf.FunctionUnit(function, neuron=example), or a cloud of your own to the solver."
        got = Words(f"a {type(problem.unit).__name__} without one")
        raise argument_error("problem.unit", "one with an example of a neuron, for a NormalStart", got, remedy)
    leaves, structure = jax.tree.flatten(example)
    keys, scale = jax.random.split(key, len(leaves)), start.scale.astype(dtype)
    drawn = [scale * jax.random.normal(k, (width, *leaf.shape), dtype) for k, leaf in zip(keys, leaves, strict=True)]
    cloud = jax.tree.unflatten(structure, drawn)
    return cloud if problem.start.fixed_by is None else problem.start.fixed_by.project(cloud)


def _biased_cloud(problem: Problem, width: IntLike, key: KeyLike, dtype: DTypeLike | None) -> BiasedParticles:
    """Neurons of the start of (a, b), and biases."""
    key, bias_key = jax.random.split(key)
    plain = eqx.tree_at(lambda p: (p.unit, p.start), problem, (ReLU(), _without_bias(problem.start)))
    cloud = initial_cloud(plain, width=width, key=key, dtype=dtype)
    return BiasedParticles(cloud.a, cloud.b, _biases(problem.start, cloud, bias_key))


@functools.singledispatch
def _biases(start: AbstractStart, cloud: Particles, key: Array) -> Float[Array, " m"]:
    """Biases β of the law of the start: 0 where it says nothing of them."""
    return jnp.zeros_like(cloud.a)


@_biases.register
def _(start: BiasedStart, cloud, key):
    standard = _standard(start.law, key, cloud.width, cloud.dtype)
    return start.mean.astype(cloud.dtype) + start.scale.astype(cloud.dtype) * standard


def _standard(law: str, key: Array, width: int, dtype: np.dtype) -> Float[Array, " m"]:
    """Independent numbers of mean 0 and variance 1."""
    if law == "signs":
        return jax.random.rademacher(key, (width,), dtype)
    if law == "normal":
        return jax.random.normal(key, (width,), dtype)
    return np.sqrt(3) * jax.random.uniform(key, (width,), dtype, minval=-1)


def gaussian_cloud(problem: Problem, *, width: IntLike, key: KeyLike, dtype: DTypeLike | None = None) -> Particles:
    """a ~ N(0, scale_a²) and b ~ N(0, scale_b² I_d/d), independent, for a problem with a `GaussianStart`."""
    check_problem(problem)
    width, dtype = check_integer("width", width, 1), check_floating(dtype)
    remedy = "Use initial_cloud, which follows the start of the problem."
    start = _of_kind(problem.start, GaussianStart, "a GaussianStart", remedy)
    outer, inner = jax.random.split(check_key(key))
    a = start.scale_a.astype(dtype) * jax.random.normal(outer, (width,), dtype)
    b = start.scale_b.astype(dtype) / math.sqrt(problem.dim) * jax.random.normal(inner, (width, problem.dim), dtype)
    return Particles(a, b)


def sphere_cloud(
    problem: Problem,
    *,
    width: IntLike,
    key: KeyLike | None = None,
    signs: str = "balanced",
    directions: str = "random",
    dtype: DTypeLike | None = None,
) -> Particles:
    """A cloud with |a| = ‖b‖ = √(2 mass of its sign), by default 1, and directions from the start of the problem.

    For an UnbalancedStart |a| and ‖b‖ are its two norms.

    Arguments: `width` m neurons. `signs`: "balanced", the first half a > 0 and the rest a < 0; "paired", also with
    the same directions in both halves, so that f = 0 at time 0; "random", independent signs. `directions`: "random",
    independent, which can be vmapped over `key`; "quasi", scrambled Sobol points, one set for each sign, drawn on
    the host from `key`; "deterministic", one fixed set of these, without a key.
    Returns Particles with a [m] and b [m, d]. Raises ArgumentError for an odd width with balanced or paired signs,
    paired signs with different masses, a start without masses, or a missing key.
    """
    check_problem(problem)
    width, dtype = check_integer("width", width, 1, "It is the number of neurons."), check_floating(dtype)
    check_choice("signs", signs, ("balanced", "random", "paired"))
    check_choice("directions", directions, ("random", "quasi", "deterministic"))
    start = _check_start(problem, width, signs)
    sign_key, plus_key, minus_key = _split_key(key, signs, directions)
    half = width // 2
    if signs == "balanced":
        parts = [_directions(problem, half, k, directions, dtype) for k in (plus_key, minus_key)]
    elif signs == "paired":
        parts = [_directions(problem, half, plus_key, directions, dtype)] * 2
    else:
        parts = [_directions(problem, width, plus_key, directions, dtype)]
    positive = jnp.arange(width) < half
    if signs == "random":
        positive = jax.random.bernoulli(sign_key, shape=(width,))
    outer, inner = start.sizes(dtype)
    b = jnp.where(positive, *inner)[:, None] * jnp.concatenate(parts)
    return Particles(jnp.where(positive, outer[0], -outer[1]), b)


def _of_kind(start: AbstractStart, kind: type[_Start], expected: str, remedy: str) -> _Start:
    return check_is("problem.start", start, kind, expected, remedy, f"a {type(start).__name__}")


def _check_start(problem: Problem, width: int, signs: str) -> AbstractSignedStart:
    expected = "a start with |a| = ‖b‖ (SphereStart, AngularStart) or an UnbalancedStart"
    start = _of_kind(problem.start, AbstractSignedStart, expected, "Use gaussian_cloud or initial_cloud.")
    if not start.uniform and problem.subspace() is None:
        expected = "one that needs no subspace, as the target declares none"
        raise argument_error("problem.start", expected, f"a {type(start).__name__}", "Use SphereStart.")
    if signs != "random" and width % 2:
        expected = f"even with {signs} signs, as many a > 0 as a < 0"
        raise argument_error("width", expected, width, 'Use an even width, or signs="random".')
    masses = start.masses()
    if signs == "paired" and not any(map(is_traced, masses)) and float(masses[0]) != float(masses[1]):
        given = [float(mass) for mass in masses]
        raise argument_error("problem.start", "of equal masses with paired signs", given, 'Use signs="balanced".')
    return start


def _split_key(key: KeyLike | None, signs: str, directions: str) -> Array:
    """Keys of the signs and of the directions of either sign; a fixed key for a deterministic cloud."""
    if directions == "deterministic":
        if signs == "random":
            remedy = 'Use "balanced" or "paired".'
            raise argument_error("signs", "balanced or paired for a deterministic cloud", signs, remedy)
        key = jax.random.key(0)
    if key is None:
        raise argument_error("key", "a JAX random key", key, 'Pass jax.random.key(0), or directions="deterministic".')
    if directions == "quasi" and is_traced(key):
        remedy = 'Use directions="random" under jit or vmap.'
        raise argument_error("key", "concrete where Sobol points are drawn on the host", key, remedy)
    return jax.random.split(check_key(key), 3)


def _directions(problem: Problem, count: int, key: Array, kind: str, dtype: np.dtype) -> Float[Array, "m d"]:
    """Unit vectors [count, d] from the law of the directions at time 0."""
    if kind == "random":
        return _random_directions(problem, count, key, dtype)
    points = jnp.asarray(_sobol(count, problem.dim + 1, key), dtype)
    return _unit_vectors(problem, points[:, 1:], points[:, 0])


@eqx.filter_jit
def _random_directions(problem: Problem, count: int, key: Array, dtype: np.dtype) -> Float[Array, "m d"]:
    normal_key, uniform_key = jax.random.split(key)
    normals = jax.random.normal(normal_key, (count, problem.dim), dtype)
    return _unit_vectors(problem, normals, jax.random.uniform(uniform_key, (count,), dtype))


def _unit_vectors(problem: Problem, normals: Float[Array, "m d"], uniforms: Float[Array, " m"]) -> Float[Array, "m d"]:
    return safe_direction(normals) if problem.start.uniform else _place(problem, normals, uniforms)


def _sobol(count: int, dim: int, key: Array) -> np.ndarray:
    """Scrambled Sobol points [count, dim]: the first column uniform, the others mapped to the normal law."""
    points = unit_points(count, dim, host_generator(key))
    return np.concatenate([points[:, :1], to_normal(points[:, 1:])], axis=1)


def _place(problem: Problem, normals: Float[Array, "m d"], uniforms: Float[Array, " m"]) -> Float[Array, "m d"]:
    """cos θ·h + sin θ·p with θ from the law of the start, h uniform in H (or its only axis), p uniform in H^⊥."""
    basis = jnp.asarray(problem.subspace(), normals.dtype)
    along, across = split_by_subspace(normals, basis)
    radial = not problem.signed_angle()
    theta = _angles(problem.start, uniforms, basis.shape[0], problem.dim - basis.shape[0], radial)
    along = safe_direction(along) if radial else jnp.ones_like(along)
    within = jnp.matmul(along, basis, precision=jax.lax.Precision.HIGHEST)
    return jnp.cos(theta)[:, None] * within + jnp.sin(theta)[:, None] * safe_direction(across)


def _angles(
    start: AbstractStart, uniforms: Float[Array, " m"], dim_h: int, dim_perp: int, radial: bool
) -> Float[Array, " m"]:
    """Angles with the density of the start times the uniform law on the sphere, by its inverse distribution function.

    The uniform law is cos^{d_H−1}θ sin^{d_⊥−1}θ on [0, π/2] for a radial target, sin^{d_⊥−1}θ on [0, π] otherwise.
    """
    dtype, last = uniforms.dtype, np.pi / 2 if radial else np.pi
    if dim_perp == 0:  # no angle is left: H is everything, or one of two signs
        shares = start.density(jnp.asarray([0.0, last], dtype)).astype(dtype)
        first = True if radial else uniforms * jnp.sum(shares) < shares[0]
        return jnp.where(first, jnp.zeros_like(uniforms), jnp.asarray(np.pi, dtype))
    grid = jnp.asarray(np.linspace(0.0, last, _GRID), dtype)
    logarithm = xlogy(dim_perp - 1.0, jnp.abs(jnp.sin(grid)))
    if radial:
        logarithm = logarithm + xlogy(dim_h - 1.0, jnp.abs(jnp.cos(grid)))
    weights = jnp.exp(logarithm - jnp.max(logarithm)) * start.density(grid).astype(dtype)
    pieces = jnp.concatenate([jnp.zeros(1, dtype), jnp.cumsum((weights[1:] + weights[:-1]) / 2)])
    return jnp.interp(uniforms * pieces[-1], pieces, grid)
