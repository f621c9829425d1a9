"""The reduced equation in several angles: what both methods need of a problem.

With ψ the features of `harmonics`, f_l = √(E R²) times the factor of the unit, ψ̂ = ∫ψ d(τ⁺ − τ⁻):

    G(θ) = Σ f (η − f ψ̂) ψ(θ),   u' = ε ∇G on the sphere,   c' = 2 ε c G,   F = floor + ½ Σ (η − f ψ̂)².
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...errors import argument_error
from ...problem.training import Training
from ..angles.angular import (
    POSITIONS,
    AbstractAngularReduction,
    check_angular_method,
    halved_cells,
    sizes_can_be_halved,
)
from ..angles.coordinates import Blocks, tangents, to_angles, to_point
from ..angles.directions import AbstractDirections, BlockLabelState
from ..angles.label_law import LabelLaw
from ..angles.target_parts import TargetParts
from ..base import Atoms, Scales
from .nested_tables import NestedTable, funk_hecke_sign, log_funk_hecke, reachable_degrees
from .scattered import features, moments, sums
from .stretched import stretched_angles, stretched_potential
from .vectors import points_of_vectors, vectors_of_points
from .waves import WaveTable

_HIGHEST = jax.lax.Precision.HIGHEST


class BlockReduction(AbstractAngularReduction):
    """The equation in k angles of a problem whose target depends on norms of blocks and on signed coordinates.

    - `blocks`: how R^d is split (static); `tables`: the harmonics, one table per angle; `waves`: the same by frequencies.
    - `coefficients` η [L, J, …] of the target, `factors` f [L] of the unit; the first axis runs over reachable degrees.
    - `uniform`, `probability` [n_1, …, n_k]: of every cell, for a uniform unit vector and for a direction at time 0.
    - `masses` [2]: of τ⁺ and τ⁻ at time 0.
    - `labels`: the law of (|a|, ‖b‖) at time 0, and of the directions at a tensor product of `node_counts` nodes.
    - `stretch` [k + 1]: how large the inputs are in every block, or None for isotropic inputs: then b acts as S b does for
      isotropic inputs, ψ(b) = ‖S b‖ ψ(S b/‖S b‖).
    - `second_moment`: E‖x‖². `basis`: rows that span H, where it is not the first coordinates.
    - `floor`: risk that no τ can remove; `tail`: energy of the target beyond the stored harmonics.
    - `check`: the three numbers of the target by another rule; their difference is the error of the quadrature.
    - `resolved_count`: how many of the stored degrees the dynamics uses; the risk uses all.
    - `remainder`: whether the last block is what the target ignores, rather than one of its own blocks.
    - `usual_method`: the method where none is given (static).
    """

    blocks: Blocks = eqx.field(static=True)
    tables: tuple[NestedTable, ...]
    waves: tuple[WaveTable, ...]
    coefficients: Float[Array, "..."]
    factors: Float[Array, " L"]
    uniform: Float[Array, "..."]
    probability: Float[Array, "..."]
    masses: Float[Array, " 2"]
    labels: LabelLaw
    stretch: Float[Array, " K"] | None
    floor: Float[Array, ""]
    tail: Float[Array, ""]
    check: TargetParts
    second_moment: Float[Array, ""]
    basis: Float[Array, "dim_h d"] | None
    node_counts: tuple[int, ...] = eqx.field(static=True)
    resolved_count: int = eqx.field(static=True)
    remainder: bool = eqx.field(static=True)
    usual_method: str = eqx.field(static=True)

    @property
    def cells(self) -> tuple[int, ...]:
        """Number of cells of every angle."""
        return self.uniform.shape

    @property
    def count(self) -> int:
        """Number of stored degrees 0, stride, 2·stride, …"""
        return self.tables[0].log_first.shape[0]

    @property
    def degrees(self) -> np.ndarray:
        """Indices of the reachable degrees, the first axis of `coefficients`."""
        return reachable_degrees(self.count, self.blocks.stride)

    def resolved(self) -> "BlockReduction":
        """The same reduction with only the degrees that the dynamics uses."""
        count = self.resolved_count
        keep = self.degrees < count
        inner = tuple(slice(count) for _ in range(self.blocks.angles - 1))
        new = (
            *(tuple(table.truncate(count) for table in tables) for tables in (self.tables, self.waves)),
            self.coefficients[(np.nonzero(keep)[0], *inner)],
            self.factors[keep],
        )
        return eqx.tree_at(lambda r: (r.tables, r.waves, r.coefficients, r.factors), self, new)

    def features(self, angles: Float[Array, "n k"]) -> Float[Array, "n ..."]:
        """Every feature at scattered points, [n, L, J, …]."""
        return features(self.blocks, self.tables, angles)

    def kernel(self, angles: Float[Array, "n k"], others: Float[Array, "m k"]) -> Float[Array, "n m"]:
        """K(θ_i, θ'_j) = E[φ̃(θ_i; x) φ̃(θ'_j; x)] from all stored harmonics."""
        (left, size), (right, other) = (stretched_angles(self.stretch, a) for a in (angles, others))
        left, right = (self.features(a) * self.along_degrees(self.factors)[None] for a in (left, right))
        return jnp.outer(size, other) * jnp.matmul(
            left.reshape(len(left), -1), right.reshape(len(right), -1).T, precision=_HIGHEST
        )

    def target_term(self, angles: Float[Array, "n k"]) -> Float[Array, " n"]:
        """g*(θ) = E[f*(x) φ̃(θ; x)]."""
        weights = self.along_degrees(self.factors) * self.coefficients
        angles, size = stretched_angles(self.stretch, angles)
        return size * sums(self.blocks, self.waves, angles, weights)

    @property
    def angles(self) -> int:
        """k."""
        return self.blocks.angles

    def known_dim(self) -> int:
        """Dimension d."""
        return sum(self.blocks.dims)

    @property
    def methods(self) -> tuple[str, ...]:
        """A grid has tables for isotropic inputs alone."""
        return ("grid", "characteristics") if self.stretch is None else ("characteristics",)

    def choose_method(self, method: str | None, training: Training | None, initial: PyTree) -> str:
        """The usual one by default; "upwind" is a yardstick of one angle."""
        method = check_angular_method(self.usual_method if method is None else method)
        if method == "upwind":
            expected = "'grid' or 'characteristics' in several angles"
            raise argument_error("method", expected, method, "Choose one of these.")
        return method

    def scales(self) -> Scales:
        """Of both signs."""
        return Scales(self.masses, self.coefficients, self.second_moment / self.known_dim())

    def coarser(self) -> "BlockReduction":
        """Half the cells (exact sums of pairs) and half the labels (the nested rule) in every angle."""
        counts = tuple((n - 1) // 2 for n in self.node_counts)
        nested = self.labels.log_probability.reshape(self.node_counts)[(slice(1, None, 2),) * self.angles]
        halves = [halved_cells(cells, 0) for cells in (self.uniform, self.probability)]
        new = (*halves, self.labels.coarsened(nested.ravel()))
        return dataclasses.replace(
            eqx.tree_at(lambda r: (r.uniform, r.probability, r.labels), self, new), node_counts=counts
        )

    def can_be_halved(self, method: str) -> bool:
        """Whether the numbers of cells and labels are even and odd, and large enough."""
        return sizes_can_be_halved(method, self.cells, self.node_counts)

    def all_modes(self) -> "BlockReduction":
        """All stored degrees in the dynamics."""
        return dataclasses.replace(self, resolved_count=self.count)

    def absent(self, observables: dict[str, Array]) -> tuple[tuple[str, str], ...]:
        """Distances."""
        return (("distance_plus", POSITIONS), ("distance_minus", POSITIONS))

    def in_common(self) -> dict[str, object]:
        """How R^d is split, and sizes."""
        return {
            "blocks": self.blocks,
            "cells": self.cells,
            "nodes": self.node_counts,
            "method": self.usual_method,
            "modes": (self.resolved_count, self.count),
            "axes": None if self.basis is None else self.basis.shape,
            "remainder": self.remainder,
            "stretched": self.stretch is not None,
            "balanced": self.labels.balanced,
            "ratios": self.labels.outer.shape[-1],
        }

    def angles_of(self, x: Float[Array, "n d"]) -> Float[Array, "n k"]:
        """Angles of every row."""
        return to_angles(self.point_of(x))

    def node_points(self) -> Float[Array, "N K"]:
        """Tensor product of the nodes of every angle."""
        return to_point(jnp.asarray(self.blocks.nodes(self.node_counts), self.dtype))

    def log_rule(self) -> Float[Array, " N"]:
        """Of the tensor product of the rules."""
        return jnp.asarray(self.blocks.log_rule(self.node_counts), self.dtype)

    def labels_in_balance(self) -> BlockLabelState:
        """Points."""
        point, weight = self.node_points(), self.labels.log_probability + self.log_rule()
        return BlockLabelState(jnp.stack([point, point]), weight[None] + jnp.log(self.masses)[:, None])

    def angles_of_points(self, points: Float[Array, "n K"]) -> Float[Array, "n k"]:
        """Nested polar angles."""
        return to_angles(self.blocks.folded(points))

    def point_of(self, x: Float[Array, "n d"]) -> Float[Array, "n K"]:
        """Signed coordinates and norms of the blocks of every row."""
        return points_of_vectors(self.blocks, self.basis, self.remainder, x)

    def moments(self, angles: Float[Array, "n k"], weights: Float[Array, " n"]) -> Float[Array, "..."]:
        """ψ̂ = Σ_i weight_i ψ(θ_i) in all harmonics that this reduction has."""
        angles, size = stretched_angles(self.stretch, angles)
        return moments(self.blocks, self.waves, angles, weights * size)

    def potential(self, points: Float[Array, "n K"], forces: Float[Array, "..."]) -> tuple[Float[Array, " n"], Array]:
        """Φ(q) = ‖S q‖ G(S q/‖S q‖) and its gradient [n, K], G = Σ forces ψ."""
        return stretched_potential(self.blocks, self.waves, self.stretch, points, forces)

    def own_fields(self, labels: AbstractDirections) -> tuple[Float[Array, "2 N"], Float[Array, "2 N K"]]:
        """Φ and the part of ∇Φ along the sphere, at points on it: rounding and step errors change the radius of labels."""
        points = labels.coordinates / jnp.linalg.norm(labels.coordinates, axis=-1, keepdims=True)
        flat = points.reshape(-1, points.shape[-1])
        height, gradient = self.own_potential(flat, labels.signed().ravel())
        along = gradient - height[:, None] * flat  # u·∇Φ = Φ, as Φ is 1-homogeneous
        return height.reshape(points.shape[:-1]), along.reshape(points.shape)

    def own_potential(
        self, points: Float[Array, "n K"], weights: Float[Array, " n"]
    ) -> tuple[Float[Array, " n"], Float[Array, "n K"]]:
        """Of the network that the points are."""
        reduction = self.resolved()
        moments = reduction.moments(self.angles_of_points(points), weights * jnp.linalg.norm(points, axis=1))
        return reduction.potential(points, reduction.forces(moments))

    def fields(self, angles: Float[Array, "n k"], forces: Float[Array, "..."]) -> tuple[Float[Array, " n"], Array]:
        """G, and ∇G along the frame of the angles."""
        height, gradient = self.potential(to_point(angles), forces)
        return height, jnp.einsum("nkc,nc->nk", tangents(angles), gradient, precision=_HIGHEST)

    def end_of(self, axis: int) -> float:
        """Of an angle to a radial block or to an axis."""
        return self.blocks.end(axis)

    def lift(self, points: Float[Array, "n K"], key: Array) -> Float[Array, "n d"]:
        """Independent directions in every radial block."""
        gauss = jax.random.normal(key, (len(points), self.known_dim()), self.dtype)
        return vectors_of_points(self.blocks, self.basis, self.remainder, points, gauss)

    def observe_atoms(self, atoms: Atoms) -> dict[str, Array]:
        """Risk, masses and alignments."""
        moments = self.moments(atoms.scattered(), atoms.signed())
        outside = jnp.prod(jnp.sin(atoms.angles), axis=-1) ** 2
        return self.observables(moments, jnp.sum(atoms.weights, axis=1), jnp.sum(atoms.weights * outside, axis=1))

    def observables(
        self, moments: Float[Array, "..."], masses: Float[Array, " 2"], outside: Float[Array, " 2"]
    ) -> dict[str, Array]:
        """Risk, masses, and alignments: the mean of ‖b_H‖²/‖b‖², H being all blocks but the last.

        `outside` is ∫ (share of the last block in ‖u‖²) dτ^±.
        """
        share = jnp.where(masses > 0, outside / jnp.where(masses > 0, masses, 1.0), jnp.nan)
        aligned = 1 - share if self.remainder else jnp.where(masses > 0, 1.0, jnp.nan)
        return self.record(moments, masses, aligned)

    def predict_atoms(self, atoms: Atoms, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f(x) from the moments of atoms."""
        return self.predict_moments(self.moments(atoms.scattered(), atoms.signed()), x)

    @eqx.filter_jit
    def predict_moments(self, moments: Float[Array, "..."], x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f(x) = ‖x‖ Σ a_l Y(x/‖x‖) τ̂ over the stored harmonics.

        What is cut off has the energy by which `risk` would change with more modes.
        """
        degree = self.degrees * self.blocks.stride
        # ψ = s_l Y, so that a_l Y Y' = sign_l ψ ψ' / s_l.
        scale = funk_hecke_sign(degree) * np.exp(-log_funk_hecke(degree, self.known_dim()))
        root = jnp.sqrt(jnp.maximum(self.second_moment, jnp.finfo(self.dtype).tiny))
        scaled = self.along_degrees(jnp.asarray(scale, self.dtype) * self.factors / root) * moments
        points = self.point_of(x.astype(self.dtype)) / (1 if self.stretch is None else self.stretch[None])  # isotropic
        return jnp.linalg.norm(points, axis=1) * sums(self.blocks, self.waves, to_angles(points), scaled)
