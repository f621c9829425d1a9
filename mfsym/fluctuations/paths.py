"""The labels of a run along its panels: masses, the tangent map of the flow, and what the potential is there.

A neuron of sign ε that starts at θ_0 has θ' = εV(θ), (log c)' = 2εG(θ). With weights μ of the labels, of which each sign has
one half, the two derivatives in θ_0 are plain integrals along the run,

    log J = ∫ εV'(θ_s) ds,   J = ∂θ_t/∂θ_0;      Λ = ∫ 2εV(θ_s) J_s ds = ∂ log c_t/∂θ_0.     (Derived.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..reduced.angles.directions import SIGNS
from ..reduced.line.angle_reduction import AngleReduction
from ..reduced.line.isotypic import Jet, doubled_angle, recurrence
from .panels import Panels

HIGHEST = jax.lax.Precision.HIGHEST


class Labels(eqx.Module):
    """Labels of both signs, first those of τ⁺: `sign` ε and `share` μ, each [L]; all shares sum to 1."""

    sign: Float[Array, " L"]
    share: Float[Array, " L"]


class Paths(eqx.Module):
    """Where the labels are at all points [P, p, L] of panels of `length` [P].

    `mass` c, `stretch` J, `growth` Λ; `within` 1/cos²θ and `across` 1/sin²θ, the lengths of a gradient along H and H^⊥;
    `potential` is (G, V, V', V''); `residual` r = η − τ̂ of the network, in the features of the dynamics.
    """

    length: Float[Array, " P"]
    theta: Float[Array, "*P p L"]
    mass: Float[Array, "*P p L"]
    stretch: Float[Array, "*P p L"]
    growth: Float[Array, "*P p L"]
    within: Float[Array, "*P p L"]
    across: Float[Array, "*P p L"]
    potential: Jet
    residual: Float[Array, "*P p M"]


class Course(eqx.Module):
    """A run as its fluctuations see it: labels, paths, and the network by its coefficients.

    `halves` [T, 2, M] are the coefficients of the neurons of either sign in all stored features, so that the network is
    their sum. `defect`: the largest violation of (log c)' = 2εG + (one function of time) and θ' = εV along the record.
    """

    labels: Labels
    panels: Panels
    paths: Paths
    halves: Float[Array, "T 2 M"]
    defect: Float[Array, ""]


def course_of(reduction: AngleReduction, theta: Float[Array, "T 2 N"], log_weight: Float[Array, "T 2 N"], panels: Panels):
    """The course of a run by labels in balance, from its recorded angles and log-weights."""
    dtype = theta.dtype
    sign = jnp.asarray(np.repeat(SIGNS, theta.shape[-1]), dtype)
    probability = reduction.node_weights()
    share = 0.5 * jnp.concatenate([probability, probability]) / jnp.sum(probability)
    masses = jnp.exp(log_weight[0])
    size = jnp.sum(masses, axis=1, keepdims=True) * 2  # of |a|‖b‖ at time 0: one half of the neurons has this mass
    log_growth = (log_weight - log_weight[:1]).reshape(len(theta), -1)
    mass = jnp.repeat(size.ravel(), theta.shape[-1])[None] * jnp.exp(log_growth)
    flat = theta.reshape(len(theta), -1)
    weights = sign[None] * share[None] * mass

    resolved = reduction.resolved()
    features = _jets(resolved, flat)
    moments = jnp.einsum("ntl,tl->tn", features[0], weights, precision=HIGHEST)
    residual = resolved.coefficients[None] - resolved.factors[None] * moments
    forces = resolved.factors[None] * residual
    potential = tuple(panels.split(jnp.einsum("tn,ntl->tl", forces, each, precision=HIGHEST)) for each in features)

    epsilon = sign[None, None]
    stretch = jnp.exp(panels.integrate(epsilon * potential[2]))
    growth = panels.integrate(2 * epsilon * potential[1] * stretch)
    angle = panels.split(flat)
    within, across = 1 / jnp.cos(angle) ** 2, 1 / jnp.sin(angle) ** 2
    charge = panels.split(mass)
    paths = Paths(panels.lengths, angle, charge, stretch, growth, within, across, potential, panels.split(residual))
    halves = _halves(reduction, flat, weights)
    defect = _defect(panels, paths, panels.split(log_growth), sign)
    return Course(Labels(sign, share), panels, paths, halves, defect)


def _jets(reduction: AngleReduction, theta: Float[Array, "T L"]) -> Jet:
    """The features of the dynamics and three derivatives in θ, each [M, T, L]."""
    even, linear = reduction.features.even, reduction.features.linear
    first = (even.first * jnp.ones_like(theta), *[jnp.zeros_like(theta)] * 3)
    members = recurrence((even.slope, even.shift, even.back), doubled_angle(theta), first)
    if linear is None:
        return members
    cosine, sine = linear * jnp.cos(theta), linear * jnp.sin(theta)
    return tuple(
        jnp.concatenate([many, one[None]]) for many, one in zip(members, (cosine, -sine, -cosine, sine), strict=True)
    )


def _halves(reduction: AngleReduction, theta: Float[Array, "T L"], weights: Float[Array, "T L"]) -> Float[Array, "T 2 M"]:
    """Coefficients of the neurons of either sign, in all stored features."""
    shape = (len(theta), 2, -1)

    def at(pair):
        values = reduction.features(pair[0])[0]
        return reduction.factors[None] * jnp.einsum("nel,el->en", values, pair[1], precision=HIGHEST)

    return jax.lax.map(at, (theta.reshape(shape), weights.reshape(shape)), batch_size=16)


def _defect(panels: Panels, paths: Paths, log_growth: Float[Array, "P p L"], sign: Float[Array, " L"]) -> Float[Array, ""]:
    """How far the record is from the flow: at rates 1, and but for a decay that all neurons have in common."""
    sign = sign[None, None]
    grown = log_growth - panels.integrate(2 * sign * paths.potential[0])
    turned = paths.theta - paths.theta[:1, :1] - panels.integrate(sign * paths.potential[1])
    spread = grown - jnp.mean(grown, axis=-1, keepdims=True)
    return jnp.maximum(jnp.max(jnp.abs(spread)), jnp.max(jnp.abs(turned)))
