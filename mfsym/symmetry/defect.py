"""How far a network is from a symmetry: in function space and in the space of the neurons."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_choice, check_instance, check_integer, check_is, check_sequence
from ..groups import AbstractSymmetries, Action, Symmetry
from ..neurons import Particles, dim_of
from ..problem.empirical import Empirical
from ..problem.inputs import AbstractInputs
from ..problem.units import AbstractHomogeneousUnit, AbstractUnit, ReLU, homogeneous_neurons
from ..products import with_all_digits
from ..solution import Solution
from ..types import Checked, Cloud, IntLike, RealFunction, Scalar
from .action import act
from .fixed_distance import FixedDistance
from .function_defect import FunctionDefect, Network, elements_tried, relative_gap
from .points import evaluation_points

_EXACT = jax.lax.Precision.HIGHEST
_ROWS = 64  # of a table of pairs that are in memory at once

# Of a network, of what else it takes, and of one symmetry, or one element of a group.
Defect: TypeAlias = Callable[[PyTree, PyTree, PyTree], Scalar]


def symmetry_defect(
    network: Checked[Solution | Cloud | RealFunction],
    group: Checked[Symmetry | AbstractSymmetries | Sequence[Symmetry] | Action],
    *,
    space: str = "function",
    inputs: AbstractInputs | None = None,
    unit: AbstractUnit | None = None,
    samples: IntLike = 4096,
    elements: IntLike = 8,
) -> Float[Array, ""]:
    """How far a network is from having every symmetry of a group; the largest value over its elements.

    space="function": E(f(Tx) − s f(x))² / E f(x)² over the law `inputs`. For `Particles` with a 1-homogeneous unit and
    inputs whose law every rotation leaves as it is, an exact sum over pairs of neurons by the arc-cosine kernel;
    otherwise a mean over fixed quasi-random inputs (`samples` of them), or over the rows of a data set.
    space="parameter": (k̄ − k̄_S) / (2 − k̄ − k̄_S) ∈ [0, 1], a distance of the law of the neurons z = (a, b) to that of
    its image S z (maximum mean discrepancy): k̄ and k̄_S are the means of exp(−‖z−z'‖²/2h²) over pairs of neurons and
    over pairs of a neuron and an image, h² the variance of both laws together. It vanishes only if the laws are equal.
    A cloud that is closed under the group has defects of rounding; m independent neurons of a law that has the symmetry
    have defects of order 1/m in both.
    For an `Action` the same of f(ρ(g)x) − ρ̂(g) f(x) and of M(g) z, of neurons of any shape, and
    space="fixed": RMD² = W₂²(ν, P#ν) / (2 E|z|² + 2 E|Pz|²) ∈ [0, ½], the relative distance of the law ν of the neurons to
    that on the neurons that the group fixes, W₂² = mean|z − Pz|². It is 0 for strongly invariant laws only, and ½ where
    Pz = 0 for all, whatever else holds.

    Arguments: `network` a Solution of the particle route (its last cloud), Particles or for an action any neurons of it, or
    a function of one input such as a target; `group` what must hold, for a continuous one its generators and `elements`
    random elements from a fixed key; `unit` that of a bare cloud (default ReLU, for Particles).
    Returns a scalar; a network that vanishes to rounding has the defect 0. Raises ArgumentError for a reduced solution
    (its law has the symmetry by construction), or where inputs, neurons or the unit are missing.
    (Hajjar & Chizat 2022; "fixed": Maass & Fontbona 2024; derived.)
    """
    check_choice("space", space, ("function", "parameter", "fixed"))
    elements = check_integer("elements", elements, 1)
    samples = check_integer("samples", samples, 1, "It is the number of inputs.")
    if isinstance(group, Action):
        return _defect_of_action(network, group, space, inputs, unit, samples, elements)
    symmetries = _symmetries(group, elements)
    if space == "fixed":
        got, remedy = Words(f"a {type(group).__name__}"), "Pass mf.action(unit, group.inputs, group.outputs)."
        raise argument_error("group", "an Action, which knows the neurons that it fixes", got, remedy)
    cloud, own_unit = _cloud_and_unit(network, unit)
    if space == "parameter":
        check_instance("network", cloud, Particles, f"Functions have no neurons for space='parameter'. {_CLOUD}")
        return _largest(_parameter_defect, cloud, None, symmetries)
    inputs = _checked_inputs(inputs, symmetries[0].dim)
    if homogeneous_neurons(own_unit, cloud) is not None and inputs.rotation_invariant:
        return _largest(_exact_defect, cloud, own_unit, symmetries)
    if not callable(cloud):
        cloud = Network(cloud, own_unit)
    points = evaluation_points(inputs, samples, jnp.result_type(float))
    return _largest(_sampled_defect, cloud, points, symmetries)


_CLOUD = "Build one with mf.Particles(a, b)."


def _checked_inputs(inputs: AbstractInputs | None, dim: int) -> AbstractInputs:
    if inputs is None:
        raise argument_error("inputs", "the law of the inputs in function space", inputs, "Pass problem.inputs.")
    check_instance("inputs", inputs, AbstractInputs, "Use mf.Gaussian, mf.Sphere or mf.Empirical.")
    if inputs.dim != dim:
        raise argument_error("inputs", f"of dimension {dim}, the symmetries'", inputs.dim, "Match them.")
    return inputs


def _defect_of_action(
    network: Any,
    action: Action,
    space: str,
    inputs: AbstractInputs | None,
    unit: AbstractUnit | None,
    samples: int,
    elements: int,
) -> Float[Array, ""]:
    """The same for an action, of neurons of any shape."""
    if isinstance(network, Solution):
        network, unit = network.final, network.model
    neurons = action.takes_cloud(network)
    if not neurons and not (space == "function" and callable(network)):
        expected = "a Solution of mf.solve_particles, neurons of the action, or a function for space='function'"
        raise argument_error(
            "network", expected, Words(f"of type {type(network).__name__}"), "Build a cloud like the unit's."
        )
    if space == "fixed":
        return FixedDistance(action, True)(network)
    tried = elements_tried(action.group, elements)
    if space == "parameter":
        return jnp.max(_measure(_action_law_defect, network, action, tried))
    points = evaluation_points(_checked_inputs(inputs, action.inputs.size), samples, jnp.result_type(float))
    own = check_instance("unit", unit, AbstractUnit, "Pass problem.unit.") if neurons else None
    return eqx.filter_jit(FunctionDefect(action, points, tried, own))(network)


_GROUP = "Pass a Symmetry, a list of them, mf.generate(...) or mf.BlockOrthogonal(...)."


def _symmetries(group: Symmetry | AbstractSymmetries | Sequence[Symmetry], elements: int) -> list[Symmetry]:
    if isinstance(group, AbstractSymmetries):
        return group.elements(jax.random.key(0), elements)
    given = (group,) if isinstance(group, Symmetry) else check_sequence("group", group, "a group of symmetries", _GROUP)
    listed = [check_instance("group", symmetry, Symmetry, _GROUP) for symmetry in given]
    if not listed:
        raise argument_error("group", "a group of symmetries", group, _GROUP)
    if len({symmetry.dim for symmetry in listed}) > 1:
        sizes = sorted({symmetry.dim for symmetry in listed})
        raise argument_error("group", "of symmetries of one dimension", Words(f"of dimensions {sizes}"), "Match them.")
    return listed


def _cloud_and_unit(network: Solution | Particles | RealFunction, unit: AbstractUnit | None) -> tuple[PyTree, AbstractUnit]:
    """A cloud and its unit; a function stands for itself."""
    if isinstance(network, Solution):
        expected, got = "a Solution of mf.solve_particles", Words("a reduced one")
        remedy = "Its law has the symmetry by construction; pass its predictor, lambda x: mf.predict(run, x[None])[0]."
        return network.final, check_is("network", network.model, AbstractUnit, expected, remedy, got)
    if unit is not None:
        check_instance("unit", unit, AbstractUnit, "Pass for example mf.ReLU().")
    elif not callable(network):
        check_instance("network", network, (Solution, Particles), f"Or pass a function of one input. {_CLOUD}")
    return network, ReLU() if unit is None else unit


def _largest(defect: Defect, network: PyTree, beside: PyTree, symmetries: list[Symmetry]) -> Float[Array, ""]:
    dim = dim_of(network)
    if dim is not None and symmetries[0].dim != dim:
        raise argument_error("group", f"of dimension {dim}, the cloud's", symmetries[0].dim, "Match them.")
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *symmetries)
    return jnp.max(_measure(defect, network, beside, stacked))


@eqx.filter_jit
def _measure(defect: Defect, network: PyTree, beside: PyTree, elements: PyTree) -> Float[Array, " g"]:
    """The defect of every element of a stack, one element at a time in memory, [g]."""
    return jax.lax.map(lambda element: with_all_digits(defect)(network, beside, element), elements)


def _sampled_defect(function: Callable[[Array], Array], points: Empirical, symmetry: Symmetry) -> Float[Array, ""]:
    here, there = jax.vmap(function)(points.x), jax.vmap(function)(act(symmetry, points.x))
    return relative_gap(points, here, there - symmetry.sign.astype(here.dtype) * here)


def _exact_defect(cloud: Particles, unit: AbstractHomogeneousUnit, symmetry: Symmetry) -> Float[Array, ""]:
    """2 (⟨f, f⟩ − ⟨f, s f(T·)⟩) / ⟨f, f⟩; the factor E‖x‖²/d cancels."""
    image = act(symmetry, cloud)
    own, crossed = _inner_product(cloud, cloud, unit), _inner_product(cloud, image, unit)
    mass = jnp.mean(jnp.abs(cloud.a) * jnp.linalg.norm(cloud.b, axis=1))
    visible = own > 1e3 * np.finfo(cloud.dtype).eps * mass**2
    return jnp.where(visible, jnp.maximum(2 * (own - crossed), 0) / jnp.where(visible, own, 1), 0)


def _inner_product(cloud: Particles, other: Particles, unit: AbstractHomogeneousUnit) -> Float[Array, ""]:
    """E[f f'] / (E‖x‖²/d) = (1/mM) Σ a_i a'_j ‖b_i‖‖b'_j‖ (o² q + e² (2/π)(√(1−q²) + q arcsin q)) (Cho & Saul 2009)."""
    odd, even = (slope.astype(cloud.dtype) for slope in (unit.odd_slope, unit.even_slope))
    norms, others = (jnp.linalg.norm(c.b, axis=1) for c in (cloud, other))
    safe, other_safe = (jnp.where(n > 0, n, 1) for n in (norms, others))
    directions, other_directions = cloud.b / safe[:, None], other.b / other_safe[:, None]
    sizes = other.a * others

    def row(neuron):
        size, direction = neuron
        q = jnp.clip(jnp.matmul(other_directions, direction, precision=_EXACT), -1, 1)
        kernel = odd**2 * q + even**2 * (2 / np.pi) * (jnp.sqrt((1 - q) * (1 + q)) + q * jnp.arcsin(q))
        return size * jnp.sum(sizes * kernel)

    return jnp.sum(jax.lax.map(row, (cloud.a * norms, directions), batch_size=_ROWS)) / (cloud.width * other.width)


def _parameter_defect(cloud: Particles, _: None, symmetry: Symmetry) -> Float[Array, ""]:
    return _discrepancy(_rows(cloud), _rows(act(symmetry, cloud)))


def _action_law_defect(cloud: Cloud, action: Action, element: Float[Array, "k k"]) -> Float[Array, ""]:
    return _discrepancy(_rows(cloud), _rows(action.move(element, cloud)))


def _rows(cloud: Cloud) -> Float[Array, "m p"]:
    """One row of numbers for every neuron."""
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(cloud)], axis=1)


def _discrepancy(points: Float[Array, "m p"], images: Float[Array, "m p"]) -> Float[Array, ""]:
    """The maximum mean discrepancy of two laws, relative to its largest value."""
    centre = jnp.mean(jnp.concatenate([points, images]), axis=0, keepdims=True)
    variance = jnp.mean(jnp.sum((points - centre) ** 2, axis=1))
    spread = variance > 0
    width = jnp.where(spread, variance, 1)
    own, crossed = _mean_kernel(points, points, width), _mean_kernel(points, images, width)
    rest = 2 - own - crossed
    return jnp.where(spread, jnp.maximum(own - crossed, 0) / jnp.where(rest > 0, rest, 1), 0)


def _mean_kernel(points: Float[Array, "m p"], others: Float[Array, "n p"], variance: Float[Array, ""]) -> Float[Array, ""]:
    """Mean of exp(−‖z−z'‖²/2h²) over all pairs; smooth, so that rounding in ‖z−z'‖² stays rounding."""
    squares = jnp.sum(others**2, axis=1)

    def row(point):
        distance = jnp.sum(point**2) + squares - 2 * jnp.matmul(others, point, precision=_EXACT)
        return jnp.mean(jnp.exp(-distance / (2 * variance)))

    return jnp.mean(jax.lax.map(row, points, batch_size=_ROWS))
