"""What a cloud puts out at the rows of one block."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..neurons import AbstractRidgeCloud
from ..problem.units import AbstractUnit, is_ridge
from ..products import product


def cloud_outputs(cloud: PyTree, unit: AbstractUnit, x: Float[Array, "n d"]) -> Float[Array, "n *out"]:
    """f at the rows of one block, [n, *out]; cloud, unit and x share their floating type."""
    if is_ridge(unit) and isinstance(cloud, AbstractRidgeCloud):
        before = product(x, cloud.b.T)
        before = before if cloud.bias is None else before + cloud.bias[None]
        return jnp.matmul(unit.activation(before), cloud.a, precision=jax.lax.Precision.HIGHEST) / cloud.width
    neurons = jax.vmap(unit, in_axes=(0, None))
    return jax.vmap(lambda row: jnp.mean(neurons(cloud, row), axis=0))(x)
