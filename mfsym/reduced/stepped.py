"""Forms that are stepped in time: how every one of them starts, runs, and becomes gradient descent."""

import abc
import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, PyTree

from ..errors import argument_error, float_array, is_traced
from ..integrate import AbstractDynamics, Stepping, cast_floats, integrate
from ..iterate import Descent, StepTimes, iterate
from ..problem.training import Training
from ..solution import Solution
from .base import AbstractForm, RunTimes


class AbstractSteppedForm(AbstractForm, AbstractDynamics):
    """A flow whose states have fixed shapes, those of its own start."""

    @abc.abstractmethod
    def initial_state(self) -> PyTree:
        """The start of the problem."""

    @abc.abstractmethod
    def admissible(self, state: PyTree) -> bool:
        """Whether a state of the right shapes, in numpy, can be started from."""

    @abc.abstractmethod
    def event(self) -> Callable[..., Array] | None:
        """Where the flow stops being unique, a function of the system and a state; None if it never does."""

    def start(self, initial: PyTree) -> PyTree:
        """The start of the problem, or a given state of the same shapes."""
        like = self.initial_state()
        if initial is None:
            return like
        expected = [leaf.shape for leaf in jax.tree.leaves(like)]
        remedy = "Pass `solution.final` of a run with the same cells (or nodes) and method."
        if isinstance(initial, np.ndarray):
            initial = float_array("initial", initial, None, remedy)
        alike = jax.tree.structure(initial) == jax.tree.structure(like)
        if not alike or [np.shape(leaf) for leaf in jax.tree.leaves(initial)] != expected:
            raise argument_error("initial", f"a state with arrays of shapes {expected}", initial, remedy)
        if not any(map(is_traced, jax.tree.leaves(initial))) and not self.admissible(_on_host(initial)):
            raise argument_error("initial", "finite, with densities that are not negative", initial, remedy)
        return cast_floats(initial, jax.tree.leaves(like)[0].dtype)

    def run(self, state: PyTree, ts: RunTimes, stepping: Stepping, training: Training | None) -> Solution:
        """The record of the flow, or of gradient descent where the training has a step."""
        if training is not None and training.step is not None:
            assert isinstance(ts, StepTimes)
            rule = Descent(self, training.step, training.momentum, training.schedule)
            run = iterate(rule, state, ts, True, stepping.control, stepping.max_steps, self.reduction)
            return dataclasses.replace(run, clock=rule.clock)
        assert not isinstance(ts, StepTimes)
        return integrate(self, state, ts, stepping, self.reduction, self.event())

    def chooses_steps(self, training: Training | None) -> bool:
        """Unless their length is given."""
        return training is None or training.step is None

    def certificate(self, state: PyTree, solution: Solution) -> None:
        """Nothing is proved."""


def _on_host(state: PyTree) -> PyTree:
    """In numpy: inside jit constants would be traced."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, float), state)
