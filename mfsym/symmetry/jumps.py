"""Directions in which a function changes although its gradients do not show it: jumps, and slopes at rare inputs.

Let x and x' have the same x_H and f*(x) ≠ f*(x'). On a path from one to the other that leaves x_H as it is, bisection that
keeps the half with the larger change of f* ends at a jump, or at a point where the slope along the path is at least the
mean one. Either way the derivative of f* there, a measure with the normals of the surfaces where f* jumps beside its
gradients, has a part outside of H. (Derived; the derivative of a function of bounded variation after Ambrosio, Fusco &
Pallara 2000, §3.9.)
"""

from typing import NamedTuple

import numpy as np

from .evaluation import Sampled

_MOST_PAIRS = 32
_MOST_NUMBERS = 2**23  # in one array of points around the jumps
_REACH = 256  # of the search along the path, in steps: normals at up to 89.8° to the path are found
_BENT = 0.05  # of a step, that a surface may be away from its tangent plane one step further


class Derivative(NamedTuple):
    """Inputs [n, d] and the derivative of f* there: `rows` [n, d] are gradients, or unit normals where f* jumps."""

    points: np.ndarray
    rows: np.ndarray


def find_changes(sampled: Sampled, basis: np.ndarray, x: np.ndarray, images: np.ndarray) -> Derivative:
    """The derivative of f*, as unit rows, somewhere between each x [m, d] and its image, which has the same x_H."""
    count = int(np.clip(_MOST_NUMBERS // (2 * sampled.dim**2), 2, _MOST_PAIRS))
    path = _Path(sampled, basis, x[:count], images[:count])
    before, after, low, high = _bisect(sampled, path)
    points, directions = path.at((before + after) / 2), path.directions(before, after)
    jumps = np.abs(high - low) > np.sqrt(sampled.eps * sampled.variance)
    slopes = sampled.slopes(points, np.eye(sampled.dim)) if not np.all(jumps) else np.zeros_like(points)
    normals = _normals(sampled, points[jumps], directions[jumps], low[jumps], high[jumps])
    rows = slopes.copy()
    rows[jumps] = normals
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    found = length[:, 0] > 0
    return Derivative(points[found], rows[found] / length[found])


class _Path:
    """t ∈ [0, 1] ↦ x_H + cos(πt/2) x_⊥ + sin(πt/2) x'_⊥, on the sphere scaled back to its radius."""

    def __init__(self, sampled: Sampled, basis: np.ndarray, x: np.ndarray, images: np.ndarray):
        self.along = x @ basis.T @ basis
        self.start, self.end = x - self.along, images - self.along
        self.spherical = sampled.inputs.spherical

    def at(self, t: np.ndarray) -> np.ndarray:
        across = np.cos(np.pi / 2 * t)[:, None] * self.start + np.sin(np.pi / 2 * t)[:, None] * self.end
        if self.spherical:
            length = np.linalg.norm(across, axis=1, keepdims=True)
            across = across * np.linalg.norm(self.start, axis=1, keepdims=True) / np.where(length > 0, length, 1.0)
        return self.along + across

    def directions(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Unit tangents in the middle of [before, after]."""
        middle, half = (before + after) / 2, 1e-3
        chord = self.at(middle + half) - self.at(middle - half)
        return chord / np.linalg.norm(chord, axis=1, keepdims=True)


def _bisect(sampled: Sampled, path: _Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ends [m] of the last interval of every path, and f* at them."""
    before, after = np.zeros(len(path.start)), np.ones(len(path.start))
    low, high = sampled.at(path.at(before)), sampled.at(path.at(after))
    for _ in range(int(np.log2(0.25 / sampled.eps))):
        middle = (before + after) / 2
        value = sampled.at(path.at(middle))
        first = np.abs(value - low) >= np.abs(high - value)
        before, after = np.where(first, before, middle), np.where(first, middle, after)
        low, high = np.where(first, low, value), np.where(first, value, high)
    return before, after, low, high


def _normals(sampled: Sampled, points: np.ndarray, directions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Normals [m, d] of the surfaces where f* jumps from `low` to `high` along the unit `directions`; 0 where none is seen.

    The surface through p is crossed at p ± δ e_j + t_j^± u, so that n ∝ (t_j^− − t_j^+)/2δ up to δ² times its curvature.
    """
    count, dim = points.shape
    step = sampled.eps ** (1 / 3) * sampled.scale
    moves = step * np.concatenate([np.eye(dim), -np.eye(dim)])
    bases = (points[:, None] + moves[None]).reshape(-1, dim)
    along, lows, highs = (np.repeat(each, 2 * dim, axis=0) for each in (directions, low, high))

    def beyond(t: np.ndarray) -> np.ndarray:
        values = sampled.at(bases + t[:, None] * along)
        return np.abs(values - highs) < np.abs(values - lows)

    if not count:
        return np.zeros((0, dim))
    reach = min(_REACH * step, 0.1 * sampled.scale)
    before, after = np.full(len(bases), -reach), np.full(len(bases), reach)
    crossed = (~beyond(before) & beyond(after)).reshape(count, -1)
    for _ in range(int(np.log2(0.25 * reach / (sampled.eps * sampled.scale)))):
        middle = (before + after) / 2
        over = beyond(middle)
        before, after = np.where(over, before, middle), np.where(over, middle, after)
    t = ((before + after) / 2).reshape(count, 2, dim)
    normals = (t[:, 1] - t[:, 0]) / (2 * step)
    # An edge has no normal: beside it opposite moves do not have opposite t, or t = −δ does not undo one along u, n·u = 1.
    length = np.linalg.norm(normals, axis=1)
    straight = np.all(np.abs(t[:, 0] + t[:, 1]) < _BENT * step * length[:, None], axis=1)
    undone = np.abs(np.sum(normals * directions, axis=1) - 1) < sampled.eps ** (1 / 3) * length
    return np.where((np.all(crossed, axis=1) & straight & undone)[:, None], normals, 0.0)
