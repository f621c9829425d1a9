"""The average of a unit over the directions of the radial blocks: Ψ(u, v) = E σ(u + Σ_i v_i ω_i), and its derivatives.

ω_i is the first coordinate of a uniform unit vector of block i, independent over the blocks; u is what the kept
coordinates and the bias add up to, v_i = ‖b_i‖‖x_i‖. Ψ_u = E σ' and Ψ_{v_i} = E ω_i σ'. Ψ is even in every v_i.
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc
from jaxtyping import Array, Float
from scipy.special import betaln

from ...problem.units import AbstractHomogeneousUnit, AbstractRidgeUnit

_HIGHEST = jax.lax.Precision.HIGHEST


class Averages(NamedTuple):
    """Ψ, Ψ_u and Ψ_v (last axis: radial blocks) at some points."""

    value: Float[Array, "*s"]
    slope: Float[Array, "*s"]
    radial: Float[Array, "*s r"]


class AbstractAverage(eqx.Module):
    """How a unit is averaged over its orbit."""

    unit: eqx.AbstractVar[AbstractRidgeUnit]

    @abc.abstractmethod
    def __call__(self, u: Float[Array, "*s"], v: Float[Array, "*s r"]) -> Averages:
        """Ψ and its derivatives."""

    @property
    @abc.abstractmethod
    def entries(self) -> int:
        """Numbers that are held at once for every point."""


class RuleAverage(AbstractAverage):
    """By a rule with nodes `omega` [q, r] and probabilities [q]: spectrally accurate for a smooth activation."""

    unit: AbstractRidgeUnit
    omega: Float[Array, "q r"]
    probability: Float[Array, " q"]

    def __call__(self, u, v):
        """Sums over the nodes; σ and σ' are evaluated together, once."""
        inner = u[..., None] + jnp.matmul(v, self.omega.T, precision=_HIGHEST)
        value, slope = jax.jvp(self.unit.activation, (inner,), (jnp.ones_like(inner),))
        columns = jnp.concatenate([self.probability[:, None], self.probability[:, None] * self.omega], axis=1)
        slopes = jnp.matmul(slope, columns, precision=_HIGHEST)
        return Averages(jnp.matmul(value, self.probability, precision=_HIGHEST), slopes[..., 0], slopes[..., 1:])

    @property
    def entries(self):
        """One for every node."""
        return self.omega.shape[0]


class PiecewiseLinearAverage(AbstractAverage):
    """σ(z) = odd·z + even·|z|, over one radial block of dimension `dim` ≥ 2 in closed form, over others by a rule.

    With z = u/v in [−1, 1]: E|u + vω| = u (2P − 1) + 2vM, P = P(ω > −z) = I_{(1+z)/2}(h, h), h = (dim − 1)/2, and
    M = E[ω; ω > −z] = (1 − z²)^h / (dim − 1) / B(½, h). Beyond, |u + vω| is linear. (Derived.)
    """

    unit: AbstractHomogeneousUnit
    omega: Float[Array, "q r"]
    probability: Float[Array, " q"]
    dim: int = eqx.field(static=True)

    def __call__(self, u, v):
        """The closed average over the last block, inside sums over the nodes of the others."""
        inner = u[..., None] + jnp.matmul(v[..., :-1], self.omega.T, precision=_HIGHEST)
        last = v[..., -1:]
        share, moment = self._parts(inner, last)
        odd, even = (s.astype(inner.dtype) for s in (self.unit.odd_slope, self.unit.even_slope))
        sign = 2 * share - 1
        value = odd * inner + even * (inner * sign + 2 * last * moment)
        slope, radial = odd + even * sign, 2 * even * moment
        columns = jnp.concatenate([self.probability[:, None], self.probability[:, None] * self.omega], axis=1)
        slopes = jnp.matmul(slope, columns, precision=_HIGHEST)
        last = jnp.matmul(radial, self.probability[:, None], precision=_HIGHEST)
        radial = jnp.concatenate([slopes[..., 1:], last], axis=-1)
        return Averages(jnp.matmul(value, self.probability, precision=_HIGHEST), slopes[..., 0], radial)

    def _parts(self, u, v):
        """P(ω > −z) and E[ω; ω > −z]."""
        half = (self.dim - 1) / 2
        smallest = jnp.finfo(u.dtype).tiny
        z = jnp.clip(u / jnp.maximum(v, smallest), -1.0, 1.0)
        share = betainc(half, half, (1 + z) / 2)
        scale = np.exp(-betaln(0.5, half)) / (self.dim - 1)
        rest = jnp.maximum((1 - z) * (1 + z), 0.0)
        return share, scale * jnp.where(rest > 0, jnp.where(rest > 0, rest, 1.0) ** half, 0.0)

    @property
    def entries(self):
        """One for every node of the other blocks."""
        return self.omega.shape[0]
