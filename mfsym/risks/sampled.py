"""The risk on fresh inputs: n new ones for every step."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..problem.problem import Problem
from .base import AbstractPredictorRisk
from .empirical import EmpiricalRisk


class SampledRisk(AbstractPredictorRisk):
    """The mean loss on `samples` inputs that are drawn afresh for every step of length `step`.

    The inputs of step k = round(t/step) come from `key` folded with k: the same key gives the same run. Value and
    velocity at one time use the same inputs, which the cloud has not seen before: both are unbiased.
    """

    problem: Problem
    key: PRNGKeyArray
    step: Float[Array, ""]
    samples: int = eqx.field(static=True)
    block_size: int | None = eqx.field(static=True, default=None)

    def prepare(self):
        """Nothing to prepare."""
        return self

    def index(self, t: Float[Array, ""]) -> Int[Array, ""]:
        """The number of the step that begins at t."""
        return jnp.round(t / self.step.astype(t.dtype)).astype(jnp.int32)

    def at_time(self, t):
        """The risk on the inputs of the step that begins at t."""
        x, y = self.problem.sample(jax.random.fold_in(self.key, self.index(t)), self.samples, self.step.dtype)
        return EmpiricalRisk(self.problem.target, self.problem.unit, self.problem.loss, x, y, None, self.block_size)

    def value(self, cloud):
        """The mean loss on the inputs of the first step."""
        return self.at_time(jnp.zeros((), self.step.dtype)).value(cloud)

    def velocity(self, cloud):
        """The velocity on the inputs of the first step."""
        return self.at_time(jnp.zeros((), self.step.dtype)).velocity(cloud)

    def energy(self, cloud):
        """The mean of f² over the inputs of the first step."""
        return self.at_time(jnp.zeros((), self.step.dtype)).energy(cloud)
