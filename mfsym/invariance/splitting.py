"""Steps on fresh inputs that measure their own noise, by two halves of every batch."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..risks import AbstractRisk, EmpiricalRisk, SampledRisk
from ..types import Cloud
from .subspaces import Subspace, rows_of


class Noisy(eqx.Module):
    """A cloud in training, and the second moment [p, p] of what the noise of batches has moved its neurons out of E."""

    cloud: Cloud
    noise: Float[Array, "p p"]


class SplitRisk(AbstractRisk):
    """Descends the mean loss on fresh inputs, and adds up Σ_k mean_i P^⊥n nᵀP^⊥, n = η (v¹_i − v²_i)/2 of step k.

    v¹ and v² are the velocities of neuron i on the two halves of the batch, so that n has the covariance of the noise in the
    step. Weight decay λ pulls the cloud alone. (Derived.)
    """

    risk: SampledRisk
    subspace: Subspace
    decay: Float[Array, ""]

    def prepare(self):
        """Nothing to prepare."""
        return self

    def at_time(self, t):
        """Both halves of the inputs of the step that begins at t."""
        now, count = self.risk.at_time(t), self.risk.samples // 2
        first, second = (_rows(now, part) for part in (slice(None, count), slice(count, None)))
        return HalvedRisk(first, second, self.subspace, self.decay, self.risk.step)

    def value(self, state):
        """The mean loss on the inputs of the first step."""
        return self._first().value(state)

    def velocity(self, state):
        """The velocity of the first step."""
        return self._first().velocity(state)

    def _first(self) -> "HalvedRisk":
        return self.at_time(jnp.zeros((), self.risk.step.dtype))


def _rows(risk: EmpiricalRisk, rows: slice) -> EmpiricalRisk:
    """The risk on some of its samples."""
    assert risk.y is not None
    return eqx.tree_at(lambda r: (r.x, r.y), risk, (risk.x[rows], risk.y[rows]))


class HalvedRisk(AbstractRisk):
    """The same on the inputs of one step, in two halves."""

    first: EmpiricalRisk
    second: EmpiricalRisk
    subspace: Subspace
    decay: Float[Array, ""]
    step: Float[Array, ""]

    def prepare(self):
        """Nothing to prepare."""
        return self

    def at_time(self, t):
        """Itself."""
        return self

    def value(self, state):
        """The mean over both halves."""
        return (self.first.value(state.cloud) + self.second.value(state.cloud)) / 2

    def velocity(self, state):
        """Of the neurons, and of the second moment of the noise in flow time."""
        one, other = self.first.velocity(state.cloud), self.second.velocity(state.cloud)
        forces = jax.tree.map(lambda v, w, z: (v + w) / 2 - self.decay.astype(z.dtype) * z, one, other, state.cloud)
        noise = rows_of(jax.tree.map(lambda v, w: (v - w) / 2, one, other))
        outside = noise - self.subspace.within(noise)
        spread = jnp.matmul(outside.T, outside, precision=jax.lax.Precision.HIGHEST) / outside.shape[0]
        return Noisy(forces, self.step.astype(spread.dtype) * spread)
