"""Gauss rules for the laws of one coordinate and of one norm, of Gaussians and of uniform directions (host, float64).

Every law here has a density on an interval that is known up to a factor. Its orthogonal polynomials come from a fine
composite rule by the procedure of Stieltjes, the nodes and probabilities from their recurrence (Golub & Welsch 1969), so
that a rule may also be split where a function is not smooth, one Gauss rule on either side.
"""

import functools
import itertools
from collections.abc import Callable

import numpy as np

_FINE = np.polynomial.legendre.leggauss(24)
_PANELS = 48
_RAREST = 1e-17  # a piece that stands for less is left out

Rule = tuple[np.ndarray, np.ndarray]  # nodes and probabilities, which sum to 1
Function = Callable[[np.ndarray], np.ndarray]


def _reach(count: int) -> float:
    """Standard deviations of a Gaussian that count for polynomials of degree 2·count: past all zeros of He_count."""
    return 8.0 + np.sqrt(4 * count + 2)


@functools.cache
def coordinate_rule(count: int, breaks: tuple[float, ...] = ()) -> Rule:
    """x ~ N(0, 1), with `count` nodes on every piece between the breaks."""
    return _pieces(lambda x: -(x**2) / 2, -_reach(count), _reach(count), breaks, count)


@functools.cache
def norm_rule(dim: int | float, count: int, breaks: tuple[float, ...] = ()) -> Rule:
    """‖x‖ of x ~ N(0, I_dim): density ∝ s^{dim−1} e^{−s²/2}; for dim = ∞ ‖x‖/√dim, which is 1."""
    if dim == np.inf:
        return np.ones(1), np.ones(1)
    mean = np.sqrt(dim - 0.5) if dim > 1 else 0.0

    def log_density(s):
        with np.errstate(divide="ignore"):
            return (dim - 1) * np.log(s) - s**2 / 2

    return _pieces(log_density, max(0.0, mean - _reach(count)), mean + _reach(count), breaks, count)


@functools.cache
def direction_rule(dim: int | float, count: int, breaks: tuple[float, ...] = ()) -> Rule:
    """ω, the first coordinate of a uniform unit vector of R^dim: density ∝ (1 − ω²)^{(dim−3)/2}; ±1 for dim = 1, and for
    dim = ∞ ω√dim, which is Gaussian."""
    if dim == np.inf:
        return coordinate_rule(count)
    if dim == 1:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    # ω = sin φ has the density cos^{dim−2} φ, which is smooth; the polynomials are those in ω.
    reach = min(np.pi / 2, 1.5 * _reach(count) / np.sqrt(dim))
    inside = tuple(float(np.arcsin(b)) for b in breaks if abs(b) < 1)
    return _pieces(_cosine_power(dim - 2), -reach, reach, inside, count, np.sin)


@functools.cache
def share_rule(dim: int, rest: int, count: int, breaks: tuple[float, ...] = ()) -> Rule:
    """‖u_1‖ of a uniform unit vector (u_1, u_2) of R^dim × R^rest: sin φ with density ∝ sin^{dim−1} φ cos^{rest−1} φ."""
    if rest == 0:
        return np.ones(1), np.ones(1)

    def log_density(angle):
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = (dim - 1) * np.log(np.sin(angle)) if dim > 1 else np.zeros_like(angle)
            return parts + (rest - 1) * np.log(np.cos(angle)) if rest > 1 else parts

    centre, width = np.arctan(np.sqrt(dim / rest)), 1.5 * _reach(count) / np.sqrt(dim + rest)
    inside = tuple(float(np.arcsin(b)) for b in breaks if 0 < b < 1)
    return _pieces(log_density, max(0.0, centre - width), min(np.pi / 2, centre + width), inside, count, np.sin)


def _cosine_power(power: int | float) -> Function:
    def log_density(angle):
        return power * np.log(np.cos(angle)) if power else np.zeros_like(angle)

    return log_density


def _pieces(
    log_density: Function,
    left: float,
    right: float,
    breaks: tuple[float, ...],
    count: int,
    variable: Function = lambda x: x,
) -> Rule:
    """A Gauss rule in `variable` of x on every piece of [left, right]; the probabilities of all sum to 1."""
    edges = [left, *sorted(b for b in breaks if left < b < right), right]
    fine = [_composite(a, b) for a, b in itertools.pairwise(edges)]
    with np.errstate(divide="ignore"):
        logs = [log_density(x) + np.log(w) for x, w in fine]
    top = max(np.max(log) for log in logs)
    weights = [np.exp(log - top) for log in logs]
    total = sum(w.sum() for w in weights)
    rules = [
        _gauss(variable(x), w / total, count) for (x, _), w in zip(fine, weights, strict=True) if w.sum() > _RAREST * total
    ]
    nodes, probabilities = (np.concatenate(parts) for parts in zip(*rules, strict=True))
    return nodes, probabilities / probabilities.sum()


def _composite(left: float, right: float) -> Rule:
    """Gauss–Legendre on equal panels."""
    edges = np.linspace(left, right, _PANELS + 1)
    half, middle = (edges[1:] - edges[:-1])[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    return (middle + half * _FINE[0]).ravel(), (half * _FINE[1]).ravel()


def _gauss(x: np.ndarray, weight: np.ndarray, count: int) -> Rule:
    """The Gauss rule of a discrete measure, in coordinates in which its spread is 1."""
    mass = weight.sum()
    centre = np.sum(weight * x) / mass
    spread = np.sqrt(np.sum(weight * (x - centre) ** 2) / mass)
    t, weight = (x - centre) / spread, weight / mass
    basis = np.ones((1, len(t)))
    diagonal, off_diagonal = np.zeros(count), np.zeros(count)
    for n in range(count):
        diagonal[n] = np.sum(weight * t * basis[n] ** 2)
        above = t * basis[n]
        for _ in range(2):  # twice is enough to stay orthogonal to all that came before
            above = above - basis.T @ (basis @ (weight * above))
        off_diagonal[n] = np.sqrt(np.sum(weight * above**2))
        basis = np.concatenate([basis, above[None] / off_diagonal[n]])
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off_diagonal[:-1], 1) + np.diag(off_diagonal[:-1], -1))
    return centre + spread * nodes, mass * vectors[0] ** 2
