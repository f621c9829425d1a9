"""Steps with noise: the Langevin rule."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..integrate import AbstractDynamics, AbstractNoise
from .rule import AbstractRule


class Langevin(AbstractRule):
    """z ← z + η v(z) + kick_k: the Euler–Maruyama scheme of dz = v dt + noise. Its clock η k is the flow time.

    What it remembers is k, so that a run that goes on from a checkpoint draws what it would have drawn.
    """

    dynamics: AbstractDynamics
    step: Float[Array, ""]
    noise: AbstractNoise
    clock = "flow time"

    def prepare(self):
        """The same rule with the tables of the flow."""
        return Langevin(self.dynamics.prepare(), self.step, self.noise)

    def time(self, index):
        """η k."""
        return self.step * index.astype(self.step.dtype)

    def memory(self, state):
        """k = 0."""
        return jnp.zeros((), int)

    def velocity(self, index, state):
        """That of the flow: the drift without noise."""
        return self.dynamics.velocity(self.time(index), state)

    def move(self, state, memory, velocity):
        """One step."""
        kick = self.noise.kick(memory, self.step, state)
        return jax.tree.map(lambda z, v, xi: z + self.step * v + xi, state, velocity, kick), memory + 1

    def observe(self, index, state):
        """What is observed of the flow."""
        return self.dynamics.observe(self.time(index), state)
