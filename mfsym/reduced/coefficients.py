"""Coefficients of a target in the features: g* = Σ η_n s_n ψ_n, one entry per even degree and one for degree 1.

With ĥ_n the coefficients of h(ω) = E_R[R f*(Rω)] in orthonormal harmonics, η_n = ĥ_n sign(a_n)/√(E R²). A new target is
one function registered below. (Derived.)
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import no_reduction
from ..problem.inputs import AbstractInputs, Gaussian
from ..problem.rotated import Rotated
from ..problem.targets import AbstractTarget, LinearTarget, SingleIndex, SubspaceNorm
from .harmonics import EvenFeatures, norm_constant


class TargetCoefficients(NamedTuple):
    """η [M] on the even features, η on the linear one, and the energies ½E of the parts that it splits f* into.

    `even_energy` and `linear_energy` belong to the parts that the even and the linear features can represent in full
    (before any truncation); `unreachable_energy` is the rest, which no bias-free homogeneous network can learn.
    """

    even: Float[Array, " M"]
    linear: Float[Array, ""]
    even_energy: Float[Array, ""]
    linear_energy: Float[Array, ""]
    unreachable_energy: Float[Array, ""]


@functools.singledispatch
def target_coefficients(target: AbstractTarget, inputs: AbstractInputs, features: EvenFeatures) -> TargetCoefficients:
    """Coefficients of a target; refuses targets that no function here covers."""
    raise no_reduction(
        f"the target {type(target).__name__} declares no structure",
        "Declare it (SubspaceNorm, SingleIndex, LinearTarget), or use `solve_particles`, which needs none.",
    )


@target_coefficients.register
def _(target: SubspaceNorm, inputs: AbstractInputs, features: EvenFeatures) -> TargetCoefficients:
    # ‖x_H‖ = α φ̃(0; x), so the target is scale·α neurons at θ = 0.
    at_pole, _ = features(jnp.zeros((), features.first.dtype))
    even = target.scale * norm_constant(target.dim_h) * at_pole
    energy = 0.5 * target.scale**2 * target.dim_h / inputs.dim * inputs.second_moment
    zero = jnp.zeros_like(energy)
    return TargetCoefficients(even, zero, energy, zero, zero)


@target_coefficients.register
def _(target: Rotated, inputs: AbstractInputs, features: EvenFeatures) -> TargetCoefficients:
    return target_coefficients(target.target, inputs, features)  # the law of Q x is that of x: checked by `build_reduction`


@target_coefficients.register
def _(target: LinearTarget, inputs: AbstractInputs, features: EvenFeatures) -> TargetCoefficients:
    second_moment = jnp.sum(target.w**2) * inputs.second_moment / inputs.dim
    zero = jnp.zeros_like(second_moment)
    even = jnp.zeros(len(features), second_moment.dtype)
    return TargetCoefficients(even, jnp.sqrt(second_moment), zero, 0.5 * second_moment, zero)


_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(16)
_Vector = Float[Array, "_"] | Float[np.ndarray, "_"]


def composite_rule(edges: _Vector) -> tuple[Any, Any]:
    """Nodes and weights of 16-point Gauss–Legendre rules on consecutive panels; edges may be traced and may coincide.

    Edges in numpy give a rule in numpy, whose values are known while a function is traced.
    """
    half, middle = (edges[1:] - edges[:-1])[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    nodes, weights = (rule[None].astype(edges.dtype) for rule in (_GAUSS_NODES, _GAUSS_WEIGHTS))
    return (middle + half * nodes).ravel(), (half * weights).ravel()


@target_coefficients.register
def _(target: SingleIndex, inputs: AbstractInputs, features: EvenFeatures) -> TargetCoefficients:
    dim, second_moment = inputs.dim, inputs.second_moment
    theta, weight = _angle_rule(target, inputs, len(features))
    directions = jnp.stack([jnp.cos(theta), -jnp.cos(theta)])
    profile, energy = jax.vmap(jax.vmap(lambda c: _radial_average(target, inputs, c)))(directions)
    even_part, odd_part = (profile[0] + profile[1]) / 2, (profile[0] - profile[1]) / 2
    orthonormal = _orthonormal_harmonics(features, dim, theta, weight)  # times the root of the weight: bounded
    root = jnp.sqrt(weight)
    signs = np.where(np.arange(len(features)) == 0, 1.0, (-1.0) ** (np.arange(len(features)) + 1))
    coefficients = jnp.matmul(orthonormal, root * even_part, precision=jax.lax.Precision.HIGHEST)
    even = jnp.asarray(signs, root.dtype) * coefficients / jnp.sqrt(second_moment)
    linear = jnp.sum(weight * odd_part * jnp.cos(theta)) * jnp.sqrt(dim / second_moment)
    even_energy = 0.5 * jnp.sum(weight * even_part**2) / second_moment
    total = 0.5 * jnp.sum(weight * (energy[0] + energy[1])) / 2
    return TargetCoefficients(even, linear, even_energy, 0.5 * linear**2, total - even_energy - 0.5 * linear**2)


def _angle_rule(target: SingleIndex, inputs: AbstractInputs, count: int) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """Nodes on (0, π/2) and weights of the law of arccos|x_1|/‖x‖ for a uniform direction, split at the kinks of g."""
    dim = inputs.dim
    panels = max(32, -(-count // 4))  # 16 nodes resolve two periods of the last feature
    spread = np.minimum(np.linspace(0, 40, 65) / np.sqrt(dim), np.pi / 2)  # from π/2: 40 standard deviations, then the rest
    fixed = np.unique(np.concatenate([np.pi / 2 - spread, np.linspace(0, np.pi / 2, panels + 1)]))
    edges = jnp.asarray(fixed, jnp.result_type(inputs.second_moment))
    if not isinstance(inputs, Gaussian):
        kinks = jnp.asarray(np.abs(target.kinks), edges.dtype) / jnp.sqrt(inputs.second_moment)
        edges = jnp.sort(jnp.concatenate([edges, jnp.arccos(jnp.clip(kinks, 0.0, 1.0))]))
    theta, weight = composite_rule(edges)
    log_density = (dim - 2) * jnp.log(jnp.sin(theta))
    density = jnp.exp(log_density) * weight
    return theta, density / jnp.sum(density)


def _radial_average(target: SingleIndex, inputs: AbstractInputs, cosine: Float[Array, ""]):
    """h = E_R[R g(R cos θ)] and E_R[g(R cos θ)²] at one angle, R = ‖x‖."""
    if not isinstance(inputs, Gaussian):
        radius = jnp.sqrt(inputs.second_moment)
        value = target.g(radius * cosine)
        return radius * value, value**2
    dim, scale = inputs.dim, inputs.scale
    center = np.sqrt(max(dim - 1, 0))
    low, high = max(center - 9.0, 0.0), center + 9.0  # chi_d: unit variance at most, Gaussian tails
    kinks = jnp.asarray(target.kinks, cosine.dtype) / (scale * jnp.where(cosine == 0, 1e-30, cosine))
    edges = jnp.concatenate([jnp.linspace(low, high, 7, dtype=cosine.dtype), jnp.clip(kinks, low, high)])
    radius, weight = composite_rule(jnp.sort(edges))
    density = weight * jnp.exp((dim - 1) * jnp.log(radius / max(center, 1.0)) - (radius**2 - center**2) / 2)
    density = density / jnp.sum(density)
    values = jax.vmap(target.g)(scale * radius * cosine)
    return jnp.sum(density * scale * radius * values), jnp.sum(density * values**2)


def _orthonormal_harmonics(features: EvenFeatures, dim: int, theta, weight) -> Float[Array, "M N"]:
    """√weight(θ) p_n(θ) for n < M: the recurrence of the features without their Funk–Hecke ratios."""
    ratio = np.abs(2 * np.arange(len(features)) - 1.0) / (2 * np.arange(len(features)) + dim + 1)
    previous = np.concatenate([[1.0], ratio[:-1]])
    ratio, previous = (jnp.asarray(r, features.first.dtype) for r in (ratio, previous))
    slope, shift, back = features.slope / ratio, features.shift / ratio, features.back / (ratio * previous)
    plain = EvenFeatures(jnp.ones((), features.first.dtype), slope, shift, back)
    x = jnp.cos(2 * theta)

    def step(carry, coefficients):
        value, below = carry
        slope, shift, back = coefficients
        return ((slope * x + shift) * value - back * below, value), value

    start = (jnp.sqrt(weight), jnp.zeros_like(x))
    _, values = jax.lax.scan(step, start, (plain.slope, plain.shift, plain.back))
    return values
