"""What a reduction on angles keeps of its target, and what of that the unit can represent."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...problem.units import AbstractHomogeneousUnit


class TargetCoefficients(NamedTuple):
    """η [L, …] on the harmonics, and the energies ½E of the parts that f* is made of.

    `even_energy` and `linear_energy` belong to the parts that the even harmonics and the linear one can represent in full
    (before any truncation); `unreachable_energy` is the rest, which no bias-free homogeneous network can learn.
    """

    values: Float[Array, "..."]
    even_energy: Float[Array, ""]
    linear_energy: Float[Array, ""]
    unreachable_energy: Float[Array, ""]


class TargetParts(NamedTuple):
    """What a reduction keeps of a target: coefficients η, the risk that no τ can remove, the energy beyond the features."""

    coefficients: Float[Array, "..."]
    floor: Float[Array, ""]
    tail: Float[Array, ""]

    def beyond(self, other: "TargetParts") -> "TargetParts":
        """Three times as far away as `other`: how near two rules come to each other is a matter of chance."""
        return TargetParts(*(own + 3 * (theirs - own) for own, theirs in zip(self, other, strict=True)))


def representable(found: TargetCoefficients, degree: np.ndarray, unit: AbstractHomogeneousUnit) -> TargetParts:
    """What is kept of a target whose coefficients belong to harmonics of these degrees [L], 1 or even.

    A part that the unit cannot represent is no coefficient but floor.
    """
    linear = (degree == 1).reshape(-1, *(1,) * (found.values.ndim - 1))
    no_even, no_odd = unit.even_slope == 0, unit.odd_slope == 0
    even_part = jnp.where(linear, 0.0, found.values)
    tail = jnp.where(no_even, 0.0, jnp.maximum(found.even_energy - 0.5 * jnp.sum(even_part**2), 0.0))
    floor = found.unreachable_energy + jnp.where(no_even, found.even_energy, 0.0)
    floor = floor + jnp.where(no_odd, found.linear_energy, 0.0)
    return TargetParts(jnp.where(jnp.where(linear, no_odd, no_even), 0.0, found.values), floor, tail)
