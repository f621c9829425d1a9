"""Units with named layers: a matrix, a pair of vectors, a network of several layers; what every axis of them carries."""

import abc
import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_integer, check_sequence, float_array
from ..types import Checked, IntLike, RealFunction, RealLike
from .functions import Function
from .tree_units import example_neuron
from .units import AbstractUnit, checked_activation

_EXACT = jax.lax.Precision.HIGHEST


class AbstractLayeredUnit(AbstractUnit):
    """A unit of vector outputs [c] that knows the shapes of its neurons, and what each axis of every leaf carries."""

    @abc.abstractmethod
    def neuron_shape(self, dim: int, out: int) -> PyTree:
        """One neuron for inputs [dim] and outputs [out], shapes alone."""

    @abc.abstractmethod
    def axes(self, inputs: Any, outputs: Any, hidden: Any = None) -> PyTree:
        """A pytree like a neuron with, for every leaf, a tuple of what its axes carry: a representation, or None.

        `inputs`, `outputs` and `hidden` are representations of one group. If the activation commutes with `hidden` (and
        where it acts on outputs, with `outputs`), neurons that are moved along these axes are those of moved inputs.
        """


class MatrixUnit(AbstractLayeredUnit):
    """σ(z x), elementwise, of neurons z [c, d]: one layer, the unit of Maass & Fontbona (2024).

    Raises ArgumentError for an activation as `Neuron` does.
    """

    activation: Function

    def __init__(self, activation: RealFunction):
        self.activation = checked_activation(activation)

    def __call__(self, neuron, x):
        """σ(z x), [c]."""
        return jax.vmap(self.activation)(_times(neuron, x))

    def neuron_shape(self, dim, out):
        """z [c, d]."""
        return _shape(out, dim)

    def axes(self, inputs, outputs, hidden=None):
        """z ↦ ρ̂ z ρᵀ; it is σ(ρ̂ z x) that has to be ρ̂ σ(z x): permutations ρ̂ for any activation."""
        return outputs, inputs


class VectorUnit(AbstractLayeredUnit):
    """v σ(scale u·x) of neurons (u, v), u [d] and v [c]: two layers with one hidden number, for any orthogonal ρ and ρ̂.

    Raises ArgumentError for an activation as `Neuron` does.
    """

    activation: Function
    scale: Float[Array, ""]

    def __init__(self, activation: RealFunction, scale: RealLike = 1.0):
        self.activation = checked_activation(activation)
        self.scale = float_array("scale", scale, 0, "It is the factor of u·x.")

    def __call__(self, neuron, x):
        """v σ(scale u·x), [c]."""
        u, v = neuron
        return v * self.activation(self.scale.astype(x.dtype) * jnp.sum(u * x))

    def neuron_shape(self, dim, out):
        """(u [d], v [c])."""
        return _shape(dim), _shape(out)

    def axes(self, inputs, outputs, hidden=None):
        """u ↦ ρ u, v ↦ ρ̂ v."""
        return (inputs,), (outputs,)


class MLPUnit(AbstractLayeredUnit):
    """A network of layers h ↦ σ(W h + β), the last one without σ, as one neuron {"weights": (W, …), "biases": (β, …)}.

    `widths` are those of the hidden layers, one at least. For a group action every hidden layer carries a representation
    that σ commutes with: permutations, or signed ones where σ is odd. Raises ArgumentError for an activation as `Neuron`.
    """

    widths: tuple[int, ...] = eqx.field(static=True)
    activation: Function

    def __init__(self, widths: Checked[tuple[int, ...]], activation: RealFunction):
        remedy = "Pass for example (16,), one width for every hidden layer."
        given = check_sequence("widths", widths, "a tuple of widths", remedy)
        if not given:
            raise argument_error("widths", "a tuple of one width at least", widths, remedy)
        self.widths = tuple(check_integer("widths", width, 1, remedy) for width in given)
        self.activation = checked_activation(activation)

    def __call__(self, neuron, x):
        """W_L σ(… σ(W_1 x + β_1) …) + β_L, [c]."""
        *inner, last = zip(neuron["weights"], neuron["biases"], strict=True)
        for weights, bias in inner:
            x = jax.vmap(self.activation)(_times(weights, x) + bias)
        return _times(last[0], x) + last[1]

    def neuron_shape(self, dim, out):
        """W [h, …] and β [h] of every layer."""
        sizes = (dim, *self.widths, out)
        weights = tuple(_shape(rows, columns) for columns, rows in itertools.pairwise(sizes))
        return {"weights": weights, "biases": tuple(map(_shape, sizes[1:]))}

    def axes(self, inputs, outputs, hidden=None):
        """W ↦ ρ_out W ρ_inᵀ and β ↦ ρ_out β; `hidden` is one representation for all hidden layers, or one for each."""
        each = hidden if isinstance(hidden, (tuple, list)) else (hidden,) * len(self.widths)
        if len(each) != len(self.widths):
            expected = f"one representation for each of {len(self.widths)} hidden layers, or one for all"
            raise argument_error("hidden", expected, Words(f"{len(each)} of them"), "Leave out none.")
        carried = (inputs, *each, outputs)
        weights = tuple((rows, columns) for columns, rows in itertools.pairwise(carried))
        return {"weights": weights, "biases": tuple((rows,) for rows in carried[1:])}


def _shape(*sizes: IntLike) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.result_type(float))


def _times(matrix: Float[Array, "n k"], vector: Float[Array, " k"]) -> Float[Array, " n"]:
    return jnp.matmul(matrix, vector, precision=_EXACT)


@example_neuron.register
def _(unit: AbstractLayeredUnit, dim, out):
    if len(out) != 1:
        remedy = "A target of numbers is one of vectors of length 1: return jnp.stack([y])."
        expected = f"one whose values are vectors [c], as {type(unit).__name__} puts out"
        raise argument_error("target", expected, Words(f"one with values of shape {list(out)}"), remedy)
    return unit.neuron_shape(dim, out[0])
