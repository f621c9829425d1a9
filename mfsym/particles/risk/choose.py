"""Which risk a problem has."""

from typing import Any

from ...errors import ArgumentError, argument_error, check_integer, check_key, positive_number
from ...problem.block_inputs import GaussianBlocks
from ...problem.inputs import Empirical, Gaussian, Sphere
from ...problem.losses import SquareLoss
from ...problem.problem import Problem
from ...problem.units import AbstractHomogeneousUnit
from ..arguments import check_problem
from .base import AbstractRisk
from .block_risk import block_risk
from .empirical import EmpiricalRisk
from .exact import ExactRisk
from .sampled import SampledRisk
from .targets import USE_SAMPLES, check_closed_form


def risk_of(
    problem: Problem, *, samples: Any = None, key: Any = None, step: Any = None, block_size: Any = None
) -> AbstractRisk:
    """The risk of a problem: exact where a closed form exists, the training risk on a data set, or sampled.

    Arguments: `samples` asks for n fresh inputs for every step of length `step` (flow time), drawn from `key`.
    `block_size` is how many samples (neurons, for the exact risk) are held against the whole cloud at a time; the default
    suits the shapes and the device. It changes time and memory, and the order of sums.
    Returns an object with `value(cloud)` and `velocity(cloud)` = −m∇F; for a sampled risk `at_time(t)` gives the one
    of a later step. Raises ArgumentError if there is no closed form and no `samples`.
    """
    check_problem(problem)
    if block_size is not None:
        block_size = check_integer("block_size", block_size, 1, "It is the number of rows that are held at a time.")
    step = positive_number("step", 1.0 if step is None else step, "It is the fixed step in flow time.")
    if samples is not None:
        count = check_integer("samples", samples, 1, "It is the number of fresh inputs per step.")
        return SampledRisk(problem, check_key(key), step, count, block_size)
    if key is not None:
        raise argument_error("key", "left out where `samples` is", key, "Only fresh inputs need a key.")
    if isinstance(problem.inputs, Empirical):
        return EmpiricalRisk(problem.target, problem.unit, problem.loss, problem.inputs.x, None, block_size)
    inputs, unit = problem.inputs, problem.unit
    if not isinstance(inputs, Gaussian | Sphere | GaussianBlocks):
        raise _no_exact_risk("problem.inputs", "Gaussian, Sphere or GaussianBlocks", inputs)
    if not isinstance(problem.loss, SquareLoss):
        raise _no_exact_risk("problem.loss", "SquareLoss", problem.loss)
    if not isinstance(unit, AbstractHomogeneousUnit):
        raise _no_exact_risk("problem.unit", "1-homogeneous", unit)
    check_closed_form(problem.target, inputs)
    if isinstance(inputs, GaussianBlocks):
        return block_risk(inputs, problem.target, unit, block_size)
    return ExactRisk(inputs, problem.target, unit, block_size)


def _no_exact_risk(argument: str, expected: str, got: Any) -> ArgumentError:
    return argument_error(argument, f"{expected}, as the exact risk needs", f"a {type(got).__name__}", USE_SAMPLES)
