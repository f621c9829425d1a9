"""Refusals of targets that are not numbers, or have no second moment, where the inputs lie (host)."""

from collections.abc import Callable

import jax
import numpy as np

from ...errors import ArgumentError, Words, argument_error
from ...problem.problem import Problem
from ...types import RealArrayLike, RealLike

_SAMPLES, _BATCHES = 4096, 16
_FAR = {False: (24.0, 32.0), True: (9.0, 12.0)}  # standard deviations; what float32 can hold ends earlier
_LEAST_FALL = 1.0  # of log(f*² times the density) between them: a finite E f*² has it, or misses it by a hair
_REMEDY = "Mend its formula, or let it grow more slowly."


def check_values(x: RealArrayLike, values: RealArrayLike) -> None:
    """Raise ArgumentError if f* is no number at one of the inputs x [n, d]."""
    x, values = np.asarray(x, float), np.asarray(values, float)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise _not_finite(x[bad[0]], values[bad[0]])


def check_growth(values: Callable[[np.ndarray], np.ndarray], directions: np.ndarray, single: bool) -> None:
    """Raise ArgumentError if f(R v)² e^{−R²/2} does not fall far out in one of the directions v [n, d].

    `values` is f of u ~ N(0, I_d), [n, d] to [n]. E f² is then infinite, or beyond what floating point can hold.
    """
    heights = []
    for radius in _FAR[single]:
        steps = radius + np.linspace(0.0, 0.5, 4)  # one of them is not a zero of f
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [2 * np.log(np.abs(values(step * directions))) - step**2 / 2 for step in steps]
        heights.append(np.max(logs, axis=0))
    near, far = heights
    growing = np.isfinite(near) & (far > near - _LEAST_FALL) | np.isposinf(near)
    if np.any(growing):
        direction = np.round(directions[np.argmax(growing)], 3)
        got = Words(f"one with f*(x)² growing as fast as the density of x falls, along {direction.tolist()[:8]}")
        raise argument_error("target", "a function with a finite second moment E f*(x)²", got, _REMEDY)


def check_found(problem: Problem, energy: RealLike, error: RealLike) -> None:
    """Raise ArgumentError if E f*² came out as no number, or as one whose error is larger than itself."""
    energy, error = float(energy), float(error)
    if not np.isfinite(energy + error):
        raise _search(problem)
    if error > max(energy, np.finfo(float).tiny):
        got = Words(f"one whose E f*(x)² came out as {energy:.3g} ± {error:.3g}: rare inputs carry all of it")
        raise argument_error("target", "a function with a finite second moment E f*(x)²", got, _REMEDY)


def _search(problem: Problem) -> ArgumentError:
    """The error for an f* that is somewhere not finite, with a place if a sample finds one."""
    for number in range(_BATCHES):
        x, values = problem.sample(jax.random.key(number), _SAMPLES)
        bad = np.flatnonzero(~np.isfinite(np.asarray(values)))
        if bad.size:
            return _not_finite(np.asarray(x)[bad[0]], np.asarray(values)[bad[0]])
    got = Words("one whose square is not finite at rare or distant inputs")
    return argument_error("target", "a function with a finite second moment E f*(x)²", got, _REMEDY)


def _not_finite(x: np.ndarray, value: RealLike) -> ArgumentError:
    place = ", ".join(f"{entry:.4g}" for entry in x[:8]) + (", …" if len(x) > 8 else "")
    got = Words(f"{float(value)} at x = ({place})")
    return argument_error("target", "a function that is finite where the inputs lie", got, _REMEDY)
