"""E[f u] and E f² of a function of standardised inputs u: E u = 0, E u uᵀ = I, u ~ N(0, I_d) or uniform on a sphere.

Three ways, the first that applies:
- f is a polynomial in the monomials that were looked for (`polynomial`): exact, tested by values at other points.
- f is a polynomial of degree 5 on every ray, but has too many monomials: E[f u] by a rule that is exact for such f, taken
  where the same rule, rotated and with other radii, agrees; E f², of degree 10, is sampled.
- anything else is sampled with a Kronecker sequence (Richtmyer 1951) in 8 shifted replicates, twice: folded in the cube,
  where nothing is assumed; and on the sphere times 24 Gauss–Laguerre radii, which sees tails that no sample reaches. What
  the radii miss of a kink or a jump is estimated by 16 radii in the same directions. On a line, where there is nothing but
  radii, they are the nodes of Gauss rules on panels. An error is one of 99 %.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ...types import DTypeLike
from ..rules.spherical_rules import radial_rule, rotated_mean
from .interactions import Seen
from .polynomial import DEGREE, count_dense, polynomial_moments

_HIGHEST = jax.lax.Precision.HIGHEST
_BLOCK = 2048
_SHIFTS, _POINTS, _DIRECTIONS = 8, 2**14, 2**10
_RADII, _FEWER = 24, 16
_BIAS = 4.0  # error of 24 radii over the difference to 16: 2 where it falls like 1/n, 4.4 like n^{−1/2}, less where faster
_STUDENT = 3.5  # 99 % of Student's law with 7 degrees of freedom
_PANELS, _FEWER_PANELS = 400, 300  # of a half line, which ends where f² may overflow and its weight underflows
_END = {False: 25.0, True: 13.0}
_HEAVY = 0.01
_ROUNDING = 64.0
_RAYS = 256
_FITTED, _TESTED = np.array([0.5, 1.0, 1.6]), np.array([0.2, 0.75, 1.3])  # lengths of points on a ray


Function = Callable[[Array], Array]
Terms = Callable[[Array], tuple[Array, Array]]  # what is averaged, and what it changes


class Law(NamedTuple):
    """The law of u: `place` maps normal points [n, d] to it, `ratios` [11] are E‖u‖^k over that of N(0, I)."""

    dim: int
    place: Function
    ratios: Float[np.ndarray, " n"]
    on_sphere: bool


class Expectations(NamedTuple):
    """c = E[f u] [d] and E f²; the errors of the entries of c, of its part along itself and of E f²; and E‖δc‖²."""

    cross: Float[Array, " d"]
    energy: Float[Array, ""]
    cross_error: Float[Array, ""]
    along_error: Float[Array, ""]
    energy_error: Float[Array, ""]
    spread: Float[Array, ""]


def expectations(function: Function, law: Law, seen: Seen, dtype: DTypeLike) -> Expectations:
    """E[f u] and E f², by the first way that applies; `function` takes u [n, d]. Only the odd part of f counts in E[f u].

    `seen` says what f may be a polynomial of and what it depends on.
    """
    tried = jax.lax.stop_gradient(exact_expectations(function, law, seen, dtype))
    return jax.lax.cond(
        is_exact(tried.energy, tried.energy_error, dtype),
        lambda: exact_expectations(function, law, seen, dtype),  # again, so that no derivative passes a trial that failed
        lambda: sampled_expectations(function, law, seen, dtype),
    )


def is_exact(energy: Float[Array, ""], error: Float[Array, ""], dtype: DTypeLike) -> Bool[Array, ""]:
    """Whether the error of E f² is rounding."""
    return error <= _tolerance(dtype) * energy


def _tolerance(dtype: DTypeLike) -> float:
    return float(jnp.finfo(dtype).eps) ** 0.625  # 1.6e-10 in float64, 5e-5 in float32


def exact_expectations(function: Function, law: Law, seen: Seen, dtype: DTypeLike) -> Expectations:
    """The moments of the interpolating polynomial; by Cauchy–Schwarz its root mean square defect bounds their errors."""
    cross, energy, size, defect = polynomial_moments(function, seen.monomials, law.ratios, dtype)
    error = jax.lax.stop_gradient(defect + 16 * jnp.finfo(dtype).eps * size)
    return Expectations(cross, energy, error, error, 2 * error * jax.lax.stop_gradient(size), 0 * error)


def sampled_expectations(function: Function, law: Law, seen: Seen, dtype: DTypeLike) -> Expectations:
    """By sequences of points; E[f u] by rules where f is a polynomial of degree 5 along rays (see the module)."""
    basis = jnp.asarray(seen.basis, dtype)
    rank = basis.shape[0]

    def values(y):
        u = jnp.matmul(y, basis, precision=_HIGHEST)
        here, there = function(u), function(-u)
        return jnp.concatenate([(here - there)[:, None] * y / 2, ((here**2 + there**2) / 2)[:, None]], axis=1)

    def unchanged(z):
        return (found := values(law.place(z))), jnp.zeros_like(found)

    cube = _replicates(unchanged, rank, _POINTS, dtype)
    cross, energy = _of_cross(cube), _of_energy(cube)
    if not law.on_sphere:
        terms = functools.partial(_over_radii, values, _radii(rank, dtype))
        polar = _on_line(values, dtype) if rank == 1 else _replicates(terms, rank, _DIRECTIONS, dtype)
        cross, energy = _better(_of_cross(polar), cross), _better(_of_energy(polar), energy)
    if seen.on_rays is not False and seen.monomials.axes.shape[0] < count_dense(rank, DEGREE):

        def by_rules():
            return _by_rules(lambda z: values(law.place(z))[:, :-1], rank, cross, energy.value[0], dtype)

        on_rays = _is_polynomial_on_rays(function, law, dtype) if seen.on_rays is None else True
        cross = jax.lax.cond(on_rays, by_rules, lambda: cross)
    return Expectations(
        cross=jnp.matmul(cross.value, basis, precision=_HIGHEST),
        energy=energy.value[0],
        cross_error=cross.error,
        along_error=cross.along,
        energy_error=energy.error,
        spread=cross.spread,
    )


class Estimate(NamedTuple):
    """A mean [k]; the errors of its entries and of its part along itself; the sum of its variances.

    `heavy`: one point carries a share of it that makes the scatter of 8 means worthless.
    """

    value: Float[Array, " k"]
    error: Float[Array, ""]
    along: Float[Array, ""]
    spread: Float[Array, ""]
    heavy: Bool[Array, ""]


def _by_rules(values: Function, rank: int, sampled: "Estimate", energy: Float[Array, ""], dtype: DTypeLike) -> "Estimate":
    """E[f y] by two rotated rules where they agree to rounding, else as sampled."""
    rules = jnp.stack([rotated_mean(values, rank, seed, dtype) for seed in (1, 2)])
    apart, energy = jax.lax.stop_gradient((jnp.linalg.norm(rules[0] - rules[1]), energy))
    found = Estimate(jnp.mean(rules, axis=0), apart, apart, 0 * apart, sampled.heavy)
    agree = apart <= _tolerance(dtype) * jnp.sqrt(energy)
    return jax.tree.map(functools.partial(jnp.where, agree), found, sampled)


class Replicates(NamedTuple):
    """Of every replicate the mean, what fewer radii change in it, and the largest share of a point in it, [8, k]."""

    means: Float[Array, "r k"]
    changes: Float[Array, "r k"]
    shares: Float[Array, "r k"]

    @property
    def energy(self) -> Float[Array, ""]:
        """E f²."""
        return jnp.mean(self.means[:, -1])


def _of_cross(found: Replicates) -> Estimate:
    """E[f y]."""
    return _estimate(*(z[:, :-1] for z in found), size=jnp.sqrt(found.energy))


def _of_energy(found: Replicates) -> Estimate:
    """E f²."""
    return _estimate(*(z[:, -1:] for z in found), size=found.energy)


def _estimate(
    means: Float[Array, "r k"], changes: Float[Array, "r k"], shares: Float[Array, "r k"], size: Float[Array, ""]
) -> Estimate:
    """The mean of all replicates; Student's error with the bias of the radii, and a share of `size` that is heavy."""
    mean = jnp.mean(means, axis=0)
    length = jnp.linalg.norm(jax.lax.stop_gradient(mean))
    along = jax.lax.stop_gradient(mean) / jnp.where(length > 0, length, 1)
    apart, change = jax.lax.stop_gradient((means - mean[None], jnp.mean(changes, axis=0)))
    share, size = jax.lax.stop_gradient((jnp.max(shares) / _SHIFTS, size))
    heavy = share > _HEAVY * size
    least = jnp.where(heavy, share, 0) + _ROUNDING * jnp.finfo(size.dtype).eps * size

    def error(deviations, biases):
        variances = jnp.sum(deviations**2, axis=0) / (_SHIFTS * (_SHIFTS - 1))
        return jnp.max(_STUDENT * jnp.sqrt(variances) + _BIAS * jnp.abs(biases)) + least, jnp.sum(variances)

    entries, spread = error(apart, change)
    component, _ = error(jnp.matmul(apart, along, precision=_HIGHEST), jnp.matmul(change, along, precision=_HIGHEST))
    return Estimate(mean, jnp.maximum(entries, component), component, spread, heavy)


def _better(polar: Estimate, cube: Estimate) -> Estimate:
    """The sharper of two. Where they disagree the polar one if the tails are heavy, which it sees, and else that of the
    cube, which no kink misleads; off by as much as they differ.
    """
    apart = jnp.abs(jax.lax.stop_gradient(polar.value - cube.value))
    agree = jnp.max(apart) <= polar.error + cube.error
    taken = jnp.where(agree, cube.error < polar.error, ~cube.heavy)
    better = jax.tree.map(functools.partial(jnp.where, taken), cube, polar)
    off = jnp.where(agree, 0, jnp.linalg.norm(apart))
    return better._replace(error=jnp.maximum(off, better.error), along=jnp.maximum(off, better.along))


def _is_polynomial_on_rays(function: Function, law: Law, dtype: DTypeLike) -> Array:
    """Whether the odd part of f is a polynomial of degree 5 on random rays, to rounding."""
    rays = law.place(jnp.asarray(np.random.default_rng(3).standard_normal((_RAYS, law.dim)), dtype))
    powers = np.arange(1, DEGREE + 1, 2)
    weights = (_TESTED[:, None] ** powers) @ np.linalg.inv(_FITTED[:, None] ** powers)

    def odd(length):
        return (function(length * rays) - function(-length * rays)) / 2

    fitted, tested = (jax.lax.map(odd, jnp.asarray(z, dtype)) for z in (_FITTED, _TESTED))
    defects = tested - jnp.matmul(jnp.asarray(weights, dtype), fitted, precision=_HIGHEST)
    return jnp.max(jnp.abs(defects)) <= _tolerance(dtype) * jnp.max(jnp.abs(fitted))


def _replicates(terms: Terms, dim: int, count: int, dtype: DTypeLike) -> Replicates:
    """Means over shifted sequences of `terms`: from normal points [n, d] two arrays [n, k], the second of changes.

    Fixed-point arithmetic: the sequence is exact in any precision.
    """
    steps = np.floor(np.modf(np.sqrt(first_primes(dim)))[0] * 2.0**32).astype(np.uint32) | np.uint32(1)
    shifts = np.random.default_rng(0).integers(0, 2**32, (_SHIFTS, dim), np.uint32)
    smallest = float(jnp.finfo(dtype).eps) / 4
    index = jnp.arange(count, dtype=jnp.uint32).reshape(-1, min(_BLOCK, count))

    def one(shift):
        def block(index):
            turns = index[:, None] * jnp.asarray(steps)[None] + shift[None]  # modulo 2³²
            unit = (turns.astype(dtype) + 0.5) / 2.0**32
            folded = jnp.clip(1 - jnp.abs(2 * unit - 1), smallest, 1 - 2 * smallest)
            found, change = terms(jax.scipy.special.ndtri(folded))
            return jnp.sum(found, axis=0), jnp.sum(change, axis=0), jnp.max(jnp.abs(found), axis=0)

        sums, changes, largest = jax.lax.map(jax.checkpoint(block, prevent_cse=False), index)
        mean = jnp.sum(sums, axis=0) / count
        return Replicates(mean, jnp.sum(changes, axis=0) / count, (jnp.max(largest, axis=0) - jnp.abs(mean)) / count)

    return jax.lax.map(one, jnp.asarray(shifts))


def _over_radii(values: Function, rule: Float[Array, "n 3"], z: Float[Array, "m r"]) -> tuple[Array, Array]:
    """The means of `values` over the radii in the directions of normal points, and how fewer radii change them."""
    directions = z / jnp.linalg.norm(z, axis=1, keepdims=True)

    def add(totals, row):
        found = values(row[0] * directions)
        return (totals[0] + row[1] * found, totals[1] + row[2] * found), None

    start = jnp.zeros((z.shape[0], z.shape[1] + 1), z.dtype)
    return jax.lax.scan(add, (start, start), rule)[0]


def _on_line(values: Function, dtype: DTypeLike) -> Replicates:
    """The means of `values` over N(0, 1), whose replicates are all the same."""
    nodes, gauss = np.polynomial.legendre.leggauss(8)
    end = _END[jnp.finfo(dtype).bits < 64]
    columns = []
    for panels, sign in ((_PANELS, 1.0), (_FEWER_PANELS, -1.0)):
        y = end / panels * (np.arange(panels)[:, None] + (1 + nodes) / 2).ravel()
        weights = end / panels / 2 * np.tile(gauss, panels) * np.sqrt(2 / np.pi) * np.exp(-(y**2) / 2)
        columns.append((y, weights * (sign > 0), sign * weights))
    y, weights, others = jnp.asarray(np.concatenate(columns, axis=1), dtype)
    found = values(y[:, None])
    mean, change = (jnp.matmul(w, found, precision=_HIGHEST) for w in (weights, others))
    return Replicates(*(jnp.tile(z[None], (_SHIFTS, 1)) for z in (mean, change, 0 * mean)))


def _radii(dim: int, dtype: DTypeLike) -> Float[Array, "n 3"]:
    """Radii of two rules; their weights in the mean, and in its difference to the smaller rule."""
    (many, weights), (few, others) = radial_rule(dim, _RADII), radial_rule(dim, _FEWER)
    columns = (np.append(many, few), np.append(weights, 0 * others), np.append(weights, -others))
    return jnp.asarray(np.stack(columns, axis=1), dtype)


def first_primes(count: int) -> np.ndarray:
    """The first primes, [count]."""
    limit = max(16, int(count * (math.log(count + 1) + math.log(math.log(count + 2)) + 2)))
    sieve = np.ones(limit, bool)
    sieve[:2] = False
    for i in range(2, math.isqrt(limit) + 1):
        sieve[i * i :: i] = False
    return np.flatnonzero(sieve)[:count]
