"""From a problem to the moment equation: when the network of infinite width is linear."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import is_traced, no_reduction
from ...integrate import cast_floats
from ...problem.block_inputs import GaussianBlocks
from ...problem.covariance import GaussianCovariance
from ...problem.inputs import Empirical, Gaussian, Sphere
from ...problem.losses import SquareLoss
from ...problem.problem import Problem
from ...problem.rotated import unrotated
from ...problem.start import AbstractBalancedStart, GaussianStart, SphereStart, UnbalancedStart
from ...problem.targets import FunctionTarget, LinearTarget, SingleIndex, SubspaceNorm
from ...problem.units import AbstractHomogeneousUnit, AbstractOddSlope, Identity
from ..rules.second_moment import check_found, check_values
from .linear_part import LinearPart, linear_part
from .moments import OddReduction

_PROBES = 64  # inputs at which a declared parity is tried
_TOLERANCE = 1e-3  # float32 evaluations of a declared odd function pass, other functions do not


def prefers_moments(problem: Problem) -> bool:
    """Whether the moment equation is the one to take: an odd target, or a linear network, that no angle follows."""
    target, is_linear = problem.target, problem.target.linear_weights() is not None
    if target.parity == "odd" and not is_linear:
        return True
    angular = isinstance(unrotated(target), (SubspaceNorm, SingleIndex, LinearTarget)) and problem.inputs.rotation_invariant
    followed = isinstance(problem.unit, AbstractHomogeneousUnit) and isinstance(problem.start, AbstractBalancedStart)
    if is_linear:
        return not (angular and followed and problem.dim > 1)
    return isinstance(problem.unit, Identity) and not angular


def check_odd(problem: Problem) -> None:
    """Raise NoReductionError, saying why, where the network is not linear.

    A two-layer linear network needs no symmetry. Any other unit needs an odd target, a symmetric law of the inputs and
    a start that is invariant under (a, b) ↦ (−a, −b). (Hajjar & Chizat 2022, odd targets.)
    """
    _check_dynamics(_with_covariance(problem))
    if not isinstance(problem.unit, Identity):
        _check_symmetry(problem)


def build_odd(problem: Problem, dtype: Any) -> OddReduction:
    """The moment equation of a problem that `check_odd` lets through; raises ArgumentError if E f*² is not finite."""
    problem = _with_covariance(problem)
    part = linear_part(problem.target, problem.inputs)
    if not is_traced(part.floor):
        check_found(problem, part.energy, 2 * part.floor_error)
    return cast_floats(_reduction(problem, part, _is_balanced(problem)), dtype)


def _with_covariance(problem: Problem) -> Problem:
    """Gaussian blocks as what they are here: a Gaussian with a diagonal covariance."""
    inputs = problem.inputs
    if not isinstance(inputs, GaussianBlocks):
        return problem
    diagonal = jnp.repeat(inputs.scales**2, np.array(inputs.dims), total_repeat_length=inputs.dim)
    return eqx.tree_at(lambda p: p.inputs, problem, GaussianCovariance(jnp.diag(diagonal)))


def _check_dynamics(problem: Problem) -> None:
    unit: Any = problem.unit
    if not isinstance(problem.loss, SquareLoss):
        raise no_reduction(f"the moment equation needs the square loss, not {type(problem.loss).__name__}")
    if not isinstance(unit, AbstractOddSlope):
        raise no_reduction(f"the odd part of the unit {type(unit).__name__} is not known to be linear")
    if not is_traced(unit.odd_slope) and float(unit.odd_slope) == 0:
        raise no_reduction("the unit is even, so that it learns nothing of an odd target")
    if not isinstance(problem.start, SphereStart | UnbalancedStart | GaussianStart):
        raise no_reduction(
            f"the start {type(problem.start).__name__} is not the same in all directions",
            "Use mf.SphereStart, mf.UnbalancedStart or mf.GaussianStart, or `solve_particles`.",
        )
    if not isinstance(problem.inputs, Gaussian | Sphere | GaussianCovariance | Empirical):
        raise no_reduction(f"the covariance of inputs of type {type(problem.inputs).__name__} is not known")


def _check_symmetry(problem: Problem) -> None:
    target, inputs, start = problem.target, problem.inputs, problem.start
    if isinstance(unrotated(target), FunctionTarget) and target.parity != "odd":
        raise no_reduction(
            "the target is not declared odd", 'Pass FunctionTarget(fn, parity="odd"), or use `solve_particles`.'
        )
    if isinstance(inputs, Empirical) and not is_traced(inputs.x) and not inputs.is_invariant(-jnp.eye(inputs.dim)):
        raise no_reduction(
            "the data set is not symmetric: it lacks the row −x for some row x",
            "Use mf.Empirical(x, symmetrise=True), unit=mf.Identity(), or `solve_particles`.",
        )
    if isinstance(start, SphereStart) and _equal(start.mass_plus, start.mass_minus) is False:
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


def _equal(first: Any, second: Any) -> bool | None:
    """Whether two numbers are equal; None if this is not known."""
    if first is second:
        return True
    return None if is_traced(first) or is_traced(second) else float(first) == float(second)


def _is_balanced(problem: Problem) -> bool:
    """Whether half of the moments E a² = E‖b‖² is the mass of either sign."""
    start = problem.start
    if not isinstance(start, SphereStart) or not isinstance(problem.unit, AbstractHomogeneousUnit):
        return False
    equal = _equal(start.mass_plus, start.mass_minus)
    return equal is True or (equal is None and not isinstance(problem.unit, Identity))


def _start_moments(problem: Problem) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """E a² and v2 with E b bᵀ = v2 I at time 0; NaN for different masses that could not be refused while traced."""
    start = problem.start
    if isinstance(start, GaussianStart):
        return start.scale_a**2, start.scale_b**2 / problem.dim
    if isinstance(start, UnbalancedStart):
        return start.norm_a**2, start.norm_b**2 / problem.dim
    assert isinstance(start, SphereStart)
    total = start.mass_plus + start.mass_minus
    if not isinstance(problem.unit, Identity):
        total = jnp.where(start.mass_plus == start.mass_minus, total, jnp.nan)
    return total, total / problem.dim


@eqx.filter_jit
def _reduction(problem: Any, part: LinearPart, balanced: bool) -> OddReduction:
    dtype = jnp.result_type(float)
    outer, inner = _start_moments(problem)
    kappa = problem.unit.odd_slope
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
