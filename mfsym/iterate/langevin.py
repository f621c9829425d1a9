"""Steps with noise: the Langevin rule."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ..integrate import AbstractDynamics
from .rule import AbstractRule


class AbstractNoise(eqx.Module):
    """What is added to a state at every step, drawn from a key of its own folded with the number of the step."""

    @abc.abstractmethod
    def kick(self, index: Int[Array, ""], step: Float[Array, ""], state: PyTree) -> PyTree:
        """That of step k = `index` of length `step`, a tree like the state."""


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
