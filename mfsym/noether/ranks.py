"""Ranks that are decided by a gap between singular values, on the host in double precision."""

from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float

_ZERO = 1e-10  # of the largest row or column


class Rank(NamedTuple):
    """How many singular values count, the orthonormal `basis` [rank, D] of the rows, the singular values, and the `gap` at
    the cut: the ratio of the last that counts to the first that does not; infinite where all count."""

    rank: int
    basis: Float[np.ndarray, "r D"]
    values: Float[np.ndarray, " n"]
    gap: float


def rank_of(rows: Float[np.ndarray, "n D"], tol: float) -> Rank:
    """The rank of rows, each of length 1 or, where it is 1e-10 of the longest, left out."""
    rows = np.asarray(rows, float)
    norms = np.linalg.norm(rows, axis=1)
    kept = norms > _ZERO * np.max(norms, initial=0.0)
    if not np.any(kept):
        return Rank(0, np.zeros((0, rows.shape[1])), np.zeros(0), np.inf)
    _, values, basis = scipy.linalg.svd(rows[kept] / norms[kept, None], full_matrices=False)
    rank = int(np.sum(values > tol * values[0]))
    return Rank(rank, basis[:rank], values, gap_at(values, rank, rows.shape[1]))


def gap_at(values: Float[np.ndarray, " n"], rank: int, dim: int) -> float:
    """The ratio of singular values at a cut; infinite where the space is full, or nothing lies below but exact zeros."""
    if rank in (0, dim) or rank == len(values):
        return np.inf
    return float(values[rank - 1] / max(values[rank], np.finfo(float).tiny))


def null_space(rows: Float[np.ndarray, "n p"], tol: float) -> Rank:
    """The vectors that all rows are orthogonal to, as `basis` [p − rank, p]; `rank` is still that of the rows.

    Columns of 1e-10 of the longest are zero: what they belong to is not seen by any row, and nothing is divided by them.
    """
    rows = np.asarray(rows, float)
    norms = np.linalg.norm(rows, axis=0)
    kept = norms > _ZERO * np.max(norms, initial=0.0)
    scaled = rows[:, kept] / norms[kept]
    _, values, right = scipy.linalg.svd(scaled, full_matrices=True)
    rank = int(np.sum(values > tol * values[0])) if values.size else 0
    inside = np.zeros((right.shape[0] - rank, rows.shape[1]))
    inside[:, kept] = right[rank:] / norms[kept]
    unseen = np.eye(rows.shape[1])[~kept]
    basis = np.concatenate([inside, unseen])
    if basis.size:
        basis = scipy.linalg.orth(basis.T).T
    return Rank(rank, basis, values, gap_at(values, rank, int(np.sum(kept))))
