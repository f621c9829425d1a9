"""The coordinates that a symmetry leaves of x and of b: signed ones that are kept, and norms of blocks that rotate."""

import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import no_reduction
from ...problem.block_inputs import GaussianBlocks
from ...problem.block_targets import BlockNorms, MultiIndex
from ...problem.functions import values_on_host
from ...problem.inputs import AbstractInputs, Gaussian, Sphere
from ...problem.problem import Problem
from ...problem.rotated import Rotated
from ...problem.targets import AbstractTarget, LinearTarget, RadialIndex, SingleIndex, SubspaceNorm
from ...safe import safe_norm

_PARTICLES = "Use `solve_particles`, which needs no symmetry."
MOST_BLOCKS = 4
MOST_KEPT = 3
_DECLARE = (
    "Declare it (SubspaceNorm, RadialIndex, SingleIndex, LinearTarget, MultiIndex, BlockNorms), or use `solve_particles`."
)


class OrbitBlocks(eqx.Module):
    """R^d as orthogonal blocks. `basis` [n, d]: orthonormal rows that span the first blocks, those of the target, in their
    order; the last blocks are what it leaves, in their own coordinates.

    `kept` says which blocks are single coordinates with a sign; of every other block the norm is left.
    """

    dims: tuple[int, ...] = eqx.field(static=True)
    kept: tuple[bool, ...] = eqx.field(static=True)
    basis: Float[Array, "n d"]

    @property
    def dim(self) -> int:
        """Dimension d."""
        return sum(self.dims)

    @property
    def radial(self) -> np.ndarray:
        """Numbers of the blocks that rotate, the largest last."""
        return np.array(sorted(np.flatnonzero(~np.asarray(self.kept)), key=lambda i: self.dims[i]), int)

    @property
    def signed(self) -> np.ndarray:
        """Numbers of the coordinates that are kept."""
        return np.flatnonzero(np.asarray(self.kept))

    @property
    def of_target(self) -> np.ndarray:
        """Which blocks the target looks at."""
        return np.cumsum([0, *self.dims])[:-1] < len(self.basis)

    def coordinates(self, x: Float[Array, "n d"]) -> Float[Array, "n K"]:
        """What is left of every row, [n, K]."""
        inside = jnp.matmul(x, self.basis.T.astype(x.dtype), precision="highest")
        rest = x - jnp.matmul(inside, self.basis.astype(x.dtype), precision="highest")
        columns, start = [], 0
        for dim, kept in zip(self.dims, self.kept, strict=True):
            part = inside[:, start : start + dim] if start < inside.shape[1] else rest
            columns.append(part[:, 0] if kept else safe_norm(part))
            start += dim
        return jnp.stack(columns, axis=1)

    def representatives(self, points: Float[Array, "n K"]) -> Float[Array, "n d"]:
        """Inputs with these coordinates, along the first axis of every block of the target; 0 in what it leaves."""
        starts = np.cumsum([0, *self.dims])[:-1]
        inside = [i for i, start in enumerate(starts) if start < len(self.basis)]
        return jnp.matmul(points[:, inside], self.basis[starts[inside]].astype(points.dtype), precision="highest")


@functools.singledispatch
def rotating_blocks(target: AbstractTarget) -> tuple[int, ...] | None:
    """Dimensions of the blocks of H whose rotations leave f* as it is; None for a target that declares none."""
    return None


@rotating_blocks.register
def _(target: SubspaceNorm):
    return (target.dim_h,)


@rotating_blocks.register
def _(target: RadialIndex):
    return (target.dim_h,)


@rotating_blocks.register
def _(target: MultiIndex):
    return (1,) * target.dim_h


@rotating_blocks.register
def _(target: BlockNorms):
    return target.dims


@rotating_blocks.register
def _(target: SingleIndex):
    return (1,)


@rotating_blocks.register
def _(target: LinearTarget):
    return (1,)


@rotating_blocks.register
def _(target: Rotated):
    return rotating_blocks(target.target)


def orbit_blocks(problem: Problem) -> OrbitBlocks:
    """The blocks of the target, single coordinates with their signs, and what it leaves, cut as the inputs are.

    Raises NoReductionError, saying why, where the target declares no blocks or the inputs do not rotate in them.
    """
    own, basis = rotating_blocks(problem.target), problem.subspace()
    if own is None or basis is None:
        raise no_reduction(f"the target {type(problem.target).__name__} declares no structure", _DECLARE)
    rest = problem.dim - sum(own)
    dims = _along(problem.inputs, problem, (*own, rest) if rest else own)
    kept = tuple(dim == 1 and index < len(own) for index, dim in enumerate(dims))
    if len(dims) > MOST_BLOCKS or sum(kept) > MOST_KEPT:
        most = f"{MOST_BLOCKS} blocks, {MOST_KEPT} of them coordinates, are here"
        reason = f"rules for {len(dims)} blocks {dims} would need too many nodes; {most}"
        raise no_reduction(reason, _PARTICLES)
    return OrbitBlocks(dims, kept, basis)


@functools.singledispatch
def _along(inputs: AbstractInputs, problem: Problem, dims: tuple[int, ...]) -> tuple[int, ...]:
    """The blocks of the target and what it leaves, `dims`, as the inputs cut them."""
    reason = f"inputs of type {type(inputs).__name__} are not invariant under rotations of the blocks {dims}"
    raise no_reduction(reason, "Use mf.Gaussian, mf.Sphere or mf.GaussianBlocks, or `solve_particles`.")


@_along.register
def _(inputs: Gaussian, problem, dims):
    return dims


@_along.register
def _(inputs: Sphere, problem, dims):
    return dims


@_along.register
def _(inputs: GaussianBlocks, problem, dims):
    basis = problem.subspace()
    assert basis is not None
    axes = values_on_host(lambda _: basis, np.zeros(1))
    if axes is None or not np.array_equal(axes[0], np.eye(*axes[0].shape)):
        raise no_reduction("the target is rotated, or its axis is not the first: H is not known to be blocks of the inputs")
    ends, cuts = np.cumsum(dims), np.cumsum(inputs.dims)
    if not set(ends) <= set(cuts):
        reason = f"the blocks {inputs.dims} of the inputs cut through those of the target and of what it leaves, {dims}"
        raise no_reduction(reason, _PARTICLES)
    first = int(ends[-2]) if sum(dims) > len(basis) else int(ends[-1])
    return (*(d for d, end in zip(dims, ends, strict=True) if end <= first), *np.diff([first, *cuts[cuts > first]]).tolist())
