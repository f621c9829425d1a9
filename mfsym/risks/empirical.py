"""The risk on a data set: any unit, any loss, in blocks of samples."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..chunks import rows_per_block, step_blocks, sum_blocks
from ..integrate import cast_floats
from ..neurons import Particles
from ..problem.losses import AbstractLoss, losses, residuals
from ..problem.targets import AbstractTarget
from ..problem.units import AbstractUnit, homogeneous_neurons
from .base import AbstractPredictorRisk
from .field import homogeneous_field
from .outputs import cloud_outputs


class EmpiricalRisk(AbstractPredictorRisk):
    """F = Σ_i w_i ℓ(f(x_i), y_i) on a data set x [n, d], by default with labels y_i = f*(x_i) and weights w_i = 1/n.

    z_j' = Σ_i w_i R_i ∂_z σ*(x_i; z_j), R_i the residual of sample i; for a 1-homogeneous unit the derivative is
    hand-written (`field`), for any other it is the unit's own. A residual needs only its sample, so that blocks of samples
    repeat no work. `block_size` samples make a block; by default the shapes decide. Memory O(m).
    """

    target: AbstractTarget
    unit: AbstractUnit
    loss: AbstractLoss
    x: Float[Array, "n d"]
    y: Float[Array, "n *out"] | None = None
    weights: Float[Array, " n"] | None = None
    block_size: int | None = eqx.field(static=True, default=None)

    def prepare(self):
        """The risk with the values of its target."""
        y = jax.vmap(self.target)(self.x).astype(self.x.dtype) if self.y is None else self.y
        return EmpiricalRisk(self.target, self.unit, self.loss, self.x, y, self.weights, self.block_size)

    def at_time(self, t):
        """The same data at every time."""
        return self

    @eqx.filter_jit
    def value(self, cloud):
        """Mean loss over the data."""
        return self._mean(cloud, lambda risk, outputs, y: losses(risk.loss, outputs, y))

    @eqx.filter_jit
    def energy(self, cloud):
        """Mean of |f|² over the data."""
        return self._mean(cloud, lambda risk, outputs, y: jax.vmap(lambda f: jnp.sum(f**2))(outputs))

    @eqx.filter_jit
    def velocity(self, cloud):
        """−m∇F for every neuron."""
        risk, rows = self._rows(cloud)
        found = homogeneous_neurons(risk.unit, cloud)
        if found is not None:
            unit, particles = found
            blocks = step_blocks(risk.x.shape[0], particles.width, particles.dim, self.block_size)
            field = homogeneous_field(unit, risk.loss, particles, rows, blocks)
            return Particles(jnp.sum(particles.b * field, axis=1), particles.a[:, None] * field)
        size = rows_per_block(_width(cloud), self.block_size)
        return sum_blocks(lambda rows: _general_velocity(risk, cloud, rows), rows, size)

    def _mean(self, cloud: PyTree, function: Callable[["EmpiricalRisk", Array, Array], Array]) -> Float[Array, ""]:
        """The mean over the data of a function of the outputs of a cloud and of the target."""
        risk, rows = self._rows(cloud)

        def block(rows):
            x, y, weights = rows
            return jnp.sum(weights * function(risk, cloud_outputs(cloud, risk.unit, x), y))

        return sum_blocks(block, rows, rows_per_block(_width(cloud), self.block_size))

    def _rows(self, cloud: PyTree) -> tuple["EmpiricalRisk", tuple[Array, Array, Array]]:
        risk = cast_floats(self, _dtype(cloud)).prepare()
        count = risk.x.shape[0]
        weights = jnp.full((count,), 1 / count, risk.x.dtype) if risk.weights is None else risk.weights
        return risk, (risk.x, risk.y, weights)


def _dtype(cloud: PyTree) -> jnp.dtype:
    return jnp.result_type(*jax.tree.leaves(cloud))


def _width(cloud: PyTree) -> int:
    return jax.tree.leaves(cloud)[0].shape[0]


def _general_velocity(risk: EmpiricalRisk, cloud: PyTree, rows: PyTree) -> PyTree:
    """Σ_i w_i R_i ∂_z σ*(x_i; z_j) over a block of samples, like the cloud."""
    x, y, weights = rows
    outputs, pull_back = jax.vjp(lambda cloud: cloud_outputs(cloud, risk.unit, x), cloud)
    forces = jax.vmap(jnp.multiply)(weights, residuals(risk.loss, outputs, y))
    return pull_back(forces * _width(cloud))[0]
