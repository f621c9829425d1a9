"""Neurons by their labels: sign, initial direction and initial ratio |a_0|/‖b_0‖, moved in (a, q), in any number of angles.

q holds what the reduction keeps of b: signed coordinates, and norms of blocks. With Φ(q) = E[R σ(b·x)], 1-homogeneous,

    a' = rate_a (Φ(q) − λ a),   q' = rate_b (a ∇Φ(q) − λ q),

for any start, rates and decay λ: no balancedness, no metric, no poles. An explicit Euler step of it is a step of gradient
descent of every neuron, exactly; the entries of q are then coordinates along fixed directions of their blocks, and may
change sign. (Derived from Hajjar & Chizat 2022, low-dimensional structure.)
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..base import Atoms
from .angular import AbstractAngularReduction
from .forms import AbstractLabelForm

Sizes = Float[Array, "*T 2 R N"] | Float[np.ndarray, "*T 2 R N"]  # of one state, or of a record of them, on any side
_SIGNS = np.array([1.0, -1.0])[:, None, None]


class LabelState(eqx.Module):
    """Labels [2, R, N] (sign at time 0, ratio, direction), in units of their own size at time 0; q has k + 1 entries."""

    a: Float[Array, "2 R N"]
    q: Float[Array, "2 R N K"]

    @property
    def p(self) -> Sizes:
        """The first entry of q: ‖b_H‖, or b_1, on one angle."""
        return self.q[..., 0]

    @property
    def r(self) -> Sizes:
        """The last entry of q: ‖b_⊥‖ on one angle."""
        return self.q[..., -1]


class LabelDynamics(AbstractLabelForm):
    """Labels that move along the potential of their own law.

    `threshold`: the ratio ‖b‖/|a| that counts as b = 0, and the |a| below which a neuron is at rest whatever the ratio.
    """

    balanced: ClassVar[bool] = False
    reduction: AbstractAngularReduction
    rates: Float[Array, " 2"]
    weight_decay: Float[Array, ""]
    threshold: Float[Array, " 2"]
    weights: Float[Array, "2 R N"] | None = None

    def prepare(self):
        """The weights of the labels; features are evaluated where the labels are."""
        weights = label_weights(self.reduction)
        return eqx.tree_at(lambda d: d.weights, self, weights, is_leaf=lambda leaf: leaf is None)

    def initial_state(self) -> LabelState:
        """Labels at the nodes with the sizes of the start."""
        law, points = self.reduction.labels, self.reduction.node_points()
        outer = jnp.asarray(_SIGNS, points.dtype) * law.outer[:, :, None] * jnp.ones_like(points[None, None, :, 0])
        return LabelState(outer, law.inner[:, :, None, None] * points[None, None])

    def velocity(self, t, state):
        """(a', q')."""
        assert self.weights is not None
        flat = state.q.reshape(-1, state.q.shape[-1])
        potential, gradient = self.reduction.own_potential(flat, (self.weights * state.a).ravel())
        rate_a, rate_b = self.rates
        along = state.a[..., None] * gradient.reshape(state.q.shape)
        return LabelState(
            rate_a * (potential.reshape(state.a.shape) - self.weight_decay * state.a),
            rate_b * (along - self.weight_decay * state.q),
        )

    def admissible(self, state):
        """Finite."""
        return all(bool(np.all(np.isfinite(leaf))) for leaf in jax.tree.leaves(state))

    def event(self):
        """Where a label comes to b = 0."""
        return reaches_zero

    def atoms(self, state):
        """Angles, and masses by the sign of a at this time, not at the start."""
        angles = self.reduction.angles_of_points(state.q.reshape(-1, state.q.shape[-1]))
        mass = (label_weights(self.reduction) * state.a * jnp.linalg.norm(state.q, axis=-1)).ravel()
        return Atoms(jnp.stack([angles, angles]), jnp.maximum(jnp.stack([mass, -mass]), 0.0))


def label_weights(reduction: AbstractAngularReduction) -> Float[Array, "2 R N"]:
    """What a label weighs: its mass is weight·|a|·‖q‖."""
    return reduction.labels.share[:, :, None] * reduction.node_weights()[None, None]


def reaches_zero(dynamics: LabelDynamics, state: LabelState) -> Bool[Array, ""]:
    """Whether a label has come to b = 0 with a ≠ 0, a point that several flow lines can leave."""
    assert dynamics.weights is not None
    size, (ratio, rest) = jnp.abs(state.a), dynamics.threshold
    near = (jnp.linalg.norm(state.q, axis=-1) <= ratio * size) & (size > rest)
    return jnp.any(near & (dynamics.weights > 0))
