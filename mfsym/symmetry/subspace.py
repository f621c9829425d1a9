"""The hidden subspace H: f* depends on x_H only.

The rows of a matrix of gradients ∇f*(x_i) span H, so that its singular values fall from the last direction of H to
rounding; jumps add the normals of their surfaces. Where f* is noisy, gradients are slopes of f* over a wide neighbourhood,
fitted to random differences; the fit knows its own residual, and with it the singular values that noise alone would give.
(Gradient outer products: Samarov 1993; Constantine 2015. The threshold for noise is derived from the norm of a Gaussian
matrix.)
"""

from typing import NamedTuple

import numpy as np

from .evaluation import Evidence, Sampled
from .jumps import Derivative, find_changes

_ROUNDS = 8  # of a test on values and the directions that it misses
_MISPLACED = 4  # times eps^(2/3)
_BASES = 128  # base points of the wide slopes
_PAIRS = 6  # antithetic pairs for each of them and each dimension
_FEWEST_PAIRS = 256
_WIDTHS = (0.6, 0.3, 0.15, 0.07)  # of the neighbourhood, in standard deviations of a coordinate
_TRIALS = 12  # base points on which the best width is found
_MARGIN = 1.4  # above the norm √n + √d that a Gaussian matrix has; calibrated on seeds of its own


class Subspace(NamedTuple):
    """An orthonormal basis [k, d] of the proposed H, the singular values [d] behind it and their threshold.

    `evidence` tests on the law itself that f* does not change with x_⊥. `allowance` is the defect that the error of an
    estimated basis may cause in this and in every other test that uses the basis. `derivative` holds the gradients and
    normals that span H, none where f* is noisy.
    """

    basis: np.ndarray
    singular_values: np.ndarray
    threshold: float
    evidence: Evidence
    allowance: float
    derivative: Derivative

    @property
    def gap(self) -> float:
        """Smallest singular value inside over the largest outside; infinite where nothing is outside."""
        count = len(self.basis)
        outside = self.singular_values[count:]
        inside = self.singular_values[count - 1] if count else 0.0
        return float(inside / outside[0]) if len(outside) and outside[0] > 0 else float("inf")


def find_subspace(sampled: Sampled) -> Subspace:
    """The smallest H that explains the values of f*: of gradients first, of wide slopes where f* is noisy.

    Gradients miss jumps and what happens at rare inputs. So H is tested on values, f*(x) against f* at a point with the
    same x_H and all else drawn again; pairs that differ lead to the directions that are missing, which are added before
    new draws test the larger H.
    """
    if sampled.noisy:
        rows, noise = _wide_slopes(sampled)
        return _from_noisy(sampled, rows, noise)
    gradients = sampled.slopes(sampled.points, np.eye(sampled.dim))
    derivative = Derivative(sampled.points, gradients)
    singular, directions = _singular_values(gradients)
    tolerance = np.sqrt(sampled.eps)
    basis, allowance = tidy_basis(directions[singular > tolerance * singular[0]], tolerance), 0.0
    images = _images(sampled, basis)
    evidence, differ = _evidence(sampled, basis, images)
    for _ in range(_ROUNDS):
        if evidence.holds:
            break
        grown, more = _extended(sampled, basis, sampled.draws[differ], images[differ])
        if len(grown) == len(basis):
            break
        basis, allowance = grown, _allowance_of_normals(sampled)
        derivative = Derivative(*map(np.concatenate, zip(derivative, more, strict=True)))
        sampled.draw_again()
        images = _images(sampled, basis)
        evidence, differ = _evidence(sampled, basis, images, allowance)
    singular, _ = _singular_values(derivative.rows)
    return Subspace(basis, singular, float(tolerance * singular[0]), evidence, allowance, derivative)


def _allowance_of_normals(sampled: Sampled) -> float:
    """Normals have errors of order eps^(2/3): as large a share of the inputs lies on the wrong side of a jump.

    In single precision that is a few of the draws; in double precision it is none of them, and nothing is allowed.
    """
    share = _MISPLACED * sampled.eps ** (2 / 3)
    return float(share) if share * len(sampled.draws) > 0.01 else 0.0


def _singular_values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root mean squares of the rows along their principal directions, [r], and these, [r, d]."""
    _, singular, directions = np.linalg.svd(np.linalg.qr(rows, mode="r"))
    return singular / np.sqrt(len(rows)), directions[: len(singular)]


def _extended(sampled: Sampled, basis: np.ndarray, x: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, Derivative]:
    """A larger H [k', d], with the directions in which f* changes between x and its images, and their derivatives."""
    changes = find_changes(sampled, basis, x, images)
    changes = Derivative(changes.points, changes.rows * np.sqrt(sampled.variance) / sampled.scale)  # as large as gradients
    if len(basis) == sampled.dim - 1:  # only one direction is left that can have made the difference
        return np.eye(sampled.dim), changes
    outside = (changes.rows - changes.rows @ basis.T @ basis) * sampled.scale / np.sqrt(sampled.variance)
    if not len(outside):
        return basis, changes
    _, singular, directions = np.linalg.svd(outside, full_matrices=False)
    new = directions[singular > sampled.eps ** (1 / 3)]
    orthonormal, _ = np.linalg.qr(np.concatenate([basis, new]).T)
    return tidy_basis(orthonormal.T, np.sqrt(sampled.eps)), changes


def _from_noisy(sampled: Sampled, rows: np.ndarray, noise: float) -> Subspace:
    """The span of the rows, whose entries have errors of standard deviation `noise`.

    Such errors turn direction i of H by about √(d−k) noise / (√n s_i), s_i its mean square slope: each costs the same
    change of f*, (d−k) noise²/n times the variance of a coordinate, twice in a difference; the allowance is twice that.
    """
    count = len(rows)
    singular, directions = _singular_values(rows)
    threshold = float(_MARGIN * noise * (1 + np.sqrt(sampled.dim / count)))
    basis = tidy_basis(directions[singular > threshold], np.sqrt(sampled.eps))
    missing = len(basis) * (sampled.dim - len(basis)) * (noise * sampled.scale) ** 2 / count
    allowance = float(4 * missing / (2 * sampled.variance))
    evidence, _ = _evidence(sampled, basis, _images(sampled, basis), allowance)
    nothing = np.zeros((0, sampled.dim))
    return Subspace(basis, singular, threshold, evidence, allowance, Derivative(nothing, nothing))


def tidy_basis(basis: np.ndarray, tolerance: float) -> np.ndarray:
    """The axes themselves where they span the same space; otherwise rows whose largest entry is positive."""
    if not len(basis):
        return basis
    inside = np.sum(basis**2, axis=0)
    if np.all((inside < tolerance) | (inside > 1 - tolerance)):
        return np.eye(basis.shape[1])[inside > 0.5]
    largest = np.argmax(np.abs(basis), axis=1)
    return np.sign(basis[np.arange(len(basis)), largest])[:, None] * basis


def _images(sampled: Sampled, basis: np.ndarray) -> np.ndarray:
    """Every draw with the same x_H and a new x_⊥ from its law given x_H, [N, d]."""
    x, other = sampled.draws, sampled.fresh()
    along = x @ basis.T @ basis
    across = other - other @ basis.T @ basis
    if len(basis) == sampled.dim:
        return x
    if sampled.inputs.spherical:
        radius = np.linalg.norm(x - along, axis=1, keepdims=True)
        across = across * radius / np.linalg.norm(across, axis=1, keepdims=True)
    return along + across


def _evidence(
    sampled: Sampled, basis: np.ndarray, images: np.ndarray, allowance: float = 0.0
) -> tuple[Evidence, np.ndarray]:
    """Evidence that f* does not change with x_⊥, and which draws contradict it, [N]."""
    whole = len(basis) == sampled.dim
    claim = "f* depends on every direction" if whole else f"f* depends on {len(basis)} of {sampled.dim} directions"
    gaps = sampled.at(images) - sampled.drawn
    return sampled.evidence(claim, gaps, allowance=allowance), gaps**2 > sampled.eps * sampled.whole(1.0)


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
