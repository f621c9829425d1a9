"""What a check reads of a network: its preactivations, and the weights in front of each where they are known."""

import abc
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error
from ..types import Checked
from .networks import Perceptron, weights_of

Probe = Checked[Callable[[PyTree, Array], Sequence[Array]] | None]


class AbstractReader(abc.ABC):
    """How networks of one kind are read."""

    @abc.abstractmethod
    def preactivations(self, model: PyTree, x: Float[Array, " d"]) -> Sequence[Array]:
        """h^1, …, h^{L+1} at one input; the last is the output."""

    def inputs(self, model: PyTree, x: Float[Array, " d"], h: Sequence[Array]) -> list[Array] | None:
        """x⁰, …, x^L that the weights act on, given the preactivations; None where they are not known."""
        return None

    def effective(self, model: PyTree, weights: Sequence[Array], power: int) -> list[Array]:
        """Weights as they act, times (m^{−a_l})^power."""
        return list(weights)

    def weights(self, model: PyTree) -> Sequence[Array]:
        """Weights in front of every preactivation, where `inputs` knows on what they act."""
        return ()


class PerceptronReader(AbstractReader):
    """Of our own networks."""

    def preactivations(self, model, x):
        return model.preactivations(x)

    def inputs(self, model, x, h):
        return [x, *(jax.vmap(model.activation)(each) for each in h[:-1])]

    def effective(self, model, weights, power):
        return [factor**power * weight for factor, weight in zip(model.multipliers(), weights, strict=True)]

    def weights(self, model):
        return model.weights


class MLPReader(AbstractReader):
    """Of `eqx.nn.MLP`."""

    def preactivations(self, model, x):
        found = []
        for layer in model.layers:
            found.append(layer(x if not found else self._after(model, len(found) - 1, found[-1])))
        return found

    def inputs(self, model, x, h):
        return [x, *(self._after(model, index, each) for index, each in enumerate(h[:-1]))]

    def weights(self, model):
        return weights_of(model, None)(model)

    @staticmethod
    def _after(model: eqx.nn.MLP, index: int, h: Array) -> Array:
        """The activations of a hidden layer, which equinox keeps one for each neuron of each layer."""
        own = jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, model.activation)
        return eqx.filter_vmap(lambda activation, value: activation(value))(own, h)


class ProbeReader(AbstractReader):
    """Of any network, by a function of the user."""

    def __init__(self, probe: Callable[[PyTree, Array], Sequence[Array]]):
        self.probe = probe

    def preactivations(self, model, x):
        return [jnp.atleast_1d(each) for each in self.probe(model, x)]


def reader_of(model: PyTree, probe_fn: Probe) -> AbstractReader:
    """The reader of a network, or of a user's `probe_fn(model, x)`."""
    if probe_fn is not None:
        if not callable(probe_fn):
            raise argument_error(
                "probe_fn", "a function (model, x) -> [h^1, …, f]", probe_fn, "It returns a list of arrays."
            )
        return ProbeReader(probe_fn)
    if isinstance(model, Perceptron):
        return PerceptronReader()
    if isinstance(model, eqx.nn.MLP):
        return MLPReader()
    if callable(getattr(model, "preactivations", None)):
        return ProbeReader(lambda network, x: network.preactivations(x))
    got = Words(f"None for a {type(model).__name__}")
    raise argument_error(
        "probe_fn", "a function (model, x) -> [h^1, …, f]", got, "Or give the network a method preactivations."
    )
