"""What a state in several angles shows."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .quotient import BlockReduction


def observables(
    reduction: BlockReduction, moments: Float[Array, "..."], masses: Float[Array, " 2"], outside: Float[Array, " 2"]
) -> dict[str, Array]:
    """Risk, masses, and alignments: the mean of ‖b_H‖²/‖b‖², H being all blocks but the last.

    `outside` is ∫ (share of the last block in ‖u‖²) dτ^±.
    """
    share = jnp.where(masses > 0, outside / jnp.where(masses > 0, masses, 1.0), jnp.nan)
    aligned = 1 - share if reduction.remainder else jnp.where(masses > 0, 1.0, jnp.nan)
    return {
        "risk": reduction.risk(moments) + reduction.tail,
        "mass_plus": masses[0],
        "mass_minus": masses[1],
        "alignment_plus": aligned[0],
        "alignment_minus": aligned[1],
    }
