"""What an equation on angles is asked for, whatever their number."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...errors import argument_error, check_choice
from ...problem.training import Training
from ..base import AbstractReduction, Atoms
from .directions import AbstractDirections
from .label_law import LabelLaw
from .target_parts import TargetParts

POSITIONS = "distances to the ends of the interval are measured for targets of ‖x_H‖ only"
METHODS = ("grid", "characteristics", "upwind")
SMALLEST_GRID = 8  # cells of an angle that the reconstruction needs
_COVER = 8  # cells in 1/√d, the width of the law of an angle at time 0, from which on a grid resolves it


class AbstractAngularReduction(AbstractReduction):
    """An equation on k ≥ 1 angles, in harmonics ψ: with η the `coefficients` of the target and s the `factors` of the unit,

        ψ̂ = ∫ψ d(τ⁺ − τ⁻),   G = Σ s (η − s ψ̂) ψ,   F = floor + ½ Σ (η − s ψ̂)².

    `labels` is the law of (|a|, ‖b‖) at time 0, `tail` the energy of the target beyond the stored harmonics, and `check` the
    three numbers of the target by another rule; their difference is the error of the quadrature. `usual_method` is the one
    to take where none is given, see `usual_method`.
    """

    coefficients: eqx.AbstractVar[Float[Array, "..."]]
    factors: eqx.AbstractVar[Float[Array, " L"]]
    tail: eqx.AbstractVar[Float[Array, ""]]
    check: eqx.AbstractVar[TargetParts]
    labels: eqx.AbstractVar[LabelLaw]
    usual_method: eqx.AbstractVar[str]

    @abc.abstractmethod
    def resolved(self) -> "AbstractAngularReduction":
        """The same reduction with only the harmonics that the dynamics uses."""

    @abc.abstractmethod
    def moments(self, angles: Float[Array, "n k"], weights: Float[Array, " n"]) -> Float[Array, "..."]:
        """ψ̂ = Σ_i weight_i ψ(θ_i) in all harmonics that this reduction has."""

    @abc.abstractmethod
    def fields(self, angles: Float[Array, "n k"], forces: Float[Array, "..."]) -> tuple[Float[Array, " n"], Array]:
        """G = Σ forces ψ at angles, and its gradient along their orthonormal frame [n, k]."""

    @abc.abstractmethod
    def own_fields(self, labels: AbstractDirections) -> tuple[Float[Array, "2 N"], Float[Array, "2 N *c"]]:
        """G of the network that the labels are, by the harmonics of the dynamics, and ∇G in their coordinates."""

    @abc.abstractmethod
    def own_potential(
        self, points: Float[Array, "n K"], weights: Float[Array, " n"]
    ) -> tuple[Float[Array, " n"], Float[Array, "n K"]]:
        """Φ(q) = E[R σ(b·x)], 1-homogeneous, and ∇Φ at points with signed weights that are the whole network, by the
        harmonics of the dynamics."""

    @abc.abstractmethod
    def labels_in_balance(self) -> AbstractDirections:
        """The labels of both signs at time 0, their masses as logarithms: small ones keep their digits."""

    @abc.abstractmethod
    def node_points(self) -> Float[Array, "N K"]:
        """Unit vectors of the labels, in signed coordinates and norms of blocks, K = k + 1."""

    @abc.abstractmethod
    def log_rule(self) -> Float[Array, " N"]:
        """Logarithms of the weights of the rule for angles whose nodes the labels are."""

    @abc.abstractmethod
    def angles_of_points(self, points: Float[Array, "n K"]) -> Float[Array, "n k"]:
        """The angles of points of any length, whose norms of blocks may have either sign."""

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
    def predict_atoms(self, atoms: Atoms, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f(x) of atoms, [n]."""

    def residual(self, moments: Float[Array, "..."]) -> Float[Array, "..."]:
        """η − s ψ̂, the same shape as `coefficients`."""
        return self.coefficients - self.along_degrees(self.factors) * moments

    def risk(self, moments: Float[Array, "..."]) -> Float[Array, ""]:
        """F = floor + ½ Σ (η − s ψ̂)² over the harmonics that are there."""
        return self.floor + 0.5 * jnp.sum(self.residual(moments) ** 2)

    def forces(self, moments: Float[Array, "..."]) -> Float[Array, "..."]:
        """s (η − s ψ̂): the coefficients of G."""
        return self.along_degrees(self.factors) * self.residual(moments)

    def record(
        self, moments: Float[Array, "..."], masses: Float[Array, " 2"], aligned: Float[Array, " 2"]
    ) -> dict[str, Array]:
        """The observables of every state: its risk, masses, and alignments of both signs."""
        return {
            "risk": self.risk(moments) + self.tail,
            "mass_plus": masses[0],
            "mass_minus": masses[1],
            "alignment_plus": aligned[0],
            "alignment_minus": aligned[1],
        }

    def network_of_moments(self, moments: Float[Array, "..."]) -> Float[Array, " M"]:
        """s ψ̂, flat: coefficients of the predictor in all stored harmonics, whose squares sum to E f²."""
        return (self.along_degrees(self.factors) * moments).ravel()

    def network(self, angles: Float[Array, "n k"], weights: Float[Array, " n"]) -> Float[Array, " M"]:
        """That of atoms with signed weights."""
        return self.network_of_moments(self.moments(angles, weights))

    def fields_of(self, atoms: Atoms, angles: Float[Array, "n k"]) -> tuple[Float[Array, " n"], Float[Array, "n k"]]:
        """G of the network that the atoms are, by the harmonics of the dynamics, and ∇G along the orthonormal frame."""
        reduction = self.resolved()
        return reduction.fields(angles, reduction.forces(reduction.moments(atoms.scattered(), atoms.signed())))

    def node_weights(self) -> Float[Array, " N"]:
        """Weights of a quadrature rule for the law of the directions at time 0 at the labels; they sum to 1."""
        return jnp.exp(self.labels.log_probability + self.log_rule())

    def decided_by_values(self, method: str | None, training: Training | None) -> bool:
        """Whether a start is balanced, as one that is to live on a grid must be."""
        return not self.labels.balanced and method != "characteristics"

    def floor_uncertainty(self) -> float:
        """None beside what `displaced` shows."""
        return 0.0

    def displaced(self) -> "tuple[AbstractAngularReduction, ...]":
        """With the numbers that another quadrature finds of the target, the floor among them."""
        return (eqx.tree_at(lambda r: (r.coefficients, r.floor, r.tail), self, tuple(self.check)),)

    def along_degrees(self, vector: Float[Array, " L"]) -> Float[Array, "L ..."]:
        """One number for every degree, which is the first axis of the harmonics."""
        return vector.reshape(-1, *(1,) * (self.coefficients.ndim - 1))


def halved_cells(masses: Float[Array, "..."], first: int) -> Float[Array, "..."]:
    """Exact sums of pairs of neighbours along every axis of a grid from `first` on, all of even length."""
    cells: tuple[int, ...] = masses.shape[first:]
    if any(n % 2 for n in cells):
        got = cells[0] if len(cells) == 1 else cells
        raise argument_error("cells", "even where an error estimate is asked for", got, "Pass one cell more.")
    for axis in range(first, masses.ndim):
        lower, upper = (jax.lax.slice_in_dim(masses, i, None, stride=2, axis=axis) for i in (0, 1))
        masses = lower + upper
    return masses


def check_angular_method(method: str) -> str:
    """A method for angles."""
    return check_choice("method", method, METHODS)


def usual_method(widest: float, dim: int) -> str:
    """The method for a problem in R^dim whose cells nobody chose, the widest of them this wide.

    A grid where eight cells cover the width 1/√d of the start, else labels, which crowd there. On coarser grids neurons
    that collect at points stay spread over cells: for sign(x_1 x_2) in d = 10 the risk at t = 40 is .1837 on 48 × 64 cells
    and .1901 by 23² labels with 16 modes, where it is .1898; for He_4(x_1) in d = 10⁴ the target is found at t = 283 on
    400 cells and at 434.5 by 255 labels, where it is 434.6. In several angles labels cost no more than the grid: |x_1| +
    tanh x_2 in d = 10 to t = 10 takes 2.5 CPU seconds by 31² labels, risk .0242783, where 47² find .0242782, and 3 on the
    grid, which finds .0242889.
    """
    return "grid" if _COVER * widest <= dim**-0.5 else "characteristics"


def sizes_can_be_halved(method: str, cells: tuple[int, ...], nodes: tuple[int, ...]) -> bool:
    """Whether half the cells and half the labels of every angle are enough for a method."""
    labels = method == "characteristics"
    enough = all(count % 2 == 0 and count // 2 >= (1 if labels else SMALLEST_GRID) for count in cells)
    return enough and all(count % 2 and count > 1 for count in nodes)
