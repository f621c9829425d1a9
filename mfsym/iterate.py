"""Training step by step: rules that move a state from step to step, recorded every so many of them."""

import abc
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .control import Control, fill_unreached, first_hit, run_segments
from .integrate import cast_floats, close_meter, open_meter, ratio_of_norms, step_meter, strong
from .solution import Solution, Status


class AbstractRule(eqx.Module):
    """A rule z_k ↦ z_{k+1}, with a memory and with things to observe. Arrays in it are leaves."""

    @abc.abstractmethod
    def prepare(self) -> "AbstractRule":
        """The same rule with every table that it needs; called once per run, compiled with it."""

    @abc.abstractmethod
    def time(self, index: Int[Array, "*T"]) -> Float[Array, "*T"]:
        """The clock at a step."""

    @abc.abstractmethod
    def memory(self, state: PyTree) -> PyTree:
        """What the rule remembers at the start."""

    @abc.abstractmethod
    def velocity(self, index: Int[Array, ""], state: PyTree) -> PyTree:
        """The gradient velocity of a state in flow time."""

    @abc.abstractmethod
    def move(self, state: PyTree, memory: PyTree, velocity: PyTree) -> tuple[PyTree, PyTree]:
        """The state and the memory one step later."""

    @abc.abstractmethod
    def observe(self, index: Int[Array, ""], state: PyTree) -> dict[str, Array]:
        """Observables of a state; must contain `risk`."""


class Walk(eqx.Module):
    """Where a run is: `index` steps were made; `ended` where a rule of `stop` holds, because of the risk if `low`."""

    index: Int[Array, ""]
    state: PyTree
    memory: PyTree
    ended: Bool[Array, ""]
    low: Bool[Array, ""]


class Place(eqx.Module):
    """A walk with its record so far."""

    walk: Walk
    records: PyTree
    running: Bool[Array, ""]

    @property
    def steps(self) -> Int[Array, ""]:
        """How many steps were made."""
        return self.walk.index


def iterate(
    rule: AbstractRule, state: PyTree, steps: int, record_every: int, save_states: bool, control: Control
) -> Solution:
    """Make `steps` steps from a state and record it at step 0 and after every `record_every` of them.

    The rule is in the floating type of the state. One compiled loop, or segments of it where `control` has a checkpoint
    or a limit of wall time. Returns a Solution whose model is None.
    """
    control = cast_floats(control, jnp.result_type(*jax.tree.leaves(state)))
    control.check_concrete((rule, state, control))
    reason = None
    if control.in_segments:
        ts, walk, (observables, states), reason = _in_segments(rule, state, steps, record_every, save_states, control)
    else:
        ts, walk, (observables, states) = _run(rule, state, steps, record_every, save_states, control)
    reached = jnp.arange(len(ts)) * record_every <= walk.index
    valid = reached & jnp.isfinite(observables["risk"])
    status = Status.where(jnp.all(valid), Status.complete, Status.not_finite)
    stats = {"steps": walk.index}
    if control.stop is not None:
        status = Status.where(walk.ended, Status.where(walk.low, Status.risk_reached, Status.steady), status)
        stats["stopped_at"] = rule.time(walk.index)
    return Solution(ts, observables, walk.state, states, status if reason is None else reason, valid, stats, None, None)


def _start(rule: AbstractRule, state: PyTree) -> Walk:
    return Walk(jnp.asarray(0), state, rule.memory(state), jnp.asarray(False), jnp.asarray(False))


def _judged(rule: AbstractRule, walk: Walk, velocity: PyTree, stop: Any) -> Walk:
    """The walk, ended if a rule for stopping holds where it is."""
    if stop is None:
        return walk
    risk = rule.observe(walk.index, walk.state)["risk"]
    low, slow = first_hit(stop, risk, None if stop.steady is None else ratio_of_norms(velocity, walk.state))
    return Walk(walk.index, walk.state, walk.memory, low | slow, low)


def _one_step(rule: AbstractRule, walk: Walk, stop: Any) -> Walk:
    """One step further, unless the walk has ended or ends here."""
    if stop is None:
        state, memory = rule.move(walk.state, walk.memory, rule.velocity(walk.index, walk.state))
        return Walk(walk.index + 1, state, memory, walk.ended, walk.low)

    def go(walk: Walk) -> Walk:
        velocity = rule.velocity(walk.index, walk.state)
        here = _judged(rule, walk, velocity, stop)
        state, memory = rule.move(walk.state, walk.memory, velocity)
        there = Walk(walk.index + 1, state, memory, here.ended, here.low)
        return jax.tree.map(lambda stay, step: jnp.where(here.ended, stay, step), here, there)

    return jax.lax.cond(walk.ended, lambda walk: walk, go, walk)


def _judged_at_end(rule: AbstractRule, walk: Walk, stop: Any) -> Walk:
    if stop is None:
        return walk
    judge = lambda walk: _judged(rule, walk, rule.velocity(walk.index, walk.state), stop)  # noqa: E731
    return jax.lax.cond(walk.ended, lambda walk: walk, judge, walk)


def _record(rule: AbstractRule, walk: Walk, save_states: bool) -> PyTree:
    return rule.observe(walk.index, walk.state), walk.state if save_states else None


def scan_in_parts(body: Callable, start: PyTree, length: int, plain: bool) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan(body, start, None, length)` of which reverse differentiation stores about 2 √length carries.

    The steps are cut into about √length parts. Reverse mode stores where each begins, and makes its steps anew for the
    time that it needs them; nothing else changes. `plain` leaves it out, for a body that has effects.
    """
    root = math.isqrt(length)
    if plain or root < 2:
        return jax.lax.scan(body, start, None, length=length)
    divisors = (parts for parts in range(root, root // 4, -1) if length % parts == 0)
    parts = next(divisors, root)  # without a divisor near the root a rest is left, whose code is compiled as well
    size, rest = divmod(length, parts)

    def part(count: int) -> Callable:
        return jax.checkpoint(lambda carry, _: jax.lax.scan(body, carry, None, length=count), prevent_cse=False)

    carry, rows = jax.lax.scan(part(size), start, None, length=parts)
    rows = jax.tree.map(lambda leaf: leaf.reshape(parts * size, *leaf.shape[2:]), rows)
    if rest:
        carry, others = part(rest)(carry, None)
        rows = jax.tree.map(lambda early, late: jnp.concatenate([early, late]), rows, others)
    return carry, rows


@eqx.filter_jit
def _run(rule, state, steps: int, record_every: int, save_states: bool, control: Control):
    rule, stop, shown = rule.prepare(), control.levels, control.progress

    def one_step(carry, _):
        walk, bar = carry
        walk = _one_step(rule, walk, stop)
        return (walk, step_meter(shown, bar, walk.index / steps) if shown else bar), None

    def stretch(carry, _):
        row = _record(rule, carry[0], save_states), ~carry[0].ended
        return scan_in_parts(one_step, carry, record_every, shown)[0], row

    start = (_start(rule, state), open_meter(shown))
    (walk, bar), (records, reached) = scan_in_parts(stretch, start, steps // record_every, shown)
    close_meter(shown, bar)
    last = _record(rule, walk, save_states)
    records = jax.tree.map(lambda early, end: jnp.concatenate([early, end[None]]), records, last)
    if stop is not None:
        records = fill_unreached(jnp.append(reached, ~walk.ended), records)
    ts = rule.time(jnp.arange(0, steps + 1, record_every))
    return ts, _judged_at_end(rule, walk, stop), records


def _in_segments(rule, state, steps: int, record_every: int, save_states: bool, control: Control):
    """Times, last walk, records, and the reason of an end that the walk does not know."""
    stop = control.levels
    mark = ("iterate", rule, state, steps, record_every, save_states, stop)
    prepared, ts, start = _begin(rule, state, steps, record_every, save_states)
    start = eqx.tree_at(lambda place: place.walk.state, start, state)  # on the devices where the caller put it

    def advance(place: Place, most: int) -> Place:
        return _advance(prepared, place, steps, record_every, save_states, stop, jnp.asarray(most))

    place, reason = run_segments(control, mark, start, advance, lambda p: p.steps / steps)
    return ts, place.walk, place.records, reason


@eqx.filter_jit
def _begin(rule, state, steps: int, record_every: int, save_states: bool):
    rule = rule.prepare()
    walk, ts = _start(rule, state), rule.time(jnp.arange(0, steps + 1, record_every))
    row = _record(rule, walk, save_states)
    records = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(ts), *leaf.shape)), row)
    return rule, ts, strong(Place(walk, fill_unreached(jnp.arange(len(ts)) < 1, records), jnp.asarray(True)))


@eqx.filter_jit
def _advance(rule, place: Place, steps: int, record_every: int, save_states: bool, stop, most) -> Place:
    """At most `most` steps further."""
    until = jnp.minimum(place.walk.index + most, steps)

    def body(carry):
        walk, records = carry
        walk = _one_step(rule, walk, stop)
        index = walk.index // record_every
        due = (walk.index % record_every == 0) & ~walk.ended
        old = jax.tree.map(lambda leaf: leaf[index], records)
        row = jax.lax.cond(due, lambda: _record(rule, walk, save_states), lambda: old)
        return walk, jax.tree.map(lambda leaf, new: leaf.at[index].set(new), records, row)

    walk, records = jax.lax.while_loop(
        lambda carry: (carry[0].index < until) & ~carry[0].ended, body, (place.walk, place.records)
    )
    at_end = walk.index >= steps
    walk = jax.lax.cond(at_end, lambda: _judged_at_end(rule, walk, stop), lambda: walk)
    return strong(Place(walk, records, ~at_end & ~walk.ended))
