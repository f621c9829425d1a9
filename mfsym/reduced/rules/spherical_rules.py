"""Rules for means over N(0, I_d): a fully symmetric rule on the sphere times a Gauss–Laguerre rule in ‖z‖²/2.

Exact for polynomials of degree 7 in z, or 5 for d > 100. (Rotated rules: Genz & Monahan 1998; the weights follow from the
moments Σω⁴ and Σω⁶, the only invariants of the rule's symmetry up to degree 7.)
"""

import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...types import DTypeLike

_HIGHEST = jax.lax.Precision.HIGHEST
_FINE_DIM = 100  # largest dimension of the rule of degree 7, with (2/3) d³ nodes up to their sign
_BLOCK = 2048


def _sum_blocks(function: Callable[[PyTree], Array], rows: PyTree) -> Float[Array, " k"]:
    """Sum of function(block) over blocks of rows; a block is computed again in reverse differentiation."""
    rows = jax.tree.map(lambda leaf: leaf.reshape(-1, min(_BLOCK, leaf.shape[0]), *leaf.shape[1:]), rows)
    return jnp.sum(jax.lax.map(jax.checkpoint(function, prevent_cse=False), rows), axis=0)


def rotated_mean(values: Callable[[Array], Array], dim: int, seed: int, dtype: DTypeLike) -> Float[Array, " k"]:
    """The mean of `values` by one rotated rule; with seed s it has s + 1 radii."""
    axes, coefficients, weights = spherical_rule(dim)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    radii, radial_weights = radial_rule(dim, seed + 1)
    rotation, radii, radial_weights = (jnp.asarray(z, dtype) for z in (rotation, radii, radial_weights))

    def block(rows):
        axes, coefficients, weights = rows
        directions = jnp.sum(rotation[axes] * coefficients[:, :, None], axis=1)

        def shell(radius):
            return jnp.matmul(weights, values(radius * directions), precision=_HIGHEST)

        return jnp.matmul(radial_weights, jax.lax.map(shell, radii), precision=_HIGHEST)

    return _sum_blocks(block, (jnp.asarray(axes), jnp.asarray(coefficients, dtype), jnp.asarray(weights, dtype)))


@functools.lru_cache(maxsize=8)
def spherical_rule(dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes of a rule on the unit sphere of R^d, one of each pair ±ω: axes [n, 3], coefficients [n, 3], weights [n].

    A node is Σ_k coefficient_k e_{axis_k}; padded with nodes of weight 0. Exact for polynomials of degree 7, or 5 for
    d > 100 (host, float64).
    """
    largest = min(dim, 3 if dim <= _FINE_DIM else 2)
    orders = np.arange(1, largest + 1)
    moments = np.array([1.0, 3 / (dim + 2), 15 / ((dim + 2) * (dim + 4))])[:largest]
    orbits = np.linalg.solve(1.0 / orders[None, :] ** np.arange(largest)[:, None], moments)
    axes, coefficients, weights = [], [], []
    for order, orbit in enumerate(orbits, start=1):
        chosen = np.array(list(itertools.combinations(range(dim), order)), np.int32)
        signs = np.array([(1, *s) for s in itertools.product((1, -1), repeat=order - 1)]) / math.sqrt(order)
        count = len(chosen) * len(signs)
        axes.append(np.pad(np.repeat(chosen, len(signs), axis=0), ((0, 0), (0, 3 - order))))
        coefficients.append(np.pad(np.tile(signs, (len(chosen), 1)), ((0, 0), (0, 3 - order))))
        weights.append(np.full(count, orbit / count))
    count = sum(map(len, weights))
    spare = (-count) % _BLOCK if count > _BLOCK else 0
    axes, coefficients = (np.concatenate([*z, np.repeat(z[0][:1], spare, axis=0)]) for z in (axes, coefficients))
    return axes, coefficients, np.concatenate([*weights, np.zeros(spare)])


def radial_rule(dim: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Radii R and weights of the chi law of d degrees of freedom, exact for R², ..., R^{4·count−2} (host, float64)."""
    shape = dim / 2 - 1
    k = np.arange(1, count)
    jacobi = np.diag(2 * np.arange(count) + 1 + shape) + np.diag(np.sqrt(k * (k + shape)), 1)
    halves, vectors = np.linalg.eigh(jacobi + np.triu(jacobi, 1).T)
    return np.sqrt(2 * halves), vectors[0] ** 2
