"""Target terms of the exact risk: g*(b) = E[f*(x) σ(b·x)] and its gradient, one closed form for each target.

σ is 1-homogeneous, so that g*(b) = b·∇g*(b) and the gradient is all there is to derive. With σ(z) = o z + e |z| =
(o − e) z + 2e max(z, 0), a linear part (o − e) E[f* x] and a ReLU part 2e ∇g*_relu are enough. (Derived.)
A new target with a closed form is one class here and one line that registers it.
"""

import abc
import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...errors import ArgumentError, argument_error
from ...neurons import Particles
from ...problem.block_targets import BlockNorms
from ...problem.inputs import AbstractInputs
from ...problem.rotated import Rotated, unrotated
from ...problem.targets import AbstractTarget, LinearTarget, SingleIndex, SubspaceNorm, Teacher
from ...problem.units import AbstractHomogeneousUnit, is_homogeneous
from ...safe import safe_norm
from ..angles import polar_angle, safe_direction
from .kernel import pair_energy, pair_field
from .norm_table import norm_profile
from .single_index import SingleIndexTable, single_index_table

_EXACT = jax.lax.Precision.HIGHEST
USE_SAMPLES = "Pass samples=n, step= and key=, which draw n fresh inputs per step."


class AbstractTargetTerm(eqx.Module):
    """What the exact risk knows of a target: ∇g* and `energy` = E f*²."""

    energy: eqx.AbstractVar[Float[Array, ""]]

    @abc.abstractmethod
    def field(self, b: Float[Array, "m d"]) -> Float[Array, "m d"]:
        """∇g*(b) at every row, [m, d]; at b = 0 its mean over directions."""


@eqx.filter_custom_jvp
def target_values(term: AbstractTargetTerm, b: Float[Array, "m d"]) -> Float[Array, " m"]:
    """g*(b) = b·∇g*(b), [m]. Its derivative in b is `term.field(b)` itself, to rounding."""
    return jnp.sum(b * term.field(b), axis=1)


@target_values.def_jvp
def _target_values_jvp(primals, tangents):
    (term, b), (term_change, b_change) = primals, tangents
    values, change = eqx.filter_jvp(lambda term: jnp.sum(b * term.field(b), axis=1), (term,), (term_change,))
    if b_change is not None:
        moved = jnp.sum(term.field(b) * b_change, axis=1)
        change = moved if change is None else change + moved
    return values, change


@functools.singledispatch
def target_term(target: AbstractTarget, inputs: AbstractInputs, unit: AbstractHomogeneousUnit) -> AbstractTargetTerm:
    """The closed form of a target, computed once per run.

    Raises ArgumentError for a target without one.
    """
    raise _no_closed_form(target)


def has_closed_form(target: AbstractTarget) -> bool:
    """Whether a target has a closed form of its own."""
    return target_term.dispatch(type(target)) is not target_term.dispatch(object)


def check_closed_form(target: AbstractTarget, inputs: AbstractInputs) -> None:
    """Raise ArgumentError if the exact risk has no closed form for this target and this law."""
    target = unrotated(target)
    foreign = isinstance(target, Teacher) and not is_homogeneous(target.unit)
    if foreign or not has_closed_form(target):
        raise _no_closed_form(target)
    if isinstance(target, SingleIndex) and inputs.spherical and inputs.dim < 3:
        expected = "of dimension at least 3 for the exact risk of a SingleIndex target on a sphere"
        raise argument_error("problem.inputs", expected, inputs.dim, USE_SAMPLES)


def _no_closed_form(target: AbstractTarget) -> ArgumentError:
    expected = "one whose exact risk has a closed form (SubspaceNorm, SingleIndex, BlockNorms, LinearTarget, Teacher)"
    return argument_error("problem.target", expected, f"a {type(target).__name__}", USE_SAMPLES)


def mean_square(inputs: AbstractInputs, dtype: jnp.dtype) -> Float[Array, ""]:
    """E‖x‖²/d, the factor of everything that is 1-homogeneous in x on both sides."""
    return (inputs.second_moment / inputs.dim).astype(dtype)


class NormTerm(AbstractTargetTerm):
    """f* = scale·‖x_H‖, H the dim_h axes from `start` on: ∇g*_relu = 2q'(x) u_H + (q − 2x q') u at x = ‖u_H‖²."""

    start: int = eqx.field(static=True)
    dim_h: int = eqx.field(static=True)
    scale: Float[Array, ""]
    even: Float[Array, ""]
    square: Float[Array, ""]
    energy: Float[Array, ""]

    def field(self, b):
        """2e·scale·(E‖x‖²/d)·∇g*_relu."""
        direction, axis = safe_direction(b), jnp.arange(b.shape[1])
        in_subspace = ((axis >= self.start) & (axis < self.start + self.dim_h))[None, :]
        theta = polar_angle(safe_norm(jnp.where(in_subspace, 0, b)), safe_norm(jnp.where(in_subspace, b, 0)))
        value, slope = norm_profile(self.dim_h, theta)
        along = jnp.where(in_subspace, direction, 0)
        rest = value - 2 * jnp.cos(theta) ** 2 * slope
        relu = 2 * slope[:, None] * along + rest[:, None] * direction
        return 2 * self.even * self.scale * self.square * relu


@target_term.register
def _(target: SubspaceNorm, inputs, unit):
    dtype = target.scale.dtype
    square = mean_square(inputs, dtype)
    return _norm_term(0, target.dim_h, target.scale, unit.even_slope.astype(dtype), square)


def _norm_term(start: int, dim_h: int, scale, even, square) -> NormTerm:
    energy = scale**2 * dim_h * square
    return NormTerm(start=start, dim_h=dim_h, scale=scale, even=even, square=square, energy=energy)


class BlockNormsTerm(AbstractTargetTerm):
    """f* = Σ_i weights_i ‖x_{block i}‖: a sum of the fields of the blocks."""

    blocks: tuple[NormTerm, ...]
    energy: Float[Array, ""]

    def field(self, b):
        """Σ_i ∇g*_i."""
        return functools.reduce(jnp.add, [block.field(b) for block in self.blocks])


@target_term.register
def _(target: BlockNorms, inputs, unit):
    dtype = target.weights.dtype
    even, square = unit.even_slope.astype(dtype), mean_square(inputs, dtype)
    pairs = list(zip(target.starts, target.dims, target.weights, strict=True))
    blocks = tuple(_norm_term(start, dim, weight, even, square) for start, dim, weight in pairs)
    # E‖x_i‖‖x_j‖ of different blocks: independent chi variables for a Gaussian, and (E‖x‖²/d) times that for any law.
    means = [weight * chi_mean(dim) for _, dim, weight in pairs]
    cross = sum(2 * means[i] * means[j] * square for i in range(len(means)) for j in range(i))
    return BlockNormsTerm(blocks=blocks, energy=sum((block.energy for block in blocks), start=jnp.zeros((), dtype)) + cross)


def chi_mean(dim: int) -> float:
    """E‖z‖ for z ~ N(0, I_dim)."""
    return math.sqrt(2) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))


class SingleIndexTerm(AbstractTargetTerm):
    """f* = g(x_1): ∇g*_relu = L (A(θ) e + C(sin θ)(u − cos θ e)), and E[f* x] = 2 L A(π/2) e."""

    table: SingleIndexTable
    length: Float[Array, ""]
    odd: Float[Array, ""]
    even: Float[Array, ""]
    energy: Float[Array, ""]

    def field(self, b):
        """(o − e) E[f* x] + 2e ∇g*_relu."""
        theta = polar_angle(safe_norm(b[:, 1:]), b[:, 0])
        along, across = self.table.at(theta)
        first = (self.odd - self.even) * self.table.half_mean + self.even * along
        rest = self.even * across[:, None] * safe_direction(b)[:, 1:]
        return 2 * self.length * jnp.concatenate([first[:, None], rest], axis=1)


@target_term.register
def _(target: SingleIndex, inputs, unit):
    length = inputs.length
    dtype = length.dtype
    table = single_index_table(target.g, target.kinks, inputs)
    odd, even = unit.odd_slope.astype(dtype), unit.even_slope.astype(dtype)
    return SingleIndexTerm(table=table, length=length, odd=odd, even=even, energy=table.energy)


class LinearTerm(AbstractTargetTerm):
    """f* = w·x: g*(b) = o (E‖x‖²/d) w·b."""

    w: Float[Array, " d"]
    odd: Float[Array, ""]
    square: Float[Array, ""]
    energy: Float[Array, ""]

    def field(self, b):
        """o (E‖x‖²/d) w, the same at every b."""
        return jnp.broadcast_to(self.odd * self.square * self.w, b.shape)


@target_term.register
def _(target: LinearTarget, inputs, unit):
    dtype = target.w.dtype
    odd, square = unit.odd_slope.astype(dtype), mean_square(inputs, dtype)
    return LinearTerm(w=target.w, odd=odd, square=square, energy=square * jnp.sum(target.w**2))


class TeacherTerm(AbstractTargetTerm):
    """f* another network: the arc-cosine kernel between the two units, with slopes o o_t and e e_t."""

    cloud: Particles
    odd: Float[Array, ""]
    even: Float[Array, ""]
    square: Float[Array, ""]
    energy: Float[Array, ""]

    def field(self, b):
        """(E‖x‖²/d) times the mean gradient of the kernel over the teacher's neurons."""
        return self.square * pair_field(b, self.cloud, self.odd, self.even)


@target_term.register
def _(target: Teacher, inputs, unit):
    dtype = target.cloud.dtype
    own = target.unit
    assert is_homogeneous(own)  # as `check_closed_form` has seen
    odd, even = own.odd_slope.astype(dtype), own.even_slope.astype(dtype)
    square = mean_square(inputs, dtype)
    energy = square * pair_energy(target.cloud, target.cloud, odd**2, even**2)
    odd, even = odd * unit.odd_slope.astype(dtype), even * unit.even_slope.astype(dtype)
    return TeacherTerm(cloud=target.cloud, odd=odd, even=even, square=square, energy=energy)


class RotatedTerm(AbstractTargetTerm):
    """f* = f*_0(Q x): g*(b) = g*_0(Q b), as the law of the inputs is invariant under Q."""

    term: AbstractTargetTerm
    rotation: Float[Array, "d d"]
    energy: Float[Array, ""]

    def field(self, b):
        """Qᵀ ∇g*_0(Q b)."""
        turned = jnp.matmul(b, self.rotation.T, precision=_EXACT)
        return jnp.matmul(self.term.field(turned), self.rotation, precision=_EXACT)


@target_term.register
def _(target: Rotated, inputs, unit):
    term = target_term(target.target, inputs, unit)
    return RotatedTerm(term=term, rotation=target.rotation, energy=term.energy)
