"""What an equation on angles is asked for, whatever their number: its harmonics, and its states as laws of the angles."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from ...errors import argument_error, check_choice
from ..base import AbstractReduction, Atoms
from ..stepped import AbstractSteppedForm
from .label_law import LabelLaw

POSITIONS = "distances to the ends of the interval are measured for targets of ‖x_H‖ only"
METHODS = ("grid", "characteristics", "upwind")
SMALLEST_GRID = 8  # cells of an angle that the reconstruction needs


class TargetParts(NamedTuple):
    """What a reduction keeps of a target: coefficients η, the risk that no τ can remove, the energy beyond the features."""

    coefficients: Float[Array, "..."]
    floor: Float[Array, ""]
    tail: Float[Array, ""]

    def beyond(self, other: "TargetParts") -> "TargetParts":
        """Three times as far away as `other`: how near two rules come to each other is a matter of chance."""
        return TargetParts(*(own + 3 * (theirs - own) for own, theirs in zip(self, other, strict=True)))


class AbstractAngularReduction(AbstractReduction):
    """An equation on k ≥ 1 angles. `labels` is the law of (|a|, ‖b‖) at time 0, `tail` the energy of the target beyond the
    stored harmonics."""

    tail: eqx.AbstractVar[Float[Array, ""]]
    labels: eqx.AbstractVar[LabelLaw]

    @abc.abstractmethod
    def node_points(self) -> Float[Array, "N K"]:
        """Unit vectors of the labels, in signed coordinates and norms of blocks, K = k + 1."""

    @abc.abstractmethod
    def node_weights(self) -> Float[Array, " N"]:
        """Weights of a quadrature rule for the law of the directions at time 0 at the labels; they sum to 1."""

    @abc.abstractmethod
    def angles_of_points(self, points: Float[Array, "n K"]) -> Float[Array, "n k"]:
        """The angles of points of any length, whose norms of blocks may have either sign."""

    @abc.abstractmethod
    def own_potential(
        self, points: Float[Array, "n K"], weights: Float[Array, " n"]
    ) -> tuple[Float[Array, " n"], Float[Array, "n K"]]:
        """Φ(q) = E[R σ(b·x)], 1-homogeneous, and ∇Φ at points with signed weights that are the whole network, by the
        harmonics of the dynamics."""

    @abc.abstractmethod
    def fields_of(self, atoms: Atoms, angles: Float[Array, "n k"]) -> tuple[Float[Array, " n"], Float[Array, "n k"]]:
        """G of the network that the atoms are, by the harmonics of the dynamics, and ∇G along the orthonormal frame."""

    @abc.abstractmethod
    def end_of(self, axis: int) -> float:
        """End of the interval [0, end] of an angle."""

    @abc.abstractmethod
    def lift(self, points: Float[Array, "n K"], key: Array) -> Float[Array, "n d"]:
        """Vectors with these signed coordinates and norms of blocks, their directions inside the blocks uniform."""

    @abc.abstractmethod
    def observe_atoms(self, atoms: Atoms) -> dict[str, Array]:
        """Risk, masses and what there is of alignments and distances."""

    @abc.abstractmethod
    def angles_of(self, x: Float[Array, "n d"]) -> Float[Array, "n k"]:
        """The angles of every row."""

    @abc.abstractmethod
    def network(self, angles: Float[Array, "n k"], weights: Float[Array, " n"]) -> Float[Array, " M"]:
        """Coefficients s ∫ψ dτ of the predictor of atoms with signed weights in all stored harmonics: their squares sum
        to E f²."""

    @abc.abstractmethod
    def predict_atoms(self, atoms: Atoms, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f(x) of atoms, [n]."""


class AbstractAngularDynamics(AbstractSteppedForm):
    """A flow of τ^± on k ≥ 1 angles, or of neurons that have them.

    `balanced` says whether |a| = ‖b‖ for every neuron, so that masses say all; `has_density`, whether states are densities.
    """

    has_density: eqx.AbstractClassVar[bool]
    balanced: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def network(self, state: PyTree) -> Float[Array, " M"]:
        """Coefficients of the predictor of a state, see `AbstractAngularReduction.network`; of a prepared system."""

    @abc.abstractmethod
    def density(self, state: PyTree, angles: Float[Array, "n k"]) -> Float[Array, "2 n"]:
        """Densities of τ⁺ and τ⁻ per unit of the angles; refused by systems of labels, which have none."""


def network_of_atoms(reduction: AbstractAngularReduction, atoms: Atoms) -> Float[Array, " M"]:
    """Coefficients of the predictor of τ⁺ − τ⁻."""
    return reduction.network(atoms.angles.reshape(-1, atoms.angles.shape[-1]), atoms.signed())


def check_angular_method(method: str | None) -> str:
    """A method for angles, "grid" by default."""
    return check_choice("method", "grid" if method is None else method, METHODS)


def sizes_can_be_halved(method: str, cells: tuple[int, ...], nodes: tuple[int, ...]) -> bool:
    """Whether half the cells and half the labels of every angle are enough for a method."""
    labels = method == "characteristics"
    enough = all(count % 2 == 0 and count // 2 >= (1 if labels else SMALLEST_GRID) for count in cells)
    return enough and all(count % 2 and count > 1 for count in nodes)


def refuse_density() -> Any:
    """The refusal of systems of labels."""
    raise argument_error("solution", "one on a grid", "one by characteristics", 'Solve with method="grid".')
