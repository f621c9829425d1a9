"""Risks under a group G that acts on neurons by M: of the images of a law, of their mean, of its fixed part.

Each wraps any risk R of a cloud, and uses nothing of it but its value and velocity: with a unit that is jointly equivariant,
σ*(ρ_g x; M_g z) = ρ̂_g σ*(x; z), and a loss that ρ̂ leaves as it is, R of the image M_g#μ is the risk of μ on the data that
g⁻¹ moves. A neuron is moved back by M_g⁻¹ = M(gᵀ): elements are orthogonal. (Maass & Fontbona 2024 for the schemes; this
form of them is derived.)
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..errors import Words, check_is
from ..groups import Action, Moves
from ..neurons import moved_cloud
from .base import AbstractPredictorRisk, AbstractRisk
from .empirical import EmpiricalRisk
from .sampled import SampledRisk
from .streams import stream


def _energy(risk: AbstractRisk, cloud: PyTree) -> Float[Array, ""]:
    expected, remedy = "one of a network, whose E|f|² is known", "Derive it from mfsym.risks.AbstractPredictorRisk."
    return check_is("risk", risk, AbstractPredictorRisk, expected, remedy, Words(f"a {type(risk).__name__}")).energy(cloud)


class AugmentedRisk(AbstractPredictorRisk):
    """R^DA(μ) = Σ_q w_q R(M_q#μ), the mean of the risks of the images: the risk on all data moved by the group.

    z_j' = Σ_q w_q M_q⁻¹ (the velocity of M_q z_j in the image). One image at a time: memory does not grow with their number.
    `moves` are the M_q, `back` their inverses.
    """

    risk: AbstractRisk
    moves: Moves
    back: Moves
    weights: Float[Array, " q"]

    def prepare(self):
        """The same of the prepared risk."""
        return AugmentedRisk(self.risk.prepare(), self.moves, self.back, self.weights)

    def at_time(self, t):
        """The same of the risk at that time."""
        return AugmentedRisk(self.risk.at_time(t), self.moves, self.back, self.weights)

    @eqx.filter_jit
    def value(self, cloud):
        """The mean of the risks of the images."""
        return self._mean(lambda there, back: self.risk.value(there(cloud)))

    @eqx.filter_jit
    def energy(self, cloud):
        """The mean of E|f|² over the moved inputs."""
        return self._mean(lambda there, back: _energy(self.risk, there(cloud)))

    @eqx.filter_jit
    def velocity(self, cloud):
        """The mean of the velocities of the images, moved back."""
        return self._mean(lambda there, back: back(self.risk.velocity(there(cloud))))

    def _mean(self, function: Callable[[Moves, Moves], PyTree]) -> PyTree:
        """Σ_q w_q function(M_q, M_q⁻¹), one after the other."""
        compute = jax.checkpoint(function, prevent_cse=False)
        pairs = (self.moves, self.back)
        shapes = jax.eval_shape(function, *jax.tree.map(lambda leaf: leaf[0], pairs))

        def add(total, row):
            pair, weight = row
            return jax.tree.map(lambda t, v: t + weight.astype(v.dtype) * v, total, compute(*pair)), None

        start = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        return jax.lax.scan(add, start, (pairs, self.weights))[0]


class AveragedRisk(AbstractPredictorRisk):
    """R^FA(μ) = R(mean of the images M_q#μ), the risk of the network that is averaged over the group.

    z_j' = mean_q M_q⁻¹ (the velocity of M_q z_j in the cloud of all images). It holds the images of all neurons at once.
    `moves` are the M_q, `back` their inverses.
    """

    risk: AbstractRisk
    moves: Moves
    back: Moves

    def prepare(self):
        """The same of the prepared risk."""
        return AveragedRisk(self.risk.prepare(), self.moves, self.back)

    def at_time(self, t):
        """The same of the risk at that time."""
        return AveragedRisk(self.risk.at_time(t), self.moves, self.back)

    @eqx.filter_jit
    def value(self, cloud):
        """The risk of the mean of the images."""
        return self.risk.value(moved_cloud(cloud, self.moves))

    @eqx.filter_jit
    def energy(self, cloud):
        """E|f|² of the mean of the images."""
        return _energy(self.risk, moved_cloud(cloud, self.moves))

    @eqx.filter_jit
    def velocity(self, cloud):
        """The mean of the velocities of the images of a neuron, moved back."""
        velocity = self.risk.velocity(moved_cloud(cloud, self.moves))
        count = self.moves.elements.shape[0]
        split = jax.tree.map(lambda leaf: leaf.reshape(-1, count, *leaf.shape[1:]), velocity)  # images side by side
        back = jax.vmap(lambda move, v: move(v), in_axes=(0, 1))(self.back, split)
        return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), back)


class FixedRisk(AbstractPredictorRisk):
    """R^EA(μ) = R(P#μ), P the projection on the neurons E^G that the group fixes: the risk of an equivariant architecture.

    z_j' = P (the velocity of P z_j).
    """

    risk: AbstractRisk
    action: Action

    def prepare(self):
        """The same of the prepared risk."""
        return FixedRisk(self.risk.prepare(), self.action)

    def at_time(self, t):
        """The same of the risk at that time."""
        return FixedRisk(self.risk.at_time(t), self.action)

    @eqx.filter_jit
    def value(self, cloud):
        """The risk of the fixed part."""
        return self.risk.value(self.action.project(cloud))

    @eqx.filter_jit
    def energy(self, cloud):
        """E|f|² of the fixed part."""
        return _energy(self.risk, self.action.project(cloud))

    @eqx.filter_jit
    def velocity(self, cloud):
        """The velocity of the fixed part, projected."""
        return self.action.project(self.risk.velocity(self.action.project(cloud)))


class MovedSamplesRisk(AbstractPredictorRisk):
    """The risk on fresh inputs, each moved, with its value, by an element of its own that is drawn from the Haar law.

    The elements of a step come from the key of the inputs, in a stream of their own. In the mean it is `AugmentedRisk`.
    """

    risk: SampledRisk
    action: Action

    def prepare(self):
        """Nothing to prepare."""
        return self

    def at_time(self, t):
        """The risk on the moved inputs of the step that begins at t."""
        now, key = self.risk.at_time(t), stream(self.risk.key, "elements")
        elements = self.action.group.sample(jax.random.fold_in(key, self.risk.index(t)), self.risk.samples)
        assert now.y is not None  # drawn with the inputs
        x = jax.vmap(self.action.move_input)(elements, now.x)
        y = jax.vmap(self.action.move_output)(elements, now.y)
        return EmpiricalRisk(now.target, now.unit, now.loss, x, y, now.weights, now.block_size)

    def value(self, cloud):
        """The mean loss on the moved inputs of the first step."""
        return self._first().value(cloud)

    def velocity(self, cloud):
        """The velocity on the moved inputs of the first step."""
        return self._first().velocity(cloud)

    def energy(self, cloud):
        """The mean of |f|² over the moved inputs of the first step."""
        return self._first().energy(cloud)

    def _first(self) -> EmpiricalRisk:
        return self.at_time(jnp.zeros((), self.risk.step.dtype))
