"""Units whose neurons are any pytree: functions of one, and whole modules of equinox, of as many layers as they have."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..errors import Words, argument_error
from ..types import Checked
from .functions import Function
from .units import AbstractUnit, is_ridge


class FunctionUnit(AbstractUnit):
    """σ*(x; z) = function(z, x), a number or an array [*out], for neurons z that are any pytree of floating arrays.

    Derivatives are those of the function. `neuron`, an example of one, tells `mf.initial_cloud` the shapes of the leaves;
    clouds of one's own need none: every leaf has one axis more, the first.
    """

    function: Function
    neuron: PyTree

    def __init__(self, function: Checked[Callable[[PyTree, Array], Array]], neuron: Checked[PyTree] = None):
        self.function = Function("function", function)
        self.neuron = None if neuron is None else _checked_neuron(neuron)

    def __call__(self, neuron, x):
        """function(z, x)."""
        return self.function(neuron, x)


class ModuleUnit(AbstractUnit):
    """σ*(x; z) = module(x), z its floating arrays: a network of any depth as one neuron, so that f is the mean of many.

    `module` is any callable equinox module of one input, whose arrays are an example; what is no floating array stays.
    A cloud of modules with keys of their own is

        eqx.filter(eqx.filter_vmap(make)(keys), eqx.is_inexact_array)
    """

    neuron: PyTree
    others: PyTree
    rest: PyTree = eqx.field(static=True)

    def __init__(self, module: Checked[eqx.Module]):
        expected, remedy = "a callable equinox module with floating arrays", "Pass for example an eqx.nn.MLP."
        if not isinstance(module, eqx.Module) or not callable(module):
            raise argument_error("module", expected, Words(f"of type {type(module).__name__}"), remedy)
        self.neuron, rest = eqx.partition(module, eqx.is_inexact_array)
        self.others, self.rest = eqx.partition(rest, eqx.is_array)
        if not jax.tree.leaves(self.neuron):
            raise argument_error("module", expected, Words("one without floating arrays"), remedy)

    def __call__(self, neuron, x):
        """module(x) with the arrays of z."""
        return eqx.combine(neuron, self.others, self.rest)(x)


def _checked_neuron(neuron: PyTree) -> PyTree:
    leaves = jax.tree.leaves(neuron)
    if not leaves or not all(isinstance(leaf, jax.Array | np.ndarray) and leaf.dtype.kind == "f" for leaf in leaves):
        remedy = "Pass one neuron, for example {'a': np.zeros(3), 'b': np.zeros(10)}."
        raise argument_error("neuron", "a pytree of floating arrays", neuron, remedy)
    return jax.tree.map(jnp.asarray, neuron)


@functools.singledispatch
def example_neuron(unit: AbstractUnit, dim: int, out: tuple[int, ...]) -> PyTree:
    """One neuron, or its shapes alone, of a unit that knows them for inputs [dim] and outputs [*out]; None for any other."""
    return None


@example_neuron.register
def _(unit: FunctionUnit, dim, out):
    return unit.neuron


@example_neuron.register
def _(unit: ModuleUnit, dim, out):
    return unit.neuron


def output_shape(unit: AbstractUnit, neuron: PyTree, dim: int, dtype: np.dtype) -> tuple[int, ...]:
    """[*out] of one neuron, an example of which may be shapes alone, at one input [dim].

    Raises ArgumentError if the unit does not take such a neuron, or returns no real array of its floating type.
    """
    if is_ridge(unit):
        return ()
    expected = f"one that maps a neuron and an input [{dim}] to a real array of their type {dtype.name}"
    remedy = "A unit is written for one neuron and one input; every leaf of a cloud has the neurons as its first axis."
    try:
        out = jax.eval_shape(lambda z, x: unit(z, x), neuron, jax.ShapeDtypeStruct((dim,), dtype))
    except Exception as error:
        got = Words(f"one that fails on a neuron of this cloud with {type(error).__name__}: {error}")
        raise argument_error("unit", expected, got, remedy) from error
    if getattr(out, "shape", None) is None or out.dtype != dtype:
        raise argument_error("unit", expected, Words(f"one that returns {out}"), remedy)
    return out.shape
