"""Where a function of one variable is not smooth: points that no piece of a rule for its integrals should have inside."""

import numpy as np
from jaxtyping import Bool, Float

from ...problem.functions import values_on_host
from ...types import RealFunction

_PIECES = 31  # at first, and twice as many as may be rough at a time
_SHARE = 0.47  # of a piece that is cut: kinks lie in the middle of intervals, and at a cut nobody would see them
_NEAREST = 1e-8  # of the interval: how well a kink is found
_CLOSER = 22  # cuts more, after which a jump is found to rounding
_SMOOTH = 1e-9  # of the largest value: what a polynomial may miss
_DEGREE = 8
_KNOWN = (1 - np.cos(np.pi * np.arange(_DEGREE + 1) / _DEGREE)) / 2  # Chebyshev's points of [0, 1], with both ends
_ASKED = (_KNOWN[1:] + _KNOWN[:-1]) / 2
_LINES = np.stack([np.polyfit(2 * _KNOWN - 1, row, _DEGREE) for row in np.eye(_DEGREE + 1)], axis=1)
_GUESS = np.vander(2 * _ASKED - 1, _DEGREE + 1) @ _LINES  # from known values to those of their polynomial


def breaks_of(function: RealFunction, low: float, high: float) -> tuple[float, ...]:
    """Jumps and kinks of a function on [low, high], by cutting every piece on which it is no polynomial of degree 8.

    None are named where its values are traced, or where it is rough nearly everywhere.
    """
    edges = np.linspace(low, high, _PIECES + 1)
    pieces = np.stack([edges[:-1], edges[1:]], axis=1)
    while True:
        rough = _rough(function, pieces)
        if np.sum(rough) > _PIECES // 2:
            return ()
        pieces = pieces[rough]
        if not len(pieces):
            return ()
        width = np.max(pieces[:, 1] - pieces[:, 0])
        if width < _NEAREST * (high - low):
            return _apart(_closer(function, pieces).mean(axis=1), 2 * width)
        pieces = np.concatenate(_cut(pieces))


def _cut(pieces: Float[np.ndarray, "n 2"]) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    middle = pieces @ np.array([1 - _SHARE, _SHARE])
    return np.stack([pieces[:, 0], middle], axis=1), np.stack([middle, pieces[:, 1]], axis=1)


def _closer(function: RealFunction, pieces: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """What is left of small pieces after more cuts, of which the rough part stays, or all where none is: at a kink."""
    for _ in range(_CLOSER):
        parts = _cut(pieces)
        rough = [_rough(function, part)[:, None] for part in parts]
        pieces = np.where(rough[0], parts[0], np.where(rough[1], parts[1], pieces))
    return pieces


def _rough(function: RealFunction, pieces: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Whether the polynomial through some values on a piece misses those between them; always where values are traced."""
    inside = np.concatenate([_KNOWN, _ASKED])
    points = pieces[:, :1] + (pieces[:, 1:] - pieces[:, :1]) * inside[None]
    padded = np.resize(points, (_PIECES, len(inside)))  # always as many, so that they are compiled once
    values = values_on_host(function, padded.ravel())
    if values is None:
        return np.ones(len(pieces), bool)
    values = values.reshape(padded.shape)[: len(pieces)]
    missed = np.max(np.abs(values[:, : len(_KNOWN)] @ _GUESS.T - values[:, len(_KNOWN) :]), axis=1)
    return ~(missed <= _SMOOTH * max(np.max(np.abs(values)), np.finfo(float).tiny))


def _apart(points: Float[np.ndarray, " n"], distance: float) -> tuple[float, ...]:
    """In order, one of those that are no farther apart."""
    points = np.sort(points)
    return tuple(points[np.diff(points, prepend=-np.inf) > distance].tolist())
