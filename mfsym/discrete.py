"""Training in finite steps: gradient descent and the heavy ball as systems whose clock counts steps."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .errors import Words, argument_error, is_traced
from .integrate import AbstractDynamics, Stepping, bound_on_steps, cast_floats, integrate, relative_speed
from .solution import Solution


class DiscreteDynamics(AbstractDynamics):
    """u ← β u + velocity(η k, z), z ← z + η u as one Euler step of length 1; without momentum u is the velocity.

    The clock counts steps, so that no rounding of times can add or drop a step.
    """

    flow: AbstractDynamics
    step: Float[Array, ""]
    momentum: Float[Array, ""] | None

    def prepare(self):
        """The same steps of the prepared flow."""
        return DiscreteDynamics(self.flow.prepare(), self.step, self.momentum)

    def initial_state(self, state: PyTree) -> tuple[PyTree, PyTree]:
        """From rest: u = 0."""
        return state, None if self.momentum is None else jax.tree.map(jnp.zeros_like, state)

    def velocity(self, t, state):
        """The differences of one step."""
        place, motion = state
        velocity = self.flow.velocity(self.step * t, place)
        if motion is None:
            return jax.tree.map(lambda v: self.step * v, velocity), None
        following = jax.tree.map(lambda u, v: self.momentum * u + v, motion, velocity)
        difference = jax.tree.map(jnp.subtract, following, motion)
        return jax.tree.map(lambda u: self.step * u, following), difference

    def observe(self, t, state):
        """What is observed of the flow."""
        return self.flow.observe(self.step * t, state[0])

    def largest_step(self, state):
        """No bound: the step is given."""
        return jnp.asarray(jnp.inf)


@relative_speed.register
def _(dynamics: DiscreteDynamics, t, state):
    """That of the flow at the place: the gradient velocity, without the step and without the momentum."""
    return relative_speed(dynamics.flow, dynamics.step * t, state[0])


def take_steps(
    dynamics: AbstractDynamics,
    state: PyTree,
    ts: Float[Array, " T"],
    step: Float[Array, ""],
    momentum: Float[Array, ""] | None,
    model: PyTree = None,
    **options: Any,
) -> Solution:
    """Run gradient descent of a flow (or the heavy ball, from rest) in steps η and record it at `ts` [T].

    `options` are those of `Stepping`. Raises ArgumentError if a time is not a multiple of the step.
    """
    counts = check_multiples(ts, step)
    dtype = jnp.result_type(*jax.tree.leaves(state))
    discrete = DiscreteDynamics(dynamics, step, momentum)
    discrete = cast_floats(discrete, dtype)
    stepping = Stepping("euler", rtol=1.0, atol=1.0, step=1.0, **options)  # a fixed step has no tolerance
    solution = integrate(discrete, discrete.initial_state(state), counts, stepping, model)
    final, states = solution.final[0], None if solution.states is None else solution.states[0]
    stats = solution.stats
    if "stopped_at" in stats:
        stats = stats | {"stopped_at": stats["stopped_at"] * step.astype(dtype)}
    clock = "flow time" if momentum is None else "step times number of steps"  # momentum has no flow time
    return dataclasses.replace(solution, ts=ts.astype(dtype), final=final, states=states, stats=stats, clock=clock)


def bound_on_multiples(ts: Float[Array, " T"], step: Float[Array, ""]) -> int:
    """A bound on the steps of a run whose times are found to be multiples of the step; for those who compile it."""
    check_multiples(ts, step)
    return bound_on_steps(ts, step)


def check_multiples(ts: Float[Array, " T"], step: Float[Array, ""]) -> Float[Array, " T"]:
    """The numbers of steps ts/step [T], whole numbers."""
    counts = ts / step.astype(ts.dtype)
    whole = jnp.round(counts)
    if is_traced(counts):
        return whole
    distance = np.abs(np.asarray(counts - whole))
    if np.any(distance > 1e-4 + 4 * jnp.finfo(ts.dtype).eps * np.asarray(whole)):
        got = Words(f"{float(ts[int(np.argmax(distance))]):g} with step {float(step):g}")
        remedy = "Gradient descent is known after whole steps only: pass for example step * jnp.arange(101)."
        raise argument_error("ts", "multiples of the step", got, remedy)
    return whole
