"""What a cloud puts out at the rows of one block."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..neurons import AbstractRidgeCloud, BiasedParticles
from ..problem.units import AbstractRidgeUnit, AbstractUnit
from ..products import product


def cloud_outputs(cloud: PyTree, unit: AbstractUnit, x: Float[Array, "n d"]) -> Float[Array, "n *out"]:
    """f at the rows of one block, [n, *out]; cloud, unit and x share their floating type."""
    if isinstance(unit, AbstractRidgeUnit) and isinstance(cloud, AbstractRidgeCloud):
        before = product(x, cloud.b.T)
        before = before + cloud.bias[None] if isinstance(cloud, BiasedParticles) else before
        return jnp.matmul(unit.activation(before), cloud.a, precision=jax.lax.Precision.HIGHEST) / cloud.width
    neurons = jax.vmap(unit, in_axes=(0, None))
    return jax.vmap(lambda row: jnp.mean(neurons(cloud, row), axis=0))(x)
