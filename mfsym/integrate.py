"""Time stepping, the only file that calls diffrax: pytree velocities, saving, step control, the jit boundary."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .errors import SolveError, check_choice, check_flags, check_increasing, check_integer, is_traced, positive_number
from .solution import Solution, Status


class AbstractDynamics(eqx.Module):
    """A system z' = velocity(t, z) with things to observe. Arrays in it are leaves: changing them never retraces."""

    @abc.abstractmethod
    def prepare(self) -> "AbstractDynamics":
        """The same system with every table that the velocity needs; called once per run, compiled with it."""

    @abc.abstractmethod
    def velocity(self, t: Float[Array, ""], state: PyTree) -> PyTree:
        """z'."""

    @abc.abstractmethod
    def observe(self, t: Float[Array, ""], state: PyTree) -> dict[str, Array]:
        """Observables of a state; must contain `risk`."""

    @abc.abstractmethod
    def largest_step(self, state: PyTree) -> Float[Array, ""]:
        """Largest explicit Euler step that keeps the state admissible; infinite if there is no such bound."""


def _ten_stages() -> np.ndarray:
    """Runge–Kutta matrix of the ten-stage method: Euler steps of a sixth, with a convex combination after the fifth."""
    matrix = np.tril(np.full((10, 10), 1 / 6), -1)
    matrix[5:, :5] = 1 / 15
    return matrix


class SSPRK104(diffrax.AbstractERK):
    """Ten-stage fourth-order strong-stability-preserving Runge–Kutta method (Ketcheson 2008), coefficient 6.

    Every stage is a convex combination of Euler steps of a sixth of the step, so what Euler steps keep (positivity) is
    kept with steps six times as long. The embedded third-order weights are those of Conde, Fekete & Shadid (2018).
    """

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        c=_ten_stages().sum(axis=1)[1:],
        a_lower=tuple(_ten_stages()[i, :i] for i in range(1, 10)),
        b_sol=np.full(10, 1 / 10),
        b_error=1 / 10 - np.array([1 / 5, 0, 0, 3 / 10, 0, 0, 1 / 5, 0, 3 / 10, 0]),
    )
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        """4."""
        return 4


_SOLVERS = {"ssprk104": SSPRK104, "tsit5": diffrax.Tsit5, "dopri8": diffrax.Dopri8, "euler": diffrax.Euler}
_SSP_COEFFICIENT = {"ssprk104": 6.0}
_CFL_SAFETY = 0.9  # the admissible step is measured at the start of a step and moves during it
_ADJOINTS = {"reverse": diffrax.RecursiveCheckpointAdjoint, "forward": diffrax.ForwardMode}


class _LandingController(diffrax.AbstractAdaptiveStepSizeController):
    """Error control that lands on every save time and never exceeds the admissible step.

    The way to the next save time is divided evenly, so that no tiny step is left over; interpolation, which could
    make a density negative, is never used.
    """

    error_control: diffrax.PIDController
    save_times: Float[Array, " T"]
    ssp_coefficient: float = eqx.field(static=True)

    def __init__(self, error_control: diffrax.PIDController, save_times: Array, ssp_coefficient: float):
        self.error_control, self.save_times, self.ssp_coefficient = error_control, save_times, ssp_coefficient

    @property
    def rtol(self):
        return self.error_control.rtol

    @property
    def atol(self):
        return self.error_control.atol

    @property
    def norm(self):
        return self.error_control.norm

    def wrap(self, direction):
        return eqx.tree_at(lambda c: c.error_control, self, self.error_control.wrap(direction))

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        end, state = self.error_control.init(terms, t0, t1, y0, dt0, args, func, error_order)
        return self._end(t0, end - t0, y0, args), state

    def adapt_step_size(self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state):
        keep, next_t0, next_t1, jump, state, result = self.error_control.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
        )
        start = jax.tree.map(lambda old, new: jnp.where(keep, new, old), y0, y1_candidate)
        return keep, next_t0, self._end(next_t0, next_t1 - next_t0, start, args), jump, state, result

    def _end(self, t, step, state, dynamics):
        limit = self.ssp_coefficient * _CFL_SAFETY * dynamics.largest_step(jax.lax.stop_gradient(state))
        step = jax.lax.stop_gradient(jnp.minimum(step, limit.astype(step.dtype)))
        index = jnp.minimum(jnp.searchsorted(self.save_times, t, side="right"), len(self.save_times) - 1)
        save = self.save_times[index]
        pieces = jnp.ceil((save - t) / step)
        after = 1e-12 * self.save_times[-1]  # beyond the last save time there has to be some step, in any unit of time
        return jnp.where(pieces > 1, t + (save - t) / jnp.maximum(pieces, 1), jnp.maximum(save, t + after))


class Stepping(eqx.Module):
    """How to step: a Runge–Kutta method by name, tolerances or a fixed step, and the mode of differentiation."""

    method: str = eqx.field(static=True)
    rtol: Float[Array, ""]
    atol: Float[Array, ""]
    step: Float[Array, ""] | None
    derivative: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    progress: bool = eqx.field(static=True)
    save_states: bool = eqx.field(static=True)

    def __init__(
        self, method, *, rtol, atol, step=None, derivative="reverse", max_steps=65536, progress=False, save_states=True
    ):
        self.method = check_choice("method", method, tuple(_SOLVERS))
        self.rtol = positive_number("rtol", rtol, "It is the relative tolerance of one step.")
        self.atol = positive_number("atol", atol, "It is the absolute tolerance of one step.")
        self.step = None if step is None else positive_number("step", step, "It is the fixed step in flow time.")
        self.derivative = check_choice("derivative", derivative, tuple(_ADJOINTS))
        self.max_steps = check_integer("max_steps", max_steps, 1, "It bounds the number of steps of a run.")
        check_flags(progress=progress, save_states=save_states)
        self.progress, self.save_states = bool(progress), bool(save_states)


def integrate(
    dynamics: AbstractDynamics,
    state: PyTree,
    ts: Float[Array, " T"],
    stepping: Stepping,
    model: PyTree = None,
    not_unique: Callable[[Any, PyTree], Array] | None = None,
) -> Solution:
    """Run a system from ts[0] to ts[-1] in one compiled loop and record it at `ts` [T].

    The floating type is the state's: times, tables and leaves are cast to it. `not_unique(dynamics, state)` tells
    states from which the system has more than one future: the run ends there with that status, at the time
    `stats["stopped_at"]`. The returned Solution may have ended early; `require_complete` raises in that case.
    """
    dtype = jnp.result_type(*jax.tree.leaves(state))
    dynamics, state, ts, stepping = cast_floats((dynamics, state, ts, stepping), dtype)
    check_increasing(ts)
    observables, states, final, stats, status, valid = _run(dynamics, state, ts, stepping, not_unique)
    return Solution(ts, observables, final, states, status, valid, stats, None, model)


@eqx.filter_jit
def _run(dynamics, state, ts, stepping, not_unique):
    dynamics = dynamics.prepare()
    ssp = _SSP_COEFFICIENT.get(stepping.method)
    if stepping.step is not None:
        controller, first_step = diffrax.ConstantStepSize(), stepping.step
    else:
        control = diffrax.PIDController(stepping.rtol, stepping.atol, dtmin=1e-13 * ts[-1], force_dtmin=False, factormax=5.0)
        controller = _LandingController(control, ts, ssp or 1.0)
        # A guess that error control mends at once: a search for the first step would compile the velocity twice more.
        first_step = jax.lax.stop_gradient(dynamics.largest_step(state)) if ssp else 0.01 * ts[1]

    def record(t, y, dynamics):
        return dynamics.observe(t, y), y if stepping.save_states else None

    save = {"record": diffrax.SubSaveAt(ts=ts, fn=record), "end": diffrax.SubSaveAt(t1=True, fn=lambda t, y, _: (t, y))}
    stop = None if not_unique is None else diffrax.Event(lambda t, y, args, **_: not_unique(args, y))
    out = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: args.velocity(t, y)),
        _SOLVERS[stepping.method](),
        ts[0],
        ts[-1],
        first_step,
        state,
        dynamics,
        saveat=diffrax.SaveAt(subs=save),
        stepsize_controller=controller,
        adjoint=_ADJOINTS[stepping.derivative](),
        max_steps=stepping.max_steps,
        throw=False,
        event=stop,
        progress_meter=diffrax.TqdmProgressMeter() if stepping.progress else diffrax.NoProgressMeter(),
    )
    dtype = jnp.result_type(*jax.tree.leaves(state))
    saved = cast_floats(dict(out.ys or {}), dtype)
    observables, states = saved["record"]
    end, final = jax.tree.map(lambda leaf: leaf[-1], saved["end"])
    stats = {"steps": out.stats["num_accepted_steps"], "rejected": out.stats["num_rejected_steps"]}
    if not_unique is not None:
        stats["stopped_at"] = end
    valid = jnp.isfinite(observables["risk"])
    return observables, states, final, stats, _status(out.result, valid), valid


def _status(result, valid):
    early = Status.where(result == diffrax.RESULTS.max_steps_reached, Status.max_steps, Status.step_too_small)
    early = Status.where(result == diffrax.RESULTS.event_occurred, Status.not_unique, early)
    complete = Status.where(jnp.all(valid), Status.complete, Status.not_finite)
    return Status.where(result == diffrax.RESULTS.successful, complete, early)


def cast_floats(tree: PyTree, dtype: Any) -> PyTree:
    """Every floating leaf in one dtype, none weakly typed.

    Otherwise diffrax would promote a float32 state by float64 times, and equal runs would be compiled twice.
    """

    def cast(leaf):
        floating = eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(dtype) if floating and (leaf.dtype != dtype or leaf.weak_type) else leaf

    return jax.tree.map(cast, tree)


def require_complete(solution: Solution, throw: bool) -> Solution:
    """The solution, or SolveError carrying it if it ended early and can be inspected (not under jit, vmap, grad)."""
    leaves = jax.tree.leaves((solution.status, solution.valid))
    if throw and not any(is_traced(leaf) for leaf in leaves) and not bool(jnp.all(solution.succeeded)):
        raise SolveError(f"{solution.sentence()} What was computed is in `.solution` of this error.", solution)
    return solution
