"""The linear response of a block to noise: one Volterra equation with a separable kernel, solved panel by panel.

With perturbations X of log c, Θ of θ and ψ of the directions, and the potential g = −Σ φ_n M_n that the moments M answer with,

    X' = 2ε(g + VΘ),   Θ' = ε(g' + V'Θ),   ψ_H' = εg/cos²θ,   ψ_⊥' = εg/sin²θ,

α = Θ/J, x = X − Λα and the ψ are integrals of what M is alone: no equation for every label is left. Then

    M = s + Σ_labels μ [U¹ (x + L_H ψ_H + L_⊥ ψ_⊥) + U² α],   U¹ = εcφ,   U² = εc(Λφ + Jφ'),

whose unknowns in a panel are M at its points, one dense system. (Derived.)
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..reduced.line.isotypic import BlockFeatures, Jet
from .panels import POINTS, integration_matrix
from .paths import HIGHEST, Labels, Paths

_Seen = TypeVar("_Seen")


class Perturbation(NamedTuple):
    """Integrals of the labels, each [..., L, S]: α = Θ/J, x = X − Λα, ψ_H and ψ_⊥."""

    turn: Float[Array, "... L S"]
    gain: Float[Array, "... L S"]
    within: Float[Array, "... L S"]
    across: Float[Array, "... L S"]


class Response(NamedTuple):
    """What a block does in one panel: M [p, n, S], (g, g', g'') [p, L, S], and the integrals at all points."""

    moments: Float[Array, "p n S"]
    potential: Jet
    labels: Perturbation

    def turned(self, path: Paths) -> Float[Array, "p L S"]:
        """Θ."""
        return path.stretch[..., None] * self.labels.turn

    def gained(self, path: Paths) -> Float[Array, "p L S"]:
        """X."""
        return self.labels.gain + path.growth[..., None] * self.labels.turn


Observer = Callable[[Paths, Jet, Response], _Seen]


def respond(
    labels: Labels, paths: Paths, block: BlockFeatures, features: Jet, source: Float[Array, "P p n S"], observe: Observer
) -> _Seen:
    """Solve M = s + … of a block for sources s [P, p, n, S], and return what `observe(path, features, response)` sees in
    every panel, stacked. `features` are φ, φ' and φ'' [n, P, p, L]."""
    matrix = jnp.asarray(integration_matrix(), source.dtype)
    nothing = jnp.zeros((labels.sign.shape[0], source.shape[-1]), source.dtype)

    def panel(start, given):
        path, phi, noise = given
        moments = _moments(labels, path, block, phi, noise, start, path.length * matrix)
        potential = tuple(-jnp.einsum("nil,ins->ils", each, moments, precision=HIGHEST) for each in phi)
        rates = _rates(labels, path, potential)
        steps = path.length * matrix
        inside = Perturbation(*(s[None] + _integral(steps, rate) for s, rate in zip(start, rates, strict=True)))
        end = Perturbation(*(s + _integral(steps[-1:], rate)[0] for s, rate in zip(start, rates, strict=True)))
        return end, observe(path, phi, Response(moments, potential, inside))

    by_panel = tuple(jnp.moveaxis(each, 1, 0) for each in features)
    return jax.lax.scan(panel, Perturbation(*[nothing] * 4), (paths, by_panel, source))[1]


def _integral(steps: Float[Array, "i p"], rate: Float[Array, "p L S"]) -> Float[Array, "i L S"]:
    return jnp.einsum("ij,jls->ils", steps, rate, precision=HIGHEST)


def _rates(labels: Labels, path: Paths, potential: Jet) -> Perturbation:
    """(α', x', ψ_H', ψ_⊥') from g and g'."""
    sign = labels.sign[None, :, None]
    force = sign * potential[0]
    turn = sign * potential[1] / path.stretch[..., None]
    gain = 2 * force - path.growth[..., None] * turn
    cosine, sine = jnp.cos(path.theta)[..., None], jnp.sin(path.theta)[..., None]
    return Perturbation(turn, gain, force / cosine**2, force / sine**2)


def _moments(
    labels: Labels,
    path: Paths,
    block: BlockFeatures,
    phi: Jet,
    noise: Float[Array, "p n S"],
    start: Perturbation,
    steps: Float[Array, "p p"],
) -> Float[Array, "p n S"]:
    """M at the points of a panel: (I + Q) M = s + U·(what was there at its start), Q = ∫ of U(t) W(t')."""
    outer, inner = kernel_factors(labels, path, block, phi)
    weighted = outer * labels.share[None, None, None]
    begun = jnp.stack([start.gain + block.casimir[0] * start.within + block.casimir[1] * start.across, start.turn])
    known = noise + jnp.einsum("nail,als->ins", weighted, begun, precision=HIGHEST)
    kernel = jnp.einsum("nail,majl->inmj", weighted, inner, precision=HIGHEST)
    kernel = jnp.swapaxes(kernel, 2, 3) * steps[:, None, :, None]  # [i, n, j, m]
    size = POINTS * phi[0].shape[0]
    system = jnp.eye(size, dtype=kernel.dtype) + kernel.reshape(size, size)
    return jnp.linalg.solve(system, known.reshape(size, -1)).reshape(known.shape)


def kernel_factors(
    labels: Labels, path: Paths, block: BlockFeatures, phi: Jet
) -> tuple[Float[Array, "n 2 p L"], Float[Array, "n 2 p L"]]:
    """U and W, [n, 2, p, L], first for β = x + L_H ψ_H + L_⊥ ψ_⊥, then for α: β' = −Σ W¹_n M_n and α' = −Σ W²_n M_n."""
    sign, (value, slope) = labels.sign[None], phi[:2]
    charge = (sign * path.mass)[None]
    outer = jnp.stack([charge * value, charge * (path.growth[None] * value + path.stretch[None] * slope)], axis=1)
    sign = sign[None]
    turn = sign * slope / path.stretch[None]
    spread = 2 + block.casimir[0] / jnp.cos(path.theta) ** 2 + block.casimir[1] / jnp.sin(path.theta) ** 2
    return outer, jnp.stack([sign * value * spread[None] - path.growth[None] * turn, turn], axis=1)
