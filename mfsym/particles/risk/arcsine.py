"""The exact population risk of erf neurons under Gaussian inputs, by the arcsine kernel (Williams 1997; Saad & Solla 1995).

With x = L z, z ~ N(0, I), and c = Lᵀ b, the neuron a erf(b·x) is a erf(c·z), and
    E[erf(c·z) erf(c'·z)] = (2/π) arcsin(2 c·c' / √((1 + 2‖c‖²)(1 + 2‖c'‖²))),
    E[erf(c·z) v·z] = (2/√π) c·v / √(1 + 2‖c‖²),
    E[erf(c·z) g(t)] = E[g(t) erf(ρ t / √(1 + 2(‖c‖² − ρ²)))] for a coordinate t = r·z, ‖r‖ = 1, with ρ = c·r. (Derived.)
"""

import abc
import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...chunks import map_blocks, rows_per_block
from ...errors import argument_error
from ...integrate import cast_floats
from ...neurons import Particles
from ...problem.cubature import placed
from ...problem.inputs import AbstractInputs
from ...problem.rotated import Rotated, unrotated
from ...problem.targets import AbstractTarget, LinearTarget, SingleIndex, Teacher
from ...problem.units import is_erf
from ...products import product
from ...risks import AbstractPredictorRisk
from .single_index import gaussian_rule
from .targets import USE_SAMPLES

_EXACT = jax.lax.Precision.HIGHEST


class AbstractErfTerm(eqx.Module):
    """What the risk knows of a target: g*(c) = E[f*(x) erf(c·z)], and `energy` = E f*²."""

    energy: eqx.AbstractVar[Float[Array, ""]]

    @abc.abstractmethod
    def values(self, c: Float[Array, "m d"]) -> Float[Array, " m"]:
        """g* at every row, [m]."""


class ArcsineRisk(AbstractPredictorRisk):
    """F = ½E(f − f*)² = ½E f*² − (1/m) Σ_i a_i g*(c_i) + (1/2m²) Σ_ij a_i a_j k(c_i, c_j) for neurons a erf(b·x).

    k is the arcsine kernel and c = Lᵀ b (see the module). The velocity is −m times the gradient of this sum. Time O(m²d),
    memory O(m): `block_size` neurons are paired with all others at a time; by default the shapes decide.
    """

    inputs: AbstractInputs
    target: AbstractTarget
    block_size: int | None = eqx.field(static=True, default=None)
    term: AbstractErfTerm | None = None

    def prepare(self):
        """The risk with the closed form of its target."""
        term = erf_term(self.target, standard_root(self.inputs)) if self.term is None else self.term
        return ArcsineRisk(self.inputs, self.target, self.block_size, term)

    def at_time(self, t):
        """The same risk at every time."""
        return self

    @eqx.filter_jit
    def value(self, cloud):
        """F, as a difference of the three sums above."""
        return cast_floats(self, cloud.dtype).prepare()._value(cloud)

    @eqx.filter_jit
    def velocity(self, cloud):
        """(a', b') for every neuron."""
        slope = jax.grad(cast_floats(self, cloud.dtype).prepare()._value)(cloud)
        return jax.tree.map(lambda leaf: -cloud.width * leaf, slope)

    @eqx.filter_jit
    def energy(self, cloud):
        """E f²."""
        c = product(cloud.b, standard_root(cast_floats(self.inputs, cloud.dtype)))
        return _pair_mean(cloud.a, c, cloud.a, c, self.block_size)

    def _value(self, cloud: Particles) -> Float[Array, ""]:
        assert self.term is not None
        c = product(cloud.b, standard_root(self.inputs))
        fit, own = jnp.mean(cloud.a * self.term.values(c)), _pair_mean(cloud.a, c, cloud.a, c, self.block_size)
        return self.term.energy / 2 - fit + own / 2


def standard_root(inputs: AbstractInputs) -> Float[Array, "d d"]:
    """L of x = L z, z ~ N(0, I)."""
    return placed(inputs, jnp.eye(inputs.dim)).T


def _pair_mean(
    a: Float[Array, " m"],
    c: Float[Array, "m d"],
    other_a: Float[Array, " n"],
    other_c: Float[Array, "n d"],
    size: int | None,
) -> Float[Array, ""]:
    """(1/mn) Σ_ij a_i a'_j k(c_i, c'_j)."""
    return jnp.mean(a * _features(c, other_a, other_c, size))


def _features(
    c: Float[Array, "m d"], other_a: Float[Array, " n"], other_c: Float[Array, "n d"], size: int | None
) -> Float[Array, " m"]:
    """(1/n) Σ_j a'_j k(c_i, c'_j) for every row, [m], in blocks of rows."""
    others = other_c / _whole(other_c)[:, None]

    def block(rows):
        q = 2 * product(rows / _whole(rows)[:, None], others.T)
        return jnp.matmul(jnp.arcsin(q), other_a, precision=_EXACT) * (2 / np.pi / other_a.shape[0])

    return map_blocks(block, c, rows_per_block(other_a.shape[0], size))


def _whole(c: Float[Array, "m d"]) -> Float[Array, " m"]:
    """√(1 + 2‖c‖²)."""
    return jnp.sqrt(1 + 2 * jnp.sum(c**2, axis=1))


def check_erf_target(target: AbstractTarget) -> None:
    """Raise ArgumentError for a target without a closed form."""
    target = unrotated(target)
    known = erf_term.dispatch(type(target)) is not erf_term.dispatch(object)
    if not known or (isinstance(target, Teacher) and not is_erf(target.unit)):
        expected = "one that erf neurons have a closed form for (LinearTarget, SingleIndex, Teacher of erf neurons)"
        raise argument_error("problem.target", expected, f"a {type(target).__name__}", USE_SAMPLES)


@functools.singledispatch
def erf_term(target: AbstractTarget, root: Float[Array, "d d"]) -> AbstractErfTerm:
    """The closed form of a target that `check_erf_target` lets through."""
    raise TypeError(f"No closed form for {type(target).__name__}.")


class LinearErfTerm(AbstractErfTerm):
    """f* = v·z."""

    v: Float[Array, " d"]
    energy: Float[Array, ""]

    def values(self, c):
        """(2/√π) c·v / √(1 + 2‖c‖²)."""
        return 2 / math.sqrt(math.pi) * jnp.matmul(c, self.v, precision=_EXACT) / _whole(c)


class IndexErfTerm(AbstractErfTerm):
    """f* = g(s t), t = r·z, by composite Gauss–Legendre between the kinks: weights include those of N(0, 1) and g."""

    r: Float[Array, " d"]
    points: Float[Array, " n"]
    weights: Float[Array, " n"]
    energy: Float[Array, ""]

    def values(self, c):
        """Σ_k weights_k erf(ρ points_k / √(1 + 2(‖c‖² − ρ²)))."""

        def block(rows):
            rho = jnp.matmul(rows, self.r, precision=_EXACT)
            across = jnp.sum(rows**2, axis=1) - rho**2
            ratio = rho / jnp.sqrt(1 + 2 * across)
            return jnp.matmul(jax.lax.erf(ratio[:, None] * self.points[None]), self.weights, precision=_EXACT)

        return map_blocks(block, c, rows_per_block(self.points.shape[0]))


class TeacherErfTerm(AbstractErfTerm):
    """f* another network of erf neurons, a [M] and c [M, d]."""

    a: Float[Array, " M"]
    c: Float[Array, "M d"]
    energy: Float[Array, ""]

    def values(self, c):
        """The arcsine kernel with the teacher."""
        return _features(c, self.a, self.c, None)


@erf_term.register
def _(target: LinearTarget, root):
    v = jnp.matmul(target.w, root, precision=_EXACT)
    return LinearErfTerm(v, jnp.sum(v**2))


@erf_term.register
def _(target: SingleIndex, root):
    scale = jnp.sqrt(jnp.sum(root[0] ** 2))
    points, weights = gaussian_rule(root.shape[0], jnp.asarray(sorted(target.kinks), root.dtype) / scale)
    values = jax.vmap(target.g)(scale * points).astype(root.dtype)
    return IndexErfTerm(root[0] / scale, points, weights[0] * values, jnp.sum(weights[0] * values**2))


@erf_term.register
def _(target: Teacher, root):
    a, c = target.cloud.a, product(target.cloud.b, root)
    return TeacherErfTerm(a, c, _pair_mean(a, c, a, c, None))


@erf_term.register
def _(target: Rotated, root):
    return erf_term(target.target, jnp.matmul(target.rotation, root, precision=_EXACT))
