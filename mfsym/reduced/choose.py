"""Which form of the equation a training leaves: the angle with its mass, or the labels of every neuron."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..errors import argument_error, check_instance, is_traced, no_reduction
from ..problem.training import Training
from .blocks.grid import BlockGridDynamics
from .blocks.labels import BlockLabelDynamics
from .blocks.quotient import BlockReduction
from .characteristics import CharacteristicDynamics
from .labels import LabelDynamics
from .moments import OddReduction
from .quotient import AngleReduction
from .transport import GridDynamics, Pace

AngleDynamics = CharacteristicDynamics | GridDynamics | LabelDynamics
_LABELS = 'Use method="characteristics", which follows every neuron by its label.'
_NO_OPTIMISER = (
    "an optimiser that acts coordinate by coordinate (Adam, sign updates, clipping) does not commute with rotations, "
    "so that the angle alone does not follow the neurons"
)


def check_training(training: Any) -> Training:
    """A Training; refuses optimisers, saying why."""
    if hasattr(training, "init") and hasattr(training, "update"):
        raise no_reduction(_NO_OPTIMISER, "Use mf.Training(step=, momentum=), or `descend` with the optimiser.")
    return check_instance("training", training, Training, "Use mf.Training().")


def step_of_moments(training: Training, ts: Any, method: str | None) -> tuple[int, Any, int] | None:
    """(steps, step, steps between records) of gradient descent on the moments of an odd target; None for the flow."""
    if not training.is_default(but_steps=True):
        reason = "the moment equation of an odd target is that of layers with rate 1, without decay or momentum"
        raise no_reduction(reason, "Use `solve_particles` with this training.")
    if training.step is None:
        return None
    if method not in (None, "moments"):
        raise argument_error("method", '"moments" for finite steps', method, "Finite steps leave the hyperboloid.")
    remedy = "Pass for example step * jnp.arange(0, 101, 10)."
    if any(map(is_traced, (training.step, ts))):
        raise argument_error("ts", "known when steps are counted", ts, remedy)
    counts = np.asarray(ts, float) / float(training.step)
    whole = np.rint(counts).astype(int)
    if np.any(np.abs(counts - whole) > 1e-6 * np.maximum(whole, 1)) or np.any(np.diff(whole) != whole[1]):
        raise argument_error("ts", f"equally spaced multiples of the step {float(training.step):g}", ts, remedy)
    return int(whole[-1]), training.step, int(whole[1])


def decided_by_values(reduced: Any, method: str | None, training: Training | None) -> bool:
    """Whether the form of the equation depends on numbers, which a batch of reductions does not show.

    They are the number of finite steps of an odd target, and the balance of a start that is to live on a grid.
    """
    if isinstance(reduced, OddReduction):
        return training is not None and training.step is not None
    return isinstance(reduced, AngleReduction) and not reduced.labels.balanced and method != "characteristics"


def dynamics_of(reduced: AngleReduction | BlockReduction, method: str, training: Training | None, tolerance: Any):
    """The system that a method integrates. `tolerance` is the absolute one, below which a label counts as b = 0.

    Raises NoReductionError where a grid of angles cannot hold the training.
    """
    if isinstance(reduced, BlockReduction):
        return _block_dynamics(reduced, method, training)
    return _angle_dynamics(reduced, method, training, tolerance)


def _block_dynamics(reduced: BlockReduction, method: str, training: Training | None):
    if method == "upwind":
        raise argument_error("method", "'grid' or 'characteristics' in several angles", method, "Choose one of these.")
    if training is not None and not training.is_default():
        reason = "in several angles only the flow with both layers at rate 1 is there"
        raise no_reduction(reason, "Use `solve_particles` with this training.")
    return BlockLabelDynamics(reduced) if method == "characteristics" else BlockGridDynamics(reduced)


def _angle_dynamics(reduced: AngleReduction, method: str, training: Training | None, tolerance: Any) -> AngleDynamics:
    training = None if training is None and reduced.labels.balanced else (training or Training())
    obstacle = None if training is None else _obstacle(reduced, training)
    if obstacle is None:
        pace = None if training is None else _pace(training)
        if method == "characteristics":
            return CharacteristicDynamics(reduced, pace)
        return GridDynamics(reduced, half_width=0 if method == "upwind" else 2, pace=pace)
    if method != "characteristics":
        raise no_reduction(f"on a grid of angles {obstacle}", _LABELS)
    assert training is not None
    rates = jnp.stack([training.rate_a.astype(reduced.dtype), training.rate_b.astype(reduced.dtype)])
    return LabelDynamics(reduced, rates, training.weight_decay, _threshold(reduced, tolerance))


def _obstacle(reduced: AngleReduction, training: Training) -> str | None:
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


def _starts_in_balance(reduced: AngleReduction, training: Training) -> bool:
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


def _single(reduced: AngleReduction) -> bool:
    return jnp.finfo(reduced.dtype).bits < 64


def _pace(training: Training) -> Pace:
    # Neurons in balance grow like c' = 2 √(rate_a rate_b) ε c G; with weight decay the rates are equal.
    rate = training.rate_a if training.same_rates else jnp.sqrt(training.rate_a) * jnp.sqrt(training.rate_b)
    return Pace(rate, training.weight_decay)


def _threshold(reduced: AngleReduction, tolerance: Any) -> Any:
    """The ratio ‖b‖/|a|, and the |a|, that time steps of a given absolute error cannot tell from 0, [2]."""
    law, eps = reduced.labels, jnp.finfo(reduced.dtype).eps
    smallest = jnp.min(law.inner / jnp.maximum(law.outer, law.inner))
    error = jnp.maximum(100 * jnp.asarray(tolerance, reduced.dtype), np.sqrt(eps))
    return error * jnp.stack([smallest.astype(reduced.dtype), jnp.ones((), reduced.dtype)])
