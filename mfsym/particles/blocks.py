"""Work in blocks of rows, so that memory does not grow as the product of two sizes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

_ROWS = 128  # rows of one block: long enough for matrix products, short enough for a cache
_ENTRIES = 2**20  # entries of one block × columns matrix, whatever the number of columns


def split_rows(rows: PyTree, columns: int) -> PyTree:
    """Arrays [n, ...] as blocks [blocks, rows, ...], padded with zeros at the end.

    A block has at most 128 rows and, times `columns`, at most 2²⁰ entries.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    largest = max(1, min(_ROWS, _ENTRIES // columns))
    blocks = -(-count // largest)
    size = -(-count // blocks)

    def split(leaf: Array) -> Array:
        padding = [(0, blocks * size - count)] + [(0, 0)] * (leaf.ndim - 1)
        return jnp.pad(leaf, padding).reshape(blocks, size, *leaf.shape[1:])

    return jax.tree.map(split, rows)


def map_blocks(function: Callable[[PyTree], PyTree], rows: PyTree, columns: int) -> PyTree:
    """`function` of every block of rows, put together again: [n, ...] for arrays [n, ...].

    The function sees rows of zeros at the end of the last block; what it returns there is dropped. Under reverse
    differentiation a block is computed again, not stored.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    out = jax.lax.map(jax.checkpoint(function, prevent_cse=False), split_rows(rows, columns))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], out)


def sum_blocks(function: Callable[[PyTree], PyTree], rows: PyTree, columns: int) -> PyTree:
    """Sum over the blocks of `function(block)`; it must return zeros for rows of zeros."""
    blocks = split_rows(rows, columns)
    compute = jax.checkpoint(function, prevent_cse=False)
    shapes = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0], blocks))
    start = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(total, block):
        return jax.tree.map(jnp.add, total, compute(block)), None

    return jax.lax.scan(add, start, blocks)[0]
