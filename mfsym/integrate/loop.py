"""The loop itself, by diffrax: steps, records, and the events that end it."""

from collections.abc import Callable
from typing import Any, TypeAlias

import diffrax
import jax
from jaxtyping import Array, Bool, Float, PyTree

from ..control import Stop
from ..solution import Status
from ..types import Observables, Options, Scalar, State
from .controllers import LandingController
from .dynamics import AbstractDynamics, relative_speed
from .meter import meter
from .methods import ADJOINTS, METHODS, SSP_COEFFICIENT
from .noise import FINEST, AbstractNoise, brownian_term
from .stepping import Stepping

# Which states of a system have more than one future.
NotUnique: TypeAlias = Callable[[Any, PyTree], Bool[Array, ""]]


def start_of_steps(
    dynamics: AbstractDynamics, state: State, ts: Float[Array, " T"], stepping: Stepping, noise: AbstractNoise | None
) -> tuple[LandingController, Array]:
    """The step control of a run, and its first step."""
    assert stepping.method is not None and stepping.rtol is not None and stepping.atol is not None  # by `with_defaults`
    ssp = SSP_COEFFICIENT.get(stepping.method)
    shortest = (1e-13 if noise is None else FINEST) * ts[-1]
    control = diffrax.PIDController(stepping.rtol, stepping.atol, dtmin=shortest, force_dtmin=False, factormax=5.0)
    # A guess that error control mends at once: a search for the first step would compile the velocity twice more.
    first_step = jax.lax.stop_gradient(dynamics.largest_step(state)) if ssp else 0.01 * ts[1]
    return LandingController(control, ts, ssp or 1.0), first_step


def observed(dynamics: AbstractDynamics, t: Array, state: State, stepping: Stepping) -> Observables:
    """What a system shows of a state, and what the caller wants to see of it."""
    return dynamics.observe(t, state) | stepping.control.observers(state)


def solve_loop(dynamics, state, t0, ts, stepping, not_unique, noise, controller, first_step, **segment: Any) -> Any:
    """Step from `t0` to ts[-1] and record at `ts`; `segment` replaces options of diffrax for a part of a run.

    Noise is the same for all states, so that adaptive steps converge along its path; ShARK is of strong order 3/2 for it
    (Foster, dos Reis & Strange 2024).

    Where something may end a run, the start is recorded by itself, as that may be the end.
    """

    def record(t, y, dynamics):
        return observed(dynamics, t, y, stepping), y if stepping.save_states else None

    events = _events(stepping.control.levels, not_unique)
    alone = events is not None and not segment
    times = diffrax.SubSaveAt(t0=alone, ts=ts[1:] if alone else ts, fn=record)
    save = {"record": times, "end": diffrax.SubSaveAt(t1=True, fn=lambda t, y, _: (t, y))}
    options = {
        "adjoint": ADJOINTS[stepping.derivative](),
        "max_steps": stepping.bound,
        "progress_meter": meter(stepping.control.progress),
    }
    terms, solver = diffrax.ODETerm(lambda t, y, args: args.velocity(t, y)), METHODS[stepping.method]()
    if noise is not None:
        terms, solver = diffrax.MultiTerm(terms, brownian_term(noise, ts[-1], state)), diffrax.ShARK()
    return diffrax.diffeqsolve(
        terms,
        solver,
        t0,
        ts[-1],
        first_step,
        state,
        dynamics,
        saveat=diffrax.SaveAt(subs=save, controller_state=bool(segment)),
        stepsize_controller=controller,
        throw=False,
        event=events,
        **(options | segment),
    )


def _events(stop: Stop | None, not_unique: NotUnique | None) -> diffrax.Event | None:
    """What ends a run at the end of a step, by name; of several in one step, the first name in the alphabet counts."""
    events: dict[str, Callable[..., Array]] = {}
    if not_unique is not None:
        events["not_unique"] = lambda t, y, args, **_: not_unique(args, y)
    risk, steady = (None, None) if stop is None else (stop.risk, stop.steady)
    if risk is not None:
        events["risk"] = lambda t, y, args, **_: args.observe(t, y)["risk"] <= risk
    if steady is not None:
        events["steady"] = lambda t, y, args, **_: relative_speed(args, t, y) <= steady
    return diffrax.Event(events) if events else None


_EVENTS = {"not_unique": Status.not_unique, "risk": Status.risk_reached, "steady": Status.steady}


def event_status(out: diffrax.Solution, complete: Status) -> Status:
    """How a loop ended; `complete` if it came to its last time."""
    early = Status.where(out.result == diffrax.RESULTS.max_steps_reached, Status.max_steps, Status.step_too_small)
    status = Status.where(out.result == diffrax.RESULTS.successful, complete, early)
    for name, fired in (out.event_mask or {}).items():
        happened = fired & (out.result == diffrax.RESULTS.event_occurred)
        status = Status.where(happened, _EVENTS[name], status)
    return status


def is_unfinished(out: diffrax.Solution) -> Bool[Array, ""]:
    """Whether a loop was ended by the bound on its steps."""
    return out.result == diffrax.RESULTS.max_steps_reached


def with_forward_mode() -> Options:
    """Options of a loop that nobody differentiates and that something else bounds."""
    return {"adjoint": diffrax.ForwardMode(), "max_steps": None, "progress_meter": diffrax.NoProgressMeter()}


def begin_control(
    controller: LandingController, t0: Scalar, t1: Scalar, state: State, first_step: Scalar, dynamics: AbstractDynamics
) -> tuple[PyTree, Scalar]:
    """The state of a step control before the first step, and the end of that step."""
    end, memory = controller.init(None, t0, t1, state, first_step, dynamics, None, None)  # pyright: ignore[reportArgumentType]
    return memory, end
