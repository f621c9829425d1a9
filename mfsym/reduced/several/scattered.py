"""Harmonics of several angles at scattered points, and fields made of them, a few points at a time."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..angles.coordinates import Blocks, tangents
from .nested_tables import NestedTable, select

CHUNK = 128  # points whose features are in memory at a time
_HIGHEST = jax.lax.Precision.HIGHEST


def features(blocks: Blocks, tables: Sequence[NestedTable], angles: Float[Array, "n k"]) -> Float[Array, "n ..."]:
    """Every feature, [n, L, J, …]."""
    return _products([select(blocks, a, table(angles[:, a])[0]) for a, table in enumerate(tables)])


def features_and_gradients(
    blocks: Blocks, tables: Sequence[NestedTable], angles: Float[Array, "n k"]
) -> tuple[Float[Array, "n ..."], Float[Array, "k n ..."]]:
    """Features and their derivatives along the orthonormal frame of the angles."""
    pairs = [table(angles[:, a]) for a, table in enumerate(tables)]
    over = [table(angles[:, a], over=1)[0] for a, table in enumerate(tables[:-1])]
    values = [select(blocks, a, value) for a, (value, _) in enumerate(pairs)]
    gradients = []
    for axis in range(blocks.angles):
        # (Π_{b<axis} 1/sin θ_b) ∂_axis: the harmonics that depend on θ_axis have a factor sin θ_b for every b < axis.
        mixed = [select(blocks, b, over[b]) for b in range(axis)]
        mixed += [select(blocks, axis, pairs[axis][1]), *values[axis + 1 :]]
        gradients.append(_products(mixed))
    return _products(values), jnp.stack(gradients)


def fields(
    blocks: Blocks, tables: Sequence[NestedTable], angles: Float[Array, "n k"], forces: Float[Array, "..."]
) -> tuple[Float[Array, " n"], Float[Array, "n K"]]:
    """G = Σ forces ψ and its gradient along the sphere, in the coordinates of `to_point`."""

    def one(rows):
        values, gradients = features_and_gradients(blocks, tables, rows)
        flat = forces.ravel()
        growth = jnp.matmul(values.reshape(len(rows), -1), flat, precision=_HIGHEST)
        slopes = jnp.matmul(gradients.reshape(*gradients.shape[:2], -1), flat, precision=_HIGHEST)
        return growth, jnp.einsum("kn,nkc->nc", slopes, tangents(rows), precision=_HIGHEST)

    out = jax.lax.map(jax.checkpoint(one, prevent_cse=False), in_chunks(angles))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[: len(angles)], out)


def moments(
    blocks: Blocks, tables: Sequence[NestedTable], angles: Float[Array, "n k"], weights: Float[Array, " n"]
) -> Float[Array, "..."]:
    """Σ_i weight_i ψ(θ_i), [L, J, …]."""

    def add(total, rows):
        angles, weights = rows
        return total + jnp.tensordot(weights, features(blocks, tables, angles), 1, precision=_HIGHEST), None

    shape = jax.eval_shape(lambda angles: features(blocks, tables, angles), angles[:1]).shape[1:]
    return jax.lax.scan(add, jnp.zeros(shape, angles.dtype), (in_chunks(angles), in_chunks(weights)))[0]


def sums(
    blocks: Blocks, tables: Sequence[NestedTable], angles: Float[Array, "n k"], coefficients: Float[Array, "..."]
) -> Float[Array, " n"]:
    """Σ coefficients ψ at the angles, [n]."""
    return jax.lax.map(lambda row: jnp.sum(features(blocks, tables, row[None])[0] * coefficients), angles, batch_size=64)


def in_chunks(rows: Float[Array, "n ..."]) -> Float[Array, "b s ..."]:
    """Rows in chunks of at most 128, the last filled up with zeros."""
    padding = -len(rows) % CHUNK if len(rows) > CHUNK else 0
    padded = jnp.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1))
    return padded.reshape(-1, min(len(rows), CHUNK), *rows.shape[1:])


def _products(tables: Sequence[Float[Array, "..."]]) -> Float[Array, "n ..."]:
    """Π_i F_i[l_i, l_{i+1}, n] as [n, L_1, …, L_k]."""
    out = jnp.moveaxis(tables[-1][:, 0], -1, 0)  # [n, L_k]
    for table in reversed(tables[:-1]):
        rows = jnp.moveaxis(table, -1, 0)  # [n, L, J]
        out = rows.reshape(*rows.shape, *(1,) * (out.ndim - 2)) * out[:, None]
    return out
