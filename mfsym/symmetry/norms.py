"""Sums of block norms: f* = Σ β_i ‖x_{block i}‖."""

import itertools
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from .evaluation import Evidence, Sampled

_SIZES = {2: ((1, 1),), 3: ((1, 2), (1, 1, 1))}  # of the blocks of H that are looked for under noise
_TRIALS = 64  # frames of H, of which the best few are starts
_STARTS = 3


class NormFit(NamedTuple):
    """Weights β_i of the norms of blocks, and the evidence that nothing else is left of f*."""

    weights: tuple[float, ...]
    evidence: Evidence


def fit_norms(sampled: Sampled, blocks: list[np.ndarray], allowance: float) -> NormFit:
    """Least squares of f* on the norms of x in some blocks, each an orthonormal basis [d_i, d]; tested on the draws."""
    weights, *_ = np.linalg.lstsq(_norms(sampled.points, blocks), sampled.values, rcond=None)
    gaps = sampled.drawn - _norms(sampled.draws, blocks) @ weights
    claim = "f* is a multiple of the norm of x_H" if len(blocks) == 1 else "f* is a sum of multiples of the norms of blocks"
    evidence = sampled.evidence(claim, np.sqrt(2) * gaps, -1.0, allowance)  # over E f*² itself
    return NormFit(tuple(map(float, weights)), evidence)


def _norms(x: np.ndarray, blocks: list[np.ndarray]) -> np.ndarray:
    return np.stack([np.linalg.norm(x @ block.T, axis=1) for block in blocks], axis=1)


def search_norms(sampled: Sampled, space: np.ndarray, allowance: float) -> list[np.ndarray] | None:
    """Blocks [d_i, d] of H, of dimension 2 or 3, whose norms explain f* by least squares over all frames of H.

    Needs no derivative, so it finds them under noise. None where no sum of norms is left with noise alone.
    """
    for sizes in _SIZES.get(len(space), ()):
        frame = _best_frame(sampled.points @ space.T, sampled.values, sizes) @ space
        blocks = np.split(frame, np.cumsum(sizes)[:-1])
        if fit_norms(sampled, blocks, allowance).evidence.holds:
            return blocks
    return None


def _best_frame(z: np.ndarray, values: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The frame [k, k] in which norms of blocks of the coordinates fit best, from the best of many random ones."""
    parts = np.cumsum(sizes)[:-1]

    def residual(angles: np.ndarray, frame: np.ndarray) -> np.ndarray:
        norms = _norms(z, np.split(_turned(angles, frame), parts))
        return values - norms @ np.linalg.lstsq(norms, values, rcond=None)[0]

    free, generator = len(z[0]) * (len(z[0]) - 1) // 2, np.random.default_rng(4)
    frames = [np.linalg.qr(generator.standard_normal((len(z[0]),) * 2))[0] for _ in range(_TRIALS)]
    frames = sorted(frames, key=lambda frame: np.sum(residual(np.zeros(free), frame) ** 2))[:_STARTS]
    fits = [least_squares(residual, np.zeros(free), args=(frame,), method="lm") for frame in frames]
    best = min(range(len(fits)), key=lambda i: fits[i].cost)
    return _turned(fits[best].x, frames[best])


def _turned(angles: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """A frame [k, k] turned by one angle in each plane of two axes, [k (k−1)/2]."""
    turn = np.eye(len(frame))
    for angle, (i, j) in zip(angles, itertools.combinations(range(len(frame)), 2), strict=True):
        cosine, sine = np.cos(angle), np.sin(angle)
        turn[[i, j]] = np.array([[cosine, -sine], [sine, cosine]]) @ turn[[i, j]]
    return turn @ frame
