"""A problem restricted to the neurons that a group fixes: in their coordinates, of which there are fewer."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, float_array
from ..groups import Action
from ..problem.problem import Problem
from ..problem.start import NormalStart
from ..problem.tree_units import example_neuron
from ..problem.units import AbstractUnit
from ..types import Checked, Cloud, RealArrayLike
from .equivariance import check_equivariant

_ACTION = "Build it with mf.action(unit, inputs, outputs)."


class RestrictedUnit(AbstractUnit):
    """σ_E(x; c) = σ*(x; Σ_i c_i e_i), e_i the orthonormal basis of the neurons that a group fixes; a neuron is c [f]."""

    unit: AbstractUnit
    action: Action

    def __init__(self, unit: AbstractUnit, action: Checked[Action]):
        self.unit = check_instance("unit", unit, AbstractUnit, "Use mf.MatrixUnit(activation) or another unit.")
        self.action = check_instance("action", action, Action, _ACTION)

    def __call__(self, neuron, x):
        """The output of the neuron with these coordinates."""
        return self.unit(self.action.combination(neuron), x)


@example_neuron.register
def _(unit: RestrictedUnit, dim, out):
    return jnp.zeros(unit.action.dim_fixed)


def restrict(problem: Checked[Problem], action: Checked[Action]) -> Problem:
    """The same problem for neurons of E^G alone, those that a group fixes, in orthonormal coordinates c [dim_fixed].

    Its flow is that of the equivariant architecture, P ∇V at P z for the law P#μ, as the basis is orthonormal: in fewer
    numbers, with weight decay, noise and steps as they are. A `NormalStart` keeps its scale, as the projection of its law
    has that of all coordinates. `to_coordinates` and `from_coordinates` go between clouds of the two problems.

    Raises ArgumentError if the unit is not equivariant, or the group fixes only z = 0. (Derived.)
    """
    check_instance("problem", problem, Problem, "Build it with mf.Problem(inputs, target).")
    check_instance("action", action, Action, _ACTION)
    check_equivariant(problem.unit, action)
    if action.dim_fixed == 0:
        got, remedy = Words(f"one of {action.group!r} that fixes only 0"), "Its equivariant networks are constant."
        raise argument_error("action", "one that fixes some neurons", got, remedy)
    start = NormalStart(problem.start.scale) if isinstance(problem.start, NormalStart) else problem.start
    unit = RestrictedUnit(problem.unit, action)
    return eqx.tree_at(lambda p: (p.unit, p.start), problem, (unit, start))


def to_coordinates(cloud: Checked[Cloud], action: Checked[Action]) -> Float[Array, "*m f"]:
    """The coordinates c of the fixed part Pz of every neuron, in the basis `fixed_basis(action)`: [m, dim_fixed]."""
    return check_instance("action", action, Action, _ACTION).coordinates(cloud)


def from_coordinates(coordinates: RealArrayLike, action: Checked[Action]) -> Cloud:
    """The neurons Σ_i c_i e_i of E^G that have these coordinates [m, dim_fixed]; of one neuron [dim_fixed]."""
    check_instance("action", action, Action, _ACTION)
    found = float_array("coordinates", coordinates, None, "Take those of mf.to_coordinates, or of a restricted problem.")
    if found.ndim == 0 or found.shape[-1] != action.dim_fixed:
        expected = f"an array [m, {action.dim_fixed}], as the group fixes a space of that dimension"
        raise argument_error("coordinates", expected, found.shape, "Pass one row for every neuron.")
    return action.combination(found)
