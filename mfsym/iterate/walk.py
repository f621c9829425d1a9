"""Where a run in steps is, one step further, and what of it is recorded."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree, Real

from ..control import Control, fill_unreached, first_hit
from ..integrate import cast_floats, ratio_of_norms
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


class Outcome(eqx.Module):
    """What a run in steps came to."""

    ts: Float[Array, " T"]
    walk: Walk
    records: PyTree
    status: Status
    valid: Bool[Array, " T"]
    stopped_at: Float[Array, ""]


class Run(eqx.Module):
    """A rule that is followed: with the times of its record, whether states are part of it, and what accompanies it."""

    rule: AbstractRule
    times: StepTimes
    save_states: bool = eqx.field(static=True)
    control: Control

    def prepare(self) -> "Run":
        """The same run of the prepared rule."""
        return Run(self.rule.prepare(), self.times, self.save_states, self.control)

    def start(self, state: PyTree) -> Walk:
        """Before the first step."""
        return Walk(jnp.asarray(0), state, self.rule.memory(state), jnp.asarray(False), jnp.asarray(False))

    def step(self, walk: Walk, fraction: Float[Array, ""] | None = None) -> Walk:
        """One step further, or that part of its straight way, unless the walk has ended or ends here."""

        def move(walk: Walk, velocity: PyTree) -> Walk:
            state, memory = self.rule.move(walk.state, walk.memory, velocity)
            if fraction is not None:
                state = jax.tree.map(lambda here, there: here + fraction * (there - here), walk.state, state)
            return Walk(walk.index + 1, state, memory, walk.ended, walk.low)

        def go(walk: Walk) -> Walk:
            velocity = self.rule.velocity(walk.index, walk.state)
            here = self._judged(walk, walk.index, velocity)
            return jax.tree.map(lambda stay, step: jnp.where(here.ended, stay, step), here, move(here, velocity))

        if self.control.levels is None:
            return move(walk, self.rule.velocity(walk.index, walk.state))
        return jax.lax.cond(walk.ended, lambda walk: walk, go, walk)

    def _judged(self, walk: Walk, index: Real[Array, ""], velocity: PyTree) -> Walk:
        """The walk, ended if a rule for stopping holds where it is."""
        stop = self.control.levels
        assert stop is not None
        risk = self.rule.observe(index, walk.state)["risk"]
        low, slow = first_hit(stop, risk, None if stop.steady is None else ratio_of_norms(velocity, walk.state))
        return Walk(walk.index, walk.state, walk.memory, low | slow, low)

    def record(self, index: Real[Array, ""], state: PyTree) -> PyTree:
        """Observables, and the state if it is asked for."""
        seen = self.rule.observe(index, state) | self.control.observers(state)
        return seen, state if self.save_states else None

    def record_at(self, walk: Walk, row: Int[Array, ""], room: Bool[Array, ""] | bool) -> tuple[Walk, PyTree]:
        """A record, of a walk that has made the whole steps before it, and the walk there if there is room for a step.

        What is recorded after the end of a walk is garbage, to be masked.
        """
        if self.times.fractions is not None:
            fraction = self.times.fractions[row]
            go = lambda walk: self.step(walk, fraction)  # noqa: E731
            walk = jax.lax.cond((fraction > 0) & room, go, lambda walk: walk, walk)
        return walk, self.record(self.times.counts[row], walk.state)

    def outcome(self, walk: Walk, records: PyTree, most: int | None) -> Outcome:
        """The end of a walk, which is judged there, with the records that it did not reach as NaN."""
        rule, counts = self.rule, self.times.counts  # the last step may end before it is whole
        clock = walk.index if self.times.fractions is None else jnp.minimum(walk.index.astype(counts.dtype), counts[-1])
        if self.control.levels is not None:
            judge = lambda walk: self._judged(walk, clock, rule.velocity(clock, walk.state))  # noqa: E731
            walk = jax.lax.cond(walk.ended, lambda walk: walk, judge, walk)
        reached = self.times.ends <= walk.index
        records = fill_unreached(reached, records)
        valid = reached & jnp.isfinite(records[0]["risk"])
        status = Status.where(jnp.all(valid), Status.complete, Status.not_finite)
        if most is not None:
            status = Status.where(self.times.ends[-1] > most, Status.max_steps, status)
        status = Status.where(walk.ended, Status.where(walk.low, Status.risk_reached, Status.steady), status)
        ts = rule.time(counts) if self.times.times is None else self.times.times
        ts, stopped_at = cast_floats((ts, rule.time(clock)), jnp.result_type(*jax.tree.leaves(walk.state)))
        return Outcome(ts, walk, records, status, valid, stopped_at)
