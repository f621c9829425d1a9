"""The law of a cloud on the quotient by a continuous group: the invariants of each neuron."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import argument_error, check_instance
from ..groups import BlockOrthogonal
from ..neurons import Particles, neuron_masses


class QuotientLaw(NamedTuple):
    """A cloud seen through the invariants of a group, one atom for each neuron.

    - `coordinates` [m, k]: for every block of the group in turn the norm ‖b_i‖, or, where the block is kept, the
      coordinates of b in it.
    - `angles` [m, k−1]: the same in nested polar coordinates, θ_i = atan2(norm of the coordinates after i, coordinate i):
      in [0, π/2] for a norm, in [0, π] for a kept coordinate. The last one is atan2 of the last two coordinates.
    - `weight` [m]: sign(a)|a|‖b‖/m.
    """

    coordinates: Float[Array, "m k"]
    angles: Float[Array, "m k1"]
    weight: Float[Array, " m"]


def project_cloud(cloud: Particles, group: BlockOrthogonal) -> QuotientLaw:
    """Push the law of a cloud forward to the invariants of a continuous group.

    Two clouds have the same projection if, and only if, each neuron of one is the image of one of the other under some
    element of the group. Raises ArgumentError if dimensions differ.
    """
    check_instance("cloud", cloud, Particles, "Build one with mf.Particles(a, b).")
    check_instance("group", group, BlockOrthogonal, "Build it with mf.BlockOrthogonal(dims).")
    if group.dim != cloud.dim:
        raise argument_error("group", f"of dimension {cloud.dim}, the cloud's", group.dim, "Match them.")
    turned = jnp.matmul(cloud.b, group.basis.T.astype(cloud.dtype), precision=jax.lax.Precision.HIGHEST)
    columns, start = [], 0
    for index, size in enumerate(group.dims):
        block = turned[:, start : start + size]
        columns.append(block if index in group.kept else jnp.linalg.norm(block, axis=1, keepdims=True))
        start += size
    coordinates = jnp.concatenate(columns, axis=1)
    angles = [jnp.arctan2(_rest(coordinates, i), coordinates[:, i]) for i in range(coordinates.shape[1] - 1)]
    stacked = jnp.stack(angles, axis=1) if angles else jnp.zeros((cloud.width, 0), cloud.dtype)
    return QuotientLaw(coordinates, stacked, jnp.sign(cloud.a) * neuron_masses(cloud) / cloud.width)


def _rest(coordinates: Float[Array, "m k"], index: int) -> Float[Array, " m"]:
    """Norm of the coordinates after `index`, with its sign where only one is left."""
    after = coordinates[:, index + 1 :]
    return after[:, 0] if after.shape[1] == 1 else jnp.linalg.norm(after, axis=1)
