"""Reading cell means in several angles: densities at any angles, and atoms at the Lobatto points."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..base import Atoms
from ..rules.stencil import lobatto_points, stencil_polynomials

_HIGHEST = jax.lax.Precision.HIGHEST


def polynomial_values(dynamics: Any, state: Float[Array, "..."], angles: Float[Array, "m k"]) -> Float[Array, "2 m"]:
    """The limited polynomials of a BlockGridDynamics, [2, n_1, …, n_k], at any angles."""
    cells, blocks, padded = state.shape[1:], dynamics.reduction.blocks, state
    for axis in dynamics.axes:
        padded = dynamics.with_ghosts(padded, axis, 1 + axis)
    width = (padded.shape[1] - cells[0]) // 2
    spacing = jnp.asarray([blocks.end(axis) / n for axis, n in enumerate(cells)], state.dtype)
    position = angles / spacing[None]
    index = jnp.clip(jnp.floor(position).astype(int), 0, np.array(cells)[None] - 1)
    offset = position - index.astype(position.dtype) - 0.5
    powers = offset[..., None] ** jnp.arange(2 * width + 1, dtype=offset.dtype)[None, None]
    rows = jnp.matmul(powers, jnp.asarray(stencil_polynomials(width), state.dtype), precision=_HIGHEST)  # [m, k, stencil]

    def patch(corner):
        start = (jnp.zeros((), corner.dtype), *corner)
        return jax.lax.dynamic_slice(padded, start, (2, *(2 * width + 1 for _ in cells)))

    values = jax.vmap(patch)(index)
    for axis in reversed(dynamics.axes):
        values = jnp.einsum("m...s,ms->m...", values, rows[:, axis], precision=_HIGHEST)
    factor = dynamics.limiter_factor(state, dynamics.reconstruct(state))
    own = (slice(None), *index.T)
    return state[own] + factor[own] * (values.T - state[own])


def atoms_of_cells(dynamics: Any, state: Float[Array, "..."]) -> Atoms:
    """The limited polynomials of a BlockGridDynamics at the Lobatto points of all cells."""
    blocks, cells = dynamics.reduction.blocks, dynamics.reduction.cells
    rules = [lobatto_points(n, blocks.end(axis)) for axis, n in enumerate(cells)]
    flat = np.meshgrid(*(points.T.ravel() for points, _ in rules), indexing="ij")
    rule = functools.reduce(np.multiply.outer, [np.tile(weights, points.shape[1]) for points, weights in rules])
    angles = jnp.asarray(np.stack([axis.ravel() for axis in flat], axis=1), state.dtype)
    values = dynamics.cell_values(state).reshape(2, -1) * jnp.asarray(rule.ravel(), state.dtype)[None]
    return Atoms(jnp.broadcast_to(angles[None], (2, *angles.shape)), values)
