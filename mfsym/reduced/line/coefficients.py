"""Coefficients of a target in the features: g* = Σ η_n s_n ψ_n, one entry per even degree and one for degree 1.

With ĥ_n the coefficients of h(ω) = E_R[R f*(Rω)] in orthonormal harmonics, η_n = ĥ_n sign(a_n)/√(E R²). A new target is
one function registered below. (Derived.)
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import check_reducible, no_reduction
from ...problem.inputs import AbstractInputs
from ...problem.problem import Problem
from ...problem.rotated import Rotated
from ...problem.targets import AbstractTarget, LinearTarget, RadialIndex, SingleIndex, SubspaceNorm
from ...problem.units import AbstractHomogeneousUnit
from ..angles.target_parts import TargetCoefficients, TargetParts, representable
from ..rules.harmonics import EvenFeatures, norm_constant, scaled_recurrence, three_terms
from ..rules.quadrature import FARTHEST, USUAL_REACH, Quadrature
from ..rules.radii import chi_scale

_RADIAL_PANELS = 6
_SMEARED = np.array([-8.0, -4.0, 0.0, 4.0, 8.0])  # where panels end around a break that the radius smears


def target_parts(
    problem: Problem, inputs: AbstractInputs, features: EvenFeatures, signed: bool, rule: Quadrature
) -> TargetParts:
    """What is kept of the problem's target, for rotation-invariant `inputs` with the same law of x_H."""
    unit = check_reducible(problem.unit, AbstractHomogeneousUnit, "its unit is not 1-homogeneous")
    found, degree = target_coefficients(problem.target, inputs, features, rule), np.append(2 * np.arange(len(features)), 1)
    if not signed:
        found, degree = found._replace(values=found.values[:-1]), degree[:-1]
    return representable(found, degree, unit)


@functools.singledispatch
def target_coefficients(
    target: AbstractTarget, inputs: AbstractInputs, features: EvenFeatures, rule: Quadrature
) -> TargetCoefficients:
    """η on the even features and on the linear one, by `rule`; refuses targets that no function here covers."""
    raise no_reduction(
        f"the target {type(target).__name__} declares no structure",
        "Declare it (SubspaceNorm, RadialIndex, SingleIndex, LinearTarget), or use `solve_particles`, which needs none.",
    )


@target_coefficients.register
def _(target: SubspaceNorm, inputs: AbstractInputs, features: EvenFeatures, rule: Quadrature) -> TargetCoefficients:
    # ‖x_H‖ = α φ̃(0; x), so the target is scale·α neurons at θ = 0.
    at_pole, _ = features(jnp.zeros((), features.first.dtype))
    even = target.scale * norm_constant(target.dim_h) * at_pole
    energy = 0.5 * target.scale**2 * target.dim_h / inputs.dim * inputs.second_moment
    zero = jnp.zeros_like(energy)
    return TargetCoefficients(jnp.append(even, zero), energy, zero, zero)


@target_coefficients.register
def _(target: Rotated, inputs: AbstractInputs, features: EvenFeatures, rule: Quadrature) -> TargetCoefficients:
    # The law of Q x is that of x: checked by `build_reduction`.
    return target_coefficients(target.target, inputs, features, rule)


@target_coefficients.register
def _(target: LinearTarget, inputs: AbstractInputs, features: EvenFeatures, rule: Quadrature) -> TargetCoefficients:
    second_moment = jnp.sum(target.w**2) * inputs.second_moment / inputs.dim
    zero = jnp.zeros_like(second_moment)
    values = jnp.append(jnp.zeros(len(features), second_moment.dtype), jnp.sqrt(second_moment))
    return TargetCoefficients(values, zero, 0.5 * second_moment, zero)


@target_coefficients.register
def _(target: SingleIndex, inputs: AbstractInputs, features: EvenFeatures, rule: Quadrature) -> TargetCoefficients:
    theta, weight = _angle_rule(inputs, 1, len(features), rule)
    plus, plus_square = _averages(target, inputs, jnp.cos(theta), rule)
    minus, minus_square = _averages(target, inputs, -jnp.cos(theta), rule)
    even, even_energy = _even_part((plus + minus) / 2, inputs, 1, len(features), theta, weight)
    linear = jnp.sum(weight * (plus - minus) / 2 * jnp.cos(theta)) * jnp.sqrt(inputs.dim / inputs.second_moment)
    rest = 0.25 * jnp.sum(weight * (plus_square + minus_square)) - even_energy - 0.5 * linear**2
    return TargetCoefficients(jnp.append(even, linear), even_energy, 0.5 * linear**2, rest)


@target_coefficients.register
def _(target: RadialIndex, inputs: AbstractInputs, features: EvenFeatures, rule: Quadrature) -> TargetCoefficients:
    theta, weight = _angle_rule(inputs, target.dim_h, len(features), rule)
    values, squares = _averages(target, inputs, jnp.cos(theta), rule)
    even, energy = _even_part(values, inputs, target.dim_h, len(features), theta, weight)
    zero = jnp.zeros_like(energy)
    return TargetCoefficients(jnp.append(even, zero), energy, zero, 0.5 * jnp.sum(weight * squares) - energy)


@functools.singledispatch
def multiple_of_norm(
    target: AbstractTarget, inputs: AbstractInputs, rule: Quadrature
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """c of the multiple c‖x‖ nearest to f* = g(‖x‖), E[R g(R)]/E R² with R = ‖x‖, and ½E f*²."""
    raise no_reduction(f"the target {type(target).__name__} is not declared to be a function of ‖x‖")


@multiple_of_norm.register
def _(target: SubspaceNorm, inputs: AbstractInputs, rule: Quadrature):
    return target.scale, 0.5 * target.scale**2 * inputs.second_moment


@multiple_of_norm.register
def _(target: RadialIndex, inputs: AbstractInputs, rule: Quadrature):
    found = radial_average(target, inputs, jnp.ones_like(inputs.second_moment), rule)
    return found.mean / inputs.second_moment, found.square / 2


def _even_part(values, inputs: AbstractInputs, dim_h: int, count: int, theta, weight):
    """η on the even features and the energy ½E of the part, from h at the nodes of the angle."""
    orthonormal = _orthonormal_harmonics(count, dim_h, inputs.dim, theta, weight)  # times the root of the weight: bounded
    signs = np.where(np.arange(count) == 0, 1.0, (-1.0) ** (np.arange(count) + 1))
    found = jnp.matmul(orthonormal, jnp.sqrt(weight) * values, precision=jax.lax.Precision.HIGHEST)
    even = jnp.asarray(signs, found.dtype) * found / jnp.sqrt(inputs.second_moment)
    return even, 0.5 * jnp.sum(weight * values**2) / inputs.second_moment


def _averages(target: SingleIndex | RadialIndex, inputs: AbstractInputs, cosines: Float[Array, " N"], rule: Quadrature):
    """h = E_R[R g(R c)] and E_R[g(R c)²] for every cosine c, one panel at a time: the radii of all angles would not fit
    where g needs many panels."""
    by_panel = jax.lax.map(
        jax.vmap(lambda cosine: radial_average(target, inputs, cosine, rule)[:2]), cosines.reshape(-1, len(rule.nodes))
    )
    return tuple(part.ravel() for part in by_panel)


def _angle_rule(
    inputs: AbstractInputs, dim_h: int, count: int, rule: Quadrature
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """Nodes on (0, π/2) and weights of the law of arccos ‖x_H‖/‖x‖ for a uniform direction.

    Panels end where ‖x_H‖ comes to a break of g. For Gaussian inputs the radius smears it over a few 1/√2 around √(d−1).
    """
    dim = inputs.dim
    panels = max(32, -(-count // 4))  # 16 nodes resolve two periods of the last feature
    centre = np.arctan2(np.sqrt(dim - dim_h), np.sqrt(dim_h)) if dim_h > 1 else np.pi / 2
    spread = np.linspace(0, 40, 65) / np.sqrt(dim)  # from the centre of the law: 40 standard deviations, then the rest
    near = np.clip(np.concatenate([centre - spread, centre + spread]), 0, np.pi / 2)
    fixed = np.unique(np.concatenate([near, np.linspace(0, np.pi / 2, panels + 1)]))
    fixed = jnp.asarray(fixed, jnp.result_type(inputs.second_moment))
    breaks = jnp.abs(rule.breaks).astype(fixed.dtype)
    scale = chi_scale(inputs)
    if scale is not None:
        radii = np.maximum(np.sqrt(dim - 1) + _SMEARED, 1e-3)
        cosines = breaks[:, None] / (scale * jnp.asarray(radii, fixed.dtype)[None])
    else:
        cosines = breaks / jnp.sqrt(inputs.second_moment)
    edges = jnp.sort(jnp.concatenate([fixed, jnp.arccos(jnp.clip(cosines.ravel(), 0.0, 1.0))]))
    theta, weight = rule.on_panels(edges)
    log_density = (dim - dim_h - 1) * jnp.log(jnp.sin(theta)) + (dim_h - 1) * jnp.log(jnp.cos(theta))
    density = jnp.exp(log_density - jnp.max(log_density)) * weight
    return theta, density / jnp.sum(density)


class RadialAverage(NamedTuple):
    """E_R[R g], E_R[g²], E_R[R² g²] and E_R[R³ g] of g = g(R cos θ) at one angle, R = ‖x‖."""

    mean: Float[Array, "*N"]
    square: Float[Array, "*N"]
    weighted_square: Float[Array, "*N"]
    third: Float[Array, "*N"]


def radial_average(
    target: SingleIndex | RadialIndex, inputs: AbstractInputs, cosine: Float[Array, ""], rule: Quadrature
) -> RadialAverage:
    """Of a target g at one angle."""
    scale = chi_scale(inputs)
    if scale is None:
        radius = jnp.sqrt(inputs.second_moment)
        value = target.g(radius * cosine)
        return RadialAverage(radius * value, value**2, (radius * value) ** 2, radius**3 * value)
    dim = inputs.dim
    center = np.sqrt(max(dim - 1, 0))
    extent = rule.extent.astype(cosine.dtype)
    low, high = jnp.maximum(center - extent, 0.0), center + extent  # chi_d: unit variance at most
    count = _RADIAL_PANELS
    if rule.reach > USUAL_REACH:  # g grows so fast that E g² comes from large ‖x‖
        count, high = count + int(np.ceil(rule.reach / 3)), jnp.hypot(high, rule.reach)
    breaks = rule.breaks.astype(cosine.dtype) / (scale * jnp.where(cosine == 0, 1e-30, cosine))
    even = low + (high - low) * jnp.asarray(np.linspace(0, 1, count + 1), cosine.dtype)
    radius, weight = rule.on_panels(jnp.sort(jnp.concatenate([even, jnp.clip(breaks, low, high)])))
    density = weight * jnp.exp((dim - 1) * jnp.log(radius / max(center, 1.0)) - (radius**2 - center**2) / 2)
    density = density / jnp.sum(density)
    values = jax.vmap(target.g)(scale * jnp.clip(radius * cosine, -FARTHEST, FARTHEST))  # what counts for nothing is finite
    radius = scale * radius
    powers = radius * values, values**2, (radius * values) ** 2, radius**3 * values
    return RadialAverage(*(jnp.sum(density * each) for each in powers))


def _orthonormal_harmonics(count: int, dim_h: int, dim: int, theta, weight) -> Float[Array, "M N"]:
    """√weight(θ) p_n(θ) for n < M: the recurrence of the features without their Funk–Hecke ratios."""
    rows = scaled_recurrence((dim - dim_h) / 2 - 1, dim_h / 2 - 1, np.ones(count))
    rows = tuple(jnp.asarray(row, theta.dtype) for row in rows)
    root = jnp.sqrt(weight)
    return three_terms(rows, jnp.cos(2 * theta), (root, jnp.zeros_like(root)))[0]
