"""What every risk can do."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PyTree


class AbstractRisk(eqx.Module):
    """A risk F of a finite cloud (1/m) Σ_j δ_{z_j}, and the velocity of its Wasserstein gradient flow."""

    @abc.abstractmethod
    def prepare(self) -> "AbstractRisk":
        """The same risk with the tables that it needs; worth calling once where it is evaluated often."""

    @abc.abstractmethod
    def at_time(self, t: Float[Array, ""]) -> "AbstractRisk":
        """The risk that is followed at time t: another one for every step where inputs are drawn afresh."""

    @abc.abstractmethod
    def value(self, cloud: PyTree) -> Float[Array, ""]:
        """F, in the floating type of the cloud."""

    @abc.abstractmethod
    def velocity(self, cloud: PyTree) -> PyTree:
        """−m ∇_{z_j} F for every neuron, a pytree like the cloud."""
