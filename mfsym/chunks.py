"""Work in blocks of rows, so that memory does not grow as the product of two sizes."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class BlockLimits(NamedTuple):
    """At most `rows` rows, and `entries` entries of the matrix rows × columns, but `fewest` rows in any case.

    The arrays with one entry per column are read and written once per block: with few rows, that is most of the work.
    Clouds that move together have at most `together` entries in the blocks of all of them, or are alone.
    """

    rows: int
    entries: int
    fewest: int
    together: int


# Measured with benchmarks/particle_step.py. A processor wants blocks that stay in its cache; an accelerator wants to be
# full: there, on an H100, blocks of 2²⁰ entries took two to thirty times as long as these.
_PROCESSOR = BlockLimits(rows=128, entries=2**20, fewest=16, together=2**15)
_ACCELERATOR = BlockLimits(rows=2**16, entries=2**25, fewest=16, together=2**27)

_WIDE = 2**14  # from so many neurons on, a block of samples by all neurons leaves the cache of a processor
_SAMPLES_BESIDE_NEURONS = 512


class StepBlocks(NamedTuple):
    """How many samples and how many neurons a block of a gradient step has."""

    samples: int
    neurons: int


def block_limits() -> BlockLimits:
    """The limits for the kind of device that runs by default."""
    return _PROCESSOR if jax.default_backend() == "cpu" else _ACCELERATOR


def _is_one_block(rows: PyTree, size: int) -> bool:
    """Whether all rows are one block of an accelerator: then there is no loop, nor what its compiler would make of one.

    On a processor the loop costs nothing. On an H200 it cost little more: without it, and with split products, gradient
    steps on data took 0.95, 0.89 and 0.95 of the time at the three sizes of benchmarks/particle_step.py, pairs 0.8.
    """
    return block_limits() is _ACCELERATOR and jax.tree.leaves(rows)[0].shape[0] <= size


def rows_per_block(columns: int, size: int | None = None) -> int:
    """Rows of a block of a rows × columns matrix: `size` where it is given."""
    limits = block_limits()
    return size or max(limits.fewest, min(limits.rows, limits.entries // columns))


def step_blocks(samples: int, neurons: int, dim: int, size: int | None = None) -> StepBlocks:
    """Blocks of a gradient step: `size` samples by all neurons where it is given.

    Blocks of samples by all neurons repeat no work, 4mnd operations. They read and write arrays of the size of the cloud
    once each, so that they should have about as many samples as there are dimensions. On a processor, with many
    neurons of few dimensions, blocks of neurons as well are faster, though they compute b·x twice, 6mnd.
    """
    if size is not None:
        return StepBlocks(size, neurons)
    limits = block_limits()
    if limits is _ACCELERATOR:
        return StepBlocks(rows_per_block(neurons), neurons)
    if neurons <= _WIDE or 2 * dim > limits.rows:
        most = max(limits.fewest, 4 * limits.entries // neurons)
        return StepBlocks(min(most, 2 * limits.rows, max(dim, limits.rows // 2)), neurons)
    count = min(samples, _SAMPLES_BESIDE_NEURONS)
    return StepBlocks(count, limits.entries // count)


def lanes_at_a_time(width: int) -> int:
    """How many clouds of so many neurons move in one vmapped loop.

    On a processor small ones gain, as an operation on few numbers costs as much as on one (measured to t = 8, d = 10, 8
    clouds: 4.6 times with 16 neurons, 3 times with 64), and large ones leave the cache (nothing at 256 and 512). An
    accelerator is to be full within its memory; that bound was not measured.
    """
    return max(1, block_limits().together // (width * min(width, rows_per_block(width))))


def split_rows(rows: PyTree, size: int) -> PyTree:
    """Arrays [n, ...] as blocks [blocks, rows, ...] of at most `size` rows, padded with zeros at the end.

    Row i goes into block i mod blocks. Where rows are sharded over devices, every device then has its share of every
    block, and no block is moved as a whole.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    blocks = -(-count // size)
    size = -(-count // blocks)

    def split(leaf: Array) -> Array:
        padding = [(0, blocks * size - count)] + [(0, 0)] * (leaf.ndim - 1)
        return jnp.pad(leaf, padding).reshape(size, blocks, *leaf.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(split, rows)


def map_blocks(function: Callable[[PyTree], PyTree], rows: PyTree, size: int) -> PyTree:
    """`function` of every block of `size` rows, put together again: [n, ...] for arrays [n, ...].

    The function sees rows of zeros at the end of the last block; what it returns there is dropped. Under reverse
    differentiation a block is computed again, not stored.
    """
    if _is_one_block(rows, size):
        return jax.checkpoint(function)(rows)
    count = jax.tree.leaves(rows)[0].shape[0]
    out = jax.lax.map(jax.checkpoint(function, prevent_cse=False), split_rows(rows, size))
    return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1).reshape(-1, *leaf.shape[2:])[:count], out)


def sum_blocks(function: Callable[[PyTree], PyTree], rows: PyTree, size: int) -> PyTree:
    """Sum over the blocks of `size` rows of `function(block)`; it must return zeros for rows of zeros."""
    if _is_one_block(rows, size):
        return jax.checkpoint(function)(rows)
    blocks = split_rows(rows, size)
    compute = jax.checkpoint(function, prevent_cse=False)
    shapes = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0], blocks))
    start = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(total, block):
        return jax.tree.map(jnp.add, total, compute(block)), None

    return jax.lax.scan(add, start, blocks)[0]
