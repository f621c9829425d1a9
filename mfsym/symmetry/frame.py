"""Coordinates inside H: a frame in which f* has as many sign flips and permutations as can be found."""

import itertools
from typing import NamedTuple

import numpy as np

from .evaluation import ROWS, Evidence, Sampled
from .jumps import Derivative
from .reflections import find_mirrors
from .subspace import tidy_basis

_LARGEST = 3  # dimension up to which mirrors are looked for in every direction
_FEWEST_POINTS = 8
_MOST_COORDINATES = 8  # beyond, permutations are not tried in all pairs
_RECENT = 256  # rows of the derivative among which a direction may recur; normals come last
_MOST_DIRECTIONS = 24


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


def find_frames(sampled: Sampled, space: np.ndarray, derivative: Derivative, allowance: float) -> list[Frame]:
    """The best frames of a subspace [k, d], of equal rank: its axes, the eigenvectors of the gradients, normals, or mirrors.

    A square has two equally good frames, its sides and its diagonals.
    """
    if not len(space):
        return [Frame(space, (), (), ())]
    rows = derivative.rows @ space.T
    candidates = [tidy_basis(space, np.sqrt(sampled.eps)), _eigenvectors(space, rows)]
    if len(space) <= _LARGEST and not sampled.noisy:
        candidates += _orthogonal_frames(_recurring(rows), space)
        candidates += _orthogonal_frames([mirror for mirror, _ in find_mirrors(sampled, space)], space)
    frames = [_measure(sampled, basis, allowance) for basis in _different(candidates)]
    ranks = [(sum(s > 0 for _, s in frame.flips), len(frame.flips), len(frame.swaps)) for frame in frames]
    return [frame for frame, rank in zip(frames, ranks, strict=True) if rank == max(ranks)]


def _eigenvectors(space: np.ndarray, rows: np.ndarray) -> np.ndarray:
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return tidy_basis(vectors[:, ::-1].T @ space, 0.0)


def _recurring(rows: np.ndarray) -> list[np.ndarray]:
    """Unit vectors [k] that the derivative of f* has at several inputs, such as the normals of planes where it jumps."""
    last = rows[-_RECENT:]
    length = np.linalg.norm(last, axis=1, keepdims=True)
    units = last[length[:, 0] > 0] / length[length[:, 0] > 0]
    equal = np.abs(units @ units.T) > 1 - 1e-6
    return [unit for unit, same in zip(units, equal, strict=True) if np.sum(same) > 1]


def _orthogonal_frames(directions: list[np.ndarray], space: np.ndarray) -> list[np.ndarray]:
    """Frames of as many mutually orthogonal directions as there are; two of them in three dimensions have a third one."""
    different: list[np.ndarray] = []
    for direction in directions:
        if len(different) < _MOST_DIRECTIONS and all(abs(direction @ other) < 1 - 1e-6 for other in different):
            different.append(direction)
    sets = []
    for size in range(len(space), 0, -1):
        chosen = [c for c in itertools.combinations(different, size) if _orthogonal(c)]
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
    """Flips of all coordinates and swaps of all pairs; what a few points already refute is not measured on all."""
    pairs = list(itertools.combinations(range(min(len(basis), _MOST_COORDINATES)), 2))
    mirrors = np.concatenate([basis, *((basis[i] - basis[j])[None] / np.sqrt(2) for i, j in pairs)])
    names = [f"coordinate {i + 1} of x_H does" for i in range(len(basis))]
    names += [f"coordinates {i + 1} and {j + 1} of x_H swap" for i, j in pairs]
    held, evidence = [], []
    for sign in (1, -1):
        for index in np.flatnonzero(_defects_on_a_few(sampled, mirrors, sign) <= _glance(sampled, sign, allowance)):
            claim = f"f* {'keeps' if sign > 0 else 'changes'} its sign when {names[index]}"
            seen = sampled.compare(claim, _reflected(sampled.draws, mirrors[index]), float(sign), allowance)
            if seen.holds:
                held.append((int(index), sign))
                evidence.append(seen)
    flips = tuple(sorted((i, sign) for i, sign in held if i < len(basis)))
    swaps = tuple(sorted((*pairs[i - len(basis)], sign) for i, sign in held if i >= len(basis)))
    return Frame(basis, flips, swaps, tuple(evidence))


def _glance(sampled: Sampled, sign: int, allowance: float) -> float:
    """Ten times the threshold, as few points scatter."""
    return 10 * sampled.threshold(sampled.whole(float(sign)), allowance)


def _defects_on_a_few(sampled: Sampled, mirrors: np.ndarray, sign: int) -> np.ndarray:
    """The defect of every mirror on as many points as one evaluation of the function has room for, [n]."""
    count = max(_FEWEST_POINTS, ROWS // len(mirrors))
    images = np.concatenate([_reflected(sampled.points[:count], mirror) for mirror in mirrors])
    gaps = sampled.at(images).reshape(len(mirrors), count) - sign * sampled.values[:count]
    return np.mean(gaps**2, axis=1) / sampled.whole(float(sign))


def _reflected(x: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return x - 2 * (x @ mirror)[:, None] * mirror[None]
