"""From a target with several blocks to its reduction."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ...errors import argument_error, check_integer, no_reduction
from ...problem.block_targets import BlockNorms, MultiIndex
from ...problem.problem import Problem
from ...problem.rotated import Rotated, unrotated
from ...problem.start import SphereStart
from .coordinates import MOST_ANGLES, Blocks
from .harmonics import nested_tables, reachable_degrees
from .quotient import BlockReduction
from .targets import block_coefficients

_CELLS = {1: (200,), 2: (48, 64), 3: (20, 24, 24)}
_NODES = {1: 127, 2: 47, 3: 17}
_MODES = {1: 32, 2: 16, 3: 8}
_FEWEST = 8
_PARTICLES = "Use `solve_particles`, whose cost does not depend on the number of angles."


def has_blocks(problem: Problem) -> bool:
    """Whether the target declares blocks or several coordinates."""
    return isinstance(unrotated(problem.target), (BlockNorms, MultiIndex))


def check_blocks(problem: Problem) -> None:
    """Raise NoReductionError, saying why, if there is no equation in up to three angles."""
    _blocks(problem)
    if not problem.inputs.rotation_invariant:
        reason = f"several angles need inputs that every rotation leaves as they are, not {type(problem.inputs).__name__}"
        raise no_reduction(reason, "Use mf.Gaussian or mf.Sphere, or `solve_particles` with samples=.")
    if not isinstance(problem.start, SphereStart):
        raise no_reduction(
            f"several angles start uniform (SphereStart), not from a {type(problem.start).__name__}", _PARTICLES
        )


def build_block_reduction(problem: Problem, cells: Any, nodes: Any, modes: Any) -> BlockReduction:
    """The equation in up to three angles of a problem that `check_blocks` lets through."""
    blocks, remainder = _blocks(problem)
    cells = _sizes("cells", cells, _CELLS[blocks.angles], blocks.angles)
    nodes = _sizes("nodes", nodes, (_NODES[blocks.angles],) * blocks.angles, blocks.angles)
    if any(n % 2 == 0 for n in nodes):
        raise argument_error("nodes", "odd", nodes, "The rule is nested, so that its error can be estimated.")
    modes = check_integer("modes", _MODES[blocks.angles] if modes is None else modes, 2, "Number of even degrees.")
    return _build(problem, blocks, remainder, cells, nodes, modes)


def _blocks(problem: Problem) -> tuple[Blocks, bool]:
    target: Any = unrotated(problem.target)
    own = target.dims if isinstance(target, BlockNorms) else (1,) * target.dim_h
    rest = problem.dim - sum(own)
    if isinstance(target, MultiIndex) and rest == 0:
        raise no_reduction("g depends on all coordinates of x, so that no symmetry is left", _PARTICLES)
    dims = (*own, rest) if rest else tuple(own)
    angles = len(dims) - 1
    if angles == 0:
        raise no_reduction("one block fills the whole space", f"Use SubspaceNorm({problem.dim}), which is the same target.")
    if angles > MOST_ANGLES:
        raise no_reduction(f"{angles} angles are left, and grids end at {MOST_ANGLES}", _PARTICLES)
    return Blocks(dims, (isinstance(target, MultiIndex),) * angles), bool(rest)


def _sizes(name: str, value: Any, default: tuple[int, ...], angles: int) -> tuple[int, ...]:
    value = default if value is None else value
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,) * angles
    if len(sizes) != angles:
        raise argument_error(name, f"an integer, or a tuple of {angles}, one per angle", value, "Match the angles.")
    return tuple(check_integer(name, size, _FEWEST - (name == "nodes"), "The scheme needs that many.") for size in sizes)


@eqx.filter_jit
def _build(problem, blocks, remainder, cells, nodes, modes) -> BlockReduction:
    inputs, unit = problem.inputs, problem.unit
    count = (2 * (2 * modes - 1)) // blocks.stride + 1  # twice the modes are stored
    tables = nested_tables(blocks, count)
    target = block_coefficients(unrotated(problem.target), inputs, blocks, tables)
    degree = reachable_degrees(count, blocks.stride) * blocks.stride
    linear = (degree == 1).reshape(-1, *(1,) * (blocks.angles - 1))
    even_slope, odd_slope = 2 * unit.even_slope, 2 * unit.odd_slope  # relative to ReLU
    even_part, linear_part = (jnp.where(where, target.values, 0.0) for where in (~linear, linear))
    # A part of the target that the unit cannot represent is no coefficient but floor.
    tail = jnp.where(even_slope == 0, 0.0, jnp.maximum(target.even_energy - 0.5 * jnp.sum(even_part**2), 0.0))
    floor = target.unreachable_energy + jnp.where(even_slope == 0, target.even_energy, 0.0)
    floor = floor + jnp.where(odd_slope == 0, target.linear_energy, 0.0)
    coefficients = jnp.where(even_slope == 0, 0.0, even_part) + jnp.where(odd_slope == 0, 0.0, linear_part)
    factors = jnp.sqrt(inputs.second_moment) * jnp.where(degree == 1, odd_slope, even_slope)
    angles, log_weight = blocks.nodes(nodes)
    start = problem.start
    return BlockReduction(
        blocks=blocks,
        tables=tables,
        coefficients=coefficients,
        factors=factors,
        uniform=jnp.asarray(blocks.probabilities(cells)),
        masses=jnp.stack([start.mass_plus, start.mass_minus]),
        node_angles=jnp.asarray(angles),
        node_log_weight=jnp.asarray(log_weight),
        floor=floor,
        tail=tail,
        second_moment=inputs.second_moment,
        basis=problem.subspace() if isinstance(problem.target, Rotated) else None,
        node_counts=nodes,
        resolved_count=(2 * (modes - 1)) // blocks.stride + 1,
        remainder=remainder,
    )


def coarsened_blocks(reduced: BlockReduction) -> BlockReduction:
    """Half the cells (exact sums of pairs) and half the labels (the nested rule) in every angle."""
    if any(n % 2 for n in reduced.cells):
        raise argument_error("cells", "even where an error estimate is asked for", reduced.cells, "Pass one cell more.")
    uniform = reduced.uniform
    for axis in range(uniform.ndim):
        lower, upper = (jax.lax.slice_in_dim(uniform, i, None, stride=2, axis=axis) for i in (0, 1))
        uniform = lower + upper
    counts = tuple((n - 1) // 2 for n in reduced.node_counts)
    angles, log_weight = (jnp.asarray(part, reduced.dtype) for part in reduced.blocks.nodes(counts))
    new = eqx.tree_at(lambda r: (r.uniform, r.node_angles, r.node_log_weight), reduced, (uniform, angles, log_weight))
    return dataclasses.replace(new, node_counts=counts)
