"""From a declared structure to the reduction: which equation, and who builds it."""

import enum
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from ..errors import argument_error, check_instance, check_reducible, check_sequence, no_reduction
from ..integrate import cast_floats
from ..problem.losses import SquareLoss
from ..problem.problem import Problem
from ..problem.rotated import unrotated
from ..problem.start import AbstractBalancedStart, GaussianStart, UnbalancedStart
from ..problem.units import AbstractHomogeneousUnit, AbstractOddSlope, is_homogeneous
from ..types import Checked, DTypeLike, IntLike, Sizes
from .base import AbstractReduction
from .line.angle_structure import DefaultSizes, build_angle_reduction, check_angle
from .line.angle_structure import default_sizes as sizes_of_angle
from .line.declared_angle import declared_angle
from .odd.linear_network import build_odd, check_odd, is_linear
from .orbits.blocks import DECLARE
from .orbits.build import build_orbits, check_orbits
from .point import build_point, check_point
from .several.block_structure import build_block_reduction, check_blocks
from .several.declared import declared_blocks


class Equation(enum.Enum):
    """Which reduced equation a problem has, in words."""

    MOMENTS = "moments: an ODE"
    POINT = "no angle: closed form"
    ANGLE = "one angle in [0, π/2]"
    SIGNED_ANGLE = "one angle in [0, π]"
    SEVERAL_ANGLES = "two or three angles"
    ORBITS = "labels of neurons of any unit"


def equation_of(problem: Problem, structure: str | None = None, limit: bool = False) -> Equation:
    """The equation that `build_reduction` builds; raises NoReductionError, saying why, if there is none.

    Nothing is computed but what a check needs: the values of a target that is said to be odd.
    """
    check_one_output(problem)
    if limit:
        check_orbits(problem, limit)
        return Equation.ORBITS
    orbits = structure == "orbits" or (structure is None and not prefers_moments(problem) and not _has_kernel(problem))
    if orbits:
        check_orbits(problem)
        return Equation.ORBITS
    if problem.noise is not None:
        reason = "noise of the labels adds σ²/2 to the risk, which only labels of neurons add"
        raise no_reduction(reason, 'Pass structure="orbits", or leave the noise out: it moves nothing.')
    if structure == "odd" or (structure is None and prefers_moments(problem)):
        check_odd(problem)
        return Equation.MOMENTS
    _check_problem(problem)
    angle = declared_angle(problem.target)
    if angle is None:
        check_blocks(problem)
        return Equation.SEVERAL_ANGLES
    check_angle(problem.inputs, problem)
    if not angle.signed:
        if angle.dim_h < problem.dim:
            return Equation.ANGLE
        check_point(problem)
        return Equation.POINT
    if problem.dim == 1:
        raise no_reduction("with d = 1 there is no angle to an axis", "Use `solve_particles` with a few neurons.")
    return Equation.SIGNED_ANGLE


def check_one_output(problem: Problem) -> None:
    """Raise NoReductionError for a target whose values are arrays."""
    if problem.target_shape:
        reason = f"the values of the target are arrays of shape {list(problem.target_shape)}, not numbers"
        raise no_reduction(reason, "Reduce one output at a time, or use `solve_particles`.")


def prefers_moments(problem: Problem) -> bool:
    """Whether the moment equation is the one to take: an odd target, or a linear network, that no angle follows."""
    if not isinstance(problem.unit, AbstractOddSlope) or not isinstance(problem.loss, SquareLoss):
        return False
    target, linear_target = problem.target, problem.target.linear_weights() is not None
    if target.parity == "odd" and not linear_target:
        return True
    angular = declared_angle(target) is not None and problem.inputs.rotation_invariant
    if linear_target:
        followed = is_homogeneous(problem.unit) and isinstance(problem.start, AbstractBalancedStart)
        return not (angular and followed and problem.dim > 1)
    return is_linear(problem.unit) and not angular


def _has_kernel(problem: Problem) -> bool:
    """Whether risk and forces are those of the arc-cosine kernel, which angles diagonalise."""
    return is_homogeneous(problem.unit) and isinstance(problem.loss, SquareLoss)


def build_reduction(
    problem: Problem,
    cells: Sizes | None,
    nodes: Sizes | None,
    modes: IntLike | None,
    structure: str | None,
    dtype: DTypeLike,
    limit: bool,
) -> AbstractReduction:
    """The reduced equation of a problem with a declared structure, or in the `limit` d → ∞ that of the labels.

    Raises NoReductionError, saying why, if there is none.
    """
    if limit:
        return cast_floats(_builder(Equation.ORBITS)(problem, cells, nodes, modes, limit=True), dtype)
    equation = equation_of(problem, structure)
    if equation is Equation.MOMENTS:
        _check_no_grid(cells=cells, nodes=nodes, modes=modes)
        return build_odd(problem, dtype)
    if equation is Equation.POINT:
        return cast_floats(build_point(problem), dtype)
    return cast_floats(_builder(equation)(problem, cells, nodes, modes), dtype)


def _builder(equation: Equation) -> Callable[..., AbstractReduction]:
    others = {Equation.SEVERAL_ANGLES: build_block_reduction, Equation.ORBITS: build_orbits}
    return others.get(equation, build_angle_reduction)


def _check_no_grid(**sizes: object) -> None:
    for name, size in sizes.items():
        if size is not None:
            raise argument_error(name, "left out for an odd target", size, "Its equation is an ODE without a grid.")


def default_sizes(problem: Problem) -> DefaultSizes | None:
    """The sizes that `build_reduction` takes for a problem of one angle by default; None for any other problem."""
    angle = declared_angle(problem.target)
    if angle is None or prefers_moments(problem) or not _has_kernel(problem) or angle.dim_h == problem.dim:
        return None
    return sizes_of_angle(problem)


def _check_problem(problem: Problem) -> None:
    target, unit, start = unrotated(problem.target), problem.unit, problem.start
    if declared_angle(target) is None and declared_blocks(target) is None:
        raise no_reduction(f"the target {type(target).__name__} declares no structure", DECLARE)
    check_reducible(problem.loss, SquareLoss, f"the spectral form needs the square loss, not {type(problem.loss).__name__}")
    unfollowed = f"the unit {type(unit).__name__} is not 1-homogeneous, so no angle alone follows it"
    check_reducible(unit, AbstractHomogeneousUnit, unfollowed)
    lawless = f"the start {type(start).__name__} declares no law of (|a|, ‖b‖)"
    check_reducible(start, (AbstractBalancedStart, UnbalancedStart, GaussianStart), lawless)


def stack(reductions: Checked[Sequence[AbstractReduction]]) -> AbstractReduction:
    """Reductions of different problems as one, leaf by leaf, for `jax.vmap` over `solve_reduced`.

    Coefficients are leaves, and with one angle dimensions and exponents too; the numbers of cells, nodes and modes and the
    kind of angles must agree, or for odd targets the dimension and the form of Σ. Raises ArgumentError, naming the
    differing sizes, if they do not.
    """
    check_sequence("reductions", reductions, "a non-empty list of reductions", "Build them with mf.reduce.")
    if not reductions or any(type(r) is not type(reductions[0]) for r in reductions):
        raise argument_error("reductions", "a non-empty list of reductions of one kind", reductions, "Use mf.reduce.")
    for reduction in reductions:
        check_instance("reductions", reduction, AbstractReduction, "Use mf.reduce.")
    common = [reduction.in_common() for reduction in reductions]
    kinds = sorted({str(tuple(each.values())) for each in common})
    if len(kinds) > 1:
        remedy = "Pass the same cells=, nodes= and modes= to mf.reduce for all of them, or stack those that agree."
        raise argument_error("reductions", f"equal in ({', '.join(common[0])})", kinds, remedy)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *reductions)
