"""The linear response of a block to noise: one Volterra equation with a separable kernel, solved panel by panel.

With perturbations X of log c, Θ of θ and ψ of the directions, and the potential g = −Σ φ_n M_n of the moments M,

    X' = 2ε(g + VΘ),   Θ' = ε(g' + V'Θ),   ψ_H' = εg/cos²θ,   ψ_⊥' = εg/sin²θ,

α = Θ/J, β = X − Λα + L_H ψ_H + L_⊥ ψ_⊥ and the ψ are integrals of what M is alone: no equation for every label is left. Then

    M = s + Σ_labels μ [U¹β + U²α],   U¹ = εcφ,   U² = εc(Λφ + Jφ'),

    β' = −Σ W¹_n M_n,   α' = −Σ W²_n M_n,   W² = εφ'/J,   W¹ = εφ(2 + L_H/cos²θ + L_⊥/sin²θ) − ΛW²,

whose unknowns in a panel are M at its points, one dense system. (Derived.)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ..reduced.line.isotypic import BlockFeatures, Jet
from .panels import integration_matrix
from .paths import HIGHEST, Labels, Paths

_ROWS = 8  # of a system that are eliminated together


class Response(NamedTuple):
    """What a block does in one panel: M [p, n, S], and at its points, where that was asked for, the `integrals` β, α,
    ψ_H and ψ_⊥ [4, p, L, S]."""

    moments: Float[Array, "p n S"]
    integrals: Float[Array, "4 p L S"] | None


Observer = Callable[[Paths, Jet, Response], PyTree]


def respond(
    labels: Labels,
    paths: Paths,
    block: BlockFeatures,
    features: Jet,
    source: Float[Array, "P p n S"],
    observe: Observer,
    inside: bool = False,
) -> PyTree:
    """Solve M = s + … of a block for sources s [P, p, n, S], and return what `observe(path, features, response)` sees in
    every panel, stacked. `features` are φ, φ', … [P, p, n, L]; `inside` asks for the integrals at all points."""
    matrix, rows = jnp.asarray(integration_matrix(), source.dtype), 4 if inside else 2
    points, members, sources = source.shape[1:]

    def panel(start, given):
        path, phi, noise = given
        outer, inner = kernel_factors(labels, path, block, phi, inside)
        weighted = (outer * labels.share[None, None, None]).reshape(points * members, -1)
        flat, steps = inner.reshape(points * members, -1), path.length * matrix
        known = noise.reshape(points * members, sources) + _product(weighted, start[: weighted.shape[1]])
        kernel = _product(weighted, flat[:, : weighted.shape[1]].T) * jnp.repeat(jnp.repeat(steps, members, 0), members, 1)
        moments = eliminate(jnp.eye(len(kernel), dtype=kernel.dtype) + kernel, known)
        end = start - _product((flat * jnp.repeat(steps[-1], members)[:, None]).T, moments)
        moments = moments.reshape(points, members, sources)
        integrals = None
        if inside:
            rates = jnp.einsum("jnal,jns->jals", inner, moments, precision=HIGHEST)
            changes = _product(steps, rates.reshape(points, -1)).reshape(rates.shape)
            integrals = jnp.swapaxes(start.reshape(1, *rates.shape[1:]) - changes, 0, 1)
        return end, observe(path, phi, Response(moments, integrals))

    nothing = jnp.zeros((rows * labels.sign.shape[0], sources), source.dtype)
    return jax.lax.scan(panel, nothing, (paths, features, source))[1]


def _product(left: Float[Array, "i k"], right: Float[Array, "k j"]) -> Float[Array, "i j"]:
    return jnp.matmul(left, right, precision=HIGHEST)


def eliminate(matrix: Float[Array, "n n"], known: Float[Array, "n s"]) -> Float[Array, "n s"]:
    """The solution of a small system by Gauss–Jordan steps for a few rows at a time, without pivots, which an identity plus
    a Volterra kernel does not need. The loops compile in a tenth of the time of the same steps written out.

    LAPACK's threads wait for each other: on a machine that has other work they take 70 times as long as the work.
    """
    size, more = len(matrix), -len(matrix) % _ROWS
    padded = jnp.pad(matrix, (0, more)) + jnp.diag(jnp.where(jnp.arange(size + more) < size, 0, 1).astype(matrix.dtype))
    rows = jnp.concatenate([padded, jnp.pad(known, ((0, more), (0, 0)))], axis=1)

    def step(rows, start):
        band = jax.lax.dynamic_slice_in_dim(rows, start, _ROWS)
        columns = jax.lax.dynamic_slice_in_dim(rows, start, _ROWS, axis=1)
        band = jax.lax.scan(lambda band, k: (_reduced(band, k, start + k), None), band, jnp.arange(_ROWS))[0]
        return jax.lax.dynamic_update_slice_in_dim(rows - _product(columns, band), band, start, 0), None

    rows, _ = jax.lax.scan(step, rows, _ROWS * jnp.arange(len(rows) // _ROWS))
    return rows[:size, len(padded) :]


def _reduced(band: Float[Array, "r n"], row: Int[Array, ""], column: Int[Array, ""]) -> Float[Array, "r n"]:
    """Rows with 1 at one place of a column and 0 at all others."""
    pivot = band[row] / band[row, column]
    return (band - band[:, column, None] * pivot[None]).at[row].set(pivot)


def kernel_factors(
    labels: Labels, path: Paths, block: BlockFeatures, phi: Jet, inside: bool
) -> tuple[Float[Array, "p n 2 L"], Float[Array, "p n a L"]]:
    """U of (β, α), and W of (β, α) and, for what is `inside`, of (ψ_H, ψ_⊥): each of these integrals is −∫ Σ W_n M_n."""
    sign, (value, slope) = labels.sign[None], phi[:2]
    mass, stretch, growth = (each[:, None] for each in (sign * path.mass, path.stretch, path.growth))
    spread = 2 + block.casimir[0] * path.within + block.casimir[1] * path.across
    turn = (sign / path.stretch)[:, None] * slope
    force = sign[:, None] * value
    inner = [force * spread[:, None] - growth * turn, turn]
    inner += [force * path.within[:, None], force * path.across[:, None]] if inside else []
    outer = [mass * value, mass * (growth * value + stretch * slope)]
    return jnp.stack(outer, axis=2), jnp.stack(inner, axis=2)
