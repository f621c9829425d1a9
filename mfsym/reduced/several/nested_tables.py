"""Spherical harmonics that depend on the angles of nested polar coordinates alone, as products of one-angle tables.

    Y_{l_1 … l_k}(θ) = Π_i F_i[l_i, l_{i+1}](θ_i),   l_1 ≥ l_2 ≥ … ≥ l_k ≥ l_{k+1} = 0,

a harmonic of degree l_1, orthonormal for the uniform law. With j the degree on what comes after block i, of dimension q,
    radial block of dimension p:  F[l, j] ∝ sin^jθ P_n^{(j+q/2−1, p/2−1)}(cos 2θ), l = j + 2n,
    signed coordinate:            F[l, j] ∝ sin^jθ C_n^{(j+(q−1)/2)}(cos θ), l = j + n.
Sums over harmonics, and integrals against them, are done one angle after the other. Tables are scaled by s_l / s_j with
s_l = |a_l| the size of the Funk–Hecke coefficients, so that products are the features ψ = s_{l_1} Y, which stay bounded
however large the dimension is. (Derived.)
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import betaln, gammaln

from ..angles.coordinates import Blocks
from ..rules.harmonics import scaled_recurrence, three_terms

_HIGHEST = jax.lax.Precision.HIGHEST


class NestedTable(eqx.Module):
    """F[l, j](θ) of one angle for all degrees l = 0, stride, 2·stride, … ≤ top, by recurrences in l; for the same degrees
    j, or for j = 0 alone on the last angle, after which there is nothing.

    `log_first` [L]: logarithm of the factor of sin^jθ in F[j, j]; `slope`, `shift`, `back` [N, J]: coefficients of
    F_{n+1} = (slope x + shift) F_n − back F_{n−1}, x = cos θ for a signed coordinate and cos 2θ for a radial block.
    """

    log_first: Float[Array, " L"]
    slope: Float[Array, "N J"]
    shift: Float[Array, "N J"]
    back: Float[Array, "N J"]
    signed: bool = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __call__(self, theta: Float[Array, " P"], over: int = 0) -> tuple[Float[Array, "L J P"], Float[Array, "L J P"]]:
        """F and ∂_θF at θ, divided by sin^over θ; where that is infinite, at a pole, it is set to 0."""
        log_first = self.log_first[: self.slope.shape[1]]
        degree = jnp.arange(len(log_first), dtype=theta.dtype)[:, None] * self.stride
        sine = jnp.where(jnp.abs(jnp.sin(theta)) < 1e-12, 0.0, jnp.sin(theta))[None]
        safe = jnp.where(sine == 0, 1.0, sine)
        x = jnp.cos(theta if self.signed else 2 * theta)[None]
        x_slope = -jnp.sin(theta)[None] if self.signed else -2 * jnp.sin(2 * theta)[None]
        at_pole = jnp.where(degree == over, 1.0, 0.0)
        power = jnp.where(sine == 0, at_pole, jnp.exp((degree - over) * jnp.log(safe)))
        first = jnp.exp(log_first)[:, None] * power
        # d/dθ sin^j = j cos sin^{j−1}: at a pole it is left only for j = 1 (and over = 0).
        lower = jnp.where(sine == 0, jnp.where(degree - 1 == over, 1.0, 0.0), power / safe)
        first_slope = jnp.exp(log_first)[:, None] * degree * jnp.cos(theta)[None] * lower
        rows = self.slope[..., None], self.shift[..., None], self.back[..., None]
        values, slopes = three_terms(rows, x, (first, first_slope), x_slope)
        return self._by_degree(values), self._by_degree(slopes)

    def _by_degree(self, table: Float[Array, "N J P"]) -> Float[Array, "L J P"]:
        """From (step n, j) to (degree l, j); zero where l < j or of the wrong parity."""
        columns = table.shape[1]
        index, valid = (part[:, :columns] for part in _steps(len(self.log_first), self.signed, self.stride))
        picked = table[index, np.arange(columns)[None]]
        return jnp.where(valid[..., None], picked, 0.0)

    def truncate(self, count: int) -> "NestedTable":
        """Only the first `count` degrees."""
        steps = count if self.signed or self.stride == 2 else (count + 1) // 2
        slope, shift, back = (leaf[:steps, :count] for leaf in (self.slope, self.shift, self.back))
        return NestedTable(self.log_first[:count], slope, shift, back, self.signed, self.stride)


def _steps(count: int, signed: bool, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """For degrees l, j (in units of the stride): the step n of the recurrence, and whether it exists."""
    gap = np.arange(count)[:, None] - np.arange(count)[None]
    if not signed and stride == 1:
        return np.maximum(gap, 0) // 2, (gap >= 0) & (gap % 2 == 0)
    return np.maximum(gap, 0), gap >= 0


def nested_tables(blocks: Blocks, count: int, scaled: bool = True) -> tuple[NestedTable, ...]:
    """The tables of all angles for `count` degrees 0, stride, …; without the factors s_l if not `scaled`."""
    degrees = blocks.stride * np.arange(count + 2)
    log_size = log_funk_hecke(degrees, sum(blocks.dims)) if scaled else np.zeros(count + 2)
    return tuple(_table(blocks, axis, count, log_size) for axis in range(blocks.angles))


def _table(blocks: Blocks, axis: int, count: int, log_size: np.ndarray) -> NestedTable:
    own, rest, signed, stride = blocks.dims[axis], blocks.rest(axis), blocks.signed[axis], blocks.stride
    last = axis == blocks.angles - 1
    jump = 1 if signed or stride == 2 else 2  # how far one step of the recurrence goes in units of the stride
    steps = count if jump == 1 else (count + 1) // 2
    rows = []
    for j in range(1 if last else count):
        degree = j * stride
        alpha = degree + rest / 2 - 1
        at = np.minimum(j + jump * np.arange(steps + 1), len(log_size) - 1)
        beta = alpha if signed else own / 2 - 1
        rows.append(scaled_recurrence(alpha, beta, np.exp(np.diff(log_size[at]))))
    slope, shift, back = (np.stack([row[i] for row in rows], axis=1) for i in range(3))
    degree = stride * np.arange(count)
    log_first = -0.5 * (betaln(own / 2, rest / 2 + degree) - betaln(own / 2, rest / 2))  # −½ log E sin^{2j}
    if last:
        log_first = log_first + log_size[:count]
    log_first, slope, shift, back = (jnp.asarray(leaf, jnp.result_type(float)) for leaf in (log_first, slope, shift, back))
    return NestedTable(log_first, slope, shift, back, signed, stride)


def log_funk_hecke(degrees: np.ndarray, dim: int) -> np.ndarray:
    """log s_l with s_0 = a_0, s_1 = a_1 and |a_l| of the even degrees, continued to odd ones (which only cancel)."""
    even = np.maximum(degrees, 2).astype(float)
    common = gammaln(dim / 2) - 0.5 * np.log(np.pi)
    high = common + gammaln(even - 1) - gammaln(even / 2) - even * np.log(2) - gammaln((even + dim + 1) / 2)
    zero = common - np.log(2) - gammaln((dim + 1) / 2)
    return np.where(degrees == 0, zero, np.where(degrees == 1, -np.log(2 * dim), high))


def funk_hecke_sign(degrees: np.ndarray) -> np.ndarray:
    """Signs of a_l for the degrees 0, 1, 2, 4, …"""
    return np.where((degrees < 2) | (degrees % 4 == 2), 1.0, -1.0)


def reachable_degrees(count: int, stride: int) -> np.ndarray:
    """Indices of the degrees with a Funk–Hecke coefficient that is not 0: 0, 1 and the even ones."""
    index = np.arange(count)
    return index if stride == 2 else index[(index < 2) | (index % 2 == 0)]


def select(blocks: Blocks, axis: int, table: Float[Array, "L J P"]) -> Float[Array, "..."]:
    """The part of a table that products use: reachable degrees of the first angle, j = 0 of the last."""
    table = table[reachable_degrees(table.shape[0], blocks.stride)] if axis == 0 else table
    return table[:, :1] if axis == blocks.angles - 1 else table


def analyse(tables: Sequence[Float[Array, "..."]], values: Float[Array, "..."]) -> Float[Array, "..."]:
    """Σ over points of values [P_1, …, P_k] times Π F_i[l_i, l_{i+1}](point i): coefficients [L_1, …, L_k].

    The table of the last angle is [L, 1, P]. The last angle is summed first.
    """
    out = values[..., None]
    for axis in reversed(range(len(tables))):
        table = tables[axis]
        before, points, degree = out.shape[:axis], out.shape[axis], out.shape[axis + 1]
        flat = out.reshape(int(np.prod(before)), points, degree, -1)
        summed = jnp.einsum("apjr,ljp->aljr", flat, table, precision=_HIGHEST)
        out = summed.reshape(*before, *summed.shape[1:3], *out.shape[axis + 2 :])
        out = out[..., 0] if axis == len(tables) - 1 else out
    return out


def synthesise(tables: Sequence[Float[Array, "..."]], coefficients: Float[Array, "..."]) -> Float[Array, "..."]:
    """Σ over degrees of coefficients [L_1, …, L_k] times Π F_i[l_i, l_{i+1}]: values [P_1, …, P_k]. Adjoint of `analyse`."""
    out = coefficients[..., None]
    for axis, table in enumerate(tables):
        before, degree, lower = out.shape[:axis], out.shape[axis], out.shape[axis + 1]
        flat = out.reshape(int(np.prod(before)), degree, lower, -1)
        summed = jnp.einsum("aljr,ljp->apjr", flat, table, precision=_HIGHEST)
        out = summed.reshape(*before, summed.shape[1], lower, *out.shape[axis + 2 :])
    return out[..., 0]
