"""Data under a group: closed by the images of all rows, or with one row for every orbit."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..errors import ArgumentError, Words, argument_error, check_instance, is_traced
from ..groups import Action
from ..types import Checked
from .empirical import Empirical
from .inputs import AbstractInputs

_APART = 1e-5  # of the largest coordinate: rows that are closer are the same
_ELEMENTS = 8
_ACTION = "Build it with mf.action(unit, inputs, outputs)."


def fundamental_domain(data: Checked[Empirical], action: Checked[Action]) -> Empirical:
    """One row for every orbit of a finite group among the rows of data, with the weight of all its rows in them.

    Rows x_j = ρ(g) x_i count as one if their labels are too, y_j = ρ̂(g) y_i; data without labels stand for a target that
    has the symmetry. The risk of a network that has it is the same on the fewer rows, and so are gradients of feature
    averaging and of equivariant architectures: data closed under the group have about 1/|G| as many. Kept is the first row
    of every orbit.

    Raises ArgumentError for an infinite group, or inputs of another dimension. Computed on the host. (Derived.)
    """
    _check(data, action)
    first = _first_of_orbit(data, action)
    rows, places = np.unique(first, return_inverse=True)
    weights = np.bincount(places, np.asarray(data.probabilities, dtype=float))
    y = None if data.y is None else data.y[rows]
    return Empirical(data.x[rows], y, jnp.asarray(weights / weights.sum(), data.x.dtype))


def check_law(inputs: AbstractInputs, action: Action) -> None:
    """Raise ArgumentError unless the generators of a group, and some elements, leave the law of the inputs as it is."""
    check_instance("action", action, Action, _ACTION)
    group = action.group
    if action.inputs.size != inputs.dim:
        raise _other_inputs(inputs, action)
    sample = group.sample(jax.random.key(0), _ELEMENTS).astype(group.components.dtype)
    for matrix in action.inputs.at(jnp.concatenate([group.components, sample])):
        if not inputs.is_invariant(matrix):
            got = Words(f"one of a group that changes the law of the {type(inputs).__name__}")
            remedy = "Of data, mf.cubature(inputs, action=action) makes some that are closed."
            raise argument_error("action", "one that leaves the law of the inputs as it is", got, remedy)


def closed_under(data: Empirical, action: Action) -> Empirical:
    """The rows of a cubature with all their images, each with its share of the weight; as they are where they are closed."""
    _check(data, action)
    generators = action.inputs.at(action.group.components)
    if all(data.is_invariant(matrix) for matrix in generators):
        return data
    elements = action.group.elements
    images = jax.vmap(lambda element: action.move_input(element, data.x), out_axes=1)(elements)
    weights = None if data.weights is None else jnp.repeat(data.weights, len(elements)) / len(elements)
    return Empirical(images.reshape(-1, data.dim), weights=weights, degree=data.degree, replicates=data.replicates)


def _check(data: Empirical, action: Action) -> None:
    check_instance("data", data, Empirical, "Use mf.Empirical(x, y) or mf.cubature(inputs).")
    check_instance("action", action, Action, _ACTION)
    if action.group.order is None:
        remedy = "Use a finite subgroup, for example mf.cyclic(12)."
        got = Words("one of infinitely many elements")
        raise argument_error("action", "one of a finite group, whose orbits are finite", got, remedy)
    if data.dim != action.inputs.size:
        raise _other_inputs(data, action)
    if is_traced(data.x):
        raise argument_error("data", "known when orbits are looked for", data.x, "Do it outside of jit and vmap.")


def _other_inputs(inputs: AbstractInputs, action: Action) -> ArgumentError:
    expected, got = f"one on inputs [{inputs.dim}]", Words(f"one on inputs [{action.inputs.size}]")
    return argument_error("action", expected, got, "Match them.")


def _first_of_orbit(data: Empirical, action: Action) -> Int[np.ndarray, " n"]:
    """For every row the least index of a row that is its image, [n] (host)."""
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]  # takes a while to import

    rows, elements = _joined(data.x, data.y), np.asarray(action.group.elements, dtype=float)
    reach, first = _APART * np.abs(rows).max(), np.arange(len(rows))
    tree = cKDTree(rows)
    for moved_input, moved_output in zip(action.inputs.at(elements), action.outputs.at(elements), strict=True):
        x = np.asarray(data.x, dtype=float) @ moved_input.T
        y = None if data.y is None else np.asarray(data.y, dtype=float).reshape(len(x), -1) @ moved_output.T
        gap, place = tree.query(_joined(x, y), p=np.inf)
        first = np.where(gap <= reach, np.minimum(first, place), first)
    return first


def _joined(x: Float[Array | np.ndarray, "n d"], y: Float[Array | np.ndarray, "n *out"] | None) -> Float[np.ndarray, "n k"]:
    """Inputs and labels side by side."""
    parts = [np.asarray(each, dtype=float).reshape(len(x), -1) for each in (x, y) if each is not None]
    return np.concatenate(parts, axis=1)
