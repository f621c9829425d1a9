"""The representations that every group brings: its matrices, their determinant, what it does to itself, frequencies."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..errors import Words, argument_error, check_integer
from ..types import IntLike
from .base import AbstractCompactGroup
from .matrices import Stack, identities, library_of
from .representations import AbstractRepresentation, Trivial


class AbstractGroup(AbstractCompactGroup):
    """A compact group with its named representations: `standard`, `trivial(n)`, `determinant`, `regular` of a finite group,
    `frequency(m)` of a group of the plane. R + S, R * S and n * R are others, and so is `mf.representation(group, images)`.
    """

    @property
    def standard(self) -> AbstractRepresentation:
        """The matrices themselves, size k."""
        return Standard(self)

    def trivial(self, count: IntLike = 1) -> AbstractRepresentation:
        """Every element as the identity of R^count."""
        return Trivial(self, check_integer("count", count, 1, "It is the size of the representation."))

    @property
    def determinant(self) -> AbstractRepresentation:
        """Every element as its determinant ±1, size 1."""
        return Determinant(self)

    @property
    def regular(self) -> AbstractRepresentation:
        """A finite group permuting the functions on itself, size `order`: the coordinate of h goes to that of g h."""
        return Regular(self, jnp.asarray(_products(np.asarray(self.elements, dtype=float))))

    def frequency(self, count: IntLike) -> AbstractRepresentation:
        """A group of the plane with m times the angles: a rotation by θ as that by mθ, diag(1, −1) as itself; size 2."""
        if self.size != 2:
            raise argument_error("group", "one of matrices [2, 2]", Words(f"of size {self.size}"), "Use the standard one.")
        return Frequency(self, check_integer("count", count, 1, "It is what angles are multiplied by."))


class Standard(AbstractRepresentation):
    """R(g) = g."""

    group: AbstractCompactGroup

    @property
    def size(self):
        """k."""
        return self.group.size

    @property
    def degree(self):
        """1."""
        return 1

    def at(self, elements):
        """The elements."""
        return elements

    def derivative(self, tangents):
        """The tangents."""
        return tangents


class Determinant(AbstractRepresentation):
    """R(g) = det g."""

    group: AbstractCompactGroup

    @property
    def size(self):
        """1."""
        return 1

    @property
    def degree(self):
        """0: constant on what is connected."""
        return 0

    def at(self, elements):
        """±1."""
        library = library_of(elements)
        return library.round(library.linalg.det(elements))[:, None, None]

    def derivative(self, tangents):
        """0."""
        return 0 * identities(tangents, 1)


class Regular(AbstractRepresentation):
    """A finite group permuting the functions on itself; `table` [g, g] holds the index of every product g h."""

    group: AbstractCompactGroup
    table: Int[Array, "g g"]

    @property
    def size(self):
        """The order."""
        return self.table.shape[0]

    @property
    def degree(self):
        """0: nothing is connected."""
        return 0

    def at(self, elements):
        """Permutation matrices."""
        library = library_of(elements)
        images = library.asarray(self.table)[nearest_index(elements, self.group.elements)]
        return library.swapaxes(library.eye(self.size, dtype=elements.dtype)[images], -1, -2)

    def derivative(self, tangents):
        """0."""
        return 0 * identities(tangents, self.size)


class Frequency(AbstractRepresentation):
    """R(rotation by θ) = rotation by mθ, R(diag(1, −1)) = diag(1, −1)."""

    group: AbstractCompactGroup
    count: int = eqx.field(static=True)

    @property
    def size(self):
        """2."""
        return 2

    @property
    def degree(self):
        """m."""
        return self.count

    def at(self, elements):
        """By the first column (cos θ, sin θ) and the determinant."""
        library = library_of(elements)
        cos, sin = elements[:, 0, 0], elements[:, 1, 0]
        sign = cos * elements[:, 1, 1] - sin * elements[:, 0, 1]
        real, imaginary = library.ones_like(cos), library.zeros_like(cos)
        for _ in range(self.count):  # (cos θ + i sin θ)^m
            real, imaginary = real * cos - imaginary * sin, real * sin + imaginary * cos
        first, second = library.stack([real, imaginary], axis=1), library.stack([-imaginary, real], axis=1)
        return library.stack([first, sign[:, None] * second], axis=2)

    def derivative(self, tangents):
        """m times the tangents."""
        return self.count * tangents


def nearest_index(elements: Stack, table: Float[Array | np.ndarray, "g k k"]) -> Int[Array | np.ndarray, " q"]:
    """The index of the matrix of a table [g, k, k] that is nearest to each of a stack of orthogonal ones, [q]."""
    library = library_of(elements)
    return library.argmax(library.einsum("qij,gij->qg", elements, library.asarray(table, dtype=elements.dtype)), axis=1)


def _products(elements: Float[np.ndarray, "g k k"]) -> Int[np.ndarray, "g g"]:
    """The multiplication table of a finite group, by indices (host)."""
    return np.stack([nearest_index(element @ elements, elements) for element in elements])
