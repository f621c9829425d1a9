"""The coordinates that a symmetry leaves of x and of b: signed ones that are kept, and norms of blocks that rotate."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...errors import Words, argument_error, no_reduction
from ...problem.block_inputs import GaussianBlocks
from ...problem.block_targets import BlockNorms, MultiIndex
from ...problem.functions import values_on_host
from ...problem.inputs import AbstractInputs, Gaussian, Sphere
from ...problem.problem import Problem
from ...problem.rotated import Rotated, unrotated
from ...problem.targets import AbstractTarget, LinearTarget, RadialIndex, SingleIndex, SubspaceNorm
from ...safe import safe_norm

_PARTICLES = "Use `solve_particles`, which needs no symmetry."
MOST_BLOCKS = 4
MOST_KEPT = 3
DECLARE = (
    "Declare it (SubspaceNorm, RadialIndex, SingleIndex, LinearTarget, MultiIndex, BlockNorms), or use "
    "`solve_particles`, which needs none."
)


class OrbitBlocks(eqx.Module):
    """R^d as orthogonal blocks. `basis` [n, d]: orthonormal rows that span the first blocks, those of the target, in their
    order; the last blocks are what it leaves, in their own coordinates.

    `kept` says which blocks are single coordinates with a sign; of every other block the norm is left. In the limit
    d → ∞ the dimension of what the target leaves is ∞, and ‖x‖ = √d ξ there.
    """

    dims: tuple[int | float, ...] = eqx.field(static=True)
    kept: tuple[bool, ...] = eqx.field(static=True)
    basis: Float[Array, "n d"]

    @property
    def dim(self) -> int | float:
        """Dimension d, or ∞."""
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
        return self.starts < len(self.basis)

    @property
    def starts(self) -> np.ndarray:
        """Where every block begins."""
        return np.cumsum([0, *self.dims[:-1]])

    def components(self, x: Float[Array, "n d"]) -> list[Float[Array, "n d"]]:
        """The orthogonal projections of every row to the blocks."""
        basis = self.basis.astype(x.dtype)
        inside = jnp.matmul(x, basis.T, precision="highest")
        rest = x - jnp.matmul(inside, basis, precision="highest")
        several = np.sum(~self.of_target) > 1  # what is left is cut only where the basis is made of the first axes
        found = []
        for dim, start, of_target in zip(self.dims, self.starts, self.of_target, strict=True):
            own = slice(start, start + dim)
            if of_target:
                found.append(jnp.matmul(inside[:, own], basis[own], precision="highest"))
            else:
                found.append(jnp.zeros_like(rest).at[:, own].set(rest[:, own]) if several else rest)
        return found

    def coordinates(self, x: Float[Array, "n d"]) -> Float[Array, "n K"]:
        """What is left of every row, [n, K]. Raises ArgumentError in the limit d → ∞."""
        self._check_finite()
        columns = []
        for part, start, kept in zip(self.components(x), self.starts, self.kept, strict=True):
            columns.append(
                jnp.matmul(part, self.basis[start].astype(x.dtype), precision="highest") if kept else safe_norm(part)
            )
        return jnp.stack(columns, axis=1)

    def lift(self, points: Float[Array, "n K"], key: PRNGKeyArray) -> Float[Array, "n d"]:
        """Vectors with these coordinates, whose directions in the blocks that rotate are uniform and independent."""
        self._check_finite()
        parts = self.components(jax.random.normal(key, (len(points), int(self.dim)), points.dtype))
        parts = [
            self.basis[start][None] if kept else part / safe_norm(part)[:, None]
            for part, start, kept in zip(parts, self.starts, self.kept, strict=True)
        ]
        columns = [points[:, i : i + 1] * part.astype(points.dtype) for i, part in enumerate(parts)]
        return functools.reduce(jnp.add, columns)

    def _check_finite(self) -> None:
        """Raise ArgumentError in the limit d → ∞."""
        if self.dim == np.inf:
            got = Words("the limit d → ∞, in which vectors have no coordinates")
            raise argument_error("solution", "a run of finite dimension", got, "Reduce without dim=.")

    def representatives(self, points: Float[Array, "n K"]) -> Float[Array, "n d"]:
        """Inputs with these coordinates, along the first axis of every block of the target; 0 in what it leaves."""
        inside = np.flatnonzero(self.of_target)
        return jnp.matmul(points[:, inside], self.basis[self.starts[inside]].astype(points.dtype), precision="highest")


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


def orbit_blocks(problem: Problem, limit: bool = False) -> OrbitBlocks:
    """The blocks of the target, single coordinates with their signs, and what it leaves, cut as the inputs are; in the
    `limit` d → ∞ what it leaves has the dimension ∞.

    Raises NoReductionError, saying why, where the target declares no blocks or the inputs do not rotate in them.
    """
    own, basis = rotating_blocks(problem.target), problem.subspace()
    if own is None or basis is None:
        raise no_reduction(f"the target {type(unrotated(problem.target)).__name__} declares no structure", DECLARE)
    rest = problem.dim - sum(own)
    dims = _along(problem.inputs, problem, (*own, rest) if rest else own)
    dims = (*own, _infinity(problem.inputs)) if limit else dims
    kept = tuple(dim == 1 and index < len(own) for index, dim in enumerate(dims))
    if len(dims) > MOST_BLOCKS or sum(kept) > MOST_KEPT:
        most = f"{MOST_BLOCKS} blocks, {MOST_KEPT} of them coordinates, are here"
        reason = f"rules for {len(dims)} blocks {dims} would need too many nodes; {most}"
        raise no_reduction(reason, _PARTICLES)
    return OrbitBlocks(dims, kept, basis)


def _infinity(inputs: AbstractInputs) -> float:
    """The dimension of what a target leaves, in the limit."""
    if not isinstance(inputs, Gaussian):
        reason = f"only Gaussian inputs have coordinates whose law does not depend on d, {type(inputs).__name__} does"
        raise no_reduction(reason, "Use mf.Gaussian, or leave dim= out.")
    return math.inf


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
    first = int(ends[-2]) if sum(dims) > len(basis) else int(ends[-1])
    if not set(ends) <= set(cuts) or not set(cuts[cuts < first]) <= set(ends):
        reason = f"the blocks {inputs.dims} of the inputs cut through those of the target and of what it leaves, {dims}"
        raise no_reduction(reason, _PARTICLES)
    return (*(d for d, end in zip(dims, ends, strict=True) if end <= first), *np.diff([first, *cuts[cuts > first]]).tolist())
