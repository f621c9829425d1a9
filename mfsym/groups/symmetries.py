"""Symmetries of functions, pairs (s, T) with s = ±1 and T orthogonal: finite groups of them, and products of O(d_i).

Each such group is a compact group with two representations chosen, T on inputs and s on outputs.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import argument_error, check_integer, check_sequence, float_array, is_traced
from ..types import RealArrayLike, RealLike
from .finite import MatrixGroup
from .matrices import block_diagonal, is_orthogonal
from .orthogonal import OrthogonalGroup
from .products import ProductGroup
from .representations import AbstractRepresentation, OfBlock, Sum, Turned


class Symmetry(eqx.Module):
    """A symmetry f(T x) = s f(x): a sign s ∈ {±1} and an orthogonal matrix T [d, d].

    On neurons it acts by S: (a, b) ↦ (s a, T b); the flow preserves it when the target, the law of the
    inputs and the start have it (Hajjar & Chizat 2022, general class of symmetries).
    """

    sign: Float[Array, ""]
    matrix: Float[Array, "d d"]

    def __init__(self, sign: RealLike, matrix: RealArrayLike):
        self.sign = float_array("sign", sign, 0, "Pass 1 or -1.")
        self.matrix = float_array("matrix", matrix, 2, "Pass an orthogonal matrix [d, d].")
        if not is_traced(self.sign) and abs(float(self.sign)) != 1.0:
            raise argument_error("sign", "1 or -1", sign, "s is a sign.")
        if not is_traced(self.matrix) and not is_orthogonal(self.matrix):
            raise argument_error("matrix", "an orthogonal matrix [d, d]", matrix, "The flow keeps isometries only.")

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.matrix.shape[0]


class AbstractSymmetries(eqx.Module):
    """A group of symmetries of R^d."""

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Dimension d."""

    @abc.abstractmethod
    def elements(self, key: PRNGKeyArray, count: int) -> list[Symmetry]:
        """All elements of a finite group, or `count` random ones of a continuous group."""

    @property
    @abc.abstractmethod
    def inputs(self) -> AbstractRepresentation:
        """T as a representation of the compact group that these symmetries are, for `mf.action`."""

    @property
    @abc.abstractmethod
    def outputs(self) -> AbstractRepresentation:
        """s as a representation of the same group."""


class FiniteGroup(AbstractSymmetries):
    """A finite group of symmetries, as stacked signs [g] and matrices [g, d, d]. Build it with `generate`."""

    signs: Float[Array, " g"]
    matrices: Float[Array, "g d d"]

    def __init__(self, signs: RealArrayLike, matrices: RealArrayLike):
        self.signs = float_array("signs", signs, 1, "Pass 1 or -1 for every element.")
        self.matrices = float_array("matrices", matrices, 3, "Pass one orthogonal matrix per element, [g, d, d].")
        if not is_traced(self.signs) and not (self.signs.size and bool(jnp.all(jnp.abs(self.signs) == 1))):
            raise argument_error("signs", "1 or -1 for every element", signs, "Build the group with mf.generate.")
        square = self.matrices.shape[0] == self.signs.shape[0] and self.matrices.shape[1] == self.matrices.shape[2]
        if not square or (not is_traced(self.matrices) and not all(map(is_orthogonal, self.matrices))):
            expected = f"orthogonal, of shape [{self.signs.shape[0]}, d, d]"
            raise argument_error("matrices", expected, matrices, "Build the group with mf.generate.")

    def __len__(self) -> int:
        return self.signs.shape[0]

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.matrices.shape[-1]

    def elements(self, key: PRNGKeyArray, count: int) -> list[Symmetry]:
        """All of them."""
        return [self[i] for i in range(len(self))]

    def __getitem__(self, index: int) -> Symmetry:
        return Symmetry(self.signs[index], self.matrices[index])

    @property
    def inputs(self):
        """T, of the group of the matrices diag(s, T)."""
        return OfBlock(self._group, 1, OrthogonalGroup(self.dim, True).standard)

    @property
    def outputs(self):
        """s, of the same group."""
        return OfBlock(self._group, 0, OrthogonalGroup(1, True).standard)

    @property
    def _group(self) -> MatrixGroup:
        pairs = jnp.asarray(block_diagonal(self.signs[:, None, None], self.matrices))
        return MatrixGroup(pairs, pairs)


class BlockOrthogonal(AbstractSymmetries):
    """The continuous group of all T = Qᵀ diag(T_1, …, T_k) Q, T_i ∈ O(d_i), or T_i = I for the blocks in `kept`.

    `dims` are the d_i of consecutive blocks of the coordinates Q x, Q = `basis` [d, d] orthogonal (default I). All its
    elements have the sign s = 1. A target f*(x) = g(x_H) has the group dims = (d_H, d − d_H), kept = (0,), whose first
    d_H rows of Q span H; a function of the norms of some blocks has the group of these blocks.
    """

    dims: tuple[int, ...] = eqx.field(static=True)
    kept: tuple[int, ...] = eqx.field(static=True)
    basis: Float[Array, "d d"]

    def __init__(self, dims: tuple[int, ...], kept: tuple[int, ...] = (), basis: RealArrayLike | None = None):
        dims = check_sequence("dims", dims, "a tuple of dimensions", "Pass for example (2, 3).")
        kept = check_sequence("kept", kept, "a tuple of indices of blocks", "Pass for example (0,).")
        self.dims = tuple(check_integer("dims", size, 1, "It is the dimension of a block.") for size in dims)
        self.kept = tuple(sorted({check_integer("kept", index, 0, "It is the index of a block.") for index in kept}))
        if not self.dims:
            raise argument_error("dims", "a tuple of at least one dimension", dims, "Pass for example (2, 3).")
        if any(index >= len(self.dims) for index in self.kept):
            raise argument_error("kept", f"indices below {len(self.dims)}, the number of blocks", kept, "Count from 0.")
        total = sum(self.dims)
        basis = jnp.eye(total, dtype=jnp.result_type(float)) if basis is None else basis
        self.basis = float_array("basis", basis, 2, "Pass an orthogonal matrix [d, d].")
        if self.basis.shape != (total, total) or (not is_traced(self.basis) and not is_orthogonal(self.basis)):
            raise argument_error("basis", f"an orthogonal matrix [{total}, {total}]", basis, "Use mf.complete_basis(rows).")

    @property
    def dim(self) -> int:
        """Dimension d."""
        return sum(self.dims)

    def elements(self, key: PRNGKeyArray, count: int) -> list[Symmetry]:
        """Random ones."""
        return self.sample(key, count)

    def sample(self, key: PRNGKeyArray, count: int) -> list[Symmetry]:
        """Independent elements from the invariant (Haar) probability of the group, for measuring."""
        inner = jnp.zeros((count, self.dim, self.dim), self.basis.dtype)
        start = 0
        for index, (size, block_key) in enumerate(zip(self.dims, jax.random.split(key, len(self.dims)), strict=True)):
            block = slice(start, start + size)
            start += size
            if index in self.kept:
                inner = inner.at[:, block, block].set(jnp.eye(size, dtype=inner.dtype))
            else:
                inner = inner.at[:, block, block].set(jax.random.orthogonal(block_key, size, (count,), inner.dtype))
        exact = jax.lax.Precision.HIGHEST
        matrices = jnp.matmul(jnp.matmul(self.basis.T[None], inner, precision=exact), self.basis[None], precision=exact)
        return [Symmetry(1.0, matrix) for matrix in matrices]

    @property
    def inputs(self):
        """T, of the product of the O(d_i) that are not kept."""
        group, moved, parts = self._group, 0, []
        for index, size in enumerate(self.dims):
            if index in self.kept:
                parts.append(group.trivial(size))
            else:
                parts.append(group.of_factor(moved, group.factors[moved].standard))
                moved += 1
        return Turned(group, Sum(group, tuple(parts)), self.basis)

    @property
    def outputs(self):
        """1, of the same group."""
        return self._group.trivial()

    @property
    def _group(self) -> ProductGroup:
        moved = [size for index, size in enumerate(self.dims) if index not in self.kept]
        return ProductGroup(tuple(OrthogonalGroup(size, True) for size in moved) or (OrthogonalGroup(1, False),))
