"""A whole run in steps: the jit boundary."""

from collections.abc import Callable

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
from .walk import Outcome, Run


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
    run = cast_floats(Run(rule, times, bool(save_states), control), jnp.result_type(*jax.tree.leaves(state)))
    if run.times.times is not None:
        check_increasing(run.times.times)
    control.observers.check(run.rule, run.times.counts[0], state)
    control.check_concrete((run, state))
    if times.gap is None and max_steps is None:
        max_steps = MAX_STEPS
    most = _binding(times, max_steps)
    end = iterate_in_segments(run, state, max_steps) if control.in_segments else _run(run, state, most)
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
def _run(run: Run, state: PyTree, most: int | None) -> Outcome:
    run, shown = run.prepare(), run.control.progress

    def step(carry):
        walk, bar = carry
        walk = run.step(walk)
        return walk, step_meter(shown, bar, walk.index / run.times.ends[-1]) if shown else bar

    start = run.start(state), open_meter(shown)
    if run.times.even and most is None:
        (walk, bar), records = _even(run, step, start)
    else:
        (walk, bar), records = _uneven(run, step, start, most)
    close_meter(shown, bar)
    return run.outcome(walk, records, most)


def _even(run: Run, step: Callable, start: PyTree) -> tuple[PyTree, PyTree]:
    """The end and the records after every `gap` steps."""
    times, gap, plain = run.times, run.times.gap, run.control.progress
    assert gap is not None

    def row(carry):
        return run.record(carry[0].index, carry[0].state)

    def stretch(carry, _):
        return scan_in_parts(lambda carry, _: (step(carry), None), carry, gap, plain)[0], row(carry)

    carry, records = scan_in_parts(stretch, start, len(times.numbers) - 1, plain)
    return carry, jax.tree.map(lambda early, last: jnp.concatenate([early, last[None]]), records, row(carry))


def _uneven(run: Run, step: Callable, start: PyTree, most: int | None) -> tuple[PyTree, PyTree]:
    """The end and the records after any numbers of steps: between two of them a loop of which a bound is known."""
    times, plain = run.times, run.control.progress
    targets = times.numbers if most is None else jnp.minimum(times.numbers, most)
    bound = most if times.gap is None else times.gap
    assert bound is not None

    def stretch(carry, _):
        moving, made, row, _ = carry  # `made` counts for all lanes of a batch, also for those that have ended
        live = lambda carry: carry[1] < targets[row]  # noqa: E731
        moving, made = while_in_parts(live, lambda carry: (step(carry[0]), carry[1] + 1), (moving, made), bound, plain)
        room = True if most is None else times.numbers[row] < most
        there, found = run.record_at(moving[0], row, room)
        return (moving, made, row + 1, None if times.fractions is None else there), found

    zero, there = jnp.asarray(0), None if times.fractions is None else start[0]
    (moving, _, _, there), records = scan_in_parts(stretch, (start, zero, zero, there), len(times.numbers), plain)
    return (moving if there is None else (there, moving[1])), records
