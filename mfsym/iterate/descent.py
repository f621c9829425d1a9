"""The rules that train along a flow: gradient descent, the heavy ball, and what an optimiser makes of the gradient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ..integrate import AbstractDynamics
from .rule import AbstractRule


class Descent(AbstractRule):
    """z ← z + η v, with v the velocity of a flow; with momentum β the heavy ball from rest, u ← β u + v, z ← z + η u.

    Without momentum it is the Euler scheme of the flow, and its clock η k is the flow time. (Polyak 1964.)
    With a `schedule` [K] of factors step k has the length η schedule_k, and the clock is the sum of the lengths so far.
    """

    dynamics: AbstractDynamics
    step: Float[Array, ""]
    momentum: Float[Array, ""] | None = None
    schedule: Float[Array, " K"] | None = None
    ends: Float[Array, " N"] | None = None  # N = K + 1 times, once it is prepared

    def prepare(self):
        """The same rule with the tables of the flow, and the times at which steps of a schedule end."""
        ends = None if self.schedule is None else self._ends(self.schedule)
        return Descent(self.dynamics.prepare(), self.step, self.momentum, self.schedule, ends)

    def time(self, index):
        """η k, or Σ η_j over j < k."""
        if self.schedule is None:
            return self.step * index.astype(self.step.dtype)
        times = self._ends(self.schedule) if self.ends is None else self.ends
        return jnp.interp(index.astype(times.dtype), jnp.arange(len(times), dtype=times.dtype), times)

    def _ends(self, schedule: Float[Array, " K"]) -> Float[Array, " N"]:
        return self.step * jnp.concatenate([jnp.zeros_like(schedule[:1]), jnp.cumsum(schedule)])

    def memory(self, state):
        """u = 0, and how many steps were made, where these matter."""
        moved = None if self.momentum is None else jax.tree.map(jnp.zeros_like, state)
        return moved, None if self.schedule is None else jnp.asarray(0)

    def velocity(self, index, state):
        """That of the flow."""
        return self.dynamics.velocity(self.time(index), state)

    def move(self, state, memory, velocity):
        """One step."""
        moved, made = memory
        if self.momentum is not None:
            velocity = moved = jax.tree.map(lambda u, v: self.momentum * u + v, moved, velocity)
        step = self.step if self.schedule is None else self.step * self.schedule[made]
        made = None if made is None else made + 1
        return jax.tree.map(lambda z, v: z + step * v, state, velocity), (moved, made)

    def observe(self, index, state):
        """What is observed of the flow."""
        return self.dynamics.observe(self.time(index), state)

    @property
    def clock(self) -> str:
        """What the clock is: momentum has no flow time."""
        return "flow time" if self.momentum is None else "step times number of steps"


class OptimisedDescent(AbstractRule):
    """What an optax optimiser makes of the gradient −v, with v the velocity of a flow whose clock counts steps."""

    dynamics: AbstractDynamics
    optimiser: optax.GradientTransformation = eqx.field(static=True)
    clock = "steps"

    def prepare(self):
        """The same rule with the tables of the flow."""
        return OptimisedDescent(self.dynamics.prepare(), self.optimiser)

    def time(self, index):
        """The number of steps."""
        return index.astype(jnp.result_type(float))

    def memory(self, state):
        """That of the optimiser."""
        return self.optimiser.init(state)

    def velocity(self, index, state):
        """That of the flow."""
        return self.dynamics.velocity(self.time(index), state)

    def move(self, state, memory, velocity):
        """One step."""
        moves, memory = self.optimiser.update(jax.tree.map(jnp.negative, velocity), memory, state)
        return jax.tree.map(lambda z, move: z + move.astype(z.dtype), state, moves), memory

    def observe(self, index, state):
        """What is observed of the flow."""
        return self.dynamics.observe(self.time(index), state)
