"""Between vectors of R^d and points, the signed coordinates and norms of their blocks.

H is spanned by the rows of `basis`, or by the first coordinates. The last block is what H leaves if there is a `remainder`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..angles.coordinates import Blocks

_HIGHEST = jax.lax.Precision.HIGHEST


def points_of_vectors(
    blocks: Blocks, basis: Float[Array, "dim_h d"] | None, remainder: bool, x: Float[Array, "n d"]
) -> Float[Array, "n K"]:
    """The point of every row."""
    inside = x[:, : _own(blocks, remainder)] if basis is None else jnp.matmul(x, basis.T, precision=_HIGHEST)
    outside = jnp.sum(x**2, axis=1) - jnp.sum(inside**2, axis=1) if remainder else None
    return blocks.sides(inside, outside)


def vectors_of_points(
    blocks: Blocks,
    basis: Float[Array, "dim_h d"] | None,
    remainder: bool,
    points: Float[Array, "n K"],
    directions: Float[Array, "n d"],
) -> Float[Array, "n d"]:
    """Vectors with these points, and the directions of the given rows inside the blocks."""
    if basis is None:
        basis = jnp.eye(_own(blocks, remainder), sum(blocks.dims), dtype=points.dtype)
    inside = jnp.matmul(directions, basis.T, precision=_HIGHEST)
    outside = directions - jnp.matmul(inside, basis, precision=_HIGHEST)
    vectors = jnp.matmul(blocks.with_sides(inside, points), basis, precision=_HIGHEST)
    if not remainder:
        return vectors
    return vectors + points[:, -1:] * outside / jnp.linalg.norm(outside, axis=1, keepdims=True)


def _own(blocks: Blocks, remainder: bool) -> int:
    """Dimension of H."""
    return sum(blocks.dims[:-1] if remainder else blocks.dims)
