"""Which directions a function depends on, and which of its coordinates appear together: by looking at it (host).

Nothing that is found here is trusted: monomials are tested by values at other points, directions by values with
everything else drawn again. What is missed costs accuracy, which the stated error of the sampling then shows.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .polynomial import DEGREE, Monomials, count_dense, dense_monomials, monomials_of

BATCH = 1024  # points in one call: every call has the same shape
_GRADIENTS = 32
_MOST_UNSEEN = {DEGREE: 2**14, 3: 2**18}  # monomials of a degree that are tried where nobody can look (d ≤ 15, d ≤ 114)
_MOST_SEEN = {DEGREE: 2**19, 3: 2**18}  # where f was seen to be a polynomial: d ≤ 33
_FEW = 2**12  # monomials that are not worth a search for fewer
_MOST_SETS = 2**15
_RAY = np.array([-1.6, -1.0, -0.5, 0.5, 1.0, 1.6])  # fix a polynomial of degree 5 on a ray ...
_CHECKS = np.array([-1.3, 0.2, 0.8])  # ... which these test

Values = Callable[[np.ndarray], np.ndarray]


class Seen(NamedTuple):
    """The monomials to try, orthonormal rows [r, d] of the directions that matter (all where nobody looked), and whether
    f is a polynomial of degree 5 along rays (None: nobody looked).
    """

    monomials: Monomials
    basis: np.ndarray
    on_rays: bool | None


def unseen(dim: int) -> Seen:
    """What to try for a function that nobody can look at."""
    degree = next((n for n, most in _MOST_UNSEEN.items() if count_dense(dim, n) <= most), 1)
    return Seen(dense_monomials(dim, degree), np.eye(dim), None)


@np.errstate(over="ignore", invalid="ignore")  # of a function that is no number somewhere, nothing is seen
def look(values: Values, gradients: Values, dim: int, tolerance: float) -> Seen:
    """What a function of u ~ N(0, I_d) shows: `values` and `gradients` map [1024, d] to [1024] and [1024, d]."""
    basis = _directions(values, gradients, dim, tolerance)
    rank = len(basis)
    degree = _degree_on_rays(values, basis, tolerance)
    if degree is None:
        return Seen(dense_monomials(rank, 1)._replace(basis=basis), basis, False)
    size = count_dense(rank, degree)
    sets = None if size <= _FEW else _interactions(values, basis, tolerance)
    if sets is not None:
        return Seen(monomials_of(sets, (degree,) * len(sets), basis), basis, True)
    return Seen(dense_monomials(rank, degree if size <= _MOST_SEEN[degree] else 1)._replace(basis=basis), basis, True)


def _points(count: int, dim: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dim))


def evaluate(values: Values, points: np.ndarray) -> np.ndarray:
    """`values` of any number of points, in batches of one shape."""
    spare = (-len(points)) % BATCH
    padded = np.concatenate([points, np.repeat(points[:1], spare, axis=0)])
    return np.concatenate([values(part) for part in np.split(padded, len(padded) // BATCH)])[: len(points)]


def _directions(values: Values, gradients: Values, dim: int, tolerance: float) -> np.ndarray:
    """Directions outside of which f does not change, from gradients, confirmed by values; the identity if there are none."""
    slopes = evaluate(gradients, _points(_GRADIENTS, dim, 1))
    everything = np.eye(dim)
    size = np.abs(slopes).max()
    if not np.isfinite(size) or size == 0:
        return everything
    axes = everything[np.abs(slopes).max(axis=0) > tolerance * size]
    spectrum, rows = np.linalg.svd(slopes)[1:]
    rank = int(np.sum(spectrum > tolerance * spectrum[0]))
    basis = rows[:rank] if rank < min(len(axes), _GRADIENTS) else axes
    if len(basis) == dim:
        return everything
    points, others = _points(BATCH, dim, 2), _points(BATCH, dim, 3)
    here, there = values(points), values(others + (points - others) @ basis.T @ basis)
    return basis if np.abs(here - there).max() <= tolerance * np.abs(here).max() else everything


def _degree_on_rays(values: Values, basis: np.ndarray, tolerance: float) -> int | None:
    """3 or 5 if f is a polynomial of that degree on random rays, else None."""
    rays = _points(BATCH // len(_RAY), len(basis), 4) @ basis
    fitted, tested = (np.stack([evaluate(values, length * rays) for length in lengths]) for lengths in (_RAY, _CHECKS))
    coefficients = np.linalg.solve(np.vander(_RAY, increasing=True), fitted)
    size = np.abs(fitted).max()
    if not np.abs(np.vander(_CHECKS, DEGREE + 1, increasing=True) @ coefficients - tested).max() <= tolerance * size:
        return None
    return 3 if np.abs(coefficients[4:]).max() <= tolerance * size else DEGREE


def _interactions(values: Values, basis: np.ndarray, tolerance: float) -> list[np.ndarray] | None:
    """All sets of up to 5 coordinates that appear in one monomial, [n, k] for k = 1, 2, …; None if they are too many.

    For a polynomial the alternating sum of f over the corners between two generic points is 0 only for other sets.
    """
    rank = len(basis)
    low, high = _points(2, rank, 5)
    sets = [np.arange(rank)[:, None]]
    for size in range(2, DEGREE + 1):
        candidates = _extended(sets[-1])
        if len(candidates) > _MOST_SETS:
            return None
        found, scale = np.zeros(len(candidates)), 0.0
        for corner in itertools.product((0, 1), repeat=size):
            places = np.tile(low, (len(candidates), 1))
            raised = candidates[:, np.flatnonzero(corner)]
            np.put_along_axis(places, raised, high[raised], axis=1)
            here = evaluate(values, places @ basis) if len(candidates) else found
            found, scale = found + (-1) ** sum(corner) * here, max(scale, np.abs(here).max(initial=0.0))
        chosen = candidates[np.abs(found) > tolerance * scale]
        if not len(chosen):
            break
        sets.append(chosen)
    return sets


def _extended(sets: np.ndarray) -> np.ndarray:
    """Sets of one more coordinate all of whose parts are among `sets`, [n, k + 1], in lexicographic order."""
    known = set(map(tuple, sets.tolist()))
    followers: dict[tuple[int, ...], list[int]] = {}
    for chosen in sorted(known):
        followers.setdefault(chosen[:-1], []).append(chosen[-1])
    found = []
    for stem, ends in followers.items():
        for pair in itertools.combinations(ends, 2):
            candidate = (*stem, *pair)
            if all(candidate[:i] + candidate[i + 1 :] in known for i in range(len(stem))):
                found.append(candidate)
        if len(found) > _MOST_SETS:
            break
    return np.array(found, np.int64).reshape(-1, sets.shape[1] + 1)
