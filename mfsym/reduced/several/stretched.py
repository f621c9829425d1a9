"""Gaussian inputs with a scale for every block: b acts as S b does for isotropic inputs, ψ(b) = ‖S b‖ ψ(S b/‖S b‖)."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..angles.coordinates import Blocks, to_angles, to_point
from .scattered import fields
from .waves import WaveTable


def stretched_angles(
    stretch: Float[Array, " K"] | None, angles: Float[Array, "n k"]
) -> tuple[Float[Array, "n k"], Float[Array, " n"]]:
    """Angles and size of S u, u the unit vectors with these angles."""
    if stretch is None:
        return angles, jnp.ones_like(angles[:, 0])
    points = to_point(angles) * stretch[None]
    return to_angles(points), jnp.linalg.norm(points, axis=1)


def stretched_potential(
    blocks: Blocks,
    waves: Sequence[WaveTable],
    stretch: Float[Array, " K"] | None,
    points: Float[Array, "n K"],
    forces: Float[Array, "..."],
) -> tuple[Float[Array, " n"], Float[Array, "n K"]]:
    """Φ(q) = ‖S q‖ G(S q/‖S q‖) and its gradient, G = Σ forces ψ."""
    scales = jnp.ones((), points.dtype) if stretch is None else stretch[None]
    signs = jnp.where(np.array([*blocks.signed, False])[None], 1.0, jnp.sign(points)).astype(points.dtype)
    stretched = scales * blocks.folded(points)
    norm, angles = jnp.linalg.norm(stretched, axis=1), to_angles(stretched)
    height, along = fields(blocks, waves, angles, forces)
    return norm * height, scales * signs * (height[:, None] * to_point(angles) + along)
