"""What an optimiser does to every layer: the heavy ball u ← β u + (gradient + λ z), z ← z − η u, from rest.

η may follow a schedule, the same for all layers but for a factor.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import optax

from ..errors import Words, argument_error, check_integer, is_traced, positive_number
from .network import OFFSET, Network
from .probes import numbers_of
from .refusals import COORDINATEWISE, NESTEROV, SCHEDULES, no_twin

_REMEDY = (
    'Pass an optax transformation, a torch.optim.SGD, or {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, '
    '"weight_decay": 0.0}.'
)
_ADAPTIVE = ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "SparseAdam", "Adagrad", "Adadelta", "RMSprop", "Rprop")
_ALIKE = 1e-4  # of the largest rate: what a constant rate may change, and schedules of two layers differ
_KEYS = ("name", "learning_rate", "momentum", "weight_decay", "nesterov")


class Rule(NamedTuple):
    """η and λ of every layer of a network by its name, the one β, and of a schedule the factors of η for every step; η is
    then the largest."""

    rates: dict[str, float]
    decays: dict[str, float]
    momentum: float
    schedule: np.ndarray | None = None

    def __str__(self) -> str:
        """In words."""
        words = [f"learning rate {of_layers(self.rates)}"]
        if self.schedule is not None:
            first, last = self.schedule[0], self.schedule[-1]
            words[0] += f" at its largest, {first:.4g} of it at first and {last:.4g} at last ({len(self.schedule)} steps)"
        if self.momentum:
            words.append(f"momentum {self.momentum:g}")
        if any(self.decays.values()):
            words.append(f"weight decay {of_layers(self.decays)}")
        return "gradient descent, " + ", ".join(words)


def of_layers(numbers: dict[str, float]) -> str:
    """One number for every layer, or for all where it reads the same."""
    told = {layer: f"{number:.5g}" for layer, number in numbers.items()}
    return told.popitem()[1] if len(set(told.values())) == 1 else ", ".join(f"{told[layer]} ({layer})" for layer in told)


@functools.singledispatch
def read_rule(optimiser: Any, network: Network, steps: int) -> Rule:
    """What an optimiser does to a network; raises NoTwinError where that is no heavy ball."""
    if not hasattr(optimiser, "param_groups"):
        raise argument_error("optimiser", "one that is recognised", optimiser, _REMEDY)
    name = type(optimiser).__name__
    if name in _ADAPTIVE:
        raise no_twin(*COORDINATEWISE)
    if name != "SGD":
        raise argument_error("optimiser", "torch.optim.SGD, where it is one of PyTorch", Words(name), _REMEDY)
    groups = {id(parameter): group for group in optimiser.param_groups for parameter in group["params"]}
    found = {layer: groups.get(id(leaf)) for layer, leaf in zip(network.layers, network.leaves, strict=True)}
    for group in filter(None, found.values()):
        if group["nesterov"]:
            raise no_twin(*NESTEROV)
        if group["dampening"] or group.get("maximize"):
            raise argument_error("optimiser", "without dampening that descends", Words("another SGD"), _REMEDY)
    rates = {layer: float(group["lr"]) if group else 0.0 for layer, group in found.items()}
    decays = {layer: float(group["weight_decay"]) if group else 0.0 for layer, group in found.items()}
    return _one_rule(rates, decays, {layer: float(group["momentum"]) for layer, group in found.items() if group})


@read_rule.register
def _(optimiser: Mapping, network, steps):
    unknown = sorted(set(optimiser) - set(_KEYS))
    if unknown or optimiser.get("name") != "sgd" or "learning_rate" not in optimiser:
        if str(optimiser.get("name")).lower() in map(str.lower, _ADAPTIVE):
            raise no_twin(*COORDINATEWISE)
        raise argument_error("optimiser", f"a dictionary with some of {_KEYS}", dict(optimiser), _REMEDY)
    if optimiser.get("nesterov"):
        raise no_twin(*NESTEROV)
    rate, layers = optimiser["learning_rate"], network.layers
    every = [_number("learning_rate", each) for each in (map(rate, range(steps)) if callable(rate) else (rate,))]
    decay, momentum = (_number(key, optimiser.get(key, 0.0)) for key in ("weight_decay", "momentum"))
    rates = dict.fromkeys(layers, np.array(every if callable(rate) else every * steps))
    return _scheduled(rates, dict.fromkeys(layers, decay), dict.fromkeys(layers, momentum))


@read_rule.register
def _(optimiser: optax.GradientTransformation, network, steps):
    found = numbers_of(optimiser, network.parameters, check_integer("steps", steps, 1))
    rates, decays, momenta = (dict(zip(network.layers, column, strict=True)) for column in zip(*found, strict=True))
    return _scheduled({layer: every[:steps] for layer, every in rates.items()}, decays, momenta)


def _scheduled(rates: dict[str, np.ndarray], decays: dict[str, float], momenta: dict[str, float]) -> Rule:
    """The rule of layers whose rates [steps] are one schedule times a number each."""
    largest = {layer: float(np.max(every)) for layer, every in rates.items()}
    rule = _one_rule(largest, decays, momenta)
    shapes = [np.abs(every) / largest[layer] for layer, every in rates.items() if largest[layer] and layer != OFFSET]
    if any(np.max(np.abs(shape - shapes[0])) > _ALIKE for shape in shapes):
        raise no_twin(*SCHEDULES)
    return rule if np.ptp(shapes[0]) <= _ALIKE else rule._replace(schedule=shapes[0])


def _number(key: str, value: Any) -> float:
    if is_traced(value):
        raise argument_error(f"optimiser.{key}", "a plain number", value, _REMEDY)
    return float(positive_number(f"optimiser.{key}", value, _REMEDY, strict=False))


def _one_rule(rates: dict[str, float], decays: dict[str, float], momenta: dict[str, float]) -> Rule:
    """The rule, if the layers that learn have one momentum."""
    learning = {layer: momentum for layer, momentum in momenta.items() if rates[layer] and layer != OFFSET}
    if not learning:
        raise argument_error("optimiser", "one that trains a layer of the model", Words(f"one with rates {rates}"), _REMEDY)
    momentum = next(iter(learning.values()))
    if any(abs(other - momentum) > 1e-6 for other in learning.values()):
        raise no_twin(f"its layers have different momenta, {learning}", "one momentum for all layers")
    return Rule(rates, decays, momentum)
