"""Networks as in the authors' notebooks on the dimension and on staircases: width 1024, 1500 steps of 256 fresh samples.

The learning rate is 5e-2/F(0), so that at a step F(0) t = 0.05 × step whatever the target: the clock of both figures.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from ..neurons import Particles
from ..particles.flow import solve_particles
from ..particles.initial import sphere_cloud
from ..problem.problem import Problem

WIDTH, BATCH, RATE, STEPS = 1024, 256, 5e-2, 1500
CLOCK = rf"$F(0)\,t = {RATE}\times$ step"


def recorded_steps(last: int, count: int = 22) -> Int[np.ndarray, " K"]:
    """Steps that are about evenly spread on a logarithmic axis, from 0 to the last one."""
    return np.unique(np.append(0, np.geomspace(min(10, last), last, count).round().astype(int)))


def exact_clock(last: int, count: int = 40) -> Float[np.ndarray, " T"]:
    """Values of F(0) t at which limits are recorded: 0, and evenly spread on a logarithmic axis up to a step."""
    return RATE * np.append(0.0, np.geomspace(5.0, last, count))


def train(problem: Problem, initial_risk: float, steps: Int[np.ndarray, " K"], width: int, key: PRNGKeyArray) -> Particles:
    """One network in single precision at these steps, leaves with a leading axis [K], for exact evaluation."""
    start_key, sample_key = jax.random.split(key)
    rate = RATE / initial_risk
    cloud = sphere_cloud(problem, width=width, key=start_key, dtype=jnp.float32)
    options = {"samples": BATCH, "step": rate, "derivative": "forward", "save_states": True}
    run = solve_particles(problem, cloud, jnp.asarray(rate * steps, jnp.float32), key=sample_key, **options)
    return jax.tree.map(lambda leaf: leaf.astype(jnp.result_type(float)), run.states)
