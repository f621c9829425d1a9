"""Single-index targets f* = g(x_1) against one ReLU: two functions of one angle, by quadrature in one variable.

With x = L ω, L the scale of the Gaussian or the radius of the sphere, u = b/‖b‖, x_1 = e·x, cos θ = u·e, s = sin θ:
    ∇_b E[g(x_1) max(b·x, 0)] = E[g(x_1) 1(b·x > 0) x] = L (A(θ) e + C(s) (u − cos θ e)),
    C(s) = ∫ g(L s t) P(t) dt,   D(s) = ∫ g(L s t) t² p(t) dt,   A(θ) = ½ E[g(x_1) ω_1] + ∫_θ^{π/2} D(sin t) sin t dt,
where p(|(ω_1, ω_2)|) is the density of two coordinates of ω and P(t) = ∫_t^∞ r p(r) dr. For N(0, I): p(t) = P(t) =
e^{−t²/2}/2π. For the unit sphere: P(t) = (1−t²)^{(d−2)/2}/2π. (Derived: A' is an integral over the line u·x = 0.)
"""

import functools
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...problem.inputs import AbstractIsotropicInputs
from .chebyshev import chebyshev_points, coefficient_matrix, evaluate, primitive_matrix

_TERMS = 128
_PANELS = 48  # between two kinks
_NODES = 16
_EXACT = jax.lax.Precision.HIGHEST


class SingleIndexTable(eqx.Module):
    """A and C as Chebyshev series in 2θ/π − 1, coefficients [2, terms]; A(π/2) = ½ E[g(x_1) ω_1]; E[g(x_1)²]."""

    coefficients: Float[Array, "2 terms"]
    half_mean: Float[Array, ""]
    energy: Float[Array, ""]

    def at(self, theta: Float[Array, " m"]) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
        """A(θ) and C(sin θ), [m] each."""
        values = evaluate(self.coefficients, 2 / np.pi * theta - 1)
        return values[0], values[1]


def single_index_table(
    g: Callable[[Array], Array], kinks: tuple[float, ...], inputs: AbstractIsotropicInputs
) -> SingleIndexTable:
    """The table of one g, in the floating type of the length of the inputs."""
    length, dtype = inputs.length, inputs.length.dtype
    sines = jnp.asarray(np.append(np.sin(np.pi / 2 * (chebyshev_points(_TERMS) + 1)), 1.0), dtype)
    rule = _sphere_rule if inputs.spherical else gaussian_rule

    def integrate(s):
        t, weights = rule(inputs.dim, jnp.asarray(sorted(kinks), dtype) / (length * s))
        values = jax.vmap(g)(length * s * t).astype(dtype)
        return values, t, weights

    values, t, weights = jax.vmap(integrate)(sines)
    integrals = jnp.sum(values[:, None, :] * weights[:, 1:], axis=2) * jnp.stack([jnp.ones_like(sines), sines], axis=1)
    law = weights[-1, 0]  # the last row is s = 1, where L s t is x_1 itself
    half_mean, energy = jnp.sum(values[-1] * t[-1] * law) / 2, jnp.sum(values[-1] ** 2 * law)
    c_series, a_series = jnp.matmul(jnp.asarray(_series_matrices(), dtype), integrals[:-1].T[:, :, None], precision=_EXACT)
    coefficients = jnp.stack([a_series[:, 0].at[0].add(half_mean), c_series[:, 0]])
    return SingleIndexTable(coefficients, half_mean, energy)


@functools.cache
def _series_matrices() -> np.ndarray:
    """[2, terms + 1, terms]: from values at the points to the series of a function of θ, and of its ∫_θ^{π/2}."""
    to_series = coefficient_matrix(_TERMS)
    primitive = -np.pi / 2 * primitive_matrix(_TERMS) @ to_series
    return np.stack([np.pad(to_series, ((0, 1), (0, 0))), primitive])


def _panel_rule(start: float, end: float, cuts: Float[Array, " k"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Composite Gauss–Legendre nodes and weights on [start, end], even panels between increasing `cuts`, [n] each."""
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    cuts = jnp.clip(cuts, start, end)
    ends = jnp.concatenate([jnp.full((1,), start, cuts.dtype), cuts, jnp.full((1,), end, cuts.dtype)])
    shares = jnp.asarray(np.linspace(0, 1, _PANELS + 1)[1:], cuts.dtype)
    edges = ends[:-1, None] + (ends[1:] - ends[:-1])[:, None] * shares[None, :]
    edges = jnp.concatenate([ends[:1], edges.reshape(-1)])
    middle, half = (edges[1:] + edges[:-1])[:, None] / 2, (edges[1:] - edges[:-1])[:, None] / 2
    nodes = middle + half * jnp.asarray(points, cuts.dtype)[None, :]
    return nodes.reshape(-1), (half * jnp.asarray(weights, cuts.dtype)[None, :]).reshape(-1)


def gaussian_rule(dim: int, cuts: Float[Array, " k"]) -> tuple[Float[Array, " n"], Float[Array, "3 n"]]:
    """Nodes t and weights for the law of one coordinate, for P(t) dt and for t² p(t) dt; N(0, 1)."""
    t, weights = _panel_rule(-10.0, 10.0, cuts)
    law = weights * jnp.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    return t, jnp.stack([law, law / math.sqrt(2 * math.pi), t**2 * law / math.sqrt(2 * math.pi)])


def _sphere_rule(dim: int, cuts: Float[Array, " k"]) -> tuple[Float[Array, " n"], Float[Array, "3 n"]]:
    """The same for the unit sphere of R^d, d ≥ 3, in the variable φ with t = sin φ.

    The law is c cos^{d−2}φ dφ, c = Γ(d/2)/(√π Γ((d−1)/2)); P dt = cos^{d−1}φ dφ/2π;
    t² p dt = (d−2) sin²φ cos^{d−3}φ dφ/2π.
    """
    reach = min(math.pi / 2, 12.0 / math.sqrt(dim))  # beyond, cos^{d−3} is below rounding
    inside = jnp.where(jnp.abs(cuts) < 1, cuts, 0)
    angles = jnp.where(jnp.abs(cuts) < 1, jnp.arcsin(inside), jnp.sign(cuts) * (np.pi / 2))
    phi, weights = _panel_rule(-reach, reach, angles)
    constant = math.exp(math.lgamma(dim / 2) - math.lgamma((dim - 1) / 2)) / math.sqrt(math.pi)
    log_cosine = jnp.log(jnp.cos(phi))

    def power(exponent):
        return weights * jnp.exp(exponent * log_cosine)

    t = jnp.sin(phi)
    last = (dim - 2) * t**2 * power(dim - 3) / (2 * np.pi)
    return t, jnp.stack([constant * power(dim - 2), power(dim - 1) / (2 * np.pi), last])
