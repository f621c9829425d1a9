"""Harmonics of several angles at scattered points, and sums of them, some points at a time."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..angles.coordinates import Blocks, tangents
from .nested_tables import NestedTable, reachable_degrees, select
from .waves import WaveTable, coefficients_of, degrees_of, sums_of_waves

CHUNK = 1024  # points whose waves are in memory at a time
_HIGHEST = jax.lax.Precision.HIGHEST


def features(blocks: Blocks, tables: Sequence[NestedTable], angles: Float[Array, "n k"]) -> Float[Array, "n ..."]:
    """Every feature, [n, L, J, …]."""
    return _products([select(blocks, a, table(angles[:, a])[0]) for a, table in enumerate(tables)])


def fields(
    blocks: Blocks, waves: Sequence[WaveTable], angles: Float[Array, "n k"], forces: Float[Array, "..."]
) -> tuple[Float[Array, " n"], Float[Array, "n K"]]:
    """G = Σ forces ψ and its gradient along the sphere, in the coordinates of `to_point`."""
    # (Π_{b<axis} 1/sin θ_b) ∂_axis: the harmonics that depend on θ_axis have a factor sin θ_b for every b < axis.
    coefficients = [coefficients_of(blocks, waves, forces, over=axis) for axis in range(blocks.angles)]

    def one(rows):
        plain, slope, over = zip(*(table.at(rows[:, a]) for a, table in enumerate(waves)), strict=True)
        growth = sums_of_waves(plain, coefficients[0], blocks.stride)
        mixed = [(*over[:axis], slope[axis], *plain[axis + 1 :]) for axis in range(blocks.angles)]
        slopes = [sums_of_waves(each, c, blocks.stride) for each, c in zip(mixed, coefficients, strict=True)]
        return growth, jnp.einsum("kn,nkc->nc", jnp.stack(slopes), tangents(rows), precision=_HIGHEST)

    out = jax.lax.map(jax.checkpoint(one, prevent_cse=False), in_chunks(angles))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[: len(angles)], out)


def moments(
    blocks: Blocks, waves: Sequence[WaveTable], angles: Float[Array, "n k"], weights: Float[Array, " n"]
) -> Float[Array, "..."]:
    """Σ_i weight_i ψ(θ_i), [L, J, …]: the adjoint of `sums`."""
    counts = (len(reachable_degrees(len(waves[0].values), blocks.stride)), *(len(table.values) for table in waves[1:]))
    like = jax.ShapeDtypeStruct(counts, weights.dtype)
    (found,) = jax.linear_transpose(lambda c: _sums(blocks, waves, angles, c), like)(weights)
    return degrees_of(blocks, waves, found)


def sums(
    blocks: Blocks, waves: Sequence[WaveTable], angles: Float[Array, "n k"], forces: Float[Array, "..."]
) -> Float[Array, " n"]:
    """Σ forces ψ at the angles, [n]."""
    return _sums(blocks, waves, angles, coefficients_of(blocks, waves, forces))


def _sums(blocks, waves, angles, coefficients):
    """Σ c Π t at the angles."""

    def one(rows):
        plain = [table.at(rows[:, a])[0] for a, table in enumerate(waves)]
        return sums_of_waves(plain, coefficients, blocks.stride)

    return jax.lax.map(one, in_chunks(angles)).reshape(-1)[: len(angles)]


def in_chunks(rows: Float[Array, "n ..."]) -> Float[Array, "b s ..."]:
    """Rows in chunks of equal sizes of at most 1024, the last filled up with zeros."""
    chunks = max(1, -(-len(rows) // CHUNK))
    padded = jnp.pad(rows, [(0, -len(rows) % chunks)] + [(0, 0)] * (rows.ndim - 1))
    return padded.reshape(chunks, -1, *rows.shape[1:])


def _products(tables: Sequence[Float[Array, "..."]]) -> Float[Array, "n ..."]:
    """Π_i F_i[l_i, l_{i+1}, n] as [n, L_1, …, L_k]."""
    out = jnp.moveaxis(tables[-1][:, 0], -1, 0)  # [n, L_k]
    for table in reversed(tables[:-1]):
        rows = jnp.moveaxis(table, -1, 0)  # [n, L, J]
        out = rows.reshape(*rows.shape, *(1,) * (out.ndim - 2)) * out[:, None]
    return out
