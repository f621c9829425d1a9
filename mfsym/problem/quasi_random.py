"""Random numbers of the host, float64: scrambled Sobol points, for clouds and for the comparison of functions."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.special import ndtri


def host_generator(key: Array) -> np.random.Generator:
    """A generator of numpy that a key of JAX, new style or old, decides."""
    data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return np.random.default_rng(np.asarray(data).tolist())


def unit_points(count: int, dim: int, generator: np.random.Generator) -> np.ndarray:
    """Points of the unit cube, [count, dim]."""
    from scipy.stats import qmc  # scipy.stats takes as long to import as everything else together

    sequence = qmc.Sobol(dim, seed=generator)  # pyright: ignore[reportCallIssue]  # rng= from scipy 1.15 on
    return sequence.random_base2(max(0, (count - 1).bit_length()))[:count]


def to_normal(points: np.ndarray) -> np.ndarray:
    """Points of the unit cube mapped to the normal law; a scrambled point may be 0, and stays finite."""
    return ndtri(np.clip(points, 2.0**-33, 1 - 2.0**-33))
