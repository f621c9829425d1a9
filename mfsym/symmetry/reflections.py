"""Reflections inside a subspace: unit vectors v with f*(x − 2(v·x)v) = ±f*(x).

They are the zeros of a sum of squares in v, found by Levenberg–Marquardt steps from many starts on the half sphere, with
derivatives from ∇f*: with y = x − 2(v·x)v, d f*(y)/dv = −2[(∇f*(y)·v) x + (v·x) ∇f*(y)]. (Derived.)
"""

import numpy as np

from .evaluation import Sampled

_POINTS = 24
_STARTS = 40  # a cube has 9 mirrors: about four starts for each
_STEPS = 24
_MOST = 24


def find_mirrors(sampled: Sampled, space: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Pairs (v, sign): mirrors v [k] in coordinates of `space` [k, d], k ≤ 3, under which f* is even or odd.

    They are candidates, found on a few points; whoever uses one measures its defect.
    """
    count = len(space)
    if count == 1:
        return [(np.ones(1), 1.0), (np.ones(1), -1.0)]
    found: list[tuple[np.ndarray, float]] = []
    for sign in (1.0, -1.0):
        mirrors, residuals = _descend(sampled, space, sign)
        limit = np.sqrt(sampled.eps) * (sampled.variance if sign > 0 else sampled.mean_square)
        for mirror in mirrors[residuals < limit]:
            _add(found, mirror, sign)
    for mirror, sign in found:  # the list grows while it is walked: a mirror reflects the others into new ones
        for other, _ in list(found):
            if len(found) < _MOST:
                _add(found, mirror - 2 * (mirror @ other) * other, sign)
    return found


def _add(found: list[tuple[np.ndarray, float]], mirror: np.ndarray, sign: float) -> None:
    if all(s != sign or abs(v @ mirror) < 1 - 1e-6 for v, s in found):
        found.append((mirror, sign))


def _starts(count: int) -> np.ndarray:
    """Directions that cover the half sphere evenly, [n, count]: of the circle, or of Fibonacci's lattice."""
    index = np.arange(_STARTS) + 0.5
    if count == 2:
        angle = np.pi * index / _STARTS
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    height, turn = index / _STARTS, np.pi * (1 + np.sqrt(5)) * index
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)


def _descend(sampled: Sampled, space: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Mirrors [n, k] and their mean square residuals [n] after some damped Gauss–Newton steps on the sphere."""
    x, values = sampled.points[:_POINTS], sampled.values[:_POINTS]
    z, mirrors = x @ space.T, _starts(len(space))
    damping = np.full(len(mirrors), 1e-2)
    residual, slope = _residuals(sampled, space, x, z, values, mirrors, sign)
    for _ in range(_STEPS):
        square = np.mean(residual**2, axis=1)
        normal = np.einsum("npk,npl->nkl", slope, slope)
        force = np.einsum("npk,np->nk", slope, residual)
        strength = damping * np.trace(normal, axis1=1, axis2=2) + 1e-300
        step = np.linalg.solve(normal + strength[:, None, None] * np.eye(len(space)), force[:, :, None])[:, :, 0]
        trial = mirrors - step
        trial /= np.linalg.norm(trial, axis=1, keepdims=True)
        new_residual, new_slope = _residuals(sampled, space, x, z, values, trial, sign)
        better = np.mean(new_residual**2, axis=1) < square
        mirrors = np.where(better[:, None], trial, mirrors)
        residual = np.where(better[:, None], new_residual, residual)
        slope = np.where(better[:, None, None], new_slope, slope)
        damping = np.clip(np.where(better, damping / 10, damping * 10), 1e-14, 1e6)
    return mirrors, np.mean(residual**2, axis=1)


def _residuals(sampled, space, x, z, values, mirrors, sign):
    """f*(y) − sign f*(x) [n, p] and its derivatives in v, tangential to the sphere, [n, p, k]."""
    along = mirrors @ z.T
    moved = x[None] - 2 * (along[:, :, None] * mirrors[:, None, :]) @ space
    flat = moved.reshape(-1, x.shape[1])
    residual = sampled.at(flat).reshape(along.shape) - sign * values
    gradient = sampled.slopes(flat, space).reshape(*along.shape, -1)
    across = np.einsum("npk,nk->np", gradient, mirrors)
    slope = -2 * (across[:, :, None] * z[None] + along[:, :, None] * gradient)
    return residual, slope - np.einsum("npk,nk->np", slope, mirrors)[:, :, None] * mirrors[:, None, :]
