"""What a run records of every state: functions of a user, or how far it is from a symmetry."""

import jax.numpy as jnp

from ..errors import argument_error
from ..groups import Action
from ..problem.problem import Problem
from ..symmetry.fixed_distance import FixedDistance
from ..symmetry.function_defect import FunctionDefect, elements_tried
from ..symmetry.points import evaluation_points
from ..types import Checked, Observe

_SAMPLES, _ELEMENTS = 1024, 8  # inputs of a law at which networks are compared, random elements of an infinite group


def observers_of(observe: Checked[Action | Observe | None], problem: Problem | None) -> Observe | None:
    """What a caller wants to see of every state; of an action, how far the neurons are from those that the group fixes, and
    for a problem how far their own network is from being equivariant.
    """
    if not isinstance(observe, Action):
        return observe
    distances = {"rmd_fixed": FixedDistance(observe, True), "distance_fixed": FixedDistance(observe, False)}
    return distances if problem is None else distances | {"function_defect": _function_defect(observe, problem)}


def _function_defect(action: Action, problem: Problem) -> FunctionDefect:
    if problem.inputs.dim != action.inputs.size:
        expected = f"an action on inputs of dimension {problem.inputs.dim}, those of the problem"
        raise argument_error("observe", expected, action, "Build it with mf.action(problem.unit, inputs, outputs).")
    points = evaluation_points(problem.inputs, _SAMPLES, jnp.result_type(float))
    return FunctionDefect(action, points, elements_tried(action.group, _ELEMENTS), problem.unit)
