"""How a problem is learnt: the mathematics of the dynamics."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from ..errors import argument_error, is_traced, positive_number

_RATE = "A rate is a number ≥ 0; 0 keeps the layer at its start."


class Training(eqx.Module):
    """How fast each layer learns, its weight decay, and whether time is continuous.

    For a network (1/m) Σ a_j σ(b_j·x) with residual R, the flow (`step` None) is
        a' = rate_a (E[R σ(b·x)] − weight_decay a),   b' = rate_b (a E[R σ'(b·x) x] − weight_decay b),
    the Wasserstein gradient flow of F + ½ weight_decay ∫(a² + ‖b‖²)dμ, in the flow time t; the default is the flow
    of Hajjar & Chizat (2022). `rate_b=0` trains the second layer only, `rate_a=0` the first only.
    With a `step` η it is gradient descent: explicit Euler steps of length η, at times t = η·step. `momentum` β
    makes that the heavy ball from rest, u ← β u + velocity(z), z ← z + η u (Polyak 1964); its t counts η per step
    and is 1/(1−β) times slower than the flow's.

    All fields are array leaves and can be differentiated. Raises ArgumentError for a negative rate or decay, two
    layers at rest, momentum outside [0, 1), or momentum without a step.
    """

    rate_a: Float[Array, ""]
    rate_b: Float[Array, ""]
    weight_decay: Float[Array, ""]
    step: Float[Array, ""] | None
    momentum: Float[Array, ""]

    def __init__(self, rate_a: Any = 1.0, rate_b: Any = 1.0, weight_decay: Any = 0.0, step: Any = None, momentum: Any = 0.0):
        self.rate_a = positive_number("rate_a", rate_a, _RATE, strict=False)
        self.rate_b = positive_number("rate_b", rate_b, _RATE, strict=False)
        self.weight_decay = positive_number("weight_decay", weight_decay, "It is λ in ½λ(a² + ‖b‖²).", strict=False)
        remedy = "It is the length of one step of gradient descent in flow time; leave it out for the flow."
        self.step = None if step is None else positive_number("step", step, remedy)
        self.momentum = positive_number("momentum", momentum, "It is β of the heavy ball.", strict=False)
        _check_together(self)

    @property
    def equal_rates(self) -> bool:
        """Whether both layers are known to learn at one positive rate."""
        return is_known(self.rate_a, lambda rate: rate > 0) and self.same_rates

    @property
    def same_rates(self) -> bool:
        """Whether the two rates are the same number, known or traced."""
        if self.rate_a is self.rate_b:
            return True
        return not is_traced(self.rate_a) and is_known(self.rate_b, lambda rate: rate == self.rate_a)


def is_known(value: Any, condition: Any) -> bool:
    """Whether a number is not traced and satisfies a condition."""
    return not is_traced(value) and bool(condition(value))


def _check_together(training: Training) -> None:
    a, b, momentum = training.rate_a, training.rate_b, training.momentum
    if is_known(a, lambda rate: rate == 0) and is_known(b, lambda rate: rate == 0):
        raise argument_error("rate_a", "positive where rate_b is 0", 0.0, "One layer has to learn.")
    if is_known(momentum, lambda beta: beta >= 1):
        raise argument_error("momentum", "a number in [0, 1)", momentum, "Pass for example momentum=0.9.")
    if training.step is None and not is_known(momentum, lambda beta: beta == 0):
        remedy = "The heavy ball is a rule for steps: pass step= too. The flow has no momentum."
        raise argument_error("momentum", "0 where `step` is left out", momentum, remedy)
