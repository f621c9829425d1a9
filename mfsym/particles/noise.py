"""The noise of training at a temperature."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import argument_error, check_key
from ..iterate import AbstractNoise
from ..problem.training import Training
from ..risks import stream
from ..types import KeyLike, RealLike
from .rates import rates_of


class ThermalNoise(AbstractNoise):
    """√(2 T η rate) P ξ_k for steps of length η, a rate for each layer, ξ_k standard normal in every number of the cloud.

    P projects where `training` confines it. ξ_k comes from `key` folded with k, in a stream that no fresh inputs come from.
    """

    training: Training
    key: PRNGKeyArray

    def kick(self, index, step, state):
        """That of step k."""
        leaves, structure = jax.tree.flatten(state)
        keys = jax.random.split(jax.random.fold_in(self.key, index), len(leaves))
        normal = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
        noise = jax.tree.unflatten(structure, normal)
        if self.training.confine is not None:
            noise = self.training.confine.project(noise)
        return jax.tree.map(lambda xi, rate: self._size(step, rate, xi.dtype) * xi, noise, rates_of(self.training, state))

    def _size(self, step: Float[Array, ""], rate: Float[Array, ""], dtype: np.dtype) -> Float[Array, ""]:
        return jnp.sqrt(2 * self.training.temperature * step * rate).astype(dtype)


def thermal_noise(training: Training | None, step: RealLike | None, key: KeyLike | None) -> ThermalNoise | None:
    """The noise of a training, None where it has no temperature; raises ArgumentError without a step, or without a key."""
    if training is None or not training.heated:
        return None
    if step is None:
        remedy = "Noise is added to every step: pass mf.Training(step=..., temperature=...), or step=."
        raise argument_error("step", "given where `training` has a temperature", None, remedy)
    if key is None:
        remedy = "Pass for example jax.random.key(0)."
        raise argument_error("key", "a JAX random key where `training` has a temperature", None, remedy)
    return ThermalNoise(training, stream(check_key(key), "noise"))
