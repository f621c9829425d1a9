"""One block of the linearised flow by brute force: every label its own equation, harmonics from scipy, no Volterra equation.

What `mfsym.fluctuations` is compared with. Only where the labels start and what they weigh is taken from the library.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.integrate
from scipy.special import betaln, eval_gegenbauer, eval_jacobi, gammaln


class Harmonic(NamedTuple):
    """A function size·cosᵃθ sinᵇθ P(x) of a block: x = cos(turns·θ), `polynomials` P, P' and P''."""

    powers: tuple[int, int]
    polynomials: tuple[Callable, Callable, Callable]
    turns: int
    size: float = 1.0

    def jet(self, theta):
        """Values, slopes and second derivatives."""
        (a, b), k = self.powers, self.turns
        x, down, bend = np.cos(k * theta), -k * np.sin(k * theta), -(k**2) * np.cos(k * theta)
        p, q, r = (polynomial(x) for polynomial in self.polynomials)
        inner = p, q * down, r * down**2 + q * bend
        cosine, sine = np.cos(theta), np.sin(theta)
        outer = cosine**a * sine**b
        slope, curve = np.zeros_like(outer), np.zeros_like(outer)
        if a or b:
            log_slope = -a * sine / cosine + b * cosine / sine
            slope, curve = outer * log_slope, outer * (log_slope**2 - a / cosine**2 - b / sine**2)
        product = outer * inner[0], slope * inner[0] + outer * inner[1]
        return *(self.size * each for each in product), self.size * (
            curve * inner[0] + 2 * slope * inner[1] + outer * inner[2]
        )


def jacobi(n: int, a: float, b: float) -> tuple[Callable, Callable, Callable]:
    """P_n^{(a, b)} and two derivatives."""
    factors = 1.0, (n + a + b + 1) / 2, (n + a + b + 1) * (n + a + b + 2) / 4
    return tuple(
        (lambda x, i=i, f=f: f * eval_jacobi(n - i, a + i, b + i, x) if n >= i else 0 * x) for i, f in enumerate(factors)
    )


def gegenbauer(n: int, order: float) -> tuple[Callable, Callable, Callable]:
    """C_n^{(order)} and two derivatives."""
    factors = 1.0, 2 * order, 4 * order * (order + 1)
    return tuple(
        (lambda x, i=i, f=f: f * eval_gegenbauer(n - i, order + i, x) if n >= i else 0 * x) for i, f in enumerate(factors)
    )


def funk_hecke(degree: int, dim: int) -> float:
    """|a_k| of ReLU on the unit sphere."""
    if degree == 1:
        return 1 / (2 * dim)
    n = degree // 2
    if n == 0:
        return np.exp(gammaln(dim / 2) - gammaln((dim + 1) / 2)) / (2 * np.sqrt(np.pi))
    logs = gammaln(dim / 2) + gammaln(2 * n - 1) - n * np.log(4) - gammaln(n) - gammaln(n + (dim + 1) / 2)
    return np.exp(logs) / np.sqrt(np.pi)


def radial_block(dim: int, dim_h: int, ell_h: int, ell_p: int, degree: int) -> list[Harmonic]:
    """Members of the block (ℓ_H, ℓ_⊥) for N(0, I), degrees up to `degree`, orthonormal by a fine rule for the angle."""
    perp, found = dim - dim_h, []
    theta, weight = angle_rule(dim_h, perp)
    for k in range(ell_h + ell_p, degree + 1, 2):
        if k % 2 and k > 1:
            break
        polynomials = jacobi((k - ell_h - ell_p) // 2, perp / 2 - 1 + ell_p, dim_h / 2 - 1 + ell_h)
        found.append(normalised(Harmonic((ell_h, ell_p), polynomials, 2), k, dim, theta, weight))
    return found


def signed_block(dim: int, ell: int, degree: int) -> list[Harmonic]:
    """Members of the block (0, ℓ) on a signed angle: degrees that are 1 or even."""
    theta, weight = angle_rule(1, dim - 1)
    theta, weight = np.concatenate([theta, np.pi - theta]), np.concatenate([weight, weight]) / 2
    found = []
    for k in range(ell, degree + 1):
        if k % 2 and k > 1:
            continue
        found.append(normalised(Harmonic((0, ell), gegenbauer(k - ell, ell + dim / 2 - 1), 1), k, dim, theta, weight))
    return found


def normalised(function: Harmonic, degree: int, dim: int, theta, weight) -> Harmonic:
    """√λ_k times the function, orthonormal for a rule."""
    norm = np.sqrt(np.sum(weight * function.jet(theta)[0] ** 2))
    return function._replace(size=np.sqrt(dim) * funk_hecke(degree, dim) / norm)


def angle_rule(dim_h: int, perp: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre in the angle on [0, π/2] with the law of a uniform direction."""
    x, w = np.polynomial.legendre.leggauss(600)
    theta = np.pi / 4 * (1 + x)
    log_law = (dim_h - 1) * np.log(np.cos(theta)) + (perp - 1) * np.log(np.sin(theta)) - betaln(dim_h / 2, perp / 2)
    return theta, np.pi / 4 * w * 2 * np.exp(log_law)


def square_moments(theta, probability, target, invariant, block, casimirs, noise, ts) -> np.ndarray:
    """Σ M² over sources [T, n] of a block, by one equation for X, Θ, ψ_H and ψ_⊥ of every label and every source.

    `theta`, `probability` [N] are the labels of either sign, `target` the coefficients of f* in the `invariant` functions,
    `noise` [2N, S] what the sources put on the labels.
    """
    count = len(theta)
    sign, share = np.repeat([1.0, -1.0], count), np.tile(probability, 2) / 2

    def moments(state):
        angle, log_mass = state[0], state[1]
        charge = sign * np.exp(log_mass)
        jets = [member.jet(angle) for member in block]
        gain, turn, within, across = state[2:].reshape(4, -1, 2 * count).transpose(0, 2, 1)
        spread = gain + casimirs[0] * within + casimirs[1] * across
        answer = [(charge * p) @ noise + (charge * share * p) @ spread + (charge * share * q) @ turn for p, q, _ in jets]
        return charge, jets, turn, np.array(answer)

    def velocity(t, flat):
        state = flat.reshape(-1, 2 * count)
        charge, jets, turn, answer = moments(state)
        fields = [member.jet(state[0]) for member in invariant]
        residual = [eta - (charge * share) @ f[0] for eta, f in zip(target, fields, strict=True)]
        potential = [sum(r * f[i] for r, f in zip(residual, fields, strict=True)) for i in range(3)]
        g, slope = (-sum(np.outer(jet[i], a) for jet, a in zip(jets, answer, strict=True)) for i in (0, 1))
        e = sign[:, None]
        rates = (
            2 * e * (g + potential[1][:, None] * turn),
            e * (slope + potential[2][:, None] * turn),
            e * g / np.cos(state[0])[:, None] ** 2 if casimirs[0] else 0 * g,  # a label at π/2 has no directions in H
            e * g / np.sin(state[0])[:, None] ** 2 if casimirs[1] else 0 * g,
        )
        moved = [rate.T for rate in rates]
        return np.concatenate([sign * potential[1], 2 * sign * potential[0], *(m.ravel() for m in moved)])

    start = np.zeros((2 + 4 * noise.shape[1], 2 * count))
    start[0] = np.tile(theta, 2)
    run = scipy.integrate.solve_ivp(velocity, (0, ts[-1]), start.ravel(), t_eval=ts, rtol=1e-6, atol=1e-8)
    return np.array([np.sum(moments(y.reshape(-1, 2 * count))[3] ** 2, axis=1) for y in run.y.T])
