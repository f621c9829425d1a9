"""How a problem is learnt: the mathematics of the dynamics."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, float_array, is_traced, positive_number
from ..types import Checked, RealArrayLike, RealLike

_RATE = "A rate is a number ≥ 0; 0 keeps the layer at its start."


@runtime_checkable
class Confinement(Protocol):
    """What noise can be confined by: an action of a group on neurons, whose fixed neurons are a subspace."""

    def project(self, cloud: PyTree) -> PyTree:
        """P z of every neuron, P the orthogonal projection on a subspace."""
        ...


class Training(eqx.Module):
    """How fast each layer learns, its weight decay, and whether time is continuous.

    For a network (1/m) Σ a_j σ(b_j·x) with residual R, the flow (`step` None) is
        a' = rate_a (E[R σ(b·x)] − weight_decay a),   b' = rate_b (a E[R σ'(b·x) x] − weight_decay b),
    the Wasserstein gradient flow of F + ½ weight_decay ∫(a² + ‖b‖²)dμ, in the flow time t; the default is the flow
    of Hajjar & Chizat (2022). `rate_b=0` trains the second layer only, `rate_a=0` the first only.
    With a `step` η it is gradient descent: explicit Euler steps of length η, at times t = η·step. `momentum` β
    makes that the heavy ball from rest, u ← β u + velocity(z), z ← z + η u (Polyak 1964); its t = η·step is no flow
    time: for small η it is at t about where the flow is at t/(1−β). A `schedule` [K] of factors makes the length of step k
    η_k = η·schedule_k, in both rules, and t = η_0 + … + η_{k−1} after k of them. A `temperature` T adds noise: the flow is
    dz = velocity dt + √(2 T rate) P dW with a Brownian motion W, which descends F + T ∫ log μ dμ, and a step is
    z ← z + η velocity + √(2 T η rate) P ξ with independent standard normal ξ; P is the identity, or the projection of
    `confine`, an object with `project(cloud)` such as an action: then the noise does not leave the neurons that it fixes,
    and log μ is that of their law on this subspace.

    Numbers are array leaves and can be differentiated; `same_rates`, `unit_rates` and `decays` say what is known of them
    at construction, where rate_a and rate_b that are one traced number count as the same.
    Raises ArgumentError for a negative rate, decay or temperature, two layers at rest, momentum outside [0, 1), a schedule
    with a negative factor or no positive one, momentum or a schedule without a step, a temperature beside either of them,
    or `confine` without a temperature.
    (Noise confined to fixed neurons: Maass & Fontbona 2024.)
    """

    rate_a: Float[Array, ""]
    rate_b: Float[Array, ""]
    weight_decay: Float[Array, ""]
    step: Float[Array, ""] | None
    momentum: Float[Array, ""] | None
    schedule: Float[Array, " K"] | None
    temperature: Float[Array, ""]
    confine: PyTree
    same_rates: bool = eqx.field(static=True)
    unit_rates: bool = eqx.field(static=True)
    decays: bool = eqx.field(static=True)
    heated: bool = eqx.field(static=True)

    def __init__(
        self,
        rate_a: RealLike = 1.0,
        rate_b: RealLike = 1.0,
        weight_decay: RealLike = 0.0,
        step: RealLike | None = None,
        momentum: RealLike = 0.0,
        schedule: RealArrayLike | None = None,
        temperature: RealLike = 0.0,
        confine: Checked[Confinement | None] = None,
    ):
        # Known from what was given: inside jit even constants become traced arrays.
        self.same_rates = rate_a is rate_b or (not is_traced(rate_a) and _is(rate_b, rate_a))
        self.unit_rates = _is(rate_a, 1) and _is(rate_b, 1)
        self.decays = not _is(weight_decay, 0)
        self.heated = not _is(temperature, 0)
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
        remedy = "It is T of the noise √(2 T) dW, √(2 T η) ξ in a step η."
        self.temperature = positive_number("temperature", temperature, remedy, strict=False)
        self.confine = None if confine is None else _checked_confinement(confine, self.heated)
        if self.heated and (self.momentum is not None or self.schedule is not None):
            remedy = "Noise is added to the flow, or to plain gradient steps of one length."
            raise argument_error("temperature", "0 where there is momentum or a schedule", temperature, remedy)

    def times(self, steps: RealArrayLike) -> Float[np.ndarray, " T"]:
        """t after these numbers of steps [T], in double precision: where a run with a schedule can be recorded."""
        numbers = np.asarray(steps)
        known = np.inf if self.schedule is None else len(self.schedule)
        if self.step is None or np.max(numbers) > known:
            got = Words("a flow") if self.step is None else Words(f"{known} factors")
            remedy = "Pass step=, and a schedule with a factor for every step."
            raise argument_error("training", "one with so many steps", got, remedy)
        lengths = np.ones(np.max(numbers)) if self.schedule is None else np.asarray(self.schedule, float)
        return float(self.step) * np.append(0.0, np.cumsum(lengths))[numbers]

    def is_default(self, but_steps: bool = False) -> bool:
        """Whether this is known to be the flow of both layers at rate 1, or its explicit Euler scheme if `but_steps`."""
        plain = self.unit_rates and not self.decays and not self.heated and self.momentum is None and self.schedule is None
        return plain and (but_steps or self.step is None)


def _checked_confinement(confine: Checked[Confinement], heated: bool) -> Confinement:
    if not isinstance(confine, Confinement):
        remedy = "Pass an action of a group on the neurons."
        raise argument_error("confine", "an object with `project(cloud)`", confine, remedy)
    if not heated:
        remedy = "It confines noise; neurons themselves are confined by scheme=mf.EquivariantArchitecture(action)."
        raise argument_error("confine", "left out where `temperature` is 0", Words(f"a {type(confine).__name__}"), remedy)
    return confine


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
