"""The equation in several angles by its characteristics: labels that move on the sphere and gain weight.

    u' = ε ∇G(u),   (log c)' = 2 ε G(u),   ∫ f dτ^ε = Σ_i w_i c_i f(u_i)

A label is a point (signed coordinates and norms of the blocks of u), so that no pole needs care.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...integrate import AbstractDynamics
from ..transport import REACTION
from .coordinates import tangents, to_angles, to_point
from .observables import observables
from .quotient import BlockReduction

_HIGHEST = jax.lax.Precision.HIGHEST
_BLOCK = 128  # labels whose features are in memory at a time


class BlockLabelState(eqx.Module):
    """Points [2, N, k+1] and log-weights [2, N] of the labels of both signs."""

    point: Float[Array, "2 N K"]
    log_weight: Float[Array, "2 N"]


class BlockLabelDynamics(AbstractDynamics):
    """Labels that move along the potential of their own law."""

    reduction: BlockReduction

    def prepare(self):
        """Nothing to tabulate: the features are evaluated where the labels are."""
        return self

    def initial_state(self) -> BlockLabelState:
        """Labels at the nodes, with the weights of the rule times the initial masses."""
        reduction = self.reduction
        point = to_point(reduction.node_angles)
        weight = reduction.node_log_weight[None] + jnp.log(reduction.masses)[:, None]
        return BlockLabelState(jnp.stack([point, point]), weight)

    def velocity(self, t, state):
        """(u', (log weight)')."""
        reduction = self.reduction.resolved()
        forces = reduction.forces(moments(reduction, state))
        angles = to_angles(state.point)

        def one(block):
            values, gradients = reduction.features_and_gradients(block)
            flat = forces.ravel()
            growth = jnp.matmul(values.reshape(len(block), -1), flat, precision=_HIGHEST)
            slopes = jnp.matmul(gradients.reshape(*gradients.shape[:2], -1), flat, precision=_HIGHEST)
            return growth, jnp.einsum("kn,nkc->nc", slopes, tangents(block), precision=_HIGHEST)

        growth, drift = _in_blocks(one, angles.reshape(-1, angles.shape[-1]))
        signs = jnp.asarray([1.0, -1.0], growth.dtype)
        # Points stay on their sphere, whose radius rounding and step errors change: the gradient is that at u/‖u‖.
        return BlockLabelState(
            signs[:, None, None] * drift.reshape(state.point.shape), REACTION * signs[:, None] * growth.reshape(2, -1)
        )

    def largest_step(self, state):
        """No bound: nothing here can become negative."""
        return jnp.asarray(jnp.inf, state.point.dtype)

    def observe(self, t, state):
        """Risk, masses and alignments."""
        weight = jnp.exp(state.log_weight)
        share = state.point[..., -1] ** 2 / jnp.sum(state.point**2, axis=-1)
        return observables(
            self.reduction, moments(self.reduction, state), jnp.sum(weight, axis=1), jnp.sum(weight * share, axis=1)
        )


def moments(reduction: BlockReduction, state: BlockLabelState) -> Float[Array, "..."]:
    """ψ̂ = ∫ψ d(τ⁺ − τ⁻)."""
    weight = jnp.asarray([[1.0], [-1.0]], state.log_weight.dtype) * jnp.exp(state.log_weight)
    return atom_moments(reduction, to_angles(state.point).reshape(-1, reduction.blocks.angles), weight.ravel())


def atom_moments(reduction: BlockReduction, angles: Float[Array, "n k"], weight: Float[Array, " n"]) -> Float[Array, "..."]:
    """Σ_i weight_i ψ(θ_i)."""

    def add(total, block):
        angles, weight = block
        return total + jnp.tensordot(weight, reduction.features(angles), 1, precision=_HIGHEST), None

    blocks, weights = _split(angles), _split(weight)
    zero = jnp.zeros(reduction.coefficients.shape, angles.dtype)
    return jax.lax.scan(add, zero, (blocks, weights))[0]


def _split(rows: Float[Array, "n ..."]) -> Float[Array, "b s ..."]:
    padding = -len(rows) % _BLOCK if len(rows) > _BLOCK else 0
    padded = jnp.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1))
    return padded.reshape(-1, min(len(rows), _BLOCK), *rows.shape[1:])


def _in_blocks(function, rows: Float[Array, "n k"]):
    out = jax.lax.map(jax.checkpoint(function, prevent_cse=False), _split(rows))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[: len(rows)], out)
