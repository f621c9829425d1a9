"""The fields of a reduced solution at any angle: densities τ^±, potential G and drift V."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import argument_error, check_instance, check_integer, float_array, is_traced
from ..solution import Solution
from ..types import RealArrayLike
from .angles.angular import AbstractAngularReduction
from .choose import form_of

_ROUND_OFF = 1e-5  # what an end of the interval may be missed by in single precision


def potential(solution: Solution, theta: RealArrayLike, index: int = -1) -> Float[Array, " n"]:
    """G(θ) = E[R φ̃(θ; x)] at `solution.ts[index]`, [n]: neurons of sign ε grow like c' = 2εcG.

    `theta` [n] are angles, or [n, k] where there are k of them.
    """
    reduction, angles = _checked(solution, theta)
    return _fields(reduction, _state(solution, index), angles)[0]


def drift(solution: Solution, theta: RealArrayLike, index: int = -1) -> Float[Array, "n *k"]:
    """V(θ) = ∂_θ G at `solution.ts[index]`, [n]: neurons of sign ε turn like θ' = εV.

    With k angles, [n, k]: the derivatives along their orthonormal frame, ∂G/∂θ_a over Π_{b<a} sin θ_b.
    """
    reduction, angles = _checked(solution, theta)
    found = _fields(reduction, _state(solution, index), angles)[1]
    return found[:, 0] if reduction.angles == 1 else found


def density(solution: Solution, theta: RealArrayLike, index: int = -1) -> Float[Array, "2 n"]:
    """Densities of τ⁺ and τ⁻ per unit of the angles at `solution.ts[index]`, [2, n]; for solutions on a grid."""
    reduction, angles = _checked(solution, theta)
    return _density(reduction, _state(solution, index), angles)


@eqx.filter_jit
def _density(reduction: AbstractAngularReduction, state, angles: Float[Array, "n k"]):
    return form_of(reduction, state).density(state, angles)


@eqx.filter_jit
def _fields(reduction: AbstractAngularReduction, state, angles: Float[Array, "n k"]):
    return reduction.fields_of(form_of(reduction, state).atoms(state), angles)


def _checked(solution: Solution, theta: RealArrayLike) -> tuple[AbstractAngularReduction, Float[Array, "n k"]]:
    check_instance("solution", solution, Solution, "Pass what mf.solve_reduced returned.")
    model = check_instance(
        "solution.model", solution.model, AbstractAngularReduction, "Only a run with an angle has these fields."
    )
    theta = float_array("theta", theta, 1 if model.angles == 1 else 2).astype(model.dtype)
    angles = theta.reshape(len(theta), -1)
    if angles.shape[1] != model.angles:
        raise argument_error(
            "theta", f"of shape [n, {model.angles}]", theta.shape, "Pass one row of angles for every point."
        )
    for axis in range(angles.shape[1]):
        end, column = model.end_of(axis), angles[:, axis]
        outside = None if is_traced(column) else jnp.any((column < -_ROUND_OFF) | (column > end + _ROUND_OFF))
        if outside is not None and bool(outside):
            raise argument_error("theta", f"angles in [0, {end:.6g}]", theta, "There is nothing outside of the interval.")
    return model, angles


def _state(solution: Solution, index: int):
    count = solution.ts.shape[0]
    if not is_traced(index) and check_integer("index", index, -count) >= count:
        raise argument_error("index", f"below {count}, the number of recorded times", index, "Count from 0, or from -1.")
    return jax.tree.map(lambda leaf: leaf[index], solution.states)
