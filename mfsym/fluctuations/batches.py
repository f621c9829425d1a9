"""Fresh batches: noise that is white in time, and what of it is left at the end.

With batches of B fresh samples each step η, the noise γ of a block (`samples.py`) is white in time with covariance
(η/B) Γ(t, t), and M(T) = ∫ R(T, t) γ(t) dt with the resolvent R of the kernel H(t', t) = Σ_labels μ U(t') W(t)ᵀ:

    R(T, t) = H(T, t) − ∫_t^T R(T, t') H(t', t) dt',     lim (B/η) E‖f_η − f‖² = Σ_blocks copies · ∫_0^T tr R Γ Rᵀ dt.

Backwards from T this is the equation of `response` with the parts of U and W exchanged: R(T, t)ᵀ = W(t) Y(t), with
Y(t) = μU(T)ᵀ − ∫_t^T μU(t')ᵀ R(T, t')ᵀ dt'. All T are followed together, from the last panel to the first. (Derived.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..reduced.line.isotypic import BlockFeatures, Jet
from .panels import POINTS, integration_matrix, interpolation_matrix
from .paths import HIGHEST, Labels, Paths
from .response import eliminate, kernel_factors

_ENDS = (2, 5, POINTS - 1)  # points of a panel that are taken for T; a cubic through them and its beginning gives the others


def batch_noise(
    labels: Labels, paths: Paths, block: BlockFeatures, features: Jet, covariance: Float[Array, "P p n n"]
) -> Float[Array, "P p"]:
    """(B/η) E M² of one copy of a block, with noise of this covariance Γ(t, t)."""
    matrix, ends = jnp.asarray(integration_matrix(), covariance.dtype), np.array(_ENDS)
    panels, points, members = covariance.shape[:3]

    def panel(carry, given):
        later, found = carry
        path, phi, gamma, number = given
        outer, inner = kernel_factors(labels, path, block, phi, inside=False)
        outer = (outer * labels.share[None, None, None]).reshape(points, members, -1)
        inside = _Inside(outer, inner.reshape(points, members, -1), gamma, matrix * path.length)
        begun, energy = jax.lax.map(lambda end: inside.before(*end), (inside.matrix[ends], jnp.swapaxes(outer[ends], 1, 2)))
        later, more = inside.before(inside.matrix[-1], later)
        place, begun = number * energy.size, jnp.swapaxes(begun, 0, 1).reshape(len(later), -1)
        later = jax.lax.dynamic_update_slice_in_dim(later, begun, place, axis=1)
        found = jax.lax.dynamic_update_slice_in_dim(found + more, energy.ravel(), place, axis=0)
        return (later, found), None

    columns = panels * len(_ENDS) * members
    nothing = jnp.zeros((2 * labels.sign.shape[0], columns), covariance.dtype), jnp.zeros(columns, covariance.dtype)
    given = paths, features, covariance, jnp.arange(panels)
    (_, found), _ = jax.lax.scan(panel, nothing, given, reverse=True)
    return _at_all_points(jnp.sum(found.reshape(panels, len(_ENDS), members), axis=-1))


class _Inside(NamedTuple):
    """μU [p, n, 2L], W [p, n, 2L] and Γ [p, n, n] at the points of one panel, and integrals from its beginning to them."""

    outer: Float[Array, "p n k"]
    inner: Float[Array, "p n k"]
    gamma: Float[Array, "p n n"]
    matrix: Float[Array, "p p"]

    def before(self, end: Float[Array, " p"], begin: Float[Array, "k c"]) -> tuple[Array, Array]:
        """Y [2L, columns] at the beginning of the panel, and ∫ rᵀ Γ r [columns] of the columns r of Rᵀ from there to the
        point where the rule of integration is row `end` of `matrix`, and Y is known."""
        points, members = self.inner.shape[:2]
        flat, rows = (each.reshape(points * members, -1) for each in (self.inner, self.outer))
        steps = jnp.repeat(jnp.repeat(end[None] - self.matrix, members, 0), members, 1)
        kernel = _product(flat, rows.T) * steps
        answer = eliminate(jnp.eye(len(kernel), dtype=kernel.dtype) + kernel, _product(flat, begin))
        at = answer.reshape(points, members, -1)
        energy = jnp.einsum("j,jns,jnm,jms->s", end, at, self.gamma, at, precision=HIGHEST)
        return begin - _product((rows * jnp.repeat(end, members)[:, None]).T, answer), energy


def _at_all_points(found: Float[Array, "P e"]) -> Float[Array, "P p"]:
    """Cubics through the beginning of each panel and the points that were followed; nothing at time 0."""
    before = jnp.concatenate([jnp.zeros_like(found[:1, -1]), found[:-1, -1]])
    values = jnp.concatenate([before[:, None], found], axis=1)
    matrix = jnp.asarray(interpolation_matrix((0, *_ENDS)), found.dtype)
    return jnp.matmul(values, matrix.T, precision=HIGHEST)


def _product(left: Float[Array, "i k"], right: Float[Array, "k j"]) -> Float[Array, "i j"]:
    return jnp.matmul(left, right, precision=HIGHEST)
