"""Work in blocks of rows, so that memory does not grow as the product of two sizes."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class BlockLimits(NamedTuple):
    """At most `rows` rows, and `entries` entries of the matrix rows × columns, but `fewest` rows in any case.

    The arrays with one entry per column are read and written once per block: with few rows, that is most of the work.
    """

    rows: int
    entries: int
    fewest: int


# Measured with benchmarks/particle_step.py. A processor wants blocks that stay in its cache; an accelerator wants to be
# full: there, on an H100, blocks of 2²⁰ entries took two to thirty times as long as these.
_PROCESSOR = BlockLimits(rows=128, entries=2**20, fewest=16)
_ACCELERATOR = BlockLimits(rows=2**16, entries=2**25, fewest=16)


def block_limits() -> BlockLimits:
    """The limits for the kind of device that runs by default."""
    return _PROCESSOR if jax.default_backend() == "cpu" else _ACCELERATOR


def split_rows(rows: PyTree, columns: int) -> PyTree:
    """Arrays [n, ...] as blocks [blocks, rows, ...] for rows × columns matrices, padded with zeros at the end.

    Row i goes into block i mod blocks. Where rows are sharded over devices, every device then has its share of every
    block, and no block is moved as a whole.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    limits = block_limits()
    largest = max(limits.fewest, min(limits.rows, limits.entries // columns))
    blocks = -(-count // largest)
    size = -(-count // blocks)

    def split(leaf: Array) -> Array:
        padding = [(0, blocks * size - count)] + [(0, 0)] * (leaf.ndim - 1)
        return jnp.pad(leaf, padding).reshape(size, blocks, *leaf.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(split, rows)


def map_blocks(function: Callable[[PyTree], PyTree], rows: PyTree, columns: int) -> PyTree:
    """`function` of every block of rows, put together again: [n, ...] for arrays [n, ...].

    The function sees rows of zeros at the end of the last block; what it returns there is dropped. Under reverse
    differentiation a block is computed again, not stored.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    out = jax.lax.map(jax.checkpoint(function, prevent_cse=False), split_rows(rows, columns))
    return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1).reshape(-1, *leaf.shape[2:])[:count], out)


def sum_blocks(function: Callable[[PyTree], PyTree], rows: PyTree, columns: int) -> PyTree:
    """Sum over the blocks of `function(block)`; it must return zeros for rows of zeros."""
    blocks = split_rows(rows, columns)
    compute = jax.checkpoint(function, prevent_cse=False)
    shapes = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0], blocks))
    start = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(total, block):
        return jax.tree.map(jnp.add, total, compute(block)), None

    return jax.lax.scan(add, start, blocks)[0]
