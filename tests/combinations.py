"""One catalogue of inputs, targets, units, starts, trainings and methods, and what the library answers for each.

`test_all_combinations.py` goes through their combinations, and `docs/tables.py` writes the table of what reduces from them:
a combination that is in neither is not supported. `combination_features.py` has each beside the same thing in numpy.
"""

import functools
import itertools
from typing import Any, NamedTuple

import jax.numpy as jnp
from combination_features import INPUTS, STARTS, TARGETS, UNITS, Inputs, Start, Target, Unit

import mfsym as mf
from mfsym.reduced.build import Equation, equation_of
from mfsym.reduced.choose import dynamics_of

TRAININGS = {
    "flow": mf.Training(),
    "rates": mf.Training(2.0, 0.5),
    "decay": mf.Training(weight_decay=0.2),
    "step": mf.Training(step=0.05),
    "momentum": mf.Training(step=0.05, momentum=0.5),
}
METHODS = ("grid", "upwind", "characteristics", "closed", "hyperboloid", "moments")
DEFAULTS = {"inputs": "Gaussian", "target": "SubspaceNorm", "unit": "ReLU", "start": "SphereStart"}
FEATURES = {"inputs": INPUTS, "target": TARGETS, "unit": UNITS, "start": STARTS}


class Combination(NamedTuple):
    """Names of one entry of every table. Those of DEFAULTS together have an equation."""

    inputs: str = DEFAULTS["inputs"]
    target: str = DEFAULTS["target"]
    unit: str = DEFAULTS["unit"]
    start: str = DEFAULTS["start"]

    @property
    def problem(self) -> mf.Problem:
        return mf.Problem(**{kind: FEATURES[kind][name].value for kind, name in self._asdict().items()})

    @property
    def equation(self) -> Equation:
        return equation_of(self.problem, limit=INPUTS[self.inputs].limit)

    def reduce(self, **sizes: Any) -> Any:
        return mf.reduce(self.problem, dim=jnp.inf if INPUTS[self.inputs].limit else None, **sizes)

    def twins(self) -> tuple[Inputs, Target, Unit, Start]:
        return INPUTS[self.inputs], TARGETS[self.target], UNITS[self.unit], STARTS[self.start]

    @property
    def usual(self) -> set[str]:
        """The features that are as in DEFAULTS."""
        return {feature for feature, name in DEFAULTS.items() if getattr(self, feature) == name}

    @property
    def stands(self) -> bool:
        """Whether it is a problem: labels take no target beside them, and a law of the biases units that have them."""
        labelled = (self.inputs == "labelled Empirical") == (self.target == "labels")
        return labelled and (self.start != "BiasedStart" or UNITS[self.unit].biased)


def triples() -> list[Combination]:
    """All triples of features, the fourth as in DEFAULTS, and all pairs, with them those that are no problem."""
    names = map(Combination._make, itertools.product(INPUTS, TARGETS, UNITS, STARTS))
    return [one for one in names if len(one.usual) >= (1 if one.stands else 2)]


ALL = triples()
PAIRS = [combination for combination in ALL if len(combination.usual) >= 2]


@functools.cache
def answer(combination: Combination) -> Equation | str:
    """The equation of a combination, or the reason why it has none, or is no problem."""
    try:
        return combination.equation
    except (mf.NoReductionError, mf.ArgumentError) as error:
        return str(error)


def answers() -> dict[Combination, Equation | str]:
    """Those of all: half a minute."""
    return {combination: answer(combination) for combination in ALL}


def reason_of(refusal: str) -> str:
    """Why, and the way out."""
    return refusal.split("here: ")[-1]


@functools.cache
def solvable() -> list[Combination]:
    return [combination for combination, found in answers().items() if isinstance(found, Equation)]


def choices(reduced: Any) -> list[tuple[str, str]]:
    """The methods and trainings that a reduction takes, by the refusals of the library."""
    found = []
    for method, name in itertools.product(METHODS, TRAININGS):
        try:
            _check_choice(reduced, method, None if name == "flow" else TRAININGS[name])
            found.append((method, name))
        except mf.ArgumentError:
            pass
    return found


def _check_choice(reduced: Any, method: str, training: mf.Training | None) -> None:
    """Raise ArgumentError where `solve_reduced` would, before anything is compiled."""
    dynamics_of(reduced, reduced.choose_method(method, training, None), training, 1e-10)
