"""The verdict on a reference: extrapolated means of clouds against it, at every recorded time."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..distances import squared_distances
from ..errors import Words, argument_error, check_instance
from ..extrapolation import Comparison, compare
from ..solution import Solution
from .clouds import Runs


class Judgement(NamedTuple):
    """The verdict on one reference: "agree", "disagree" or "undecided", a sentence, and every comparison behind it.

    `predictor_constant` [W, T] is m·E‖f_m − f‖², which tends to a constant in m; NaN where predictors are not compared.
    """

    verdict: str
    sentence: str
    comparisons: dict[str, Comparison]
    predictor_constant: Float[np.ndarray, "W T"]


def judge(reference: Solution, runs: Runs) -> Judgement:
    """Compare clouds with a reduced solution: extrapolated means against the reference, at every recorded time.

    The verdict is "disagree" if one of all differences is excluded as chance at a family-wise level of 0.1 %
    (Bonferroni, Student), "agree" if none is and every difference above a tenth of the size of its observable is
    excluded at 95 %, and "undecided" otherwise. Squared distances (Wasserstein between the laws of the angle, L²
    between the predictors) are compared with zero.
    """
    check_instance("reference", reference, Solution, "Pass what mf.solve_reduced returned.")
    check_instance("runs", runs, Runs, "Pass `report.runs`, or what mf.crosscheck.run_clouds returned.")
    if reference.ts.shape != runs.ts.shape or not np.allclose(reference.ts, runs.ts):
        raise argument_error("reference", "recorded at the times of the runs", reference.ts, "Solve it at runs.ts.")
    if not np.all(reference.valid):
        got = Words(f"one that did not: {reference.sentence()}")
        raise argument_error("reference", "a run that reached all of its times", got, "Solve it without `stop`.")
    names = [name for name in runs.observables if name in reference.observables]
    with_angles = any(weight.shape[-1] for weight in runs.weight)
    total = len(runs.ts) * (len(names) + (3 if with_angles else 0))
    comparisons = {}
    for name in names:
        error = 0 * reference.observables[name] if reference.error is None else reference.error[name]
        scale = _size(name, reference)
        comparisons[name] = compare(
            name, reference.observables[name], error, runs.observables[name], runs.widths, scale, total
        )
    constant = np.full((len(runs.widths), len(runs.ts)), np.nan)
    if with_angles:
        distances, sizes, errors = squared_distances(reference, runs.theta, runs.weight, runs.energy)
        for name, samples in distances.items():
            zero = np.zeros(len(runs.ts))
            comparisons[name] = compare(name, zero, errors[name], samples, runs.widths, sizes[name], total, squared=True)
        constant = np.stack(
            [m * np.mean(d, axis=0) for m, d in zip(runs.widths, distances["predictor_distance"], strict=True)]
        )
    return _verdict(comparisons, np.asarray(runs.ts), constant)


def _size(name: str, reference: Solution) -> float:
    """Against what a difference counts: the range of a bounded observable, the largest value of the others."""
    if name.startswith("alignment"):
        return 1.0
    if name.startswith("distance"):
        return np.pi / 2
    return float(np.max(np.abs(reference.observables[name])))


def _verdict(comparisons: dict[str, Comparison], ts, constant) -> Judgement:
    verdicts = {c.verdict for c in comparisons.values()}
    verdict = next(v for v in ("disagree", "undecided", "agree") if v in verdicts)
    scores = {name: np.abs(c.limit - c.reference) / c.standard_error for name, c in comparisons.items()}
    name = max(scores, key=lambda n: np.max(scores[n]))
    index = int(np.argmax(scores[name]))
    widest = max(comparisons.values(), key=lambda c: np.max(c.excluded) / c.scale)
    share = float(np.max(widest.excluded) / widest.scale)
    sentence = (
        f"{verdict}: {len(comparisons)} observables at {len(ts)} times. Largest difference {scores[name][index]:.1f} "
        f"standard errors ({name} at t = {ts[index]:g}). Excluded at 95 %: differences above {100 * share:.2g} % of "
        f"the size of any observable (the widest is {widest.observable})."
    )
    return Judgement(verdict, sentence, comparisons, constant)
