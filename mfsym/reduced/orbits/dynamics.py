"""The flow of weighted labels on the orbits of a problem."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import Words, argument_error
from ..stepped import AbstractSteppedForm
from .quotient import OrbitReduction


class OrbitDynamics(AbstractSteppedForm):
    """a' = rate_a (E[R Ψ] − λ a), and q and β at rate_b likewise: those of the neurons, label by label.

    A step of descent is a step of every neuron, exactly: norms of blocks are then coordinates along fixed directions and
    may change sign, in which Ψ is even.
    """

    reduction: OrbitReduction
    rates: Float[Array, " 2"]
    weight_decay: Float[Array, ""]

    def prepare(self):
        """Nothing to tabulate: the averages are taken where the labels are."""
        return self

    def initial_state(self):
        """The start of the problem."""
        return self.reduction.labels.state

    def velocity(self, t, state):
        """(a', q', β')."""
        forces = jax.tree.map(lambda f, z: f - self.weight_decay * z, self.reduction.velocity(state), state)
        rate_a, rate_b = self.rates
        bias = rate_b * forces.bias if self.reduction.biased else jnp.zeros_like(forces.bias)
        return eqx.tree_at(lambda f: (f.a, f.q, f.bias), forces, (rate_a * forces.a, rate_b * forces.q, bias))

    def largest_step(self, state):
        """No bound: every state is admissible."""
        return jnp.asarray(jnp.inf, state.a.dtype)

    def observe(self, t, state):
        """See `OrbitReduction.observe`."""
        return self.reduction.observe(state)

    def admissible(self, state):
        """Finite."""
        return all(bool(np.all(np.isfinite(leaf))) for leaf in jax.tree.leaves(state))

    def event(self):
        """None."""

    def atoms(self, state):
        """Refused."""
        got = Words("one by labels of neurons of any size")
        raise argument_error(
            "solution", "one with angles and masses", got, "Its labels are (a, q, β) with `model.labels.weight`."
        )

    def predict(self, state, x):
        """f(x), by the average over the orbit of x."""
        return self.reduction.predict(state, self.reduction.blocks.coordinates(x.astype(self.reduction.dtype)))
