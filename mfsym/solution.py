"""What every solver returns."""

import functools
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from .errors import is_traced
from .types import Json


class Status(eqx.Enumeration):
    """How a run ended, as a sentence."""

    complete = "The run reached its last time."
    max_steps = "The run stopped early: it used up `max_steps`. Raise `max_steps`, or loosen `rtol`."
    step_too_small = "The run stopped early: the step size became too small. The dynamics may be singular there."
    not_unique = "The run stopped early: a neuron reached b = 0, where the ReLU flow is not unique."
    not_finite = "The run produced values that are not finite. Take smaller steps, or scale the problem."
    risk_reached = "The run stopped as asked: the risk reached the level of `stop`."
    steady = "The run stopped as asked: its relative speed fell to the level of `stop`."
    out_of_time = "The run stopped as asked: its wall time was used up."


_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")
_Batch = TypeVar("_Batch")


def with_masks(function: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """A function that fills what is not known with NaN, also where `jax_debug_nans` is on.

    That switch refuses every NaN that compiled code returns. Those of a record are masked by `valid`, and values of a run
    that are not finite end it with a status that says so.
    """

    @functools.wraps(function)
    def masked(*args: _Given.args, **kwargs: _Given.kwargs) -> _Found:
        if not jax.config.jax_debug_nans:  # pyright: ignore[reportAttributeAccessIssue]
            return function(*args, **kwargs)
        with jax.debug_nans(False):
            return function(*args, **kwargs)

    return masked


_REASONS = 8  # at most so many are given in one message
_AS_ASKED = ("risk_reached", "steady", "out_of_time")


USUAL_NAMES = ("risk", "mass_plus", "mass_minus", "alignment_plus", "alignment_minus", "distance_plus", "distance_minus")


class Solution(eqx.Module):
    """The result of a run, on either route.

    - `ts` [T]: times of the record; flow time, unless `clock` is "steps".
    - `observables`: dict of [T] arrays. Each is also an attribute, `solution.risk`.
    - `final`: the state at the last time, or where the run stopped, from which a run can be restarted (but for momentum,
      which it does not hold, and for closed solutions, which have one start).
    - `states`: the state at every time (leading axis T), or None where they were not asked for.
    - `status`: how the run ended; print it to read the sentence.
    - `valid` [T]: where the record was reached and is finite. What was not reached is NaN.
    - `stats`: number of steps and other counts; `error`: the solver's own estimate per observable [T], on request.
    - `model`: what is needed to evaluate the predictor besides the state (the reduction, or the unit).
    - `certificate`: what is proved about the run, checked along it; None where there is nothing to prove.
    """

    ts: Float[Array, " T"]
    observables: dict[str, Array]
    final: PyTree
    states: PyTree
    status: Status
    valid: Bool[Array, " T"]
    stats: dict[str, PyTree]
    error: dict[str, Array] | None
    model: PyTree
    clock: str = eqx.field(static=True, default="flow time")
    absent: tuple[tuple[str, str], ...] = eqx.field(static=True, default=())
    certificate: PyTree = None

    def __getattr__(self, name: str):
        observables = self.__dict__.get("observables")
        if observables is not None and name in observables:
            return observables[name]
        reason = dict(self.__dict__.get("absent", ())).get(name)
        if reason is not None:
            raise AttributeError(f"`{name}` has no meaning for this problem: {reason}.")
        known = "" if observables is None else f" Its observables are {', '.join(sorted(observables))}."
        raise AttributeError(f"A Solution has no attribute `{name}`.{known}")

    def names(self) -> list[str]:
        """The observables in reading order: the usual ones first."""
        usual = [name for name in USUAL_NAMES if name in self.observables]
        return usual + sorted(set(self.observables) - set(usual))

    @property
    def succeeded(self) -> Bool[Array, "..."]:
        """Whether the run reached its last time with finite values, or stopped where it was asked to (`stop=`).

        In the second case the records after the stop are not `valid`.
        """
        found = self.status == Status.complete
        for name in _AS_ASKED:
            found = found | (self.status == getattr(Status, name))
        return found

    def as_dict(self) -> dict[str, Json]:
        """Plain lists for JSON: t, every observable, `valid`, the status; None for what has no meaning."""
        record: dict[str, Json] = {"t": np.asarray(self.ts).tolist()}
        for name in self.names():
            record[name] = _plain(self.observables[name])
        record |= {name: None for name, _ in self.absent}
        record |= {"valid": np.asarray(self.valid).tolist(), "status": self.sentence(), "clock": self.clock}
        record["stats"] = {name: np.asarray(value).tolist() for name, value in self.stats.items()}
        if self.error is not None:
            record["error"] = {name: _plain(value) for name, value in self.error.items()}
        return record

    def sentence(self) -> str:
        """The status as a sentence, with the time at which a run ended early and what the risk had become by then."""
        if any(is_traced(leaf) for leaf in jax.tree.leaves(self.status)) or np.ndim(self.valid) != 1:
            return "A batch or a traced run: see `status` and `valid`."
        text = Status[self.status]
        if bool(self.status == Status.complete):
            return text
        timed = self.status == Status.not_unique or bool(self.succeeded)
        if "stopped_at" in self.stats and timed:
            text = f"{text} That was at t = {float(self.stats['stopped_at']):.6g}."
        return f"{text} {self._last_valid()}"

    def _last_valid(self) -> str:
        reached = np.flatnonzero(np.asarray(self.valid))
        if not reached.size:
            return "Last valid time: none."
        last, risk = int(reached[-1]), np.asarray(self.observables["risk"], float)
        growth = f" after {risk[0]:.4g} at the start" if last else ""
        return f"Last valid time: {float(self.ts[last]):.6g}, where the risk was {risk[last]:.4g}{growth}."

    def __repr__(self) -> str:
        leaves = jax.tree.leaves((self.ts, self.observables))
        if any(is_traced(leaf) for leaf in leaves) or np.ndim(self.ts) != 1:
            return f"Solution(observables={sorted(self.observables)}, traced or batched)"
        names = [name for name in self.names() if np.ndim(self.observables[name]) == 1]
        rows = [f"{'t':>12} " + " ".join(f"{name:>15}" for name in names)]
        count = len(self.ts)
        last = np.flatnonzero(np.asarray(self.valid))[-1:].tolist()
        for i in sorted({0, count // 4, count // 2, 3 * count // 4, count - 1, *last}):
            values = " ".join(f"{float(np.asarray(self.observables[name])[i]):15.6g}" for name in names)
            rows.append(f"{float(self.ts[i]):12.6g} {values}")
        return "\n".join([f"Solution ({self.clock}): {self.sentence()}", *rows])


@with_masks
def lane(batch: _Batch, index: int) -> _Batch:
    """One of several runs, or of anything else whose arrays have one more first axis."""
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, batch)


def early_ends(runs: Iterable[tuple[str, Solution]]) -> dict[str, str]:
    """Which of some single runs ended early, by name, and in a sentence when and why."""
    return {name: run.sentence() for name, run in runs if not bool(run.succeeded)}


def words_of_early_ends(early: dict[str, str], where: str) -> str:
    """Every run that ended early by name, the reasons of the first few, and where what was computed can be found."""
    reasons = [f"{name}: {sentence}" for name, sentence in list(early.items())[:_REASONS]]
    if len(early) > _REASONS:
        reasons.append(f"{len(early) - _REASONS} others: see there.")
    return "\n".join([f"{len(early)} of the runs ended early ({'; '.join(early)}). {where}", *reasons])


def _plain(values: Array) -> list:
    """Nested lists of numbers, None where one is not finite, as JSON has no word for it."""
    numbers = np.asarray(values, dtype=float)
    plain = numbers.astype(object)
    plain[~np.isfinite(numbers)] = None
    return plain.tolist()
