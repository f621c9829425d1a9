"""One block of the linearised flow by brute force: every label its own equation, harmonics from scipy, no Volterra equation.

What `mfsym.fluctuations` is compared with. Only where the labels start and what they weigh is taken from the library.
"""

from typing import NamedTuple

import numpy as np
import scipy.integrate
from scipy.special import betaln, eval_gegenbauer, eval_jacobi, gammaln


class Harmonic(NamedTuple):
    """A function √λ p(θ) of a block, and two derivatives by central differences of sixth order."""

    values: object
    size: float

    def jet(self, theta):
        step = 1e-4
        at = [self.size * self.values(theta + k * step) for k in range(-3, 4)]
        first = (45 * (at[4] - at[2]) - 9 * (at[5] - at[1]) + (at[6] - at[0])) / (60 * step)
        second = (270 * (at[4] + at[2]) - 27 * (at[5] + at[1]) + 2 * (at[6] + at[0]) - 490 * at[3]) / (180 * step**2)
        return at[3], first, second


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

        def values(t, n=(k - ell_h - ell_p) // 2):
            jacobi = eval_jacobi(n, perp / 2 - 1 + ell_p, dim_h / 2 - 1 + ell_h, np.cos(2 * t))
            return np.cos(t) ** ell_h * np.sin(t) ** ell_p * jacobi

        norm = np.sqrt(np.sum(weight * values(theta) ** 2))
        found.append(Harmonic(values, np.sqrt(dim) * funk_hecke(k, dim) / norm))
    return found


def signed_block(dim: int, ell: int, degree: int) -> list[Harmonic]:
    """Members of the block (0, ℓ) on a signed angle: degrees that are 1 or even."""
    theta, weight = angle_rule(1, dim - 1)
    theta, weight = np.concatenate([theta, np.pi - theta]), np.concatenate([weight, weight]) / 2
    found = []
    for k in range(ell, degree + 1):
        if k % 2 and k > 1:
            continue

        def values(t, n=k - ell):
            return np.sin(t) ** ell * eval_gegenbauer(n, ell + dim / 2 - 1, np.cos(t))

        norm = np.sqrt(np.sum(weight * values(theta) ** 2))
        found.append(Harmonic(values, np.sqrt(dim) * funk_hecke(k, dim) / norm))
    return found


def angle_rule(dim_h: int, perp: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre in the angle on [0, π/2] with the law of a uniform direction."""
    x, w = np.polynomial.legendre.leggauss(600)
    theta = np.pi / 4 * (1 + x)
    log_law = (dim_h - 1) * np.log(np.cos(theta)) + (perp - 1) * np.log(np.sin(theta)) - betaln(dim_h / 2, perp / 2)
    return theta, np.pi / 4 * w * 2 * np.exp(log_law)


def square_moments(theta, probability, target, invariant, block, casimirs, trivial: bool, ts) -> np.ndarray:
    """E M² [T, n] of a block with balanced signs, by one equation for X, Θ, ψ_H and ψ_⊥ of every label and every source.

    `theta`, `probability` [N] are the labels of either sign, `target` the coefficients of f* in the `invariant` functions.
    """
    count = len(theta)
    sign, share = np.repeat([1.0, -1.0], count), np.tile(probability, 2) / 2
    noise = np.diag(np.sqrt(share))
    if trivial:  # numbers of neurons of either sign are fixed
        for half in (slice(0, count), slice(count, None)):
            noise[half] -= 2 * share[half, None] * noise[half].sum(axis=0)

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
            e * g / np.cos(state[0])[:, None] ** 2,
            e * g / np.sin(state[0])[:, None] ** 2,
        )
        moved = [rate.T for rate in rates]
        return np.concatenate([sign * potential[1], 2 * sign * potential[0], *(m.ravel() for m in moved)])

    start = np.zeros((2 + 4 * 2 * count, 2 * count))
    start[0] = np.tile(theta, 2)
    run = scipy.integrate.solve_ivp(velocity, (0, ts[-1]), start.ravel(), t_eval=ts, rtol=1e-7, atol=1e-9)
    return np.array([np.sum(moments(y.reshape(-1, 2 * count))[3] ** 2, axis=1) for y in run.y.T])
