"""Orthogonal representations of a group, and their sums and products."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, check_integer
from ..types import Checked, IntLike
from .base import AbstractCompactGroup, is_same_group
from .matrices import Stack, block_diagonal, identities, kronecker, library_of

_HOW = "Use the group's standard, trivial(n), determinant, regular or frequency(m), or mf.representation(group, images)."


class AbstractRepresentation(eqx.Module):
    """An orthogonal representation g ↦ R(g) [n, n] of a group: R(gh) = R(g) R(h).

    R + S acts on pairs (block diagonal), R * S on products (R ⊗ S, on matrices W as R W Sᵀ row by row), n * R on n copies.
    """

    group: eqx.AbstractVar[AbstractCompactGroup]

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """n."""

    @property
    @abc.abstractmethod
    def degree(self) -> int:
        """Of the polynomials that its entries are in those of g, on what is connected."""

    @abc.abstractmethod
    def at(self, elements: Stack) -> Stack:
        """R(g) for a stack of elements [q, k, k]: [q, n, n], on the host for arrays of numpy, traceable for others."""

    @abc.abstractmethod
    def derivative(self, tangents: Stack) -> Stack:
        """d/dt R(exp tA) at t = 0 for a stack of A from the algebra [q, k, k]: [q, n, n]."""

    def __add__(self, other: Checked["AbstractRepresentation"]) -> "AbstractRepresentation":
        return Sum(self.group, (self, _of_same_group(self, other)))

    def __mul__(self, other: Checked["AbstractRepresentation"]) -> "AbstractRepresentation":
        return Product(self.group, self, _of_same_group(self, other))

    def __rmul__(self, count: IntLike) -> "AbstractRepresentation":
        copies = Trivial(self.group, check_integer("count", count, 1, "It is the number of copies."))
        return Product(self.group, copies, self)


def _of_same_group(one: AbstractRepresentation, other: object) -> AbstractRepresentation:
    found = check_instance("representation", other, AbstractRepresentation, _HOW)
    check_same_group("representation", one.group, found)
    return found


def check_same_group(argument: str, group: AbstractCompactGroup, representation: AbstractRepresentation) -> None:
    """Raise ArgumentError for a representation of another group; of arrays that are traced only shapes are compared."""
    if not is_same_group(group, representation.group):
        got = Words("one of another group")
        remedy = "Build both from one group; mf.product(...) joins groups, and its parts(i, R) carries R over."
        raise argument_error(argument, "a representation of the same group", got, remedy)


class Trivial(AbstractRepresentation):
    """R(g) = I."""

    group: AbstractCompactGroup
    count: int = eqx.field(static=True)

    @property
    def size(self):
        """The count."""
        return self.count

    @property
    def degree(self):
        """0."""
        return 0

    def at(self, elements):
        """Identities."""
        return identities(elements, self.size)

    def derivative(self, tangents):
        """0."""
        return 0 * identities(tangents, self.size)


class Sum(AbstractRepresentation):
    """Block diagonal."""

    group: AbstractCompactGroup
    parts: tuple[AbstractRepresentation, ...]

    @property
    def size(self):
        """The sum of the sizes."""
        return sum(part.size for part in self.parts)

    @property
    def degree(self):
        """The largest."""
        return max(part.degree for part in self.parts)

    def at(self, elements):
        """One block for every part."""
        return block_diagonal(*(part.at(elements) for part in self.parts))

    def derivative(self, tangents):
        """One block for every part."""
        return block_diagonal(*(part.derivative(tangents) for part in self.parts))


class Product(AbstractRepresentation):
    """R ⊗ S."""

    group: AbstractCompactGroup
    left: AbstractRepresentation
    right: AbstractRepresentation

    @property
    def size(self):
        """The product of the sizes."""
        return self.left.size * self.right.size

    @property
    def degree(self):
        """The sum of the degrees."""
        return self.left.degree + self.right.degree

    def at(self, elements):
        """Kronecker products."""
        return kronecker(self.left.at(elements), self.right.at(elements))

    def derivative(self, tangents):
        """The rule of Leibniz."""
        ones = [identities(tangents, part.size) for part in (self.left, self.right)]
        return kronecker(self.left.derivative(tangents), ones[1]) + kronecker(ones[0], self.right.derivative(tangents))


class OfBlock(AbstractRepresentation):
    """g ↦ R(g_B) of a group of block-diagonal matrices, g_B a block on the diagonal; R is one of a group of such blocks."""

    group: AbstractCompactGroup
    start: int = eqx.field(static=True)
    inner: AbstractRepresentation

    @property
    def size(self):
        """That of R."""
        return self.inner.size

    @property
    def degree(self):
        """That of R."""
        return self.inner.degree

    def at(self, elements):
        """R of the block."""
        return self.inner.at(self._block(elements))

    def derivative(self, tangents):
        """R' of the block."""
        return self.inner.derivative(self._block(tangents))

    def _block(self, stack: Stack) -> Stack:
        block = slice(self.start, self.start + self.inner.group.size)
        return stack[:, block, block]


class Turned(AbstractRepresentation):
    """g ↦ Qᵀ R(g) Q, R in the coordinates Q x with Q = `basis` orthogonal."""

    group: AbstractCompactGroup
    inner: AbstractRepresentation
    basis: Float[Array, "n n"]

    @property
    def size(self):
        """That of R."""
        return self.inner.size

    @property
    def degree(self):
        """That of R."""
        return self.inner.degree

    def at(self, elements):
        """Qᵀ R Q."""
        return self._turn(self.inner.at(elements))

    def derivative(self, tangents):
        """Qᵀ R' Q."""
        return self._turn(self.inner.derivative(tangents))

    def _turn(self, stack: Stack) -> Stack:
        library = library_of(stack)
        basis = library.asarray(self.basis, dtype=stack.dtype)
        return library.einsum("ji,qjk,kl->qil", basis, stack, basis)
