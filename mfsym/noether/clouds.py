"""The law of the library's own networks: of every neuron of a cloud, and so of their whole distribution."""

import jax.numpy as jnp

from ..errors import Words, argument_error, check_instance, check_is
from ..problem.training import Training
from ..problem.units import AbstractHomogeneousUnit, AbstractUnit
from ..types import Checked
from .laws import Law


def cloud_law(unit: Checked[AbstractUnit], training: Checked[Training | None] = None) -> Law:
    """q_j = ‖b_j‖²/rate_b − a_j²/rate_a of every neuron of `Particles`, [m].

    The flow of any risk keeps it, so that the distribution of q over the neurons is constant (derived). With a weight decay
    λ and equal rates ρ it is q(0) exp(−2ρλt). A start with |a| = ‖b‖ has q = 0: that is the leaf where the equation of τ⁺
    and τ⁻ lives. Hand it to a solver, `observe={"q": mf.noether.cloud_law(mf.ReLU())}`, or to `track`.

    Arguments: `unit`, ReLU, LeakyReLU or Identity; `training`, with constant rates. Raises ArgumentError for a unit that is
    not homogeneous, for a momentum or a temperature, which keep no such law, for a layer at rest, and for a decay with
    unequal rates.
    """
    check_instance("unit", unit, AbstractUnit, "Pass that of the problem, such as mf.ReLU().")
    remedy = "Rescaling a neuron changes what it computes unless σ(λz) = λσ(z); mf.noether.discover looks for other laws."
    check_is("unit", unit, AbstractHomogeneousUnit, "ReLU, LeakyReLU or Identity", remedy, Words(type(unit).__name__))
    how = Training() if training is None else check_instance("training", training, Training, "Leave it out for rates of 1.")
    if how.momentum is not None:
        raise argument_error("training", "without a momentum", Words("one with it"), "The heavy ball keeps no such law.")
    if how.heated:
        raise argument_error("training", "without a temperature", Words("one with it"), "Noise keeps no such law.")
    if how.decays and not how.same_rates:
        got = Words("a decay with unequal rates")
        raise argument_error("training", "without decay, or with equal rates", got, "Then q has no closed equation.")
    if min(float(how.rate_a), float(how.rate_b)) == 0:
        raise argument_error(
            "training", "with two layers that learn", Words("one at rest"), "The other follows no such law."
        )

    def difference(cloud):
        return jnp.sum(cloud.b**2, axis=1) / how.rate_b.astype(cloud.dtype) - cloud.a**2 / how.rate_a.astype(cloud.dtype)

    def total(cloud):
        return jnp.sum(cloud.b**2, axis=1) / how.rate_b.astype(cloud.dtype) + cloud.a**2 / how.rate_a.astype(cloud.dtype)

    return Law("‖b‖²/rate_b − a²/rate_a", difference, 2, total)
