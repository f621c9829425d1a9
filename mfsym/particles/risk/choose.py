"""Which risk a problem has."""

from typing import TypeVar

import jax

from ...errors import argument_error, check_integer, check_is, check_key, positive_number
from ...problem.block_inputs import GaussianBlocks
from ...problem.covariance import GaussianCovariance
from ...problem.empirical import data_of
from ...problem.inputs import AbstractIsotropicInputs, Gaussian
from ...problem.losses import SquareLoss
from ...problem.problem import Problem
from ...problem.units import AbstractHomogeneousUnit, AbstractUnit, is_erf
from ...risks import AbstractPredictorRisk, AbstractRisk, EmpiricalRisk, SampledRisk, check_risk
from ...types import Checked, Cloud, IntLike, KeyLike, RealLike
from ..arguments import check_problem
from .arcsine import ArcsineRisk, check_erf_target
from .block_risk import block_risk
from .exact import ExactRisk
from .schemes import AbstractScheme, check_scheme
from .targets import USE_SAMPLES, check_closed_form

_Kind = TypeVar("_Kind")
_UNITS = "1-homogeneous, or a erf(b·x)"


def risk_of(
    problem: Problem,
    *,
    scheme: Checked[AbstractScheme | None] = None,
    samples: IntLike | None = None,
    key: KeyLike | None = None,
    step: RealLike | None = None,
    block_size: IntLike | None = None,
) -> AbstractPredictorRisk:
    """The risk of a problem: exact where a closed form exists, the training risk on a data set, or sampled.

    Arguments: `scheme`, a `DataAugmentation`, `FeatureAveraging` or `EquivariantArchitecture`, is applied to it: its unit
    has to be equivariant under the action. `samples` asks for n fresh inputs for every step of length `step` (flow time),
    drawn from `key`.
    A data set, or a cubature of the inputs, serves any unit and loss; closed forms are those of 1-homogeneous units and of
    a erf(b·x), for the square loss.
    `block_size` is how many samples (neurons, for the exact risk) are held against the whole cloud at a time; the default
    suits the shapes and the device. It changes time and memory, and the order of sums.
    Returns an object with `value(cloud)`, `velocity(cloud)` = −m∇F and `energy(cloud)` = E f²; for a sampled risk
    `at_time(t)` gives the one of a later step. Raises ArgumentError if there is no closed form and no `samples`.
    """
    check_problem(problem)
    if block_size is not None:
        block_size = check_integer("block_size", block_size, 1, "It is the number of rows that are held at a time.")
    step = positive_number("step", 1.0 if step is None else step, "It is the fixed step in flow time.")
    if scheme is not None:
        check_scheme(scheme, problem)
    if samples is not None:
        count = check_integer("samples", samples, 1, "It is the number of fresh inputs per step.")
        risk = SampledRisk(problem, check_key(key), step, count, block_size)
    elif key is not None:
        raise argument_error("key", "left out where `samples` is", key, "Only fresh inputs need a key.")
    else:
        risk = _fixed_risk(problem, block_size)
    return risk if scheme is None else scheme.of(risk)


def _fixed_risk(problem: Problem, block_size: int | None) -> AbstractPredictorRisk:
    """The risk on a data set, or a closed form."""
    on_data = risk_on_data(problem, block_size)
    if on_data is not None:
        return on_data
    if problem.noise is not None:
        raise argument_error("samples", "given where labels have noise", None, USE_SAMPLES)
    if is_erf(problem.unit):
        return _arcsine_risk(problem, block_size)
    laws = (AbstractIsotropicInputs, GaussianBlocks)
    _check_exact("problem.inputs", problem.inputs, laws, "Gaussian, Sphere or GaussianBlocks")
    _check_exact("problem.loss", problem.loss, SquareLoss, "SquareLoss")
    unit = _check_exact("problem.unit", problem.unit, AbstractHomogeneousUnit, _UNITS)
    check_closed_form(problem.target, problem.inputs)
    if isinstance(problem.inputs, GaussianBlocks):
        return block_risk(problem.inputs, problem.target, unit, block_size)
    return ExactRisk(problem.inputs, problem.target, unit, block_size)


def risk_on_data(problem: Problem, block_size: int | None = None) -> EmpiricalRisk | None:
    """The training risk on a data set or a cubature; None for any other law of inputs."""
    data = data_of(problem.inputs)
    if data is None:
        return None
    return EmpiricalRisk(problem.target, problem.unit, problem.loss, data.x, data.y, data.weights, block_size)


def _arcsine_risk(problem: Problem, block_size: int | None) -> ArcsineRisk:
    """Neurons a erf(b·x) under any Gaussian law."""
    laws = (Gaussian, GaussianBlocks, GaussianCovariance)
    _check_exact("problem.inputs", problem.inputs, laws, "Gaussian")
    _check_exact("problem.loss", problem.loss, SquareLoss, "SquareLoss")
    check_erf_target(problem.target)
    return ArcsineRisk(problem.inputs, problem.target, block_size)


def _check_exact(argument: str, value: object, kind: type[_Kind] | tuple[type[_Kind], ...], expected: str) -> _Kind:
    """A part of the problem for which there is an exact risk."""
    expected = f"{expected}, as the exact risk needs"
    return check_is(argument, value, kind, expected, USE_SAMPLES, f"a {type(value).__name__}")


def risk_to_follow(
    problem: Problem | None,
    cloud: Cloud,
    risk: Checked[AbstractRisk | None],
    *,
    scheme: Checked[AbstractScheme | None],
    samples: IntLike | None,
    key: KeyLike | None,
    step: RealLike | None,
    block_size: IntLike | None,
) -> AbstractRisk:
    """The risk that a caller brings, once it has been found to fit the cloud, or that of the problem; under a scheme."""
    if risk is None:
        options = {"scheme": scheme, "samples": samples, "key": key, "step": step, "block_size": block_size}
        found = risk_of(check_problem(problem), **options)
    else:
        for name, value in (("samples", samples), ("key", key), ("block_size", block_size)):
            if value is not None:
                remedy = "The risk says itself what it is made of."
                raise argument_error(name, "left out where `risk` is given", value, remedy)
        found = check_risk(risk, cloud)
        found = found if scheme is None else check_scheme(scheme, problem).of(found)
    if scheme is not None:
        jax.eval_shape(scheme.action.project, cloud)  # refuses a cloud that it does not fit
    return found


def model_of(problem: Problem | None, scheme: AbstractScheme | None) -> AbstractUnit | None:
    """The unit with which a cloud predicts after training under a scheme."""
    if problem is None or scheme is None:
        return None if problem is None else problem.unit
    return scheme.model(problem.unit)
