"""How far a cloud is from the neurons that a group fixes."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..groups import Action
from ..safe import safe_ratio, safe_root
from ..types import Checked, Cloud, Observe


class FixedDistance(eqx.Module):
    """W₂(ν, P#ν) = (mean_j |P^⊥ z_j|²)^{1/2}, or `relative`, W₂²/(2 mean|z|² + 2 mean|P z|²), in [0, ½].

    P projects on the neurons that the group fixes. No transport is to be solved: the nearest law on a subspace is the
    projected one. Both are 0 where the law is strongly invariant; the relative one is ½ where P z = 0 for all, whatever
    moved, and NaN where z = 0 for all.
    """

    action: Action
    relative: bool = eqx.field(static=True)

    def __call__(self, cloud: Cloud) -> Float[Array, ""]:
        """Of one cloud."""
        fixed = self.action.project(cloud)
        across = _mean_square(jax.tree.map(jnp.subtract, cloud, fixed))
        if not self.relative:
            return safe_root(across)
        return safe_ratio(across, 2 * (_mean_square(cloud) + _mean_square(fixed)), jnp.nan)


def _mean_square(cloud: PyTree) -> Float[Array, ""]:
    """mean_j |z_j|²."""
    leaves = jax.tree.leaves(cloud)
    return sum((jnp.sum(leaf**2) for leaf in leaves), jnp.zeros((), leaves[0].dtype)) / leaves[0].shape[0]


def observers_of(observe: Checked[Action | Observe | None]) -> Observe | None:
    """What a caller wants to see of every state; of an action, how far it is from the neurons that the group fixes."""
    if not isinstance(observe, Action):
        return observe
    return {"rmd_fixed": FixedDistance(observe, True), "distance_fixed": FixedDistance(observe, False)}
