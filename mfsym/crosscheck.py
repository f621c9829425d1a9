"""Both routes on one problem, and a verdict on their difference."""

from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from .solution import Solution


class Runs(eqx.Module):
    """Finite clouds of several widths and seeds on one problem, recorded at `ts` [T].

    `observables[name][k]` is [seeds, T] for `widths[k]`: what every cloud shows by itself. `theta[k]` and `weight[k]`
    [seeds, T, width] are the clouds pushed forward to the angle, with signed weights; `energy[k]` [seeds, T] is E f_m².
    """

    ts: Float[Array, " T"]
    widths: tuple[int, ...] = eqx.field(static=True)
    observables: dict[str, list[Float[Array, "seeds T"]]]
    theta: list[Float[Array, "seeds T width"]]
    weight: list[Float[Array, "seeds T width"]]
    energy: list[Float[Array, "seeds T"]]


class Comparison(NamedTuple):
    """One observable of the clouds, extrapolated to infinite width, against a reference; arrays are [T] or [W, T].

    mean_m = c_∞ + c_1/m (+ c_2/m²): `limit` is c_∞, `standard_error` that of limit − reference (it includes the
    reference's own error), `excluded` the difference |limit − reference| that is excluded at 95 %, `p_value` two-sided.
    `means` and `spreads` [W, T] are mean and standard deviation over seeds at every width, `spread_slope` the fitted
    exponent of the spread in m (−½ expected).
    """

    observable: str
    reference: Float[Array, " T"]
    limit: Float[Array, " T"]
    standard_error: Float[Array, " T"]
    excluded: Float[Array, " T"]
    p_value: Float[Array, " T"]
    means: Float[Array, "W T"]
    spreads: Float[Array, "W T"]
    spread_slope: float
    verdict: str


class Judgement(NamedTuple):
    """The verdict on one reference: "agree", "disagree" or "undecided", a sentence, and every comparison behind it.

    `predictor_constant` [W, T] is m·E‖f_m − f‖², which tends to a constant in m.
    """

    verdict: str
    sentence: str
    comparisons: dict[str, Comparison]
    predictor_constant: Float[Array, "W T"]


class CrossCheckReport(NamedTuple):
    """Both methods of the reduced route judged against the same clouds. `verdict` is the worst of both."""

    runs: Runs
    references: dict[str, Solution]
    judgements: dict[str, Judgement]
    verdict: str
