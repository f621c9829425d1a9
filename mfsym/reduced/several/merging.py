"""Cells near a pole, where an angle loses its meaning, joined to groups of a useful width.

At θ_1 = 0 the arc that a cell of θ_2 spans is sin θ_1 times its angle. A signed coordinate after a pole gives neurons an
angular speed of order 1/sin θ_1, so that these cells alone would dictate steps of order h². Neighbouring cells whose arc
is shorter than a quarter of a cell therefore share one density relative to the uniform law. That is conservative, keeps
every density non-negative, is exact for the start, and leaves the time step within a factor 4 of what the bulk allows.
Radial blocks need none of this: their potential is even, and their angular speed stays bounded.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..angles.coordinates import Blocks

_SHORTEST = 0.25  # arc of a group, in units of the widest cell of the axes


class Groups(NamedTuple):
    """Which group every cell belongs to, and the faces between different groups (host arrays, fixed by the grid alone)."""

    index: np.ndarray
    count: int
    borders: tuple[np.ndarray, ...]

    def average(self, density: Float[Array, "*s"], share: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Σ_group density · (share of each cell in the uniform law of its group)."""
        if self.count == self.index.size:
            return density
        total = jax.ops.segment_sum(density.ravel(), self.index.ravel(), self.count)
        return total[self.index.ravel()].reshape(density.shape) * share

    def share(self, uniform: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """uniform / Σ_group uniform, evenly where the uniform law underflows."""
        index = self.index.ravel()
        total = jax.ops.segment_sum(uniform.ravel(), index, self.count)[index].reshape(uniform.shape)
        even = (1 / np.bincount(index, minlength=self.count))[index].reshape(uniform.shape)
        safe = jnp.where(total > 0, total, 1.0)
        return jnp.where(total > 0, uniform / safe, jnp.asarray(even, uniform.dtype))


@functools.lru_cache(maxsize=16)
def pole_groups(blocks: Blocks, cells: tuple[int, ...]) -> Groups:
    """Groups of the cells of a grid."""
    spacing = [blocks.end(axis) / n for axis, n in enumerate(cells)]
    centres = [spacing[axis] * (np.arange(n) + 0.5) for axis, n in enumerate(cells)]
    index = np.zeros(cells, int)
    shortest = _SHORTEST * max(spacing)
    count = 0
    for row in np.ndindex(cells[:1]):
        patch, size = _patch(blocks, 1, cells, centres, spacing, float(np.sin(centres[0][row[0]])), shortest)
        index[row] = patch + count
        count += size
    return Groups(index, count, tuple(_borders(index, axis) for axis in range(len(cells))))


def _patch(blocks, axis, cells, centres, spacing, radius, shortest) -> tuple[np.ndarray, int]:
    """Groups of the angles from `axis` on, on a sphere of the given radius."""
    if axis == len(cells):
        return np.zeros((), int), 1
    along = _chunks(cells[axis], radius * spacing[axis], shortest, any(blocks.signed[axis:]))
    out, count = np.zeros(cells[axis:], int), 0
    for chunk in along:
        inner = radius * float(np.sin(centres[axis][chunk]).max())
        patch, size = _patch(blocks, axis + 1, cells, centres, spacing, inner, shortest)
        out[chunk] = patch[None] + count
        count += size
    return out, count


def _chunks(cells: int, arc: float, shortest: float, needed: bool) -> list[np.ndarray]:
    groups = cells if not needed else int(np.clip(np.floor(cells * arc / shortest), 1, cells))
    return np.array_split(np.arange(cells), groups)


def _borders(index: np.ndarray, axis: int) -> np.ndarray:
    """1 at the faces of an axis between different groups, 0 inside a group and at both ends; [.., n + 1, ..]."""
    inner = (np.diff(index, axis=axis) != 0).astype(float)
    edges = [(1, 1) if a == axis else (0, 0) for a in range(index.ndim)]
    return np.pad(inner, edges)
