"""The same run in segments: what is compiled is a stretch of it, of as many steps as a number says."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from ..control import fill_unreached, run_segments
from ..integrate import strong
from .walk import Outcome, Run, Walk


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


def iterate_in_segments(run: Run, state: PyTree, max_steps: int | None) -> Outcome:
    """What `iterate` needs of a run."""
    control, run = run.control, Run(run.rule, run.times, run.save_states, run.control.bare())
    mark = ("iterate", run, state)  # a later call may allow more steps; everything else is fixed
    prepared, start = _begin(run, state)
    start = eqx.tree_at(lambda place: place.walk.state, start, state)  # on the devices where the caller put it

    def advance(place: Place, most: int) -> Place:
        return _advance(prepared, place, jnp.asarray(most))

    total = int(run.times.ends[-1])
    place, reason = run_segments(control, mark, start, advance, lambda p: p.steps / total, max_steps)
    end = _finish(prepared, place)
    return end if reason is None else eqx.tree_at(lambda end: end.status, end, reason)


@eqx.filter_jit
def _begin(run: Run, state: PyTree) -> tuple[Run, Place]:
    run = run.prepare()
    walk, count = run.start(state), len(run.times.numbers)
    row = run.record(run.times.counts[0], state)
    records = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), row)
    records = fill_unreached(jnp.arange(count) < 1, records)
    return run, strong(Place(walk, records, jnp.asarray(1), jnp.asarray(True)))


@eqx.filter_jit
def _advance(run: Run, place: Place, most: Int[Array, ""]) -> Place:
    """At most `most` steps further."""
    times, until, count = run.times, place.walk.index + most, len(run.times.numbers)

    def to_next_record(place: Place) -> Place:
        goal, last = times.numbers[place.row], place.row == count - 1
        unfinished = lambda walk: (walk.index < jnp.minimum(goal, until)) & ~walk.ended  # noqa: E731
        walk = jax.lax.while_loop(unfinished, lambda walk: run.step(walk), place.walk)
        room = True if times.fractions is None else (walk.index < until) | ~last  # the last record takes a step more
        due = (walk.index == goal) & ~walk.ended & room
        return jax.lax.cond(due, recorded, lambda place: place, Place(walk, place.records, place.row, place.running))

    def recorded(place: Place) -> Place:
        there, row = run.record_at(place.walk, place.row, True)
        records = jax.tree.map(lambda leaf, new: leaf.at[place.row].set(new), place.records, row)
        last = place.row == count - 1  # the run ends there, be it between two steps
        walk = jax.tree.map(lambda here, end: jnp.where(last, end, here), place.walk, there)
        return Place(walk, records, place.row + 1, place.running)

    def more(place: Place) -> Bool[Array, ""]:
        return (place.row < count) & ~place.walk.ended

    place = jax.lax.while_loop(lambda place: more(place) & (place.walk.index < until), to_next_record, place)
    return strong(Place(place.walk, place.records, place.row, more(place)))


@eqx.filter_jit
def _finish(run: Run, place: Place) -> Outcome:
    """The end of a run, or of what was done of one that was cut short."""
    return run.outcome(place.walk, place.records, None)
