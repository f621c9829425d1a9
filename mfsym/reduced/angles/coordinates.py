"""Nested polar coordinates of a unit vector u split into blocks.

    |u_1| = cos θ_1, |u_2| = sin θ_1 cos θ_2, …, |u_k| = sin θ_1 ⋯ sin θ_{k−1} cos θ_k, |u_{k+1}| = sin θ_1 ⋯ sin θ_k

A radial block keeps only its norm, θ_i ∈ [0, π/2]; a signed coordinate is a block of dimension 1 that keeps its sign,
θ_i ∈ [0, π]; the last block is radial. For a uniform unit vector the angles are independent, and the round metric is
dθ_1² + sin²θ_1 (dθ_2² + sin²θ_2 (dθ_3² + …)).
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...safe import safe_norm, safe_root
from ..rules.quadrature import interval_end, node_rule
from .law import cell_probabilities, label_angles

MOST_ANGLES = 3


class Blocks(NamedTuple):
    """How R^d is split: the dimension of every block, and which of all but the last are signed coordinates."""

    dims: tuple[int, ...]
    signed: tuple[bool, ...]

    @property
    def angles(self) -> int:
        """Number of angles k; there are k + 1 blocks."""
        return len(self.signed)

    @property
    def stride(self) -> int:
        """2 where every block is radial, so that all harmonics have even degrees; else 1."""
        return 1 if any(self.signed) else 2

    def rest(self, axis: int) -> int:
        """Dimension of everything after block `axis`."""
        return sum(self.dims[axis + 1 :])

    def end(self, axis: int) -> float:
        """End of the interval [0, end] of an angle."""
        return interval_end(self.signed[axis])

    def parity(self, axis: int) -> tuple[float, float, tuple[bool, ...]]:
        """Sign of the density continued beyond both ends, and which later angles are reflected beyond a pole."""
        at_pole = (-1.0) ** (self.rest(axis) - 1)
        other = at_pole if self.signed[axis] else (-1.0) ** (self.dims[axis] - 1)
        return at_pole, other, self.signed[axis + 1 :]

    def probabilities(self, cells: tuple[int, ...]) -> np.ndarray:
        """Probability of every cell of the grid for a uniform unit vector, [n_1, …, n_k]."""
        rows = [cell_probabilities(n, self.dims[a], self.rest(a), self.signed[a]) for a, n in enumerate(cells)]
        return functools.reduce(np.multiply.outer, rows)

    def nodes(self, counts: tuple[int, ...]) -> np.ndarray:
        """Angles [N, k] at which labels start: a tensor product of `label_angles`."""
        return self._tensor([self._labels(axis, count)[0] for axis, count in enumerate(counts)])

    def log_rule(self, counts: tuple[int, ...]) -> np.ndarray:
        """Logarithms of the weights [N] of the tensor product of `node_rule`."""
        weights = [node_rule(count, self.end(axis))[1] for axis, count in enumerate(counts)]
        return np.sum(self._tensor([np.log(weight) for weight in weights]), axis=1)

    def log_law(self, counts: tuple[int, ...]) -> np.ndarray:
        """Log-density of the uniform law at the labels [N], per unit of the variables of these rules."""
        return np.sum(self._tensor([self._labels(axis, count)[1] for axis, count in enumerate(counts)]), axis=1)

    def _labels(self, axis: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return label_angles(count, self.dims[axis], self.rest(axis), self.signed[axis])

    @staticmethod
    def _tensor(rows: list[np.ndarray]) -> np.ndarray:
        """One entry of every row in all combinations, [N, k]."""
        return np.stack([mesh.ravel() for mesh in np.meshgrid(*rows, indexing="ij")], axis=1)

    def sides(self, inside: Float[Array, "n own"], outside: Float[Array, " n"] | None) -> Float[Array, "n K"]:
        """Signed coordinates and norms of the blocks of rows `inside` all blocks, or all but the last, whose squared norm is
        `outside`."""
        own = self.dims if outside is None else self.dims[:-1]
        parts = jnp.split(inside, np.cumsum(own)[:-1], axis=1)
        columns = [p[:, 0] if s else safe_norm(p) for p, s in zip(parts, (*self.signed, False), strict=False)]
        if outside is not None:
            columns.append(safe_root(outside))
        return jnp.stack(columns, axis=1)

    def folded(self, points: Float[Array, "n K"]) -> Float[Array, "n K"]:
        """Norms of blocks are what they are whatever their sign."""
        return jnp.where(np.array([*self.signed, False])[None], points, jnp.abs(points))

    def with_sides(self, directions: Float[Array, "n own"], points: Float[Array, "n K"]) -> Float[Array, "n own"]:
        """The leading blocks, of dimensions that sum to `own`, with these sides and the directions of the given rows."""
        count = int(np.searchsorted(np.cumsum(self.dims), directions.shape[1])) + 1
        parts = jnp.split(directions, np.cumsum(self.dims[:count])[:-1], axis=1)
        rows = []
        for i, part in enumerate(parts):
            unit = jnp.ones_like(part) if (*self.signed, False)[i] else part / jnp.linalg.norm(part, axis=1, keepdims=True)
            rows.append(points[:, i : i + 1] * unit)
        return jnp.concatenate(rows, axis=1)

    def pole(self, block: int) -> np.ndarray:
        """Angles [k] of a unit vector inside one block."""
        angles = np.full(self.angles, np.pi / 2)
        angles[block : block + 1] = 0.0
        return angles


def to_point(angles: Float[Array, "*n k"]) -> Float[Array, "*n blocks"]:
    """Signed coordinates and norms of the blocks of the unit vectors with these angles."""
    cosines, sines = jnp.cos(angles), jnp.sin(angles)
    products = jnp.cumprod(sines, axis=-1)
    before = jnp.concatenate([jnp.ones_like(sines[..., :1]), products[..., :-1]], axis=-1)
    return jnp.concatenate([before * cosines, products[..., -1:]], axis=-1)


def to_angles(point: Float[Array, "*n blocks"]) -> Float[Array, "*n k"]:
    """Angles of points whose entries are signed coordinates and norms of blocks, of any length."""
    squares = jnp.cumsum(point[..., ::-1] ** 2, axis=-1)[..., ::-1]
    after = jnp.sqrt(squares[..., 1:])
    return jnp.arctan2(after, point[..., :-1])


def tangents(angles: Float[Array, "*n k"]) -> Float[Array, "*n k blocks"]:
    """Orthonormal frame of the sphere in the directions of the angles, in the coordinates of `to_point`."""
    count = angles.shape[-1]
    rows = []
    for axis in range(count):
        # Block b < axis does not depend on this angle; the others are those of the angles from `axis` on, differentiated.
        inner = to_point(angles[..., axis + 1 :]) if axis + 1 < count else jnp.ones_like(angles[..., :1])
        cosine, sine = jnp.cos(angles[..., axis : axis + 1]), jnp.sin(angles[..., axis : axis + 1])
        zeros = jnp.zeros_like(angles[..., :axis])
        rows.append(jnp.concatenate([zeros, -sine, cosine * inner], axis=-1))
    return jnp.stack(rows, axis=-2)
