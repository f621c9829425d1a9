"""Chebyshev series: points, coefficients, integrals and evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_PI = 4 * np.arctan(np.longdouble(1))  # the angles below are large: their rounding would show in the coefficients


def chebyshev_points(count: int) -> np.ndarray:
    """The zeros y_k = cos(π(k+½)/count) of the Chebyshev polynomial of degree `count`, inside (−1, 1)."""
    return np.cos(_PI * (np.arange(count) + 0.5) / count).astype(float)


def coefficient_matrix(count: int) -> np.ndarray:
    """Matrix [count, count] from values at `chebyshev_points` to the coefficients of Σ_k c_k T_k."""
    degrees = np.arange(count)[:, None]
    matrix = 2 * np.cos(_PI * degrees * (np.arange(count) + 0.5) / count) / count
    matrix[0] /= 2
    return matrix.astype(float)


def primitive_matrix(count: int) -> np.ndarray:
    """Matrix [count + 1, count] from the coefficients of a series to those of its primitive that is 0 at y = 0."""
    columns = [np.polynomial.chebyshev.chebint(unit, lbnd=0.0) for unit in np.eye(count)]
    return np.stack([np.pad(column, (0, count + 1 - len(column))) for column in columns], axis=1)


def evaluate(coefficients: Float[Array, "series count"], y: Float[Array, " m"]) -> Float[Array, "series m"]:
    """Σ_k c_k T_k(y) for several series at once, [series, m], by Clenshaw's recurrence."""

    def step(carry, coefficient):
        first, second = carry
        return (2 * y * first - second + coefficient[:, None], first), None

    zeros = jnp.zeros((coefficients.shape[0], y.shape[0]), y.dtype)
    y = jnp.broadcast_to(y, zeros.shape)
    (first, second), _ = jax.lax.scan(step, (zeros, zeros), coefficients[:, :0:-1].T, unroll=4)
    return y * first - second + coefficients[:, :1]
