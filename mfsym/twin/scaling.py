"""How a network of one width stands for those of all widths: a = m s A, b = p B and the steps of both are kept."""

from typing import NamedTuple

import numpy as np

from ..errors import check_is, positive_number
from ..types import Checked, RealLike
from .network import BIAS, INNER, NAMED, OFFSET, OUTER, Network
from .refusals import no_twin
from .rules import Rule

_RULES = {"1/m": lambda m: 1 / m, "1/sqrt(m)": lambda m: 1 / np.sqrt(m)}
_TOLERANCE = 1e-5  # relative, of rates that must be equal


class Scaling(NamedTuple):
    """f = s Σ_j A_j σ(p B_j·x + β_j): `rule` is s in words or a number, `preactivation` p."""

    rule: str | float
    preactivation: float

    def scale(self, width: int) -> float:
        """s at a width."""
        return float(_RULES[self.rule](width)) if isinstance(self.rule, str) else self.rule

    def speeds(self, width: int) -> dict[str, float]:
        """How far one step of rate 1 on each layer moves a, b, β and s c, in units of its mean-field force."""
        scale = self.scale(width)
        inner = self.preactivation**2 / width
        return {OUTER: width * scale**2, INNER: inner, BIAS: 1 / width, OFFSET: scale**2}


class Pace(NamedTuple):
    """One step of the loop in units of the mean-field forces of a and of b, with the decay λ of each."""

    outer: float
    inner: float
    decay: float


def check_scaling(network: Network, scale: Checked[str | RealLike], preactivation: RealLike) -> Scaling:
    """The scaling that the user states, or that of a law."""
    remedy = 'It is what the sum over neurons is multiplied by: "1/m", "1/sqrt(m)", or a number.'
    known = NAMED.get(network.kind.removeprefix("the law ").strip("'"))
    if known is not None:
        scale = known
    if isinstance(scale, str):
        check_is("scale", scale if scale in _RULES else None, str, 'a positive number, "1/m" or "1/sqrt(m)"', remedy, scale)
    else:
        scale = float(positive_number("scale", scale, remedy))
    return Scaling(scale, float(positive_number("preactivation", preactivation, "It multiplies b·x.")))


def pace_of(network: Network, rule: Rule, scaling: Scaling, factor: float) -> Pace:
    """What a step of the loop is in the flow time of a loss that is the user's divided by `factor`.

    Raises NoTwinError where biases, or the decays, are not those of the layers here.
    """
    width = network.width
    if width is None:  # the laws by name are told with the rates that keep both layers at one pace, η
        step = factor * rule.rates[OUTER]
        return Pace(step, step, rule.decays[OUTER] / factor)
    speeds = scaling.speeds(width)
    steps = {layer: factor * rule.rates[layer] * speeds[layer] for layer in network.layers}
    if BIAS in steps and abs(steps[BIAS] - steps[INNER]) > _TOLERANCE * max(steps[BIAS], steps[INNER]):
        raise no_twin(
            f"its hidden biases move {_ratio(steps[BIAS], steps[INNER])} times as fast as its input weights, in units of "
            "their forces",
            "equal rates and preactivation=1: x can be scaled instead, mf.Gaussian(dim, scale)",
        )
    if OFFSET in steps and steps[OFFSET] > 10 * max(steps[OUTER], steps[INNER]) / width:
        closest = "the rate of the output weights for it, or no output bias"
        raise no_twin("its output bias learns faster than one neuron does", closest)
    shrinking = {layer: rule.rates[layer] * rule.decays[layer] / steps[layer] for layer in network.layers if steps[layer]}
    shrinking.pop(OFFSET, None)
    decays = list(shrinking.values())
    if max(decays) - min(decays) > _TOLERANCE * max(decays):
        told = ", ".join(f"{decay:.3g} for the {layer}" for layer, decay in shrinking.items())
        raise no_twin(
            f"relative to their forces its layers decay at different rates ({told}), and a `Training` has one weight_decay",
            "a weight decay for each layer, in proportion to m s² for the output weights and p²/m for the others",
        )
    return Pace(steps[OUTER], steps[INNER], decays[0])


def rates_at(
    width: int, pace: Pace, scaling: Scaling, layers: tuple[str, ...], factor: float
) -> dict[str, tuple[float, float]]:
    """η and λ of every layer of a network of another width with the same twin."""
    speeds, table = scaling.speeds(width), {}
    for layer in layers:
        step = pace.outer if layer in (OUTER, OFFSET) else pace.inner
        speed = speeds[OUTER] if layer == OFFSET else speeds[layer]
        table[layer] = (step / (factor * speed), factor * speed * pace.decay)
    return table


def _ratio(one: float, other: float) -> str:
    return f"{one / other:.3g}" if other else "infinitely many"
