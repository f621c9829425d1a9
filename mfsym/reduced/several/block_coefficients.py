"""Coefficients η of a target in the harmonics of several angles, and the parts of its energy.

With ĥ the coefficients of h(ω) = E_R[R f*(Rω)] in orthonormal harmonics, η = ĥ sign(a_l)/√(E R²).
A new target is one function registered below. (Derived.)
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaln

from ...errors import no_reduction
from ...problem.block_targets import BlockNorms, MultiIndex
from ...problem.inputs import AbstractInputs
from ...problem.targets import AbstractTarget
from ..angles.coordinates import Blocks
from ..angles.law import log_density
from ..angles.target_parts import TargetCoefficients
from ..rules.harmonics import norm_constant
from ..rules.quadrature import composite_rule
from ..rules.radii import chi_scale
from .nested_tables import NestedTable, analyse, funk_hecke_sign, nested_tables, reachable_degrees, select

_PANELS = {1: 64, 2: 24, 3: 2}  # panels of Gauss points per angle


class BlockQuadrature(NamedTuple):
    """A rule for the integrals of a target: Gauss points on each panel of an angle, and for ‖x‖."""

    points: int = 16
    radii: int = 48


RULE = BlockQuadrature()
CHECK = BlockQuadrature(11, 33)  # the difference from it shows the error of the quadrature; odd: its points lie elsewhere


@functools.singledispatch
def block_coefficients(
    target: AbstractTarget, inputs: AbstractInputs, blocks: Blocks, tables: tuple[NestedTable, ...], rule: BlockQuadrature
) -> TargetCoefficients:
    """Coefficients of a target, its integrals by `rule`; refuses targets that no function here covers."""
    raise no_reduction(f"the target {type(target).__name__} declares no blocks")


@block_coefficients.register
def _(target: BlockNorms, inputs, blocks, tables, rule):
    # ‖x_i‖ = α(d_i) φ̃(e_i; x): the target is a sum of neurons at the poles.
    count = tables[0].log_first.shape[0]
    poles = [jnp.asarray(blocks.pole(i), target.weights.dtype) for i in range(len(target.dims))]
    total = 0.0
    for weight, dim, pole in zip(target.weights, target.dims, poles, strict=True):
        at_pole = [select(blocks, a, table(pole[a][None])[0]) for a, table in enumerate(tables)]
        total = total + weight * norm_constant(dim) * analyse(at_pole, jnp.ones((1,) * blocks.angles, pole.dtype))
    energy = 0.5 * _norms_energy(target, inputs)
    zero = jnp.zeros_like(energy)
    values = jnp.sqrt(inputs.second_moment) * _even_only(total, blocks, count)
    return TargetCoefficients(values, energy, zero, zero)


def _even_only(values, blocks, count):
    """Without degree 1, which a ReLU at a pole has and a norm has not."""
    even = reachable_degrees(count, blocks.stride) * blocks.stride % 2 == 0
    return jnp.where(jnp.asarray(even).reshape(-1, *(1,) * (values.ndim - 1)), values, 0.0)


def _norms_energy(target: BlockNorms, inputs: AbstractInputs) -> Float[Array, ""]:
    """E f*² = Σ_ij β_i β_j E‖x_i‖‖x_j‖: (E R²/d) d_i on the diagonal, else E of norms of blocks of one unit vector."""
    dims, dim = np.array(target.dims, float), float(inputs.dim)
    # For a standard Gaussian E‖z_i‖‖z_j‖ = m_i m_j, m = √2 Γ((n+1)/2)/Γ(n/2); any rotation-invariant law only rescales it.
    means = np.sqrt(2) * np.exp(gammaln((dims + 1) / 2) - gammaln(dims / 2))
    pairs = np.outer(means, means)
    np.fill_diagonal(pairs, dims)
    weights = target.weights
    return weights @ jnp.asarray(pairs / dim, weights.dtype) @ weights * inputs.second_moment


@block_coefficients.register
def _(target: MultiIndex, inputs, blocks, tables, rule):
    count = tables[0].log_first.shape[0]
    rules = [_rule(blocks, axis, rule.points) for axis in range(blocks.angles)]
    plain = nested_tables(blocks, count, scaled=False)
    at_nodes = [
        select(blocks, a, table(jnp.asarray(theta))[0])
        for a, (table, (theta, _)) in enumerate(zip(plain, rules, strict=True))
    ]
    shape = tuple(len(theta) for theta, _ in rules)
    angles = np.stack([m.ravel() for m in np.meshgrid(*(theta for theta, _ in rules), indexing="ij")], axis=1)
    weight = functools.reduce(np.multiply.outer, [w for _, w in rules])
    directions = jnp.asarray(_points(angles)[:, : target.dim_h])
    profile, square = _radial_averages(target, inputs, directions, rule.radii)
    profile, weight = profile.reshape(shape), jnp.asarray(weight)
    mirrored = jnp.flip(profile, range(blocks.angles))  # u_H → −u_H: the rules are symmetric
    even, odd = (profile + mirrored) / 2, (profile - mirrored) / 2
    root = jnp.sqrt(inputs.second_moment)
    sums = analyse(at_nodes, weight * even), analyse(at_nodes, weight * odd)
    degree = (reachable_degrees(count, blocks.stride) * blocks.stride).reshape(-1, *(1,) * (blocks.angles - 1))
    values = jnp.where(degree == 1, sums[1], sums[0]) * funk_hecke_sign(degree) / root
    even_energy = 0.5 * jnp.sum(weight * even**2) / inputs.second_moment
    linear_energy = 0.5 * jnp.sum(jnp.where(degree == 1, values, 0.0) ** 2)
    total = 0.5 * jnp.sum(weight * square.reshape(shape))
    return TargetCoefficients(values, even_energy, linear_energy, total - even_energy - linear_energy)


def _points(angles: np.ndarray) -> np.ndarray:
    """`to_point` on the host: XLA would take long to fold so large a constant."""
    before = np.concatenate([np.ones_like(angles[:, :1]), np.cumprod(np.sin(angles), axis=1)], axis=1)
    return before * np.concatenate([np.cos(angles), np.ones_like(angles[:, :1])], axis=1)


def _rule(blocks: Blocks, axis: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the law of one angle, symmetric on a signed angle, split at π/2."""
    panels = _PANELS[blocks.angles]
    half = np.linspace(0.0, np.pi / 2, panels + 1)
    edges = np.concatenate([half, np.pi - half[-2::-1]]) if blocks.signed[axis] else half
    theta, weight = composite_rule(edges, points)
    law = weight * np.exp(log_density(theta, blocks.dims[axis], blocks.rest(axis), blocks.signed[axis]))
    return theta, law / law.sum()


def _radial_averages(target: MultiIndex, inputs: AbstractInputs, directions: Float[Array, "n h"], radii: int):
    """h = E_R[R g(R u_H)] and E_R[g(R u_H)²] in every direction, R = ‖x‖."""
    radius, weight = _radius_rule(inputs, radii)

    def one(direction):
        values = jax.vmap(target.g)(radius[:, None] * direction[None])
        return jnp.sum(weight * radius * values), jnp.sum(weight * values**2)

    return jax.lax.map(one, directions, batch_size=4096)


def _radius_rule(inputs: AbstractInputs, count: int):
    scale = chi_scale(inputs)
    if scale is None:
        return jnp.sqrt(inputs.second_moment)[None], jnp.ones(1)
    dim = inputs.dim
    centre = np.sqrt(max(dim - 1, 0))
    low, high = max(centre - 7.0, 0.0), centre + 7.0
    node, weight = np.polynomial.legendre.leggauss(count)
    radius = (low + high) / 2 + (high - low) / 2 * node
    density = weight * np.exp((dim - 1) * np.log(radius / max(centre, 1.0)) - (radius**2 - centre**2) / 2)
    return scale * jnp.asarray(radius), jnp.asarray(density / density.sum())
