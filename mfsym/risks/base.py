"""What every risk can do."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PyTree


class AbstractRisk(eqx.Module):
    """A risk F of a state, any pytree of arrays, and the velocity of its gradient flow. Arrays in it are leaves.

    For a cloud of neurons, F is a function of the law (1/m) Σ_j δ_{z_j}, and the flow is that of Wasserstein; a risk of
    parameters in any other sense may return −M ∇F for a metric M of its own. `mf.solve_particles(…, risk=)` and
    `mf.descend(…, risk=)` follow any of them.
    """

    @abc.abstractmethod
    def prepare(self) -> "AbstractRisk":
        """The same risk with the tables that it needs; worth calling once where it is evaluated often."""

    @abc.abstractmethod
    def at_time(self, t: Float[Array, ""]) -> "AbstractRisk":
        """The risk that is followed at time t: another one for every step where inputs are drawn afresh."""

    @abc.abstractmethod
    def value(self, state: PyTree) -> Float[Array, ""]:
        """F, in the floating type of the state."""

    @abc.abstractmethod
    def velocity(self, state: PyTree) -> PyTree:
        """z', a pytree like the state: −m ∇_{z_j} F for every neuron of a cloud."""


class AbstractPredictorRisk(AbstractRisk):
    """A risk of what a network predicts, F = E ℓ(f(x), f*(x))."""

    @abc.abstractmethod
    def energy(self, state: PyTree) -> Float[Array, ""]:
        """E |f(x)|² over the inputs of the risk."""
