"""Directions and angles whose derivatives are finite everywhere, and the angle of a neuron to a subspace."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..safe import safe_norm

_EXACT = jax.lax.Precision.HIGHEST


def safe_direction(b: Float[Array, "m d"]) -> Float[Array, "m d"]:
    """b_j/‖b_j‖, [m, d], and 0 where b_j = 0."""
    norms = safe_norm(b)[:, None]
    return b / jnp.where(norms > 0, norms, 1)


def polar_angle(across: Float[Array, " m"], along: Float[Array, " m"]) -> Float[Array, " m"]:
    """θ = atan2(across, along) ∈ [0, π] for across ≥ 0; π/2, with derivative 0, where both are 0."""
    nothing = (across == 0) & (along == 0)
    return jnp.arctan2(jnp.where(nothing, 1, across), jnp.where(nothing, 0, along))


def split_by_subspace(
    b: Float[Array, "m d"], basis: Float[Array, "dim_h d"]
) -> tuple[Float[Array, "m dim_h"], Float[Array, "m d"]]:
    """Coordinates b_H [m, d_H] in an orthonormal basis of H, and the rest b_⊥ [m, d]."""
    along = jnp.matmul(b, basis.T, precision=_EXACT)
    return along, b - jnp.matmul(along, basis, precision=_EXACT)


def angle_to_subspace(b: Float[Array, "m d"], basis: Float[Array, "dim_h d"]) -> Float[Array, " m"]:
    """θ ∈ [0, π/2] with cos θ = ‖b_H‖/‖b‖, [m]."""
    along, across = split_by_subspace(b, basis)
    return polar_angle(safe_norm(across), safe_norm(along))
