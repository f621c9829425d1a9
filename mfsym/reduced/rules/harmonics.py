"""Invariant spherical harmonics of one angle, with the Funk–Hecke coefficients of ReLU.

For inputs x = R ω with ω uniform on the sphere of R^d, the function ω ↦ ReLU(u·ω) acts on spherical harmonics of degree k
as a number a_k (Funk–Hecke): a_0 = Γ(d/2)/(2√π Γ((d+1)/2)), a_1 = 1/(2d), a_k = 0 for odd k ≥ 3, and
|a_2n| = Γ(d/2) (2n−2)! / (√π 4^n (n−1)! Γ(n+(d+1)/2)). The harmonics that depend on the angle to a subspace H alone are
Jacobi polynomials p_n(θ) ∝ P_n^{(d_⊥/2−1, d_H/2−1)}(cos 2θ), of degree 2n. The library works with the features

    ψ_n(θ) = √(E R²) |a_2n| p_n(θ),      K(θ, θ') = Σ_n ψ_n(θ) ψ_n(θ'),

which are bounded by √K(θ, θ) however large d is, while p_n(0) alone overflows. (Derived; coefficients checked against
quadrature in the tests.)
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import gammaln


class EvenFeatures(eqx.Module):
    """ψ_0 … ψ_{M−1} by their three-term recurrence ψ_{n+1} = (slope_n x + shift_n) ψ_n − back_n ψ_{n−1}, x = cos 2θ.

    Everything is an array leaf, so that features of different (d, d_H) with equal M stack.
    """

    first: Float[Array, ""]
    slope: Float[Array, " M"]
    shift: Float[Array, " M"]
    back: Float[Array, " M"]

    def __len__(self) -> int:
        return self.slope.shape[-1]

    def truncate(self, count: int) -> "EvenFeatures":
        """The first `count` of them."""
        return EvenFeatures(self.first, self.slope[:count], self.shift[:count], self.back[:count])

    @eqx.filter_jit  # a scan that is called from outside of jit would be compiled anew every time
    def __call__(self, theta: Float[Array, "..."]) -> tuple[Float[Array, "M ..."], Float[Array, "M ..."]]:
        """ψ_n(θ) and its exact derivative ∂_θ ψ_n(θ), each [M, ...]."""
        x = jnp.cos(2 * theta)
        first = self.first * jnp.ones_like(x), jnp.zeros_like(x)
        values, slopes = three_terms((self.slope, self.shift, self.back), x, first)
        return values, slopes * (-2 * jnp.sin(2 * theta))[None]


def even_features(dim: int, dim_h: int, count: int, second_moment: Float[Array, ""]) -> EvenFeatures:
    """Features ψ_0 … ψ_{count−1} of the angle to a subspace of dimension d_H in R^d, for inputs with E R² = second_moment.

    Valid for 1 ≤ d_H < d, from d = 2 to d = 10 000 and beyond.
    """
    n = np.arange(count)
    ratio = np.abs(2 * n - 1) / (2 * n + dim + 1)  # |a_{2n+2}| / |a_{2n}|
    rows = scaled_recurrence((dim - dim_h) / 2 - 1, dim_h / 2 - 1, ratio)
    first = funk_hecke(0, dim) * jnp.sqrt(second_moment)
    return EvenFeatures(first, *(jnp.asarray(row, dtype=first.dtype) for row in rows))


def three_terms(
    rows: tuple[Array, ...],
    x: Float[Array, "*p"],
    first: tuple[Array, Array],
    x_slope: Float[Array, "*p"] | float = 1.0,
) -> tuple[Float[Array, "N ..."], Float[Array, "N ..."]]:
    """F_{n+1} = (slope_n x + shift_n) F_n − back_n F_{n−1} and F_n' for n < N, from F_0 and F_0'; x' is `x_slope`."""

    def step(carry, coefficients):
        value, below, slope_value, slope_below = carry
        slope, shift, back = coefficients
        above = (slope * x + shift) * value - back * below
        slope_above = (slope * x + shift) * slope_value + slope * x_slope * value - back * slope_below
        return (above, value, slope_above, slope_value), (value, slope_value)

    zero = jnp.zeros_like(first[0])
    return jax.lax.scan(step, (first[0], zero, first[1], zero), rows)[1]


def scaled_recurrence(alpha: float, beta: float, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """slope, shift and back [N] of s_n p_n, p_n orthonormal Jacobi polynomials and ratio s_{n+1}/s_n [N] (host, float64)."""
    diagonal, off_diagonal = jacobi_recurrence(len(ratio) + 1, alpha, beta)
    slope = ratio / off_diagonal[1:]
    back = off_diagonal[:-1] * np.concatenate([[0.0], ratio[:-1]]) * slope
    return slope, -diagonal[:-1] * slope, back


def jacobi_recurrence(count: int, alpha: float, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients A_n, B_n of x p_n = B_{n+1} p_{n+1} + A_n p_n + B_n p_{n−1} of orthonormal Jacobi polynomials.

    (Gautschi, Orthogonal Polynomials, table 1.1; the first two are written out since they are 0/0 at α+β = 0 and −1.)
    """
    n = np.arange(count, dtype=float)
    total = 2 * n + alpha + beta
    with np.errstate(divide="ignore", invalid="ignore"):
        diagonal = (beta**2 - alpha**2) / (total * (total + 2))
        square = 4 * n * (n + alpha) * (n + beta) * (n + alpha + beta) / (total**2 * (total + 1) * (total - 1))
    diagonal[0] = (beta - alpha) / (alpha + beta + 2)
    square[0] = 0.0
    if count > 1:
        square[1] = 4 * (1 + alpha) * (1 + beta) / ((2 + alpha + beta) ** 2 * (3 + alpha + beta))
    return diagonal, np.sqrt(square)


def funk_hecke(degree: int, dim: int) -> float:
    """Funk–Hecke coefficient a_k of ReLU on the unit sphere of R^d: the multiplier on harmonics of degree k."""
    if degree == 1:
        return 1 / (2 * dim)
    if degree % 2:
        return 0.0
    n = degree // 2
    common = gammaln(dim / 2) - gammaln(n + (dim + 1) / 2) - 0.5 * math.log(math.pi)
    if n == 0:
        return float(0.5 * np.exp(common))
    log_size = common + gammaln(2 * n - 1) - gammaln(n) - n * math.log(4)
    return float((-1) ** (n - 1) * np.exp(log_size))


def norm_constant(dim_h: int) -> float:
    """α(n) = 2√π Γ((n+1)/2)/Γ(n/2): ‖x_H‖ = α ∫ ReLU(u·x) over unit u uniform in H (Hajjar & Chizat 2022)."""
    return float(2 * math.sqrt(math.pi) * np.exp(gammaln((dim_h + 1) / 2) - gammaln(dim_h / 2)))


def kernel_at_pole(dim: int, dim_h: int) -> float:
    """K(0, 0)/E R² = d_H/(d α(d_H)²): the closed form against which truncated series are measured."""
    return dim_h / (dim * norm_constant(dim_h) ** 2)


def truncated_share(dim: int, dim_h: int, count: int) -> np.ndarray:
    """Share of K(0, 0) that the first n features leave out, for n = 1 … count (host, float64)."""
    diagonal, off_diagonal = jacobi_recurrence(count + 1, (dim - dim_h) / 2 - 1, dim_h / 2 - 1)
    below, value, sum_squares, shares = 0.0, funk_hecke(0, dim), 0.0, []
    ratio = previous_ratio = 0.0
    for n in range(count):
        sum_squares += value**2
        shares.append(1 - sum_squares / kernel_at_pole(dim, dim_h))
        previous_ratio, ratio = ratio, abs(2 * n - 1) / (2 * n + dim + 1)
        above = ((1 - diagonal[n]) * value - off_diagonal[n] * previous_ratio * below) * ratio / off_diagonal[n + 1]
        below, value = value, above
    return np.array(shares)
