"""Sums of block norms: f* = Σ β_i ‖x_{block i}‖."""

from typing import NamedTuple

import numpy as np

from .evaluation import Evidence, Sampled


class NormFit(NamedTuple):
    """Weights β_i of the norms of blocks, and the evidence that nothing else is left of f*."""

    weights: tuple[float, ...]
    evidence: Evidence


def fit_norms(sampled: Sampled, blocks: list[np.ndarray], allowance: float) -> NormFit:
    """Least squares of f* on the norms of x in some blocks, each an orthonormal basis [d_i, d]."""
    norms = np.stack([np.linalg.norm(sampled.points @ block.T, axis=1) for block in blocks], axis=1)
    weights, *_ = np.linalg.lstsq(norms, sampled.values, rcond=None)
    whole = sampled.mean_square
    squares = (sampled.values - norms @ weights) ** 2 / whole
    error = float(np.std(squares) / np.sqrt(len(squares)))
    claim = "f* is a multiple of the norm of x_H" if len(blocks) == 1 else "f* is a sum of multiples of the norms of blocks"
    evidence = Evidence(claim, float(np.mean(squares)), error, sampled.threshold(2 * whole, allowance))
    return NormFit(tuple(float(weight) for weight in weights), evidence)
