"""Times of a record, counted in steps."""

from types import ModuleType
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..errors import Words, argument_error, is_traced
from ..types import RealArrayLike, RealLike, Times

_ROUNDING = 4  # units of rounding in a number of steps that was found as a quotient of times
_LARGEST = 2**31 - 1
_REMEDY = "Gradient descent is known after whole steps only: pass for example step * jnp.arange(101)."


class StepTimes(eqx.Module):
    """After how many steps a run is recorded.

    - `numbers` [T]: whole steps before each record; the first is 0.
    - `fractions` [T]: the part in (0, 1] of the step after them, on whose straight way the record lies (0 for the first);
      None where every record is after whole steps. The last step of the run ends there.
    - `times` [T]: the times that the caller gave, or None: those of the rule's clock.
    - `gap`: the most steps between two records; None where the numbers are traced.
    - `even`: whether there are as many between any two.
    """

    numbers: Int[Array, " T"]
    fractions: Float[Array, " T"] | None = None
    times: Float[Array, " T"] | None = None
    gap: int | None = eqx.field(static=True, default=None)
    even: bool = eqx.field(static=True, default=False)

    @property
    def ends(self) -> Int[Array, " T"]:
        """How many steps have begun by each record."""
        return self.numbers if self.fractions is None else self.numbers + (self.fractions > 0).astype(self.numbers.dtype)

    @property
    def counts(self) -> Array:
        """The clock at each record in steps, [T]."""
        return self.numbers if self.fractions is None else self.numbers.astype(self.fractions.dtype) + self.fractions

    def __getitem__(self, first: slice) -> "StepTimes":
        """The first few records, times[:count]."""
        fractions, times = (None if each is None else each[first] for each in (self.fractions, self.times))
        return StepTimes(self.numbers[first], fractions, times, self.gap, self.even)


def times_of_every(steps: int, record_every: int) -> StepTimes:
    """Step 0 and every so many after it."""
    if steps % record_every:
        raise argument_error("record_every", f"a divisor of steps = {steps}", record_every, "Choose one.")
    return _known(np.arange(0, steps + 1, record_every), None, None)


def times_of_whole_steps(ts: Times, step: RealLike, schedule: Float[Array, " K"] | None = None) -> StepTimes:
    """Times [T] that are multiples of the step, or with factors of a `schedule` sums of the steps so far; raises
    ArgumentError if one is known to be none.

    The caller's own arguments are best: plain numbers are known inside of jax.jit too, where arrays made of them are not.
    """
    if schedule is not None:
        return _times_of_schedule(ts, step, schedule)
    counts, rounding = _counts(ts, step)
    if is_traced(counts):
        return StepTimes(jnp.round(counts).astype(int), None, jnp.asarray(ts, float))
    whole = np.rint(counts)
    distance = np.abs(counts - whole)
    wrong = (distance > 1e-4 + rounding * whole) | np.append(False, np.diff(whole) <= 0)
    if np.any(wrong):
        index = int(np.argmax(np.where(wrong, 1 + distance, 0)))
        got = Words(f"{float(np.asarray(ts)[index]):g} with step {float(step):g}")
        raise argument_error("ts", "multiples of the step", got, _REMEDY)
    return _known(whole, None, ts)


def _times_of_schedule(ts: Times, step: RealLike, schedule: Float[Array, " K"]) -> StepTimes:
    """The nearest of the ends of all steps; of several at one time, as steps of length 0 have, the first."""
    traced = any(map(is_traced, (ts, step, schedule)))
    xp: Any = jnp if traced else np
    lengths = xp.asarray(step, float) * xp.asarray(schedule, float)
    ends, times = xp.concatenate([xp.zeros(1), xp.cumsum(lengths)]), xp.asarray(ts, float)
    numbers = xp.searchsorted((ends[1:] + ends[:-1]) / 2, times)
    if traced:
        return StepTimes(numbers, None, times)
    beside = np.maximum(np.append(lengths, 0)[numbers], np.append(0, lengths)[numbers])  # the steps after it and before it
    rounding = _ROUNDING * max(map(_rounding, (ts, step, schedule)))
    wrong = (np.abs(times - ends[numbers]) > 1e-4 * beside + rounding * times) | np.append(False, np.diff(numbers) <= 0)
    if np.any(wrong):
        got = Words(f"{times[int(np.argmax(wrong))]:g}, where {len(lengths)} steps end at {ends[-1]:g}")
        remedy = "Pass for example np.append(0, np.cumsum(step * schedule)), without steps of length 0."
        raise argument_error("ts", "sums of the steps of the schedule so far", got, remedy)
    return _known(numbers, None, ts)


def times_between_steps(ts: Times, step: RealLike) -> StepTimes:
    """Any times [T]; the last step ends at the last of them."""
    counts, rounding = _counts(ts, step)
    xp: ModuleType = jnp if is_traced(counts) else np
    slack = 1e-9 + rounding * counts
    whole = xp.round(counts)
    if xp is np and np.all(np.abs(counts - whole) <= slack):
        return _known(whole, None, ts)
    numbers = xp.maximum(xp.ceil(counts - slack) - 1, 0)
    fractions = counts - numbers
    if xp is np:
        return _known(numbers, fractions, ts)
    return StepTimes(jnp.asarray(numbers.astype(int)), jnp.asarray(fractions), jnp.asarray(ts, float))


def _counts(ts: Times, step: RealLike) -> tuple[Any, float]:
    """ts/step [T], on the host if both are known, and its relative rounding error."""
    if is_traced(ts) or is_traced(step):
        counts = jnp.asarray(ts, float) / jnp.asarray(step, float)
    else:
        counts = np.asarray(ts, float) / float(step)
    return counts, _ROUNDING * max(_rounding(ts), _rounding(step), _rounding(counts))


def _rounding(value: RealArrayLike | RealLike) -> float:
    """The unit of rounding of an array; plain numbers and integers are in double precision."""
    kind = getattr(value, "dtype", np.dtype(float))
    return float(jnp.finfo(kind if jnp.issubdtype(kind, jnp.floating) else np.dtype(float)).eps)


def _known(numbers: np.ndarray | Array, parts: np.ndarray | Array | None, ts: Times | None) -> StepTimes:
    if numbers[-1] >= _LARGEST:
        raise argument_error(
            "ts", f"at most {_LARGEST} steps from 0", Words(f"{numbers[-1]:.3g} steps"), "Take longer steps."
        )
    gaps = np.diff(numbers)
    even = parts is None and bool(np.all(gaps == gaps[0]))
    fractions = None if parts is None else jnp.asarray(parts)
    times = None if ts is None else jnp.asarray(ts, float)
    return StepTimes(jnp.asarray(numbers.astype(int)), fractions, times, int(gaps.max()), even)
