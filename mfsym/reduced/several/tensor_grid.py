"""Finite volumes for τ^± in several angles: the scheme of one angle, along every axis.

Densities are per unit of the angles, so that the metric enters the speeds alone:

    ∂_t τ^ε = −ε Σ_a ∂_a(V_a τ^ε) + 2 ε G τ^ε,   V_a = ∂_a G / Π_{b<a} sin²θ_b.

The polynomial of every cell is evaluated at the tensor product of four Gauss–Lobatto points per axis, which contains the
points of the faces. Where a value is negative, or the outflow through the faces could empty the cell, it is pulled towards
the cell mean (Zhang & Shu 2010). No flux crosses a pole; `merging` says what happens next to it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...safe import quotient
from ..angles.pace import REACTION, Pace
from ..rules.stencil import LOBATTO_WEIGHTS, reconstruction_stencil
from .block_reduction import BlockReduction
from .density import AbstractTensorGrid
from .merging import Groups, pole_groups
from .nested_tables import analyse, synthesise
from .tensor_tables import GHOSTS, TensorTables, cell_integrals, tensor_tables

_HIGHEST = jax.lax.Precision.HIGHEST
OUTFLOW_SHARE = 1 / 4  # of its mean, what a cell may lose through each face of an axis in one Euler step


class BlockGridDynamics(AbstractTensorGrid):
    """The equation in k angles for the cell means of the densities, [2, n_1, …, n_k]."""

    reduction: BlockReduction
    limited: bool = eqx.field(static=True, default=True)
    tables: TensorTables | None = None
    pace: Pace | None = None

    @property
    def groups(self) -> Groups:
        """Cells that share a density near the poles."""
        return pole_groups(self.reduction.blocks, self.reduction.cells)

    def _spacing(self, axis: int) -> float:
        return self.reduction.blocks.end(axis) / self.reduction.cells[axis]

    def _volume(self) -> float:
        return float(np.prod([self._spacing(axis) for axis in self.axes]))

    def prepare(self):
        """Tables of harmonics and functionals."""
        tables = tensor_tables(self.reduction)
        return eqx.tree_at(lambda d: d.tables, self, tables, is_leaf=lambda leaf: leaf is None)

    def initial_state(self) -> Float[Array, "..."]:
        """Cell means of the start."""
        masses = self.reduction.masses.reshape(2, *(1,) * len(self.axes))
        return masses * self.reduction.probability[None] / self._volume()

    def velocity(self, t, state):
        """Rate of change of every cell mean."""
        potential, speeds = self.fields(state)
        values = self.cell_values(state)
        rate = self.transport(values, speeds) + self._reaction(values, potential)
        assert self.tables is not None
        share = self.tables.share
        change = jnp.stack([self.groups.average(part, share) for part in rate])
        return change if self.pace is None else self.pace.rate * (change - self.pace.loss * state)

    def fields(self, state) -> tuple[Float[Array, "..."], list[Float[Array, "..."]]]:
        """G at the Lobatto points [n_1, 4, n_2, 4, …], and V_a at the faces of every axis a, [n_1, 4, …, n_a + 1, …]."""
        assert self.tables is not None
        resolved = self.reduction.resolved()
        forces = resolved.forces(analyse(self.tables.moments, state[0] - state[1]))
        potential = self._to_cells(synthesise(self.tables.potential, forces), skip=None)
        speeds = [self._to_cells(synthesise(table, forces), skip=a) for a, table in enumerate(self.tables.speeds)]
        return potential, speeds

    def _to_cells(self, points: Float[Array, "..."], skip: int | None) -> Float[Array, "..."]:
        """From the points of an axis, shared by neighbours, to the four points of every cell, [n, 4] for every axis."""
        for axis in reversed(self.axes):
            if axis != skip:
                cells = self.reduction.cells[axis]
                points = jnp.take(points, 3 * np.arange(cells)[:, None] + np.arange(4)[None], axis=axis)
        return points

    def cell_values(self, state: Float[Array, "..."]) -> Float[Array, "..."]:
        """Densities at the Lobatto points [2, n_1, 4, n_2, 4, …], limited so that nothing becomes negative."""
        values = self.reconstruct(state)
        mean = self._spread(state)
        return mean + self._spread(self.limiter_factor(state, values)) * (values - mean)

    def _spread(self, cells: Float[Array, "..."]) -> Float[Array, "..."]:
        return cells.reshape(cells.shape[0], *(size for n in cells.shape[1:] for size in (n, 1)))

    def reconstruct(self, state: Float[Array, "..."]) -> Float[Array, "..."]:
        """Values of the polynomials at the Lobatto points, one axis after the other."""
        stencil = reconstruction_stencil(GHOSTS)
        for axis in self.axes:
            place = 1 + 2 * axis  # the axes before have become pairs (cell, point)
            padded = self.with_ghosts(state, axis, place)
            cells = self.reduction.cells[axis]
            shifted = [jax.lax.slice_in_dim(padded, s, s + cells, axis=place) for s in range(len(stencil[0]))]
            rows = [sum(float(c) * part for c, part in zip(row, shifted, strict=True)) for row in stencil]
            state = jnp.stack(rows, axis=place + 1)
        return state

    def with_ghosts(self, state: Float[Array, "..."], axis: int, place: int) -> Float[Array, "..."]:
        """Cell means continued beyond both ends of an angle, whose place among the axes of the array is given."""
        cells = self.reduction.cells[axis]
        lower, upper, flips = self.reduction.blocks.parity(axis)
        flipped = [place + 1 + i for i, flip in enumerate(flips) if flip]
        left = jnp.flip(jax.lax.slice_in_dim(state, 0, GHOSTS, axis=place), (place, *flipped))
        also = flipped if self.reduction.blocks.signed[axis] else []
        right = jnp.flip(jax.lax.slice_in_dim(state, cells - GHOSTS, cells, axis=place), (place, *also))
        return jnp.concatenate([lower * left, state, upper * right], axis=place)

    def limiter_factor(self, state: Float[Array, "..."], values: Float[Array, "..."]) -> Float[Array, "..."]:
        """How far each polynomial may keep its deviation from the cell mean u: 1 where nothing is negative.

        With factor φ the lowest value is u + φ(lowest − u) ≥ 0, and what is left when both faces of an axis have given their
        share s is u − s(2u + φ(faces − 2u)) ≥ 0. Both hold for φ = u / max(u, u − lowest, s(faces − 2u)/(1 − 2s)).
        """
        if not self.limited:
            return jnp.ones_like(state)
        lowest = jnp.min(values, axis=tuple(2 + 2 * axis for axis in self.axes))
        needed = jnp.maximum(state, state - lowest)
        for axis in self.axes:
            faces = self._face_average(values, axis, 0) + self._face_average(values, axis, 3)
            needed = jnp.maximum(needed, OUTFLOW_SHARE / (1 - 2 * OUTFLOW_SHARE) * (faces - 2 * state))
        return jnp.clip(quotient(state, jnp.maximum(needed, jnp.finfo(state.dtype).tiny)), 0.0, 1.0)

    def _face_average(self, values: Float[Array, "..."], axis: int, side: int) -> Float[Array, "..."]:
        return self._mean_over_points(jnp.take(values, side, axis=2 + 2 * axis), skip=axis)

    def _mean_over_points(self, values: Float[Array, "..."], skip: int | None) -> Float[Array, "..."]:
        """Means over the Lobatto points of every axis but `skip`, which has none; leading axis: the two signs."""
        weights = jnp.asarray(LOBATTO_WEIGHTS, values.dtype)
        for axis in reversed(self.axes):
            if axis != skip:
                # Axes before `axis` are pairs, except `skip`.
                place = 2 + 2 * axis - (1 if skip is not None and skip < axis else 0)
                values = jnp.tensordot(jnp.moveaxis(values, place, -1), weights, 1)
        return values

    def transport(self, values: Float[Array, "..."], speeds: list[Float[Array, "..."]]) -> Float[Array, "..."]:
        """−Σ_a ∂_a(±V_a τ^±) from upwind values at the faces; conserves the mass of each sign."""
        total = jnp.zeros((2, *self.reduction.cells), values.dtype)
        signs = jnp.asarray([1.0, -1.0], values.dtype)
        for axis in self.axes:
            place = 1 + 2 * axis
            speed = signs.reshape(2, *(1,) * speeds[axis].ndim) * speeds[axis][None]
            edge = [(1, 0) if a == place else (0, 0) for a in range(speed.ndim)]
            from_left = jnp.pad(jnp.take(values, 3, axis=place + 1), edge)
            from_right = jnp.pad(jnp.take(values, 0, axis=place + 1), [(0, b) if b else (0, 0) for b, _ in edge])
            flux = jnp.maximum(speed, 0.0) * from_left + jnp.minimum(speed, 0.0) * from_right
            flux = self._mean_over_points(flux, skip=axis)
            total = total - jnp.diff(flux, axis=1 + axis) / self._spacing(axis)
        return total

    def _reaction(self, values: Float[Array, "..."], potential: Float[Array, "..."]) -> Float[Array, "..."]:
        signs = jnp.asarray([1.0, -1.0], values.dtype).reshape(2, *(1,) * len(self.axes))
        return REACTION * signs * self._mean_over_points(values * potential[None], skip=None)

    def largest_step(self, state):
        """1 / max(Σ_a |V_a|/(share·h_a) + 2|G|): with it, an Euler step takes at most what a limited cell holds."""
        potential, speeds = self.fields(state)
        points = tuple(1 + 2 * axis for axis in self.axes)
        rate = REACTION * jnp.max(jnp.abs(potential), axis=points)
        groups = self.groups
        for axis, speed in enumerate(speeds):
            others = tuple(1 + 2 * a - (1 if a > axis else 0) for a in self.axes if a != axis)
            # Inside a group nothing is lost; its ends lose their share of what the group holds.
            face = jnp.max(jnp.abs(speed), axis=others) * jnp.asarray(groups.borders[axis], speed.dtype)
            lower, upper = (jax.lax.slice_in_dim(face, i, i + face.shape[axis] - 1, axis=axis) for i in (0, 1))
            loss = jnp.maximum(lower, upper) / (OUTFLOW_SHARE * self._spacing(axis))
            rate = rate + (loss if axis == 0 else self._group_rate(groups, loss))
        fastest = jnp.max(rate)
        if self.pace is not None:
            fastest = self.pace.rate * (fastest + self.pace.loss)
        return 1 / jnp.maximum(fastest, jnp.finfo(state.dtype).tiny)

    def _group_rate(self, groups: Groups, loss):
        assert self.tables is not None
        share = self.tables.share
        return groups.average(loss * share, share) / jnp.where(share > 0, share, 1.0)

    def observe(self, t, state):
        """Risk, masses and alignments."""
        assert self.tables is not None
        moments = analyse(self.tables.all_moments, state[0] - state[1])
        axes = tuple(range(1, state.ndim))
        masses = self._volume() * jnp.sum(state, axis=axes)
        outside = jnp.sum(state * self.tables.outside[None], axis=axes)
        return self.reduction.observables(moments, masses, outside)

    def predict(self, state, x):
        """f(x) from the moments of the cells."""
        return self.reduction.predict_moments(_moments(self.reduction, state), x)

    def network(self, state):
        """That of the cells."""
        assert self.tables is not None
        return self.reduction.network_of_moments(analyse(self.tables.all_moments, state[0] - state[1]))


@eqx.filter_jit
def _moments(reduction: BlockReduction, state: Float[Array, "..."]) -> Float[Array, "..."]:
    return analyse(cell_integrals(reduction), state[0] - state[1])
