"""A whole run in steps: the jit boundary."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..control import Control
from ..errors import check_increasing
from ..integrate import MAX_STEPS, cast_floats, close_meter, open_meter, step_meter
from ..solution import Solution
from .rule import AbstractRule
from .scan import scan_in_parts, while_in_parts
from .segments import iterate_in_segments
from .times import StepTimes
from .walk import Outcome, Walk, one_step, outcome, record, record_at, start_of_walk


def iterate(
    rule: AbstractRule,
    state: PyTree,
    times: StepTimes,
    save_states: bool,
    control: Control,
    max_steps: int | None = None,
    model: PyTree = None,
) -> Solution:
    """Follow a rule from a state and record it at `times`, in one compiled loop that both modes differentiate.

    The floating type is that of the state: the rule is cast to it. Reverse mode keeps about 2 √n states of n steps.
    `max_steps` bounds their number; without it there is no bound, or 65536 where the times are traced. With checkpoints
    or a limit of wall time the loop is cut into segments, with the same result to round-off.
    """
    dtype = jnp.result_type(*jax.tree.leaves(state))
    rule, control, times = cast_floats((rule, control, times), dtype)
    if times.times is not None:
        check_increasing(times.times)
    control.observers.check(rule, times.counts[0], state)
    control.check_concrete((rule, state, control, times))
    if times.gap is None and max_steps is None:
        max_steps = MAX_STEPS
    if control.in_segments:
        end = iterate_in_segments(rule, state, times, save_states, control, max_steps)
    else:
        end = _run(rule, state, times, save_states, control, _binding(times, max_steps))
    observables, states = end.records
    stats = {"steps": end.walk.index, "rejected": jnp.zeros_like(end.walk.index)}
    if control.stop is not None:
        stats["stopped_at"] = end.stopped_at
    return Solution(end.ts, observables, end.walk.state, states, end.status, end.valid, stats, None, model)


def _binding(times: StepTimes, max_steps: int | None) -> int | None:
    """The bound on the steps, or None where so many are not asked for: then it is no part of the compiled code."""
    if max_steps is None or times.gap is None:
        return max_steps
    return None if times.gap * (len(times.numbers) - 1) + (times.fractions is not None) <= max_steps else max_steps


@eqx.filter_jit
def _run(rule, state, times: StepTimes, save_states: bool, control: Control, most: int | None) -> Outcome:
    rule, stop, shown, total = rule.prepare(), control.levels, control.progress, times.ends[-1]

    def step(carry):
        walk, bar = carry
        walk = one_step(rule, walk, stop)
        return walk, step_meter(shown, bar, walk.index / total) if shown else bar

    follow = _even if times.even and most is None else _uneven
    start = start_of_walk(rule, state), open_meter(shown)
    walk, bar, records = follow(rule, step, start, times, save_states, control, most)
    close_meter(shown, bar)
    return outcome(rule, walk, records, times, stop, most)


def _even(rule, step, start, times: StepTimes, save_states: bool, control: Control, most) -> tuple[Walk, Any, PyTree]:
    """Records after every `gap` steps."""
    assert times.gap is not None

    def row(carry):
        return record(rule, carry[0].index, carry[0].state, save_states, control)

    def stretch(carry, _):
        return scan_in_parts(lambda carry, _: (step(carry), None), carry, times.gap, control.progress)[0], row(carry)

    carry, records = scan_in_parts(stretch, start, len(times.numbers) - 1, control.progress)
    records = jax.tree.map(lambda early, last: jnp.concatenate([early, last[None]]), records, row(carry))
    return *carry, records


def _uneven(rule, step, start, times: StepTimes, save_states: bool, control: Control, most) -> tuple[Walk, Any, PyTree]:
    """Records at any numbers of steps: between two of them a loop of which a bound is known."""
    targets = times.numbers if most is None else jnp.minimum(times.numbers, most)
    bound = most if times.gap is None else times.gap
    assert bound is not None

    def stretch(carry, _):
        moving, made, row, _ = carry  # `made` counts for all lanes of a batch, also for those that have ended
        moving, made = while_in_parts(
            lambda carry: carry[1] < targets[row],
            lambda carry: (step(carry[0]), carry[1] + 1),
            (moving, made),
            bound,
            control.progress,
        )
        room = True if most is None else times.numbers[row] < most
        there, found = record_at(rule, moving[0], times, row, save_states, control, room)
        return (moving, made, row + 1, there if times.fractions is not None else None), found

    zero, there = jnp.asarray(0), start[0] if times.fractions is not None else None
    carry, records = scan_in_parts(stretch, (start, zero, zero, there), len(times.numbers), control.progress)
    (walk, bar), _, _, there = carry
    return walk if there is None else there, bar, records
