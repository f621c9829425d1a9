"""Expectations of polynomials of degree 5, exactly: from as many values as the polynomial has monomials.

A set of monomials x^α that holds every divisor of its members is unisolvent on the grid of nodes (t_{α_1}, …, t_{α_d}):
divided differences along the axes give the coefficients in Newton's basis, a triangular map those of x^α, another one
those of the orthonormal Hermite polynomials h_γ, all of them products of 6 × 6 tables. For the part P_k of degree k,

    E[P_k P_l] = Σ_γ ĥ_γ(P_k) ĥ_γ(P_l),   E[P_k u_i] = ĥ_{e_i}(P_k),   u ~ N(0, I),

and on the sphere of radius √d the same, divided by E‖u‖^{k+l} d^{−(k+l)/2}: polynomials are homogeneous parts, so that
nothing has to be exact of degree 10 on the sphere. (Newton interpolation on lower sets: Werner 1980.)
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...types import DTypeLike

DEGREE = 5
_NODES = np.array([0.0, 1.5, -1.5, 2.5, -2.5, 0.75])  # one more for every power; near the origin, where N(0, 1) is
_BLOCK = 2048
_TESTS = 2**22  # monomials that are evaluated to test the interpolant, all points together
_FEWEST_TESTS, _MOST_TESTS = 64, 1024
_HIGHEST = jax.lax.Precision.HIGHEST


class Monomials(NamedTuple):
    """A set of monomials in the coordinates y = B u with all their divisors, and the maps between their coefficients.

    `axes`, `powers` [m, 5]: a monomial is Π_s y[axes_s]^{powers_s}, padded with power 0. `multiple`, `divisor` [p] are
    all pairs of one and a divisor of it, `kind` [p] their row in `weights` [k, 3]: divided differences, Newton to
    monomial, monomial to Hermite. `linear` [r] is where y_i stands. `basis` is B [r, d], with orthonormal rows.
    """

    axes: Int[np.ndarray | Array, "m 5"]
    powers: Int[np.ndarray | Array, "m 5"]
    multiple: Int[np.ndarray | Array, " p"]
    divisor: Int[np.ndarray | Array, " p"]
    kind: Int[np.ndarray | Array, " p"]
    weights: Float[np.ndarray | Array, "k 3"]
    linear: Int[np.ndarray | Array, " r"]
    basis: Float[np.ndarray | Array, "r d"]


class PolynomialMoments(NamedTuple):
    """E[p u] [d], E p², the root of E p², and the root mean square of f − p at points that were not used for p."""

    cross: Float[Array, " d"]
    energy: Float[Array, ""]
    size: Float[Array, ""]
    defect: Float[Array, ""]


def polynomial_moments(
    function: Callable[[Array], Array], monomials: Monomials, ratios: np.ndarray, dtype: DTypeLike
) -> PolynomialMoments:
    """The moments of the polynomial p in the given monomials that is f at their nodes; `function` takes u [n, d].

    `ratios` [11] are E‖u‖^k of the law of u over that of N(0, I). Whether f is p is for the caller to judge by `defect`.
    """
    cast = (jnp.asarray(z, dtype if z.dtype.kind == "f" else jnp.int32) for z in monomials)
    monomials = Monomials(*jax.lax.optimization_barrier(tuple(cast)))  # the compiler would fold what may be 10⁶ indices
    coefficients = _coefficients(_node_values(function, monomials), monomials)
    points = _test_points(monomials, dtype)
    powers = jnp.matmul(points, monomials.basis.T, precision=_HIGHEST)
    defects = function(points) - jax.lax.map(lambda y: jnp.sum(coefficients * _values(monomials, y)), powers)
    cross, energy = _moments(monomials, coefficients, jnp.asarray(ratios, dtype))
    size = jnp.sqrt(jnp.maximum(energy, jnp.finfo(dtype).tiny))
    return PolynomialMoments(cross, energy, size, jnp.sqrt(jnp.mean(defects**2)))


def _node_values(function: Callable[[Array], Array], m: Monomials) -> Float[Array, " m"]:
    count, (rank, _) = m.axes.shape[0], m.basis.shape
    spare = (-count) % min(_BLOCK, count)
    rows = [jnp.pad(z, ((0, spare), (0, 0))).reshape(-1, min(_BLOCK, count), DEGREE) for z in (m.axes, m.powers)]
    nodes = jnp.asarray(_NODES, m.basis.dtype)

    def block(rows):
        axes, powers = rows
        places = jnp.zeros((axes.shape[0], rank), m.basis.dtype)
        places = places.at[jnp.arange(axes.shape[0])[:, None], axes].add(nodes[powers])
        return function(jnp.matmul(places, m.basis, precision=_HIGHEST))

    return jax.lax.map(jax.checkpoint(block, prevent_cse=False), tuple(rows)).reshape(-1)[:count]


def _coefficients(values: Float[Array, " m"], m: Monomials) -> Float[Array, " m"]:
    newton = jnp.zeros_like(values).at[m.multiple].add(m.weights[m.kind, 0] * values[m.divisor])
    return jnp.zeros_like(values).at[m.divisor].add(m.weights[m.kind, 1] * newton[m.multiple])


def _values(m: Monomials, y: Float[Array, " r"]) -> Float[Array, " m"]:
    powers = jnp.cumprod(
        jnp.concatenate([jnp.ones_like(y)[:, None], jnp.repeat(y[:, None], DEGREE, axis=1)], axis=1), axis=1
    )
    return jnp.prod(powers[m.axes, m.powers], axis=1)


def _moments(m: Monomials, coefficients: Float[Array, " m"], ratios: Float[Array, " n"]):
    degrees = jnp.sum(m.powers, axis=1)
    parts = jnp.zeros((coefficients.shape[0], DEGREE + 1), coefficients.dtype)
    hermite = parts.at[m.divisor, degrees[m.multiple]].add(m.weights[m.kind, 2] * coefficients[m.multiple])
    gram = jnp.matmul(hermite.T, hermite, precision=_HIGHEST)
    k = np.arange(DEGREE + 1)
    energy = jnp.sum(gram * ratios[k[:, None] + k[None, :]])
    linear = jnp.matmul(hermite[m.linear], ratios[k + 1], precision=_HIGHEST)
    return jnp.matmul(linear, m.basis, precision=_HIGHEST), energy


def _test_points(m: Monomials, dtype: DTypeLike) -> Float[Array, "n d"]:
    """Normal points, a third of them half as large again: what lies outside of the coordinates y is drawn as well."""
    count = int(np.clip(_TESTS // m.axes.shape[0], _FEWEST_TESTS, _MOST_TESTS))
    points = np.random.default_rng(7).standard_normal((count, m.basis.shape[1]))
    return jnp.asarray(points * np.where(np.arange(count) % 3 == 0, 1.5, 1.0)[:, None], dtype)


@functools.lru_cache(maxsize=4)
def dense_monomials(rank: int, degree: int) -> Monomials:
    """All monomials of a degree in `rank` coordinates, and the powers of one coordinate up to 5."""
    sets = [np.array(list(itertools.combinations(range(rank), k)), np.int64).reshape(-1, k) for k in range(1, degree + 1)]
    return monomials_of(sets, (DEGREE, *[degree] * (degree - 1)), np.eye(rank))


def count_dense(rank: int, degree: int) -> int:
    """How many monomials of a degree there are in `rank` variables."""
    count = 1
    for k in range(1, degree + 1):
        count = count * (rank + k) // k
    return count


def monomials_of(sets: list[np.ndarray], degrees: tuple[int, ...], basis: np.ndarray) -> Monomials:
    """The monomials whose variables are one of `sets` ([n, k] for k = 1, 2, …, sorted) and whose degree is at most
    `degrees[k−1]` (host). Every part of a set must be one of the sets, and degrees must not increase.
    """
    tables = _line_tables()
    keys = [_key(chosen, basis.shape[0]) for chosen in sets]
    starts: dict[tuple[int, ...], int] = {(): 0}
    axes, powers = ([np.zeros((1, DEGREE), np.int32)] for _ in range(2))
    count = 1
    for chosen, degree in zip(sets, degrees, strict=True):
        size = chosen.shape[1]
        for pattern in _patterns(size, degree):
            starts[pattern] = count
            axes.append(np.pad(chosen.astype(np.int32), ((0, 0), (0, DEGREE - size))))
            powers.append(np.tile(np.pad(np.array(pattern, np.int32), (0, DEGREE - size)), (len(chosen), 1)))
            count += len(chosen)
    multiple, divisor, kind, weights = (
        [np.zeros(1, np.int32)],
        [np.zeros(1, np.int32)],
        [np.zeros(1, np.int32)],
        [np.ones(3)],
    )
    for pattern, start in list(starts.items())[1:]:
        chosen = sets[len(pattern) - 1]
        for part in itertools.product(*(range(power + 1) for power in pattern)):
            kept = [slot for slot, power in enumerate(part) if power]
            place = np.zeros(len(chosen), np.int64)
            if kept:
                place = np.searchsorted(keys[len(kept) - 1], _key(chosen[:, kept], basis.shape[0]))
            divisor.append((starts[tuple(part[slot] for slot in kept)] + place).astype(np.int32))
            multiple.append((start + np.arange(len(chosen))).astype(np.int32))
            kind.append(np.full(len(chosen), len(weights), np.int32))
            weights.append(np.prod([tables[:, a, b] for a, b in zip(pattern, part, strict=True)], axis=0))
    return Monomials(
        axes=np.concatenate(axes),
        powers=np.concatenate(powers),
        multiple=np.concatenate(multiple),
        divisor=np.concatenate(divisor),
        kind=np.concatenate(kind),
        weights=np.stack(weights),
        linear=starts[(1,)] + np.arange(len(sets[0])),
        basis=basis,
    )


def _key(chosen: np.ndarray, rank: int) -> np.ndarray:
    return chosen @ (rank ** np.arange(chosen.shape[1], dtype=np.int64))[::-1]


def _patterns(size: int, degree: int) -> list[tuple[int, ...]]:
    """All exponents, each at least 1, of so many variables and at most this degree."""
    return [p for p in itertools.product(range(1, degree + 1), repeat=size) if sum(p) <= degree]


@functools.cache
def _line_tables() -> np.ndarray:
    """Divided differences at the nodes, Newton's basis in powers, powers in orthonormal Hermite polynomials, [3, 6, 6]."""
    tables = np.zeros((3, DEGREE + 1, DEGREE + 1))
    x, weights = np.polynomial.hermite_e.hermegauss(2 * DEGREE)
    for a in range(DEGREE + 1):
        for b in range(a + 1):
            others = np.delete(_NODES[: a + 1], b)
            tables[0, a, b] = 1 / np.prod(_NODES[b] - others)
            hermite = np.polynomial.hermite_e.hermeval(x, np.eye(DEGREE + 1)[b])
            tables[2, a, b] = np.sum(weights * x**a * hermite) / np.sqrt(np.sum(weights) * np.sum(weights * hermite**2))
        tables[1, a, : a + 1] = np.polynomial.polynomial.polyfromroots(_NODES[:a])
    return tables
