"""E[f(x) x] and E f(x)² of a function of which nothing is known: exact for polynomials, otherwise with a stated error.

Two ways, both for x = placed(z) with z ~ N(0, I_d):
- spherical–radial cubature: a fully symmetric rule on the sphere times a Gauss–Laguerre rule in ‖z‖²/2, exact for
  polynomials of degree 7 (d ≤ 64) or 5 in z. It is done twice, with different rotations and radii: the two agree to
  rounding if f x (or f²) is such a polynomial, and differ otherwise. (Rotated rules: Genz & Monahan 1998; the
  weights follow from the moments Σω⁴ and Σω⁶, the only invariants of the rule's symmetry up to degree 7.)
- a randomly shifted Kronecker sequence (Richtmyer 1951), folded, in 8 replicates whose scatter is the error.
The first is taken where its two results agree, the second where they do not.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_HIGHEST = jax.lax.Precision.HIGHEST
_FINE_DIM = 64  # largest dimension of the rule of degree 7, with (2/3) d³ nodes up to their sign
_BLOCK = 2048
_SHIFTS, _POINTS = 8, 2**14


class Expectations(NamedTuple):
    """E[f x] [d] and E f² with their errors: the difference of two exact rules, or a standard error."""

    cross: Float[Array, " d"]
    energy: Float[Array, ""]
    cross_error: Float[Array, ""]
    energy_error: Float[Array, ""]


def expectations(function: Callable[[Any], Any], place: Callable[[Any], Any], dim: int, dtype: Any) -> Expectations:
    """E[f x] and E f² for x = place(z), z ~ N(0, I): `place` maps [n, d] to [n, d] and is odd; `function` takes [n, d].

    Only the odd part of f counts in E[f x], and the mean of f(x)² and f(−x)² in E f².
    """

    def values(z):
        x = place(z)
        here, there = function(x), function(-x)
        return jnp.concatenate([(here - there)[:, None] * x / 2, ((here**2 + there**2) / 2)[:, None]], axis=1)

    rules = jnp.stack([_spherical_mean(values, dim, seed, dtype) for seed in (1, 2)])
    shifted = _shifted_means(values, dim, dtype)
    cross = _better(rules[:, :-1], shifted[:, :-1])
    energy = _better(rules[:, -1:], shifted[:, -1:])
    return Expectations(cross[0], energy[0][0], cross[1], energy[1])


def _better(rules: Float[Array, "2 k"], shifted: Float[Array, "r k"]) -> tuple[Float[Array, " k"], Float[Array, ""]]:
    """The mean of the two exact rules if they agree to rounding, else that of the replicates; and its error."""
    difference = jnp.max(jnp.abs(rules[0] - rules[1]))
    size = jnp.max(jnp.abs(shifted))
    exact = difference <= jnp.finfo(rules.dtype).eps ** 0.625 * size  # 1.6e-10 in float64, 5e-5 in float32
    mean = jnp.mean(shifted, axis=0)
    variance = jnp.max(jnp.sum((shifted - mean[None]) ** 2, axis=0)) / (_SHIFTS * (_SHIFTS - 1))
    error = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)
    chosen = jnp.where(exact, jnp.mean(rules, axis=0), mean)
    return chosen, jax.lax.stop_gradient(jnp.where(exact, difference, error))


def _sum_blocks(function: Callable[[Any], Array], rows: Any) -> Float[Array, " k"]:
    """Sum of function(block) over blocks of rows; a block is computed again in reverse differentiation."""
    rows = jax.tree.map(lambda leaf: leaf.reshape(-1, min(_BLOCK, leaf.shape[0]), *leaf.shape[1:]), rows)
    return jnp.sum(jax.lax.map(jax.checkpoint(function, prevent_cse=False), rows), axis=0)


def _spherical_mean(values: Callable[[Any], Array], dim: int, seed: int, dtype: Any) -> Float[Array, " k"]:
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
    d > 64 (host, float64).
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


def _shifted_means(values: Callable[[Any], Array], dim: int, dtype: Any) -> Float[Array, "r k"]:
    """The mean of `values` over every shifted sequence, [8, k]. Fixed-point arithmetic: exact in any precision."""
    steps = np.floor(np.modf(np.sqrt(first_primes(dim)))[0] * 2.0**32).astype(np.uint32) | np.uint32(1)
    shifts = np.random.default_rng(0).integers(0, 2**32, (_SHIFTS, dim), np.uint32)
    smallest = float(jnp.finfo(dtype).eps) / 4

    def one(shift):
        def block(index):
            turns = index[:, None] * jnp.asarray(steps)[None] + shift[None]  # modulo 2³²
            unit = (turns.astype(dtype) + 0.5) / 2.0**32
            folded = jnp.clip(1 - jnp.abs(2 * unit - 1), smallest, 1 - 2 * smallest)
            return jnp.sum(values(jax.scipy.special.ndtri(folded)), axis=0) / _POINTS

        return _sum_blocks(block, jnp.arange(_POINTS, dtype=jnp.uint32))

    return jax.lax.map(one, jnp.asarray(shifts))


def first_primes(count: int) -> np.ndarray:
    """The first primes, [count]."""
    limit = max(16, int(count * (math.log(count + 1) + math.log(math.log(count + 2)) + 2)))
    sieve = np.ones(limit, bool)
    sieve[:2] = False
    for i in range(2, math.isqrt(limit) + 1):
        sieve[i * i :: i] = False
    return np.flatnonzero(sieve)[:count]
