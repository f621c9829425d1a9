"""The gradient of the risk on a data set for 1-homogeneous units, written out, in blocks of samples and of neurons."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..chunks import StepBlocks, map_blocks, sum_blocks
from ..neurons import Particles
from ..problem.losses import AbstractLoss, residuals
from ..problem.units import AbstractHomogeneousUnit
from ..products import product

_EXACT = jax.lax.Precision.HIGHEST

Rows = tuple[Float[Array, "n d"], Float[Array, " n"], Float[Array, " n"]]  # inputs, targets, weights of the samples


def homogeneous_field(
    unit: AbstractHomogeneousUnit, loss: AbstractLoss, cloud: Particles, rows: Rows, blocks: StepBlocks
) -> Float[Array, "m d"]:
    """h_j = Σ_i w_i R_i σ'(b_j·x_i) x_i, [m, d]; then a_j' = b_j·h_j and b_j' = a_j h_j.

    The force w_i R_i multiplies the d coordinates of a sample instead of its m slopes σ', and b·x is kept with a row for
    every neuron, in which order both products read it.
    """
    field = _all_neurons if blocks.neurons >= cloud.width else _blocks_of_neurons
    return sum_blocks(lambda rows: field(unit, loss, cloud, rows, blocks.neurons), rows, blocks.samples)


def _all_neurons(unit, loss, cloud: Particles, rows: Rows, size: int) -> Float[Array, "m d"]:
    """b·x is computed once and kept while the residual is."""
    x, y, weights = rows
    before = product(cloud.b, x.T)
    outputs = jnp.matmul(cloud.a, unit.activation(before), precision=_EXACT) / cloud.width
    forces = weights * residuals(loss, outputs, y)
    return product(unit.derivative(before), forces[:, None] * x)


def _blocks_of_neurons(unit, loss, cloud: Particles, rows: Rows, size: int) -> Float[Array, "m d"]:
    """b·x is computed twice, and forgotten between."""
    x, y, weights = rows

    def outputs_of(neurons):
        a, b = neurons
        return jnp.matmul(a, unit.activation(product(b, x.T)), precision=_EXACT)

    outputs = sum_blocks(outputs_of, (cloud.a, cloud.b), size) / cloud.width
    forced = (weights * residuals(loss, outputs, y))[:, None] * x

    def field_of(b):
        return product(unit.derivative(product(b, x.T)), forced)

    return map_blocks(field_of, cloud.b, size)
