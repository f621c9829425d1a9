"""Slopes in the width, fitted to sizes of several networks, and the verdict on one that was predicted."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

TOLERANCES = {
    "forward": (0.1, 0.1),
    "gradient": (0.15, 0.15),
    "update": (0.25, 0.5),
    "change": (0.25, 0.5),
}  # and of the output
BENT = 0.15  # between the slope of all widths and that of the last pair
_LEAST = 1e-300  # sizes below, exact zeros among them, have no logarithm

AGREE, DISAGREE, UNDECIDED = "agree", "disagree", "undecided"


class Slopes(NamedTuple):
    """Least squares of log size against log width, a fit for each seed: mean and standard error over seeds, and the slope
    of the last pair of widths; [layers]."""

    slope: Float[np.ndarray, " layers"]
    error: Float[np.ndarray, " layers"]
    local: Float[np.ndarray, " layers"]


def fit(widths: tuple[int, ...], values: Float[np.ndarray, "W seeds layers"]) -> Slopes:
    """Slopes of sizes; of no number where one of them is 0 or no number."""
    logs = np.log(np.where((values > _LEAST) & np.isfinite(values), values, np.nan))
    m = np.log(np.asarray(widths, float))
    centred = m - m.mean()
    each = np.tensordot(centred, logs, axes=1) / np.sum(centred**2)  # [seeds, layers]
    error = np.std(each, axis=0, ddof=1) / np.sqrt(each.shape[0])
    local = np.mean((logs[-1] - logs[-2]) / (m[-1] - m[-2]), axis=0)
    return Slopes(np.mean(each, axis=0), error, local)


def judge(name: str, found: Slopes, predicted: tuple[float, ...], spoiled: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(verdict, reason) of every layer.

    With gap = |slope − predicted|: agree where gap + 2 error ≤ tolerance, disagree where gap − 3 error > tolerance,
    otherwise undecided; and undecided, never disagree, where `spoiled` says why the numbers mean nothing, or where the slope
    of the last pair of widths is nearer to the prediction by more than .15 and by half of the way: asymptotics that have
    not begun. A last pair that is a little nearer is scatter, which must not excuse a wrong exponent.
    """
    hidden, output = TOLERANCES[name]
    found_of = zip(found.slope, found.error, found.local, predicted, spoiled, strict=True)
    count = len(predicted)
    return tuple(_judge(*one, tolerance=output if index == count - 1 else hidden) for index, one in enumerate(found_of))


def _judge(slope: float, error: float, local: float, predicted: float, spoiled: str, *, tolerance: float) -> tuple[str, str]:
    if spoiled:
        return UNDECIDED, spoiled
    if not np.isfinite(slope):
        return UNDECIDED, "sizes are 0 or no numbers"
    if not np.isfinite(predicted):
        return UNDECIDED, "nothing is predicted"
    gap, last = abs(slope - predicted), abs(local - predicted)
    if gap + 2 * error <= tolerance:
        return AGREE, ""
    if gap - last > BENT and last <= gap / 2:
        return UNDECIDED, f"still bending, {local:+.2f} at the last pair of widths"
    if gap - 3 * error > tolerance:
        return DISAGREE, f"off by {slope - predicted:+.2f}, tolerance {tolerance:g}"
    return UNDECIDED, "take more seeds or widths"
