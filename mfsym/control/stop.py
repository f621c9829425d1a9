"""Where a run should stop before its last time."""

import dataclasses
from collections.abc import Collection
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from ..errors import argument_error, is_traced, positive_number
from ..solution import Solution, Status
from ..types import RealLike

_SECONDS = "It is the wall time of the call, in seconds, compilation included."


class Stop(eqx.Module):
    """Where a run should end before its last time; the first rule that holds ends it. At least one is given.

    - `risk`: the first end of a time step (the start included) at which the observed risk F is at most this level.
    - `steady`: the same for the relative speed ‖z'‖/‖z‖, root mean squares over all numbers of the state z in flow
      time: the weights of all neurons of a cloud; the cell means on a grid; the angles and logarithms of the masses
      of all labels by characteristics, or their (a, b); the second moments of an odd target, or the point of the
      hyperboloid; the two masses where no angle is left. With an optimiser or momentum z' is the gradient velocity
      −m∇F. On fresh samples it is as noisy as the gradient.
    - `seconds`: wall time of the call, compilation included. It is looked at between stretches of about half a second,
      a single step at least.

    In a closed solution, which takes no steps, the recorded times stand for the ends of steps. `risk` and `steady` are
    arrays: new levels compile nothing anew, and they may be traced. A run that stops as asked has succeeded; its
    records beyond the stop are NaN and not `valid`, `final` is the state at `stats["stopped_at"]`.
    Raises ArgumentError if no rule is given or one is not positive.
    """

    risk: Float[Array, ""] | None
    steady: Float[Array, ""] | None
    seconds: float | None = eqx.field(static=True)

    def __init__(self, risk: RealLike | None = None, steady: RealLike | None = None, seconds: RealLike | None = None):
        if risk is None and steady is None and seconds is None:
            raise argument_error("stop", "a Stop with at least one rule", None, "Pass for example mf.Stop(risk=1e-3).")
        if is_traced(seconds):
            raise argument_error("seconds", "a plain number", seconds, _SECONDS)
        self.risk = None if risk is None else positive_number("risk", risk, "It is a level of the risk.")
        self.steady = None if steady is None else positive_number("steady", steady, "It is a level of ‖z'‖/‖z‖.")
        if seconds is not None:
            positive_number("seconds", seconds, _SECONDS)  # an array, and inside jit a traced one
        self.seconds = None if seconds is None else float(seconds)

    def levels(self) -> "Stop | None":
        """What is decided inside compiled loops; None if nothing is."""
        return None if self.risk is None and self.steady is None else Stop(self.risk, self.steady)


def first_hit(stop: Stop, risk: Array, speed: Array | None) -> tuple[Bool[Array, "*T"], Bool[Array, "*T"]]:
    """Whether the risk, and if not whether the speed, is at the level of its rule; `speed` is read only where it has one."""
    nowhere = jnp.zeros(jnp.shape(risk), bool)
    low = nowhere if stop.risk is None else risk <= stop.risk
    slow = nowhere if stop.steady is None or speed is None else speed <= stop.steady
    return low, slow & ~low


def fill_unreached(reached: Bool[Array, " T"], records: PyTree) -> PyTree:
    """Records with leading axis T, NaN where they were not reached; integers stay."""

    def fill(leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        mask = reached.reshape(reached.shape + (1,) * (leaf.ndim - 1))
        return jnp.where(mask, leaf, jnp.full((), jnp.nan, leaf.dtype))

    return jax.tree.map(fill, records)


def reached_times(solution: Solution, ts: Any) -> Any:
    """The times that a run reached before it stopped, two at least; all of them where this is not known yet."""
    if is_traced(solution.valid):
        return ts
    return ts[: max(2, int(jnp.sum(solution.valid)))]


def differences(solution: Solution, other: Solution, but: Collection[str] = ()) -> dict[str, Array]:
    """|differences| at the first n of the same times of each observable [T] `but` some; NaN where not both are known."""

    def of(values: Array, others: Array) -> Array:
        found = jnp.full_like(values, jnp.nan)
        return found.at[: len(others)].set(jnp.abs(values[: len(others)] - others))

    return {name: of(solution.observables[name], others) for name, others in other.observables.items() if name not in but}


def cut_after(solution: Solution, stop: Stop, speed: Float[Array, " T"] | None) -> Solution:
    """A closed solution, which knows every record at once, ended at the first record where a rule of `stop` holds."""
    low, slow = first_hit(stop, solution.observables["risk"], speed)
    hit = low | slow
    any_hit, last = jnp.any(hit), jnp.argmax(hit)
    index = jnp.where(any_hit, last, len(hit) - 1)
    reached = jnp.arange(len(hit)) <= index
    asked = Status.where(low[index], Status.risk_reached, Status.steady)
    return dataclasses.replace(
        solution,
        observables=fill_unreached(reached, solution.observables),
        final=jax.tree.map(lambda leaf: leaf[index], solution.states),
        states=fill_unreached(reached, solution.states),
        status=Status.where(any_hit, asked, solution.status),
        valid=solution.valid & reached,
        stats=solution.stats | {"stopped_at": solution.ts[index]},
        error=None if solution.error is None else fill_unreached(reached, solution.error),
    )
