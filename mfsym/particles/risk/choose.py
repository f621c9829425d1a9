"""Which risk a problem has."""

from typing import Any

from ...errors import argument_error, check_integer, positive_number
from ...problem.inputs import Empirical, Gaussian, Sphere
from ...problem.losses import SquareLoss
from ...problem.problem import Problem
from ...problem.units import AbstractHomogeneousUnit
from ..arguments import check_key, check_problem
from .base import AbstractRisk
from .empirical import EmpiricalRisk
from .exact import ExactRisk
from .sampled import SampledRisk
from .targets import USE_SAMPLES, check_closed_form


def risk_of(problem: Problem, *, samples: int | None = None, key: Any = None, step: Any = None) -> AbstractRisk:
    """The risk of a problem: exact where a closed form exists, the training risk on a data set, or sampled.

    Arguments: `samples` asks for n fresh inputs for every step of length `step` (flow time), drawn from `key`.
    Returns an object with `value(cloud)` and `velocity(cloud)` = −m∇F; for a sampled risk `at_time(t)` gives the one
    of a later step. Raises ArgumentError if there is no closed form and no `samples`.
    """
    check_problem(problem)
    if samples is not None:
        count = check_integer("samples", samples, 1, "It is the number of fresh inputs per step.")
        step = positive_number("step", 1.0 if step is None else step, "It is the fixed step in flow time.")
        return SampledRisk(problem, check_key(key), step, count)
    if isinstance(problem.inputs, Empirical):
        return EmpiricalRisk(problem.target, problem.unit, problem.loss, problem.inputs.x)
    _check_exact(problem)
    return ExactRisk(problem.inputs, problem.target, problem.unit)


def _check_exact(problem: Problem) -> None:
    """Raise ArgumentError naming what has no exact risk."""
    wanted = (
        ("problem.inputs", problem.inputs, (Gaussian, Sphere), "Gaussian or Sphere, as the exact risk needs"),
        ("problem.loss", problem.loss, (SquareLoss,), "SquareLoss, as the exact risk needs"),
        ("problem.unit", problem.unit, (AbstractHomogeneousUnit,), "1-homogeneous, as the exact risk needs"),
    )
    for name, value, kinds, expected in wanted:
        if not isinstance(value, kinds):
            raise argument_error(name, expected, f"a {type(value).__name__}", USE_SAMPLES)
    check_closed_form(problem.target, problem.inputs)
