"""A group acting on inputs, on outputs and on neurons of any shape, by what each axis of each of their arrays carries."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import check_integer, is_traced
from ..types import Cloud, IntLike
from .base import AbstractCompactGroup
from .fixed_spaces import fixed_space
from .matrices import Stack
from .moves import AbstractAxisMove, Form, Kept, Moves, axis_move
from .representations import AbstractRepresentation, Trivial

_EXACT = jax.lax.Precision.HIGHEST


class LeafAction(eqx.Module):
    """W ↦ (R_1 ⊗ R_2 ⊗ …) W on one array of a neuron, one representation for every axis; a number may carry one of size 1.

    `basis` [f, *shape] is an orthonormal basis of what all elements leave fixed. Arrays may have axes before, of neurons.
    """

    representations: tuple[AbstractRepresentation, ...]
    shape: tuple[int, ...] = eqx.field(static=True)
    basis: Float[Array, "f *shape"]

    def __init__(self, representations: tuple[AbstractRepresentation, ...], shape: tuple[int, ...]):
        self.representations, self.shape = representations, shape
        basis = fixed_space(representations).reshape(-1, *shape)
        self.basis = jnp.asarray(basis, jnp.result_type(float))

    @property
    def degree(self) -> int:
        """Of the polynomials that entries of the action are, in those of the elements."""
        return sum(each.degree for each in self.representations)

    def coordinates(self, array: Float[Array, "*m_shape"]) -> Float[Array, "*m f"]:
        """Inner products with the basis."""
        axes = len(self.shape)
        inner = (tuple(range(array.ndim - axes, array.ndim)), tuple(range(1, axes + 1)))
        return jnp.tensordot(array, self.basis.astype(array.dtype), inner, precision=_EXACT)

    def combination(self, coordinates: Float[Array, "*m f"]) -> Float[Array, "*m_shape"]:
        """The fixed array with these coordinates."""
        return jnp.tensordot(coordinates, self.basis.astype(coordinates.dtype), 1, precision=_EXACT)


def _axis_move(representation: AbstractRepresentation, elements: Stack) -> AbstractAxisMove:
    return Kept() if isinstance(representation, Trivial) else axis_move(representation.at(elements))


class Action(eqx.Module):
    """What a group G does to inputs x ↦ ρ(g) x, to outputs y ↦ ρ̂(g) y, and to neurons z ↦ M(g) z. Built by `mf.action`.

    `inputs` and `outputs` are representations, `axes` says what every axis of every array of a neuron carries, in a pytree
    like a neuron. An array W with the axes (R, S) is moved to R(g) W S(g)ᵀ, a vector to R(g) b, a number with nothing stays.
    All are orthogonal. Neurons that every element leaves as they are make the space E^G, of dimension `dim_fixed`.

    Elements are matrices [k, k] of the group, as `group.sample`, `quadrature` and `group.elements` give them; what takes
    one can be traced, and vmapped over elements.
    """

    inputs: AbstractRepresentation
    outputs: AbstractRepresentation
    leaves: PyTree[LeafAction]

    @property
    def group(self) -> AbstractCompactGroup:
        """G."""
        return self.inputs.group

    @property
    def axes(self) -> PyTree:
        """For every array of a neuron, the representations of its axes; of a number, the one that it carries."""
        return jax.tree.map(lambda leaf: leaf.representations, self.leaves, is_leaf=_is_leaf)

    @property
    def dim_fixed(self) -> int:
        """dim E^G."""
        return sum(leaf.basis.shape[0] for leaf in self._list())

    @property
    def dim(self) -> int:
        """Numbers in a neuron."""
        return sum(math.prod(leaf.shape) for leaf in self._list())

    @property
    def degree(self) -> int:
        """The entries of ρ(g), ρ̂(g) and M(g) are polynomials of this degree in those of g."""
        return max(self.inputs.degree, self.outputs.degree, *(leaf.degree for leaf in self._list()))

    def quadrature(self, degree: IntLike | None = None) -> tuple[Float[Array, "q k k"], Float[Array, " q"]]:
        """Elements and weights of a mean over G: all elements of a finite group with equal weights.

        For an infinite group it is exact for polynomials of the entries of g up to a degree, by default that of ρ, ρ̂ and M,
        which the mean of M(g), and so the means of gradients on E^G, need. Raises ArgumentError where no rule is known.
        """
        remedy = "It is the degree of polynomials of the entries of g."
        return self.group.quadrature(self.degree if degree is None else check_integer("degree", degree, 0, remedy))

    def moves(self, elements: Float[Array, "q k k"]) -> Moves:
        """M(g) of several elements, whose matrices are made here: for what acts with the same elements at every step."""
        known = elements if is_traced(elements) else np.asarray(elements)
        leaves = tuple(tuple(_axis_move(each, known) for each in leaf.representations) for leaf in self._list())
        sizes = tuple(tuple(each.size for each in leaf.representations) for leaf in self._list())
        return Moves(jnp.asarray(elements), leaves, self.form, sizes)

    def move(self, element: Float[Array, "k k"], cloud: Cloud) -> Cloud:
        """M(g) of one neuron, or of every neuron of a cloud."""
        return jax.tree.map(lambda leaf: leaf[0], self.moves(element[None]))(cloud)

    def move_input(self, element: Float[Array, "k k"], x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """ρ(g) x of one input or of rows of inputs."""
        return _moved(self.inputs, element, x)

    def move_output(self, element: Float[Array, "k k"], y: Float[Array, "*n_out"]) -> Float[Array, "*n_out"]:
        """ρ̂(g) y of one output or of rows of them; outputs that are numbers have no axis of their own."""
        if self.outputs.size == 1:
            return self.outputs.at(element[None])[0, 0, 0].astype(y.dtype) * y
        return _moved(self.outputs, element, y)

    def project(self, cloud: Cloud) -> Cloud:
        """P z, the orthogonal projection of every neuron on E^G, which is the mean of M(g) z over the group."""
        return self._map(lambda leaf, array: leaf.combination(leaf.coordinates(array)), cloud)

    def coordinates(self, cloud: Cloud) -> Float[Array, "*m f"]:
        """Coordinates of P z in an orthonormal basis of E^G, [dim_fixed] of a neuron and [m, dim_fixed] of a cloud."""
        parts = [leaf.coordinates(array) for leaf, array in zip(self._list(), self.form.arrays(cloud), strict=True)]
        return jnp.concatenate(parts, axis=-1)

    def combination(self, coordinates: Float[Array, "*m f"]) -> Cloud:
        """The neurons of E^G with these coordinates."""
        ends = np.cumsum([leaf.basis.shape[0] for leaf in self._list()])[:-1]
        parts = jnp.split(coordinates, [int(end) for end in ends], axis=-1)
        structure = jax.tree.structure(self.leaves, is_leaf=_is_leaf)
        return jax.tree.unflatten(structure, [leaf.combination(c) for leaf, c in zip(self._list(), parts, strict=True)])

    @property
    def form(self) -> Form:
        """What a neuron looks like."""
        structure = jax.tree.structure(self.leaves, is_leaf=_is_leaf)
        return Form(structure, tuple(leaf.shape for leaf in self._list()))

    def shapes(self, dtype: np.dtype) -> PyTree[jax.ShapeDtypeStruct]:
        """One neuron, shapes alone."""
        return self.form.neuron(dtype)

    def takes(self, thing: PyTree) -> bool:
        """Whether something is one neuron, or neurons with axes before, that the action fits."""
        return self.form.axes_before(thing) is not None

    def takes_cloud(self, thing: PyTree) -> bool:
        """Whether something is a cloud of neurons that the action fits, with one axis before."""
        return self.form.axes_before(thing) == 1

    def _list(self) -> list[LeafAction]:
        return jax.tree.leaves(self.leaves, is_leaf=_is_leaf)

    def _map(self, function: Callable[[LeafAction, Array], Array], cloud: Cloud) -> Cloud:
        arrays = self.form.arrays(cloud)
        images = [function(leaf, array) for leaf, array in zip(self._list(), arrays, strict=True)]
        return jax.tree.unflatten(jax.tree.structure(cloud), images)


def _is_leaf(node: object) -> bool:
    return isinstance(node, LeafAction)


def _moved(representation: AbstractRepresentation, element: Float[Array, "k k"], x: Float[Array, "*n d"]) -> Array:
    matrix = representation.at(element[None])[0].astype(x.dtype)
    return jnp.matmul(x, matrix.T, precision=_EXACT)
