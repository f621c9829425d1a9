"""Neurons by their labels: sign, initial angle and initial ratio |a_0|/‖b_0‖, moved in (a, ‖b_H‖, ‖b_⊥‖).

With G(b) = E[R σ(b·x)] = ‖b‖ G(θ), V = ∂_θ G, p = ‖b_H‖ (or the signed coordinate b_1) and r = ‖b_⊥‖,

    a' = rate_a (‖b‖ G − λ a),   p' = rate_b (a (cos θ G − sin θ V) − λ p),   r' = rate_b (a (sin θ G + cos θ V) − λ r),

for any start, rates and decay λ: no balancedness, no metric, no poles. An explicit Euler step of it is a step of gradient
descent of every neuron, exactly; p and r are then coordinates along fixed directions of H and H^⊥, and may change sign.
(Derived from Hajjar & Chizat 2022, low-dimensional structure.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..integrate import AbstractDynamics
from .quotient import AngleReduction, node_rule
from .transport import observables

_HIGHEST = jax.lax.Precision.HIGHEST
_SIGNS = np.array([1.0, -1.0])[:, None, None]


class LabelState(eqx.Module):
    """Labels [2, K, nodes] (sign at time 0, ratio, angle), in units of their own size at time 0."""

    a: Float[Array, "2 K nodes"]
    p: Float[Array, "2 K nodes"]
    r: Float[Array, "2 K nodes"]


class LabelDynamics(AbstractDynamics):
    """Labels that move along the potential of their own law.

    `threshold`: the ratio ‖b‖/|a| that counts as b = 0, and the |a| below which a neuron is at rest whatever the ratio.
    """

    reduction: AngleReduction
    rates: Float[Array, " 2"]
    weight_decay: Float[Array, ""]
    threshold: Float[Array, " 2"]
    weights: Float[Array, "2 K nodes"] | None = None

    def prepare(self):
        """The weights of the labels; features are evaluated where the labels are."""
        weights = label_weights(self.reduction)
        return eqx.tree_at(lambda d: d.weights, self, weights, is_leaf=lambda leaf: leaf is None)

    def initial_state(self) -> LabelState:
        """Labels at the nodes with the sizes of the start."""
        law, dtype = self.reduction.labels, self.reduction.dtype
        theta = jnp.asarray(node_rule(self.reduction.nodes, self.reduction.end)[0][None, None], dtype)
        outer = jnp.asarray(_SIGNS, dtype) * law.outer[:, :, None] * jnp.ones_like(theta)
        inner = law.inner[:, :, None]
        return LabelState(outer, inner * jnp.cos(theta), inner * jnp.sin(theta))

    def velocity(self, t, state):
        """(a', p', r')."""
        assert self.weights is not None
        reduction = self.reduction.resolved()
        norm, theta = jnp.hypot(state.p, state.r), jnp.arctan2(state.r, state.p)
        values, slopes = reduction.features(theta)
        moments = jnp.tensordot(values, self.weights * state.a * norm, 3, precision=_HIGHEST)
        forces = reduction.factors * reduction.residual(moments)
        potential = jnp.tensordot(forces, values, 1, precision=_HIGHEST)
        slope = jnp.tensordot(forces, slopes, 1, precision=_HIGHEST)
        cosine, sine = jnp.cos(theta), jnp.sin(theta)
        along, across = cosine * potential - sine * slope, sine * potential + cosine * slope
        rate_a, rate_b = self.rates
        return LabelState(
            rate_a * (norm * potential - self.weight_decay * state.a),
            rate_b * (state.a * along - self.weight_decay * state.p),
            rate_b * (state.a * across - self.weight_decay * state.r),
        )

    def largest_step(self, state):
        """No bound: nothing here can become inadmissible."""
        return jnp.asarray(jnp.inf, state.a.dtype)

    def observe(self, t, state):
        """Risk, masses, alignments and, on [0, π/2], Wasserstein distances; the signs are those of a at this time."""
        theta, weight = label_atoms(self.reduction, state)
        squares = jnp.stack([jnp.cos(theta) ** 2, theta**2, (self.reduction.end - theta) ** 2], axis=1)
        averages = jnp.sum(squares * weight[:, None], axis=2)
        values, _ = self.reduction.features(theta[0])
        moments = jnp.matmul(values, weight[0] - weight[1], precision=_HIGHEST)
        return observables(self.reduction, moments, jnp.sum(weight, axis=1), averages)


def label_weights(reduction: AngleReduction) -> Float[Array, "2 K nodes"]:
    """What a label weighs: its mass is weight·|a|·√(p² + r²)."""
    _, rule = node_rule(reduction.nodes, reduction.end)
    law = reduction.labels
    density = jnp.asarray(rule, reduction.dtype) * jnp.exp(law.log_probability)
    return law.share[:, :, None] * density[None, None]


def label_atoms(reduction: AngleReduction, state: LabelState) -> tuple[Float[Array, "2 n"], Float[Array, "2 n"]]:
    """A state as atoms of τ⁺ and τ⁻: angles and non-negative weights, each [2, n]."""
    along = state.p if reduction.signed else jnp.abs(state.p)
    theta = jnp.arctan2(jnp.abs(state.r), along).ravel()
    mass = (label_weights(reduction) * state.a * jnp.hypot(state.p, state.r)).ravel()
    return jnp.stack([theta, theta]), jnp.maximum(jnp.stack([mass, -mass]), 0.0)


def reaches_zero(dynamics: LabelDynamics, state: LabelState) -> Bool[Array, ""]:
    """Whether a label has come to b = 0 with a ≠ 0, a point that several flow lines can leave."""
    assert dynamics.weights is not None
    size, (ratio, rest) = jnp.abs(state.a), dynamics.threshold
    near = (jnp.hypot(state.p, state.r) <= ratio * size) & (size > rest)
    return jnp.any(near & (dynamics.weights > 0))
