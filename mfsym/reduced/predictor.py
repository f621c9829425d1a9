"""The predictor f(x) = ∫ φ̃(θ; x) d(τ⁺ − τ⁻) from the averaged feature in closed form.

With A = cos θ ‖x_H‖, B = sin θ ‖x_⊥‖, α as in `norm_constant`, the average of ReLU(b·x) over the rotations of H and H^⊥ is
φ̃ = (A/α(d_H)) ₂F₁(−½, (1−d_H)/2; d_⊥/2; B²/A²) for A ≥ B, and the same with the roles exchanged for A ≤ B. It is
√(A²+B²) times a function of atan2(B, A), which is tabulated once. (Derived; checked against direct averages.)
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import hyp2f1

from ..solution import Solution
from .characteristics import CharacteristicState
from .harmonics import norm_constant
from .point import PointReduction
from .quotient import AngleReduction
from .transport import GridDynamics, lobatto_points

_TERMS = 48
_HIGHEST = jax.lax.Precision.HIGHEST


def average_table(dim_h: int, dim_perp: int) -> np.ndarray:
    """Chebyshev coefficients [2, 48] of φ̃/√(A²+B²) as a function of atan2(B, A) on [0, π/4] and [π/4, π/2] (host)."""
    knots = np.cos(np.pi * (np.arange(_TERMS) + 0.5) / _TERMS)
    angle = np.pi / 8 * (1 + knots)
    near = np.cos(angle) / norm_constant(dim_h) * hyp2f1(-0.5, (1 - dim_h) / 2, dim_perp / 2, np.tan(angle) ** 2)
    far = np.cos(angle) / norm_constant(dim_perp) * hyp2f1(-0.5, (1 - dim_perp) / 2, dim_h / 2, np.tan(angle) ** 2)
    return np.stack([np.polynomial.chebyshev.chebfit(knots, values, _TERMS - 1) for values in (near, far)])


def averaged_feature(
    reduction: AngleReduction, theta: Float[Array, " n"], along: Float[Array, ""], across: Float[Array, ""]
) -> Float[Array, " n"]:
    """φ̃(θ; x) of the problem's unit for one input with x_H of norm (or signed coordinate) `along`, ‖x_⊥‖ = `across`."""
    a, b = jnp.cos(theta) * along, jnp.sin(theta) * across
    angle = jnp.arctan2(b, jnp.abs(a))
    folded = jnp.minimum(angle, jnp.pi / 2 - angle)  # the far table is written in the angle from π/2
    coefficients = jnp.where(angle[:, None] <= jnp.pi / 4, reduction.average_table[:1], reduction.average_table[1:])
    ratio = _chebyshev(coefficients, 8 * folded / jnp.pi - 1)
    odd, even = reduction.unit_slopes
    average = 2 * even * jnp.hypot(a, b) * ratio
    return average + odd * a if reduction.signed else average


def _chebyshev(coefficients: Float[Array, "n K"], x: Float[Array, " n"]) -> Float[Array, " n"]:
    above, value = jnp.zeros_like(x), jnp.zeros_like(x)
    for column in range(_TERMS - 1, 0, -1):
        above, value = value, 2 * x * value - above + coefficients[:, column]
    return x * value - above + coefficients[:, 0]


def weighted_angles(reduction: AngleReduction, state) -> tuple[Float[Array, "2 n"], Float[Array, "2 n"]]:
    """A state as atoms: angles and non-negative weights of τ⁺ and τ⁻, each [2, n]."""
    if isinstance(state, CharacteristicState):
        return state.theta, jnp.exp(state.log_weight)
    dynamics = GridDynamics(reduction, half_width=2)
    points, weights = lobatto_points(reduction.cells, reduction.end)
    values = dynamics.cell_values(state) * jnp.asarray(weights[None, :, None], state.dtype)
    theta = jnp.asarray(np.broadcast_to(points.ravel(), (2, points.size)), state.dtype)
    return theta, values.reshape(2, -1)


def coordinates(reduction: AngleReduction, x: Float[Array, "n d"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """(‖x_H‖ or the signed coordinate, ‖x_⊥‖) of every input."""
    square = jnp.sum(x**2, axis=1)
    if reduction.basis is not None:
        inside = jnp.matmul(x, reduction.basis.T, precision=_HIGHEST)
    else:
        inside = jnp.where((jnp.arange(x.shape[1], dtype=x.dtype) < reduction.dim_h.astype(x.dtype))[None], x, 0.0)
    along = jnp.sum(inside, axis=1) if reduction.signed else jnp.sqrt(jnp.sum(inside**2, axis=1))
    return along, jnp.sqrt(jnp.maximum(square - along**2, 0.0))


def predict_reduced(solution: Solution, x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """f(x) at the last time of a reduced solution, [n], in the dtype of the solution."""
    reduction = solution.model
    if isinstance(reduction, PointReduction):
        gap = solution.final[0] - solution.final[1]
        return reduction.feature * gap * jnp.sqrt(jnp.sum(x**2, axis=1)).astype(gap.dtype)
    x = x.astype(reduction.dtype)
    theta, weight = weighted_angles(reduction, solution.final)
    signed = (weight * jnp.asarray([[1.0], [-1.0]], weight.dtype)).ravel()
    theta, (along, across) = theta.ravel(), coordinates(reduction, x)

    def one(pair):
        return jnp.sum(signed * averaged_feature(reduction, theta, *pair))

    return jax.lax.map(one, (along, across), batch_size=64)
