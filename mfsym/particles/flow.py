"""The flow of a cloud of neurons."""

import dataclasses
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from ..control import Checkpoints, Control, Stop
from ..errors import (
    FLOATING,
    Words,
    argument_error,
    check_flags,
    check_floating,
    check_instance,
    check_integer,
    check_times,
    is_spread_out,
    is_traced,
)
from ..groups import Action
from ..integrate import AbstractDynamics, Stepping, cast_floats, integrate, require_complete
from ..iterate import Descent, Langevin, iterate, times_between_steps, times_of_whole_steps
from ..neurons import Particles
from ..problem.problem import Problem
from ..problem.training import Training
from ..risks import AbstractRisk
from ..solution import Solution, with_masks
from ..types import Checked, Cloud, DTypeLike, IntLike, KeyLike, Observe, RealLike, Times
from .arguments import check_cloud, check_problem_beside, check_state
from .fixed_neurons import observers_of
from .noise import ThermalNoise, thermal_noise
from .observables import Measurement, measurement
from .rates import rates_of, trained
from .risk import AbstractScheme, model_of, risk_to_follow
from .zero import comes_to_zero, nearest_to_zero


class ParticleDynamics(AbstractDynamics):
    """z_j' = rate (−m ∇_{z_j} F − λ z_j) of one risk, a rate for each layer, with the observables of the cloud.

    `nearest` is the ‖b‖ of every neuron that counts as 0, where one may come there.
    """

    risk: AbstractRisk
    measure: Measurement
    training: Training | None = None
    nearest: Float[Array, " m"] | None = None

    def prepare(self):
        """The same system with the tables of its risk."""
        return ParticleDynamics(self.risk.prepare(), self.measure, self.training, self.nearest)

    def velocity(self, t, state):
        """z'."""
        velocity = self.risk.at_time(t).velocity(state)
        return velocity if self.training is None else trained(self.training, velocity, state)

    def observe(self, t, state):
        """The risk and what can be measured on the cloud."""
        return {"risk": self.risk.at_time(t).value(state)} | self.measure(state)

    def largest_step(self, state):
        """No bound: every cloud is admissible."""
        return jnp.asarray(jnp.inf)


def reaches_zero(dynamics: ParticleDynamics, cloud: Particles) -> Bool[Array, ""]:
    """Whether a neuron has come to b = 0 with a ≠ 0, a point that several flow lines can leave."""
    assert dynamics.nearest is not None
    return comes_to_zero(dynamics.nearest, cloud)


@with_masks
def solve_particles(
    problem: Problem | None,
    cloud: Cloud,
    ts: Times,
    *,
    training: Checked[Training | None] = None,
    scheme: Checked[AbstractScheme | None] = None,
    risk: Checked[AbstractRisk | None] = None,
    observe: Observe | Checked[Action | None] = None,
    samples: IntLike | None = None,
    step: RealLike | None = None,
    key: KeyLike | None = None,
    rtol: RealLike | None = None,
    atol: RealLike | None = None,
    max_steps: IntLike | None = None,
    derivative: str = "reverse",
    throw: bool = True,
    progress: bool = False,
    save_states: bool = False,
    block_size: IntLike | None = None,
    dtype: DTypeLike | None = None,
    stop: Stop | None = None,
    checkpoint: Checkpoints | None = None,
) -> Solution:
    """Move a cloud along the Wasserstein gradient flow, z_j' = −m ∇_{z_j} F.

    Arguments: `cloud` at time 0, any pytree with a leading particle axis; `ts` [T] flow times, starting at 0.
    `training` changes the dynamics: rates of the layers, weight decay, noise, which is drawn from `key` too, and gradient
    descent, the heavy ball or steps with noise in steps of `training.step`, of which `ts` must then be multiples. The flow
    with noise takes adaptive steps of strong order 3/2 (ShARK), by default with `rtol` 1e-3 and `atol` 1e-5, along a path
    that the key and the last time decide: finer steps, other records and a run that goes on from a checkpoint keep it.
    `scheme`, a `DataAugmentation`, `FeatureAveraging` or `EquivariantArchitecture`, has the cloud descend its transform of
    the risk; weight decay and noise act on the neurons themselves, and observables other than `risk` are theirs, while
    `mf.predict(solution, x)` is the network of the scheme.
    `samples` draws n fresh inputs per Euler step of length `step` from `key`; without it the risk is exact where a
    closed form exists, and the training risk on a data set. `step` alone asks for Euler steps of that length, the last
    one shortened to end at the last time, which is gradient descent with this rate; otherwise steps are adaptive
    (Tsitouras 5(4)) with `rtol` and `atol`, by default 1e-6 and 1e-9 in float64, 1e-4 and 1e-6 in float32, where `atol`
    is less for neurons smaller than 1. `max_steps` bounds their number: 65536, or as many as steps of a given length need.
    `derivative` is the mode of differentiation through the run, "reverse" (which keeps √(2 `max_steps`) clouds at once:
    lower it for large ones) or "forward"; through steps of a given length both work, and n of them keep 2√n clouds.
    `dtype` replaces the floating type of the cloud. `save_states` keeps every cloud. `progress` shows a bar on stderr;
    `stop`, a `Stop`, ends the run early; `checkpoint`, a `Checkpoints`, writes files from which the same call goes on.
    `block_size` is that of `risk_of`.
    `risk`, an `mfsym.risks.AbstractRisk`, is followed in place of that of the problem, which may then be None: the cloud
    is in that case any pytree of floating arrays, with or without an axis of neurons.
    `observe`, a dict from names to functions of the cloud, records what each returns, an array [T, …] in `observables`; an
    `Action` records `distance_fixed` = W₂(ν, P#ν), from the neurons that it fixes, `rmd_fixed`, relative and squared, and
    for a problem `function_defect`, how far their own network is from equivariance: E|f(ρx) − ρ̂ f(x)|² / E|f(x)|².
    Returns a Solution: `risk`, `mass_plus`, `mass_minus`, `alignment_plus`, `alignment_minus`, `distance_plus`,
    `distance_minus`, each [T], and `final`, the last cloud, from which a run can be restarted.
    Raises ArgumentError before anything is compiled, and SolveError if the run ends early and `throw`: also where a
    neuron reaches b = 0, as one with |a| > ‖b‖ can, from where the ReLU flow is not unique.
    (Hajjar & Chizat 2022, §2.)
    """
    problem = check_problem_beside(risk, problem)
    control = Control(stop, checkpoint, progress, observers_of(observe, problem))
    cloud = floating_cloud(cloud, problem, dtype)
    check_training(training, cloud, step)
    check_flags(throw=throw, save_states=save_states)
    times = check_times(ts)
    whole, step = step is None, training.step if step is None and training is not None else step
    check_sampling(samples, step, training)
    noise = thermal_noise(training, key)
    of_inputs = None if noise is not None and samples is None else key
    drawn = {"samples": samples, "key": of_inputs, "step": step, "block_size": block_size}
    risk = risk_to_follow(problem, cloud, risk, scheme=scheme, **drawn)
    options = {"derivative": derivative, "max_steps": max_steps, "save_states": save_states, "control": control}
    stepping, model = Stepping(rtol=rtol, atol=atol, **options), model_of(problem, scheme)
    dynamics = ParticleDynamics(risk, measurement(problem, cloud), training)
    if step is None:
        stepping = stepping.with_defaults("tsit5", *tolerances(cloud, noise))
        assert stepping.atol is not None
        if noise is None:  # which carries a neuron past b = 0, and makes the flow unique
            nearest = nearest_to_zero(None if problem is None else problem.unit, training, cloud, stepping.atol)
            dynamics = dataclasses.replace(dynamics, nearest=nearest)
    else:
        schedule = None if training is None else training.schedule
        times = times_of_whole_steps(ts, step, schedule) if whole or noise is not None else times_between_steps(ts, step)
    return require_complete(follow(dynamics, cloud, times, stepping, model, step, noise), throw)


def follow(
    dynamics: ParticleDynamics,
    cloud: PyTree,
    times: Any,
    stepping: Stepping,
    model: PyTree,
    step: RealLike | None = None,
    noise: ThermalNoise | None = None,
) -> Solution:
    """The record of one cloud at flow times [T], or in steps of length `step` at `StepTimes`, which are counted in them."""
    if step is None:
        not_unique = None if dynamics.nearest is None else reaches_zero
        solution = integrate(dynamics, cloud, times, stepping, model, not_unique, noise)
    else:  # finite steps pass b = 0 in any case
        training, control = dynamics.training, stepping.control
        assert training is None or training.heated == (noise is not None)
        momentum, schedule = (None, None) if training is None else (training.momentum, training.schedule)
        length = jnp.asarray(step, float)
        rule = Descent(dynamics, length, momentum, schedule) if noise is None else Langevin(dynamics, length, noise)
        solution = iterate(rule, cloud, times, stepping.save_states, control, stepping.max_steps, model)
        solution = dataclasses.replace(solution, clock=rule.clock)
    return dataclasses.replace(solution, absent=dynamics.measure.absent())


def floating_cloud(cloud: Cloud, problem: Problem | None, dtype: DTypeLike | None) -> Cloud:
    """The cloud in its own floating type, or in `dtype`, once it has been checked; any state where there is no problem."""
    found = check_state(cloud) if problem is None else check_cloud(cloud, problem.unit, problem)
    if dtype is None and found not in FLOATING:
        remedy = "Pass dtype=jnp.float32: fewer digits are not enough for a run."
        raise argument_error("cloud", "of type float32 or float64", Words(f"of type {found}"), remedy)
    cloud = cast_floats(jax.tree.map(jnp.asarray, cloud), found if dtype is None else check_floating(dtype))
    if not any(map(is_traced, jax.tree.leaves(cloud))):
        _check_range(cloud)
    return cloud


def _check_range(cloud: PyTree) -> None:
    """Squares of the masses, of which the risk is made, must be ordinary numbers of the floating type."""
    sizes, kind = _sizes(cloud), jnp.finfo(jax.tree.leaves(cloud)[0].dtype)
    mass, power = (np.prod(sizes), 0.5) if isinstance(cloud, Particles) else (max(sizes), 1.0)
    least, most = (float(bound) ** power for bound in (kind.tiny / kind.eps, kind.max * kind.eps))
    if not (mass == 0 or least < mass < most):
        expected = f"of a size whose square {kind.dtype} can hold, between {least:.0e} and {most:.0e}"
        remedy = "Scale the target and the cloud, or use float64."
        raise argument_error("cloud", expected, Words(f"one of size {mass:.3g}"), remedy)


def _sizes(cloud: PyTree) -> list[float]:
    """Root mean square of the neurons in every leaf; for Particles |a| and ‖b‖."""
    sizes = []
    for leaf in jax.tree.leaves(cloud):
        peak, rest = _size_where_it_lies(leaf) if is_spread_out(leaf) else _size(np.asarray(leaf, float), np)
        sizes.append(float(peak) * float(rest))
    return sizes


def _size(leaf: Any, xp: ModuleType) -> tuple[Any, Any]:
    """The largest entry (1 if it is 0), and the root mean square relative to it, so that no square overflows."""
    largest = xp.max(xp.abs(leaf))
    peak = xp.where(largest > 0, largest, xp.ones_like(largest))
    return peak, xp.sqrt(xp.sum((leaf / peak) ** 2) / max((1, *leaf.shape[:1])))


@jax.jit
def _size_where_it_lies(leaf: Array) -> tuple[Array, Array]:
    return _size(leaf, jnp)


def tolerances(cloud: PyTree, noise: ThermalNoise | None = None) -> tuple[float, float]:
    """The usual ones. Absolute ones are meant for neurons of size 1; smaller ones need smaller tolerances.

    A path with noise is followed with fewer digits: its steps fall like the tolerance to the power 2/3.
    """
    single = jnp.finfo(jnp.result_type(*jax.tree.leaves(cloud))).bits < 64
    known = not any(map(is_traced, jax.tree.leaves(cloud)))
    smallest = min([1.0, *(size for size in _sizes(cloud) if size > 0)]) if known else 1.0
    if noise is not None:
        return 1e-3, 1e-5 * smallest
    return (1e-4, 1e-6 * smallest) if single else (1e-6, 1e-9 * smallest)


def check_training(training: Checked[Training | None], cloud: Cloud, step: RealLike | None) -> None:
    """None or a Training that fits the cloud, with one step at most."""
    if training is None:
        return
    check_instance("training", training, Training, "Leave it out for the gradient flow; optimisers belong in `descend`.")
    if training.step is not None and step is not None:
        raise argument_error("step", "left out where `training` has a step", step, "Pass Training(step=...) alone.")
    rates_of(training, cloud)


def check_sampling(samples: IntLike | None, step: RealLike | None, training: Training | None = None) -> None:
    """`samples` needs a `step`, of one length; `step` may come alone. The key is checked by the risk."""
    if samples is None:
        return
    check_integer("samples", samples, 1, "It is the number of fresh inputs per step.")
    if step is None:
        raise argument_error("step", "a positive number where `samples` is given", step, "Pass for example step=0.01.")
    if training is not None and training.schedule is not None:
        remedy = "Fresh inputs belong to equal steps: use `descend` with optimiser=optax.sgd(schedule)."
        raise argument_error("samples", "left out where `training` has a schedule", samples, remedy)
