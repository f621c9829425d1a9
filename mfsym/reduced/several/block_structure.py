"""From a target with several blocks to its reduction."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import argument_error, check_integer, check_reducible, no_reduction
from ...problem.block_inputs import GaussianBlocks
from ...problem.inputs import Gaussian
from ...problem.problem import Problem
from ...problem.rotated import rotation_of, unrotated
from ...types import IntLike, Sizes
from ..angles.angular import usual_method
from ..angles.coordinates import MOST_ANGLES, Blocks
from ..angles.label_law import label_law
from ..angles.law import check_tilt, tilt_of
from ..angles.target_parts import representable
from .block_coefficients import CHECK, RULE, block_coefficients
from .block_reduction import BlockReduction
from .declared import declared_blocks, in_stretched_coordinates
from .nested_tables import nested_tables, reachable_degrees
from .tilted import tilted_cells, tilted_labels
from .waves import wave_table

_CELLS = {1: (200,), 2: (48, 64), 3: (20, 24, 24)}
_NODES = {1: 127, 2: 31, 3: 15}
_MODES = {1: 32, 2: 16, 3: 8}
_FEWEST = 8
_PARTICLES = "Use `solve_particles`, whose cost does not depend on the number of angles."


def check_blocks(problem: Problem) -> None:
    """Raise NoReductionError, saying why, if there is no equation in up to three angles."""
    _isotropic(problem, _blocks(problem)[0])


def build_block_reduction(
    problem: Problem, cells: Sizes | None, nodes: Sizes | None, modes: IntLike | None
) -> BlockReduction:
    """The equation in up to three angles of a problem that `check_blocks` lets through."""
    blocks, remainder = _blocks(problem)
    widest = max(blocks.end(axis) / n for axis, n in enumerate(_CELLS[blocks.angles]))
    method = usual_method(widest, problem.dim) if cells is None else "grid"
    cells = _sizes("cells", cells, _CELLS[blocks.angles], blocks.angles)
    nodes = _sizes("nodes", nodes, (_NODES[blocks.angles],) * blocks.angles, blocks.angles)
    if any(n % 2 == 0 for n in nodes):
        raise argument_error("nodes", "odd", nodes, "The rule is nested, so that its error can be estimated.")
    modes = check_integer("modes", _MODES[blocks.angles] if modes is None else modes, 2, "Number of even degrees.")
    tilt = tilt_of(problem.start)
    if tilt is not None:
        check_tilt(tilt, np.pi / 2)
    problem, stretch = _isotropic(problem, blocks)
    method = method if stretch is None else "characteristics"  # the only one
    return _build(problem, stretch, blocks, remainder, cells, nodes, modes, method)


def _isotropic(problem: Problem, blocks: Blocks) -> tuple[Problem, Float[Array, " K"] | None]:
    """The problem in z ~ N(0, I), x = S z, and the scales of the blocks; (problem, None) where the inputs are isotropic.

    f*(x) = f*(S z) is a target of the same blocks, and b·x = (S b)·z. (Derived.)
    """
    inputs = problem.inputs
    if inputs.rotation_invariant:
        return problem, None
    reason = f"several angles need inputs that rotations of every block leave as they are, not {type(inputs).__name__}"
    remedy = "Use mf.Gaussian, mf.Sphere or mf.GaussianBlocks, or `solve_particles` with samples=."
    inputs = check_reducible(inputs, GaussianBlocks, reason, remedy)
    of_inputs = np.repeat(np.arange(len(inputs.dims)), inputs.dims)
    of_target = np.split(of_inputs, np.cumsum(blocks.dims)[:-1])
    if any(len(set(part)) > 1 for part in of_target):
        own = f"the blocks {inputs.dims} of the inputs cut through those of the target and of what it ignores, {blocks.dims}"
        raise no_reduction(own, _PARTICLES)
    stretch = inputs.scales[np.array([part[0] for part in of_target])]
    target = in_stretched_coordinates(problem.target, stretch)
    isotropic = Gaussian(inputs.dim, jnp.ones((), stretch.dtype))
    return eqx.tree_at(lambda p: (p.inputs, p.target), problem, (isotropic, target)), stretch


def _blocks(problem: Problem) -> tuple[Blocks, bool]:
    declared = declared_blocks(problem.target)
    assert declared is not None
    own, signed = declared
    rest = problem.dim - sum(own)
    if signed and rest == 0:
        raise no_reduction("g depends on all coordinates of x, so that no symmetry is left", _PARTICLES)
    dims = (*own, rest) if rest else tuple(own)
    angles = len(dims) - 1
    if angles == 0:
        raise no_reduction("one block fills the whole space", f"Use SubspaceNorm({problem.dim}), which is the same target.")
    if angles > MOST_ANGLES:
        raise no_reduction(f"{angles} angles are left, and grids end at {MOST_ANGLES}", _PARTICLES)
    return Blocks(dims, (signed,) * angles), bool(rest)


def _sizes(name: str, value: Sizes | None, default: tuple[int, ...], angles: int) -> tuple[int, ...]:
    value = default if value is None else value
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,) * angles
    if len(sizes) != angles:
        raise argument_error(name, f"an integer, or a tuple of {angles}, one per angle", value, "Match the angles.")
    return tuple(check_integer(name, size, _FEWEST - (name == "nodes"), "The scheme needs that many.") for size in sizes)


@eqx.filter_jit
def _build(problem, stretch, blocks, remainder, cells, nodes, modes, method) -> BlockReduction:
    inputs, unit = problem.inputs, problem.unit
    count = (2 * (2 * modes - 1)) // blocks.stride + 1  # twice the modes are stored
    tables = nested_tables(blocks, count)
    degree = reachable_degrees(count, blocks.stride) * blocks.stride
    target = unrotated(problem.target)
    found = (block_coefficients(target, inputs, blocks, tables, rule) for rule in (RULE, CHECK))
    parts, check = (representable(each, degree, unit) for each in found)
    even_slope, odd_slope = 2 * unit.even_slope, 2 * unit.odd_slope  # relative to ReLU
    factors = jnp.sqrt(inputs.second_moment) * jnp.where(degree == 1, odd_slope, even_slope)
    uniform, tilt = jnp.asarray(blocks.probabilities(cells)), tilt_of(problem.start)
    if tilt is None:
        log_law, probability = jnp.asarray(blocks.log_law(nodes)), uniform
    else:
        log_law = tilted_labels(tilt, blocks, remainder, nodes)
        probability = tilted_cells(tilt, blocks, remainder, cells)
    labels = label_law(problem.start, problem.dim, log_law)
    return BlockReduction(
        blocks=blocks,
        tables=tables,
        waves=tuple(map(wave_table, tables)),
        coefficients=parts.coefficients,
        factors=factors,
        uniform=uniform,
        probability=probability,
        masses=jnp.sum(labels.share * labels.outer * labels.inner, axis=1),
        labels=labels,
        stretch=stretch,
        floor=parts.floor,
        tail=parts.tail,
        check=parts.beyond(check),
        second_moment=inputs.second_moment,
        basis=None if rotation_of(problem.target) is None else problem.subspace(),
        node_counts=nodes,
        resolved_count=(2 * (modes - 1)) // blocks.stride + 1,
        remainder=remainder,
        usual_method=method,
    )
