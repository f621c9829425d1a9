"""Means of order 1/m: what the fluctuations of all blocks do to risk and masses, and the scatter of these over starts.

To second order in the fluctuations, with expectations E over starts summed over blocks with their numbers N,

    X̄₂' = 2ε(ḡ₂ + VΘ̄₂) + S_X,   S_X = 2ε E[g'Θ + L_H gψ_H + L_⊥ gψ_⊥] + εV' EΘ²,
    Θ̄₂' = ε(ḡ₂' + V'Θ̄₂) + S_Θ,   S_Θ = ε E[g''Θ + L_H g'ψ_H + L_⊥ g'ψ_⊥] + ½εV'' EΘ²,
    M̄₂ = Σ_labels εc {φ [μ(X̄₂ + ½EX²) + E(Xζ)] + φ' [μ(Θ̄₂ + EXΘ) + E(Θζ)] + ½φ'' μ EΘ²}:

the equation of block (0, 0) with another source. A neuron hears itself: E(Xζ) has a part of every degree, and that of those
left out is known, since E σ(u·x)² does not depend on u. (Derived.)
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..reduced.line.angle_reduction import AngleReduction
from ..reduced.line.isotypic import BlockFeatures, Jet
from .passive import correlation
from .paths import HIGHEST, Course, Labels, Paths
from .response import Response, respond


class Squares(NamedTuple):
    """Expectations over the noise of one block in one panel, and sums of products of its features at the labels.

    `energy` E M² [p, n]; S_X and S_Θ `gain_rate`, `turn_rate`; E X², E XΘ, EΘ², E(Xζ), E(Θζ); Σφ² and Σφφ'; Σφ_±φ_∓ and
    Σφ'_±φ_∓ of a label and that of the other sign with the same start, all [p, L]. `scatter` [p, 3]: variances times m of
    risk and both masses, of use in block (0, 0).
    """

    energy: Float[Array, "... n"]
    gain_rate: Float[Array, "... L"]
    turn_rate: Float[Array, "... L"]
    gain_gain: Float[Array, "... L"]
    gain_turn: Float[Array, "... L"]
    turn_turn: Float[Array, "... L"]
    gain_noise: Float[Array, "... L"]
    turn_noise: Float[Array, "... L"]
    own: Float[Array, "... L"]
    own_slope: Float[Array, "... L"]
    other: Float[Array, "... L"]
    other_slope: Float[Array, "... L"]
    scatter: Float[Array, "... 3"]


def _mean(left: Float[Array, "p L S"], right: Float[Array, "p L S"]) -> Float[Array, "p L"]:
    return jnp.sum(left * right, axis=-1)


def swap_signs(values: Float[Array, "... L"]) -> Float[Array, "... L"]:
    """At every label what is at the label of the other sign."""
    return jnp.roll(values, values.shape[-1] // 2, axis=-1)


def squares_of(
    labels: Labels, block: BlockFeatures, noise: Float[Array, "L S"], path: Paths, phi: Jet, response: Response
) -> Squares:
    """What one block contributes in a panel; `phi` are its features and two derivatives [p, n, L]."""
    sign = labels.sign[None]
    value, slope, curvature = (-jnp.einsum("pnl,pns->pls", each, response.moments, precision=HIGHEST) for each in phi)
    gained, turned, within, across = perturbations(block, path, response)
    spread = block.casimir[0] * within + block.casimir[1] * across
    turn_turn = _mean(turned, turned)
    gain_rate = 2 * (_mean(slope, turned) + _mean(value, spread)) + path.potential[2] * turn_turn
    turn_rate = _mean(curvature, turned) + _mean(slope, spread) + path.potential[3] * turn_turn / 2
    zeta = jnp.broadcast_to(noise[None], gained.shape)
    other = swap_signs(phi[0])
    return Squares(
        jnp.sum(response.moments**2, axis=-1),
        sign * gain_rate,
        sign * turn_rate,
        _mean(gained, gained),
        _mean(gained, turned),
        turn_turn,
        _mean(gained, zeta),
        _mean(turned, zeta),
        jnp.sum(phi[0] * phi[0], axis=1),
        jnp.sum(phi[0] * phi[1], axis=1),
        jnp.sum(phi[0] * other, axis=1),
        jnp.sum(phi[1] * other, axis=1),
        _scatter(labels, block, path, noise, gained, response.moments),
    )


def perturbations(block: BlockFeatures, path: Paths, response: Response) -> tuple[Array, Array, Array, Array]:
    """X, Θ, ψ_H and ψ_⊥ at the points of a panel, each [p, L, S]."""
    assert response.integrals is not None
    beta, alpha, within, across = response.integrals
    gained = beta + path.growth[..., None] * alpha - block.casimir[0] * within - block.casimir[1] * across
    return gained, path.stretch[..., None] * alpha, within, across


def _scatter(
    labels: Labels,
    block: BlockFeatures,
    path: Paths,
    noise: Float[Array, "L S"],
    gained: Float[Array, "p L S"],
    moments: Float[Array, "p n S"],
) -> Float[Array, "p 3"]:
    """m Var of the risk and of both masses in block (0, 0): first order in the noise."""
    change = path.mass[..., None] * (noise[None] + labels.share[None, :, None] * gained)
    masses = jnp.sum(change.reshape(len(change), 2, -1, change.shape[-1]), axis=2)
    slope = jnp.einsum("pn,pns->ps", residual_of(path, block), moments, precision=HIGHEST)
    return jnp.sum(jnp.concatenate([slope[:, None], masses], axis=1) ** 2, axis=-1)


def residual_of(path: Paths, block: BlockFeatures) -> Float[Array, "*P p n"]:
    """r in the members of block (0, 0)."""
    return in_members(path.residual, block)


def in_members(values: Float[Array, "*P M"], block: BlockFeatures) -> Float[Array, "*P n"]:
    """Numbers of all features, for the members of block (0, 0): the linear one last, where there is one."""
    even = values[..., : block.slope.shape[-1]]
    return even if block.linear is None else jnp.concatenate([even, values[..., -1:]], axis=-1)


class Means(NamedTuple):
    """lim m (E F_m − F) less ½C_m, [T], and lim m (E mass^± − mass^±), [T, 2]."""

    risk: Float[Array, " T"]
    masses: Float[Array, "T 2"]


def means_of(
    reduction: AngleReduction, course: Course, block: BlockFeatures, features: Jet, total: Squares, paired: bool
) -> Means:
    """From the sums over blocks, and block (0, 0) with its features [P, p, n, L]."""
    labels, paths, panels = course.labels, course.paths, course.panels
    total = _with_self(reduction, course, total, paired)
    turn = panels.integrate(total.turn_rate / paths.stretch)
    gain = panels.integrate(total.gain_rate - paths.growth * total.turn_rate / paths.stretch) + paths.growth * turn
    share, sign = labels.share[None, None], labels.sign[None, None]
    known = share * (gain + total.gain_gain / 2) + total.gain_noise
    moved = share * (paths.stretch * turn + total.gain_turn) + total.turn_noise
    parts = known, moved, share * total.turn_turn / 2
    sources = [
        jnp.einsum("Ppnl,Ppl->Ppn", phi, sign * paths.mass * part, precision=HIGHEST)
        for phi, part in zip(features, parts, strict=True)
    ]
    source = jnp.sum(jnp.stack(sources), axis=0)

    def observe(path, phi, response):
        return response.moments[..., 0], perturbations(block, path, response)[0][..., 0]

    moments, answered = respond(labels, paths, block, features, source[..., None], observe, inside=True)
    masses = jnp.sum((paths.mass * (known + share * answered)).reshape(*paths.mass.shape[:2], 2, -1), axis=-1)
    risk = -jnp.sum(residual_of(paths, block) * moments, axis=-1)
    return Means(panels.join(risk), panels.join(masses))


def _with_self(reduction: AngleReduction, course: Course, total: Squares, paired: bool) -> Squares:
    """E(Xζ) and E(Θζ) with what a neuron hears of itself, or of its partner, in the degrees that were left out."""
    labels, paths = course.labels, course.paths
    sign, share = labels.sign[None, None], labels.share[None, None]
    alone, _ = correlation(reduction, jnp.zeros_like(paths.theta))
    value = sign * paths.mass * (alone - total.own)
    slope = -sign * paths.mass * total.own_slope
    if paired:
        between, falling = correlation(reduction, paths.theta - swap_signs(paths.theta))
        partner = -sign * swap_signs(paths.mass)
        value = value + partner * (between - total.other)
        slope = slope + partner * (falling - total.other_slope)
    value, slope = -share * value, -share * slope
    turn_rate = sign * slope / paths.stretch
    turn = course.panels.integrate(turn_rate)
    gain = course.panels.integrate(2 * sign * value - paths.growth * turn_rate) + paths.growth * turn
    return total._replace(gain_noise=total.gain_noise + gain, turn_noise=total.turn_noise + paths.stretch * turn)
