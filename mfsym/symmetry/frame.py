"""Coordinates inside H: a frame in which f* has as many sign flips and permutations as can be found."""

import itertools
from typing import NamedTuple

import numpy as np

from .evaluation import Evidence, Sampled
from .reflections import find_mirrors
from .subspace import tidy_basis

_LARGEST = 3  # dimension up to which mirrors are looked for in every direction
_MOST_COORDINATES = 8  # beyond, permutations are not tried in all pairs


class Frame(NamedTuple):
    """Orthonormal coordinates [k, d] and what f* does there.

    `flips` (i, s): f* takes the sign s when coordinate i changes sign. `swaps` (i, j, s): likewise when coordinates i
    and j change places.
    """

    basis: np.ndarray
    flips: tuple[tuple[int, int], ...]
    swaps: tuple[tuple[int, int, int], ...]
    evidence: tuple[Evidence, ...]

    @property
    def even_everywhere(self) -> bool:
        """Whether f* depends on the absolute values of the coordinates only."""
        return {i for i, sign in self.flips if sign > 0} == set(range(len(self.basis)))


def find_frames(sampled: Sampled, space: np.ndarray, slopes: np.ndarray, allowance: float) -> list[Frame]:
    """The best frames of a subspace [k, d], of equal rank: its axes, the eigenvectors of the gradients, or mirrors.

    A square has two equally good frames, its sides and its diagonals.
    """
    if not len(space):
        return [Frame(space, (), (), ())]
    candidates = [tidy_basis(space, np.sqrt(sampled.eps)), _eigenvectors(space, slopes)]
    if len(space) <= _LARGEST and not sampled.noisy:
        candidates += _mirror_frames(sampled, space)
    frames = [_measure(sampled, basis, allowance) for basis in _different(candidates)]
    ranks = [(sum(s > 0 for _, s in frame.flips), len(frame.flips), len(frame.swaps)) for frame in frames]
    return [frame for frame, rank in zip(frames, ranks, strict=True) if rank == max(ranks)]


def _eigenvectors(space: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    _, vectors = np.linalg.eigh(slopes.T @ slopes)
    return tidy_basis(vectors[:, ::-1].T @ space, 0.0)


def _mirror_frames(sampled: Sampled, space: np.ndarray) -> list[np.ndarray]:
    """Frames of mutually orthogonal mirrors; two of them in three dimensions have a third direction."""
    mirrors = []
    for mirror, _ in find_mirrors(sampled, space):
        if all(abs(mirror @ other) < 1 - 1e-6 for other in mirrors):
            mirrors.append(mirror)
    sets = []
    for size in range(len(space), 0, -1):
        chosen = [c for c in itertools.combinations(mirrors, size) if _orthogonal(c)]
        sets += [np.stack(c) for c in chosen]
        if sets:
            break
    return [_completed(rows, space) for rows in sets[:12]]


def _orthogonal(vectors: tuple[np.ndarray, ...]) -> bool:
    return all(abs(v @ w) < 1e-6 for v, w in itertools.combinations(vectors, 2))


def _completed(rows: np.ndarray, space: np.ndarray) -> np.ndarray:
    full, _ = np.linalg.qr(rows.T, mode="complete")
    return tidy_basis(np.concatenate([rows, full[:, len(rows) :].T]) @ space, 0.0)


def _different(frames: list[np.ndarray]) -> list[np.ndarray]:
    """Frames that are not the same axes up to order and sign."""
    kept: list[np.ndarray] = []
    for frame in frames:
        if not any(np.all(np.abs(frame @ other.T).max(axis=1) > 1 - 1e-9) for other in kept):
            kept.append(frame)
    return kept


def _measure(sampled: Sampled, basis: np.ndarray, allowance: float) -> Frame:
    flips, swaps, evidence = [], [], []
    for index, row in enumerate(basis):
        for sign in (1, -1):
            claim = f"f* {'keeps' if sign > 0 else 'changes'} its sign when coordinate {index + 1} of x_H does"
            seen = _mirrored(sampled, row, sign, claim, allowance)
            if seen.holds:
                flips.append((index, sign))
                evidence.append(seen)
    for i, j in itertools.combinations(range(min(len(basis), _MOST_COORDINATES)), 2):
        for sign in (1, -1):
            claim = f"f* {'keeps' if sign > 0 else 'changes'} its sign when coordinates {i + 1} and {j + 1} of x_H swap"
            seen = _mirrored(sampled, (basis[i] - basis[j]) / np.sqrt(2), sign, claim, allowance)
            if seen.holds:
                swaps.append((i, j, sign))
                evidence.append(seen)
    return Frame(basis, tuple(flips), tuple(swaps), tuple(evidence))


def _mirrored(sampled: Sampled, mirror: np.ndarray, sign: int, claim: str, allowance: float) -> Evidence:
    x = sampled.points
    return sampled.compare(claim, x - 2 * (x @ mirror)[:, None] * mirror[None], float(sign), allowance)
