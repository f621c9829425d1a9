"""Activations as units, recognised by their values."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import Words, argument_error
from ..problem.functions import values_on_host
from ..problem.units import AbstractRidgeUnit, Identity, LeakyReLU, Neuron, ReLU
from ..types import RealFunction

_POINTS = np.array([-7.3, -2.0, -1.0, -0.4, -1e-3, 1e-3, 0.7, 1.0, 3.1, 7.9])

# What the activations of torch.nn are in JAX, by the name of their class.
_OF_TORCH: dict[str, Callable[[Any], RealFunction]] = {
    "ReLU": lambda module: jax.nn.relu,
    "LeakyReLU": lambda module: lambda z: jnp.where(z > 0, z, module.negative_slope * z),
    "GELU": lambda module: lambda z: jax.nn.gelu(z, approximate=module.approximate == "tanh"),
    "SiLU": lambda module: jax.nn.silu,
    "Tanh": lambda module: jnp.tanh,
    "Sigmoid": lambda module: jax.nn.sigmoid,
    "Softplus": lambda module: lambda z: jax.nn.softplus(module.beta * z) / module.beta,
    "ELU": lambda module: lambda z: jnp.where(z > 0, z, module.alpha * jnp.expm1(jnp.minimum(z, 0))),
    "Identity": lambda module: lambda z: z,
}


def unit_of(activation: RealFunction, biased: bool) -> AbstractRidgeUnit:
    """a σ(b·x + β); without biases a piecewise linear σ is recognised, whose averages have closed forms."""
    unit = Neuron(activation, bias=biased)
    if biased:
        return unit
    values = values_on_host(unit.function, _POINTS)
    if values is None:
        return unit
    slope = float(values[2] / _POINTS[2])
    if not np.allclose(values, np.where(_POINTS > 0, _POINTS, slope * _POINTS), rtol=1e-6, atol=0):
        return unit
    if slope in (0.0, 1.0):
        return ReLU() if slope == 0 else Identity()
    return LeakyReLU(slope)


def module_unit(module: Any, biased: bool) -> AbstractRidgeUnit:
    """The unit of an activation of torch.nn."""
    name = type(module).__name__
    if name not in _OF_TORCH:
        known = ", ".join(_OF_TORCH)
        remedy = "Pass the weights as arrays, (a, b, bias), and activation= as a function of JAX."
        raise argument_error("model", f"one with an activation that is known by name ({known})", Words(f"{name}"), remedy)
    return unit_of(_OF_TORCH[name](module), biased)
