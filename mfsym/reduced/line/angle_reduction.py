"""What symmetry leaves of a problem: an angle, the law of the start on it, and the potential of the flow.

The neurons of sign ε are a measure τ^ε on angles θ; with s_n the factor of the unit, η_n those of the target,
τ̂_n = ∫ψ_n d(τ⁺ − τ⁻),

    G(θ) = Σ_n s_n (η_n − s_n τ̂_n) ψ_n(θ),   V = ∂_θ G,   ∂_t τ^± = ∓∂_θ(V τ^±) ± 2 G τ^±,
    F = floor + ½ Σ_n (η_n − s_n τ̂_n)².
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...errors import is_traced
from ...problem.training import Training
from ...safe import safe_norm
from ..angles.angular import (
    METHODS,
    POSITIONS,
    AbstractAngularReduction,
    check_angular_method,
    halved_cells,
    sizes_can_be_halved,
)
from ..angles.directions import AbstractDirections, CharacteristicState
from ..angles.label_law import LabelLaw
from ..angles.target_parts import TargetParts
from ..base import Atoms, Scales
from ..rules.quadrature import interval_end, node_rule
from .features import AngleFeatures
from .predictor import predict_angle

_HIGHEST = jax.lax.Precision.HIGHEST


class AngleReduction(AbstractAngularReduction):
    """The one-angle equation of a problem: everything that both methods need, as array leaves.

    Shapes (cells, nodes, modes) come from static data only; dimensions, parities and coefficients are leaves, so that
    reductions of different problems stack. Twice `modes` features are stored: the dynamics uses the first half, the risk
    uses all, and the error estimate repeats the run with all.

    - `features`, `coefficients` η, `factors` s: [M] with M = 2·modes (+1 on a signed angle).
    - `cell_masses` [2, cells]: initial masses of τ⁺, τ⁻ in equal cells of [0, end].
    - `node_angles` [nodes]: where the labels start; `node_log_density` [2, nodes]: log-density of τ⁺, τ⁻ there, per unit of
      the variable of `node_rule`.
    - `floor`: risk that no τ can remove; `tail`: energy of the target beyond the stored features.
    - `check`: the three numbers of the target by another rule; their difference is the error of the quadrature.
    - `average_table`, `slope_table` [2, K]: the averaged feature and its slope, see `predictor.average_table`.
    - `parity` [2]: parity of the density about both ends of the interval.
    - `labels`: the law of (|a|, ‖b‖) at time 0, which only starts that are not balanced, or not kept so, need.
    - `usual_method`: the method where none is given (static).
    """

    features: AngleFeatures
    coefficients: Float[Array, " M"]
    factors: Float[Array, " M"]
    cell_masses: Float[Array, "2 cells"]
    node_angles: Float[Array, " nodes"]
    node_log_density: Float[Array, "2 nodes"]
    parity: Float[Array, " 2"]
    floor: Float[Array, ""]
    tail: Float[Array, ""]
    check: TargetParts
    dim: Float[Array, ""]
    dim_h: Float[Array, ""]
    second_moment: Float[Array, ""]
    unit_slopes: Float[Array, " 2"]
    average_table: Float[Array, "2 K"]
    slope_table: Float[Array, "2 K"]
    basis: Float[Array, "dim_h d"] | None
    labels: LabelLaw
    modes: int = eqx.field(static=True)
    usual_method: str = eqx.field(static=True)

    @property
    def signed(self) -> bool:
        """Whether θ ∈ [0, π] is the angle to an axis; otherwise θ ∈ [0, π/2] is the angle to a subspace."""
        return self.features.linear is not None

    @property
    def end(self) -> float:
        """End of the interval of angles [0, end]."""
        return interval_end(self.signed)

    @property
    def cells(self) -> int:
        """Number of cells of the grid."""
        return self.cell_masses.shape[-1]

    @property
    def nodes(self) -> int:
        """Number of labels per sign of the characteristics."""
        return self.node_log_density.shape[-1]

    def resolved_indices(self) -> np.ndarray:
        """Which of the stored features the dynamics uses: the first `modes` even ones and the linear one."""
        return np.r_[: self.modes, len(self.features.even) : self.coefficients.shape[-1]]

    def resolved(self) -> "AngleReduction":
        """The same reduction with only the features that the dynamics uses."""
        keep = self.resolved_indices()
        features = self.features.truncate(self.modes)
        new = (features, self.coefficients[keep], self.factors[keep])
        return eqx.tree_at(lambda r: (r.features, r.coefficients, r.factors), self, new)

    def kernel(self, theta: Float[Array, " n"], other: Float[Array, " k"]) -> Float[Array, "n k"]:
        """K(θ_i, θ'_j) = E[φ̃(θ_i; x) φ̃(θ'_j; x)], from all stored features, [n, k]."""
        left, right = (self.factors[:, None] * self.features(angles)[0] for angles in (theta, other))
        return jnp.matmul(left.T, right, precision=_HIGHEST)

    def target_term(self, theta: Float[Array, " n"]) -> Float[Array, " n"]:
        """g*(θ) = E[f*(x) φ̃(θ; x)], [n]."""
        return jnp.matmul(self.factors * self.coefficients, self.features(theta)[0], precision=_HIGHEST)

    @property
    def angles(self) -> int:
        """One."""
        return 1

    def known_dim(self) -> int | None:
        """Dimension d, an array leaf."""
        return None if is_traced(self.dim) or self.dim.ndim else round(float(self.dim))

    @property
    def methods(self) -> tuple[str, ...]:
        """All of them."""
        return METHODS

    def choose_method(self, method: str | None, training: Training | None, initial: PyTree) -> str:
        """The usual one by default."""
        return check_angular_method(self.usual_method if method is None else method)

    def scales(self) -> Scales:
        """Of the cells."""
        return Scales(self.cell_masses, self.coefficients, self.second_moment / self.dim)

    def coarser(self) -> "AngleReduction":
        """Half the cells (exact sums of pairs) and half the labels (nested angles, and half the ratios of a start)."""
        halves = (
            halved_cells(self.cell_masses, 1),
            self.node_angles[1::2],
            self.node_log_density[:, 1::2],
            self.labels.coarsened(self.labels.log_probability[1::2]),
        )
        return eqx.tree_at(lambda r: (r.cell_masses, r.node_angles, r.node_log_density, r.labels), self, halves)

    def can_be_halved(self, method: str) -> bool:
        """Whether the numbers of cells and labels are even and odd, and large enough."""
        return sizes_can_be_halved(method, (self.cells,), (self.nodes,))

    def all_modes(self) -> "AngleReduction":
        """All stored features in the dynamics."""
        return dataclasses.replace(self, modes=len(self.features.even))

    def absent(self, observables: dict[str, Array]) -> tuple[tuple[str, str], ...]:
        """Distances, on a signed angle."""
        return (("distance_plus", POSITIONS), ("distance_minus", POSITIONS)) if self.signed else ()

    def in_common(self) -> dict[str, object]:
        """Sizes and the kind of angle."""
        return {
            "signed": self.signed,
            "cells": self.cells,
            "nodes": self.nodes,
            "modes": self.modes,
            "method": self.usual_method,
            "axes": None if self.basis is None else self.basis.shape,
            "blocks": self.features.stretch is not None,
            "balanced": self.labels.balanced,
            "ratios": self.labels.outer.shape[-1],
        }

    def parts(self, x: Float[Array, "n d"]) -> tuple[Float[Array, "n h"], Float[Array, "n d"]]:
        """Every row along H and along H^⊥, as vectors."""
        if self.basis is not None:
            inside = jnp.matmul(x, self.basis.T, precision=_HIGHEST)
            return inside, x - jnp.matmul(inside, self.basis, precision=_HIGHEST)
        within = (jnp.arange(x.shape[1], dtype=x.dtype) < self.dim_h.astype(x.dtype))[None]
        return jnp.where(within, x, 0.0), jnp.where(within, 0.0, x)

    def sides(self, x: Float[Array, "n d"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """(‖x_H‖ or the signed coordinate, ‖x_⊥‖) of every row."""
        inside, outside = self.parts(x)
        along = jnp.sum(inside, axis=1) if self.signed else safe_norm(inside)
        return along, safe_norm(outside)

    def angles_of(self, x: Float[Array, "n d"]) -> Float[Array, "n 1"]:
        """θ of every row."""
        along, across = self.sides(x)
        return jnp.arctan2(across, along)[:, None]

    def moments(self, angles: Float[Array, "n 1"], weights: Float[Array, " n"]) -> Float[Array, " M"]:
        """Σ_i weight_i ψ_n(θ_i)."""
        return jnp.matmul(self.features(angles[:, 0])[0], weights, precision=_HIGHEST)

    def predict_atoms(self, atoms: Atoms, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f(x) from the averaged feature in closed form."""
        return predict_angle(self, atoms, x)

    def node_points(self) -> Float[Array, "N 2"]:
        """(cos θ, sin θ)."""
        return jnp.stack([jnp.cos(self.node_angles), jnp.sin(self.node_angles)], axis=1)

    def log_rule(self) -> Float[Array, " N"]:
        """Of `node_rule`."""
        return jnp.asarray(np.log(node_rule(self.nodes, self.end)[1]), self.dtype)

    def labels_in_balance(self) -> CharacteristicState:
        """Angles."""
        theta = self.node_angles
        return CharacteristicState(jnp.stack([theta, theta]), self.node_log_density + self.log_rule()[None])

    def angles_of_points(self, points: Float[Array, "n 2"]) -> Float[Array, "n 1"]:
        """θ."""
        along = points[:, 0] if self.signed else jnp.abs(points[:, 0])
        return jnp.arctan2(jnp.abs(points[:, 1]), along)[:, None]

    def own_fields(self, labels: AbstractDirections) -> tuple[Float[Array, "2 N"], Float[Array, "2 N"]]:
        """G and V: the features are evaluated once."""
        reduction = self.resolved()
        values, slopes = reduction.features(labels.coordinates)
        forces = reduction.forces(jnp.tensordot(values, labels.signed(), 2, precision=_HIGHEST))
        return jnp.tensordot(forces, values, 1, precision=_HIGHEST), jnp.tensordot(forces, slopes, 1, precision=_HIGHEST)

    def own_potential(
        self, points: Float[Array, "n 2"], weights: Float[Array, " n"]
    ) -> tuple[Float[Array, " n"], Float[Array, "n 2"]]:
        """‖q‖ G(θ), and (cos θ G − sin θ V, sin θ G + cos θ V)."""
        reduction = self.resolved()
        norm, theta = jnp.hypot(points[:, 0], points[:, 1]), jnp.arctan2(points[:, 1], points[:, 0])
        values, slopes = reduction.features(theta)
        forces = reduction.forces(jnp.matmul(values, weights * norm, precision=_HIGHEST))
        potential = jnp.matmul(forces, values, precision=_HIGHEST)
        slope = jnp.matmul(forces, slopes, precision=_HIGHEST)
        cosine, sine = jnp.cos(theta), jnp.sin(theta)
        gradient = jnp.stack([cosine * potential - sine * slope, sine * potential + cosine * slope], axis=1)
        return norm * potential, gradient

    def fields(self, angles: Float[Array, "n 1"], forces: Float[Array, " M"]) -> tuple[Float[Array, " n"], Array]:
        """G and V = ∂_θ G."""
        values, slopes = self.features(angles[:, 0])
        return jnp.matmul(forces, values, precision=_HIGHEST), jnp.matmul(forces, slopes, precision=_HIGHEST)[:, None]

    def end_of(self, axis: int) -> float:
        """The only one."""
        return self.end

    def lift(self, points: Float[Array, "n 2"], key: Array) -> Float[Array, "n d"]:
        """Independent unit vectors of H (the axis itself where the angle is signed) and of H^⊥, times these sides."""
        dim, dim_h = round(float(self.dim)), round(float(self.dim_h))
        basis = jnp.eye(dim_h, dim, dtype=self.dtype) if self.basis is None else self.basis
        gauss = jax.random.normal(key, (len(points), dim), self.dtype)
        inside = (gauss @ basis.T) @ basis
        outside = gauss - inside
        if self.signed:
            inside = jnp.broadcast_to(basis[0], inside.shape)
        inside, outside = (v / jnp.linalg.norm(v, axis=1, keepdims=True) for v in (inside, outside))
        return points[:, :1] * inside + points[:, 1:] * outside

    def observe_atoms(self, atoms: Atoms) -> dict[str, Array]:
        """Risk, masses, alignments and, on [0, π/2], Wasserstein distances to the two ends."""
        theta, weight = atoms.angles[..., 0], atoms.weights
        squares = jnp.stack([jnp.cos(theta) ** 2, theta**2, (self.end - theta) ** 2], axis=1)
        averages = jnp.sum(squares * weight[:, None], axis=2)
        return self.observables(self.moments(atoms.scattered(), atoms.signed()), jnp.sum(weight, axis=1), averages)

    def observables(
        self, moments: Float[Array, " M"], masses: Float[Array, " 2"], averages: Float[Array, "2 3"]
    ) -> dict[str, Array]:
        """The record of a state from its moments, masses and integrals of cos²θ, θ² and (end − θ)² against τ^±."""
        safe = jnp.where(masses > 0, masses, jnp.nan)[:, None]
        mean = averages / safe
        record = self.record(moments, masses, mean[:, 0])
        if not self.signed:
            record |= {"distance_plus": jnp.sqrt(mean[0, 1]), "distance_minus": jnp.sqrt(mean[1, 2])}
        return record
