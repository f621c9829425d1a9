"""Inputs as linear images of standard ones, with a known covariance."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaln

from ...errors import is_traced, no_reduction
from ...problem.block_inputs import GaussianBlocks
from ...problem.covariance import GaussianCovariance
from ...problem.empirical import Empirical
from ...problem.inputs import AbstractInputs, Gaussian, Sphere
from .cubature import Law
from .polynomial import DEGREE

_HIGHEST = jax.lax.Precision.HIGHEST


@functools.singledispatch
def with_covariance(inputs: AbstractInputs) -> AbstractInputs:
    """The same inputs as what they are here; raises NoReductionError if their covariance is not known."""
    raise no_reduction(f"the covariance of inputs of type {type(inputs).__name__} is not known")


@with_covariance.register(Gaussian)
@with_covariance.register(Sphere)
@with_covariance.register(GaussianCovariance)
@with_covariance.register(Empirical)
def _(inputs):
    return inputs


@with_covariance.register
def _(inputs: GaussianBlocks):
    return GaussianCovariance(inputs.covariance)


@functools.singledispatch
def is_symmetric(inputs: AbstractInputs) -> bool:
    """Whether −x has the law of x, as far as is known."""
    return True


@is_symmetric.register
def _(inputs: Empirical):
    return is_traced(inputs.x) or is_traced(inputs.weights) or inputs.is_invariant(-jnp.eye(inputs.dim))


def covariance_of(inputs: AbstractInputs) -> Float[Array, ""] | Float[Array, "d d"]:
    """Σ as a number v where Σ = v I for every dimension, else as a matrix [d, d]."""
    return inputs.second_moment / inputs.dim if inputs.rotation_invariant else inputs.covariance


@functools.singledispatch
def standardised(inputs: AbstractInputs) -> tuple[Law, Callable[[Array], Array]]:
    """The law of u with E u uᵀ = I, and the linear map from u [n, d] to inputs [n, d]."""
    raise TypeError(f"No standard inputs for {type(inputs).__name__}.")


@standardised.register
def _(inputs: Gaussian):
    return _normal(inputs.dim), lambda u: inputs.scale.astype(u.dtype) * u


@standardised.register
def _(inputs: GaussianCovariance):
    root = inputs.root
    return _normal(inputs.dim), lambda u: jnp.matmul(u, root.astype(u.dtype).T, precision=_HIGHEST)


@standardised.register
def _(inputs: Sphere):
    dim, k = inputs.dim, np.arange(2 * DEGREE + 1)
    root = math.sqrt(dim)
    ratios = np.exp(k / 2 * np.log(dim / 2) + gammaln(dim / 2) - gammaln((dim + k) / 2))  # √d^k over E‖z‖^k
    law = Law(dim, lambda z: root * z / jnp.linalg.norm(z, axis=1, keepdims=True), ratios, True)
    return law, lambda u: inputs.radius.astype(u.dtype) / root * u


def _normal(dim: int) -> Law:
    return Law(dim, lambda z: z, np.ones(2 * DEGREE + 1), False)
