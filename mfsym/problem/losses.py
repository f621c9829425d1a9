"""Losses ℓ(f, y) and their residuals −∂₁ℓ."""

import abc
import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import ArgumentError, Words, argument_error, check_integer, check_sequence, positive_number
from ..types import RealLike
from .functions import Function

_PROBABILITY = 1e-5  # by which probabilities may miss the sum 1


class AbstractLoss(eqx.Module):
    """A loss ℓ(f, y) of one prediction and one value of the target, numbers or arrays of the same shape [*out]."""

    @abc.abstractmethod
    def __call__(self, prediction: Float[Array, "*out"], value: Float[Array, "*out"]) -> Float[Array, ""]:
        """ℓ(f, y), a scalar."""

    @abc.abstractmethod
    def residual(self, prediction: Float[Array, "*out"], value: Float[Array, "*out"]) -> Float[Array, "*out"]:
        """R = −∂₁ℓ(f, y), of the shape of f: the force that the flow follows."""


def losses(loss: AbstractLoss, predictions: Float[Array, "n *out"], values: Float[Array, "n *out"]) -> Float[Array, " n"]:
    """ℓ of every sample, [n]."""
    return jax.vmap(loss)(predictions, values)


def residuals(
    loss: AbstractLoss, predictions: Float[Array, "n *out"], values: Float[Array, "n *out"]
) -> Float[Array, "n *out"]:
    """R of every sample, [n, *out]."""
    return jax.vmap(loss.residual)(predictions, values)


class SquareLoss(AbstractLoss):
    """ℓ(f, y) = ½ |f − y|², residual y − f. The only loss with an exact population risk."""

    def __call__(self, prediction, value):
        """½ |f − y|²."""
        return 0.5 * jnp.sum((prediction - value) ** 2)

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


class CrossEntropy(AbstractLoss):
    """ℓ(f, p) = −Σ_k p_k log softmax(f)_k for several outputs f [k], the logarithms of odds, and probabilities p [k].

    The values of the target are probabilities of the k classes: for labels that are certain, rows `jax.nn.one_hot(y, k)`.
    Residual: p − softmax(f). For two classes and p = (1 ± y)/2 it is `Logistic` of f_1 − f_2.
    """

    def __call__(self, prediction, value):
        """log Σ_k e^{f_k} − p·f."""
        _check_classes(prediction.shape)
        return jax.nn.logsumexp(prediction) - jnp.sum(value * prediction)

    def residual(self, prediction, value):
        """p − softmax(f)."""
        _check_classes(prediction.shape)
        return value - jax.nn.softmax(prediction)


def _check_classes(shape: tuple[int, ...]) -> None:
    if len(shape) != 1:
        remedy = "Of integer labels y take jax.nn.one_hot(y, k); for labels ±1 use mf.Logistic()."
        got = Words(f"CrossEntropy for values of shape {list(shape)}")
        raise argument_error("loss", "one for the values of the target: CrossEntropy needs vectors [k]", got, remedy)


class FunctionLoss(AbstractLoss):
    """ℓ(f, y) = fn(f, y) for any differentiable function of a prediction and a value; its residual is −∂fn/∂f.

    Both are numbers, or arrays of the given `shape` where the network has several outputs.
    Raises ArgumentError if fn does not map two such arrays to a real scalar.
    """

    fn: Function
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, fn: Callable[[Array, Array], Array], shape: tuple[int, ...] = ()):
        self.fn = Function("fn", fn)
        sizes, way_out = "a tuple of the sizes of a prediction", "Pass () for a number, (3,) for a vector of three."
        given = check_sequence("shape", shape, sizes, way_out)
        self.shape = tuple(check_integer("shape", size, 1, way_out) for size in given)
        example = jax.ShapeDtypeStruct(self.shape, jnp.result_type(float))
        expected = "a function of a prediction and a value"
        remedy = f"It is written for one prediction and one value, of shape {list(self.shape)}, and returns a real scalar."
        try:
            out = jax.eval_shape(lambda f, y: self.fn(f, y), example, example)
        except Exception as error:
            raise argument_error("fn", expected, Words(f"one that fails with {type(error).__name__}"), remedy) from error
        if getattr(out, "shape", None) != () or out.dtype != example.dtype:
            raise argument_error("fn", f"{expected} that returns a real scalar", Words(f"one that returns {out}"), remedy)

    def __call__(self, prediction, value):
        """fn(f, y)."""
        if prediction.shape != self.shape:  # which an index beyond the end would not show
            expected, remedy = f"one of predictions of shape {list(prediction.shape)}", "Pass mf.FunctionLoss(fn, shape)."
            raise argument_error("loss", expected, Words(f"a FunctionLoss of shape {list(self.shape)}"), remedy)
        return self.fn(prediction, value)

    def residual(self, prediction, value):
        """−∂fn/∂f."""
        return -jax.grad(self.fn)(prediction, value)


def check_loss(loss: AbstractLoss, out: tuple[int, ...]) -> None:
    """Raise ArgumentError if ℓ is no scalar for predictions and values of shape [*out], or R not of that shape."""
    if not out and isinstance(loss, SquareLoss | Logistic | Huber):
        return  # known without a trace
    example = jax.ShapeDtypeStruct(out, jnp.result_type(float))
    expected, name = f"a scalar loss of predictions of shape {list(out)}, that of the target", type(loss).__name__
    remedy = "Use mf.SquareLoss(), mf.CrossEntropy() or mf.FunctionLoss(fn, shape)."
    try:
        shapes = jax.eval_shape(lambda f, y: (loss(f, y), loss.residual(f, y)), example, example)
    except ArgumentError as error:
        raise ArgumentError(str(error)) from None  # without what JAX notes on it
    except Exception as error:
        raise argument_error("loss", expected, Words(f"{name}, which fails with {type(error).__name__}"), remedy) from error
    found = [list(getattr(each, "shape", ("nothing",))) for each in shapes]
    if found != [[], list(out)]:
        got = Words(f"{name}, with losses of shape {found[0]} and residuals of shape {found[1]}")
        raise argument_error("loss", expected, got, remedy)


class Refusal(NamedTuple):
    """What is expected of values, what came, and the way out, in words."""

    expected: str
    got: Words
    remedy: str


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
def wrong_values(loss: AbstractLoss, values: Float[np.ndarray, "n *out"], labels: bool) -> Refusal | None:
    """Why ℓ(·, y) cannot be taken of some values y, which are labels of data or come from a function; None if it can."""
    return None


def takes_all_values(loss: AbstractLoss) -> bool:
    """Whether ℓ(·, y) is a loss for every y, as far as is known."""
    return wrong_values.dispatch(type(loss)) is wrong_values.dispatch(object)


@wrong_values.register
def _(loss: Logistic, values, labels):
    """Labels are ±1, of which 0 would be a fair coin; values of functions may be means of such labels."""
    if labels:
        wrong = np.setdiff1d(values, (-1.0, 1.0))
        remedy = "Of labels 0 and 1 take 2 y − 1; one that is uncertain is two rows with their `weights`."
        refusal = Refusal("labels -1 and 1, as Logistic needs", Words(f"some with the label {wrong[:1]}"), remedy)
        return refusal if len(wrong) else None
    if np.all(np.abs(values) <= 1):
        return None
    got = Words(f"one with values from {values.min():.4g} to {values.max():.4g}")
    remedy = "Take for example the sign, or tanh, of what you have."
    return Refusal("a target with values in [-1, 1], as Logistic needs", got, remedy)


@wrong_values.register
def _(loss: CrossEntropy, values, labels):
    """Probabilities of classes."""
    sums = values.sum(axis=-1)
    if np.all(values >= 0) and np.allclose(sums, 1, atol=_PROBABILITY):
        return None
    got = Words(f"some from {values.min():.4g} to {values.max():.4g} with sums from {sums.min():.4g} to {sums.max():.4g}")
    remedy = "Of integer labels y take jax.nn.one_hot(y, k)."
    return Refusal("probabilities of classes, numbers ≥ 0 that sum to 1, as CrossEntropy needs", got, remedy)
