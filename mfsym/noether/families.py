"""Families of linear vector fields ξ(θ) = A θ + b among which symmetries are looked for.

A member has coefficients α, one array after the other: those of A, and b. The families differ in which A they hold.
"""

import abc
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Flat = Float[np.ndarray, " _"]  # coefficients, or entries of θ


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
    """One part of a quadratic form on a leaf: a matrix on one axis, or for axis None one weight for each entry."""

    leaf: int
    axis: int | None
    matrix: np.ndarray


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


class Axes(AbstractFamily):
    """One matrix on each axis of each leaf, and their sum: what acts on hidden dimensions, heads and channels."""

    def __init__(self, leaves, translations):
        AbstractFamily.__init__(self, leaves, translations)
        self.blocks: list[tuple[int, int, int, int]] = []  # leaf, axis, its length, where its coefficients begin
        start = 0
        for index, leaf in enumerate(leaves):
            for axis, length in enumerate(leaf.shape or (1,)):
                self.blocks.append((index, axis, length, start))
                start += length**2
        self._linear = start

    @property
    def linear(self):
        return self._linear

    def _unfolded(self, theta, index, axis):
        leaf = self.leaves[index]
        values = leaf.of(theta)
        values = values if leaf.shape else values[..., None]
        return np.moveaxis(values, 1 + axis, 1).reshape(len(theta), values.shape[1 + axis], -1)

    def contract(self, g, theta):
        return np.concatenate(
            [
                np.matmul(self._unfolded(g, index, axis), self._unfolded(theta, index, axis).transpose(0, 2, 1)).reshape(
                    len(g), length**2
                )
                for index, axis, length, _ in self.blocks
            ],
            axis=1,
        )

    def apply(self, alpha, theta):
        out = np.zeros_like(theta)
        for index, axis, length, start in self.blocks:
            leaf = self.leaves[index]
            shape = leaf.shape or (1,)
            matrix = alpha[start : start + length**2].reshape(length, length)
            moved = np.moveaxis(leaf.of(theta).reshape(len(theta), *shape), 1 + axis, -1) @ matrix.T
            out[:, leaf.start : leaf.start + leaf.size] += np.moveaxis(moved, -1, 1 + axis).reshape(len(theta), leaf.size)
        return out

    def transposed(self, alpha):
        return np.concatenate(
            [alpha[start : start + n**2].reshape(n, n).T.ravel() for _, _, n, start in self.blocks] or [np.zeros(0)]
        )

    def gauge(self):
        """The identity on one axis of a leaf minus that on another: q − 1 of them for q axes."""
        rows = []
        for index in range(len(self.leaves)):
            own = [block for block in self.blocks if block[0] == index]
            for one in own[1:]:
                row = np.zeros(self.linear)
                for sign, (_, _, length, start) in ((1, own[0]), (-1, one)):
                    row[start : start + length**2] += sign * np.eye(length).ravel()
                rows.append(row)
        return np.linalg.qr(np.array(rows).T)[0].T if rows else np.zeros((0, self.linear))

    def terms(self, alpha):
        found = []
        for index, axis, length, start in self.blocks:
            matrix = alpha[start : start + length**2].reshape(length, length)
            if np.any(matrix):
                found.append(Term(index, axis, (matrix + matrix.T) / 2))
        return found


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


FAMILIES: dict[str, type[AbstractFamily]] = {"diagonal": Diagonal, "axes": Axes, "full": Full}


def _along_one_axis(index: int, weights: np.ndarray) -> Term:
    """Weights of entries that are the same along all axes but one, as a diagonal matrix on that; otherwise as they are."""
    for axis in range(weights.ndim):
        others = tuple(i for i in range(weights.ndim) if i != axis)
        line = weights.mean(axis=others)
        if np.allclose(weights, np.expand_dims(line, others), rtol=0, atol=1e-12):
            return Term(index, axis, np.diag(line))
    return Term(index, None, weights)
