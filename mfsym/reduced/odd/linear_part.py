"""The best linear predictor of a target: X̄ = E[f*(x) x], w* and Q* = ½E(w*·x − f*)²."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import is_traced
from ...problem.empirical import Empirical
from ...problem.inputs import AbstractInputs
from ...problem.targets import AbstractTarget
from ..rules.second_moment import check_growth
from .cubature import Expectations, exact_expectations, expectations, is_exact, sampled_expectations
from .interactions import BATCH, Seen, evaluate, look, unseen
from .standard_inputs import covariance_of, standardised

_HIGHEST = jax.lax.Precision.HIGHEST
_DOUBLE, _SINGLE = 1e-9, 1e-4  # what is rounding when a target is looked at


class LinearPart(NamedTuple):
    """Σ (a number v where Σ = v I), X̄ [d], w* [d], Q*, and the errors of X̄ and of Q*."""

    covariance: Array
    cross: Float[Array, " d"]
    optimum: Float[Array, " d"]
    floor: Float[Array, ""]
    cross_error: Float[Array, ""]
    floor_error: Float[Array, ""]

    @property
    def energy(self) -> Float[Array, ""]:
        """E f*²."""
        return 2 * self.floor + jnp.sum(self.cross * self.optimum)


def linear_part(target: AbstractTarget, inputs: AbstractInputs) -> LinearPart:
    """The linear part of a target; by a formula for linear targets and data sets, by cubature for any other function."""
    w = target.linear_weights()
    if w is not None:
        covariance = covariance_of(inputs)
        w, zero = w.astype(covariance.dtype), jnp.zeros((), covariance.dtype)
        return LinearPart(covariance, _times(covariance, w), w, zero, zero, zero)
    return _integrated(inputs, target)


@functools.singledispatch
def _integrated(inputs: AbstractInputs, target: AbstractTarget) -> LinearPart:
    """The linear part by cubature, in the way that fits what f* shows."""
    seen = look_at(target, inputs)
    if seen.on_rays is None:
        return _by_cubature(target, inputs, seen, expectations)
    if seen.on_rays:
        part = _by_cubature(target, inputs, seen, exact_expectations)
        if is_exact(part.energy, 2 * part.floor_error, part.cross.dtype):
            return part
    return _by_cubature(target, inputs, seen, sampled_expectations)


@_integrated.register(Empirical)
@eqx.filter_jit
def _(inputs: Empirical, target: AbstractTarget) -> LinearPart:
    covariance, x = inputs.covariance, inputs.x
    y = jax.vmap(target)(x).astype(x.dtype) if inputs.y is None else inputs.y
    cross = inputs.mean(y[:, None] * x)
    optimum = solve_covariance(covariance, cross)
    rest = y - jnp.matmul(x, optimum, precision=_HIGHEST)
    zero = jnp.zeros((), covariance.dtype)
    return LinearPart(covariance, cross, optimum, inputs.mean(rest**2) / 2, zero, zero)


@eqx.filter_jit
def _by_cubature(target: AbstractTarget, inputs: AbstractInputs, seen: Seen, way: Callable[..., Expectations]) -> LinearPart:
    """The linear part from E[f u] and E f², which `way` computes."""
    covariance = covariance_of(inputs)
    dtype = covariance.dtype
    law, scaled = standardised(inputs)
    found = way(lambda u: _values(target, inputs, u), law, seen, dtype)
    cross = scaled(found.cross[None])[0]
    squares = jnp.sum(found.cross**2)
    size = jax.lax.stop_gradient(jnp.sqrt(jnp.where(squares > 0, squares, 0)))
    # Q* = ½(E f*² − ‖c‖²) with c = E[f* u]: an error of c enters by its part along c, and by its square.
    error = found.energy_error / 2 + size * found.along_error + (found.along_error**2 + found.spread) / 2
    largest = jnp.sqrt(jnp.max(covariance if covariance.ndim == 0 else jnp.diagonal(covariance)))
    cross_error = jax.lax.stop_gradient(largest) * found.cross_error
    return LinearPart(
        covariance, cross, solve_covariance(covariance, cross), (found.energy - squares) / 2, cross_error, error
    )


def look_at(target: AbstractTarget, inputs: AbstractInputs) -> Seen:
    """What a target shows to the cubature, which is nothing where values are traced; refused without a second moment."""
    dim, dtype = inputs.dim, covariance_of(inputs).dtype
    probe = _values(target, inputs, jnp.zeros((BATCH, dim), dtype))
    if is_traced(probe):
        return unseen(dim)
    single = jnp.finfo(dtype).bits < 64

    def on_host(function):
        return lambda points: np.asarray(function(target, inputs, jnp.asarray(points, dtype)), float)

    values = on_host(_values)
    seen = look(values, on_host(_gradients), dim, _SINGLE if single else _DOUBLE)
    if standardised(inputs)[0].on_sphere:
        return seen._replace(basis=np.eye(dim))
    check_growth(lambda points: evaluate(values, points), _far_directions(inputs, seen.basis), single)
    return seen


def _far_directions(inputs: AbstractInputs, basis: np.ndarray) -> np.ndarray:
    """Unit vectors [n, d] along which the inputs, their coordinates and what f* depends on grow fastest."""
    rows = np.asarray(standardised(inputs)[1](jnp.eye(inputs.dim, dtype=covariance_of(inputs).dtype)), float).T
    rows = np.concatenate([basis, rows[np.any(rows, axis=1)]])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@eqx.filter_jit
def _values(target: AbstractTarget, inputs: AbstractInputs, u: Float[Array, "n d"]) -> Float[Array, " n"]:
    return jax.vmap(target)(standardised(inputs)[1](u)).astype(u.dtype)


@eqx.filter_jit
def _gradients(target: AbstractTarget, inputs: AbstractInputs, u: Float[Array, "n d"]) -> Float[Array, "n d"]:
    return jax.grad(lambda u: jnp.sum(_values(target, inputs, u)))(u)


def _times(covariance: Array, w: Float[Array, " d"]) -> Float[Array, " d"]:
    return covariance * w if covariance.ndim == 0 else jnp.matmul(covariance, w, precision=_HIGHEST)


def solve_covariance(covariance: Array, cross: Float[Array, " d"]) -> Float[Array, " d"]:
    """Σ⁺ X̄: the shortest solution where Σ is singular."""
    if covariance.ndim == 0:
        return cross / covariance
    return jnp.matmul(jnp.linalg.pinv(covariance, hermitian=True), cross, precision=_HIGHEST)
