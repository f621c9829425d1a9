"""From a problem to the moment equation: when the network of infinite width is linear."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...errors import check_reducible, is_traced, no_reduction
from ...integrate import cast_floats
from ...problem.losses import SquareLoss
from ...problem.problem import Problem
from ...problem.rotated import unrotated
from ...problem.targets import FunctionTarget, Labels
from ...problem.units import AbstractOddSlope, AbstractUnit, Identity, is_homogeneous
from ...types import DTypeLike
from ..rules.second_moment import check_found, check_values
from .linear_part import LinearPart, linear_part
from .moments import OddReduction
from .standard_inputs import is_symmetric, with_covariance
from .start_moments import start_moments

_PROBES = 64  # inputs at which a declared parity is tried
_TOLERANCE = 1e-3  # float32 evaluations of a declared odd function pass, other functions do not


@functools.singledispatch
def is_linear(unit: AbstractUnit) -> bool:
    """Whether a network of this unit is linear, whatever its neurons are."""
    return False


@is_linear.register
def _(unit: Identity):
    return True


def check_odd(problem: Problem) -> None:
    """Raise NoReductionError, saying why, where the network is not linear.

    A two-layer linear network needs no symmetry. Any other unit needs an odd target, a symmetric law of the inputs and
    a start that is invariant under (a, b) ↦ (−a, −b). (Hajjar & Chizat 2022, odd targets.)
    """
    _check_dynamics(problem)
    if not is_linear(problem.unit):
        _check_symmetry(problem)


def build_odd(problem: Problem, dtype: DTypeLike) -> OddReduction:
    """The moment equation of a problem that `check_odd` lets through; raises ArgumentError if E f*² is not finite."""
    part = linear_part(problem.target, with_covariance(problem.inputs))
    if not is_traced(part.floor):
        check_found(problem, part.energy, 2 * part.floor_error)
    return cast_floats(_reduction(problem, part, _is_balanced(problem)), dtype)


def _check_dynamics(problem: Problem) -> None:
    name = type(problem.unit).__name__
    lossy = f"the moment equation needs the square loss, not {type(problem.loss).__name__}"
    check_reducible(problem.loss, SquareLoss, lossy)
    unit = check_reducible(problem.unit, AbstractOddSlope, f"the odd part of the unit {name} is not known to be linear")
    if not is_traced(unit.odd_slope) and float(unit.odd_slope) == 0:
        raise no_reduction("the unit is even, so that it learns nothing of an odd target")
    start_moments(problem.start, problem.dim)
    with_covariance(problem.inputs)


def _check_symmetry(problem: Problem) -> None:
    target = problem.target
    if isinstance(unrotated(target), FunctionTarget | Labels) and target.parity != "odd":
        raise no_reduction(
            "the target is not declared odd", 'Pass FunctionTarget(fn, parity="odd"), or use `solve_particles`.'
        )
    if not is_symmetric(problem.inputs):
        raise no_reduction(
            "the data set is not symmetric: it lacks the row −x for some row x",
            "Use mf.Empirical(x, symmetrise=True), unit=mf.Identity(), or `solve_particles`.",
        )
    if start_moments(problem.start, problem.dim).equal is False:
        raise no_reduction(
            "the two signs start with different masses, so that f is not odd",
            "Use equal masses, or `solve_particles`.",
        )
    if target.linear_weights() is None:
        _check_odd(problem)


def _check_odd(problem: Problem) -> None:
    """Try a target at a few inputs: a wrong declaration would give a wrong answer without a word."""
    x = problem.inputs.sample(jax.random.key(0), _PROBES)
    here, there = problem.values(x), problem.values(-x)
    if is_traced(here):
        return
    check_values(x, here)
    here, there = np.asarray(here, float), np.asarray(there, float)
    defect, size = np.max(np.abs(here + there)), np.max(np.abs(here))
    if not defect <= _TOLERANCE * size:
        raise no_reduction(
            f"the target is not odd: f*(x) + f*(−x) reaches {defect:.3g} where f* reaches {size:.3g}",
            "Check its formula, or use `solve_particles`, which needs no symmetry.",
        )


def _is_balanced(problem: Problem) -> bool:
    """Whether half of the moments E a² = E‖b‖² is the mass of either sign."""
    moments = start_moments(problem.start, problem.dim)
    if not moments.balanced or not is_homogeneous(problem.unit):
        return False
    return moments.equal is True or (moments.equal is None and not is_linear(problem.unit))


@eqx.filter_jit
def _reduction(problem: Problem, part: LinearPart, balanced: bool) -> OddReduction:
    dtype = jnp.result_type(float)
    moments = start_moments(problem.start, problem.dim)
    outer, inner = moments.outer, moments.inner
    if moments.equal is None and not is_linear(problem.unit):  # a difference could not be refused while it was traced
        outer, inner = (jnp.where(moments.same_masses, size, jnp.nan) for size in (outer, inner))
    kappa = check_reducible(problem.unit, AbstractOddSlope, "its odd part is not linear").odd_slope
    covariance, cross, optimum, floor, cross_error, floor_error = cast_floats(part, dtype)
    return OddReduction(
        covariance=covariance,
        cross=cross,
        optimum=optimum,
        floor=floor,
        odd_slope=kappa.astype(dtype),
        outer=outer.astype(dtype),
        inner=inner.astype(dtype),
        cross_error=cross_error,
        floor_error=floor_error,
        balanced=balanced,
    )
