"""Equations with a solution in closed form: all of the record at once, with its stop."""

import abc

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..control import cut_after
from ..errors import argument_error
from ..integrate import Stepping, cast_floats
from ..problem.training import Training
from ..solution import Solution, Status
from .base import AbstractForm, RunTimes


class AbstractClosedForm(AbstractForm):
    """States as a known function of time, from the start of the problem alone."""

    @abc.abstractmethod
    def record(self, ts: Float[Array, " T"]) -> tuple[PyTree, dict[str, Array]]:
        """States and observables at all times, with a leading axis T."""

    @abc.abstractmethod
    def speed(self, ts: Float[Array, " T"], states: PyTree) -> Float[Array, " T"]:
        """‖z'‖/‖z‖, which rules of `stop` look at."""

    @abc.abstractmethod
    def initial_state(self) -> PyTree:
        """The start of the problem."""

    def start(self, initial: PyTree) -> PyTree:
        """The start of the problem."""
        if initial is not None:
            remedy = "The closed solution starts from the start of the problem."
            raise argument_error("initial", "left out where no angle is left", initial, remedy)
        return self.initial_state()

    def run(self, state: PyTree, ts: RunTimes, stepping: Stepping, training: Training | None) -> Solution:
        """All of the record at once; nothing is stepped."""
        control = stepping.control
        control.check_stepped()
        assert isinstance(ts, jax.Array)
        control.observers.check_record(self.record, ts)
        states, observables = self.record(ts)
        observables = observables | control.observers.of_all(states)
        valid = jnp.isfinite(observables["risk"])
        stats = {"steps": jnp.asarray(0), "rejected": jnp.asarray(0)}
        status = Status.where(jnp.all(valid), Status.complete, Status.not_finite)
        final = jax.tree.map(lambda leaf: leaf[-1], states)
        solution = Solution(ts, observables, final, states, status, valid, stats, None, self.reduction)
        if control.levels is None:
            return solution
        speed = self.speed(ts, states)
        return cut_after(solution, cast_floats(control.levels, speed.dtype), speed)

    def chooses_steps(self, training: Training | None) -> bool:
        """There are none."""
        return False
