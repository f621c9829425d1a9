"""How far a function is from a symmetry, in the mean square over inputs."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..groups import AbstractCompactGroup, Action
from ..problem.empirical import Empirical
from ..problem.units import AbstractUnit
from ..products import with_all_digits
from ..safe import safe_ratio


class Network(eqx.Module):
    """x ↦ (1/m) Σ_j σ*(x; z_j) for one input."""

    cloud: PyTree
    unit: AbstractUnit

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, "*out"]:
        return jnp.mean(jax.vmap(self.unit, in_axes=(0, None))(self.cloud, x), axis=0)


class FunctionDefect(eqx.Module):
    """max_g E|f(ρ(g)x) − ρ̂(g) f(x)|² / E|f(x)|² over `elements` g, the mean over `points`; 0 for f = 0.

    f is the network of a cloud of neurons with this `unit`, or without one a function of one input.
    """

    action: Action
    points: Empirical
    elements: Float[Array, "g k k"]
    unit: AbstractUnit | None = None

    def __call__(self, network: PyTree) -> Float[Array, ""]:
        """Of one network, one element at a time in memory."""
        function = network if self.unit is None else Network(network, self.unit)
        return jnp.max(jax.lax.map(lambda element: with_all_digits(self._of_element)(function, element), self.elements))

    def _of_element(self, function: Callable[[Array], Array], element: Float[Array, "k k"]) -> Float[Array, ""]:
        x = self.points.x
        here, there = jax.vmap(function)(x), jax.vmap(function)(self.action.move_input(element, x))
        return relative_gap(self.points, here, there - self.action.move_output(element, here))


def relative_gap(points: Empirical, values: Float[Array, "n *out"], gap: Float[Array, "n *out"]) -> Float[Array, ""]:
    """E|gap|² / E|values|² over points with their weights."""
    return safe_ratio(jnp.sum(points.mean(gap**2)), jnp.sum(points.mean(values**2)), 0.0)


def elements_tried(group: AbstractCompactGroup, count: int) -> Float[Array, "g k k"]:
    """All elements of a finite group; of others a representative of every component, and random ones from a fixed key."""
    tried = group.elements if group.order is not None else group.sample(jax.random.key(0), count)
    return jnp.concatenate([group.components.astype(tried.dtype), tried])
