"""Solvers of the moment equation: the flow, its closed solution, and gradient descent with finite steps."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...control import Checkpoints, Control, Stop
from ...errors import (
    Words,
    argument_error,
    check_flags,
    check_instance,
    check_integer,
    float_array,
    is_traced,
    positive_number,
)
from ...integrate import AbstractDynamics, integrate, relative_speed, require_complete
from ...iterate import AbstractRule, StepTimes, iterate, times_of_every
from ...solution import Solution, with_masks
from ...types import Checked, IntLike, Observe, RealArrayLike, RealLike
from ..base import AbstractForm, Atoms
from ..closed import AbstractClosedForm
from .certificate import certify
from .moments import OddReduction, State, boost, closed_state, descent_step

_HIGHEST = jax.lax.Precision.HIGHEST


class AbstractMomentForm(AbstractForm):
    """An equation for a point of the hyperboloid, or for the moments themselves."""

    reduction: eqx.AbstractVar[OddReduction]

    def atoms(self, state: State) -> Atoms:
        """Refused."""
        raise argument_error("solution", "one with an angle", Words("one by moments"), "Moments keep no law of the angles.")

    def predict(self, state: State, x: Float[Array, "rows d"]) -> Float[Array, " rows"]:
        """w·x."""
        return jnp.matmul(x.astype(self.reduction.dtype), self.reduction.predictor(state), precision=_HIGHEST)


class MomentDynamics(AbstractMomentForm, AbstractDynamics):
    """p' of a point [1+d] of the hyperboloid, or M' of second moments [1+d, 1+d], from which it starts if `full`."""

    reduction: OddReduction
    full: bool = eqx.field(static=True, default=False)

    def prepare(self):
        """Nothing to tabulate."""
        return self

    def velocity(self, t, state):
        """κ (y·p⃗, p0 y), or A M + M A."""
        y = self.reduction.odd_slope * self.reduction.force(self.reduction.predictor(state))
        if state.ndim == 1:
            return jnp.concatenate([jnp.sum(y * state[1:])[None], y * state[0]])
        turned = boost(y, state)
        return turned + turned.T

    def observe(self, t, state):
        """See `OddReduction.observe`."""
        return self.reduction.observe(state)

    def largest_step(self, state):
        """No bound: every state is admissible."""
        return jnp.asarray(jnp.inf, state.dtype)

    def start(self, initial):
        """(1, 0), or a given point or moments."""
        return _initial_state(self.reduction, initial, self.full)

    def run(self, state, ts, stepping, training):
        """The flow."""
        assert not isinstance(ts, StepTimes)
        return integrate(self, state, ts, stepping, model=self.reduction)

    def chooses_steps(self, training):
        """Yes."""
        return True

    def certificate(self, state, solution):
        """The exponential bound."""
        return certify(self.reduction, state, solution.ts, solution.observables)


class ClosedMoments(AbstractMomentForm, AbstractClosedForm):
    """Points of the hyperboloid in closed form, for isotropic inputs."""

    reduction: OddReduction

    def initial_state(self):
        """(1, 0)."""
        return self.reduction.start()

    def record(self, ts):
        """Points at all times."""
        return _closed_record(self.reduction, ts)

    def speed(self, ts, states):
        """That of the flow."""
        return jax.vmap(lambda t, state: relative_speed(MomentDynamics(self.reduction), t, state))(ts, states)

    def certificate(self, state, solution):
        """The exponential bound."""
        return certify(self.reduction, state, solution.ts, solution.observables)


class MomentSteps(AbstractMomentForm):
    """Gradient descent on the moments: no approximation but that of the floor."""

    reduction: OddReduction

    def start(self, initial):
        """The moments of the problem, or given ones."""
        return _initial_state(self.reduction, initial, True)

    def run(self, state, ts, stepping, training):
        """All steps, as `descend_moments`."""
        assert training is not None and training.step is not None and isinstance(ts, StepTimes)
        rule = MomentDescent(self.reduction, training.step)
        return iterate(rule, state, ts, True, stepping.control, stepping.max_steps, self.reduction)

    def chooses_steps(self, training):
        """No."""
        return False

    def certificate(self, state, solution):
        """The bound is one of the flow."""


@with_masks
def descend_moments(
    reduced: OddReduction,
    steps: IntLike,
    rate: RealLike,
    *,
    initial: RealArrayLike | None = None,
    record_every: IntLike = 1,
    throw: bool = True,
    progress: bool = False,
    stop: Checked[Stop] | None = None,
    checkpoint: Checked[Checkpoints] | None = None,
    observe: Observe | None = None,
) -> Solution:
    """Gradient descent with a finite step on the moments, M ← (I + ηA) M (I + ηA): exactly what it does to a network.

    Arguments: `steps`, their number; `rate` η, the learning rate of `mf.descend(learning_rate=η)`; `initial`, moments
    [1+d, 1+d] to start from, for example `mf.moments_of(cloud)` of a cloud closed under (a, b) ↦ (−a, −b) (default:
    the start of the problem). The run is recorded at step 0 and after every `record_every` steps, at t = η·step.
    `progress` shows a bar on stderr; `stop`, a `Stop`, ends the run early; `checkpoint`, a `Checkpoints`, writes files
    from which the same call goes on; `observe`, a dict from names to functions of M, records what each returns, [T, …].
    Returns a Solution whose states are M. It carries no certificate: the bound is one of the flow.
    Raises ArgumentError on wrong arguments, SolveError if the risk stops being finite and `throw`.
    (Derived: A is the same for all neurons, so that no other moment enters.)
    """
    control = Control(stop, checkpoint, progress, observe)
    check_instance("reduced", reduced, OddReduction, "Build it with mf.reduce(problem).")
    steps = check_integer("steps", steps, 1, "It is the number of steps.")
    record_every = check_integer("record_every", record_every, 1, "It is the number of steps between two records.")
    times = times_of_every(steps, record_every)
    check_flags(throw=throw)
    rule = MomentDescent(reduced, positive_number("rate", rate, "It is the step in flow time."))
    solution = iterate(rule, _initial_state(reduced, initial, True), times, True, control, model=reduced)
    return require_complete(dataclasses.replace(solution, absent=reduced.absent(solution.observables)), throw)


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


def _initial_state(reduced: OddReduction, initial: RealArrayLike | None, full: bool) -> State:
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
    return reduced.moments(state) if full else state


def _is_admissible(state: np.ndarray) -> bool:
    if state.ndim == 1:
        return bool(abs(state[0] ** 2 - np.sum(state[1:] ** 2) - 1) < 1e-3 * state[0] ** 2)
    largest = np.abs(state).max()
    return bool(np.allclose(state, state.T, atol=1e-5 * largest) and np.linalg.eigvalsh(state)[0] >= -1e-5 * largest)


@eqx.filter_jit
def _closed_record(reduced: OddReduction, ts: Float[Array, " T"]) -> tuple[Float[Array, "T n"], dict[str, Array]]:
    states = jax.vmap(lambda t: closed_state(reduced, t))(ts)
    return states, jax.vmap(reduced.observe)(states)
