"""Fixed points of a law of inputs at which functions are compared: the same ones in every run."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..problem.inputs import AbstractInputs, Empirical, Gaussian, Sphere
from ..problem.quasi_random import to_normal, unit_points

_SEED = 20221116  # of the scrambling; any number does


def normal_points(count: int, dim: int, seed: int = 0) -> np.ndarray:
    """Scrambled Sobol points mapped to the normal law, [count, dim] (host, float64). `seed` picks one of many sets."""
    return to_normal(unit_points(count, dim, np.random.default_rng((_SEED, seed))))


def coordinate_scale(inputs: Gaussian | Sphere) -> float:
    """Standard deviation of one coordinate."""
    return float(np.sqrt(float(inputs.second_moment) / inputs.dim))


def law_points(inputs: AbstractInputs, count: int, seed: int = 0) -> np.ndarray:
    """Quasi-random points of a Gaussian law or a sphere, [count, d] (host, float64)."""
    if isinstance(inputs, Sphere):
        normals = normal_points(count, inputs.dim, seed)
        return float(inputs.radius) * normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return coordinate_scale(inputs) * normal_points(count, inputs.dim, seed)  # pyright: ignore[reportArgumentType]


def evaluation_points(inputs: AbstractInputs, count: int, dtype) -> Float[Array, "n d"]:
    """Where functions of inputs are compared: quasi-random points, the rows of a data set, or fixed draws of the law."""
    if isinstance(inputs, Empirical):
        return inputs.x.astype(dtype)
    if isinstance(inputs, Gaussian | Sphere):
        return jnp.asarray(law_points(inputs, count), dtype)
    return inputs.sample(jax.random.key(_SEED), count, dtype)
