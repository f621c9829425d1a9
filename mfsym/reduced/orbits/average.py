"""The average of a unit over the directions of the radial blocks: Ψ(u, v) = E σ(u + Σ_i v_i ω_i), and its derivatives.

ω_i is the first coordinate of a uniform unit vector of block i, independent over the blocks; u is what the kept
coordinates and the bias add up to, v_i = ‖b_i‖‖x_i‖. Ψ_u = E σ' and Ψ_{v_i} = E ω_i σ'. Ψ is even in every v_i.
"""

import abc
import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, erf, ndtr
from jaxtyping import Array, Float
from scipy.special import betaln

from ...errors import no_reduction
from ...problem.units import ERF, AbstractHomogeneousUnit, AbstractRidgeUnit, Neuron, ReLU, is_homogeneous

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


class AbstractClosedAverage(AbstractAverage):
    """In closed form over the last radial block; over the others by a rule, nodes `omega` [q, r−1] and probabilities [q].

    In the last block, of dimension `dim`, with z = u/v: P(ω > −z) = I_{(1+z)/2}(h, h), h = (dim − 1)/2, and
    M = E[ω; ω > −z] = (1 − z²)^h / (dim − 1) / B(½, h), for |z| ≤ 1. For dim = ∞ ω is a standard Gaussian. (Derived.)
    """

    omega: eqx.AbstractVar[Float[Array, "q r"]]
    probability: eqx.AbstractVar[Float[Array, " q"]]
    dim: eqx.AbstractVar[int | float]

    @abc.abstractmethod
    def closed(self, u: Float[Array, "*s"], v: Float[Array, "*#s"]) -> tuple[Array, Array, Array]:
        """E σ(u + vω), E σ'(u + vω) and E ω σ'(u + vω) of one block, for v ≥ 0."""

    def __call__(self, u, v):
        """The closed average inside sums over the nodes of the other blocks."""
        inner = u[..., None] + jnp.matmul(v[..., :-1], self.omega.T, precision=_HIGHEST)
        last = v[..., -1:]  # finite steps pass 0, and all but Ψ_v is even
        value, slope, radial = self.closed(inner, jnp.abs(last))
        radial = jnp.where(last < 0, -radial, radial)
        columns = jnp.concatenate([self.probability[:, None], self.probability[:, None] * self.omega], axis=1)
        slopes = jnp.matmul(jnp.broadcast_to(slope, inner.shape), columns, precision=_HIGHEST)
        last = jnp.matmul(radial, self.probability[:, None], precision=_HIGHEST)
        radial = jnp.concatenate([slopes[..., 1:], last], axis=-1)
        return Averages(jnp.matmul(value, self.probability, precision=_HIGHEST), slopes[..., 0], radial)

    @property
    def entries(self):
        """One for every node of the other blocks."""
        return self.omega.shape[0]


class PiecewiseLinearAverage(AbstractClosedAverage):
    """σ(z) = odd·z + even·|z|: E|u + vω| = u (2P − 1) + 2vM. Beyond |u| = v it is linear."""

    unit: AbstractHomogeneousUnit
    omega: Float[Array, "q r"]
    probability: Float[Array, " q"]
    dim: int | float = eqx.field(static=True)

    def closed(self, u, v):
        """By P and M."""
        share, moment = _share(self.dim, u, v), _moment(self.dim, u, v)
        odd, even = (s.astype(u.dtype) for s in (self.unit.odd_slope, self.unit.even_slope))
        sign = 2 * share - 1
        return odd * u + even * (u * sign + 2 * v * moment), odd + even * sign, 2 * even * moment


class StepAverage(AbstractClosedAverage):
    """σ(z) = sign z, whose average has the slope that σ has not: Ψ = 2P − 1, Ψ_u = 2p/v, Ψ_v = −z Ψ_u, for dim ≥ 3.

    p is the density of ω at z: that of M, −M' = z p. It is the limit of steeper and steeper sigmoids.
    """

    unit: AbstractRidgeUnit
    omega: Float[Array, "q r"]
    probability: Float[Array, " q"]
    dim: int | float = eqx.field(static=True)

    def closed(self, u, v):
        """By P and p, which belongs to the power h − 1 as M to h."""
        size = jnp.maximum(v, jnp.finfo(u.dtype).tiny)
        slope = 2 * _density(self.dim, u, v) / size
        return 2 * _share(self.dim, u, v) - 1, slope, -(u / size) * slope


class ErfAverage(AbstractClosedAverage):
    """σ = erf over a Gaussian: E erf(u + vg) = erf(u/√(1 + 2v²)) (Williams 1998), so that Ψ_v = −2uv/(1 + 2v²) Ψ_u."""

    unit: AbstractRidgeUnit
    omega: Float[Array, "q r"]
    probability: Float[Array, " q"]
    dim: int | float = eqx.field(static=True)

    def closed(self, u, v):
        """With s² = 1 + 2v²: Ψ_u = (2/√π) e^{−u²/s²}/s."""
        square = 1 + 2 * v**2
        slope = 2 / np.sqrt(np.pi) * jnp.exp(-(u**2) / square) / jnp.sqrt(square)
        return erf(u / jnp.sqrt(square)), slope, -2 * u * v / square * slope


_STEP = (jnp.sign,)
_RELU = (jax.nn.relu,)


def closed_average(unit: AbstractRidgeUnit, dim: int | float) -> Callable[..., AbstractClosedAverage] | None:
    """What makes the closed average over a block of a dimension of the rule of the others, if there is one: of 1-homogeneous
    units, of `Neuron(jax.nn.relu)` and `Neuron(jnp.sign)`, and where dim = ∞ of `Neuron(jax.scipy.special.erf)`. A unit is
    known by its function itself."""
    function = unit.function.rest if isinstance(unit, Neuron) else None
    linear = ReLU() if function in _RELU else unit
    if dim > 1 and is_homogeneous(linear):
        return functools.partial(PiecewiseLinearAverage, linear)
    if function in _STEP:
        if dim < 3:
            reason = f"the unit is a step, whose average over directions of {dim} dimensions has no bounded slope"
            raise no_reduction(reason, "Use a steep sigmoid in place of the step, or more dimensions.")
        return functools.partial(StepAverage, unit)
    return functools.partial(ErfAverage, unit) if function in ERF and dim == np.inf else None


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _share(dim: int | float, u: Float[Array, "*s"], v: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """P(ω > −u/v)."""
    if dim == np.inf:
        return ndtr(u / jnp.maximum(v, jnp.finfo(u.dtype).tiny))
    return betainc((dim - 1) / 2, (dim - 1) / 2, (1 + _ratio(u, v)) / 2)


@_share.defjvp
def _(dim, points, tangents):
    """By the density: the derivative that betainc has in JAX is NaN at the ends where dim = 3."""
    (u, v), (du, dv) = points, tangents
    size = jnp.maximum(v, jnp.finfo(u.dtype).tiny)
    return _share(dim, u, v), _density(dim, u, v) / size * (du - u / size * dv)


def _moment(dim: int | float, u: Float[Array, "*s"], v: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """E[ω; ω > −u/v]."""
    return _density(dim, u, v) if dim == np.inf else _power(u, v, (dim - 1) / 2) * _scale(dim) / (dim - 1)


def _density(dim: int | float, u: Float[Array, "*s"], v: Float[Array, "*#s"]) -> Float[Array, "*s"]:
    """The density of ω at u/v."""
    if dim == np.inf:
        z = u / jnp.maximum(v, jnp.finfo(u.dtype).tiny)
        return jnp.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return _power(u, v, (dim - 3) / 2) * _scale(dim)


def _scale(dim: int | float) -> float:
    return float(np.exp(-betaln(0.5, (dim - 1) / 2)))


def _ratio(u, v):
    """z in [−1, 1], where ω is."""
    return jnp.clip(u / jnp.maximum(v, jnp.finfo(u.dtype).tiny), -1.0, 1.0)


def _power(u, v, power):
    """(1 − z²)^power, and 0 where |z| ≥ 1."""
    z = _ratio(u, v)
    rest = jnp.maximum((1 - z) * (1 + z), 0.0)
    return jnp.where(rest > 0, jnp.where(rest > 0, rest, 1.0) ** power, 0.0)
