"""From a target with one angle to its reduction."""

import functools
import operator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import argument_error, check_integer, check_reducible, is_traced, no_reduction
from ...problem.block_inputs import GaussianBlocks
from ...problem.inputs import AbstractInputs, Gaussian
from ...problem.problem import Problem
from ...problem.rotated import rotation_of, unrotated
from ...problem.units import AbstractHomogeneousUnit
from ...types import IntLike
from ..angles.angular import SMALLEST_GRID, usual_method
from ..angles.law import check_tilt, initial_measures, label_angles, tilt_of
from ..rules.harmonics import even_features, truncated_share
from ..rules.panels import quadrature_of
from ..rules.quadrature import Quadrature, interval_end
from .angle_reduction import AngleReduction
from .coefficients import target_parts
from .declared_angle import DeclaredAngle, declared_angle
from .features import AngleFeatures
from .predictor import average_table, slope_table

_TRUNCATION = 1e-7  # share of K(0, 0) that the default number of modes may leave out
_FEWEST_MODES, _MOST_MODES = 16, 128
_CELLS = "The reconstruction needs that many cells."
_NODES = "It is the number of labels per sign on the route of characteristics."
_MODES = "It is the number of even harmonics in the dynamics."


def angle_of(problem: Problem) -> DeclaredAngle:
    """The angle of a problem whose target declares one."""
    found = declared_angle(problem.target)
    assert found is not None
    return found


@functools.singledispatch
def check_angle(inputs: AbstractInputs, problem: Problem) -> None:
    """Raise NoReductionError where the inputs, in the coordinates of the target, lack the rotations of H and of H^⊥ by
    themselves."""
    if not inputs.rotation_invariant:
        raise no_reduction(
            f"inputs of type {type(inputs).__name__} are not invariant under rotations, "
            "not even those of H and of H^⊥ by themselves, which is the least that one angle needs",
            "Use mf.Gaussian, mf.Sphere, or mf.GaussianBlocks with the blocks H and H^⊥; or `solve_particles`.",
        )


@check_angle.register
def _(inputs: GaussianBlocks, problem: Problem) -> None:
    if unrotated(problem.target).linear_weights() is not None:
        reason, remedy = "w need not lie in one block of the inputs", "Rotate w to the first axis and use SingleIndex."
        raise no_reduction(f"with {type(inputs).__name__} {reason}", remedy)
    dim_h = angle_of(problem).dim_h
    if inputs.dims != (dim_h, inputs.dim - dim_h):
        raise no_reduction(
            f"the blocks {inputs.dims} of the inputs are not H and H^⊥, of dimensions {(dim_h, inputs.dim - dim_h)}"
        )
    rotation = rotation_of(problem.target)
    if rotation is not None and (is_traced(rotation) or not inputs.is_invariant(rotation)):
        known = "is not known to keep" if is_traced(rotation) else "does not keep"
        raise no_reduction(f"the rotation of the target {known} the law of the {type(inputs).__name__}: H is no block of it")


@functools.singledispatch
def isotropic_inputs(inputs: AbstractInputs) -> tuple[AbstractInputs, Float[Array, ""] | None]:
    """Rotation-invariant inputs with the same law of x_H, and the factor by which x_⊥ is larger (None: 1)."""
    return inputs, None


@isotropic_inputs.register
def _(inputs: GaussianBlocks):
    return Gaussian(inputs.dim, inputs.scales[0]), inputs.scales[1] / inputs.scales[0]


def build_angle_reduction(
    problem: Problem, cells: IntLike | None, nodes: IntLike | None, modes: IntLike | None
) -> AngleReduction:
    """The equation on one angle of a problem that `check_angle` lets through."""
    dim, (dim_h, signed, _) = problem.dim, angle_of(problem)
    method = usual_method(interval_end(signed) / default_cells(signed), dim) if cells is None else "grid"
    cells = check_integer("cells", default_cells(signed) if cells is None else cells, SMALLEST_GRID, _CELLS)
    nodes = check_integer("nodes", default_nodes(signed) if nodes is None else nodes, 7, _NODES)
    if nodes % 2 == 0:
        raise argument_error("nodes", "odd", nodes, "The rule is nested, so that its error can be estimated.")
    modes = check_integer("modes", default_modes(dim, dim_h) if modes is None else modes, 1, _MODES)
    tilt = tilt_of(problem.start)
    if tilt is not None:
        check_tilt(tilt, interval_end(signed))
    rules = quadrature_of(unrotated(problem.target), isotropic_inputs(problem.inputs)[0])
    return _angle_reduction(problem, cells, nodes, modes, method, rules)


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


def default_sizes(problem: Problem) -> DefaultSizes:
    """Those of a problem of one angle."""
    dim_h, signed, _ = angle_of(problem)
    return DefaultSizes(default_nodes(signed), default_modes(problem.dim, dim_h), signed)


def default_cells(signed: bool) -> int:
    """Cells of the grid on [0, π] or [0, π/2], equally wide."""
    return 400 if signed else 200


def default_nodes(signed: bool) -> int:
    """Labels per sign, in any dimension: they crowd where the law of the angle is."""
    return 255 if signed else 127


@eqx.filter_jit
def _angle_reduction(problem: Problem, cells: int, nodes: int, modes: int, method: str, rules: Quadrature) -> AngleReduction:
    (inputs, stretch), dim, (dim_h, signed, first_axes) = isotropic_inputs(problem.inputs), problem.dim, angle_of(problem)
    unit = check_reducible(problem.unit, AbstractHomogeneousUnit, "its unit is not 1-homogeneous")
    dtype = jnp.result_type(float)
    second_moment = inputs.second_moment
    features = even_features(dim, dim_h, 2 * modes, second_moment)
    even, linear = 2 * unit.even_slope, 2 * unit.odd_slope  # relative to ReLU
    both = jax.vmap(lambda rule: target_parts(problem, inputs, features, signed, rule))(rules)
    parts, check = (jax.tree.map(operator.itemgetter(i), both) for i in (0, 1))
    factors, linear_feature = jnp.broadcast_to(even, (len(features),)), None
    if signed:
        factors = jnp.append(factors, linear)
        linear_feature = 0.5 * jnp.sqrt(second_moment / dim)
    node_angles = jnp.asarray(label_angles(nodes, dim_h, dim - dim_h, signed)[0])
    measures = initial_measures(problem.start, dim_h, dim - dim_h, signed, cells, nodes, dtype)
    cell_masses, node_density, labels = measures
    left, right = (-1.0) ** (dim - dim_h - 1), (-1.0) ** ((dim - dim_h if signed else dim_h) - 1)
    return AngleReduction(
        features=AngleFeatures(features, linear_feature, stretch),
        coefficients=parts.coefficients,
        factors=factors,
        cell_masses=cell_masses,
        node_angles=node_angles,
        node_log_density=node_density,
        parity=jnp.array([left, right]),
        floor=parts.floor,
        tail=parts.tail,
        check=parts.beyond(check),
        dim=jnp.asarray(float(dim)),
        dim_h=jnp.asarray(float(dim_h)),
        second_moment=second_moment,
        unit_slopes=jnp.stack([unit.odd_slope, unit.even_slope]),
        average_table=jnp.asarray(average_table(dim_h, dim - dim_h)),
        slope_table=jnp.asarray(slope_table(dim_h, dim - dim_h)),
        basis=None if first_axes else problem.subspace(),
        labels=labels,
        modes=modes,
        usual_method=method,
    )
