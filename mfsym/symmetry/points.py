"""Points of a law of inputs at which functions are compared: the same ones in every run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ..problem.empirical import Empirical
from ..problem.inputs import AbstractInputs, AbstractIsotropicInputs
from ..problem.quasi_random import to_normal, unit_points

_SEED = 20221116  # of the scrambling; any number does


def coordinate_scale(inputs: AbstractIsotropicInputs) -> float:
    """Standard deviation of one coordinate."""
    return float(np.sqrt(float(inputs.second_moment) / inputs.dim))


def law_points(inputs: AbstractIsotropicInputs, count: int) -> np.ndarray:
    """Quasi-random points of the law, [count, d] (host, float64), for means over one set.

    Never to be compared row by row with another such set: equal rows share their leading bits, hence all their signs.
    """
    return _placed(inputs, to_normal(unit_points(count, inputs.dim, np.random.default_rng((_SEED, 0)))))


def law_draws(inputs: AbstractIsotropicInputs, count: int, generator: np.random.Generator) -> np.ndarray:
    """Independent draws of the law, [count, d] (host, float64)."""
    return _placed(inputs, generator.standard_normal((count, inputs.dim)))


def _placed(inputs: AbstractIsotropicInputs, normals: np.ndarray) -> np.ndarray:
    """Standard normal rows as inputs of the law."""
    if inputs.spherical:
        return float(inputs.length) * normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return coordinate_scale(inputs) * normals


@functools.singledispatch
def evaluation_points(inputs: AbstractInputs, count: int, dtype) -> Empirical:
    """Where functions of inputs are compared: quasi-random points, a data set itself, or fixed draws of the law."""
    return Empirical(inputs.sample(jax.random.key(_SEED), count, dtype))


@evaluation_points.register
def _(inputs: AbstractIsotropicInputs, count, dtype):
    return Empirical(jnp.asarray(law_points(inputs, count), dtype))


@evaluation_points.register
def _(inputs: Empirical, count, dtype):
    return Empirical(inputs.x.astype(dtype), weights=inputs.weights)
