"""Cubatures of Gaussian inputs and of spheres, as weighted rows: a population risk then is the risk on these data."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_integer, check_is, check_key, is_traced
from ..groups import Action
from ..types import Checked, IntLike, KeyLike
from .block_inputs import GaussianBlocks
from .covariance import GaussianCovariance
from .empirical import REPLICATES, Empirical
from .inputs import AbstractInputs, Gaussian, Sphere
from .orbits import check_law, closed_under
from .quasi_random import host_generator

_EXACT = jax.lax.Precision.HIGHEST
_LAWS = (Gaussian, Sphere, GaussianBlocks, GaussianCovariance)
_MOST_DIMENSIONS = 4  # of a product of rules
_MOST_ROWS = 2**22
_DEFAULT_NODES = 16
_FRAMES = "Pass frames=64, of 2 d rows each, and key=jax.random.key(0)."


def cubature(
    inputs: Checked[AbstractInputs],
    *,
    nodes: IntLike | None = None,
    frames: IntLike | None = None,
    key: KeyLike | None = None,
    action: Checked[Action | None] = None,
) -> Empirical:
    """Weighted rows whose mean stands for that over a law of inputs, for a unit and a loss without closed forms.

    Gaussian inputs of up to four dimensions have the product of Gauss–Hermite rules of `nodes` nodes in every coordinate
    (default 16), nodes^d rows. Its `degree` is 2·nodes − 1: polynomials up to it in every coordinate are integrated exactly;
    functions with kinks converge slowly. Where all coordinates have one scale it is closed under signed permutations.

    In any dimension, and on spheres, `frames` asks for randomly turned frames: the rows ± r e_i of as many orthonormal bases
    e, a multiple of 8, drawn from `key`, with r a stratified draw of the law of ‖x‖ (before the scales of the coordinates).
    Polynomials of the direction are exact up to degree 3, so that the `degree` is 3 on spheres and 1 for Gaussians; the rest
    is sampled without bias, and eight replicates of the rule give the error of any mean, `data.error(values)`.

    `action`, of a finite group that leaves the law as it is, closes the rows under it: where they are not closed already,
    all images of every row share its weight. Data of a target that has the symmetry then have it exactly.

    Returns an `Empirical`, to be the inputs of a problem. Raises ArgumentError for a product in more dimensions, for a group
    that is infinite, or changes the law.
    (Gauss–Hermite; stochastic spherical rules after Genz & Monahan 1998, the strata derived.)
    """
    check_is("inputs", inputs, _LAWS, "a Gaussian law or a Sphere", "A data set is a cubature of its own law.")
    if action is None:
        return _rule(inputs, nodes, frames, key)
    check_law(inputs, action)
    return closed_under(_rule(inputs, nodes, frames, key), action)


def _rule(inputs: AbstractInputs, nodes: IntLike | None, frames: IntLike | None, key: KeyLike | None) -> Empirical:
    if frames is None:
        return _product_of_rules(inputs, nodes, key)
    if nodes is not None:
        raise argument_error("nodes", "left out where `frames` is given", nodes, "They are two different rules.")
    frames = check_integer("frames", frames, REPLICATES, f"It is a multiple of {REPLICATES}, the number of replicates.")
    if frames % REPLICATES:
        raise argument_error("frames", f"a multiple of {REPLICATES}", frames, "The rule has as many replicates.")
    key = check_key(key)
    if is_traced(key):
        raise argument_error("key", "known when the rule is built", key, "Build it outside of jit and vmap.")
    generator = host_generator(key)
    replicates = [_turned_frames(inputs, frames // REPLICATES, generator) for _ in range(REPLICATES)]
    x = placed(inputs, jnp.asarray(np.concatenate(replicates)))
    return Empirical(x, degree=3 if inputs.spherical else 1, replicates=REPLICATES)


def _product_of_rules(inputs: AbstractInputs, nodes: IntLike | None, key: KeyLike | None) -> Empirical:
    if key is not None:
        raise argument_error("key", "left out where `frames` is", key, "Only turned frames are random.")
    dim, remedy = inputs.dim, "It is the number of nodes in every coordinate."
    count = check_integer("nodes", _DEFAULT_NODES if nodes is None else nodes, 1, remedy)
    if inputs.spherical:
        raise argument_error("frames", "given on a sphere, which is no product", None, _FRAMES)
    if dim > _MOST_DIMENSIONS:
        expected = f"left out beyond {_MOST_DIMENSIONS} dimensions, where products of rules are too many rows"
        got = Words(f"{count} in {dim} dimensions, which are {float(count) ** dim:.0e}")
        raise argument_error("nodes", expected, got, _FRAMES)
    if count**dim > _MOST_ROWS:
        expected = f"at most {int(_MOST_ROWS ** (1 / dim))} in {dim} dimensions, {_MOST_ROWS} rows"
        raise argument_error("nodes", expected, count, "Pass fewer nodes.")
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    x = np.stack(np.meshgrid(*[points] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    product = functools.reduce(np.multiply.outer, [weights / weights.sum()] * dim).ravel()
    return Empirical(placed(inputs, jnp.asarray(x)), weights=product / product.sum(), degree=2 * count - 1)


def _turned_frames(inputs: AbstractInputs, count: int, generator: np.random.Generator) -> Float[np.ndarray, "n d"]:
    """Rows ± r e_i of independent uniform bases [count·2d, d] (host, float64); r = √d on a sphere."""
    dim = inputs.dim
    bases, triangles = np.linalg.qr(generator.standard_normal((count, dim, dim)))
    bases = bases * np.sign(np.diagonal(triangles, axis1=1, axis2=2))[:, None, :]  # uniform only with these signs
    squares = np.full(count, float(dim))
    if not inputs.spherical:
        shares = (generator.permutation(count) + generator.uniform(size=count)) / count
        squares = 2 * scipy.special.gammaincinv(dim / 2, shares)
    rows = np.sqrt(squares)[:, None, None] * np.swapaxes(bases, 1, 2)
    return np.stack([rows, -rows], axis=1).reshape(-1, dim)


@functools.singledispatch
def placed(inputs: AbstractInputs, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Points of the law of which z are those with E z zᵀ = I."""
    raise TypeError(f"No standard points for {type(inputs).__name__}.")


@placed.register
def _(inputs: Gaussian, z):
    return inputs.scale * z.astype(inputs.scale.dtype)


@placed.register
def _(inputs: Sphere, z):
    return inputs.radius * z.astype(inputs.radius.dtype) / inputs.dim**0.5


@placed.register
def _(inputs: GaussianBlocks, z):
    return inputs.coordinate_scales[None] * z.astype(inputs.scales.dtype)


@placed.register
def _(inputs: GaussianCovariance, z):
    return jnp.matmul(z.astype(inputs.cov.dtype), inputs.root.T, precision=_EXACT)
