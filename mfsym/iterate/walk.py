"""Where a run in steps is, one step further, and what of it is recorded."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree, Real

from ..control import Control, Stop, fill_unreached, first_hit
from ..integrate import ratio_of_norms
from ..solution import Status
from .rule import AbstractRule
from .times import StepTimes


class Walk(eqx.Module):
    """Where a run is: `index` steps were made; `ended` where a rule of `stop` holds, because of the risk if `low`."""

    index: Int[Array, ""]
    state: PyTree
    memory: PyTree
    ended: Bool[Array, ""]
    low: Bool[Array, ""]


def start_of_walk(rule: AbstractRule, state: PyTree) -> Walk:
    """Before the first step."""
    return Walk(jnp.asarray(0), state, rule.memory(state), jnp.asarray(False), jnp.asarray(False))


def one_step(rule: AbstractRule, walk: Walk, stop: Stop | None, fraction: Float[Array, ""] | None = None) -> Walk:
    """One step further, or that part of its straight way, unless the walk has ended or ends here."""

    def move(walk: Walk, velocity: PyTree) -> Walk:
        state, memory = rule.move(walk.state, walk.memory, velocity)
        if fraction is not None:
            state = jax.tree.map(lambda here, there: here + fraction * (there - here), walk.state, state)
        return Walk(walk.index + 1, state, memory, walk.ended, walk.low)

    if stop is None:
        return move(walk, rule.velocity(walk.index, walk.state))

    def go(walk: Walk) -> Walk:
        velocity = rule.velocity(walk.index, walk.state)
        here = _judged(rule, walk, walk.index, velocity, stop)
        return jax.tree.map(lambda stay, step: jnp.where(here.ended, stay, step), here, move(here, velocity))

    return jax.lax.cond(walk.ended, lambda walk: walk, go, walk)


def _judged(rule: AbstractRule, walk: Walk, index: Any, velocity: PyTree, stop: Stop) -> Walk:
    """The walk, ended if a rule for stopping holds where it is."""
    risk = rule.observe(index, walk.state)["risk"]
    low, slow = first_hit(stop, risk, None if stop.steady is None else ratio_of_norms(velocity, walk.state))
    return Walk(walk.index, walk.state, walk.memory, low | slow, low)


def record(rule: AbstractRule, index: Real[Array, ""], state: PyTree, save_states: bool, control: Control) -> PyTree:
    """Observables, and the state if it is asked for."""
    return rule.observe(index, state) | control.observers(state), state if save_states else None


def record_at(
    rule: AbstractRule, walk: Walk, times: StepTimes, row: Any, save_states: bool, control: Control, room: Any
) -> tuple[Walk, PyTree]:
    """A record and the walk there, as many whole steps along as that record needs; off them if there is `room` for a step.

    What is recorded after the end of a walk is garbage, to be masked.
    """
    if times.fractions is not None:
        fraction = times.fractions[row]
        go = lambda walk: one_step(rule, walk, control.levels, fraction)  # noqa: E731
        walk = jax.lax.cond((fraction > 0) & room, go, lambda walk: walk, walk)
    return walk, record(rule, times.counts[row], walk.state, save_states, control)


class Outcome(eqx.Module):
    """What a run in steps came to."""

    ts: Float[Array, " T"]
    walk: Walk
    records: PyTree
    status: Status
    valid: Bool[Array, " T"]
    stopped_at: Float[Array, ""]


def outcome(
    rule: AbstractRule, walk: Walk, records: PyTree, times: StepTimes, stop: Stop | None, most: int | None
) -> Outcome:
    """The end of a walk, which is judged there, with the records that it did not reach as NaN."""
    counts = times.counts  # the last step may end before it is whole
    clock = walk.index if times.fractions is None else jnp.minimum(walk.index.astype(counts.dtype), counts[-1])
    if stop is not None:
        judge = lambda walk: _judged(rule, walk, clock, rule.velocity(clock, walk.state), stop)  # noqa: E731
        walk = jax.lax.cond(walk.ended, lambda walk: walk, judge, walk)
    reached = times.ends <= walk.index
    if stop is not None or most is not None:
        records = fill_unreached(reached, records)
    valid = reached & jnp.isfinite(records[0]["risk"])
    status = Status.where(jnp.all(valid), Status.complete, Status.not_finite)
    if most is not None:
        status = Status.where(times.ends[-1] > most, Status.max_steps, status)
    status = Status.where(walk.ended, Status.where(walk.low, Status.risk_reached, Status.steady), status)
    ts = rule.time(times.counts) if times.times is None else times.times
    return Outcome(ts, walk, records, status, valid, rule.time(clock))
