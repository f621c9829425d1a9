"""Reading cell means in several angles: densities at any angles, and atoms at the Lobatto points."""

import abc
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..angles.forms import AbstractDensityForm
from ..base import Atoms
from ..rules.stencil import lobatto_points, stencil_polynomials
from .block_reduction import BlockReduction

_HIGHEST = jax.lax.Precision.HIGHEST


class AbstractTensorGrid(AbstractDensityForm):
    """Cell means [2, n_1, …, n_k] and what they say of densities between them, whatever moves them."""

    reduction: eqx.AbstractVar[BlockReduction]

    @abc.abstractmethod
    def with_ghosts(self, state: Float[Array, "..."], axis: int, place: int) -> Float[Array, "..."]:
        """Cell means continued beyond both ends of an angle, whose place among the axes of the array is given."""

    @abc.abstractmethod
    def reconstruct(self, state: Float[Array, "..."]) -> Float[Array, "..."]:
        """Values of the polynomials at the Lobatto points [2, n_1, 4, n_2, 4, …], before the limiter."""

    @abc.abstractmethod
    def limiter_factor(self, state: Float[Array, "..."], values: Float[Array, "..."]) -> Float[Array, "..."]:
        """How far each polynomial may keep its deviation from the cell mean."""

    @abc.abstractmethod
    def cell_values(self, state: Float[Array, "..."]) -> Float[Array, "..."]:
        """Densities at the Lobatto points, limited so that nothing becomes negative."""

    @property
    def axes(self) -> range:
        """The angles."""
        return range(self.reduction.blocks.angles)

    def density(self, state: Float[Array, "..."], angles: Float[Array, "m k"]) -> Float[Array, "2 m"]:
        """The limited polynomials of the cells."""
        cells, blocks, padded = state.shape[1:], self.reduction.blocks, state
        for axis in self.axes:
            padded = self.with_ghosts(padded, axis, 1 + axis)
        width = (padded.shape[1] - cells[0]) // 2
        spacing = jnp.asarray([blocks.end(axis) / n for axis, n in enumerate(cells)], state.dtype)
        position = angles / spacing[None]
        index = jnp.clip(jnp.floor(position).astype(int), 0, np.array(cells)[None] - 1)
        offset = position - index.astype(position.dtype) - 0.5
        powers = offset[..., None] ** jnp.arange(2 * width + 1, dtype=offset.dtype)[None, None]
        rows = jnp.matmul(
            powers, jnp.asarray(stencil_polynomials(width), state.dtype), precision=_HIGHEST
        )  # [m, k, stencil]

        def patch(corner):
            start = (jnp.zeros((), corner.dtype), *corner)
            return jax.lax.dynamic_slice(padded, start, (2, *(2 * width + 1 for _ in cells)))

        values = jax.vmap(patch)(index)
        for axis in reversed(self.axes):
            values = jnp.einsum("m...s,ms->m...", values, rows[:, axis], precision=_HIGHEST)
        factor = self.limiter_factor(state, self.reconstruct(state))
        own = (slice(None), *index.T)
        return state[own] + factor[own] * (values.T - state[own])

    def atoms(self, state: Float[Array, "..."]) -> Atoms:
        """The limited polynomials at the Lobatto points of all cells."""
        blocks, cells = self.reduction.blocks, self.reduction.cells
        rules = [lobatto_points(n, blocks.end(axis)) for axis, n in enumerate(cells)]
        flat = np.meshgrid(*(points.T.ravel() for points, _ in rules), indexing="ij")
        rule = functools.reduce(np.multiply.outer, [np.tile(weights, points.shape[1]) for points, weights in rules])
        angles = jnp.asarray(np.stack([axis.ravel() for axis in flat], axis=1), state.dtype)
        values = self.cell_values(state).reshape(2, -1) * jnp.asarray(rule.ravel(), state.dtype)[None]
        return Atoms(jnp.broadcast_to(angles[None], (2, *angles.shape)), values)
