"""Two-layer networks as people write them: f(x) = s (Σ_j A_j σ(p B_j·x + β_j) + c), read from arrays and from modules.

The neurons of this library are a = m s A and b = p B, so that f is their mean (1/m) Σ a_j σ(b_j·x + β_j), up to s c. One
step of rate η on A moves a by η m s² times its mean-field force, one on B moves b by η p²/m, one on β by η/m.
"""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, PyTree

from ..errors import Words, argument_error, check_choice, float_array
from ..problem.units import AbstractRidgeUnit
from .activations import module_unit, unit_of
from .refusals import DEPTH, no_twin

OUTER, INNER, BIAS, OFFSET = "output weights", "input weights", "hidden biases", "output bias"
_REMEDY = "Pass (a, b) or (a, b, bias) as arrays [m], [m, d] and [m], an eqx.nn.MLP(depth=1), or a torch nn.Sequential."


NAMED = {"mean field": "1/m", "mup": 1.0}  # laws by name, and their s
_LAZY = {
    "ntk": (
        "in this parametrisation the weights of a wide network hardly move (the lazy regime): its limit is regression "
        "with a fixed kernel, from a random function",
        'the law "mean field", or mf.UnbalancedStart with a large norm_a, which is lazy at a finite scale',
    ),
    "pytorch default": (
        "output weights of size 1/√m give a random function of size 1 at the start, and at a rate that is stable, of order "
        "1/m, only they move as m → ∞: random features, nothing else is learnt. Its weights are uniform in a box besides, "
        "which rotations do not keep",
        'the same network with output weights and output bias divided by √m, and the rates of "mup" (η/m for the output '
        "layer, η m for the hidden one), with start= of Gaussian weights of the same variances",
    ),
}


class Network(NamedTuple):
    """A network at its start: the unit, A [m], B [m, d], β [m] or None, c or None; `parameters` as an optimiser sees them.

    A law that is known by name has no weights and any width: all four are None.
    `layers` names the leaves of the parameters, in their order.
    """

    kind: str
    unit: AbstractRidgeUnit
    outer: Float[np.ndarray, " m"] | None
    inner: Float[np.ndarray, "m d"] | None
    bias: Float[np.ndarray, " m"] | None
    offset: float | None
    parameters: PyTree
    layers: tuple[str, ...]

    @property
    def width(self) -> int | None:
        """m."""
        return None if self.outer is None else len(self.outer)

    @property
    def leaves(self) -> list[Any]:
        """The parameters, in the order of `layers`."""
        return jax.tree.leaves(self.parameters)


@functools.singledispatch
def read_network(model: Any, activation: Any) -> Network:
    """The network of a model; anything that is not registered must look like an nn.Sequential of torch."""
    if not hasattr(model, "state_dict") or not hasattr(model, "children"):
        raise argument_error("model", "a two-layer network", Words(f"of type {type(model).__name__}"), _REMEDY)
    _no_activation(activation)
    first, unit, last = _torch_layers(model)
    _check_one_output(last.weight.shape[0])
    modules = {OUTER: last.weight, INNER: first.weight, BIAS: first.bias, OFFSET: last.bias}
    parameters = {layer: leaf for layer, leaf in modules.items() if leaf is not None}
    values = {layer: np.asarray(leaf.detach().cpu().tolist(), float) for layer, leaf in parameters.items()}
    return _network("PyTorch Sequential", unit, values, parameters, tuple(sorted(parameters)))


@read_network.register
def _(model: tuple, activation):
    if len(model) not in (2, 3):
        raise argument_error("model", "(a, b) or (a, b, bias)", Words(f"a tuple of {len(model)}"), _REMEDY)
    if activation is None:
        raise argument_error("activation", "given beside arrays", activation, "Pass for example activation=jax.nn.relu.")
    layers = (OUTER, INNER, BIAS)[: len(model)]
    values = {
        layer: np.asarray(float_array("model", leaf, 2 if layer == INNER else 1, _REMEDY), float)
        for layer, leaf in zip(layers, model, strict=True)
    }
    unit = unit_of(activation, len(model) == 3)
    return _network("arrays", unit, values, tuple(model), layers)


@read_network.register
def _(model: str, activation):
    if model in _LAZY:
        raise no_twin(*_LAZY[model])
    check_choice("model", model, tuple(NAMED))
    if activation is None:
        raise argument_error("activation", "given beside a law", activation, "Pass for example activation=jax.nn.relu.")
    nothing = np.zeros(1), np.zeros((1, 1))
    return Network(f"the law {model!r}", unit_of(activation, False), None, None, None, None, nothing, (OUTER, INNER))


@read_network.register
def _(model: eqx.nn.MLP, activation):
    _no_activation(activation)
    if model.depth != 1:
        raise no_twin(*DEPTH)
    first, last = model.layers
    _check_one_output(last.weight.shape[0])
    parts = {OUTER: last.weight, INNER: first.weight, BIAS: first.bias, OFFSET: last.bias}
    parameters = eqx.filter(model, eqx.is_inexact_array)
    found = {id(leaf): layer for layer, leaf in parts.items() if leaf is not None}
    values = {layer: np.asarray(leaf, float) for layer, leaf in parts.items() if leaf is not None}
    identity = np.linspace(-1.0, 1.0, 5)
    if not np.allclose(jax.vmap(lambda z: model.final_activation(z))(identity), identity):
        raise no_twin("its output passes through another activation", "the same network without final_activation")
    unit = unit_of(model.activation, first.bias is not None)
    layers = tuple(found[id(leaf)] for leaf in jax.tree.leaves(parameters))
    return _network("equinox MLP", unit, values, parameters, layers)


def _network(kind: str, unit: AbstractRidgeUnit, values: dict[str, np.ndarray], parameters: PyTree, layers) -> Network:
    outer, inner = values[OUTER].ravel(), values[INNER]
    bias, offset = values.get(BIAS), values.get(OFFSET)
    if inner.shape[0] != len(outer) or (bias is not None and bias.shape != outer.shape) or not len(outer):
        expected, got = "a row of input weights for every output weight", [value.shape for value in values.values()]
        raise argument_error("model", expected, got, _REMEDY)
    return Network(kind, unit, outer, inner, bias, None if offset is None else float(offset.ravel()[0]), parameters, layers)


def _no_activation(activation: Any) -> None:
    if activation is not None:
        raise argument_error("activation", "left out for a module", Words("given"), "A module knows its own.")


def _check_one_output(count: int) -> None:
    if count != 1:
        raise argument_error("model", "one with a single output", Words(f"one with {count}"), "Train one output at a time.")


_EXTRA = {
    "Dropout": ("it draws neurons at random (dropout)", "the same network without dropout"),
    "BatchNorm1d": ("it normalises by the batch", "the same network without normalisation"),
    "LayerNorm": ("it normalises over its own neurons", "the same network without normalisation"),
}


def _torch_layers(model: Any) -> tuple[Any, AbstractRidgeUnit, Any]:
    """Linear, activation, Linear."""
    children = list(model.children())
    names = [type(child).__name__ for child in children]
    for name in names:
        if name in _EXTRA:
            raise no_twin(*_EXTRA[name])
    if names.count("Linear") > 2:
        raise no_twin(*DEPTH)
    if len(children) != 3 or names[0] != "Linear" or names[2] != "Linear":
        got = Words(f"one of {', '.join(names) or 'nothing'}")
        raise argument_error("model", "a Sequential of Linear, an activation, Linear", got, _REMEDY)
    return children[0], module_unit(children[1], children[0].bias is not None), children[2]
