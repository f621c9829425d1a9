"""Losses ℓ(f, y) and their residuals −∂₁ℓ."""

import abc
import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import Words, argument_error, positive_number
from ..types import RealLike
from .functions import Function


class AbstractLoss(eqx.Module):
    """A loss ℓ(f, y) of one prediction and one value of the target."""

    @abc.abstractmethod
    def __call__(self, prediction: Float[Array, "..."], value: Float[Array, "..."]) -> Float[Array, "..."]:
        """ℓ(f, y), elementwise."""

    @abc.abstractmethod
    def residual(self, prediction: Float[Array, "..."], value: Float[Array, "..."]) -> Float[Array, "..."]:
        """R = −∂₁ℓ(f, y), elementwise: the force that the flow follows."""


class SquareLoss(AbstractLoss):
    """ℓ(f, y) = ½ (f − y)², residual y − f. The only loss with an exact population risk."""

    def __call__(self, prediction, value):
        """½ (f − y)²."""
        return 0.5 * (prediction - value) ** 2

    def residual(self, prediction, value):
        """y − f."""
        return value - prediction


class Logistic(AbstractLoss):
    """ℓ(f, y) = E log(1 + e^{−Y f}) for labels Y = ±1 with E Y = y: the cross entropy of the odds e^f.

    A target with values ±1 has labels without noise; one with values in between, y = 2 P(Y = 1 | x) − 1, has noisy ones.
    Residual: y/2 − tanh(f/2)/2.
    """

    def __call__(self, prediction, value):
        """½(1+y) log(1 + e^{−f}) + ½(1−y) log(1 + e^f)."""
        return jnp.logaddexp(0.0, -prediction) + 0.5 * (1 - value) * prediction

    def residual(self, prediction, value):
        """½ (y − tanh(f/2))."""
        return 0.5 * (value - jnp.tanh(0.5 * prediction))


class Huber(AbstractLoss):
    """ℓ(f, y) = ½ r² for |r| = |f − y| ≤ width, and width (|r| − width/2) beyond: large errors pull with constant force."""

    width: Float[Array, ""]

    def __init__(self, width: RealLike = 1.0):
        self.width = positive_number("width", width, "It is the error from which on the loss is linear.")

    def __call__(self, prediction, value):
        """½ c² + width (|r| − c) with c = min(|r|, width)."""
        size, width = jnp.abs(prediction - value), self.width.astype(prediction.dtype)
        near = jnp.minimum(size, width)
        return 0.5 * near**2 + width * (size - near)

    def residual(self, prediction, value):
        """y − f, clipped at ± width."""
        width = self.width.astype(prediction.dtype)
        return jnp.clip(value - prediction, -width, width)


class FunctionLoss(AbstractLoss):
    """ℓ(f, y) = fn(f, y) for any differentiable function of two numbers; its residual is −∂fn/∂f.

    Raises ArgumentError if fn does not map two real scalars to one.
    """

    fn: Function

    def __init__(self, fn: Callable[[Array, Array], Array]):
        self.fn = Function("fn", fn)
        number, expected = jax.ShapeDtypeStruct((), jnp.result_type(float)), "a function of a prediction and a value"
        remedy = "It is written for one prediction and one value, and returns their loss, a real scalar."
        try:
            out = jax.eval_shape(lambda f, y: self.fn(f, y), number, number)
        except Exception as error:
            raise argument_error("fn", expected, Words(f"one that fails with {type(error).__name__}"), remedy) from error
        if getattr(out, "shape", None) != () or out.dtype != number.dtype:
            raise argument_error("fn", f"{expected} that returns a real scalar", Words(f"one that returns {out}"), remedy)

    def __call__(self, prediction, value):
        """fn(f, y)."""
        return self._elementwise(self.fn, prediction, value)

    def residual(self, prediction, value):
        """−∂fn/∂f."""
        return -self._elementwise(jax.grad(self.fn), prediction, value)

    def _elementwise(self, function: Callable[[Array, Array], Array], prediction: Array, value: Array) -> Array:
        prediction, value = jnp.broadcast_arrays(prediction, value)
        return jax.vmap(function)(prediction.ravel(), value.ravel()).reshape(prediction.shape)


@functools.singledispatch
def has_margin(loss: AbstractLoss) -> bool:
    """Whether values are means of labels ±1, and Y f says how surely a label is met."""
    return False


@has_margin.register
def _(loss: Logistic):
    return True


def smallest_margin(prediction: Float[Array, " n"], value: Float[Array, " n"]) -> Float[Array, ""]:
    """min Y f over all inputs and the labels Y = ±1 that they have: both, where their mean is between."""
    return jnp.min(jnp.where(jnp.abs(value) < 1, -jnp.abs(prediction), value * prediction))


@functools.singledispatch
def allowed_values(loss: AbstractLoss) -> tuple[float, float] | None:
    """The interval of the values y for which ℓ(·, y) is a loss; None for all."""
    return None


@allowed_values.register
def _(loss: Logistic):
    return -1.0, 1.0  # means of labels ±1
