"""The hidden subspace H: f* depends on x_H only.

The rows of a matrix of gradients ∇f*(x_i) span H, so that its singular values fall from the last direction of H to
rounding. Where f* is noisy, gradients are slopes of f* over a wide neighbourhood, fitted to random differences; the fit
knows its own residual, and with it the singular values that noise alone would give. (Gradient outer products: Samarov
1993; Constantine 2015. The threshold for noise is derived from the norm of a Gaussian matrix.)
"""

from typing import NamedTuple

import numpy as np

from ..problem.inputs import Sphere
from .evaluation import Evidence, Sampled

_BASES = 128  # base points of the wide slopes
_PAIRS = 6  # antithetic pairs for each of them and each dimension
_FEWEST_PAIRS = 256
_WIDTHS = (0.6, 0.3, 0.15, 0.07)  # of the neighbourhood, in standard deviations of a coordinate
_TRIALS = 12  # base points on which the best width is found
_MARGIN = 1.4  # above the norm √n + √d that a Gaussian matrix has; calibrated on seeds of its own


class Subspace(NamedTuple):
    """An orthonormal basis [k, d] of the proposed H, the singular values [d] behind it and their threshold.

    `evidence` tests on the law itself that f* does not change with x_⊥. `allowance` is the defect that the error of an
    estimated basis may cause in this and in every other test that uses the basis.
    """

    basis: np.ndarray
    singular_values: np.ndarray
    threshold: float
    evidence: Evidence
    allowance: float

    @property
    def gap(self) -> float:
        """Smallest singular value inside over the largest outside; infinite where nothing is outside."""
        count = len(self.basis)
        outside = self.singular_values[count:]
        return float(self.singular_values[count - 1] / outside[0]) if len(outside) and outside[0] > 0 else float("inf")


def find_subspace(sampled: Sampled) -> Subspace:
    """The smallest H that the gradients show: of automatic differentiation first, of wide differences if it fails.

    A function with jumps has gradients that miss them; the test of the evidence finds that out.
    """
    if not sampled.noisy:
        rows = sampled.slopes(sampled.points, np.eye(sampled.dim))
        proposal = _from_rows(sampled, rows, relative=np.sqrt(sampled.eps))
        if proposal.evidence.holds and len(proposal.basis):
            return proposal
    rows, noise = _wide_slopes(sampled)
    return _from_rows(sampled, rows, noise=noise)


def _from_rows(sampled: Sampled, rows: np.ndarray, relative: float = 0.0, noise: float = 0.0) -> Subspace:
    """The span of the rows, whose entries have errors of standard deviation `noise`.

    Such errors turn direction i of H by about √(d−k) noise / (√n s_i), s_i its mean square slope: each costs the same
    change of f*, (d−k) noise²/n times the variance of a coordinate, twice in a difference; the allowance is twice that.
    """
    count = len(rows)
    _, singular, directions = np.linalg.svd(np.linalg.qr(rows, mode="r"))
    directions = directions[: len(singular)]
    largest_of_noise = _MARGIN * noise * (np.sqrt(count) + np.sqrt(sampled.dim))
    threshold = max(relative * float(singular[0]), largest_of_noise)
    basis = tidy_basis(directions[singular > threshold], np.sqrt(sampled.eps))
    missing = len(basis) * (sampled.dim - len(basis)) * (noise * sampled.scale) ** 2 / count
    allowance = float(4 * missing / (2 * sampled.variance))
    evidence = _evidence(sampled, basis, allowance)
    return Subspace(basis, singular / np.sqrt(count), float(threshold / np.sqrt(count)), evidence, allowance)


def tidy_basis(basis: np.ndarray, tolerance: float) -> np.ndarray:
    """The axes themselves where they span the same space; otherwise rows whose largest entry is positive."""
    if not len(basis):
        return basis
    inside = np.sum(basis**2, axis=0)
    if np.all((inside < tolerance) | (inside > 1 - tolerance)):
        return np.eye(basis.shape[1])[inside > 0.5]
    largest = np.argmax(np.abs(basis), axis=1)
    return np.sign(basis[np.arange(len(basis)), largest])[:, None] * basis


def _evidence(sampled: Sampled, basis: np.ndarray, allowance: float) -> Evidence:
    """f*(x) against f* at a point with the same x_H and a new x_⊥ from its law given x_H."""
    x, other = sampled.points, sampled.fresh(1)
    along = x @ basis.T @ basis
    across = other - other @ basis.T @ basis
    if isinstance(sampled.inputs, Sphere) and len(basis) < sampled.dim:
        radius = np.linalg.norm(x - along, axis=1, keepdims=True)
        across = across * radius / np.linalg.norm(across, axis=1, keepdims=True)
    if len(basis) == sampled.dim:
        return Evidence("f* depends on every direction", 0.0, 0.0, sampled.eps)
    claim = f"f* depends on {len(basis)} of {sampled.dim} directions"
    return sampled.compare(claim, along + across, allowance=allowance)


def _wide_slopes(sampled: Sampled) -> tuple[np.ndarray, float]:
    """Slopes [n, d] of f* over neighbourhoods of many points, and the standard deviation of one entry's error.

    A wide neighbourhood averages the noise, a small one has little curvature: the width with the smallest error is used.
    """
    trials = [_slopes_of_width(sampled, width, sampled.points[:_TRIALS])[1] for width in _WIDTHS]
    return _slopes_of_width(sampled, _WIDTHS[int(np.argmin(trials))], sampled.points[:_BASES])


def _slopes_of_width(sampled: Sampled, width: float, bases: np.ndarray) -> tuple[np.ndarray, float]:
    """Every point has random moves of its own: with shared ones the curvature of f* would leak into one direction."""
    dim, generator = sampled.dim, np.random.default_rng(7)
    pairs = max(_FEWEST_PAIRS, _PAIRS * dim)
    slopes, variances = [], []
    for base in bases:
        moves = width * sampled.scale * generator.standard_normal((pairs, dim))
        values = sampled.at(np.concatenate([base + moves, base - moves]))
        difference = (values[:pairs] - values[pairs:]) / 2
        inverse = np.linalg.inv(moves.T @ moves)
        slope = inverse @ (moves.T @ difference)
        slopes.append(slope)
        variances.append(np.sum((difference - moves @ slope) ** 2) / (pairs - dim) * np.trace(inverse) / dim)
    return np.stack(slopes), float(np.sqrt(np.mean(variances)))
