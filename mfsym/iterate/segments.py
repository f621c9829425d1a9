"""The same run in segments: what is compiled is a stretch of it, of as many steps as a number says."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from ..control import Control, fill_unreached, run_segments
from ..integrate import strong
from .times import StepTimes
from .walk import Outcome, Walk, one_step, outcome, record, record_at, start_of_walk


class Place(eqx.Module):
    """A walk with its record so far; `row` is the record that comes next."""

    walk: Walk
    records: PyTree
    row: Int[Array, ""]
    running: Bool[Array, ""]

    @property
    def steps(self) -> Int[Array, ""]:
        """How many steps were made."""
        return self.walk.index


def iterate_in_segments(
    rule, state: PyTree, times: StepTimes, save_states: bool, control: Control, max_steps: int | None
) -> Outcome:
    """What `iterate` needs of a run."""
    bare = control.bare()
    # A later call may allow more steps; everything else that compiled code sees is fixed.
    mark = ("iterate", rule, state, times, save_states, bare)
    prepared, start = _begin(rule, state, times, save_states, bare)
    start = eqx.tree_at(lambda place: place.walk.state, start, state)  # on the devices where the caller put it

    def advance(place: Place, most: int) -> Place:
        return _advance(prepared, place, times, save_states, bare, jnp.asarray(most))

    total = int(times.ends[-1])
    place, reason = run_segments(control, mark, start, advance, lambda p: p.steps / total, max_steps)
    end = _finish(prepared, place, times, bare)
    return end if reason is None else eqx.tree_at(lambda end: end.status, end, reason)


@eqx.filter_jit
def _begin(rule, state, times: StepTimes, save_states: bool, control: Control):
    rule = rule.prepare()
    walk, count = start_of_walk(rule, state), len(times.numbers)
    row = record(rule, times.counts[0], state, save_states, control)
    records = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), row)
    records = fill_unreached(jnp.arange(count) < 1, records)
    return rule, strong(Place(walk, records, jnp.asarray(1), jnp.asarray(True)))


@eqx.filter_jit
def _advance(rule, place: Place, times: StepTimes, save_states: bool, control: Control, most) -> Place:
    """At most `most` steps further."""
    until, count, stop = place.walk.index + most, len(times.numbers), control.levels

    def to_next_record(place: Place) -> Place:
        goal = times.numbers[place.row]
        walk = jax.lax.while_loop(
            lambda walk: (walk.index < jnp.minimum(goal, until)) & ~walk.ended,
            lambda walk: one_step(rule, walk, stop),
            place.walk,
        )
        last = place.row == count - 1
        room = (walk.index < until) | ~last if times.fractions is not None else True
        due = (walk.index == goal) & ~walk.ended & room
        return jax.lax.cond(due, recorded, lambda place: place, Place(walk, place.records, place.row, place.running))

    def recorded(place: Place) -> Place:
        there, row = record_at(rule, place.walk, times, place.row, save_states, control, True)
        records = jax.tree.map(lambda leaf, new: leaf.at[place.row].set(new), place.records, row)
        last = place.row == count - 1  # the run ends there, be it between two steps
        walk = jax.tree.map(lambda here, end: jnp.where(last, end, here), place.walk, there)
        return Place(walk, records, place.row + 1, place.running)

    def more(place: Place) -> Bool[Array, ""]:
        return (place.row < count) & ~place.walk.ended

    place = jax.lax.while_loop(lambda place: more(place) & (place.walk.index < until), to_next_record, place)
    return strong(Place(place.walk, place.records, place.row, more(place)))


@eqx.filter_jit
def _finish(rule, place: Place, times: StepTimes, control: Control) -> Outcome:
    """The end of a run; one that was cut short is judged too, and goes on from its place."""
    end = outcome(rule, place.walk, place.records, times, control.levels, None)
    return eqx.tree_at(lambda end: end.records, end, fill_unreached(times.ends <= end.walk.index, end.records))
