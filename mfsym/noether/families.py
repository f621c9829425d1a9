"""Families of linear vector fields ξ(θ) = A θ + b among which symmetries are looked for.

A member has coefficients α, one array after the other: those of A, and b. The families differ in which A they hold.
"""

import abc
import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .ranks import null_space

Flat = Float[np.ndarray, " _"]  # coefficients, or entries of θ
Matrices = dict[tuple[int, tuple[int, int] | None], np.ndarray]  # by axis and slice


class Leaf(NamedTuple):
    """One array of the parameters: its name, its shape, and where it begins in θ."""

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """Its number of entries."""
        return int(np.prod(self.shape))

    def of(self, theta: Float[np.ndarray, "... D"]) -> np.ndarray:
        """The array in one or several θ."""
        return theta[..., self.start : self.start + self.size].reshape(*theta.shape[:-1], *self.shape)


class Term(NamedTuple):
    """One part of a quadratic form on a leaf: a matrix on one axis, or for axis None one weight for each entry.

    With a `slice` (axis, index), of that slice of the leaf alone; `axis` is still counted in the leaf.
    """

    leaf: int
    axis: int | None
    matrix: np.ndarray
    slice: tuple[int, int] | None = None


class Block(NamedTuple):
    """A matrix of coefficients: on an axis of a leaf, or of one slice of it, its length, and where it begins."""

    leaf: int
    axis: int
    slice: tuple[int, int] | None
    length: int
    start: int


class AbstractFamily(abc.ABC):
    """A family of A, and all b where there are translations."""

    def __init__(self, leaves: tuple[Leaf, ...], translations: bool):
        self.leaves, self.translations = leaves, translations
        self.dim = sum(leaf.size for leaf in leaves)

    @property
    @abc.abstractmethod
    def linear(self) -> int:
        """The number of coefficients of A."""

    @property
    def unknowns(self) -> int:
        """The number of all coefficients."""
        return self.linear + (self.dim if self.translations else 0)

    @abc.abstractmethod
    def contract(self, g: Float[np.ndarray, "S D"], theta: Float[np.ndarray, "S D"]) -> Float[np.ndarray, "S a"]:
        """⟨g, ∂_α A θ⟩ for the coefficients of A, row by row."""

    @abc.abstractmethod
    def apply(self, alpha: Flat, theta: Float[np.ndarray, "S D"]) -> Float[np.ndarray, "S D"]:
        """A θ, row by row."""

    @abc.abstractmethod
    def transposed(self, alpha: Flat) -> Flat:
        """The coefficients of Aᵀ."""

    @abc.abstractmethod
    def gauge(self) -> Float[np.ndarray, "q a"]:
        """Coefficients that give A = 0, an orthonormal basis."""

    @abc.abstractmethod
    def terms(self, alpha: Flat) -> list[Term]:
        """θᵀAθ as a sum over leaves."""

    def rows(self, g: Float[np.ndarray, "S D"], theta: Float[np.ndarray, "S D"]) -> Float[np.ndarray, "S p"]:
        """⟨g, ∂_α ξ(θ)⟩, row by row: all α to which they are orthogonal are symmetries."""
        parts = [self.contract(g, theta), *([g] if self.translations else [])]
        return np.concatenate(parts, axis=1)

    def split(self, alpha: Flat) -> tuple[Flat, Flat]:
        """The coefficients of A, and b."""
        return alpha[: self.linear], alpha[self.linear :] if self.translations else np.zeros(self.dim)


class Diagonal(AbstractFamily):
    """A diagonal: one coefficient for each parameter. Finds rescalings of units, of gains, of whole weights."""

    @property
    def linear(self):
        return self.dim

    def contract(self, g, theta):
        return g * theta

    def apply(self, alpha, theta):
        return alpha * theta

    def transposed(self, alpha):
        return alpha

    def gauge(self):
        return np.zeros((0, self.dim))

    def terms(self, alpha):
        found = []
        for index, leaf in enumerate(self.leaves):
            weights = leaf.of(alpha)
            if np.any(weights):
                found.append(_along_one_axis(index, weights))
        return found


class AbstractAxes(AbstractFamily):
    """Matrices on axes of leaves, and their sum."""

    def __init__(self, leaves, translations):
        AbstractFamily.__init__(self, leaves, translations)
        self.blocks: list[Block] = []
        for index, leaf in enumerate(leaves):
            for axis, length in enumerate(leaf.shape or (1,)):
                for part in self.parts(leaf, axis):
                    self.blocks.append(Block(index, axis, part, length, self.linear))

    @abc.abstractmethod
    def parts(self, leaf: Leaf, axis: int) -> list[tuple[int, int] | None]:
        """What has a matrix of its own on this axis: the whole leaf (None), or slices (axis, index) of it."""

    @property
    def linear(self):
        return self.blocks[-1].start + self.blocks[-1].length ** 2 if self.blocks else 0

    def contract(self, g, theta):
        parts = [
            _unfolded(self.leaves, g, block) @ _unfolded(self.leaves, theta, block).transpose(0, 2, 1)
            for block in self.blocks
        ]
        return np.concatenate([part.reshape(len(g), -1) for part in parts], axis=1)

    def apply(self, alpha, theta):
        out = np.zeros_like(theta)
        for block in self.blocks:
            leaf = self.leaves[block.leaf]
            target = leaf.of(out).reshape(len(theta), *(leaf.shape or (1,)))  # a view
            moved = np.moveaxis(_slice(leaf, theta, block), _axis(block), -1) @ self._matrix(alpha, block).T
            _slice(leaf, target, block)[...] += np.moveaxis(moved, -1, _axis(block))
        return out

    def transposed(self, alpha):
        return np.concatenate([self._matrix(alpha, block).T.ravel() for block in self.blocks] or [np.zeros(0)])

    def gauge(self):
        """The identity on one axis minus that on another, and the like: what A = 0 is, leaf by leaf, by probing."""
        rows = [np.zeros((0, self.linear))]
        rng = np.random.default_rng(0)
        for index, leaf in enumerate(self.leaves):
            own = [block for block in self.blocks if block.leaf == index]
            if len(own) < 2:
                continue
            begin, end = own[0].start, own[-1].start + own[-1].length ** 2
            alone = type(self)((Leaf(leaf.name, leaf.shape, 0),), False)
            probes = rng.normal(size=(2, end - begin + 8, leaf.size))
            zero = null_space(alone.contract(*probes), 1e-9).basis
            rows.append(np.pad(zero, [(0, 0), (begin, self.linear - end)]))
        return np.concatenate(rows)

    def terms(self, alpha):
        found = []
        for block in self.blocks:
            matrix = self._symmetric(alpha, block)
            if np.any(matrix):
                found.append(Term(block.leaf, block.axis, matrix, block.slice))
        return found

    def _matrix(self, alpha: Flat, block: Block) -> Float[np.ndarray, "n n"]:
        return alpha[block.start : block.start + block.length**2].reshape(block.length, block.length)

    def _symmetric(self, alpha: Flat, block: Block) -> Float[np.ndarray, "n n"]:
        matrix = self._matrix(alpha, block)
        return (matrix + matrix.T) / 2


class Axes(AbstractAxes):
    """One matrix on each axis of each leaf: what acts on hidden dimensions, heads and channels."""

    def parts(self, leaf, axis):
        return [None]


class Slices(AbstractAxes):
    """The same, with matrices for every slice of leaves with three axes or more: for stacked heads and experts, each by
    itself. The same matrix for all slices is one on the whole axis."""

    def parts(self, leaf, axis):
        if len(leaf.shape) < 3:
            return [None]
        return [(other, i) for other in range(len(leaf.shape)) if other != axis for i in range(leaf.shape[other])]

    def terms(self, alpha):
        found = []
        for index, leaf in enumerate(self.leaves):
            matrices = {(b.axis, b.slice): self._symmetric(alpha, b) for b in self.blocks if b.leaf == index}
            if len(leaf.shape) > 2:
                matrices = _fewer(matrices, leaf.shape)
            found += [Term(index, axis, matrix, part) for (axis, part), matrix in matrices.items() if np.any(matrix)]
        return found


def _fewer(matrices: Matrices, shape: tuple[int, ...]) -> Matrices:
    """The same form with fewer terms: ‖w[h, s, :]‖² belongs to one of its two axes, and to no slice what all slices have."""
    for axis, other in itertools.combinations(range(len(shape)), 2):
        for i, j in np.ndindex(shape[axis], shape[other]):
            first, second = matrices[axis, (other, j)], matrices[other, (axis, i)]
            second[j, j] += first[i, i]
            first[i, i] = 0.0
    whole: Matrices = {}
    for axis, other in itertools.permutations(range(len(shape)), 2):
        slices = [matrices[axis, (other, i)] for i in range(shape[other])]
        if all(np.allclose(each, slices[0], rtol=0, atol=1e-9) for each in slices):
            whole[axis, None] = whole.get((axis, None), 0.0) + slices[0]
            matrices |= {(axis, (other, i)): np.zeros_like(slices[0]) for i in range(shape[other])}
    return whole | matrices


def _slice(leaf: Leaf, theta: np.ndarray, block: Block) -> np.ndarray:
    """The leaf, or the slice of it, in every θ; a view. θ may be the leaf itself, [S, *shape]."""
    shape = leaf.shape or (1,)
    values = theta if theta.shape[1:] == shape else leaf.of(theta).reshape(len(theta), *shape)
    if block.slice is None:
        return values
    axis, index = block.slice
    return np.moveaxis(values, 1 + axis, 0)[index]


def _axis(block: Block) -> int:
    """Where the axis of a block is in `_slice`."""
    return 1 + block.axis - (block.slice is not None and block.slice[0] < block.axis)


def _unfolded(leaves: tuple[Leaf, ...], theta: np.ndarray, block: Block) -> Float[np.ndarray, "S n k"]:
    values = np.moveaxis(_slice(leaves[block.leaf], theta, block), _axis(block), 1)
    return values.reshape(len(theta), block.length, -1)


class Full(AbstractFamily):
    """Any A, D² coefficients: for small networks."""

    @property
    def linear(self):
        return self.dim**2

    def contract(self, g, theta):
        return (g[:, :, None] * theta[:, None, :]).reshape(len(g), -1)

    def apply(self, alpha, theta):
        return theta @ alpha.reshape(self.dim, self.dim).T

    def transposed(self, alpha):
        return alpha.reshape(self.dim, self.dim).T.ravel()

    def gauge(self):
        return np.zeros((0, self.linear))

    def terms(self, alpha):
        matrix = alpha.reshape(self.dim, self.dim)
        return [Term(-1, 0, (matrix + matrix.T) / 2)]


FAMILIES: dict[str, type[AbstractFamily]] = {"diagonal": Diagonal, "axes": Axes, "slices": Slices, "full": Full}


def _along_one_axis(index: int, weights: np.ndarray) -> Term:
    """Weights of entries that are the same along all axes but one, as a diagonal matrix on that; otherwise as they are."""
    for axis in range(weights.ndim):
        others = tuple(i for i in range(weights.ndim) if i != axis)
        line = weights.mean(axis=others)
        if np.allclose(weights, np.expand_dims(line, others), rtol=0, atol=1e-12):
            return Term(index, axis, np.diag(line))
    return Term(index, None, weights)
