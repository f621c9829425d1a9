"""The same equation by its characteristics: labels (ε, θ_0) that move and gain weight, with no grid.

    θ' = ε V(θ),   (log c)' = 2 ε G(θ),   ∫ f dτ^ε = Σ_i w_i e^{log density_i + log c_i} f(θ_i)

with the weights of a quadrature rule for the initial law: spectrally accurate as long as the flow map is smooth.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..angles.angular import AbstractAngularDynamics, network_of_atoms, refuse_density
from ..angles.pace import REACTION, Pace
from ..base import Atoms
from ..rules.quadrature import node_rule
from .angle_reduction import AngleReduction

_HIGHEST = jax.lax.Precision.HIGHEST
_SIGNS = np.array([[1.0], [-1.0]])


class CharacteristicState(eqx.Module):
    """Angles and log-weights of the labels of both signs, each [2, nodes]."""

    theta: Float[Array, "2 nodes"]
    log_weight: Float[Array, "2 nodes"]


class CharacteristicDynamics(AbstractAngularDynamics):
    """Labels that move along the potential of their own law, at a `pace` and with weight decay λ:

    θ' = ε pace V, (log c)' = 2 pace (ε G − λ), which is exact for layers that start and stay balanced (derived).
    """

    has_density: ClassVar[bool] = False
    balanced: ClassVar[bool] = True
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
        return self.reduction.observe_atoms(self.atoms(state))

    def admissible(self, state):
        """Finite angles; a weight may be 0."""
        return bool(np.all(np.isfinite(state.theta)) & np.all(state.log_weight < np.inf))

    def event(self):
        """None: labels in balance turn and grow for ever."""

    def atoms(self, state):
        """The labels."""
        return Atoms(state.theta[..., None], jnp.exp(state.log_weight))

    def predict(self, state, x):
        """f(x) of the labels."""
        return self.reduction.predict_atoms(self.atoms(state), x)

    def network(self, state):
        """That of the labels."""
        return network_of_atoms(self.reduction, self.atoms(state))

    def density(self, state, angles):
        """Refused."""
        refuse_density()


def _moments(values: Float[Array, "M 2 nodes"], state: CharacteristicState) -> Float[Array, " M"]:
    weight = jnp.asarray(_SIGNS, state.theta.dtype) * jnp.exp(state.log_weight)
    return jnp.tensordot(values, weight, 2, precision=_HIGHEST)
