"""What a target of several angles declares: its blocks, and what it is in stretched coordinates.

A new target is one registration in either function.
"""

import functools
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from ...errors import no_reduction
from ...problem.block_targets import BlockNorms, MultiIndex
from ...problem.functions import Function
from ...problem.rotated import Rotated
from ...problem.targets import AbstractTarget


class Declared(NamedTuple):
    """Dimensions of the blocks that f* looks at, the first coordinates, and whether it sees signs or norms."""

    dims: tuple[int, ...]
    signed: bool


@functools.singledispatch
def declared_blocks(target: AbstractTarget) -> Declared | None:
    """The blocks of a target; None for one that declares none."""
    return None


@declared_blocks.register
def _(target: BlockNorms):
    return Declared(target.dims, signed=False)


@declared_blocks.register
def _(target: MultiIndex):
    return Declared((1,) * target.dim_h, signed=True)


@declared_blocks.register
def _(target: Rotated):
    return declared_blocks(target.target)


@functools.singledispatch
def in_stretched_coordinates(target: AbstractTarget, scales: Float[Array, " K"]) -> AbstractTarget:
    """z ↦ f*(S z), S = ⊕ scales_i I over the blocks of the target and what it ignores."""
    raise no_reduction(f"a {type(target).__name__} target does not keep the blocks of the inputs")


@in_stretched_coordinates.register
def _(target: BlockNorms, scales):
    return BlockNorms(target.dims, target.weights * scales[: len(target.dims)])


@in_stretched_coordinates.register
def _(target: MultiIndex, scales):
    return MultiIndex(_Stretched(target.g, scales[: target.dim_h]), target.dim_h)


class _Stretched(eqx.Module):
    """g(S z)."""

    g: Function
    scales: Float[Array, " h"]

    def __call__(self, z: Float[Array, " h"]) -> Float[Array, ""]:
        return self.g(self.scales.astype(z.dtype) * z)
