"""Solvers of the moment equation: the flow, its closed solution, and gradient descent with finite steps."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..control import Control, Stop, cut_after, differences, reached_times
from ..errors import (
    argument_error,
    check_choice,
    check_flags,
    check_instance,
    check_integer,
    float_array,
    is_traced,
    positive_number,
)
from ..integrate import Stepping, cast_floats, integrate, relative_speed, require_complete
from ..iterate import AbstractRule, iterate
from ..problem.training import Training
from ..solution import Solution, Status, with_masks
from .certificate import certify
from .choose import step_of_moments
from .moments import MomentDynamics, OddReduction, State, closed_state, descent_step

METHODS = ("closed", "hyperboloid", "moments")
_ANGLE = "it lives on an angle, which the moments do not keep"
_MASSES = "it needs the start of the problem, |a| = ‖b‖ with a 1-homogeneous unit, and the flow"
_HYPERBOLOID = "the second moments do not stay on a hyperboloid"


def solve_moments(
    reduced: OddReduction,
    ts: Float[Array, " T"],
    *,
    training: Training | None,
    method: str | None,
    initial: Any,
    rtol: Any,
    atol: Any,
    error: bool,
    throw: bool,
    options: dict[str, Any],
) -> Solution:
    """The flow of an odd target with its certificate, or finite steps; the arguments are those of `solve_reduced`."""
    control: Control = options["control"]
    fine = jnp.finfo(reduced.dtype).bits >= 64
    rtol = (1e-10 if fine else 1e-5) if rtol is None else rtol
    atol = (1e-12 if fine else 1e-7) if atol is None else atol
    stepping = Stepping("dopri8", rtol=rtol, atol=atol, **options)
    finite = None if training is None else step_of_moments(training, ts, method)
    if finite is not None:
        return _finite_steps(reduced, finite, initial, error, throw, control)
    method = _choose_method(reduced, method, initial)
    state = _initial_state(reduced, initial, method)
    if method == "closed":
        control.check_stepped()
        solution = _closed_solution(reduced, ts, cast_floats(control.levels, reduced.dtype))
    else:
        dynamics = MomentDynamics(reduced)
        solution = integrate(dynamics, state, ts, stepping, model=reduced)
    names = (*_missing_angles(), *_missing(solution))
    certificate = certify(reduced, state, solution.ts, solution.observables)
    solution = require_complete(dataclasses.replace(solution, absent=names, certificate=certificate), throw)
    if not error:
        return solution
    other = solution
    if method != "closed":
        tighter = Stepping("dopri8", rtol=stepping.rtol / 10, atol=stepping.atol / 10, **{**options, "control": Control()})
        other = integrate(dynamics, state, reached_times(solution, ts), tighter)
    return _with_error(solution, differences(solution, other))


def _finite_steps(reduced, finite, initial, error: bool, throw: bool, control: Control) -> Solution:
    """(steps, step, steps between records) of gradient descent: no approximation but that of the floor."""
    steps, rate, every = finite
    given = {"stop": control.stop, "checkpoint": control.checkpoint, "progress": control.progress}
    solution = descend_moments(reduced, steps, rate, initial=initial, record_every=every, throw=throw, **given)
    return _with_error(solution, jax.tree.map(jnp.zeros_like, solution.observables)) if error else solution


def _with_error(solution: Solution, found: dict[str, Array]) -> Solution:
    """The solution with these errors, and with that of the floor in the risk."""
    return dataclasses.replace(solution, error={**found, "risk": found["risk"] + solution.model.floor_error})


@with_masks
def descend_moments(
    reduced: OddReduction,
    steps: Any,
    rate: Any,
    *,
    initial: Any = None,
    record_every: Any = 1,
    throw: bool = True,
    progress: bool = False,
    stop: Any = None,
    checkpoint: Any = None,
) -> Solution:
    """Gradient descent with a finite step on the moments, M ← (I + ηA) M (I + ηA): exactly what it does to a network.

    Arguments: `steps`, their number; `rate` η, the learning rate of `mf.descend(learning_rate=η)`; `initial`, moments
    [1+d, 1+d] to start from, for example `mf.moments_of(cloud)` of a cloud closed under (a, b) ↦ (−a, −b) (default:
    the start of the problem). The run is recorded at step 0 and after every `record_every` steps, at t = η·step.
    `progress` shows a bar on stderr; `stop`, a `Stop`, ends the run early; `checkpoint`, a `Checkpoints`, writes files
    from which the same call goes on.
    Returns a Solution whose states are M. It carries no certificate: the bound is one of the flow.
    Raises ArgumentError on wrong arguments, SolveError if the risk stops being finite and `throw`.
    (Derived: A is the same for all neurons, so that no other moment enters.)
    """
    control = Control(stop, checkpoint, progress)
    check_instance("reduced", reduced, OddReduction, "Build it with mf.reduce(problem).")
    steps = check_integer("steps", steps, 1, "It is the number of steps.")
    record_every = check_integer("record_every", record_every, 1, "It is the number of steps between two records.")
    if steps % record_every:
        raise argument_error("record_every", f"a divisor of steps = {steps}", record_every, "Choose one.")
    check_flags(throw=throw)
    rate = positive_number("rate", rate, "It is the step in flow time.").astype(reduced.dtype)
    state = reduced.moments(_initial_state(reduced, initial, "moments"))
    solution = iterate(MomentDescent(reduced, rate), state, steps, record_every, True, control)
    absent = (*_missing_angles(), *_missing(solution))
    return require_complete(dataclasses.replace(solution, model=reduced, absent=absent), throw)


class MomentDescent(AbstractRule):
    """M ← (I + ηA) M (I + ηA)."""

    reduction: OddReduction
    rate: Float[Array, ""]

    def prepare(self):
        """Nothing to prepare."""
        return self

    def time(self, index):
        """Flow time."""
        return self.rate * index.astype(self.rate.dtype)

    def memory(self, state):
        """None."""
        return None

    def velocity(self, index, state):
        """M' of the flow."""
        return MomentDynamics(self.reduction).velocity(self.time(index), state)

    def move(self, state, memory, velocity):
        """One step."""
        return descent_step(self.reduction, state, self.rate), memory

    def observe(self, index, state):
        """What is observed of the moments."""
        return self.reduction.observe(state)


def _choose_method(reduced: OddReduction, method: str | None, initial: Any) -> str:
    """The smallest form that holds: closed, a point of the hyperboloid, or the full moments."""
    given = None if initial is None else np.ndim(initial)
    if method is None:
        if given is None:
            return "closed" if reduced.isotropic else "hyperboloid"
        return "moments" if given == 2 else "hyperboloid"
    check_choice("method", method, METHODS)
    if method == "closed" and (given is not None or not reduced.isotropic):
        remedy = 'Leave it out, or use "hyperboloid" or "moments".'
        raise argument_error("method", "used for inputs with Σ = v I and without `initial`", method, remedy)
    if method == "hyperboloid" and given == 2:
        raise argument_error("method", '"moments" for a start given by its moments', method, "Leave it out.")
    return method


def _initial_state(reduced: OddReduction, initial: Any, method: str) -> State:
    size = reduced.dim + 1
    if initial is None:
        state = reduced.start()
    else:
        remedy = "Pass `solution.final` of an earlier run, or mf.moments_of(cloud)."
        state = float_array("initial", initial, None, remedy).astype(reduced.dtype)
        if state.shape not in ((size,), (size, size)):
            raise argument_error("initial", f"of shape ({size},) or ({size}, {size})", state.shape, remedy)
        if not is_traced(state) and not _is_admissible(np.asarray(state, float)):
            expected = "a point with p0² − |p⃗|² = 1, or symmetric moments without negative eigenvalues"
            raise argument_error("initial", expected, initial, remedy)
    return reduced.moments(state) if method == "moments" else state


def _is_admissible(state: np.ndarray) -> bool:
    if state.ndim == 1:
        return bool(abs(state[0] ** 2 - np.sum(state[1:] ** 2) - 1) < 1e-3 * state[0] ** 2)
    largest = np.abs(state).max()
    return bool(np.allclose(state, state.T, atol=1e-5 * largest) and np.linalg.eigvalsh(state)[0] >= -1e-5 * largest)


@eqx.filter_jit
def _closed_solution(reduced: OddReduction, ts: Float[Array, " T"], stop: Stop | None) -> Solution:
    states = jax.vmap(lambda t: closed_state(reduced, t))(ts)
    observables = jax.vmap(reduced.observe)(states)
    valid = jnp.isfinite(observables["risk"])
    status = Status.where(jnp.all(valid), Status.complete, Status.not_finite)
    stats = {"steps": jnp.asarray(0), "rejected": jnp.asarray(0)}
    solution = Solution(ts, observables, states[-1], states, status, valid, stats, None, reduced)
    if stop is None:
        return solution
    speed = jax.vmap(lambda t, state: relative_speed(MomentDynamics(reduced), t, state))(ts, states)
    return cut_after(solution, stop, speed)


def _missing_angles() -> tuple[tuple[str, str], ...]:
    return tuple((f"{kind}_{sign}", _ANGLE) for kind in ("alignment", "distance") for sign in ("plus", "minus"))


def _missing(solution: Solution) -> tuple[tuple[str, str], ...]:
    reasons = {"mass_plus": _MASSES, "mass_minus": _MASSES, "p0": _HYPERBOLOID}
    return tuple((name, reason) for name, reason in reasons.items() if name not in solution.observables)
