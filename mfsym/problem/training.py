"""How a problem is learnt: the mathematics of the dynamics."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, float_array, is_traced, positive_number
from ..types import RealArrayLike, RealLike

_RATE = "A rate is a number ≥ 0; 0 keeps the layer at its start."


class Training(eqx.Module):
    """How fast each layer learns, its weight decay, and whether time is continuous.

    For a network (1/m) Σ a_j σ(b_j·x) with residual R, the flow (`step` None) is
        a' = rate_a (E[R σ(b·x)] − weight_decay a),   b' = rate_b (a E[R σ'(b·x) x] − weight_decay b),
    the Wasserstein gradient flow of F + ½ weight_decay ∫(a² + ‖b‖²)dμ, in the flow time t; the default is the flow
    of Hajjar & Chizat (2022). `rate_b=0` trains the second layer only, `rate_a=0` the first only.
    With a `step` η it is gradient descent: explicit Euler steps of length η, at times t = η·step. `momentum` β
    makes that the heavy ball from rest, u ← β u + velocity(z), z ← z + η u (Polyak 1964); its t = η·step is no flow
    time: for small η it is at t about where the flow is at t/(1−β). A `schedule` [K] of factors makes the length of step k
    η_k = η·schedule_k, in both rules, and t = η_0 + … + η_{k−1} after k of them.

    Numbers are array leaves and can be differentiated; `same_rates`, `unit_rates` and `decays` say what is known of them
    at construction, where rate_a and rate_b that are one traced number count as the same.
    Raises ArgumentError for a negative rate or decay, two layers at rest, momentum outside [0, 1), a schedule with a
    negative factor or no positive one, and momentum or a schedule without a step.
    """

    rate_a: Float[Array, ""]
    rate_b: Float[Array, ""]
    weight_decay: Float[Array, ""]
    step: Float[Array, ""] | None
    momentum: Float[Array, ""] | None
    schedule: Float[Array, " K"] | None
    same_rates: bool = eqx.field(static=True)
    unit_rates: bool = eqx.field(static=True)
    decays: bool = eqx.field(static=True)

    def __init__(
        self,
        rate_a: RealLike = 1.0,
        rate_b: RealLike = 1.0,
        weight_decay: RealLike = 0.0,
        step: RealLike | None = None,
        momentum: RealLike = 0.0,
        schedule: RealArrayLike | None = None,
    ):
        # Known from what was given: inside jit even constants become traced arrays.
        self.same_rates = rate_a is rate_b or (not is_traced(rate_a) and _is(rate_b, rate_a))
        self.unit_rates = _is(rate_a, 1) and _is(rate_b, 1)
        self.decays = not _is(weight_decay, 0)
        _check_together(rate_a, rate_b, step, momentum, schedule)
        self.rate_a = positive_number("rate_a", rate_a, _RATE, strict=False)
        self.rate_b = positive_number("rate_b", rate_b, _RATE, strict=False)
        self.weight_decay = positive_number("weight_decay", weight_decay, "It is λ in ½λ(a² + ‖b‖²).", strict=False)
        remedy = "It is the length of one step of gradient descent in flow time; leave it out for the flow."
        self.step = None if step is None else positive_number("step", step, remedy)
        remedy = "It is β of the heavy ball."
        self.momentum = None if _is(momentum, 0) else positive_number("momentum", momentum, remedy, strict=False)
        if self.momentum is not None and not is_traced(momentum) and float(momentum) >= 1:
            raise argument_error("momentum", "a number in [0, 1)", momentum, "Pass for example momentum=0.9.")
        self.schedule = None if schedule is None else _checked_schedule(schedule)

    def times(self, steps: RealArrayLike) -> Float[np.ndarray, " T"]:
        """t after these numbers of steps [T], in double precision: where a run with a schedule can be recorded."""
        numbers = np.asarray(steps)
        if self.step is None or (self.schedule is not None and np.max(numbers) > len(self.schedule)):
            got = Words("a flow") if self.step is None else Words(f"{len(self.schedule)} factors")
            remedy = "Pass step=, and a schedule with a factor for every step."
            raise argument_error("training", "one with so many steps", got, remedy)
        lengths = np.ones(np.max(numbers)) if self.schedule is None else np.asarray(self.schedule, float)
        return float(self.step) * np.append(0.0, np.cumsum(lengths))[numbers]

    def is_default(self, but_steps: bool = False) -> bool:
        """Whether this is known to be the flow of both layers at rate 1, or its explicit Euler scheme if `but_steps`."""
        plain = self.unit_rates and not self.decays and self.momentum is None and self.schedule is None
        return plain and (but_steps or self.step is None)


def _is(value: RealLike, number: RealLike) -> bool:
    """Whether a value is not traced and equal to a number."""
    return not is_traced(value) and np.ndim(value) == 0 == np.ndim(number) and bool(np.asarray(value) == np.asarray(number))


def _checked_schedule(schedule: RealArrayLike) -> Float[Array, " K"]:
    remedy = "It is a factor of `step` for every step, in order: schedule[k] for step k."
    factors = float_array("schedule", schedule, 1, remedy)
    if not is_traced(factors) and not (np.all(np.asarray(factors) >= 0) and np.any(np.asarray(factors) > 0)):
        raise argument_error("schedule", "factors ≥ 0, not all of them 0", schedule, remedy)
    return factors


def _check_together(
    rate_a: RealLike, rate_b: RealLike, step: RealLike | None, momentum: RealLike, schedule: RealArrayLike | None
) -> None:
    if _is(rate_a, 0) and _is(rate_b, 0):
        raise argument_error("rate_a", "positive where rate_b is 0", 0.0, "One layer has to learn.")
    if step is None and not _is(momentum, 0):
        remedy = "The heavy ball is a rule for steps: pass step= too. The flow has no momentum."
        raise argument_error("momentum", "0 where `step` is left out", momentum, remedy)
    if step is None and schedule is not None:
        remedy = "It multiplies the step: pass step= too. The flow has none, and a schedule changes its clock alone."
        raise argument_error("schedule", "left out where `step` is", schedule, remedy)
