"""Directions of labels, in coordinates of the sphere that fit their number of angles.

On one angle a label is that angle. On several it is the point u itself (signed coordinates and norms of blocks), so that no
pole needs care.
"""

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .coordinates import to_angles

SIGNS = np.array([[1.0], [-1.0]])  # of the two rows of a state


class AbstractDirections(eqx.Module):
    """Labels of both signs in balance: where they are, and the logarithms of their weights [2, N]."""

    log_weight: eqx.AbstractVar[Float[Array, "2 N"]]

    @property
    @abc.abstractmethod
    def coordinates(self) -> Float[Array, "2 N *c"]:
        """Coordinates of the directions: what moves."""

    @abc.abstractmethod
    def angles(self) -> Float[Array, "2 N k"]:
        """Their angles."""

    @abc.abstractmethod
    def rates(self, coordinates: Float[Array, "2 N *c"], log_weight: Float[Array, "2 N"]) -> "AbstractDirections":
        """Both derivatives in time, as such a state."""

    def signed(self) -> Float[Array, "2 N"]:
        """Weights in τ⁺ − τ⁻."""
        return jnp.asarray(SIGNS, self.log_weight.dtype) * jnp.exp(self.log_weight)


class CharacteristicState(AbstractDirections):
    """Angles and log-weights of the labels of both signs, each [2, nodes]."""

    theta: Float[Array, "2 nodes"]
    log_weight: Float[Array, "2 nodes"]

    @property
    def coordinates(self):
        """θ."""
        return self.theta

    def angles(self):
        """θ."""
        return self.theta[..., None]

    def rates(self, coordinates, log_weight):
        """(θ', (log weight)')."""
        return CharacteristicState(coordinates, log_weight)


class BlockLabelState(AbstractDirections):
    """Points [2, N, k+1] and log-weights [2, N] of the labels of both signs."""

    point: Float[Array, "2 N K"]
    log_weight: Float[Array, "2 N"]

    @property
    def coordinates(self):
        """u."""
        return self.point

    def angles(self):
        """Of points of any length."""
        return to_angles(self.point)

    def rates(self, coordinates, log_weight):
        """(u', (log weight)')."""
        return BlockLabelState(coordinates, log_weight)
