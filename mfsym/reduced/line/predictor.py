"""The predictor f(x) = ∫ φ̃(θ; x) d(τ⁺ − τ⁻) from the averaged feature in closed form.

With A = cos θ ‖x_H‖, B = sin θ ‖x_⊥‖, the average of ReLU(b·x) over the rotations of H and H^⊥ is ½E|A r + B s|, r and s
coordinates of uniform unit vectors: √(A²+B²) times a function of atan2(B, A), which is tabulated once. (Derived; it is
(A/α(d_H)) ₂F₁(−½, (1−d_H)/2; d_⊥/2; B²/A²) for A ≥ B, α as in `norm_constant`, which scipy cannot evaluate from d = 200.)
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import beta, betainc

from ..base import Atoms
from ..rules.quadrature import composite_rule

_TERMS = 48


def average_table(dim_h: int, dim_perp: int) -> np.ndarray:
    """Chebyshev coefficients [2, 48] of φ̃/√(A²+B²), v = atan2(B, A), for v ≤ π/4 and for π/2 − v ≤ π/4 (host).

    The variable is √(1 − √(4v/π)): the singularity at A = B, of order |A² − B²|^{d/2}, is smooth in it or nearly so, and
    it stretches the layer of width 1/√d at v = 0. Relative errors are below 1e-9 up to d = 400, below 1e-4 at d = 10⁴.
    """
    return _tables(dim_h, dim_perp)[0]


def slope_table(dim_h: int, dim_perp: int) -> np.ndarray:
    """The same [2, 48] for ∂_v of φ̃/√(A²+B²), in the far table ∂ of its own angle π/2 − v.

    Where v comes to 0, π/4 or π/2 the variable of the tables has no derivative, but φ̃ has.
    """
    return _tables(dim_h, dim_perp)[1]


@functools.lru_cache(maxsize=64)
def _tables(dim_h: int, dim_perp: int) -> np.ndarray:
    knots = np.cos(np.pi * (np.arange(_TERMS) + 0.5) / _TERMS)
    angle = np.pi / 4 * (1 - ((1 + knots) / 2) ** 2) ** 2
    rows = [_average(*pair, angle) for pair in ((dim_h, dim_perp), (dim_perp, dim_h))]
    fits = [[np.polynomial.chebyshev.chebfit(knots, value, _TERMS - 1) for value in row] for row in rows]
    return np.swapaxes(np.array(fits), 0, 1)


def _average(first: int, second: int, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """½E|cos v r + sin v s| and its slope at angles v ≤ π/4, r, s coordinates of uniform unit vectors of R^first, R^second.

    For |r| > tan v the sign of the sum is that of r; for r = tan v cos ψ the mean over s is an incomplete beta function.
    (Host.)
    """
    cosine, sine, ratio = np.cos(angle), np.sin(angle), np.tan(angle)[:, None]
    if first == 1:
        return cosine / 2, -sine / 2
    small = np.pi / 4 * 0.5 ** np.arange(45)  # panels become smaller towards both ends of [0, π/2]
    psi, weight = composite_rule(np.sort(np.concatenate([[0.0, np.pi / 2], small, np.pi / 2 - small[1:]])))
    scale = 1 / beta(0.5, (first - 1) / 2)
    outside = 2 * scale / (first - 1) * (1 - ratio[:, 0] ** 2) ** ((first - 1) / 2)
    density = scale * np.exp((first - 3) / 2 * np.log1p(-((ratio * np.cos(psi)) ** 2))) * ratio * np.sin(psi)
    below, beyond = _parts_of_distance(second, psi)
    along = outside / 2 + np.sum(weight * density * ratio * np.cos(psi) * below, axis=1)  # ∂φ̃/∂A
    across = np.sum(weight * density * beyond, axis=1)  # ∂φ̃/∂B
    return cosine * along + sine * across, cosine * across - sine * along


def _parts_of_distance(dim: int, psi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P(|s| < cos ψ) and E[|s|; |s| > cos ψ] for 0 ≤ ψ ≤ π/2, s a coordinate of a uniform unit vector of R^dim (host).

    E|cos ψ + s| is cos ψ times the first plus the second, and these are its derivatives in a scale of either term.
    """
    if dim == 1:
        return np.zeros_like(psi), np.ones_like(psi)
    below = betainc(0.5, (dim - 1) / 2, np.cos(psi) ** 2)
    return below, 2 / (dim - 1) / beta(0.5, (dim - 1) / 2) * np.sin(psi) ** (dim - 1)


def averaged_feature(
    reduction: Any, theta: Float[Array, " n"], along: Float[Array, ""], across: Float[Array, ""]
) -> Float[Array, " n"]:
    """φ̃(θ; x) of the problem's unit for one input with x_H of norm (or signed coordinate) `along`, ‖x_⊥‖ = `across`;
    `reduction` is an AngleReduction."""
    a, b = jnp.cos(theta) * along, jnp.sin(theta) * across
    odd, even = reduction.unit_slopes
    average = 2 * even * _half_mean(jnp.stack([reduction.average_table, reduction.slope_table]), a, b)
    return average + odd * a if reduction.signed else average


@jax.custom_jvp
def _half_mean(tables: Float[Array, "2 2 K"], a: Float[Array, " n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    """½E|a r + b s| from the tables of its mean and slope; b ≥ 0. At a = b = 0, where it is a norm, its slopes are 0."""
    return jnp.sqrt(a**2 + b**2) * _on_circle(tables[0], a, b)[0]


@_half_mean.defjvp
def _half_mean_jvp(primals, tangents):
    tables, a, b = primals
    _, a_dot, b_dot = tangents
    (value, far), (slope, _) = (_on_circle(table, a, b) for table in tables)
    slope = jnp.where(far, -slope, slope)
    zero = (a == 0) & (b == 0)
    length = jnp.where(zero, 1.0, jnp.hypot(jnp.where(zero, 1.0, a), b))
    cosine, sine = jnp.abs(a) / length, b / length
    along, across = jnp.sign(a) * (cosine * value - sine * slope), sine * value + cosine * slope
    across = jnp.where(zero, 0.0, across)
    return _half_mean(tables, a, b), along * a_dot + across * b_dot


def _on_circle(table: Float[Array, "2 K"], a: Float[Array, " n"], b: Float[Array, " n"]):
    """A function of v = atan2(b, |a|) from its near and its far table, and whether it was the far one."""
    zero = (a == 0) & (b == 0)
    angle = jnp.arctan2(b, jnp.where(zero, 1.0, jnp.abs(a)))
    far = angle > jnp.pi / 4
    folded = jnp.where(far, jnp.pi / 2 - angle, angle)
    coefficients = jnp.where(far[:, None], table[1:], table[:1])
    smallest = jnp.finfo(folded.dtype).eps ** 2  # keeps the derivatives of the roots finite
    root = jnp.sqrt(jnp.maximum(4 * folded / jnp.pi, smallest))
    return _chebyshev(coefficients, 2 * jnp.sqrt(jnp.maximum(1 - root, smallest)) - 1), far


def _chebyshev(coefficients: Float[Array, "n K"], x: Float[Array, " n"]) -> Float[Array, " n"]:
    above, value = jnp.zeros_like(x), jnp.zeros_like(x)
    for column in range(_TERMS - 1, 0, -1):
        above, value = value, 2 * x * value - above + coefficients[:, column]
    return x * value - above + coefficients[:, 0]


def predict_angle(reduction: Any, atoms: Atoms, x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """f(x) = ∫ φ̃(θ; x) d(τ⁺ − τ⁻) of atoms on one angle, [n], in the dtype of the reduction."""
    x = x.astype(reduction.dtype)
    signed, theta = atoms.signed(), atoms.angles.ravel()

    def one(pair):
        return jnp.sum(signed * averaged_feature(reduction, theta, *pair))

    return jax.lax.map(one, reduction.sides(x), batch_size=64)
