"""Extrapolation of finite-width means to infinite width, and the statistics of their difference to a reference."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit

from .types import Json, RealArrayLike

_FAMILY_LEVEL = 1e-3  # probability that a right reference is called wrong in a whole comparison
_RESOLUTION = 0.1  # "agree" needs differences above this share of an observable's size excluded at 95 %
_SOLVER_TOLERANCE = 1e-5  # of the size of an observable: what both solvers' time steps leave open


class Comparison(NamedTuple):
    """One observable of the clouds, extrapolated to infinite width, against a reference; arrays are [T] or [W, T].

    mean_m = c_∞ + c_1/m (+ c_2/m²): `limit` is c_∞, `standard_error` that of limit − reference (it includes the
    reference's own error), `excluded` the difference |limit − reference| that is excluded at 95 %, `p_value` two-sided.
    `means` and `spreads` [W, T] are mean and standard deviation over seeds at every width, `spread_slope` the fitted
    exponent of the spread in m (−½ expected, −1 for squared distances), `scale` the size of
    the observable, against which differences count.
    """

    observable: str
    reference: Float[np.ndarray, " T"]
    limit: Float[np.ndarray, " T"]
    standard_error: Float[np.ndarray, " T"]
    excluded: Float[np.ndarray, " T"]
    p_value: Float[np.ndarray, " T"]
    means: Float[np.ndarray, "W T"]
    spreads: Float[np.ndarray, "W T"]
    spread_slope: float
    scale: float
    verdict: str

    def as_dict(self) -> dict[str, Json]:
        """Plain numbers for JSON."""
        names = ("reference", "limit", "standard_error", "excluded", "p_value")
        record = {name: [v if np.isfinite(v) else None for v in getattr(self, name).tolist()] for name in names}
        slope = self.spread_slope if np.isfinite(self.spread_slope) else None
        return record | {"spread_slope": slope, "verdict": self.verdict}


def compare(
    name: str,
    reference: RealArrayLike,
    error: RealArrayLike,
    samples: Sequence[RealArrayLike],
    widths: tuple[int, ...],
    scale: float,
    total: int,
    squared: bool = False,
) -> Comparison:
    """Judge one observable: samples[k] [seeds, T] of width widths[k] against a reference [T] with its own error [T].

    `total` is the number of comparisons in the family. `squared` marks squared distances, whose roots are what counts.
    """
    reference, error = np.asarray(reference, float), np.asarray(error, float)
    runs = [np.asarray(s, float) for s in samples]
    means = np.stack([s.mean(axis=0) for s in runs])
    spreads = np.stack([s.std(axis=0, ddof=1) for s in runs])
    counts = np.array([len(s) for s in runs])[:, None]
    floor = _SOLVER_TOLERANCE * scale
    limit, variance, freedom = _extrapolate(means, spreads**2 / counts, counts, np.array(widths, float))
    standard_error = np.sqrt(variance + error**2 + floor**2)
    score = np.abs(limit - reference) / standard_error
    p_value = 2 * stdtr(freedom, -score)
    excluded = np.abs(limit - reference) + stdtrit(freedom, 0.975) * standard_error
    allowed = _RESOLUTION**2 if squared else _RESOLUTION
    known = np.isfinite(score)
    if np.any(p_value[known] * total < _FAMILY_LEVEL):
        verdict = "disagree"
    else:
        verdict = "agree" if np.all(excluded[known] <= allowed * scale) else "undecided"
    return Comparison(
        observable=name,
        reference=np.where(known, reference, 0.0),
        limit=np.where(known, limit, 0.0),
        standard_error=np.where(known, standard_error, np.inf),
        excluded=np.where(known, excluded, 0.0),
        p_value=np.where(known, p_value, 1.0),
        means=means,
        spreads=spreads,
        spread_slope=spread_slope(widths, spreads),
        scale=scale,
        verdict=verdict,
    )


def _extrapolate(means, variances, counts, widths):
    """c_∞ of mean_m = c_∞ + c_1/m (+ c_2/m² from three widths on), its variance and degrees of freedom, each [T].

    From four widths on it is least squares with weights m, those of a scatter of order m^{-1/2}: weights made of the
    variances of few seeds prefer widths whose variance came out too small. The degrees of freedom are those of one width;
    Welch and Satterthwaite's, which are more, promise too much in the tails, where a family of comparisons is judged.
    """
    powers = np.arange(min(len(widths), 3))
    design = (widths[0] / widths)[:, None] ** powers
    weights = counts[:, 0] * widths  # [W]
    normal = np.einsum("wp,w,wq->pq", design, weights, design)
    rows = np.linalg.solve(normal, design.T * weights)[0][:, None]  # [W, 1]
    limit = np.sum(rows * means, axis=0)
    variance = np.sum(rows**2 * variances, axis=0)
    return limit, variance, np.where(variance > 0, np.min(counts) - 1.0, 1e6)  # without variance the law is normal


def spread_slope(widths: tuple[int, ...], spreads: Float[np.ndarray, "W T"]) -> float:
    """Exponent in m of the standard deviation over seeds, fitted to its root mean square over times."""
    useful = np.all(np.isfinite(spreads) & (spreads > 1e-12 * np.nanmax(spreads, initial=1e-300)), axis=0)
    if not useful.any():
        return float("nan")
    relative = spreads[:, useful] / spreads[:1, useful]
    return float(np.polyfit(np.log(widths), np.log(np.sqrt(np.mean(relative**2, axis=1))), 1)[0])
