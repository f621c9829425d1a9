"""Discrete descent of a cloud with any optimiser."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ..control import Checkpoints, Control, Stop
from ..errors import Words, argument_error, check_flags, check_instance, check_integer, positive_number
from ..groups import Action
from ..integrate import require_complete
from ..iterate import Descent, OptimisedDescent, iterate, times_of_every
from ..problem.problem import Problem
from ..risks import AbstractRisk
from ..solution import Solution, with_masks
from ..types import Checked, Cloud, DTypeLike, IntLike, KeyLike, Observe, RealLike
from .arguments import check_problem_beside
from .fixed_neurons import observers_of
from .flow import ParticleDynamics, floating_cloud
from .observables import measurement
from .risk import AbstractScheme, model_of, risk_to_follow


@with_masks
def descend(
    problem: Problem | None,
    cloud: Cloud,
    steps: IntLike,
    *,
    optimiser: optax.GradientTransformation | None = None,
    learning_rate: RealLike | None = None,
    scheme: Checked[AbstractScheme | None] = None,
    risk: Checked[AbstractRisk | None] = None,
    observe: Observe | Checked[Action | None] = None,
    samples: IntLike | None = None,
    key: KeyLike | None = None,
    record_every: IntLike = 1,
    throw: bool = True,
    save_states: bool = False,
    block_size: IntLike | None = None,
    dtype: DTypeLike | None = None,
    progress: bool = False,
    stop: Stop | None = None,
    checkpoint: Checkpoints | None = None,
) -> Solution:
    """Descend the risk of a cloud in discrete steps along the mean-field gradient m∇F.

    Arguments: either `learning_rate` η, plain gradient descent z_j ← z_j − η m∇_{z_j}F, whose clock is the flow time
    t = η·step: it is the Euler scheme of `solve_particles(step=η)`; or `optimiser`, any optax transformation of the
    gradient (no line search), which has no such clock: `ts` then counts steps and `solution.clock` is "steps".
    Plain steps, the heavy ball and weight decay commute with every orthogonal action on neurons, and keep what a symmetric
    risk keeps. Adam, RMSprop, Adagrad and sign methods divide by the size of each number of a neuron: they commute with
    signed permutations only, and leave the neurons that a rotation or an oblique reflection fixes.
    `scheme`, `risk` and `observe` are those of `solve_particles`. `samples` draws n fresh inputs per step from `key`;
    `block_size` is that of `risk_of`. The run is recorded at step 0 and after every `record_every` steps. `progress`
    shows a bar on stderr; `stop`, a `Stop`, ends the run early; `checkpoint`, a `Checkpoints`, writes files
    from which the same call goes on.
    Returns a Solution as `solve_particles` does. Raises ArgumentError before anything is compiled, and SolveError if
    the risk stops being finite and `throw`.
    """
    problem = check_problem_beside(risk, problem)
    control = Control(stop, checkpoint, progress, observers_of(observe, problem))
    cloud = floating_cloud(cloud, problem, dtype)
    steps = check_integer("steps", steps, 1, "It is the number of steps.")
    record_every = check_integer("record_every", record_every, 1, "It is the number of steps between two records.")
    times = times_of_every(steps, record_every)
    check_flags(throw=throw, save_states=save_states)
    rate = _check_rule(optimiser, learning_rate, cloud)
    drawn = {"samples": samples, "key": key, "step": rate, "block_size": block_size}
    risk = risk_to_follow(problem, cloud, risk, scheme=scheme, **drawn)
    dynamics = ParticleDynamics(risk, measurement(problem, cloud))
    rule = Descent(dynamics, rate) if optimiser is None else OptimisedDescent(dynamics, optimiser)
    solution = iterate(rule, cloud, times, bool(save_states), control, model=model_of(problem, scheme))
    solution = dataclasses.replace(solution, clock=rule.clock, absent=dynamics.measure.absent())
    return require_complete(solution, throw)


def _check_rule(
    optimiser: optax.GradientTransformation | None, learning_rate: RealLike | None, cloud: Cloud
) -> Float[Array, ""]:
    """The length of one step on the clock: the learning rate of plain descent, or 1 for an optimiser."""
    remedy = "Pass learning_rate= for plain gradient descent, or optimiser=optax.adam(1e-2)."
    if (optimiser is None) == (learning_rate is None):
        raise argument_error("optimiser", "given where `learning_rate` is not, and only there", optimiser, remedy)
    if callable(learning_rate):
        way_out = "A schedule belongs to an optimiser: pass optimiser=optax.sgd(schedule), whose clock counts steps."
        raise argument_error("learning_rate", "a number", Words("a function"), way_out)
    if learning_rate is not None:
        return positive_number("learning_rate", learning_rate, "It is the step in flow time.")
    rule = check_instance("optimiser", optimiser, optax.GradientTransformation, remedy)
    try:
        jax.eval_shape(lambda z: rule.update(z, rule.init(z), z), cloud)
    except TypeError as error:
        if "missing" not in str(error):
            raise
        expected = "one that needs the gradient and the cloud only: a line search asks for the risk too"
        raise argument_error("optimiser", expected, optimiser, remedy) from error
    return jnp.ones(())
