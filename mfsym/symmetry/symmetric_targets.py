"""Targets averaged over a group, and what no network that has the symmetry can learn of a target that has it not."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, check_integer, check_is
from ..groups import Action
from ..neurons import orbit_cloud
from ..problem.empirical import Empirical
from ..problem.losses import SquareLoss
from ..problem.orbits import check_law
from ..problem.problem import Problem
from ..problem.symmetric_units import mean_of_images
from ..problem.targets import AbstractTarget, FunctionTarget, Labels, Teacher
from ..types import Checked, IntLike
from .equivariance import equivariance_defect
from .points import evaluation_points

_ACTION = "Build it with mf.action(unit, inputs, outputs)."
_SAMPLES = 4096


class AveragedFunction(eqx.Module):
    """x ↦ (Q_G f)(x) = Σ_q w_q ρ̂(g_q)⁻¹ f(ρ(g_q) x)."""

    function: Callable[[Array], Array]
    action: Action
    elements: Float[Array, "q k k"]
    weights: Float[Array, " q"]

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, "*out"]:
        """At one input."""
        return mean_of_images(self.function, self.action, (self.elements, self.weights), x)


def symmetrised(
    target: Checked[AbstractTarget], action: Checked[Action], *, degree: Checked[IntLike | None] = None
) -> AbstractTarget:
    """Q_G f* of a target f*, (Q_G f)(x) = ∫ ρ̂(g)⁻¹ f(ρ(g)x) dg: the equivariant function that is nearest to it.

    Of a `Teacher` whose unit is equivariant under the action of a finite group it is the teacher of the union of all images
    of its neurons; of any other target a `FunctionTarget`. For an infinite group `degree` is that of a quadrature, which has
    to resolve f*: an error of 1e-8 takes about 24 for smooth functions.

    Raises ArgumentError for labels, which are no function; without `degree` for an infinite group; or if the action is one
    on other inputs or outputs than the target's. (Maass & Fontbona 2024.)
    """
    check_instance("target", target, AbstractTarget, "Wrap a function in mf.FunctionTarget(fn).")
    check_instance("action", action, Action, _ACTION)
    if isinstance(target, Labels):
        remedy = "Move rows and labels together, or pass the function that the labels are of."
        raise argument_error("target", "a function of any input", Words("known by labels alone"), remedy)
    _check_target(target, action)
    if degree is not None:
        degree = check_integer("degree", degree, 0, "It is that of a quadrature over the group.")
    if action.group.order is None and degree is None:
        remedy = "Pass for example degree=24, and compare with a larger one."
        raise argument_error("degree", "given for an infinite group, as a quadrature has to resolve f*", None, remedy)
    if isinstance(target, Teacher) and action.group.order is not None and _moves_the_unit(target, action):
        return Teacher(orbit_cloud(target.cloud, action), target.unit)
    elements, weights = action.quadrature(degree)
    return FunctionTarget(AveragedFunction(target, action, elements, weights))


def symmetric_floor(
    problem: Checked[Problem],
    action: Checked[Action],
    *,
    degree: Checked[IntLike | None] = None,
    samples: IntLike = _SAMPLES,
) -> Float[Array, ""]:
    """½ E|f* − Q_G f*|², below which the risk of no network with the symmetry of an action can be.

    For a law of inputs that ρ leaves as it is, the risk of an equivariant f is ½E|f − Q_G f*|² and this floor, which is 0
    where f* has the symmetry. Noise of the labels is not counted. Averages are those over the rows of a data set or a
    cubature, and over `samples` fixed quasi-random inputs of any other law; `degree` is that of `symmetrised`.

    Raises ArgumentError for another loss, where the risk does not split, for labels, and for inputs whose law the group
    changes. (Maass & Fontbona 2024; the risk here has the factor ½.)
    """
    check_instance("problem", problem, Problem, "Build it with mf.Problem(inputs, target).")
    check_instance("action", action, Action, _ACTION)
    samples = check_integer("samples", samples, 1, "It is the number of inputs.")
    expected, got = "one with the square loss, whose risk splits", Words(f"one with {type(problem.loss).__name__}")
    check_is("problem", problem.loss, SquareLoss, expected, "Use mf.SquareLoss().", got)
    mean = symmetrised(problem.target, action, degree=degree)
    check_law(problem.inputs, action)
    points = evaluation_points(problem.inputs, samples, jnp.result_type(float))
    return _half_mean_square(problem.target, mean, points)


@eqx.filter_jit
def _half_mean_square(target: AbstractTarget, mean: AbstractTarget, points: Empirical) -> Float[Array, ""]:
    gaps = jax.lax.map(lambda x: jnp.sum((target(x) - mean(x)) ** 2), points.x, batch_size=256)
    return points.mean(gaps) / 2


def _check_target(target: AbstractTarget, action: Action) -> None:
    target.check(action.inputs.size)
    shape = jax.eval_shape(target, jax.ShapeDtypeStruct((action.inputs.size,), jnp.result_type(float))).shape
    if shape != (action.outputs.size,) and (shape, action.outputs.size) != ((), 1):
        expected = f"one with values that outputs of size {action.outputs.size} can be"
        raise argument_error("target", expected, Words(f"one with values of shape {list(shape)}"), "Match the outputs.")


def _moves_the_unit(target: Teacher, action: Action) -> bool:
    return action.takes_cloud(target.cloud) and equivariance_defect(target.unit, action).holds
