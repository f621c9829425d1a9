"""How far a cloud is from the neurons that a group fixes."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..groups import Action
from ..safe import safe_ratio, safe_root
from ..types import Cloud


class FixedDistance(eqx.Module):
    """W₂(ν, P#ν) = (mean_j |z_j − P z_j|²)^{1/2}, or `relative`, W₂²/(2 mean|z|² + 2 mean|P z|²), in [0, ½].

    P projects on the neurons that the group fixes. No transport is to be solved: the nearest law on a subspace is the
    projected one. Both are 0 where the law is strongly invariant, as that of z = 0 is; the relative one is ½ where P z = 0
    for all and some z ≠ 0, whatever moved.
    """

    action: Action
    relative: bool = eqx.field(static=True)

    def __call__(self, cloud: Cloud) -> Float[Array, ""]:
        """Of one cloud."""
        fixed = self.action.project(cloud)
        across = _mean_square(jax.tree.map(jnp.subtract, cloud, fixed))
        if not self.relative:
            return safe_root(across)
        return safe_ratio(across, 2 * (_mean_square(cloud) + _mean_square(fixed)), 0.0)


def _mean_square(cloud: Cloud) -> Float[Array, ""]:
    """mean_j |z_j|²."""
    leaves = jax.tree.leaves(cloud)
    return sum((jnp.sum(leaf**2) for leaf in leaves), jnp.zeros((), leaves[0].dtype)) / leaves[0].shape[0]
