"""The fields of a reduced solution at any angle: densities τ^±, potential G and drift V."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import argument_error, check_instance, check_integer, float_array, is_traced
from ..solution import Solution
from .characteristics import CharacteristicState
from .labels import LabelState
from .predictor import weighted_angles
from .quotient import AngleReduction
from .transport import GridDynamics, polynomial_values

_HIGHEST = jax.lax.Precision.HIGHEST
_ROUND_OFF = 1e-5  # what an end of the interval may be missed by in single precision


def potential(solution: Solution, theta: Float[Array, " n"], index: int = -1) -> Float[Array, " n"]:
    """G(θ) = E[R φ̃(θ; x)] at `solution.ts[index]`: neurons of sign ε grow like c' = 2εcG. [n]."""
    values, _, forces = _features_and_forces(solution, theta, index)
    return jnp.matmul(forces, values, precision=_HIGHEST)


def drift(solution: Solution, theta: Float[Array, " n"], index: int = -1) -> Float[Array, " n"]:
    """V(θ) = ∂_θ G at `solution.ts[index]`: neurons of sign ε turn like θ' = εV. [n]."""
    _, slopes, forces = _features_and_forces(solution, theta, index)
    return jnp.matmul(forces, slopes, precision=_HIGHEST)


def density(solution: Solution, theta: Float[Array, " n"], index: int = -1) -> Float[Array, "2 n"]:
    """Densities of τ⁺ and τ⁻ per unit of angle at `solution.ts[index]`, [2, n]; for solutions on a grid."""
    reduction, theta = _checked(solution, theta)
    state = _state(solution, index)
    if isinstance(state, (CharacteristicState, LabelState)):
        raise argument_error("solution", "one on a grid", "one by characteristics", 'Solve with method="grid".')
    return eqx.filter_jit(polynomial_values)(GridDynamics(reduction, half_width=2), state, theta)


def _features_and_forces(solution: Solution, theta: Float[Array, " n"], index: int):
    reduction, theta = _checked(solution, theta)
    return _evaluate(reduction, _state(solution, index), theta)


@eqx.filter_jit
def _evaluate(reduction: AngleReduction, state, theta: Float[Array, " n"]):
    angles, weights = weighted_angles(reduction, state)
    reduction = reduction.resolved()
    at_atoms, _ = reduction.features(angles)
    signs = jnp.asarray([[1.0], [-1.0]], weights.dtype)
    moments = jnp.tensordot(at_atoms, signs * weights, 2, precision=_HIGHEST)
    values, slopes = reduction.features(theta)
    return values, slopes, reduction.factors * reduction.residual(moments)


def _checked(solution: Solution, theta) -> tuple[AngleReduction, Float[Array, " n"]]:
    check_instance("solution", solution, Solution, "Pass what mf.solve_reduced returned.")
    check_instance("solution.model", solution.model, AngleReduction, "Only a run with an angle has these fields.")
    theta, end = float_array("theta", theta, 1).astype(solution.model.dtype), solution.model.end
    outside = None if is_traced(theta) else jnp.any((theta < -_ROUND_OFF) | (theta > end + _ROUND_OFF))
    if outside is not None and bool(outside):
        raise argument_error("theta", f"angles in [0, {end:.6g}]", theta, "There is nothing outside of the interval.")
    return solution.model, theta


def _state(solution: Solution, index: int):
    count = solution.ts.shape[0]
    if not is_traced(index) and check_integer("index", index, -count) >= count:
        raise argument_error("index", f"below {count}, the number of recorded times", index, "Count from 0, or from -1.")
    return jax.tree.map(lambda leaf: leaf[index], solution.states)
