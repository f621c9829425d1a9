"""Between the routes: a cloud pushed forward to the angles of a reduction, and clouds drawn from a reduced solution."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .errors import argument_error, check_instance, check_integer, check_key, float_array, is_traced
from .neurons import Particles, neuron_masses
from .reduced.blocks.predictor import block_angles
from .reduced.blocks.quotient import BlockReduction
from .reduced.labels import LabelState, label_weights
from .reduced.predictor import coordinates, weighted_angles
from .reduced.quotient import AngleReduction
from .solution import Solution


class Projection(NamedTuple):
    """A cloud on the angles of a reduction: θ_j [m], or [m, k] with k angles, and signed weights ε_j c_j / m [m]."""

    theta: Float[Array, "m *k"]
    weight: Float[Array, " m"]


def project(cloud: Particles, reduced: AngleReduction | BlockReduction) -> Projection:
    """Push the law of a cloud forward to the angles: atoms at θ_j with weights sign(a_j)|a_j|‖b_j‖/m."""
    check_instance("cloud", cloud, Particles, "Build one with mf.sphere_cloud.")
    check_instance("reduced", reduced, (AngleReduction, BlockReduction), "Build it with mf.reduce(problem).")
    dim = sum(reduced.blocks.dims) if isinstance(reduced, BlockReduction) else reduced.dim
    if not is_traced(dim) and round(float(dim)) != cloud.dim:
        raise argument_error("cloud", f"of dimension {round(float(dim))}, that of the reduction", cloud.dim, "Match them.")
    weight = (jnp.sign(cloud.a) * neuron_masses(cloud) / cloud.width).astype(reduced.dtype)
    if isinstance(reduced, BlockReduction):
        return Projection(block_angles(reduced, cloud.b.astype(reduced.dtype)), weight)
    along, across = coordinates(reduced, cloud.b.astype(reduced.dtype))
    theta = jnp.arctan2(across, along)
    return Projection(theta, weight)


def sample_cloud(solution: Solution, t: Any, *, width: int, key: PRNGKeyArray) -> Particles:
    """Draw a cloud of neurons from a reduced solution at a recorded time (the lift of τ^± to R^{1+d}).

    Half of the neurons started with a > 0, and directions in H and H^⊥ are uniform. Of a run on the angle, angles are
    independent draws from τ^±, with |a| = ‖b‖ = √(2 mass of the sign). Of a run by labels, labels are drawn by what they
    weigh, each with its own a, ‖b_H‖ and ‖b_⊥‖: the cloud is as unbalanced as the run. A `GaussianStart` has neurons of
    many sizes for one label; these are drawn with the root mean square, which moves and predicts in the same way.
    Raises ArgumentError if `t` was not recorded, or if `width` is odd.
    """
    check_instance("solution", solution, Solution, "Pass what mf.solve_reduced returned.")
    reduction = check_instance("solution.model", solution.model, AngleReduction, "It needs an angle.")
    width = check_integer("width", width, 2)
    if width % 2:
        raise argument_error("width", "even", width, "Half of the neurons start with a > 0.")
    remedy = "Pass one of the recorded times, `solution.ts`."
    index = np.flatnonzero(np.isclose(np.asarray(solution.ts), float(float_array("t", t, 0, remedy))))
    if index.size == 0:
        raise argument_error("t", "one of the recorded times `solution.ts`", t, "Record it with ts=.")
    check_key(key)
    state = jax.tree.map(lambda leaf: leaf[index[0]], solution.states)
    sizes_key, directions_key = jax.random.split(key)
    draw = _draw_labels if isinstance(state, LabelState) else _draw_angles
    a, along, across = draw(sizes_key, reduction, state, width // 2)
    inside, outside = _directions(directions_key, reduction, width)
    return Particles(a, along[:, None] * inside + across[:, None] * outside)


def _draw_angles(key: PRNGKeyArray, reduction: AngleReduction, state: Any, half: int) -> tuple[Array, Array, Array]:
    """a, ‖b_H‖ (or the signed coordinate) and ‖b_⊥‖ of balanced neurons, `half` of each sign."""
    atoms, weights = weighted_angles(reduction, state)
    theta = jnp.stack([_draw(k, *law, half) for k, *law in zip(jax.random.split(key), atoms, weights, strict=True)])
    radius = jnp.sqrt(2 * jnp.sum(weights, axis=1))[:, None]
    a = radius * jnp.asarray([[1.0], [-1.0]], radius.dtype) * jnp.ones_like(theta)
    return a.ravel(), (radius * jnp.cos(theta)).ravel(), (radius * jnp.sin(theta)).ravel()


def _draw_labels(key: PRNGKeyArray, reduction: AngleReduction, state: LabelState, half: int) -> tuple[Array, Array, Array]:
    """The same of labels, drawn by their weights w: `half` equal neurons of each sign at the time 0 share Σ w."""
    weights = label_weights(reduction).reshape(2, -1)
    size = jnp.sqrt(2 * jnp.sum(weights, axis=1))[:, None]
    index = jnp.stack(
        [jax.random.choice(k, w.size, (half,), p=w) for k, w in zip(jax.random.split(key), weights, strict=True)]
    )

    def drawn(leaf: Array) -> Array:
        return (size * jnp.take_along_axis(leaf.reshape(2, -1), index, axis=1)).ravel()

    return drawn(state.a), drawn(state.p), drawn(state.r)


def _draw(key, atoms, weights, count):
    """Independent angles by inverting the cumulative weights, interpolated linearly between atoms."""
    order = jnp.argsort(atoms)
    cumulative = jnp.cumsum(weights[order])
    uniform = jax.random.uniform(key, (count,), cumulative.dtype) * cumulative[-1]
    return jnp.interp(uniform, cumulative - weights[order] / 2, atoms[order])


def _directions(key, reduction: AngleReduction, count: int):
    """Independent unit vectors of H (the axis itself where the angle is signed) and of H^⊥, each [count, d]."""
    dim, dim_h = round(float(reduction.dim)), round(float(reduction.dim_h))
    basis = jnp.eye(dim_h, dim, dtype=reduction.dtype) if reduction.basis is None else reduction.basis
    gauss = jax.random.normal(key, (count, dim), reduction.dtype)
    inside = (gauss @ basis.T) @ basis
    outside = gauss - inside
    if reduction.signed:
        inside = jnp.broadcast_to(basis[0], inside.shape)
    return tuple(v / jnp.linalg.norm(v, axis=1, keepdims=True) for v in (inside, outside))
