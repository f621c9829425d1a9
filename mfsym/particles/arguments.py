"""Checks of the arguments that the functions of this room share; all run before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import argument_error, check_instance, is_finite, is_traced
from ..integrate import cast_floats
from ..neurons import NEURONS, BiasedParticles, Particles, array_leaves, check_neurons, dim_of
from ..problem.problem import Problem, check_cloud_dimension, check_shape_of_outputs
from ..problem.tree_units import output_shape
from ..problem.units import AbstractUnit, is_ridge
from ..risks import AbstractRisk
from ..types import Checked, Cloud, State

_PROBLEM = "Build one with mf.Problem(inputs=..., target=...)."


def check_problem(problem: Checked[Problem | None]) -> Problem:
    """A Problem."""
    return check_instance("problem", problem, Problem, _PROBLEM)


def check_problem_beside(risk: Checked[AbstractRisk | None], problem: Checked[Problem | None]) -> Problem | None:
    """A Problem, or None where a risk is given in place of it."""
    return None if problem is None and risk is not None else check_problem(problem)


def check_state(state: State) -> np.dtype:
    """The floating type of any pytree of finite arrays of one such type."""
    leaves = array_leaves(state)
    dtypes = {jnp.dtype(leaf.dtype) for leaf in leaves}
    if len(dtypes) != 1 or not jnp.issubdtype(next(iter(dtypes)), jnp.floating):
        raise argument_error("cloud", "of one floating type", sorted(map(str, dtypes)), NEURONS)
    if any(not is_traced(leaf) and not is_finite(leaf) for leaf in leaves):
        raise argument_error("cloud", "a pytree of finite arrays", state, NEURONS)
    return next(iter(dtypes))


def check_cloud(cloud: Cloud, unit: AbstractUnit, problem: Problem | None = None) -> np.dtype:
    """The floating type of a cloud that fits the unit and the problem.

    A unit a σ(b·x) needs `Particles`, one with a bias `BiasedParticles`; any other unit takes any pytree of floating arrays
    whose first axis is the same.
    """
    if is_ridge(unit):
        kind = BiasedParticles if unit.biased else Particles
        remedy = f"Build one with mf.{kind.__name__}(...), or mf.initial_cloud(problem, width=m, key=key)."
        check_instance("cloud", cloud, kind, remedy)
    check_neurons(cloud)
    dtype = check_state(cloud)
    dim = dim_of(cloud)
    if problem is not None and dim is not None:
        check_cloud_dimension(problem, dim)
    if problem is not None and not is_ridge(unit):
        neuron = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), cloud)
        check_shape_of_outputs(output_shape(cast_floats(unit, dtype), neuron, problem.dim, dtype), problem.target_shape)
    return dtype
