"""From what the axes of a unit's parameters carry to a group's action on its neurons."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..errors import Words, argument_error, check_instance
from ..groups import AbstractRepresentation, Action, LeafAction, Trivial, check_same_group
from ..types import Checked
from .tree_units import example_neuron, output_shape
from .units import AbstractUnit

_REPRESENTATION = "Use for example group.standard, group.trivial(n), or a sum of these."
_AXES = "Give every array of a neuron a tuple with a representation, or None, for each of its axes; () for a number."


def action(
    unit: Checked[AbstractUnit],
    inputs: Checked[AbstractRepresentation],
    outputs: Checked[AbstractRepresentation],
    *,
    hidden: Checked[Any] = None,
    axes: Checked[PyTree] = None,
) -> Action:
    """What a group does to inputs, outputs and neurons, so that σ*(ρ(g)x; M(g)z) = ρ̂(g) σ*(x; z).

    M(g) follows from what every axis of every array of a neuron carries: a matrix W with the axes (R, S) is moved to
    R(g) W S(g)ᵀ. Units a σ(b·x) carry (outputs, inputs) on (a, b), so that a `mf.FiniteGroup` of symmetries (s, T) acts by
    `mf.action(mf.ReLU(), group.inputs, group.outputs)`; units of several layers have other representations inside.

    Arguments: `inputs` ρ and `outputs` ρ̂, representations of one group; `hidden` that of the layers inside, which the
    activation must commute with: permutations, or signed ones for an odd activation. Units of one hidden number take one
    of size 1. `axes` says the same for a `FunctionUnit` or a `ModuleUnit`: for every array of a neuron a tuple of
    representations, with None for an axis that nothing acts on, in a pytree like a neuron, or a list in the order of its
    leaves. A number has (), or a representation of size 1.

    Raises ArgumentError if the shapes do not fit. Whether the unit is equivariant is asked by `mf.equivariance_defect`.
    (Maass & Fontbona 2024, arXiv:2405.19995; the rule for axes: derived.)
    """
    check_instance("unit", unit, AbstractUnit, "Use mf.ReLU(), mf.FunctionUnit or others.")
    check_instance("inputs", inputs, AbstractRepresentation, _REPRESENTATION)
    for name, given in [("outputs", outputs), *(("hidden", each) for each in _hidden(hidden))]:
        check_same_group(name, inputs.group, check_instance(name, given, AbstractRepresentation, _REPRESENTATION))
    carried = _carried(unit, inputs, outputs, hidden, axes)
    neuron = example_neuron(unit, inputs.size, (outputs.size,))
    found = Action(inputs, outputs, _leaf_actions(carried, neuron, inputs))
    _check_output(unit, found)
    return found


def _hidden(hidden: Any) -> tuple:
    given = hidden if isinstance(hidden, (tuple, list)) else (hidden,)
    return tuple(each for each in given if each is not None)


def _carried(unit: AbstractUnit, inputs, outputs, hidden, axes: PyTree) -> PyTree:
    """What the unit says, or what was passed."""
    if axes is not None:
        if hidden is not None:
            raise argument_error("hidden", "left out where `axes` says it", hidden, _AXES)
        return axes
    says = getattr(unit, "axes", None)
    if says is None:
        expected = "given for a unit that does not say what its parameters carry"
        raise argument_error("axes", expected, Words(f"left out for a {type(unit).__name__}"), _AXES)
    return says(inputs, outputs, hidden)


def _leaf_actions(carried: PyTree, neuron: PyTree, inputs: AbstractRepresentation) -> PyTree:
    if neuron is None:
        leaves, structure = jax.tree.flatten(carried, is_leaf=_says_axes)
        return jax.tree.unflatten(structure, [_leaf_action(each, None, inputs, i) for i, each in enumerate(leaves)])
    arrays, structure = jax.tree.flatten(neuron)
    if isinstance(carried, list) and not isinstance(neuron, list):
        leaves = carried
    else:
        try:
            leaves = structure.flatten_up_to(carried)
        except ValueError as error:
            raise argument_error("axes", f"a pytree like a neuron, {structure}", Words(str(error)), _AXES) from error
    if len(leaves) != len(arrays):
        raise argument_error("axes", f"{len(arrays)} entries, as a neuron has arrays", Words(f"{len(leaves)}"), _AXES)
    pairs = enumerate(zip(leaves, arrays, strict=True))
    return jax.tree.unflatten(structure, [_leaf_action(each, array.shape, inputs, i) for i, (each, array) in pairs])


def _says_axes(node: object) -> bool:
    listed = type(node) is tuple and all(each is None or isinstance(each, AbstractRepresentation) for each in node)
    return listed or isinstance(node, AbstractRepresentation)


def _leaf_action(carried: Any, shape: tuple[int, ...] | None, inputs: AbstractRepresentation, place: int) -> LeafAction:
    """The action on one array, whose shape is that of the representations where the unit does not know it."""
    if not _says_axes(carried):
        expected = f"tuples of representations (at array {place} of a neuron)"
        raise argument_error("axes", expected, Words(f"a {type(carried).__name__}"), _AXES)
    number = isinstance(carried, AbstractRepresentation)
    listed = (carried,) if number else carried
    if shape is None:
        if None in listed:
            got = Words(f"None at array {place} of a neuron")
            raise argument_error("axes", "known for units without an example of a neuron", got, "Use group.trivial(n).")
        shape = () if number else tuple(each.size for each in listed)
    sizes = [shape[i] if each is None and i < len(shape) else getattr(each, "size", 0) for i, each in enumerate(listed)]
    if [size for size in sizes if size != 1] != [size for size in shape if size != 1]:
        expected = f"representations of the sizes {list(shape)} of array {place} of a neuron"
        raise argument_error("axes", expected, Words(f"of the sizes {sizes}"), _AXES)
    filled = [Trivial(inputs.group, size) if each is None else each for each, size in zip(listed, sizes, strict=True)]
    for each in filled:
        check_same_group("axes", inputs.group, each)
    return LeafAction(tuple(filled), shape)


def _check_output(unit: AbstractUnit, found: Action) -> None:
    """A neuron of these shapes and an input must be some that the unit takes, and the output one that ρ̂ moves."""
    dtype = jnp.result_type(float)
    shape = output_shape(unit, found.shapes(dtype), found.inputs.size, dtype)
    if math.prod(shape) != found.outputs.size or len(shape) > 1:
        expected = f"a representation of the size of the unit's outputs, {list(shape)}"
        got = Words(f"one of size {found.outputs.size}")
        raise argument_error("outputs", expected, got, "Take one of that size.")
