"""Between the angles of blocks and R^d: coordinates of inputs and neurons, moments of states, the predictor."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .coordinates import to_angles
from .grid import BlockGridDynamics
from .harmonics import analyse, log_funk_hecke
from .labels import BlockLabelState, atom_moments, moments
from .quotient import BlockReduction

_HIGHEST = jax.lax.Precision.HIGHEST


def block_point(reduction: BlockReduction, x: Float[Array, "n d"]) -> Float[Array, "n K"]:
    """Signed coordinates and norms of the blocks of every row."""
    dims, signed = reduction.blocks.dims, (*reduction.blocks.signed, False)
    own = dims[:-1] if reduction.remainder else dims
    inside = x[:, : sum(own)] if reduction.basis is None else jnp.matmul(x, reduction.basis.T, precision=_HIGHEST)
    edges = np.cumsum([0, *own])
    parts = [inside[:, start:stop] for start, stop in itertools.pairwise(edges)]
    columns = [p[:, 0] if s else jnp.sqrt(jnp.sum(p**2, axis=1)) for p, s in zip(parts, signed, strict=False)]
    if reduction.remainder:
        outside = jnp.sum(x**2, axis=1) - jnp.sum(inside**2, axis=1)
        columns.append(jnp.sqrt(jnp.maximum(outside, 0.0)))
    return jnp.stack(columns, axis=1)


def block_angles(reduction: BlockReduction, x: Float[Array, "n d"]) -> Float[Array, "n k"]:
    """Angles of every row."""
    return to_angles(block_point(reduction, x))


@eqx.filter_jit
def block_moments(reduction: BlockReduction, states) -> Float[Array, "T ..."]:
    """ψ̂ of recorded states (leading axis T), over all stored harmonics."""
    if isinstance(states, BlockLabelState):
        return jax.lax.map(lambda state: moments(reduction, state), states)
    tables = BlockGridDynamics(reduction).prepare().tables
    assert tables is not None
    return jax.lax.map(lambda state: analyse(tables.all_moments, state[0] - state[1]), states)


@eqx.filter_jit
def cloud_moments(
    reduction: BlockReduction, angles: Float[Array, "S T m k"], weight: Float[Array, "S T m"]
) -> Float[Array, "S T ..."]:
    """ψ̂ of clouds of atoms with signed weights."""
    flat = angles.reshape(-1, *angles.shape[2:]), weight.reshape(-1, weight.shape[-1])
    out = jax.lax.map(lambda pair: atom_moments(reduction, *pair), flat)
    return out.reshape(*weight.shape[:2], *out.shape[1:])


@eqx.filter_jit
def predict_blocks(reduction: BlockReduction, state, x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """f(x) = ‖x‖ Σ a_l Y(x/‖x‖) τ̂ over the stored harmonics.

    What is cut off has the energy by which `risk` would change with more modes.
    """
    blocks = reduction.blocks
    degree = reduction.degrees * blocks.stride
    sign = np.where((degree < 2) | (degree % 4 == 2), 1.0, -1.0)
    # ψ = s_l Y, so that a_l Y Y' = sign_l ψ ψ' / s_l.
    size = np.exp(-log_funk_hecke(degree, sum(blocks.dims)))
    root = jnp.sqrt(jnp.maximum(reduction.second_moment, jnp.finfo(reduction.dtype).tiny))
    weights = (jnp.asarray(sign * size, reduction.dtype) * reduction.factors / root).reshape(-1, *(1,) * (blocks.angles - 1))
    scaled = weights * block_moments(reduction, jax.tree.map(lambda leaf: leaf[None], state))[0]
    length = jnp.sqrt(jnp.sum(x**2, axis=1))

    def one(angles):
        return jnp.sum(reduction.features(angles[None])[0] * scaled)

    return length * jax.lax.map(one, block_angles(reduction, x), batch_size=64)
