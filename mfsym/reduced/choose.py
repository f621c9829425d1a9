"""Which form of an equation a method and a training leave: masses at angles, labels of every neuron, moments, or none."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, is_traced, no_reduction
from ..problem.training import Training
from ..types import RealLike
from .angles.angular import AbstractAngularReduction
from .angles.characteristics import CharacteristicDynamics
from .angles.forms import AbstractDensityForm
from .angles.labels import LabelDynamics
from .angles.pace import Pace
from .base import AbstractForm, AbstractReduction
from .line.angle_reduction import AngleReduction
from .line.transport import GridDynamics
from .odd.moment_flow import ClosedMoments, MomentDynamics, MomentSteps
from .odd.moments import OddReduction
from .orbits.dynamics import OrbitDynamics
from .orbits.quotient import OrbitReduction
from .point import PointForm, PointReduction
from .several.block_reduction import BlockReduction
from .several.tensor_grid import BlockGridDynamics

_LABELS = 'Use method="characteristics", which follows every neuron by its label.'


@functools.singledispatch
def dynamics_of(reduced: object, method: str, training: Training | None, tolerance: RealLike) -> AbstractForm:
    """The form of the equation that a method solves, with one registration for every kind of reduction.

    `tolerance` is the absolute one, below which a label counts as b = 0. Raises NoReductionError where the form cannot
    hold the training.
    """
    raise argument_error("reduced", "a reduction", reduced, "Build it with mf.reduce(problem).")


@functools.singledispatch
def forms_of(reduced: object) -> tuple[AbstractForm, ...]:
    """All forms of the equation of a reduction, for reading their states."""
    raise argument_error("reduced", "a reduction", reduced, "Build it with mf.reduce(problem).")


def form_of(reduced: AbstractReduction, state: PyTree) -> Any:
    """The form to which a state belongs: the first one whose own states have its structure."""
    structure = jax.tree.structure(state)
    for form in forms_of(reduced):
        if jax.tree.structure(jax.eval_shape(lambda form=form: form.start(None))) == structure:
            return form
    raise argument_error("solution", "one of a reduced problem", Words(f"one with states {structure}"), "Solve it anew.")


@dynamics_of.register
def _(reduced: OddReduction, method: str, training: Training | None, tolerance: RealLike):
    if training is not None and not training.is_default(but_steps=True):
        reason = "the moment equation of an odd target is that of layers with rate 1, without decay, momentum or schedule"
        raise no_reduction(reason, "Use `solve_particles` with this training.")
    if training is not None and training.step is not None:
        return MomentSteps(reduced)
    return ClosedMoments(reduced) if method == "closed" else MomentDynamics(reduced, full=method == "moments")


@forms_of.register
def _(reduced: OddReduction):
    return (MomentDynamics(reduced),)


@dynamics_of.register
def _(reduced: OrbitReduction, method: str, training: Training | None, tolerance: RealLike):
    training = Training() if training is None else training
    return OrbitDynamics(reduced, jnp.stack([training.rate_a, training.rate_b]).astype(reduced.dtype), training.weight_decay)


@forms_of.register
def _(reduced: OrbitReduction):
    return (OrbitDynamics(reduced, jnp.zeros(2, reduced.dtype), jnp.zeros((), reduced.dtype)),)


@dynamics_of.register
def _(reduced: PointReduction, method: str, training: Training | None, tolerance: RealLike):
    if training is None:
        return PointForm(reduced, jnp.ones((), reduced.dtype))
    if training.step is not None or training.decays or not training.same_rates:
        reason = "with H the whole space only the closed solution of the flow at equal rates, without weight decay, is here"
        raise no_reduction(reason)
    return PointForm(reduced, training.rate_a.astype(reduced.dtype))


@dynamics_of.register
def _(reduced: AbstractAngularReduction, method: str, training: Training | None, tolerance: RealLike):
    """The balanced form where the mass at an angle determines the neurons there, else labels of every neuron."""
    if method not in reduced.methods:
        raise no_reduction("the tables of a grid of several angles are those of isotropic inputs", _LABELS)
    training = None if training is None and reduced.labels.balanced else (training or Training())
    obstacle = None if training is None else _obstacle(reduced, training)
    if obstacle is None:
        pace = None if training is None else _pace(training)
        return CharacteristicDynamics(reduced, pace) if method == "characteristics" else grid_of(reduced, method, pace)
    if method != "characteristics":
        raise no_reduction(f"on a grid of angles {obstacle}", _LABELS)
    assert training is not None
    rates = jnp.stack([training.rate_a.astype(reduced.dtype), training.rate_b.astype(reduced.dtype)])
    return LabelDynamics(reduced, rates, training.weight_decay, _threshold(reduced, tolerance))


@forms_of.register
def _(reduced: AbstractAngularReduction):
    nothing = jnp.zeros(2, reduced.dtype)  # labels that are read and not moved
    labels = LabelDynamics(reduced, nothing, nothing[0], nothing)
    return grid_of(reduced, "grid", None), CharacteristicDynamics(reduced), labels


@functools.singledispatch
def grid_of(reduced: AbstractAngularReduction, method: str, pace: Pace | None) -> AbstractDensityForm:
    """The flow of densities on the grid of a reduction."""
    raise NotImplementedError(type(reduced))


@grid_of.register
def _(reduced: BlockReduction, method: str, pace: Pace | None):
    return BlockGridDynamics(reduced, pace=pace)


@grid_of.register
def _(reduced: AngleReduction, method: str, pace: Pace | None):
    return GridDynamics(reduced, half_width=0 if method == "upwind" else 2, pace=pace)


@forms_of.register
def _(reduced: PointReduction):
    return (PointForm(reduced, jnp.ones((), reduced.dtype)),)


def _obstacle(reduced: AbstractAngularReduction, training: Training) -> str | None:
    """Why the mass at an angle does not determine the neurons there; None if it does."""
    if training.step is not None:
        return "a finite step cannot be followed: it breaks the balance |a| = ‖b‖ and moves mass by jumps"
    if not _starts_in_balance(reduced, training):
        law, rates = reduced.labels, (training.rate_a, training.rate_b)
        if law.balanced and not training.same_rates:
            given = "" if any(map(is_traced, rates)) else f" ({float(rates[0]):g} and {float(rates[1]):g})"
            return f"the layers must learn at equal rates{given}: only then |a| = ‖b‖ lasts and the mass determines both"
        return "the start must be balanced, a²/rate_a = ‖b‖²/rate_b: otherwise the mass does not determine a and ‖b‖"
    if training.decays and not training.same_rates:
        return "weight decay breaks the balance a²/rate_a = ‖b‖²/rate_b of layers with unequal rates"
    return None


def _starts_in_balance(reduced: AbstractAngularReduction, training: Training) -> bool:
    """Whether a²/rate_a = ‖b‖²/rate_b is known to hold for every label, with positive rates."""
    law, rates = reduced.labels, (training.rate_a, training.rate_b)
    if law.balanced:
        return training.same_rates
    if any(map(is_traced, (*rates, law.outer, law.inner))):
        return False
    outer, inner = np.asarray(law.outer, float) ** 2, np.asarray(law.inner, float) ** 2
    if min(map(float, rates)) == 0:
        return False
    return bool(np.allclose(outer * float(rates[1]), inner * float(rates[0]), rtol=1e-5 if _single(reduced) else 1e-12))


def _single(reduced: AbstractAngularReduction) -> bool:
    return jnp.finfo(reduced.dtype).bits < 64


def _pace(training: Training) -> Pace:
    # Neurons in balance grow like c' = 2 √(rate_a rate_b) ε c G; with weight decay the rates are equal.
    rate = training.rate_a if training.same_rates else jnp.sqrt(training.rate_a) * jnp.sqrt(training.rate_b)
    return Pace(rate, training.weight_decay)


def _threshold(reduced: AbstractAngularReduction, tolerance: RealLike) -> Float[Array, " 2"]:
    """The ratio ‖b‖/|a|, and the |a|, that time steps of a given absolute error cannot tell from 0, [2]."""
    law, eps = reduced.labels, jnp.finfo(reduced.dtype).eps
    smallest = jnp.min(law.inner / jnp.maximum(law.outer, law.inner))
    error = jnp.maximum(100 * jnp.asarray(tolerance, reduced.dtype), np.sqrt(eps))
    return error * jnp.stack([smallest.astype(reduced.dtype), jnp.ones((), reduced.dtype)])
