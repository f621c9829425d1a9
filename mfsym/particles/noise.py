"""The noise of training at a temperature."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import argument_error, check_key
from ..integrate import AbstractNoise
from ..problem.training import Training
from ..risks import stream
from ..types import KeyLike
from .rates import rates_of


class ThermalNoise(AbstractNoise):
    """√(2 T rate) P dW of a flow, √(2 T η rate) P ξ_k of steps of length η: a rate for each layer, ξ_k standard normal in
    every number of the cloud, P the projection of `training.confine`.

    The `key` is a stream that no fresh inputs come from.
    """

    training: Training
    key: PRNGKeyArray

    def spread(self, normal, time):
        """√(2 T rate time) P ξ."""
        if self.training.confine is not None:
            normal = self.training.confine.project(normal)
        return jax.tree.map(lambda xi, rate: self._size(time, rate, xi.dtype) * xi, normal, rates_of(self.training, normal))

    def _size(self, time: Float[Array, ""], rate: Float[Array, ""], dtype: np.dtype) -> Float[Array, ""]:
        return jnp.sqrt(2 * self.training.temperature * time * rate).astype(dtype)


def thermal_noise(training: Training | None, key: KeyLike | None) -> ThermalNoise | None:
    """The noise of a training, None where it has no temperature; raises ArgumentError without a key."""
    if training is None or not training.heated:
        return None
    if key is None:
        remedy = "Pass for example jax.random.key(0)."
        raise argument_error("key", "a JAX random key where `training` has a temperature", None, remedy)
    return ThermalNoise(key=stream(check_key(key), "noise"), training=training)
