"""Harmonics of several angles as trigonometric polynomials, whose sums at scattered points are products of matrices.

F[l, j](θ) of `nested_tables` is one in cos nθ for even j and in sin nθ for odd j, with n ≤ l of the parity of l. So

    Σ f[l_1 … l_k] Π_i F_i[l_i, l_{i+1}](θ_i) = Σ c[n_1 … n_k] Π_i t(n_i θ_i),   t = cos for even n_{i+1}, else sin,

a bounded function of k angles on a torus: its coefficients c are no larger than it is, so that nothing cancels. A point
costs a multiplication for every pair of degrees, where the recurrence costs a step. (Derived.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..angles.coordinates import Blocks
from .nested_tables import NestedTable, analyse, select, synthesise

_HIGHEST = "highest"


class Waves(NamedTuple):
    """t(nθ) of one angle at points, [P, N]: what goes with even degrees of the next angle, and with odd ones."""

    even: Float[Array, "P N"]
    odd: Float[Array, "P N"]


class WaveTable(eqx.Module):
    """One angle: coefficients [L, J, N] of F[l, j](θ), and of F[l, j](θ)/sin θ for j ≥ 1, where cos and sin change places.

    N runs over frequencies in the order of `frequencies`.
    """

    values: Float[Array, "L J N"]
    over: Float[Array, "L J N"]
    stride: int = eqx.field(static=True)

    def truncate(self, count: int) -> "WaveTable":
        """Only the first `count` degrees, which have no higher frequencies."""
        low = np.flatnonzero(frequencies(len(self.values), self.stride) < count * self.stride)
        values, over = (leaf[:count, :count, low] for leaf in (self.values, self.over))
        return WaveTable(values, over, self.stride)

    def at(self, theta: Float[Array, " P"]) -> tuple[Waves, Waves, Waves]:
        """The waves of F at θ, their derivatives, and the waves of F/sin θ."""
        n, shifted = (jnp.asarray(frequencies(len(self.values), self.stride, o), theta.dtype)[None] for o in (False, True))
        cosines, sines = jnp.cos(theta[:, None] * n), jnp.sin(theta[:, None] * n)
        over = theta[:, None] * shifted
        return Waves(cosines, sines), Waves(-n * sines, n * cosines), Waves(jnp.sin(over), jnp.cos(over))


def frequencies(count: int, stride: int, over: bool = False) -> np.ndarray:
    """Of the degrees 0, stride, …, `count` of them, the even ones first; with a factor sin θ less as `over`."""
    degree = stride * np.arange(count)
    even, odd = degree[degree % 2 == 0], degree[degree % 2 == 1]
    return np.concatenate([even + over, odd - over])


def wave_table(table: NestedTable) -> WaveTable:
    """The coefficients of a table: sums over the midpoints of [0, π], which are exact."""
    count, stride = len(table.log_first), table.stride
    points = stride * count + 2
    theta = (np.arange(points) + 0.5) * np.pi / points
    found = []
    for over in (False, True):
        values = table(jnp.asarray(theta, table.log_first.dtype), over=int(over))[0]
        degree, n = np.arange(values.shape[1]) * stride, frequencies(count, stride, over)
        phase, share = np.outer(n, theta), np.where(n == 0, 1.0, 2.0)[:, None] / points
        cosines, sines = (
            jnp.einsum("ljp,np->ljn", values, jnp.asarray(share * wave, values.dtype), precision=_HIGHEST)
            for wave in (np.cos(phase), np.sin(phase))
        )
        even = ((degree + over) % 2 == 0)[None, :, None]
        found.append(jnp.where(even, cosines, sines) * jnp.asarray(degree >= over, values.dtype)[None, :, None])
    plain, over_sine = found
    return WaveTable(plain, over_sine, stride)


def coefficients_of(
    blocks: Blocks, tables: Sequence[WaveTable], forces: Float[Array, "..."], over: int = 0
) -> Float[Array, "..."]:
    """c [N_1, …, N_k] of Σ forces ψ, or, of its part that depends on angle `over`, divided by Π sin θ_b over b < `over`.

    The first axis is cut off after the frequencies of degrees that ReLU reaches.
    """
    return synthesise(_selected(blocks, tables, over), forces)


def degrees_of(blocks: Blocks, tables: Sequence[WaveTable], coefficients: Float[Array, "..."]) -> Float[Array, "..."]:
    """The adjoint of `coefficients_of`: from sums of weights times waves to moments of the harmonics."""
    return analyse(_selected(blocks, tables, 0), coefficients)


def _selected(blocks: Blocks, tables: Sequence[WaveTable], over: int) -> list[Float[Array, "L J N"]]:
    parts = [select(blocks, a, table.over if a < over else table.values) for a, table in enumerate(tables)]
    return [parts[0][:, :, : parts[0].shape[0]], *parts[1:]]


def sums_of_waves(waves: Sequence[Waves], coefficients: Float[Array, "..."], stride: int) -> Float[Array, " P"]:
    """Σ c Π t at every point, summed over one angle after the other."""
    value = coefficients[None]
    for own in waves[:-1]:
        evens = value.shape[2] if stride == 2 else (value.shape[2] + 1) // 2
        parts = _contract(own.even, value[:, :, :evens]), _contract(own.odd, value[:, :, evens:])
        value = jnp.concatenate(parts, axis=1)
    return _contract(waves[-1].even, value)


def _contract(wave: Float[Array, "P N"], value: Float[Array, "#P n ..."]) -> Float[Array, "P ..."]:
    """Σ_n t_n c_n; c is the same for all points at the first angle, where the highest frequencies may be missing."""
    if value.shape[0] == 1:
        return jnp.tensordot(wave[:, : value.shape[1]], value[0], 1, precision=_HIGHEST)
    return jnp.sum(wave.reshape(*wave.shape, *(1,) * (value.ndim - 2)) * value, axis=1)
