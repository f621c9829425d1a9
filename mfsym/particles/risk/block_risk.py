"""The exact risk for Gaussian inputs whose scale differs between blocks: the isotropic one in other coordinates.

With x = S z, z ~ N(0, I), b·x = (S b)·z: the risk of (a, b) is that of (a, S b) for isotropic inputs, with the target
read in z. Here S is taken relative to the scale of the first block, so that a target of its coordinates stays as it is.
"""

import functools

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ...errors import argument_error
from ...neurons import Particles
from ...problem.block_inputs import GaussianBlocks
from ...problem.block_targets import BlockNorms
from ...problem.inputs import Gaussian
from ...problem.targets import AbstractTarget, LinearTarget, SingleIndex, SubspaceNorm, Teacher
from ...problem.units import AbstractHomogeneousUnit
from ...risks import AbstractPredictorRisk
from .exact import ExactRisk
from .targets import USE_SAMPLES


class BlockRisk(AbstractPredictorRisk):
    """F(a, b) = F_iso(a, S b), and its velocity (a', b') = (a'_iso, S b'_iso) at (a, S b). (Derived.)"""

    isotropic: ExactRisk
    stretch: Float[Array, " d"]

    def prepare(self):
        """The risk with the closed form of its target."""
        return BlockRisk(self.isotropic.prepare(), self.stretch)

    def at_time(self, t):
        """The same risk at every time."""
        return self

    @eqx.filter_jit
    def value(self, cloud):
        """F."""
        return self.isotropic.value(stretched(cloud, self.stretch))

    @eqx.filter_jit
    def velocity(self, cloud):
        """(a', b') for every neuron."""
        return stretched(self.isotropic.velocity(stretched(cloud, self.stretch)), self.stretch)

    @eqx.filter_jit
    def energy(self, cloud):
        """E f²."""
        return self.isotropic.energy(stretched(cloud, self.stretch))


def stretched(cloud: Particles, scales: Float[Array, " d"]) -> Particles:
    """(a, S b) for S = diag(scales)."""
    return Particles(cloud.a, scales.astype(cloud.dtype)[None, :] * cloud.b)


def isotropic_inputs(inputs: GaussianBlocks) -> Gaussian:
    """N(0, s_1² I): what all inputs would be at the scale of the first block."""
    return Gaussian(inputs.dim, inputs.scales[0])


def relative_scales(inputs: GaussianBlocks) -> Float[Array, " d"]:
    """The diagonal [d] of S with x = S x', x' isotropic."""
    return inputs.coordinate_scales / inputs.scales[0]


def block_risk(
    inputs: GaussianBlocks, target: AbstractTarget, unit: AbstractHomogeneousUnit, block_size: int | None
) -> BlockRisk:
    """The exact risk of a target under block inputs; raises ArgumentError if the target mixes blocks."""
    stretch = relative_scales(inputs)
    same = stretched_target(target, inputs, stretch)
    return BlockRisk(ExactRisk(isotropic_inputs(inputs), same, unit, block_size), stretch)


@functools.singledispatch
def stretched_target(target: AbstractTarget, inputs: GaussianBlocks, stretch: Float[Array, " d"]) -> AbstractTarget:
    """The target as a function of x' with x = stretch·x', isotropic."""
    expected = "one that GaussianBlocks has a closed form for (SubspaceNorm, BlockNorms, SingleIndex, LinearTarget, Teacher)"
    raise argument_error("problem.target", expected, f"a {type(target).__name__}", USE_SAMPLES)


@stretched_target.register
def _(target: SubspaceNorm, inputs, stretch):
    if target.dim_h > inputs.dims[0]:
        expected = f"at most {inputs.dims[0]}, the dimension of the first block, for the exact risk"
        raise argument_error("target.dim_h", expected, target.dim_h, USE_SAMPLES)
    return target


@stretched_target.register
def _(target: BlockNorms, inputs, stretch):
    of_inputs = np.repeat(np.arange(len(inputs.dims)), inputs.dims)
    if any(len(set(of_inputs[start : start + dim])) > 1 for start, dim in zip(target.starts, target.dims, strict=True)):
        expected = f"such that every block of the target lies in one of the blocks {inputs.dims} of the inputs"
        raise argument_error("target.dims", expected, target.dims, USE_SAMPLES)
    return BlockNorms(target.dims, stretch[np.array(target.starts)].astype(target.weights.dtype) * target.weights)


@stretched_target.register
def _(target: SingleIndex, inputs, stretch):
    return target


@stretched_target.register
def _(target: LinearTarget, inputs, stretch):
    return LinearTarget(stretch.astype(target.w.dtype) * target.w)


@stretched_target.register
def _(target: Teacher, inputs, stretch):
    return Teacher(stretched(target.cloud, stretch), target.unit)
