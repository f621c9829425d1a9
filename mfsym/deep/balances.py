"""What training cannot change in a deep network, with the rates of its scaling."""

from collections.abc import Callable, Sequence

from jaxtyping import Array

from ..errors import Words, argument_error, check_integer, check_sequence, positive_number
from ..noether import Law, unit_norms
from ..types import Checked, IntLike, RealLike
from .networks import Perceptron, powers
from .scalings import SGD, Scaling, check_scaling


def layer_laws(
    scaling: Checked[Scaling], width: IntLike, *, rates: Checked[RealLike | Sequence[RealLike]] = 1.0
) -> list[Law]:
    """‖w^{l+1}_{:,i}‖²/(η_{l+1} m^{−c_{l+1}}) − ‖w^l_{i,:}‖²/(η_l m^{−c_l}) of every hidden unit i, for l = 1, …, L.

    Laws of a `Perceptron` without biases whose activation has degree 1, under gradient flow with the later rates of the
    scaling times `rates` η (one number, or one per layer); steps of SGD obey mf.noether.step_defect exactly. Different rates
    in the first steps break those of ip_llr that touch the first or the last layer, and nothing else does.
    Raises ArgumentError for a scaling of Adam, which keeps no law.
    """
    scaling, width = check_scaling("scaling", scaling), check_integer("width", width, 1)
    if scaling.optimiser != SGD:
        remedy = "Adam follows no gradient flow of these weights."
        raise argument_error("scaling", "one of SGD", Words(f"{scaling.name} for {scaling.optimiser}"), remedy)
    count, remedy = scaling.depth + 1, "One number, or one for each layer."
    several = rates if isinstance(rates, (tuple, list)) else (rates,) * count
    eta = [float(positive_number("rates", each, remedy)) for each in check_sequence("rates", several, "numbers", remedy)]
    if len(eta) != count:
        raise argument_error("rates", f"one number, or {count}", Words(f"{len(eta)} numbers"), remedy)
    own = [one * power for one, power in zip(eta, powers(width, 1, scaling.c, -1), strict=True)]
    return [
        unit_norms(_weight(layer), _weight(layer + 1), rates=(own[layer], own[layer + 1])) for layer in range(scaling.depth)
    ]


def _weight(layer: int) -> Callable[[Perceptron], Array]:
    return lambda model: model.weights[layer]
