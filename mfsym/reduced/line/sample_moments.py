"""What the law of one sample is at every angle: moments of its label against powers of ‖x‖."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import no_reduction
from ...problem.inputs import AbstractInputs
from ...problem.problem import Problem
from ...problem.rotated import unrotated
from ...problem.targets import AbstractTarget, LinearTarget, RadialIndex, SingleIndex, SubspaceNorm
from ..angles.law import crowded_angles
from ..rules.panels import quadrature_of
from ..rules.quadrature import Quadrature, composite_rule, interval_end
from ..rules.radii import fourth_moment
from .angle_structure import angle_of
from .coefficients import radial_average

_POINTS = 32  # of the angle, in either half of its interval


class SampleLaw(NamedTuple):
    """Angles [N] and their probabilities; E[y‖x‖ | θ], E[y²‖x‖² | θ] and E[y‖x‖³ | θ] of labels y there; E‖x‖⁴."""

    angles: Float[Array, " N"]
    weights: Float[Array, " N"]
    mean: Float[Array, " N"]
    square: Float[Array, " N"]
    third: Float[Array, " N"]
    fourth: Float[Array, ""]


def sample_law(problem: Problem) -> SampleLaw:
    """Of a problem with one angle and rotation-invariant inputs, noise of its labels included.

    The angles are those of Gauss–Legendre rules on both halves of the interval: f* may have a kink at x_1 = 0, its middle.
    """
    target, inputs, (dim_h, signed, _) = unrotated(problem.target), problem.inputs, angle_of(problem)
    nodes, weights = composite_rule(np.linspace(0, interval_end(signed), 3), _POINTS)
    theta, log_law = crowded_angles(nodes, dim_h, problem.dim - dim_h, signed)
    weights = np.exp(log_law) * weights
    rule = jax.tree.map(lambda leaf: leaf[0], quadrature_of(target, inputs))
    mean, square, third = eqx.filter_jit(_moments)(target, inputs, jnp.cos(jnp.asarray(theta)), rule)
    if problem.noise is not None:
        square = square + problem.noise**2 * inputs.second_moment
    return SampleLaw(jnp.asarray(theta), jnp.asarray(weights), mean, square, third, fourth_moment(inputs))


@functools.singledispatch
def _moments(
    target: AbstractTarget, inputs: AbstractInputs, cosines: Float[Array, " N"], rule: Quadrature
) -> tuple[Array, Array, Array]:
    raise no_reduction(f"the target {type(target).__name__} declares no angle")


@_moments.register
def _(target: SubspaceNorm, inputs: AbstractInputs, cosines: Float[Array, " N"], rule: Quadrature):
    return _multiple_of_length(target.scale * cosines, inputs)


@_moments.register
def _(target: LinearTarget, inputs: AbstractInputs, cosines: Float[Array, " N"], rule: Quadrature):
    return _multiple_of_length(jnp.linalg.norm(target.w) * cosines, inputs)


@_moments.register
def _(target: SingleIndex | RadialIndex, inputs: AbstractInputs, cosines: Float[Array, " N"], rule: Quadrature):
    found = jax.lax.map(lambda cosine: radial_average(target, inputs, cosine, rule), cosines)
    return found.mean, found.weighted_square, found.third


def _multiple_of_length(slopes: Float[Array, " N"], inputs: AbstractInputs):
    """Where f* = slope·‖x‖."""
    fourth = fourth_moment(inputs)
    return slopes * inputs.second_moment, slopes**2 * fourth, slopes * fourth
