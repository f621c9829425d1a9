"""Many clouds of one problem, as many neurons in each: independent runs, as many at a time as memory and time allow."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, PyTree

from ..chunks import lanes_at_a_time
from ..control import Control, Stop
from ..errors import check_times
from ..integrate import Stepping
from ..iterate import StepTimes, times_of_whole_steps
from ..neurons import AbstractRidgeCloud
from ..problem.problem import Problem
from ..problem.training import Training
from ..sharding import check_mesh_of_lanes, map_lanes, pad_lanes
from ..solution import Solution, with_masks
from ..types import KeyLike
from .flow import ParticleDynamics, follow, tolerances
from .observables import measurement
from .risk import risk_of
from .zero import nearest_to_zero


class Plan(NamedTuple):
    """What all clouds share besides the problem: times, steps, training, how many inputs each draws for a step, and whether
    one of them may reach b = 0."""

    times: Float[Array, " T"] | StepTimes
    stepping: Stepping
    training: Training | None
    samples: int | None
    watched: bool


@with_masks
def solve_ensemble(
    problem: Problem,
    clouds: AbstractRidgeCloud,
    ts: Float[Array, " T"],
    *,
    training: Training | None = None,
    samples: int | None = None,
    keys: KeyLike | None = None,
    max_steps: int | None = None,
    stop: Stop | None = None,
    save_states: bool = False,
    mesh: Mesh | None = None,
    done: Callable[[int], object] = lambda lanes: None,
) -> Solution:
    """Move clouds a [L, m], b [L, m, d] as `solve_particles` moves each; a Solution with one more first axis, [L].

    With `samples`, every step of `training.step` of a cloud draws so many inputs from its own one of the `keys`.
    A cloud that diverges, runs out of steps or is not finite has its own status, and leaves the others as they are. Several
    clouds share one vmapped loop where that is faster: always on an accelerator, of small clouds on a processor. With a
    mesh every device has its own loop. `done(lanes)` is called after every loop with the number of its clouds.
    Nothing can be differentiated.
    """
    mesh = check_mesh_of_lanes(mesh)
    step, schedule = (None, None) if training is None else (training.step, training.schedule)
    stepping = Stepping("tsit5", derivative="forward", max_steps=max_steps, save_states=save_states, control=Control(stop))
    times = check_times(ts) if step is None else times_of_whole_steps(ts, step, schedule)
    # Each has the tolerances that it would have alone, which depend on its size.
    relative, absolute = zip(*map(tolerances, _each(clouds)), strict=True)
    everyone = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), clouds)
    watched = step is None and nearest_to_zero(problem.unit, training, everyone, 1.0) is not None
    plan = Plan(times, stepping.with_defaults("tsit5", relative[0], 1.0), training, samples, watched)
    return _in_chunks((clouds, jnp.asarray(absolute, clouds.a.dtype), keys), (problem, plan), mesh, done)


def _each(clouds: AbstractRidgeCloud) -> list[AbstractRidgeCloud]:
    """Every cloud by itself, on the host."""
    on_host = jax.tree.map(np.asarray, clouds)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], on_host) for i in range(len(on_host.a))]


def _in_chunks(lanes: PyTree, shared: tuple[Problem, Plan], mesh: Mesh | None, done: Callable[[int], object]) -> Solution:
    """As many lanes at a time as the widths allow, in loops of the same shape."""
    count, width = lanes[0].a.shape
    most = lanes_at_a_time(width) * (1 if mesh is None else mesh.size)
    size = -(-count // -(-count // most))
    found = []
    for start in range(0, count, size):
        part = jax.tree.map(lambda leaf, start=start: leaf[start : start + size], lanes)
        real = len(part[1])
        runs = jax.block_until_ready(map_lanes(_move, pad_lanes(part, size), shared, mesh))
        found.append(jax.tree.map(lambda leaf, real=real: leaf[:real] if eqx.is_array(leaf) else leaf, runs))
        done(real)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves) if eqx.is_array(leaves[0]) else leaves[0], *found)


def _move(lane: tuple[AbstractRidgeCloud, Array, Array | None], problem: Problem, plan: Plan) -> Solution:
    cloud, absolute, key = lane
    stepping, training = dataclasses.replace(plan.stepping, atol=absolute), plan.training
    nearest = nearest_to_zero(problem.unit, training, cloud, absolute) if plan.watched else None
    step = None if training is None else training.step
    risk = risk_of(problem, samples=plan.samples, key=key, step=step)
    dynamics = ParticleDynamics(risk, measurement(problem, cloud), training, nearest)
    return follow(dynamics, cloud, plan.times, stepping, problem.unit, step)
