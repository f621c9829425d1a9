"""How fast each layer of a cloud learns."""

import equinox as eqx
import jax
from jaxtyping import PyTree

from ..errors import argument_error
from ..neurons import AbstractRidgeCloud
from ..problem.training import Training
from ..types import Cloud


def trained(training: Training, velocity: PyTree, cloud: PyTree) -> PyTree:
    """The velocity of every layer at its rate and with weight decay; a bias belongs to the first layer, as b does."""
    decay = training.weight_decay
    forces = jax.tree.map(lambda v, z: v - decay.astype(z.dtype) * z, velocity, cloud)
    return jax.tree.map(lambda force, rate: rate.astype(force.dtype) * force, forces, rates_of(training, cloud))


def rates_of(training: Training, cloud: Cloud) -> Cloud:
    """The rate of every leaf; raises ArgumentError where they differ and the layers have no names."""
    if isinstance(cloud, AbstractRidgeCloud):
        return eqx.tree_at(lambda rates: rates.a, jax.tree.map(lambda _: training.rate_b, cloud), training.rate_a)
    if not training.same_rates:
        expected = "one with equal rates for neurons other than Particles and BiasedParticles"
        raise argument_error("training", expected, training, "Their layers have no names.")
    return jax.tree.map(lambda _: training.rate_a, cloud)
