"""A whole run in one compiled loop: the jit boundary."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..control import fill_unreached
from ..errors import SolveError, check_increasing, is_traced
from ..solution import Solution, Status
from .casts import cast_floats
from .dynamics import AbstractDynamics
from .loop import NotUnique, event_status, solve_loop, start_of_steps
from .modes import in_mode, words_for_mode
from .noise import AbstractNoise
from .segments import integrate_in_segments
from .stepping import Stepping


def integrate(
    dynamics: AbstractDynamics,
    state: PyTree,
    ts: Float[Array, " T"],
    stepping: Stepping,
    model: PyTree = None,
    not_unique: NotUnique | None = None,
    noise: AbstractNoise | None = None,
) -> Solution:
    """Run a system from ts[0] to ts[-1] in one compiled loop and record it at `ts` [T].

    The floating type is the state's: times, tables and leaves are cast to it. `not_unique(dynamics, state)` tells
    states from which the system has more than one future: the run ends there with that status. The returned Solution
    may have ended early, at the time `stats["stopped_at"]`; `require_complete` raises if nobody asked for that.
    With `noise` S it is dz = v dt + S dW from time 0, by a method of its own with the same control of steps.
    With checkpoints or a limit of wall time the loop is cut into segments, with the same result to round-off.
    """
    dtype = jnp.result_type(*jax.tree.leaves(state))
    dynamics, state, ts, stepping, noise = cast_floats((dynamics, state, ts, stepping, noise), dtype)
    check_increasing(ts)
    stepping.control.observers.check(dynamics, ts[0], state)
    stepping.control.check_concrete((dynamics, state, ts, stepping, noise))
    run = integrate_in_segments if stepping.control.in_segments else _run
    with words_for_mode(stepping.derivative):
        found = run(dynamics, state, ts, stepping, not_unique, noise)
    observables, states, final, stats, status, valid = in_mode(stepping.derivative, found)
    return Solution(ts, observables, final, states, status, valid, stats, None, model)


@eqx.filter_jit
def _run(dynamics, state, ts, stepping, not_unique, noise):
    dynamics = dynamics.prepare()
    controller, first_step = start_of_steps(dynamics, state, ts, stepping, noise)
    out = solve_loop(dynamics, state, ts[0], ts, stepping, not_unique, noise, controller, first_step)
    # Times that are traced could not be looked at before: a record that is not in order is none.
    reached = jnp.isfinite(out.ts["record"]) & jnp.all(ts[1:] >= ts[:-1])
    saved = cast_floats(dict(out.ys or {}), jnp.result_type(*jax.tree.leaves(state)))
    observables, states = fill_unreached(reached, saved["record"])
    end, final = jax.tree.map(lambda leaf: leaf[-1], saved["end"])
    stats = {"steps": out.stats["num_accepted_steps"], "rejected": out.stats["num_rejected_steps"]}
    if out.event_mask is not None:
        stats["stopped_at"] = end
    valid = reached & jnp.isfinite(observables["risk"])
    complete = Status.where(jnp.all(valid), Status.complete, Status.not_finite)
    return observables, states, final, stats, event_status(out, complete), valid


def require_complete(solution: Solution, throw: bool) -> Solution:
    """The solution, or SolveError carrying it if it ended early and can be inspected (not under jit, vmap, grad)."""
    leaves = jax.tree.leaves((solution.status, solution.valid))
    if throw and not any(is_traced(leaf) for leaf in leaves) and not bool(jnp.all(solution.succeeded)):
        raise SolveError(f"{solution.sentence()} What was computed is in `.solution` of this error.", solution)
    return solution
