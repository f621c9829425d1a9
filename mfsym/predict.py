"""`mf.predict`: the network's output, from a solution of either route or from a cloud."""

import functools

from jaxtyping import Array, Float, PyTree

from .errors import argument_error, check_instance, float_array
from .neurons import Particles, dim_of
from .particles.predictor import predict_cloud
from .problem.units import AbstractUnit, ReLU
from .reduced.base import AbstractReduction
from .reduced.choose import form_of
from .solution import Solution
from .types import Checked, Cloud, RealArrayLike


def predict(
    network: Checked[Solution | Cloud], x: RealArrayLike, *, unit: AbstractUnit | None = None
) -> Float[Array, "n *out"]:
    """f(x) for inputs x [n, d]: of a solution at its last time, or of a cloud, (1/m) Σ_j σ*(x; z_j).

    A reduced solution is the network of infinite width, f(x) = ∫ φ̃(θ; x) d(τ⁺ − τ⁻), or w·x for an odd target, with no
    sampling. `unit` is that of a bare cloud (of Particles by default ReLU); a solution knows its own. Returns [n, *out].
    """
    x = float_array("x", x, 2, "Pass one input per row, [n, d].")
    if isinstance(network, Solution):
        if unit is not None:
            raise argument_error("unit", "left out for a Solution", unit, "A solution knows its unit.")
        return _output(network.model, network.final, x)
    if unit is None:
        remedy = "Pass a Solution, mf.Particles(a, b), or any cloud and its unit=."
        check_instance("network", network, (Solution, Particles), remedy)
    unit = ReLU() if unit is None else check_instance("unit", unit, AbstractUnit, "Pass for example mf.ReLU().")
    return _output(unit, network, x)


@functools.singledispatch
def _output(model: AbstractUnit, state: PyTree, x: Float[Array, "n d"]) -> Float[Array, "n *out"]:
    """f(x) of a cloud by its unit, or of a state by its reduction."""
    _check_dimension(x, dim_of(state))
    return predict_cloud(state, model, x)


@_output.register
def _(model: AbstractReduction, state, x):
    _check_dimension(x, model.known_dim())
    return form_of(model, state).predict(state, x)


def _check_dimension(x: Float[Array, "n d"], dim: int | None) -> None:
    if dim is not None and x.shape[1] != dim:
        raise argument_error("x", f"an array [n, {dim}]", x.shape, "One input per row.")
