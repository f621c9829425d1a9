"""The best linear predictor of a target: X̄ = E[f*(x) x], w* and Q* = ½E(w*·x − f*)²."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..problem.covariance import GaussianCovariance
from ..problem.inputs import AbstractInputs, Empirical, Gaussian, Sphere
from ..problem.targets import AbstractTarget
from .cubature import expectations

_HIGHEST = jax.lax.Precision.HIGHEST


class LinearPart(NamedTuple):
    """Σ (a number v where Σ = v I), X̄ [d], w* [d], Q*, and the errors of X̄ and of Q*."""

    covariance: Array
    cross: Float[Array, " d"]
    optimum: Float[Array, " d"]
    floor: Float[Array, ""]
    cross_error: Float[Array, ""]
    floor_error: Float[Array, ""]


def linear_part(target: AbstractTarget, inputs: AbstractInputs) -> LinearPart:
    """The linear part of a target; by a formula for linear targets and data sets, by cubature for any other function."""
    covariance = covariance_of(inputs)
    zero = jnp.zeros((), covariance.dtype)
    w = target.linear_weights()
    if w is not None:
        w = w.astype(covariance.dtype)
        return LinearPart(covariance, _times(covariance, w), w, zero, zero, zero)
    if isinstance(inputs, Empirical):
        x = inputs.x
        y = jax.vmap(target)(x).astype(x.dtype)
        cross = jnp.matmul(y, x, precision=_HIGHEST) / x.shape[0]
        optimum = _solve(covariance, cross)
        rest = y - jnp.matmul(x, optimum, precision=_HIGHEST)
        return LinearPart(covariance, cross, optimum, jnp.mean(rest**2) / 2, zero, zero)
    return _by_cubature(target, inputs, covariance)


def _by_cubature(target: AbstractTarget, inputs: AbstractInputs, covariance: Array) -> LinearPart:
    dtype = covariance.dtype
    placed = placement(inputs)

    def function(x):
        return jax.vmap(target)(x).astype(dtype)

    found = expectations(function, placed, inputs.dim, dtype)
    optimum = _solve(covariance, found.cross)
    floor = (found.energy - jnp.sum(found.cross * optimum)) / 2
    # Q* is stationary in w, so that an error of X̄ enters once: δQ* = ½δE f*² − w*·δX̄.
    error = found.energy_error / 2 + found.cross_error * jax.lax.stop_gradient(jnp.sum(jnp.abs(optimum)))
    return LinearPart(covariance, found.cross, optimum, floor, found.cross_error, error)


def covariance_of(inputs: AbstractInputs) -> Array:
    """Σ as a number v where Σ = v I for every dimension, else as a matrix [d, d]."""
    return inputs.second_moment / inputs.dim if isinstance(inputs, Gaussian | Sphere) else inputs.covariance


def _times(covariance: Array, w: Float[Array, " d"]) -> Float[Array, " d"]:
    return covariance * w if covariance.ndim == 0 else jnp.matmul(covariance, w, precision=_HIGHEST)


def _solve(covariance: Array, cross: Float[Array, " d"]) -> Float[Array, " d"]:
    """Σ⁺ X̄: the shortest solution where Σ is singular."""
    if covariance.ndim == 0:
        return cross / covariance
    return jnp.matmul(jnp.linalg.pinv(covariance, hermitian=True), cross, precision=_HIGHEST)


@functools.singledispatch
def placement(inputs: AbstractInputs) -> Any:
    """The odd map from z ~ N(0, I) [n, d] to inputs [n, d]."""
    raise TypeError(f"No map from normal variables to {type(inputs).__name__}.")


@placement.register
def _(inputs: Gaussian):
    return lambda z: inputs.scale.astype(z.dtype) * z


@placement.register
def _(inputs: Sphere):
    return lambda z: inputs.radius.astype(z.dtype) * z / jnp.linalg.norm(z, axis=1, keepdims=True)


@placement.register
def _(inputs: GaussianCovariance):
    root = inputs.root
    return lambda z: jnp.matmul(z, root.astype(z.dtype).T, precision=_HIGHEST)
