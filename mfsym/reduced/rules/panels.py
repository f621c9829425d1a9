"""Where quadratures of a target are to be split: found on the host from values of the function, before anything is traced.

A panel is resolved where a polynomial through 16 Gauss–Legendre points meets the function between them. What is not
resolved is halved: around a jump or a kink this goes on down to round-off, which locates it, and with it as an edge few
panels are left. A function that oscillates, or is singular, keeps the panels that it needs. (Derived.)
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ...errors import Words, argument_error
from ...problem.functions import values_on_host
from ...problem.inputs import AbstractInputs
from ...problem.targets import AbstractTarget, RadialIndex, SingleIndex
from ...types import RealFunction
from .quadrature import FARTHEST, USUAL_REACH, Quadrature, two_rules
from .radii import chi_scale

_GAUSS = np.polynomial.legendre.leggauss(16)[0]
_NEAR = np.array([1e-5, 1e-4, 1e-3])  # a jump just beside an edge is seen as well
_BETWEEN = np.concatenate([_NEAR - 1, np.linspace(-0.99, 0.99, 250), 1 - _NEAR])
_CHUNK = 16  # panels that are evaluated together, always as many, so that operations are compiled once
_WIDTH = 2.0  # of the first panels, in standard deviations of x_1: steps on 1/100 of that are seen
_SHIFT = 0.3183  # of the first edges, which are not to hide a jump at a round number
_NARROW = 2.0**-8  # of that width: narrower panels surround a point that is to be an edge
_FINEST = 2.0**-40
_MOST_BREAKS = 63  # besides one declared; the work grows with their square
_ROUNDS = 64
_RELATIVE = {64: 1e-11, 32: 1e-6}  # of the norm of f*, what a resolved panel may miss, by bits
_DECAY = {64: 74.0, 32: 34.0}  # logarithm of the square of round-off
_FARTHEST = {64: FARTHEST, 32: 20.0}  # standard deviations, where values must still be floats


@functools.singledispatch
def quadrature_of(target: AbstractTarget, inputs: AbstractInputs) -> Quadrature:
    """Two rules for a target and rotation-invariant inputs. One that is a closed form of its norm needs no edges."""
    return two_rules(np.zeros(1))


@quadrature_of.register
def _(target: SingleIndex, inputs: AbstractInputs) -> Quadrature:
    """For f* = g(x_1), edges at the declared kinks, and at what is found besides."""
    return _with_edges(target.g, target.kinks or (0.0,), _Law.of(inputs, 0))


@quadrature_of.register
def _(target: RadialIndex, inputs: AbstractInputs) -> Quadrature:
    """The same for f* = g(‖x_H‖)."""
    return _with_edges(lambda r: target.g(jnp.abs(r)), (0.0, *target.kinks), _Law.of(inputs, target.dim_h))


def _with_edges(g: RealFunction, kinks: tuple[float, ...], law: "_Law | None") -> Quadrature:
    """Edges at these kinks of g, and at what is found besides.

    Where g is traced only what is declared is known. Raises ArgumentError where E f*² is infinite, or so large that
    float64 cannot see it end.
    """
    declared = np.asarray(kinks, float)
    values = None if law is None else values_on_host(g, np.zeros(1))
    if law is None or values is None:
        return two_rules(declared)
    bits = 8 * values.dtype.itemsize
    reach, norm = _reach(g, law, bits)
    count = np.ceil(reach / _WIDTH) + 1
    first = (np.arange(-count, count + 1) + _SHIFT) * _WIDTH * law.spread
    first = np.unique(np.concatenate([np.clip(first, law.begin, law.end), declared[np.abs(declared) < law.end]]))

    def resolved(left, right):
        return _misses(g, law, left, right) <= _RELATIVE[bits] * norm

    found = np.union1d(declared, _corners(_halved(resolved, first, law), law))
    edges = _halved(resolved, np.union1d(first, found[np.abs(found) < law.end]), law, narrowest=_NARROW)
    extra = np.setdiff1d(edges, first)
    extra = extra[np.lexsort([np.abs(extra), ~np.isin(extra, found)])][:_MOST_BREAKS]  # corners first, then where x_1 is
    return two_rules(_padded(np.union1d(declared, extra), len(declared)), reach)


class _Law(NamedTuple):
    """The law of x_1, or for dim_h > 0 of ‖x_H‖: the standard deviation of x_1 or nearly so, and the end of the support."""

    dim: int
    dim_h: int
    spread: float
    end: float

    @staticmethod
    def of(inputs: AbstractInputs, dim_h: int) -> "_Law | None":
        """None where a length is traced."""
        found = values_on_host(lambda _: inputs.second_moment, np.zeros(1))
        if found is None:
            return None
        length = float(np.sqrt(found[0]))
        return _Law(inputs.dim, dim_h, length / np.sqrt(inputs.dim), length if chi_scale(inputs) is None else np.inf)

    @property
    def begin(self) -> float:
        """Beginning of the support."""
        return 0.0 if self.dim_h else -self.end

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of the density, up to a constant; bounded at the ends of a circle."""
        free = max(self.dim_h, 1)
        with np.errstate(divide="ignore"):
            sphere = (free - 1) * np.log(np.abs(x / self.spread)) if free > 1 else 0.0
            if not np.isfinite(self.end):
                return sphere - ((x / self.spread) ** 2) / 2
            return sphere + max(self.dim - free - 2, 0) / 2 * np.log1p(-(np.minimum(np.abs(x / self.end), 1.0) ** 2))


def _reach(g: RealFunction, law: _Law, bits: int) -> tuple[int, float]:
    """How far |x_1| counts for E f*², in standard deviations, and √(E f*²) for the unnormalised density."""
    farthest = min(_FARTHEST[bits], law.end / law.spread)
    x = farthest * law.spread * np.linspace(-1, 1, 2048)
    values = values_on_host(g, x)
    assert values is not None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        weighted = law.log_density(x) + 2 * np.log(np.abs(values.astype(float)))
    weighted = np.where(np.isnan(weighted), -np.inf, weighted)
    top = np.max(weighted)
    if top == -np.inf:
        return USUAL_REACH, 1.0
    counts = np.abs(x[weighted > top - _DECAY[bits]]) / law.spread
    if not np.isfinite(law.end) and (top == np.inf or np.max(counts) > farthest - 0.5):
        got = Words(f"one whose square times the density of x_1 has not decayed {farthest:.0f} standard deviations away")
        remedy = "Without a second moment no network comes nearer to f* than any other; let it grow more slowly."
        raise argument_error("problem.target", "a function f* with a finite second moment E f*²", got, remedy)
    norm = np.exp(top / 2) * np.sqrt(np.mean(np.exp(weighted - top)) * 2 * farthest)
    return max(USUAL_REACH, int(np.ceil(np.max(counts) / 4) * 4)), float(norm)


def _misses(g: RealFunction, law: _Law, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """What a polynomial through the Gauss points of each panel [left, right] misses, weighted by the law's root."""
    half, middle = (right - left)[:, None] / 2, (right + left)[:, None] / 2
    nodes, between = middle + half * _GAUSS, middle + half * _BETWEEN
    out = []
    for start in range(0, len(left), _CHUNK):
        rows = np.arange(start, start + _CHUNK).clip(max=len(left) - 1)
        points = np.concatenate([nodes[rows], between[rows]], axis=1)
        values = values_on_host(g, points.ravel())
        assert values is not None
        values = values.astype(float).reshape(points.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.abs(values[:, 16:] - values[:, :16] @ _interpolation().T)
        weight = np.exp(law.log_density(between[rows]) / 2) * np.sqrt((right - left)[rows] / law.spread)[:, None]
        worst = np.max(np.where(weight > 0, gap * weight, 0.0), axis=1)
        out.append(np.where(np.isnan(worst), np.inf, worst)[: len(left) - start])
    return np.concatenate(out)


def _interpolation() -> np.ndarray:
    """Values between the Gauss points of the polynomial through them, [points, 16]."""
    legendre = np.polynomial.legendre.legvander
    return legendre(_BETWEEN, 15) @ np.linalg.inv(legendre(_GAUSS, 15))


def _halved(
    resolved: Callable[[np.ndarray, np.ndarray], np.ndarray], edges: np.ndarray, law: _Law, narrowest: float = _FINEST
) -> np.ndarray:
    """Edges of panels that are resolved, or not wider than `narrowest` times the first ones."""
    left, right, done = edges[:-1], edges[1:], [edges]
    for _ in range(_ROUNDS):
        wide = right - left > narrowest * _WIDTH * law.spread
        left, right = left[wide], right[wide]
        if not len(left) or sum(map(len, done)) > 64 * _MOST_BREAKS:
            break
        open_ = ~resolved(left, right)
        left, right = left[open_], right[open_]
        middle = (left + right) / 2
        done.append(middle)
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
    return np.unique(np.concatenate(done))


def _corners(edges: np.ndarray, law: _Law) -> np.ndarray:
    """The middles of the narrowest panels, each narrower than what lies around it: where the function is not smooth."""
    width = np.diff(edges)
    around = np.concatenate([[np.inf], width, [np.inf]])
    # Halves of one panel have the same width: of a pair the common edge counts.
    pairs = (width[:-1] <= _NARROW * _WIDTH * law.spread) & np.isclose(width[:-1], width[1:], rtol=1e-3)
    return edges[1:-1][pairs & (around[:-3] > 1.5 * width[:-1]) & (around[3:] > 1.5 * width[1:])]


def _padded(points: np.ndarray, declared: int) -> np.ndarray:
    """With zeros up to a power of two, where points were found: few shapes are compiled."""
    if len(points) <= declared:
        return points
    return np.concatenate([points, np.zeros(2 ** int(np.ceil(np.log2(len(points)))) - len(points))])
