"""The same run in segments: what is compiled is a stretch of it, from one place to a later one."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..control import fill_unreached, run_segments
from ..solution import Status
from .casts import cast_floats, strong
from .controllers import SegmentController
from .dynamics import AbstractDynamics
from .loop import begin_control, event_status, is_unfinished, observed, solve_loop, start_of_steps, with_forward_mode


class Place(eqx.Module):
    """Where a run is, with its record so far: all that is needed to go on.

    `control` is the state of the step control with the end of the next step; `index` counts the times reached.
    """

    t: Float[Array, ""]
    state: PyTree
    control: PyTree
    accepted: Int[Array, ""]
    rejected: Int[Array, ""]
    index: Int[Array, ""]
    records: PyTree
    status: Status
    running: Bool[Array, ""]

    @property
    def steps(self) -> Int[Array, ""]:
        """How many steps were tried."""
        return self.accepted + self.rejected


def integrate_in_segments(dynamics, state, ts, stepping, not_unique, noise):
    """What `integrate` needs of a run: observables, states, final state, stats, status, valid."""
    control = stepping.control
    # A later call may allow more steps; everything else that compiled code sees is fixed.
    numerics = dataclasses.replace(stepping, control=control.bare(), max_steps=1)
    mark = ("integrate", dynamics, state, ts, numerics, not_unique, noise)
    prepared, start = _begin(dynamics, state, ts, numerics, noise)
    start = eqx.tree_at(lambda place: place.state, start, state)  # on the devices where the caller put it

    def advance(place: Place, most: int) -> Place:
        return _advance(prepared, place, ts, numerics, not_unique, noise, jnp.asarray(most))

    place, reason = run_segments(control, mark, start, advance, lambda p: p.t / ts[-1], stepping.bound)
    observables, states = place.records
    valid = (jnp.arange(len(ts)) < place.index) & jnp.isfinite(observables["risk"])
    stats = {"steps": place.accepted, "rejected": place.rejected}
    if not_unique is not None or control.stop is not None:
        stats["stopped_at"] = place.t
    status = place.status if reason is None else reason
    if reason is None and status == Status.complete and not bool(jnp.all(valid)):
        status = Status.not_finite
    return observables, states, place.state, stats, status, valid


@eqx.filter_jit
def _begin(dynamics, state, ts, stepping, noise) -> tuple[AbstractDynamics, Place]:
    """The prepared system, and the place at ts[0] with the first record."""
    dynamics = dynamics.prepare()
    controller, first_step = start_of_steps(dynamics, state, ts, stepping, noise)
    memory = begin_control(controller, ts[0], ts[-1], state, first_step, dynamics)
    row = (observed(dynamics, ts[0], state, stepping), state if stepping.save_states else None)
    row = cast_floats(row, jnp.result_type(*jax.tree.leaves(state)))
    records = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(ts), *leaf.shape)), row)
    records = fill_unreached(jnp.arange(len(ts)) < 1, records)
    zero, one = jnp.asarray(0), jnp.asarray(1)
    place = Place(ts[0], state, memory, zero, zero, one, records, Status.complete, jnp.asarray(True))
    return dynamics, strong(place)


@eqx.filter_jit
def _advance(dynamics, place: Place, ts, stepping, not_unique, noise, most) -> Place:
    """At most `most` steps further."""
    controller, _ = start_of_steps(dynamics, place.state, ts, stepping, noise)
    controller = SegmentController(controller, place.control, most)
    # The times to come first, then the last one again and again: shapes do not depend on the place.
    coming = jnp.arange(len(ts)) < len(ts) - place.index
    times = jnp.where(coming, jnp.roll(ts, -place.index), ts[-1])
    start = (dynamics, place.state, place.t, times, stepping, not_unique, noise)
    out = solve_loop(*start, controller, None, **with_forward_mode())
    saved = cast_floats(dict(out.ys or {}), jnp.result_type(*jax.tree.leaves(place.state)))
    t, state = jax.tree.map(lambda leaf: leaf[-1], saved["end"])
    new = jnp.isfinite(out.ts["record"]) & coming
    records = jax.tree.map(
        lambda old, rows: _merged(jnp.roll(new, place.index), jnp.roll(rows, place.index, axis=0), old),
        place.records,
        saved["record"],
    )
    memory, end, _ = out.controller_state
    running = is_unfinished(out) & (t < ts[-1])
    status = Status.where(is_unfinished(out), Status.complete, event_status(out, Status.complete))
    reached = jnp.sum(new, dtype=place.index.dtype)
    tried = out.stats["num_accepted_steps"], out.stats["num_rejected_steps"]
    accepted, rejected = place.accepted + tried[0], place.rejected + tried[1]
    return strong(Place(t, state, (memory, end), accepted, rejected, place.index + reached, records, status, running))


def _merged(new: Array, rows: Array, old: Array) -> Array:
    return jnp.where(new.reshape(new.shape + (1,) * (old.ndim - 1)), rows, old)
