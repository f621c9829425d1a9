"""What can be integrated: a system z' = velocity(t, z) with things to observe."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


class AbstractDynamics(eqx.Module):
    """A system z' = velocity(t, z) with things to observe. Arrays in it are leaves: changing them never retraces."""

    @abc.abstractmethod
    def prepare(self) -> "AbstractDynamics":
        """The same system with every table that the velocity needs; called once per run, compiled with it."""

    @abc.abstractmethod
    def velocity(self, t: Float[Array, ""], state: PyTree) -> PyTree:
        """z'."""

    @abc.abstractmethod
    def observe(self, t: Float[Array, ""], state: PyTree) -> dict[str, Array]:
        """Observables of a state; must contain `risk`."""

    @abc.abstractmethod
    def largest_step(self, state: PyTree) -> Float[Array, ""]:
        """Largest explicit Euler step that keeps the state admissible; infinite if there is no such bound."""


def relative_speed(dynamics: AbstractDynamics, t: Float[Array, ""], state: PyTree) -> Float[Array, ""]:
    """‖z'‖/‖z‖, root mean squares over all numbers of the state that are finite."""
    return ratio_of_norms(dynamics.velocity(t, state), state)


def ratio_of_norms(velocity: PyTree, state: PyTree) -> Float[Array, ""]:
    """‖velocity‖/‖state‖ over the entries where the state is finite: the logarithm of a weight 0 is not."""
    pairs = list(zip(jax.tree.leaves(velocity), jax.tree.leaves(state), strict=True))
    parts = [(jnp.where(jnp.isfinite(z), v, 0), jnp.where(jnp.isfinite(z), z, 0)) for v, z in pairs]
    moving, size = (sum(jnp.sum(pair[i] ** 2) for pair in parts) for i in (0, 1))
    return jnp.sqrt(moving / size)
