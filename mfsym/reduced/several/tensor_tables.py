"""What the grid of several angles needs of the harmonics: integrals over cells, and values at the points of the scheme."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..angles.coordinates import Blocks
from ..rules.stencil import lobatto_points, reconstruction_stencil
from .block_reduction import BlockReduction
from .merging import pole_groups
from .nested_tables import select

_HIGHEST = jax.lax.Precision.HIGHEST
GHOSTS = 2  # the stencil has five cells


class TensorTables(eqx.Module):
    """What is fixed during a run.

    - `moments`, `all_moments`: integrals of the harmonics of the dynamics, and of all, as functionals of cell means.
    - `potential`: the harmonics at the Lobatto points; `speeds`: their slopes over the metric at the faces of every axis.
    - `outside`: the share of the last block in ‖u‖², averaged over every cell; `share`: of each cell in its group at a pole.
    """

    moments: tuple[Float[Array, "..."], ...]
    all_moments: tuple[Float[Array, "..."], ...]
    potential: tuple[Float[Array, "..."], ...]
    speeds: tuple[tuple[Float[Array, "..."], ...], ...]
    outside: Float[Array, "..."]
    share: Float[Array, "..."]


def tensor_tables(reduction: BlockReduction) -> TensorTables:
    """The tables of a reduction."""
    resolved, dtype, axes = reduction.resolved(), reduction.dtype, range(reduction.angles)
    nodes, faces = [], []
    for axis in axes:
        cells, end = reduction.cells[axis], reduction.blocks.end(axis)
        points = lobatto_points(cells, end)[0]
        nodes.append(jnp.asarray(np.append(points[:3].T.ravel(), end), dtype))
        faces.append(jnp.asarray(np.linspace(0.0, end, cells + 1), dtype))
    values = [table(node)[0] for table, node in zip(resolved.tables, nodes, strict=True)]
    over = [table(node, over=2)[0] for table, node in zip(resolved.tables[:-1], nodes[:-1], strict=True)]
    slopes = [t(face)[1].at[..., (0, -1)].set(0.0) for t, face in zip(resolved.tables, faces, strict=True)]
    part = functools.partial(select, resolved.blocks)
    all_moments = cell_integrals(reduction)
    return TensorTables(
        moments=tuple(_truncate(resolved, axis, table) for axis, table in enumerate(all_moments)),
        all_moments=all_moments,
        potential=tuple(part(a, value) for a, value in enumerate(values)),
        speeds=tuple(tuple(part(b, over[b] if b < a else slopes[b] if b == a else values[b]) for b in axes) for a in axes),
        outside=_sine_squares(reduction),
        share=pole_groups(reduction.blocks, reduction.cells).share(reduction.uniform),
    )


def cell_integrals(reduction: BlockReduction) -> tuple[Float[Array, "..."], ...]:
    """∫ F over every cell as a linear function of the cell means, [L, J, n] for every axis."""
    out = []
    for axis in range(reduction.angles):
        cells, end = reduction.cells[axis], reduction.blocks.end(axis)
        points, rule = lobatto_points(cells, end)
        table, _ = reduction.tables[axis](jnp.asarray(points.ravel(), reduction.dtype))
        table = select(reduction.blocks, axis, table)
        weights = table.reshape(*table.shape[:2], 4, cells) * jnp.asarray(rule[None, None, :, None], reduction.dtype)
        inside, *ghosts = (
            jnp.einsum("ljpc,pcn->ljn", weights, jnp.asarray(part, weights.dtype), precision=_HIGHEST)
            for part in _reconstruction_matrices(cells)
        )
        signs = jnp.asarray(_signs(reduction.blocks, axis, table.shape[1]), reduction.dtype)
        out.append(inside + sum(signs[None, :, i, None] * ghost for i, ghost in enumerate(ghosts)))
    return tuple(out)


def _truncate(resolved: BlockReduction, axis: int, table: Float[Array, "L J n"]) -> Float[Array, "l j n"]:
    rows = len(resolved.degrees) if axis == 0 else resolved.count
    columns = 1 if axis == resolved.angles - 1 else resolved.count
    return table[:rows, :columns]


def _signs(blocks: Blocks, axis: int, count: int) -> np.ndarray:
    """Parities [J, 2] about both ends for every degree j: beyond a pole, the signed coordinates that follow change sign."""
    lower, upper, flips = blocks.parity(axis)
    degree = np.arange(count) * blocks.stride
    own = np.where(degree % 2, -1.0, 1.0) if any(flips) else np.ones(len(degree))
    return np.stack([lower * own, upper * (own if blocks.signed[axis] else own**2)], axis=1)


def _sine_squares(reduction: BlockReduction) -> Float[Array, "..."]:
    """Π sin²θ_a, the share of the last block in ‖u‖², averaged over every cell: [n_1, …, n_k] functional."""
    out = jnp.ones((), reduction.dtype)
    for axis in range(reduction.angles):
        cells, end = reduction.cells[axis], reduction.blocks.end(axis)
        points, rule = lobatto_points(cells, end)
        lower, upper, _ = reduction.blocks.parity(axis)
        inside, below, above = _reconstruction_matrices(cells)
        functional = np.einsum("pc,pcn->n", np.sin(points) ** 2 * rule[:, None], inside + lower * below + upper * above)
        out = jnp.multiply.outer(out, jnp.asarray(functional, reduction.dtype))
    return out


@functools.lru_cache(maxsize=16)
def _reconstruction_matrices(cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values at the Lobatto points of every cell as linear maps [4, cells, cells] of the cell means: the part of the cells
    themselves, and what the continuation below and above the interval adds, before its parity."""
    stencil = reconstruction_stencil(GHOSTS)
    inside, below, above = np.zeros((3, 4, cells, cells))
    for cell in range(cells):
        for offset, weights in enumerate(stencil.T):
            index = cell + offset - GHOSTS
            matrix, mirrored = (below, -1 - index) if index < 0 else (above, 2 * cells - 1 - index)
            matrix, index = (inside, index) if 0 <= index < cells else (matrix, mirrored)
            matrix[:, cell, index] += weights
    return inside, below, above
