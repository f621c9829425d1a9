"""The equation in several angles by its characteristics: labels that move on the sphere and gain weight.

    u' = ε ∇G(u),   (log c)' = 2 ε G(u),   ∫ f dτ^ε = Σ_i w_i c_i f(u_i)

at the `pace` of a training that keeps the layers in balance, and with its weight decay. A label is a point (signed
coordinates and norms of the blocks of u), so that no pole needs care.
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..base import Atoms
from .angular import AbstractAngularDynamics, refuse_density
from .block_reduction import BlockReduction
from .coordinates import to_angles, to_point
from .pace import REACTION, Pace


class BlockLabelState(eqx.Module):
    """Points [2, N, k+1] and log-weights [2, N] of the labels of both signs."""

    point: Float[Array, "2 N K"]
    log_weight: Float[Array, "2 N"]


class BlockLabelDynamics(AbstractAngularDynamics):
    """Labels that move along the potential of their own law."""

    has_density: ClassVar[bool] = False
    balanced: ClassVar[bool] = True
    reduction: BlockReduction
    pace: Pace | None = None

    def prepare(self):
        """Nothing to tabulate: the features are evaluated where the labels are."""
        return self

    def initial_state(self) -> BlockLabelState:
        """Labels at the nodes, with the weights of the rule times the initial masses."""
        reduction = self.reduction
        point = to_point(reduction.node_angles)
        weight = reduction.node_log_weight[None] + jnp.log(reduction.masses)[:, None]
        return BlockLabelState(jnp.stack([point, point]), weight)

    def velocity(self, t, state):
        """(u', (log weight)')."""
        reduction = self.reduction.resolved()
        # Points stay on their sphere, whose radius rounding and step errors change: the gradient is that at u/‖u‖.
        points = (state.point / jnp.linalg.norm(state.point, axis=-1, keepdims=True)).reshape(-1, state.point.shape[-1])
        growth, gradient = reduction.potential(points, reduction.forces(moments(reduction, state)))
        drift = gradient - growth[:, None] * points  # u·∇Φ = Φ, as Φ is 1-homogeneous
        signs = jnp.asarray([1.0, -1.0], growth.dtype)
        change = BlockLabelState(
            signs[:, None, None] * drift.reshape(state.point.shape), REACTION * signs[:, None] * growth.reshape(2, -1)
        )
        if self.pace is None:
            return change
        rate, loss = self.pace.rate, self.pace.loss
        return BlockLabelState(rate * change.point, rate * (change.log_weight - loss))

    def largest_step(self, state):
        """No bound: nothing here can become negative."""
        return jnp.asarray(jnp.inf, state.point.dtype)

    def observe(self, t, state):
        """Risk, masses and alignments."""
        return self.reduction.observe_atoms(self.atoms(state))

    def admissible(self, state):
        """Finite points; a weight may be 0."""
        return bool(np.all(np.isfinite(state.point)) & np.all(state.log_weight < np.inf))

    def event(self):
        """None: labels in balance turn and grow for ever."""

    def atoms(self, state):
        """The labels."""
        return Atoms(to_angles(state.point), jnp.exp(state.log_weight))

    def predict(self, state, x):
        """f(x) from the moments of the labels."""
        return self.reduction.predict_moments(moments(self.reduction, state), x)

    def network(self, state):
        """That of the labels."""
        return self.reduction.network_of_moments(moments(self.reduction, state))

    def density(self, state, angles):
        """Refused."""
        refuse_density()


def moments(reduction: BlockReduction, state: BlockLabelState) -> Float[Array, "..."]:
    """ψ̂ = ∫ψ d(τ⁺ − τ⁻)."""
    weight = jnp.asarray([[1.0], [-1.0]], state.log_weight.dtype) * jnp.exp(state.log_weight)
    return reduction.moments(to_angles(state.point).reshape(-1, reduction.blocks.angles), weight.ravel())
