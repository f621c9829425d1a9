"""What is proved about the flow of an odd target: exponential convergence with explicit constants."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ...safe import safe_norm
from .moments import OddReduction, State


class Certificate(eqx.Module):
    """Q(w(t)) − Q* ≤ e^{−rate·t} (Q(w(0)) − Q*), as H(t) ⪰ curvature·I at all times; checked along a run.

    - `bound` [T], `gap` [T]: both sides of the inequality; `smallest_eigenvalue` [T]: that of H(t).
    - `curvature` = κ² (E a0² + λ_min(E b0 b0ᵀ) − 2‖E[a0 b0]‖), or 0 where this is negative: κ² V from an isotropic start.
    - `smallest_variance`: smallest eigenvalue of Σ, or the smallest that is not 0 where Σ is singular.
    - `rate` = 2·curvature·smallest_variance.

    Why: c(t) = Λ c(0) with Λ a Lorentz boost, and for u a unit vector uᵀHu = κ² tr(M0 Λᵀ(e0 e0ᵀ + u uᵀ)Λ), where
    p = Λᵀe0, q = Λᵀu have p0 ≥ 1, pᵀJp = 1, qᵀJq = −1. M0 dominates diag(v, β I) with β = λ_min(E b0 b0ᵀ) − ‖E[a0 b0]‖
    and v = E a0² − ‖E[a0 b0]‖, so that uᵀHu ≥ κ²(v + β)(p0² + q0²) if v + β ≥ 0. For E[a0 b0] ≠ 0 the constant without
    the last term is wrong. (Hajjar & Chizat 2022 for exponential convergence; the constants are derived.)
    """

    bound: Float[Array, " T"]
    gap: Float[Array, " T"]
    smallest_eigenvalue: Float[Array, " T"]
    curvature: Float[Array, ""]
    smallest_variance: Float[Array, ""]
    rate: Float[Array, ""]

    @property
    def holds(self) -> Bool[Array, ""]:
        """Whether both inequalities held at every recorded time that was reached, to the accuracy of time stepping."""
        slack = jnp.sqrt(jnp.finfo(self.gap.dtype).eps)
        below = self.gap <= (1 + slack) * self.bound + slack**2 * self.gap[..., :1]
        convex = self.smallest_eigenvalue >= (1 - slack) * self.curvature[..., None]
        return jnp.all((below & convex) | jnp.isnan(self.gap))


def certify(reduction: OddReduction, initial: State, ts: Float[Array, " T"], observables: dict[str, Array]) -> Certificate:
    """The certificate of a run from `initial` with its record."""
    curvature, variance = curvature_bound(reduction, initial), smallest_variance(reduction)
    rate = 2 * curvature * variance
    gap = observables["gap"]
    return Certificate(
        bound=jnp.exp(-rate * ts) * gap[0],
        gap=gap,
        smallest_eigenvalue=observables["smallest_eigenvalue"],
        curvature=curvature,
        smallest_variance=variance,
        rate=rate,
    )


def curvature_bound(reduction: OddReduction, initial: State) -> Float[Array, ""]:
    """A number that H(t) stays above from a start: see `Certificate.curvature`.

    A point p of the hyperboloid lies on a run that began at (1, 0), where the constant is κ² V.
    """
    if initial.ndim == 1:
        return reduction.odd_slope**2 * reduction.size
    bound = initial[0, 0] + jnp.linalg.eigvalsh(initial[1:, 1:])[0] - 2 * safe_norm(initial[0, 1:])
    return reduction.odd_slope**2 * jnp.maximum(bound, jnp.zeros((), bound.dtype))


def smallest_variance(reduction: OddReduction) -> Float[Array, ""]:
    """The smallest eigenvalue of Σ on its range: y never leaves it."""
    if reduction.isotropic:
        return reduction.covariance
    values = jnp.linalg.eigvalsh(reduction.covariance)
    zero = 10 * reduction.dim * jnp.finfo(values.dtype).eps * values[-1]
    return jnp.min(jnp.where(values > zero, values, jnp.inf))
