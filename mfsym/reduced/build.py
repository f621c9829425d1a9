"""From a declared structure to the reduction: which angle, which features, which coefficients."""

import enum
import operator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..errors import argument_error, check_instance, check_integer, check_sequence, is_traced, no_reduction
from ..integrate import cast_floats
from ..problem.block_inputs import GaussianBlocks
from ..problem.block_targets import BlockNorms, MultiIndex
from ..problem.inputs import Gaussian
from ..problem.losses import SquareLoss
from ..problem.problem import Problem
from ..problem.rotated import rotation_of, unrotated
from ..problem.start import AbstractBalancedStart, GaussianStart, UnbalancedStart
from ..problem.targets import LinearTarget, SingleIndex, SubspaceNorm
from ..problem.units import AbstractHomogeneousUnit
from .angles.angular import SMALLEST_GRID
from .angles.law import initial_measures
from .base import AbstractReduction
from .line.angle_reduction import AngleReduction
from .line.coefficients import target_parts
from .line.features import AngleFeatures
from .line.predictor import average_table, slope_table
from .odd.linear_network import build_odd, check_odd, prefers_moments
from .orbits.build import build_orbits, check_orbits
from .point import PointReduction
from .rules.harmonics import even_features, funk_hecke, norm_constant, truncated_share
from .rules.panels import quadrature_of
from .rules.quadrature import interval_end
from .several.block_structure import build_block_reduction, check_blocks, has_blocks

_TRUNCATION = 1e-7  # share of K(0, 0) that the default number of modes may leave out
_FEWEST_MODES, _MOST_MODES = 16, 128


class Equation(enum.Enum):
    """Which reduced equation a problem has, in words."""

    MOMENTS = "moments: an ODE"
    POINT = "no angle: closed form"
    ANGLE = "one angle in [0, π/2]"
    SIGNED_ANGLE = "one angle in [0, π]"
    SEVERAL_ANGLES = "two or three angles"
    ORBITS = "labels of neurons of any unit"


def equation_of(problem: Problem, structure: str | None = None) -> Equation:
    """The equation that `build_reduction` builds; raises NoReductionError, saying why, if there is none.

    Nothing is computed but what a check needs: the values of a target that is said to be odd.
    """
    if structure == "odd" or (structure is None and prefers_moments(problem)):
        check_odd(problem)
        return Equation.MOMENTS
    if structure == "orbits" or (structure is None and not _has_kernel(problem)):
        check_orbits(problem)
        return Equation.ORBITS
    _check_problem(problem)
    if has_blocks(problem):
        check_blocks(problem)
        return Equation.SEVERAL_ANGLES
    _check_inputs(problem)
    if _whole_space(problem):
        _check_point(problem)
        return Equation.POINT
    if problem.radial_subspace():
        return Equation.ANGLE
    if problem.dim == 1:
        raise no_reduction("with d = 1 there is no angle to an axis", "Use `solve_particles` with a few neurons.")
    return Equation.SIGNED_ANGLE


def _has_kernel(problem: Problem) -> bool:
    """Whether risk and forces are those of the arc-cosine kernel, which angles diagonalise."""
    return isinstance(problem.unit, AbstractHomogeneousUnit) and isinstance(problem.loss, SquareLoss)


def _whole_space(problem: Problem) -> bool:
    target: Any = unrotated(problem.target)
    return problem.radial_subspace() and target.dim_h == problem.dim


def build_reduction(
    problem: Problem, cells: Any, nodes: Any, modes: int | None, structure: str | None, dtype
) -> AbstractReduction:
    """The reduced equation of a problem with a declared structure; raises NoReductionError, saying why, if there is none."""
    equation = equation_of(problem, structure)
    if equation is Equation.MOMENTS:
        _check_no_grid(cells=cells, nodes=nodes, modes=modes)
        return build_odd(problem, dtype)
    if equation is Equation.ORBITS:
        return build_orbits(problem, cells, nodes, modes, dtype)
    if equation is Equation.SEVERAL_ANGLES:
        return cast_floats(build_block_reduction(problem, cells, nodes, modes), dtype)
    if equation is Equation.POINT:
        return cast_floats(_point_reduction(problem), dtype)
    signed, dim = equation is Equation.SIGNED_ANGLE, problem.dim
    target: Any = unrotated(problem.target)
    dim_h = 1 if signed else target.dim_h
    cells = check_integer("cells", _default_cells(signed) if cells is None else cells, SMALLEST_GRID, _CELLS)
    nodes = check_integer("nodes", _default_nodes(dim, signed) if nodes is None else nodes, 7, _NODES)
    if nodes % 2 == 0:
        raise argument_error("nodes", "odd", nodes, "The rule is nested, so that its error can be estimated.")
    modes = check_integer("modes", default_modes(dim, dim_h) if modes is None else modes, 1, _MODES)
    if isinstance(problem.start, AbstractBalancedStart):
        _check_start(problem.start, signed)
    rules = quadrature_of(target, _isotropic_inputs(problem.inputs)[0])
    return cast_floats(_angle_reduction(problem, dim_h, signed, cells, nodes, modes, rules), dtype)


def _check_no_grid(**sizes: int | None) -> None:
    for name, size in sizes.items():
        if size is not None:
            raise argument_error(name, "left out for an odd target", size, "Its equation is an ODE without a grid.")


_CELLS = "The reconstruction needs that many cells."
_NODES = "It is the number of labels per sign on the route of characteristics."
_MODES = "It is the number of even harmonics in the dynamics."


def default_modes(dim: int, dim_h: int) -> int:
    """The fewest features that leave out a share of at most 1e-7 of K(0, 0), between 16 and 128.

    With d_H = 1 the series converges like n^{-3}, and 128 features leave out between 1e-8 (d = 2) and 1e-5 (d = 1000).
    """
    shares = truncated_share(dim, dim_h, _MOST_MODES)
    enough = np.nonzero(shares <= _TRUNCATION)[0]
    return int(np.clip(enough[0] + 1 if enough.size else _MOST_MODES, _FEWEST_MODES, _MOST_MODES))


class DefaultSizes(NamedTuple):
    """Sizes of a one-angle reduction that depend on the dimensions, and whether the angle is signed."""

    nodes: int
    modes: int
    signed: bool


def default_sizes(problem: Problem) -> DefaultSizes | None:
    """The sizes that `build_reduction` takes for a problem of one angle by default; None for any other problem."""
    target: Any = unrotated(problem.target)
    dim_h = target.dim_h if isinstance(target, SubspaceNorm) else 1
    if not isinstance(target, (SubspaceNorm, SingleIndex, LinearTarget)) or prefers_moments(problem) or dim_h == problem.dim:
        return None
    signed = not problem.radial_subspace()
    modes = default_modes(problem.dim, 1 if signed else dim_h)
    return DefaultSizes(_default_nodes(problem.dim, signed), modes, signed)


def _default_cells(signed: bool) -> int:
    return 400 if signed else 200


def _default_nodes(dim: int, signed: bool) -> int:
    # The law of the angle is 1/√d wide: keep about eight nodes in that width.
    wanted = (2 if signed else 1) * max(128, 8 * np.pi / 2 * np.sqrt(dim))
    return 2 ** int(np.ceil(np.log2(wanted))) - 1


def _check_problem(problem: Problem) -> None:
    target = unrotated(problem.target)
    if not isinstance(target, (SubspaceNorm, SingleIndex, LinearTarget, MultiIndex, BlockNorms)):
        raise no_reduction(
            f"the target {type(target).__name__} declares no structure",
            "Declare it (SubspaceNorm, SingleIndex, LinearTarget, MultiIndex, BlockNorms), or use `solve_particles`, which "
            "needs none.",
        )
    if not isinstance(problem.loss, SquareLoss):
        raise no_reduction(f"the spectral form needs the square loss, not {type(problem.loss).__name__}")
    if not isinstance(problem.unit, AbstractHomogeneousUnit):
        raise no_reduction(f"the unit {type(problem.unit).__name__} is not 1-homogeneous, so no angle alone follows it")
    if not isinstance(problem.start, (AbstractBalancedStart, UnbalancedStart, GaussianStart)):
        raise no_reduction(f"the start {type(problem.start).__name__} declares no law of (|a|, ‖b‖)")


def _check_inputs(problem: Problem) -> None:
    """One angle needs the rotations of H and of H^⊥ by themselves, in the coordinates of the target."""
    inputs, target = problem.inputs, unrotated(problem.target)
    if not isinstance(inputs, GaussianBlocks):
        if not inputs.rotation_invariant:
            raise no_reduction(
                f"inputs of type {type(inputs).__name__} are not invariant under rotations, "
                "not even those of H and of H^⊥ by themselves, which is the least that one angle needs",
                "Use mf.Gaussian, mf.Sphere, or mf.GaussianBlocks with the blocks H and H^⊥; or `solve_particles`.",
            )
        return
    if isinstance(target, LinearTarget):
        reason, remedy = "w need not lie in one block of the inputs", "Rotate w to the first axis and use SingleIndex."
        raise no_reduction(f"with {type(inputs).__name__} {reason}", remedy)
    dim_h = target.dim_h if isinstance(target, SubspaceNorm) else 1
    if inputs.dims != (dim_h, inputs.dim - dim_h):
        raise no_reduction(
            f"the blocks {inputs.dims} of the inputs are not H and H^⊥, of dimensions {(dim_h, inputs.dim - dim_h)}"
        )
    rotation = rotation_of(problem.target)
    if rotation is not None and (is_traced(rotation) or not inputs.is_invariant(rotation)):
        known = "is not known to keep" if is_traced(rotation) else "does not keep"
        raise no_reduction(f"the rotation of the target {known} the law of the {type(inputs).__name__}: H is no block of it")


def _isotropic_inputs(inputs: Any) -> tuple[Any, Any]:
    """Rotation-invariant inputs with the same law of x_H, and the factor by which x_⊥ is larger (None: 1)."""
    if not isinstance(inputs, GaussianBlocks):
        return inputs, None
    return Gaussian(inputs.dim, inputs.scales[0]), inputs.scales[1] / inputs.scales[0]


def _unit_factors(unit: Any):
    """Factors of the even and the linear features relative to ReLU: 2·even slope and 2·odd slope."""
    return 2 * unit.even_slope, 2 * unit.odd_slope


def _check_start(start: Any, signed: bool) -> None:
    values = start.density(jnp.linspace(0.0, interval_end(signed), 257))  # raises where it is negative or not finite
    if not is_traced(values) and not bool(jnp.any(values > 0)):
        raise argument_error("density_of_angle", "positive somewhere", values, "A start without neurons learns nothing.")


@eqx.filter_jit
def _angle_reduction(problem, dim_h, signed, cells, nodes, modes, rules) -> AngleReduction:
    (inputs, stretch), dim = _isotropic_inputs(problem.inputs), problem.dim
    dtype = jnp.result_type(float)
    second_moment = inputs.second_moment
    features = even_features(dim, dim_h, 2 * modes, second_moment)
    even, linear = _unit_factors(problem.unit)
    both = jax.vmap(lambda rule: target_parts(problem, inputs, features, signed, rule))(rules)
    parts, check = (jax.tree.map(operator.itemgetter(i), both) for i in (0, 1))
    factors, linear_feature = jnp.broadcast_to(even, (len(features),)), None
    if signed:
        factors = jnp.append(factors, linear)
        linear_feature = 0.5 * jnp.sqrt(second_moment / dim)
    measures = initial_measures(problem.start, dim_h, dim - dim_h, signed, cells, nodes, dtype)
    cell_masses, node_density, labels = measures
    left, right = (-1.0) ** (dim - dim_h - 1), (-1.0) ** ((dim - dim_h if signed else dim_h) - 1)
    default_axes = isinstance(problem.target, (SubspaceNorm, SingleIndex))
    return AngleReduction(
        features=AngleFeatures(features, linear_feature, stretch),
        coefficients=parts.coefficients,
        factors=factors,
        cell_masses=cell_masses,
        node_log_density=node_density,
        parity=jnp.array([left, right]),
        floor=parts.floor,
        tail=parts.tail,
        check=parts.beyond(check),
        dim=jnp.asarray(float(dim)),
        dim_h=jnp.asarray(float(dim_h)),
        second_moment=second_moment,
        unit_slopes=jnp.stack([problem.unit.odd_slope, problem.unit.even_slope]),
        average_table=jnp.asarray(average_table(dim_h, dim - dim_h)),
        slope_table=jnp.asarray(slope_table(dim_h, dim - dim_h)),
        basis=None if default_axes else problem.subspace(),
        labels=labels,
        modes=modes,
    )


def _check_point(problem: Problem) -> None:
    if not isinstance(problem.start, AbstractBalancedStart):
        raise no_reduction(
            f"the start {type(problem.start).__name__} is not balanced (|a| = ‖b‖), and with H the whole space only "
            "the closed solution of balanced starts is here",
            "Use mf.SphereStart, or `solve_particles`.",
        )


def _point_reduction(problem: Any) -> PointReduction:
    target: Any = unrotated(problem.target)
    dim, start = problem.dim, problem.start
    even, _ = _unit_factors(problem.unit)
    reachable = even != 0
    kernel = problem.inputs.second_moment * (funk_hecke(0, dim) * even) ** 2
    target_mass = jnp.where(reachable, target.scale * norm_constant(dim) / jnp.where(reachable, even, 1.0), 0.0)
    energy = 0.5 * target.scale**2 * problem.inputs.second_moment
    masses = jnp.stack([start.mass_plus, start.mass_minus])
    feature = even / norm_constant(dim)
    return PointReduction(kernel, target_mass, masses, jnp.where(reachable, 0.0, energy), feature)


def stack(reductions: list) -> Any:
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
