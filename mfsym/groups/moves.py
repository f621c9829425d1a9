"""What some elements of a group do to each axis of each array of a neuron, made once where they act at every step."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from ..errors import Words, argument_error, is_traced
from ..types import Cloud

_EXACT = jax.lax.Precision.HIGHEST


class AbstractAxisMove(eqx.Module):
    """What one element does along one axis. Arrays of it may have an axis before, of elements, to be mapped over."""

    @abc.abstractmethod
    def along(self, axis: int, array: Array) -> Array:
        """The array with one axis moved."""

    @abc.abstractmethod
    def inverse(self) -> "AbstractAxisMove":
        """Back: all moves are orthogonal."""


class Multiplied(AbstractAxisMove):
    """By a matrix."""

    matrix: Float[Array, "*q n n"]

    def along(self, axis, array):
        """Products of the matrix with the axis."""
        moved = jnp.tensordot(self.matrix.astype(array.dtype), array, ((1,), (axis,)), precision=_EXACT)
        return jnp.moveaxis(moved, 0, axis)

    def inverse(self):
        """By the transpose."""
        return Multiplied(jnp.swapaxes(self.matrix, -1, -2))


class Rearranged(AbstractAxisMove):
    """By a signed permutation: entry i of the image is sign_i times entry source_i."""

    source: Int[Array, "*q n"]
    sign: Float[Array, "*q n"] | None

    def along(self, axis, array):
        """Entries read elsewhere, n of them in place of n²."""
        image = jnp.take(array, self.source, axis=axis)
        if self.sign is None:
            return image
        return image * self.sign.astype(array.dtype).reshape(*(1,) * axis, -1, *(1,) * (array.ndim - axis - 1))

    def inverse(self):
        """By the inverse permutation, with the signs of what it moves."""
        source = jnp.argsort(self.source, axis=-1)
        return Rearranged(source, None if self.sign is None else jnp.take_along_axis(self.sign, source, axis=-1))


class Kept(AbstractAxisMove):
    """Not at all."""

    def along(self, axis, array):
        """The array."""
        return array

    def inverse(self):
        """Itself."""
        return self


class Form(NamedTuple):
    """What neurons look like: the pytree of one, and the shapes of its arrays."""

    structure: Any
    shapes: tuple[tuple[int, ...], ...]

    def axes_before(self, thing: PyTree) -> int | None:
        """How many axes all arrays have before those of a neuron; None for anything of another form."""
        arrays, structure = jax.tree.flatten(thing)
        if structure != self.structure or not all(isinstance(array, jax.Array | np.ndarray) for array in arrays):
            return None
        pairs = list(zip(self.shapes, arrays, strict=True))
        before = {array.shape[: array.ndim - len(shape)] for shape, array in pairs}
        fits = len(before) == 1 and all(array.shape[array.ndim - len(shape) :] == shape for shape, array in pairs)
        return len(before.pop()) if fits else None

    def arrays(self, cloud: Cloud) -> list[Array]:
        """The arrays of a cloud or neuron; raises ArgumentError for one of another form."""
        if self.axes_before(cloud) is None:
            expected = f"neurons like {self.neuron(jnp.result_type(float))}, with one axis before or none"
            got = repr(jax.tree.map(lambda leaf: getattr(leaf, "shape", leaf), cloud))[:200]
            raise argument_error("cloud", expected, Words(got), "Build the action from the unit of this cloud.")
        return jax.tree.leaves(cloud)

    def neuron(self, dtype: np.dtype) -> PyTree[jax.ShapeDtypeStruct]:
        """One neuron, shapes alone."""
        return jax.tree.unflatten(self.structure, [jax.ShapeDtypeStruct(shape, dtype) for shape in self.shapes])


class Moves(eqx.Module):
    """M(g) of one element, a function of neurons or of a cloud; of several, to be mapped over with jax.vmap or a scan.

    `leaves` has a move for every axis of every array, `sizes` those of the axes: a number may carry one of size 1.
    """

    elements: Float[Array, "*q k k"]
    leaves: tuple[tuple[AbstractAxisMove, ...], ...]
    form: Form = eqx.field(static=True)
    sizes: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __call__(self, cloud: Cloud) -> Cloud:
        """The images. Raises ArgumentError for neurons of another form."""
        each = zip(self.form.arrays(cloud), self.leaves, self.form.shapes, self.sizes, strict=True)
        return jax.tree.unflatten(self.form.structure, [_moved(*of_leaf) for of_leaf in each])

    def inverse(self) -> "Moves":
        """M(g)⁻¹."""
        leaves = tuple(tuple(move.inverse() for move in moves) for moves in self.leaves)
        return Moves(jnp.swapaxes(self.elements, -1, -2), leaves, self.form, self.sizes)


def _moved(array: Array, moves: tuple[AbstractAxisMove, ...], shape: tuple[int, ...], sizes: tuple[int, ...]) -> Array:
    before = array.ndim - len(shape)
    image = array.reshape(*array.shape[:before], *sizes)
    for axis, move in enumerate(moves, before):
        image = move.along(axis, image)
    return image.reshape(array.shape)


def axis_move(matrices: Float[Array | np.ndarray, "q n n"]) -> AbstractAxisMove:
    """The cheapest way to multiply by matrices; traced ones are multiplied by."""
    if is_traced(matrices):
        return Multiplied(jnp.asarray(matrices))
    host = np.asarray(matrices)
    if np.array_equal(host, np.broadcast_to(np.eye(host.shape[-1]), host.shape)):
        return Kept()
    if np.all(np.isin(host, (-1.0, 0.0, 1.0))) and np.all(np.sum(np.abs(host), axis=2) == 1):
        sign = np.sum(host, axis=2)
        return Rearranged(jnp.asarray(np.argmax(np.abs(host), axis=2)), None if np.all(sign == 1) else jnp.asarray(sign))
    return Multiplied(jnp.asarray(host))
