"""The losses of training loops: which of ours, and by what factor theirs is larger."""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..errors import Words, argument_error, check_choice
from ..problem.losses import AbstractLoss, FunctionLoss, Huber, Logistic, SquareLoss

_REMEDY = (
    'Pass "half square" (½(f−y)²), "square" ((f−y)²), "logistic" (labels ±1), a function of a prediction and a value, or a '
    "loss of torch.nn."
)
_NAMED = {
    "half square": (SquareLoss, 1.0, "½(f − y)²"),
    "square": (SquareLoss, 2.0, "(f − y)², twice the ½(f − y)² here"),
    "logistic": (Logistic, 1.0, "log(1 + e^{−yf})"),
}


class Loss(NamedTuple):
    """The user's loss is `factor` times `loss`."""

    loss: AbstractLoss
    factor: float
    words: str

    def summed(self, batch: int | None) -> "Loss":
        """The sum over a batch in place of the mean."""
        if batch is None:
            raise argument_error("batch", "a number where the loss is summed over it", batch, "Say over how many inputs.")
        return Loss(self.loss, self.factor * batch, f"{self.words}, summed over {batch} inputs")


@functools.singledispatch
def read_loss(loss: Any, batch: int | None) -> Loss:
    """A loss; anything that is not registered is one of torch.nn, or a function."""
    module = _of_torch(loss)
    if module is not None:
        return module.summed(batch) if loss.reduction == "sum" else module
    if not callable(loss):
        raise argument_error("loss", "a loss that is known", loss, _REMEDY)
    numbers = jnp.asarray([0.3, 0.3]), jnp.asarray([-0.7, -0.7])
    try:
        one, two = (np.asarray(loss(*(column[:n] for column in numbers)), float) for n in (1, 2))
    except Exception as error:
        got = Words(f"a function that fails with {type(error).__name__}: {error}")
        raise argument_error("loss", "a function of predictions and values", got, _REMEDY) from error
    function: Any = loss
    found = _square(loss) or Loss(FunctionLoss(function), 1.0, f"the function {getattr(loss, '__name__', 'given')}")
    return found.summed(batch) if two.shape == () and np.allclose(two, 2 * one.sum()) else found


@read_loss.register
def _(loss: str, batch):
    kind, factor, words = _NAMED[check_choice("loss", loss, tuple(_NAMED))]
    return Loss(kind(), factor, words)


@read_loss.register
def _(loss: AbstractLoss, batch):
    return Loss(loss, 1.0, type(loss).__name__)


def _square(loss: Any) -> Loss | None:
    """c (f − y)², recognised by its values."""
    f, y = np.random.default_rng(0).standard_normal((2, 16))
    values = np.array([float(np.squeeze(loss(jnp.asarray(a), jnp.asarray(b)))) for a, b in zip(f, y, strict=True)])
    ratio = values / (f - y) ** 2
    if not np.allclose(ratio, ratio[0], rtol=1e-5):
        return None
    factor = float(np.round(2 * ratio[0], 5))
    known = {1.0: "half square", 2.0: "square"}.get(factor)
    words = f"{factor / 2:g} (f − y)², {factor:g} times the ½(f − y)² here" if known is None else _NAMED[known][2]
    return Loss(SquareLoss(), factor, words)


def _of_torch(loss: Any) -> Loss | None:
    """A loss of torch.nn by the name of its class; BCEWithLogitsLoss has labels in [0, 1]."""
    if not hasattr(loss, "reduction"):
        return None
    name = type(loss).__name__
    if name == "MSELoss":
        return read_loss("square", None)
    if name == "SoftMarginLoss":
        return read_loss("logistic", None)
    if name == "HuberLoss":
        return Loss(Huber(loss.delta), 1.0, f"Huber's with width {loss.delta:g}")
    if name == "BCEWithLogitsLoss":
        return Loss(FunctionLoss(lambda f, y: jnp.logaddexp(0.0, f) - y * f), 1.0, "log(1 + e^f) − yf, labels in [0, 1]")
    raise argument_error("loss", "MSELoss, HuberLoss, SoftMarginLoss or BCEWithLogitsLoss", Words(name), _REMEDY)
