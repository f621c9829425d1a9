"""The predictor f(x) = ∫ φ̃(θ; x) d(τ⁺ − τ⁻) from the averaged feature in closed form.

With A = cos θ ‖x_H‖, B = sin θ ‖x_⊥‖, the average of ReLU(b·x) over the rotations of H and H^⊥ is ½E|A r + B s|, r and s
coordinates of uniform unit vectors: √(A²+B²) times a function of atan2(B, A), which is tabulated once. (Derived; it is
(A/α(d_H)) ₂F₁(−½, (1−d_H)/2; d_⊥/2; B²/A²) for A ≥ B, α as in `norm_constant`, which scipy cannot evaluate from d = 200.)
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import beta, betainc

from .base import Atoms
from .coefficients import composite_rule

_TERMS = 48


def average_table(dim_h: int, dim_perp: int) -> np.ndarray:
    """Chebyshev coefficients [2, 48] of φ̃/√(A²+B²), v = atan2(B, A), for v ≤ π/4 and for π/2 − v ≤ π/4 (host).

    The variable is √(1 − √(4v/π)): the singularity at A = B, of order |A² − B²|^{d/2}, is smooth in it or nearly so, and
    it stretches the layer of width 1/√d at v = 0. Relative errors are below 1e-9 up to d = 400, below 1e-4 at d = 10⁴.
    """
    knots = np.cos(np.pi * (np.arange(_TERMS) + 0.5) / _TERMS)
    angle = np.pi / 4 * (1 - ((1 + knots) / 2) ** 2) ** 2
    pairs = ((dim_h, dim_perp), (dim_perp, dim_h))
    values = [_average(first, second, angle) for first, second in pairs]
    return np.stack([np.polynomial.chebyshev.chebfit(knots, value, _TERMS - 1) for value in values])


def _average(first: int, second: int, angle: np.ndarray) -> np.ndarray:
    """½E|cos v r + sin v s| at angles v ≤ π/4, r and s coordinates of uniform unit vectors of R^first and R^second (host).

    For |r| > tan v the sign of the sum is that of r; for r = tan v cos ψ the mean over s is an incomplete beta function.
    """
    near, ratio = np.cos(angle)[:, None], np.tan(angle)[:, None]
    if first == 1:
        return near[:, 0] / 2
    small = np.pi / 4 * 0.5 ** np.arange(45)  # panels become smaller towards both ends of [0, π/2]
    psi, weight = composite_rule(np.sort(np.concatenate([[0.0, np.pi / 2], small, np.pi / 2 - small[1:]])))
    scale = 1 / beta(0.5, (first - 1) / 2)
    outside = 2 * scale / (first - 1) * (1 - ratio**2) ** ((first - 1) / 2)
    density = scale * np.exp((first - 3) / 2 * np.log1p(-((ratio * np.cos(psi)) ** 2))) * ratio * np.sin(psi)
    inside = 2 * np.sum(weight * density * ratio * _mean_distance(second, psi), axis=1)
    return near[:, 0] / 2 * (outside[:, 0] + inside)


def _mean_distance(dim: int, psi: np.ndarray) -> np.ndarray:
    """E|cos ψ + s| for 0 ≤ ψ ≤ π/2, s a coordinate of a uniform unit vector of R^dim (host)."""
    if dim == 1:
        return np.ones_like(psi)
    below = betainc(0.5, (dim - 1) / 2, np.cos(psi) ** 2)  # P(|s| < cos ψ)
    return np.cos(psi) * below + 2 / (dim - 1) / beta(0.5, (dim - 1) / 2) * np.sin(psi) ** (dim - 1)


def averaged_feature(
    reduction: Any, theta: Float[Array, " n"], along: Float[Array, ""], across: Float[Array, ""]
) -> Float[Array, " n"]:
    """φ̃(θ; x) of the problem's unit for one input with x_H of norm (or signed coordinate) `along`, ‖x_⊥‖ = `across`;
    `reduction` is an AngleReduction."""
    a, b = jnp.cos(theta) * along, jnp.sin(theta) * across
    angle = jnp.arctan2(b, jnp.abs(a))
    folded = jnp.minimum(angle, jnp.pi / 2 - angle)  # the far table is written in the angle from π/2
    coefficients = jnp.where(angle[:, None] <= jnp.pi / 4, reduction.average_table[:1], reduction.average_table[1:])
    smallest = jnp.finfo(folded.dtype).eps ** 2  # keeps the derivatives of the roots finite
    root = jnp.sqrt(jnp.maximum(4 * folded / jnp.pi, smallest))
    ratio = _chebyshev(coefficients, 2 * jnp.sqrt(jnp.maximum(1 - root, smallest)) - 1)
    odd, even = reduction.unit_slopes
    average = 2 * even * jnp.hypot(a, b) * ratio
    return average + odd * a if reduction.signed else average


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
