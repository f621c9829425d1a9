"""Orthogonal matrices: what is one, bases of them, and stacks of them in numpy or in jax."""

from types import ModuleType

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, float_array
from ..types import RealArrayLike

ORTHOGONALITY = 1e-5  # entries that differ by less are the same, so that matrices of float32 count

Stack = Float[Array | np.ndarray, "q _ _"]  # q square matrices
Matrix = Float[Array | np.ndarray, "_ _"]  # a square one


def is_orthogonal(matrix: RealArrayLike) -> bool:
    """Whether T Tᵀ = I to the accuracy of the stored entries."""
    matrix = np.asarray(matrix, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        return False
    return bool(np.allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=ORTHOGONALITY))


def complete_basis(rows: RealArrayLike) -> np.ndarray:
    """An orthogonal matrix [d, d] whose first rows are the given orthonormal rows [k, d] (host, float64).

    Raises ArgumentError if the rows are not orthonormal.
    """
    rows = np.asarray(float_array("rows", rows, 2, "Pass orthonormal rows [k, d]."), dtype=float)
    count = len(rows)
    if count > rows.shape[1] or not np.allclose(rows @ rows.T, np.eye(count), atol=ORTHOGONALITY):
        raise argument_error("rows", "orthonormal", rows, "Orthonormalise them, for example by numpy.linalg.qr.")
    full, _ = np.linalg.qr(rows.T, mode="complete")
    rest = full[:, count:].T
    signs = np.sign(rest[np.arange(len(rest)), np.argmax(np.abs(rest), axis=1)])
    return np.concatenate([rows, signs[:, None] * rest])


def library_of(array: Array | np.ndarray) -> ModuleType:
    """numpy for an array of the host, where spaces are computed in float64; jax.numpy for any other, traced or not."""
    return np if isinstance(array, np.ndarray) else jnp


def block_diagonal(*stacks: Stack) -> Stack:
    """One block on the diagonal for every stack, [q, n, n]."""
    library, size, rows, start = library_of(stacks[0]), sum(stack.shape[-1] for stack in stacks), [], 0
    for stack in stacks:
        before, after = start, size - start - stack.shape[-1]
        rows.append(library.pad(stack, ((0, 0), (0, 0), (before, after))))
        start += stack.shape[-1]
    return library.concatenate(rows, axis=1)


def kronecker(left: Stack, right: Stack) -> Stack:
    """A ⊗ B for every pair of a stack, [q, n m, n m]: what A W Bᵀ is to the entries of W row by row."""
    library, size = library_of(left), left.shape[-1] * right.shape[-1]
    return library.einsum("qij,qkl->qikjl", left, right).reshape(len(left), size, size)


def identities(like: Stack, size: int) -> Stack:
    """As many identity matrices [size, size] as there are matrices in a stack, in its floating type."""
    library = library_of(like)
    return library.broadcast_to(library.eye(size, dtype=like.dtype)[None], (len(like), size, size))
