"""The radial target f* = ‖x_H‖ against one ReLU: its hypergeometric function, tabulated once on the host."""

import functools

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from ...safe import safe_ratio
from .chebyshev import chebyshev_points, coefficient_matrix, evaluate

_TERMS = 96
_LARGE = 8.0  # from here on the power series converges fast up to x = 1, and scipy is not needed


def norm_profile(dim_h: int, theta: Float[Array, " m"]) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """q(x) and q'(x) at x = cos²θ, [m] each, where E[‖x_H‖ max(u·x, 0)] = q(‖u_H‖²) for x ~ N(0, I_d), ‖u‖ = 1:

    q = (α/2π) ₂F₁(−½, −½; d_H/2; x),   q' = (α/2π)(1/2d_H) ₂F₁(½, ½; d_H/2 + 1; x),   α = 2√π Γ((d_H+1)/2)/Γ(d_H/2).
    A Chebyshev series in √(2θ/π): at θ = 0 the functions behave as θ^{d_H} log θ for even d_H, and the root makes
    the series converge fast there too; the error is below 1e-13. (Derived.)
    """
    graded = safe_ratio(jnp.sqrt(jnp.where(theta > 0, theta, 1) * (2 / np.pi)), (theta > 0).astype(theta.dtype), 0.0)
    values = evaluate(jnp.asarray(_table(dim_h), theta.dtype), 2 * graded - 1)
    return values[0], values[1]


@functools.cache
def _table(dim_h: int) -> np.ndarray:
    theta = np.pi / 2 * ((chebyshev_points(_TERMS) + 1) / 2) ** 2
    log_ratio = scipy.special.gammaln((dim_h + 1) / 2) - scipy.special.gammaln(dim_h / 2)
    factor = np.exp(log_ratio) / np.sqrt(np.pi)  # α/2π
    values, slopes = _hypergeometric(dim_h, theta)
    return factor * np.stack([coefficient_matrix(_TERMS) @ values, coefficient_matrix(_TERMS) @ slopes / (2 * dim_h)])


def _hypergeometric(dim_h: int, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """₂F₁(−½, −½; c; x) and ₂F₁(½, ½; c + 1; x) for c = d_H/2 and x = cos²θ, in float64."""
    c, x = dim_h / 2, np.cos(theta) ** 2
    if dim_h == 1:  # elementary; as functions of x they have a square root at 1 that would cost half the digits
        rest = np.pi / 2 - theta
        return np.sin(theta) + rest * np.cos(theta), rest / np.cos(theta)
    if c < _LARGE:
        return scipy.special.hyp2f1(-0.5, -0.5, c, x), scipy.special.hyp2f1(0.5, 0.5, c + 1, x)
    n = np.arange(400)[:, None]
    first = np.cumprod((n - 0.5) ** 2 / ((c + n) * (n + 1)) * x, axis=0).sum(0)
    second = np.cumprod((n + 0.5) ** 2 / ((c + 1 + n) * (n + 1)) * x, axis=0).sum(0)
    return 1 + first, 1 + second
