"""Which angle a target declares. A new target is one registration."""

import functools
from typing import NamedTuple

from ...problem.rotated import Rotated
from ...problem.targets import AbstractTarget, LinearTarget, RadialIndex, SingleIndex, SubspaceNorm


class DeclaredAngle(NamedTuple):
    """The dimension of H, whether f* sees the sign of a coordinate (d_H = 1) or ‖x_H‖, and whether the first axes span H."""

    dim_h: int
    signed: bool
    first_axes: bool = True


@functools.singledispatch
def declared_angle(target: AbstractTarget) -> DeclaredAngle | None:
    """The angle of a target; None for one that declares none."""
    return None


@declared_angle.register
def _(target: SubspaceNorm):
    return DeclaredAngle(target.dim_h, signed=False)


@declared_angle.register
def _(target: RadialIndex):
    return DeclaredAngle(target.dim_h, signed=False)


@declared_angle.register
def _(target: SingleIndex):
    return DeclaredAngle(1, signed=True)


@declared_angle.register
def _(target: LinearTarget):
    return DeclaredAngle(1, signed=True, first_axes=False)


@declared_angle.register
def _(target: Rotated):
    own = declared_angle(target.target)
    return None if own is None else own._replace(first_axes=False)
