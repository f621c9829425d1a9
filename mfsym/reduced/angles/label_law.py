"""The law of the sizes (|a|, ‖b‖) at time 0, for starts that are not balanced.

The flow is 1-homogeneous: with (a, b) also (s a, s b) solves it, at any rates, decay and step. A label is therefore an angle
θ_0 and a ratio |a_0|/‖b_0‖; its scale s counts through E s² alone, as everything that is observed is quadratic in it.
"""

import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import no_reduction
from ...problem.start import AbstractBalancedStart, AbstractStart, GaussianStart, UnbalancedStart

RATIOS = 16  # quadrature points per sign for a law of ratios
_RAREST = 1e-9  # share of the neurons below which a quadrature point is left out
_REACH = 12.0  # standard deviations of a/‖(a, b)‖ that the rule covers


class LabelLaw(eqx.Module):
    """Sizes of the labels of both signs, in units in which (|a|² + ‖b‖²)/2 = 1, and the law of their angles.

    - `outer` |a_0|, `inner` ‖b_0‖, `share` [2, K]: a label stands for the mass share·outer·inner at its start.
    - `log_probability` [nodes]: log-density of the angles at the nodes of their rule, the same for both signs.
    - `coarse`: the same law with half the ratios, for the error estimate, or None where there is a single ratio.
    """

    outer: Float[Array, "2 K"]
    inner: Float[Array, "2 K"]
    share: Float[Array, "2 K"]
    log_probability: Float[Array, " nodes"]
    coarse: "LabelLaw | None"
    balanced: bool = eqx.field(static=True)

    def coarsened(self, log_probability: Float[Array, " nodes"]) -> "LabelLaw":
        """Half the ratios, and these directions."""
        fewer = self if self.coarse is None else self.coarse
        return eqx.tree_at(lambda law: law.log_probability, fewer, log_probability)


@functools.singledispatch
def label_law(start: AbstractStart, dim: int, log_probability: Float[Array, " nodes"], ratios: int = RATIOS) -> LabelLaw:
    """The sizes at time 0 of a start in R^dim, with `ratios` quadrature points per sign where |a_0|/‖b_0‖ has a law.

    For a GaussianStart a_0/‖(a_0, b_0)‖, rescaled, is one coordinate of a uniform direction of R^{d+1}: the Gauss rule
    of its half law is exact for polynomials of degree 2·ratios − 1 in it on either side of 0. (Derived.)
    """
    raise no_reduction(f"the start {type(start).__name__} declares no law of (|a|, ‖b‖)")


@label_law.register
def _(start: AbstractBalancedStart, dim, log_probability, ratios=RATIOS):
    masses = jnp.stack([start.mass_plus, start.mass_minus])[:, None]
    return LabelLaw(jnp.ones_like(masses), jnp.ones_like(masses), masses, log_probability, None, True)


@label_law.register
def _(start: UnbalancedStart, dim, log_probability, ratios=RATIOS):
    sizes, probability = (start.norm_a[None], start.norm_b[None]), jnp.ones((1,), start.norm_b.dtype)
    return _normalised(*sizes, probability, log_probability, None)


@label_law.register
def _(start: GaussianStart, dim, log_probability, ratios=RATIOS):
    coarse = label_law(start, dim, log_probability, ratios // 2) if ratios == RATIOS else None
    cosine, probability = (jnp.asarray(v, start.scale_b.dtype) for v in half_sphere_rule(dim + 1, ratios))
    outer = start.scale_a * cosine * np.sqrt(dim + 1)
    inner = start.scale_b / np.sqrt(dim) * jnp.sqrt(1 - cosine**2) * np.sqrt(dim + 1)
    return _normalised(outer, inner, probability, log_probability, coarse)


def _normalised(outer, inner, probability, log_probability, coarse) -> LabelLaw:
    """Both signs alike, each with half of the neurons; outer and inner are root mean squares over the scale."""
    square = (outer**2 + inner**2) / 2
    rows = (outer / jnp.sqrt(square), inner / jnp.sqrt(square), probability * square / 2)
    outer, inner, share = (jnp.stack([row, row]) for row in rows)
    return LabelLaw(outer, inner, share, log_probability, coarse, False)


@functools.cache
def half_sphere_rule(dim: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss rule for |t|, t one coordinate of a uniform direction of R^dim: nodes in (0, 1) and probabilities (host).

    The density is ∝ (1 − t²)^{(dim−3)/2}. The recurrence of its orthogonal polynomials comes from a fine rule by the
    procedure of Stieltjes, the nodes from its matrix (Golub & Welsch 1969). Nodes that stand for less than 1e-9 of the
    neurons are left out.
    """
    angle, weight = np.polynomial.legendre.leggauss(400)
    reach = min(np.pi / 2, _REACH / np.sqrt(dim))
    angle, weight = reach * (angle + 1) / 2, weight * np.cos(reach * (angle + 1) / 2) ** (dim - 2)
    t, weight = np.sin(angle), weight / weight.sum()
    below, value = np.zeros_like(t), np.ones_like(t)
    diagonal, off_diagonal = np.zeros(count), np.zeros(count)
    for n in range(count):
        diagonal[n] = np.sum(weight * t * value**2)
        above = (t - diagonal[n]) * value - (off_diagonal[n - 1] * below if n else 0.0)
        off_diagonal[n] = np.sqrt(np.sum(weight * above**2))
        below, value = value, above / off_diagonal[n]
    matrix = np.diag(diagonal) + np.diag(off_diagonal[:-1], 1) + np.diag(off_diagonal[:-1], -1)
    nodes, vectors = np.linalg.eigh(matrix)
    probability = vectors[0] ** 2
    kept = probability > _RAREST
    return nodes[kept], probability[kept] / probability[kept].sum()
