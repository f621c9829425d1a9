"""The questions that solvers and readers ask of every reduction, and of every form in which its equation is solved.

A reduction holds the mathematics of a problem; a form is its equation in the unknowns of one method. What cannot be
answered is refused, saying why, by the class that cannot. Which form a method and a training leave is `dynamics_of`.
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..integrate import Stepping
from ..iterate import StepTimes
from ..problem.training import Training
from ..solution import Solution

RunTimes = Float[Array, " T"] | StepTimes  # flow times, or where a training has steps those times counted in them


class AbstractReduction(eqx.Module):
    """What a symmetry leaves of a problem, as array leaves.

    `floor` is the risk that nothing can remove. Unknowns are weights on k `angles` (0 where H is the whole space), or
    moments, which keep no law of the directions: then `angles` is None.
    """

    floor: eqx.AbstractVar[Float[Array, ""]]

    @property
    def dtype(self) -> np.dtype:
        """Floating type of the leaves."""
        return self.floor.dtype

    @property
    @abc.abstractmethod
    def angles(self) -> int | None:
        """Number k of angles, None where the law of the directions is not kept."""

    @abc.abstractmethod
    def known_dim(self) -> int | None:
        """Dimension d of the inputs; None where it is traced or not kept."""

    @property
    @abc.abstractmethod
    def methods(self) -> tuple[str, ...]:
        """The methods that solve this equation."""

    @abc.abstractmethod
    def choose_method(self, method: str | None, training: Training | None, initial: PyTree) -> str:
        """The method to take where none is given; raises ArgumentError for one that this reduction does not have."""

    @abc.abstractmethod
    def decided_by_values(self, method: str | None, training: Training | None) -> bool:
        """Whether the form of the equation depends on numbers, which a batch of reductions does not show."""

    @abc.abstractmethod
    def scales(self) -> "Scales | None":
        """What the unit of mass is made of; None without a grid on which small masses could be lost."""

    @abc.abstractmethod
    def coarser(self) -> "AbstractReduction | None":
        """Half the resolution, for the error estimate; None where there is nothing to resolve."""

    @abc.abstractmethod
    def can_be_halved(self, method: str) -> bool:
        """Whether a method can still run with half this resolution."""

    @abc.abstractmethod
    def all_modes(self) -> "AbstractReduction":
        """The same equation with everything that is stored in the dynamics: twice the modes."""

    @abc.abstractmethod
    def floor_uncertainty(self) -> Float[Array, ""] | float:
        """How far off `floor` may be, which every risk inherits."""

    @abc.abstractmethod
    def displaced(self) -> "tuple[AbstractReduction, ...]":
        """The same with what was computed of the target off by its error, one direction at a time; none if it is exact and
        nothing is resolved."""

    @abc.abstractmethod
    def absent(self, observables: dict[str, Array]) -> tuple[tuple[str, str], ...]:
        """Observables without a meaning here, each with the reason."""

    @abc.abstractmethod
    def in_common(self) -> dict[str, object]:
        """What reductions of this kind must agree in to be stacked leaf by leaf, by name."""


class AbstractUnresolvedReduction(AbstractReduction):
    """An equation without a resolution: an ODE, or a formula."""

    def decided_by_values(self, method: str | None, training: Training | None) -> bool:
        """Never."""
        return False

    def scales(self) -> "Scales | None":
        """None: there is no grid."""
        return None

    def coarser(self) -> "AbstractReduction | None":
        """None."""
        return None

    def can_be_halved(self, method: str) -> bool:
        """Nothing to halve."""
        return False

    def all_modes(self) -> "AbstractReduction":
        """All is there."""
        return self


class Scales(NamedTuple):
    """Masses at time 0, coefficients of the target, and E‖x‖²/d."""

    masses: Float[Array, "..."]
    coefficients: Float[Array, "..."]
    spread: Float[Array, ""]


class Atoms(NamedTuple):
    """τ⁺ and τ⁻ as atoms: angles [2, n, k] and weights that are not negative [2, n]."""

    angles: Float[Array, "2 n k"]
    weights: Float[Array, "2 n"]

    def scattered(self) -> Float[Array, "m k"]:
        """Angles of both signs one after the other, [2n, k]."""
        return self.angles.reshape(-1, self.angles.shape[-1])

    def signed(self) -> Float[Array, " m"]:
        """Weights of τ⁺ − τ⁻, [2n]."""
        return (self.weights * jnp.asarray([[1.0], [-1.0]], self.weights.dtype)).ravel()


class AbstractForm(eqx.Module):
    """The equation of a reduction in the unknowns of one method: stepped in time, or solved in closed form."""

    reduction: eqx.AbstractVar[AbstractReduction]

    @abc.abstractmethod
    def start(self, initial: PyTree) -> PyTree:
        """The state at time 0: that of the problem, or the given one; raises ArgumentError if it cannot be started from."""

    @abc.abstractmethod
    def run(self, state: PyTree, ts: RunTimes, stepping: Stepping, training: Training | None) -> Solution:
        """The record at `ts`."""

    @abc.abstractmethod
    def chooses_steps(self, training: Training | None) -> bool:
        """Whether time steps are chosen by their error, so that a run has such an error."""

    @abc.abstractmethod
    def certificate(self, state: PyTree, solution: Solution) -> PyTree:
        """What is proved about a run from this state; None where there is nothing to prove."""

    @abc.abstractmethod
    def atoms(self, state: PyTree) -> Atoms:
        """A state as atoms of τ⁺ and τ⁻."""

    @abc.abstractmethod
    def predict(self, state: PyTree, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f(x) of the network of infinite width in a state, [n], in the dtype of the reduction."""
