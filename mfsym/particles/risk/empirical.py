"""The risk on a data set: any unit, any loss, in blocks of samples."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ...integrate import cast_floats
from ...neurons import Particles
from ...problem.losses import AbstractLoss
from ...problem.targets import AbstractTarget
from ...problem.units import AbstractHomogeneousUnit, AbstractUnit
from ..blocks import sum_blocks
from ..predictor import cloud_outputs
from .base import AbstractRisk

_EXACT = jax.lax.Precision.HIGHEST


class EmpiricalRisk(AbstractRisk):
    """F = (1/n) Σ_i ℓ(f(x_i), y_i) on a data set x [n, d] with y_i = f*(x_i).

    z_j' = (1/n) Σ_i R_i ∂_z σ*(x_i; z_j), R_i the residual of sample i; for a 1-homogeneous unit the derivative is
    hand-written, for any other it is the unit's own. A residual needs only its sample, so that blocks of samples
    repeat no work. Memory O(m).
    """

    target: AbstractTarget
    unit: AbstractUnit
    loss: AbstractLoss
    x: Float[Array, "n d"]
    y: Float[Array, " n"] | None = None

    def prepare(self):
        """The risk with the values of its target."""
        y = jax.vmap(self.target)(self.x).astype(self.x.dtype) if self.y is None else self.y
        return EmpiricalRisk(self.target, self.unit, self.loss, self.x, y)

    def at_time(self, t):
        """The same data at every time."""
        return self

    @eqx.filter_jit
    def value(self, cloud):
        """Mean loss over the data."""
        risk, rows = self._rows(cloud)

        def block(rows):
            x, y, weights = rows
            return jnp.sum(weights * risk.loss(cloud_outputs(cloud, risk.unit, x), y))

        return sum_blocks(block, rows, _width(cloud))

    @eqx.filter_jit
    def velocity(self, cloud):
        """−m∇F for every neuron."""
        risk, rows = self._rows(cloud)
        unit, loss = risk.unit, risk.loss
        if isinstance(unit, AbstractHomogeneousUnit) and isinstance(cloud, Particles):
            field = sum_blocks(lambda rows: _homogeneous_field(unit, loss, cloud, rows), rows, cloud.width)
            return Particles(jnp.sum(cloud.b * field, axis=1), cloud.a[:, None] * field)
        return sum_blocks(lambda rows: _general_velocity(risk, cloud, rows), rows, _width(cloud))

    def _rows(self, cloud: PyTree) -> tuple["EmpiricalRisk", tuple[Array, Array, Array]]:
        risk = cast_floats(self, _dtype(cloud)).prepare()
        count = risk.x.shape[0]
        return risk, (risk.x, risk.y, jnp.full((count,), 1 / count, risk.x.dtype))


def _dtype(cloud: PyTree) -> Any:
    return jnp.result_type(*jax.tree.leaves(cloud))


def _width(cloud: PyTree) -> int:
    return jax.tree.leaves(cloud)[0].shape[0]


def _homogeneous_field(
    unit: AbstractHomogeneousUnit, loss: AbstractLoss, cloud: Particles, rows: PyTree
) -> Float[Array, "m d"]:
    """h_j = Σ_i w_i R_i σ'(b_j·x_i) x_i over a block of samples, [m, d]; then a_j' = b_j·h_j and b_j' = a_j h_j."""
    x, y, weights = rows
    before = jnp.matmul(x, cloud.b.T, precision=_EXACT)
    outputs = jnp.matmul(unit.activation(before), cloud.a, precision=_EXACT) / cloud.width
    forces = weights * loss.residual(outputs, y)
    return jnp.matmul((forces[:, None] * unit.derivative(before)).T, x, precision=_EXACT)


def _general_velocity(risk: EmpiricalRisk, cloud: PyTree, rows: PyTree) -> PyTree:
    """Σ_i w_i R_i ∂_z σ*(x_i; z_j) over a block of samples, like the cloud."""
    x, y, weights = rows
    outputs, pull_back = jax.vjp(lambda cloud: cloud_outputs(cloud, risk.unit, x), cloud)
    forces = weights * risk.loss.residual(outputs, y)
    return pull_back(forces * _width(cloud))[0]
