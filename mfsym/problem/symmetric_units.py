"""Units that a group has been built into: averaged over it, of fixed neurons alone, and read at canonical inputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import argument_error, check_instance
from ..groups import Action
from ..types import Checked, IntLike
from .functions import Function
from .tree_units import example_neuron
from .units import AbstractUnit

_ACTION = "Build it with mf.action(unit, inputs, outputs)."
_UNIT = "Use mf.MatrixUnit(activation) or another unit."


class AveragedUnit(AbstractUnit):
    """σ^G(x; z) = ∫ ρ̂_g⁻¹ σ*(ρ_g x; z) dg, equivariant in x for every neuron, whatever the unit is.

    Every network of such units is equivariant: feature averaging on functions, for units that are not jointly equivariant
    with any action on neurons, of which `action` is not asked here. For one that is, it is the mean of σ*(x; M_g z).

    Arguments: `degree` of the quadrature over an infinite group, which has to resolve σ*; by default that of `action`.
    """

    unit: AbstractUnit
    action: Action
    elements: Float[Array, "q k k"]
    weights: Float[Array, " q"]

    def __init__(self, unit: AbstractUnit, action: Checked[Action], degree: Checked[IntLike | None] = None):
        self.unit = check_instance("unit", unit, AbstractUnit, _UNIT)
        self.action = check_instance("action", action, Action, _ACTION)
        self.elements, self.weights = action.quadrature(degree)

    def __call__(self, neuron, x):
        """Σ_q w_q ρ̂_q⁻¹ σ*(ρ_q x; z)."""
        return mean_of_images(lambda x: self.unit(neuron, x), self.action, (self.elements, self.weights), x)


def mean_of_images(
    function: Callable[[Array], Array],
    action: Action,
    rule: tuple[Float[Array, "q k k"], Float[Array, " q"]],
    x: Float[Array, " d"],
) -> Float[Array, "*out"]:
    """Σ_q w_q ρ̂_q⁻¹ f(ρ_q x), a function averaged over a group by elements and weights, at one input."""

    def moved_back(element: Float[Array, "k k"]) -> Float[Array, "*out"]:
        return action.move_output(element.T, function(action.move_input(element, x)))

    values = jax.vmap(moved_back)(rule[0])
    return jnp.tensordot(rule[1].astype(values.dtype), values, 1, precision=jax.lax.Precision.HIGHEST)


class FixedUnit(AbstractUnit):
    """σ*(x; P z), P the projection on the neurons that a group fixes: any cloud of them is an equivariant architecture.

    It is what a cloud trained under `EquivariantArchitecture` predicts with.
    """

    unit: AbstractUnit
    action: Action

    def __init__(self, unit: AbstractUnit, action: Checked[Action]):
        self.unit = check_instance("unit", unit, AbstractUnit, _UNIT)
        self.action = check_instance("action", action, Action, _ACTION)

    def __call__(self, neuron, x):
        """σ*(x; P z)."""
        return self.unit(self.action.project(neuron), x)


class CanonicalUnit(AbstractUnit):
    """ρ̂_c⁻¹ σ*(ρ_c x; z) with the element c = frame(x) that moves an input to its canonical place.

    It reads out what was trained on `canonical` data. Where c(ρ_g x) = c(x) g⁻¹, every network of such units is equivariant;
    but for most groups no frame is continuous, and no more are these networks (Dym, Lawrence & Siegel 2024).
    """

    unit: AbstractUnit
    action: Action
    frame: Function

    def __init__(self, unit: AbstractUnit, action: Checked[Action], frame: Checked[Callable[[Array], Array]]):
        self.unit = check_instance("unit", unit, AbstractUnit, _UNIT)
        self.action = check_instance("action", action, Action, _ACTION)
        self.frame = checked_frame(frame, action)

    def __call__(self, neuron, x):
        """The output at the canonical input, moved back."""
        element = self.frame(x).astype(x.dtype)
        return self.action.move_output(element.T, self.unit(neuron, self.action.move_input(element, x)))


def checked_frame(frame: Checked[Callable[[Array], Array]], action: Action) -> Function:
    """A function from inputs [d] to elements [k, k] of a group, as far as shapes can say."""
    expected, remedy = "a function from an input [d] to a matrix [k, k] of the group", "Write it with jnp.where."
    if not callable(frame):
        raise argument_error("frame", expected, frame, remedy)
    size, dtype = action.group.size, jnp.result_type(float)
    found = jax.eval_shape(lambda x: frame(x), jax.ShapeDtypeStruct((action.inputs.size,), dtype))
    if getattr(found, "shape", None) != (size, size):
        raise argument_error("frame", expected, found, remedy)
    return Function("frame", frame)


@example_neuron.register(AveragedUnit)
@example_neuron.register(FixedUnit)
@example_neuron.register(CanonicalUnit)
def _(unit, dim, out):
    return example_neuron(unit.unit, dim, out)
