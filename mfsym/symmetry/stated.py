"""From what was found to a target that declares it: one table."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..groups import complete_basis
from ..problem.block_targets import BlockNorms, MultiIndex
from ..problem.rotated import Rotated
from ..problem.targets import AbstractTarget, FunctionTarget, RadialIndex, SingleIndex, SubspaceNorm

MOST_COORDINATES = 3  # of a MultiIndex that has a reduced equation


class Structure(NamedTuple):
    """What the choice of a class depends on: coordinates of H, parity, blocks, and the weights of their norms."""

    basis: np.ndarray
    parity: str | None
    blocks: tuple[int, ...]
    block_radial: bool
    weights: tuple[float, ...] | None


class Section(eqx.Module):
    """z ↦ f*(Σ_i z_i e_i), e_i the rows of `frame` [k, d]; for k = 1 of a scalar z. Arrays inside f* stay leaves."""

    function: Callable[[Array], Array]
    frame: Float[Array, "k d"]

    def __call__(self, z: Float[Array, "..."]) -> Float[Array, ""]:
        coordinates = jnp.reshape(z, (len(self.frame),))
        point = jnp.matmul(coordinates, self.frame.astype(coordinates.dtype), precision=jax.lax.Precision.HIGHEST)
        return self.function(point)


def stated_target(function: AbstractTarget, found: Structure) -> AbstractTarget:
    """The target that declares the structure; the function itself, with its parity, where no class does."""
    if found.weights is not None and len(found.weights) == 1:
        return _turned(SubspaceNorm(len(found.basis), found.weights[0]), found.basis)
    if len(found.basis) == 1:
        return _turned(SingleIndex(Section(function, jnp.asarray(found.basis, jnp.result_type(float)))), found.basis)
    if found.block_radial and len(found.blocks) == 1:
        return _turned(
            RadialIndex(Section(function, jnp.asarray(found.basis[:1], jnp.result_type(float))), len(found.basis)),
            found.basis,
        )
    if found.weights is not None:
        return _turned(BlockNorms(found.blocks, np.array(found.weights)), found.basis)
    fewer = 0 < len(found.basis) < found.basis.shape[1]
    if found.parity != "odd" and fewer and len(found.basis) <= MOST_COORDINATES:
        frame = jnp.asarray(found.basis, jnp.result_type(float))
        return _turned(MultiIndex(Section(function, frame), len(found.basis)), found.basis)
    if isinstance(function, FunctionTarget):
        return FunctionTarget(function.fn, found.parity)
    return FunctionTarget(function, "odd") if found.parity == "odd" else function


def _turned(target: AbstractTarget, basis: np.ndarray) -> AbstractTarget:
    """The target of the coordinates x·e_i; without a rotation where these are the first axes."""
    rotation = complete_basis(basis)
    if np.array_equal(rotation, np.eye(len(rotation))):
        return target
    return Rotated(target, jnp.asarray(rotation, jnp.result_type(float)))
