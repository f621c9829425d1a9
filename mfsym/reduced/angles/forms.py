"""What a form of an equation on angles is asked for: flows of labels, and flows of densities on a grid."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...errors import argument_error, float_array, is_traced
from ...integrate import AbstractDynamics, Stepping, cast_floats, integrate
from ...iterate import Descent, StepTimes, iterate
from ...problem.training import Training
from ...solution import Solution
from ..base import AbstractForm, RunTimes
from .angular import AbstractAngularReduction

_ROUND_OFF = 1e-6  # of the largest density: what a state in float32 may be below 0


class AbstractAngularDynamics(AbstractForm, AbstractDynamics):
    """A flow of τ^± on k ≥ 1 angles, or of neurons that have them.

    `balanced` says whether |a| = ‖b‖ for every neuron, so that masses say all; `has_density`, whether states are densities.
    """

    reduction: eqx.AbstractVar[AbstractAngularReduction]
    has_density: eqx.AbstractClassVar[bool]
    balanced: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def initial_state(self) -> PyTree:
        """The start of the problem."""

    @abc.abstractmethod
    def admissible(self, state: PyTree) -> bool:
        """Whether a state of the right shapes, in numpy, can be started from."""

    @abc.abstractmethod
    def event(self) -> Callable[..., Array] | None:
        """Where the flow stops being unique, a function of the system and a state; None if it never does."""

    @abc.abstractmethod
    def network(self, state: PyTree) -> Float[Array, " M"]:
        """Coefficients of the predictor of a state, see `AbstractAngularReduction.network`; of a prepared system."""

    @abc.abstractmethod
    def density(self, state: PyTree, angles: Float[Array, "n k"]) -> Float[Array, "2 n"]:
        """Densities of τ⁺ and τ⁻ per unit of the angles; refused by systems of labels, which have none."""

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
            rule = Descent(self, training.step, training.momentum)
            run = iterate(rule, state, ts, True, stepping.control, stepping.max_steps, self.reduction)
            return dataclasses.replace(run, clock=rule.clock)
        assert not isinstance(ts, StepTimes)
        return integrate(self, state, ts, stepping, self.reduction, self.event())

    def chooses_steps(self, training: Training | None) -> bool:
        """Unless their length is given."""
        return training is None or training.step is None

    def certificate(self, state: PyTree, solution: Solution) -> None:
        """Nothing is proved."""


class AbstractLabelForm(AbstractAngularDynamics):
    """Neurons followed by their labels: atoms, without a density."""

    has_density: ClassVar[bool] = False

    def largest_step(self, state: PyTree) -> Float[Array, ""]:
        """No bound: nothing here can become negative."""
        return jnp.asarray(jnp.inf, self.reduction.dtype)

    def observe(self, t: Float[Array, ""], state: PyTree) -> dict[str, Array]:
        """What the atoms show."""
        return self.reduction.observe_atoms(self.atoms(state))

    def predict(self, state: PyTree, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f(x) of the atoms."""
        return self.reduction.predict_atoms(self.atoms(state), x)

    def network(self, state: PyTree) -> Float[Array, " M"]:
        """That of the atoms."""
        atoms = self.atoms(state)
        return self.reduction.network(atoms.scattered(), atoms.signed())

    def density(self, state: PyTree, angles: Float[Array, "n k"]) -> Float[Array, "2 n"]:
        """Refused."""
        raise argument_error("solution", "one on a grid", "one by characteristics", 'Solve with method="grid".')


class AbstractDensityForm(AbstractAngularDynamics):
    """Densities of τ⁺ and τ⁻ on a grid of neurons in balance."""

    has_density: ClassVar[bool] = True
    balanced: ClassVar[bool] = True

    def admissible(self, state: PyTree) -> bool:
        """Finite, and not negative but for rounding."""
        return bool(np.all(np.isfinite(state)) & (np.min(state) >= -_ROUND_OFF * np.max(state)))

    def event(self) -> None:
        """None: the flow of densities is unique."""


def _on_host(state: PyTree) -> PyTree:
    """In numpy: inside jit constants would be traced."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, float), state)
