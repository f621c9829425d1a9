"""The same equation by its characteristics: labels (ε, θ_0) that move and gain weight, with no grid.

    θ' = ε V(θ),   (log c)' = 2 ε G(θ),   ∫ f dτ^ε = Σ_i w_i e^{log density_i + log c_i} f(θ_i)

with the weights of a quadrature rule for the initial law: spectrally accurate as long as the flow map is smooth.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..integrate import AbstractDynamics
from .quotient import AngleReduction, node_rule
from .transport import REACTION, Pace, observables

_HIGHEST = jax.lax.Precision.HIGHEST
_SIGNS = np.array([[1.0], [-1.0]])


class CharacteristicState(eqx.Module):
    """Angles and log-weights of the labels of both signs, each [2, nodes]."""

    theta: Float[Array, "2 nodes"]
    log_weight: Float[Array, "2 nodes"]


class CharacteristicDynamics(AbstractDynamics):
    """Labels that move along the potential of their own law, at a `pace` and with weight decay λ:

    θ' = ε pace V, (log c)' = 2 pace (ε G − λ), which is exact for layers that start and stay balanced (derived).
    """

    reduction: AngleReduction
    pace: Pace | None = None

    def prepare(self):
        """Nothing to tabulate: the features are evaluated where the labels are."""
        return self

    def initial_state(self) -> CharacteristicState:
        """Labels at the nodes, with the weights of the rule times the initial density."""
        theta, weight = node_rule(self.reduction.nodes, self.reduction.end)
        theta = jnp.asarray(np.stack([theta, theta]), self.reduction.dtype)
        return CharacteristicState(theta, self.reduction.node_log_density + jnp.asarray(np.log(weight)[None], theta.dtype))

    def velocity(self, t, state):
        """(θ', (log weight)')."""
        reduction = self.reduction.resolved()
        values, slopes = reduction.features(state.theta)
        forces = reduction.factors * reduction.residual(_moments(values, state))
        signs = jnp.asarray(_SIGNS, state.theta.dtype)
        drift = signs * jnp.tensordot(forces, slopes, 1, precision=_HIGHEST)
        growth = REACTION * signs * jnp.tensordot(forces, values, 1, precision=_HIGHEST)
        if self.pace is None:
            return CharacteristicState(drift, growth)
        return CharacteristicState(self.pace.rate * drift, self.pace.rate * (growth - self.pace.loss))

    def largest_step(self, state):
        """No bound: nothing here can become negative."""
        return jnp.asarray(jnp.inf, state.theta.dtype)

    def observe(self, t, state):
        """Risk, masses, alignments and, on [0, π/2], Wasserstein distances to the two ends."""
        weight = jnp.exp(state.log_weight)
        squares = jnp.stack([jnp.cos(state.theta) ** 2, state.theta**2, (self.reduction.end - state.theta) ** 2], axis=1)
        averages = jnp.sum(squares * weight[:, None], axis=2)
        values, _ = self.reduction.features(state.theta)
        return observables(self.reduction, _moments(values, state), jnp.sum(weight, axis=1), averages)


def _moments(values: Float[Array, "M 2 nodes"], state: CharacteristicState) -> Float[Array, " M"]:
    weight = jnp.asarray(_SIGNS, state.theta.dtype) * jnp.exp(state.log_weight)
    return jnp.tensordot(values, weight, 2, precision=_HIGHEST)
