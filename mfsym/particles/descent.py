"""Discrete descent of a cloud with any optimiser."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from ..errors import argument_error, check_flags, check_integer, positive_number
from ..integrate import cast_floats, require_complete
from ..problem.problem import Problem
from ..solution import Solution, Status
from .arguments import check_problem
from .flow import ParticleDynamics, floating_cloud
from .observables import measurement
from .risk import risk_of


def descend(
    problem: Problem,
    cloud: PyTree,
    steps: Any,
    *,
    optimiser: optax.GradientTransformation | None = None,
    learning_rate: Any = None,
    samples: Any = None,
    key: Any = None,
    record_every: Any = 1,
    throw: bool = True,
    save_states: bool = False,
    dtype: Any = None,
) -> Solution:
    """Descend the risk of a cloud in discrete steps along the mean-field gradient m∇F.

    Arguments: either `learning_rate` η, plain gradient descent z_j ← z_j − η m∇_{z_j}F, whose clock is the flow time
    t = η·step: it is the Euler scheme of `solve_particles(step=η)`; or `optimiser`, any optax transformation, which
    has no such clock: `ts` then counts steps and `solution.clock` is "steps". `samples` draws n fresh inputs per step
    from `key`. The run is recorded at step 0 and after every `record_every` steps.
    Returns a Solution as `solve_particles` does. Raises ArgumentError before anything is compiled, and SolveError if
    the risk stops being finite and `throw`.
    """
    check_problem(problem)
    cloud = floating_cloud(cloud, problem, dtype)
    steps = check_integer("steps", steps, 1, "It is the number of steps.")
    record_every = check_integer("record_every", record_every, 1, "It is the number of steps between two records.")
    if steps % record_every:
        raise argument_error("record_every", f"a divisor of steps = {steps}", record_every, "Choose one.")
    check_flags(throw=throw, save_states=save_states)
    rate = _check_rule(optimiser, learning_rate)
    risk = risk_of(problem, samples=samples, key=key, step=rate)
    dynamics = ParticleDynamics(risk, measurement(problem, cloud))
    dynamics, rate = cast_floats((dynamics, rate), jnp.result_type(*jax.tree.leaves(cloud)))
    ts, observables, final, states = _descend(dynamics, cloud, rate, optimiser, steps, record_every, save_states)
    valid = jnp.isfinite(observables["risk"])
    status = Status.where(jnp.all(valid), Status.complete, Status.not_finite)
    clock, stats = "flow time" if optimiser is None else "steps", {"steps": jnp.asarray(steps)}
    absent = dynamics.measure.absent()
    solution = Solution(ts, observables, final, states, status, valid, stats, None, problem.unit, clock, absent)
    return require_complete(solution, throw)


def _check_rule(optimiser: Any, learning_rate: Any) -> Float[Array, ""]:
    """The length of one step on the clock: the learning rate of plain descent, or 1 for an optimiser."""
    remedy = "Pass learning_rate= for plain gradient descent, or optimiser=optax.adam(1e-2)."
    if (optimiser is None) == (learning_rate is None):
        raise argument_error("optimiser", "given where `learning_rate` is not, and only there", optimiser, remedy)
    if optimiser is None:
        return positive_number("learning_rate", learning_rate, "It is the step in flow time.")
    if not isinstance(optimiser, optax.GradientTransformation):
        raise argument_error("optimiser", "an optax GradientTransformation", optimiser, remedy)
    return jnp.ones(())


@eqx.filter_jit
def _descend(
    dynamics: ParticleDynamics,
    cloud: PyTree,
    rate: Float[Array, ""],
    optimiser: optax.GradientTransformation | None,
    steps: int,
    record_every: int,
    save_states: bool,
) -> tuple[Float[Array, " T"], dict[str, Array], PyTree, PyTree]:
    """Times, observables, last cloud and clouds of a run, recorded every `record_every` steps."""
    dynamics = dynamics.prepare()

    def time(index):
        return rate * index.astype(rate.dtype)

    def one_step(carry, index):
        cloud, memory = carry
        velocity = dynamics.velocity(time(index), cloud)
        if optimiser is None:
            moves = jax.tree.map(lambda v: rate * v, velocity)
        else:
            moves, memory = optimiser.update(jax.tree.map(jnp.negative, velocity), memory, cloud)
        return (jax.tree.map(lambda z, move: z + move.astype(z.dtype), cloud, moves), memory), None

    def record(index, cloud):
        return dynamics.observe(time(index), cloud), cloud if save_states else None

    def stretch(carry, first):
        indices = first + jnp.arange(record_every)
        return jax.lax.scan(one_step, carry, indices)[0], record(first, carry[0])

    start = (cloud, None if optimiser is None else optimiser.init(cloud))
    (final, _), records = jax.lax.scan(stretch, start, jnp.arange(0, steps, record_every))
    last = record(jnp.asarray(steps), final)
    observables, states = jax.tree.map(lambda early, end: jnp.concatenate([early, end[None]]), records, last)
    return time(jnp.arange(0, steps + 1, record_every)), observables, final, states
