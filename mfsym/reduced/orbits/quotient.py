"""A problem on the orbits of its symmetry: weighted neurons (a, q, β) under a cubature of the orbits of the inputs.

With x = (ξ, directions), b = (q, directions), the unit σ* averaged over the group is

    φ(ξ; a, q, β) = a Ψ(u, v),   u = Σ_kept q_i ξ_i + β,   v_i = q_i ξ_i (radial),   Ψ(u, v) = E σ(u + Σ v_i ω_i),

every invariant network is f(ξ) = ∫ φ dν, and the gradient flow is that of the same problem with unit φ and inputs ξ:
a' = E[R Ψ], q_i' = a E[R ξ_i Ψ_u] (kept) or a E[R ξ_i Ψ_{v_i}] (radial), β' = a E[R Ψ_u], R = −∂₁ℓ(f, y). (Derived.)
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...chunks import map_blocks
from ...errors import check_choice
from ...problem.losses import AbstractLoss, has_margin, losses, residuals, smallest_margin
from ...problem.training import Training
from ...safe import safe_ratio, safe_root
from ..base import AbstractReduction
from .average import AbstractAverage, Averages
from .blocks import OrbitBlocks

METHODS = ("characteristics",)
_HIGHEST = jax.lax.Precision.HIGHEST
_ENTRIES = 2**18  # of a chunk: labels × inputs × nodes of the average
_MASSES = "labels of neurons of any unit have sizes instead of masses, see `a_squared`, `b_h_squared` and `b_perp_squared`"
_ABSENT = ("mass_plus", "mass_minus", "alignment_plus", "alignment_minus", "distance_plus", "distance_minus")


class OrbitState(eqx.Module):
    """Labels: outer weights a [N], coordinates q of b [N, K] (signed ones and norms of blocks), biases β [N]."""

    a: Float[Array, " N"]
    q: Float[Array, "N K"]
    bias: Float[Array, " N"]


class Labels(NamedTuple):
    """The neurons at time 0, and the share of them that each stands for, [N]."""

    state: OrbitState
    weight: Float[Array, " N"]


class InputRule(NamedTuple):
    """A cubature of the coordinates ξ of the inputs, points [n, K] and probabilities [n], and the target there, [n]."""

    points: Float[Array, "n K"]
    probability: Float[Array, " n"]
    values: Float[Array, " n"]


class Variants(NamedTuple):
    """What the error estimate puts in place: a half and a quarter of the labels, twice the inputs, a better average."""

    labels: tuple[Labels, ...]
    inputs: InputRule
    average: AbstractAverage


class OrbitReduction(AbstractReduction):
    """A problem on orbits, as array leaves.

    - `floor`: half the variance of the noise of the labels, which adds to the risk and moves nothing.
    - `inputs`: a cubature of the coordinates ξ of the inputs; `labels`: one of the neurons at time 0.
    - `average`: how the unit is averaged over directions.
    - `variants`: what may stand in place of these three, for the error estimate.
    """

    blocks: OrbitBlocks
    loss: AbstractLoss
    average: AbstractAverage
    inputs: InputRule
    labels: Labels
    floor: Float[Array, ""]
    variants: Variants
    biased: bool = eqx.field(static=True)

    def features(self, state: OrbitState, points: Float[Array, "n K"]) -> Averages:
        """Ψ [N, n] and its derivatives in u [N, n] and in every v_i, [N, n, r]."""
        kept, radial = self.blocks.signed, self.blocks.radial

        def rows(block):
            q, bias = block
            u = jnp.matmul(q[:, kept], points[:, kept].T, precision=_HIGHEST) + bias[:, None]
            v = q[:, None, radial] * points[None, :, radial]
            return self.average(u, v)

        size = max(1, _ENTRIES // (points.shape[0] * self.average.entries))
        if size >= state.a.shape[0]:
            return rows((state.q, state.bias))
        return map_blocks(rows, (state.q, state.bias), size)

    def outputs(self, state: OrbitState, value: Float[Array, "N n"]) -> Float[Array, " n"]:
        """f at the points of which `value` is Ψ."""
        return jnp.matmul(self.labels.weight * state.a, value, precision=_HIGHEST)

    def velocity(self, state: OrbitState) -> OrbitState:
        """(E[R Ψ], a E[R ∇_q Ψ], a E[R Ψ_u]) for every label."""
        value, slope, radial = self.features(state, self.inputs.points)
        force = self.inputs.probability * residuals(self.loss, self.outputs(state, value), self.inputs.values)
        forced = force[:, None] * self.inputs.points
        moved = jnp.matmul(slope, forced, precision=_HIGHEST)
        along = jnp.einsum("Nnr,nr->Nr", radial, forced[:, self.blocks.radial], precision=_HIGHEST)
        q = state.a[:, None] * moved.at[:, self.blocks.radial].set(along)
        bias = state.a * jnp.matmul(slope, force, precision=_HIGHEST) if self.biased else jnp.zeros_like(state.bias)
        return OrbitState(jnp.matmul(value, force, precision=_HIGHEST), q, bias)

    def predict(self, state: OrbitState, points: Float[Array, "n K"]) -> Float[Array, " n"]:
        """f at inputs with these coordinates, [n]."""
        return self.outputs(state, self.features(state, points).value)

    def observe(self, state: OrbitState) -> dict[str, Array]:
        """`risk`; the means of a², ‖b_H‖², ‖b_⊥‖² and, with a bias, of β and β², as they are measured on clouds.

        With a logistic loss also `variation_norm` = ∫|a| ‖(b, β)‖ dν and `margin`, the smallest Y f over the points of the
        cubature over this norm; where inputs come near to those of the other label it falls as points are added.
        """
        outputs = self.predict(state, self.inputs.points)
        squares, inside = jnp.matmul(self.labels.weight, state.q**2), self.blocks.of_target
        record = {
            "risk": self.floor + jnp.sum(self.inputs.probability * losses(self.loss, outputs, self.inputs.values)),
            "a_squared": jnp.sum(self.labels.weight * state.a**2),
            "b_h_squared": jnp.sum(jnp.where(inside, squares, 0)),
            "b_perp_squared": jnp.sum(jnp.where(inside, 0, squares)),
        }
        if self.biased:
            record["bias_mean"] = jnp.sum(self.labels.weight * state.bias)
            record["bias_squared"] = jnp.sum(self.labels.weight * state.bias**2)
        if has_margin(self.loss):
            length = safe_root(jnp.sum(state.q**2, axis=1) + (state.bias**2 if self.biased else 0))
            norm = jnp.sum(self.labels.weight * jnp.abs(state.a) * length)
            margin = safe_ratio(smallest_margin(outputs, self.inputs.values), norm, jnp.nan)
            record |= {"variation_norm": norm, "margin": margin}
        return record

    @property
    def dtype(self):
        """Floating type of the labels."""
        return self.labels.weight.dtype

    @property
    def angles(self) -> None:
        """The law of the angles says nothing about neurons whose sizes matter."""

    def known_dim(self) -> int | None:
        """Dimension d; None in the limit d → ∞."""
        return None if self.blocks.dim == np.inf else int(self.blocks.dim)

    @property
    def methods(self) -> tuple[str, ...]:
        """Labels that move."""
        return METHODS

    def choose_method(self, method: str | None, training: Training | None, initial: PyTree) -> str:
        """There is one."""
        return check_choice("method", "characteristics" if method is None else method, METHODS)

    def decided_by_values(self, method: str | None, training: Training | None) -> bool:
        """Never."""
        return False

    def scales(self) -> None:
        """None: labels keep their weights."""

    def coarser(self) -> "OrbitReduction | None":
        """Half the labels."""
        if not self.variants.labels:
            return None
        half, *rest = self.variants.labels
        return dataclasses.replace(self, labels=half, variants=self.variants._replace(labels=tuple(rest)))

    def can_be_halved(self, method: str) -> bool:
        """Whether a rule with half the labels is kept."""
        return bool(self.variants.labels)

    def all_modes(self) -> "OrbitReduction":
        """All is there."""
        return self

    def floor_uncertainty(self) -> float:
        """None: the noise of the labels is given."""
        return 0.0

    def displaced(self) -> "tuple[OrbitReduction, ...]":
        """More inputs, more nodes in the average, and both, so that what either misses counts twice: finer rules err too."""
        inputs, average = {"inputs": self.variants.inputs}, {"average": self.variants.average}
        return tuple(dataclasses.replace(self, **change) for change in (inputs, average, inputs | average))

    def absent(self, observables: dict[str, Array]) -> tuple[tuple[str, str], ...]:
        """What belongs to 1-homogeneous units."""
        return tuple((name, _MASSES) for name in _ABSENT)

    def in_common(self) -> dict[str, object]:
        """The blocks, the unit and the loss, and the sizes of the rules."""
        return {
            "blocks": self.blocks.dims,
            "unit": str(self.average.unit),
            "loss": str(self.loss),
            "labels": self.labels.weight.shape[0],
            "inputs": self.inputs.probability.shape[0],
            "directions": self.average.entries,
        }
