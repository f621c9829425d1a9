"""Between the routes: a cloud pushed forward to the angles of a reduction, and clouds drawn from a reduced solution."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .errors import argument_error, check_instance, check_integer, check_key, float_array
from .neurons import BiasedParticles, Particles, neuron_masses
from .reduced.angles.angular import AbstractAngularReduction
from .reduced.angles.coordinates import to_point
from .reduced.angles.forms import AbstractAngularDynamics
from .reduced.angles.labels import LabelState, label_weights
from .reduced.base import AbstractReduction
from .reduced.choose import form_of
from .reduced.orbits.quotient import OrbitReduction
from .solution import Solution
from .types import IntLike, RealLike, State


class Projection(NamedTuple):
    """A cloud on the angles of a reduction: θ_j [m], or [m, k] with k angles, and signed weights ε_j c_j / m [m]."""

    theta: Float[Array, "m *k"]
    weight: Float[Array, " m"]


def project(cloud: Particles, reduced: AbstractAngularReduction) -> Projection:
    """Push the law of a cloud forward to the angles: atoms at θ_j with weights sign(a_j)|a_j|‖b_j‖/m."""
    check_instance("cloud", cloud, Particles, "Build one with mf.sphere_cloud.")
    check_instance("reduced", reduced, AbstractAngularReduction, "Build it with mf.reduce(problem).")
    dim = reduced.known_dim()
    if dim is not None and dim != cloud.dim:
        raise argument_error("cloud", f"of dimension {dim}, that of the reduction", cloud.dim, "Match them.")
    weight = (jnp.sign(cloud.a) * neuron_masses(cloud) / cloud.width).astype(reduced.dtype)
    angles = reduced.angles_of(cloud.b.astype(reduced.dtype))
    return Projection(angles[:, 0] if reduced.angles == 1 else angles, weight)


def sample_cloud(solution: Solution, t: RealLike, *, width: IntLike, key: PRNGKeyArray) -> Particles | BiasedParticles:
    """Draw a cloud of neurons from a reduced solution at a recorded time (the lift of its law to all neurons).

    Half of the neurons started with a > 0, and directions inside H, H^⊥ and every other block are uniform. Of a run on the
    angles, angles are independent draws from τ^±, with |a| = ‖b‖ = √(2 mass of the sign). Of a run by labels, labels are
    drawn by what they weigh, each with its own a, norms of blocks and bias: the cloud is as unbalanced as the run. On the
    angles a `GaussianStart` has neurons of many sizes for one label; these are drawn with the root mean square, which
    moves and predicts in the same way. Raises ArgumentError if `t` was not recorded, or if `width` is odd.
    """
    check_instance("solution", solution, Solution, "Pass what mf.solve_reduced returned.")
    kinds = (AbstractAngularReduction, OrbitReduction)
    reduction = check_instance("solution.model", solution.model, kinds, "It needs an angle, or labels of neurons.")
    width = check_integer("width", width, 2)
    if width % 2:
        raise argument_error("width", "even", width, "Half of the neurons start with a > 0.")
    remedy = "Pass one of the recorded times, `solution.ts`."
    index = np.flatnonzero(np.isclose(np.asarray(solution.ts), float(float_array("t", t, 0, remedy))))
    if index.size == 0:
        raise argument_error("t", "one of the recorded times `solution.ts`", t, "Record it with ts=.")
    check_key(key)
    return _drawn(reduction, jax.tree.map(lambda leaf: leaf[index[0]], solution.states), width, key)


@functools.singledispatch
def _drawn(reduction: AbstractReduction, state: State, width: int, key: PRNGKeyArray) -> Particles | BiasedParticles:
    """Neurons of a state of a reduction."""
    raise NotImplementedError(type(reduction))


@_drawn.register
def _(reduction: AbstractAngularReduction, state, width, key):
    form = form_of(reduction, state)
    sizes_key, directions_key = jax.random.split(key)
    draw = _draw_balanced if form.balanced else _draw_labels
    a, points = draw(sizes_key, form, state, width // 2)
    return Particles(a, reduction.lift(points, directions_key))


@_drawn.register
def _(reduction: OrbitReduction, state, width, key):
    """One label from every m-th of the weights: as many of each sign as there are, and no more scatter than needed."""
    labels_key, directions_key = jax.random.split(key)
    cumulative = jnp.cumsum(reduction.labels.weight)
    uniform = jax.random.uniform(labels_key, (width,), cumulative.dtype)
    places = (jnp.arange(width, dtype=cumulative.dtype) + uniform) / width * cumulative[-1]
    drawn = jax.tree.map(lambda leaf: leaf[jnp.searchsorted(cumulative, places)], state)
    b = reduction.blocks.lift(drawn.q, directions_key)
    return BiasedParticles(drawn.a, b, drawn.bias) if reduction.biased else Particles(drawn.a, b)


def _draw_balanced(key: PRNGKeyArray, form: AbstractAngularDynamics, state: State, half: int) -> tuple[Array, Array]:
    """a and the sides of b of balanced neurons, `half` of each sign."""
    atoms = form.atoms(state)
    draw = _draw_angle if form.reduction.angles == 1 else _draw_row
    laws = zip(jax.random.split(key), *atoms, strict=True)
    angles = jnp.stack([draw(k, angles, weights, half) for k, angles, weights in laws])
    radius = jnp.sqrt(2 * jnp.sum(atoms.weights, axis=1))[:, None]
    a = radius * jnp.asarray([[1.0], [-1.0]], radius.dtype) * jnp.ones_like(angles[..., 0])
    points = radius[..., None] * to_point(angles)
    return a.ravel(), points.reshape(-1, points.shape[-1])


def _draw_labels(key: PRNGKeyArray, form: AbstractAngularDynamics, state: LabelState, half: int) -> tuple[Array, Array]:
    """The same of labels, drawn by their weights w: `half` equal neurons of each sign at the time 0 share Σ w."""
    weights = label_weights(form.reduction).reshape(2, -1)
    size = jnp.sqrt(2 * jnp.sum(weights, axis=1))[:, None, None]
    rows = jnp.concatenate([state.a[..., None], state.q], axis=-1).reshape(*weights.shape, -1)
    laws = zip(jax.random.split(key), rows, weights, strict=True)
    drawn = jnp.stack([_draw_row(k, row, weight, half) for k, row, weight in laws])
    drawn = (size * drawn).reshape(-1, rows.shape[-1])
    return drawn[:, 0], drawn[:, 1:]


def _draw_angle(key, atoms, weights, count):
    """Independent angles by inverting the cumulative weights, interpolated linearly between atoms."""
    atoms = atoms[:, 0]
    order = jnp.argsort(atoms)
    cumulative = jnp.cumsum(weights[order])
    uniform = jax.random.uniform(key, (count,), cumulative.dtype) * cumulative[-1]
    return jnp.interp(uniform, cumulative - weights[order] / 2, atoms[order])[:, None]


def _draw_row(key, rows, weights, count):
    """Independent rows, with probabilities in proportion to the weights."""
    return rows[jax.random.choice(key, len(weights), (count,), p=weights)]
