"""Neurons in balance by their characteristics, in any number of angles: labels that turn and gain weight, with no grid.

    u' = ε ∇G(u) on the sphere,   (log c)' = 2 ε G(u),   ∫ f dτ^ε = Σ_i w_i c_i f(u_i)

at the `pace` of a training that keeps the layers in balance, and with its weight decay; w_i are the weights of a quadrature
rule for the start: spectrally accurate as long as the flow map is smooth. `directions` says what moves.
"""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from ..base import Atoms
from .angular import AbstractAngularReduction
from .directions import SIGNS, AbstractDirections
from .forms import AbstractLabelForm
from .pace import REACTION, Pace


class CharacteristicDynamics(AbstractLabelForm):
    """Labels that move along the potential of their own law, at a `pace` and with weight decay λ:

    u' = ε pace ∇G, (log c)' = 2 pace (ε G − λ), which is exact for layers that start and stay balanced (derived).
    """

    balanced: ClassVar[bool] = True
    reduction: AbstractAngularReduction
    pace: Pace | None = None

    def prepare(self):
        """Nothing to tabulate: the features are evaluated where the labels are."""
        return self

    def initial_state(self) -> AbstractDirections:
        """Labels at the nodes, with the weights of the rule times the masses of the start."""
        return self.reduction.labels_in_balance()

    def velocity(self, t, state):
        """(u', (log weight)')."""
        potential, gradient = self.reduction.own_fields(state)
        plus = jnp.asarray(SIGNS, potential.dtype)
        growth = REACTION * plus * potential
        turning = jnp.expand_dims(plus, range(2, gradient.ndim)) * gradient
        if self.pace is None:
            return state.rates(turning, growth)
        return state.rates(self.pace.rate * turning, self.pace.rate * (growth - self.pace.loss))

    def admissible(self, state):
        """Finite directions; a weight may be 0."""
        return bool(np.all(np.isfinite(state.coordinates)) & np.all(state.log_weight < np.inf))

    def event(self):
        """None: labels in balance turn and grow for ever."""

    def atoms(self, state):
        """The labels."""
        return Atoms(state.angles(), jnp.exp(state.log_weight))
