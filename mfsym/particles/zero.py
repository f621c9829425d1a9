"""The point that several flow lines can leave: a neuron with b = 0 and a ≠ 0, where the slope of the risk has no limit."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..errors import is_traced
from ..neurons import Particles
from ..problem.training import Training
from ..problem.units import AbstractHomogeneousUnit, AbstractUnit, homogeneous_neurons
from ..safe import safe_norm
from ..types import Cloud, RealLike

_AT_REST = 100.0  # a neuron is at rest where |a| is not larger than so many times the ‖b‖ that counts as 0
_OF_START = 1e-3  # of ‖b‖ at time 0: what counts as 0 at most


def comes_to_zero(nearest: Float[Array, " m"], cloud: Particles) -> Bool[Array, ""]:
    """Whether a neuron is as near to b = 0 as `nearest`, with an a that is not."""
    return jnp.any((safe_norm(cloud.b) <= nearest) & (jnp.abs(cloud.a) > _AT_REST * nearest))


def nearest_to_zero(
    unit: AbstractUnit | None, training: Training | None, cloud: Cloud, tolerance: RealLike
) -> Float[Array, " m"] | None:
    """The ‖b‖ of every neuron that time steps of a given absolute error cannot tell from 0, [m].

    None where no neuron comes there: a unit that is linear or not homogeneous, or neurons that have |a| ≤ ‖b‖. For
    a²/rate_a − ‖b‖²/rate_b is conserved, and with equal rates weight decay keeps its sign. Unknown neurons are watched.
    """
    found = homogeneous_neurons(unit, cloud)
    if found is None or _is_linear(found[0]):
        return None
    cloud = found[1]
    sizes = jnp.abs(cloud.a), safe_norm(cloud.b)
    if not any(map(is_traced, sizes)) and not _may_come_to_zero(training, *sizes):
        return None
    # Error control holds the root mean square over all numbers, so that one of them may err by the root of their count.
    count, inner = cloud.a.size + cloud.b.size, sizes[1]
    error = 10 * math.sqrt(count) * jnp.asarray(tolerance, cloud.dtype)
    rounding = math.sqrt(jnp.finfo(cloud.dtype).eps) * inner
    return jnp.minimum(_OF_START * inner, jnp.maximum(error, rounding))


def _is_linear(unit: AbstractHomogeneousUnit) -> bool:
    return not is_traced(unit.even_slope) and float(unit.even_slope) == 0


def _may_come_to_zero(training: Training | None, outer: Float[Array, " m"], inner: Float[Array, " m"]) -> bool:
    training = Training() if training is None else training
    rates = training.rate_a, training.rate_b
    if any(map(is_traced, rates)) or (training.decays and not training.same_rates):
        return True
    root_a, root_b = (math.sqrt(float(rate)) for rate in rates)
    beyond_rounding = 1 + 100 * float(jnp.finfo(inner.dtype).eps)
    return bool(jnp.any(root_b * outer > beyond_rounding * root_a * inner))
