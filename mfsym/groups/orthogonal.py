"""SO(n) and O(n): their Lie algebra, Haar samples, and exact quadratures up to n = 3."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..errors import Words, argument_error, check_integer
from ..types import IntLike
from .group import AbstractGroup


class OrthogonalGroup(AbstractGroup):
    """SO(n), or O(n) with `reflections`. Build it with `mf.SO(n)` or `mf.O(n)`."""

    dim: int = eqx.field(static=True)
    reflections: bool = eqx.field(static=True)

    @property
    def size(self):
        """n."""
        return self.dim

    @property
    def order(self):
        """None but for n = 1."""
        return (2 if self.reflections else 1) if self.size == 1 else None

    @property
    def algebra(self):
        """The rotations of pairs of coordinates, e_j e_iᵀ − e_i e_jᵀ for i < j."""
        pairs = list(itertools.combinations(range(self.size), 2))
        found = np.zeros((len(pairs), self.size, self.size))
        for tangent, (i, j) in zip(found, pairs, strict=True):
            tangent[j, i], tangent[i, j] = 1.0, -1.0
        return jnp.asarray(found, jnp.result_type(float))

    @property
    def components(self):
        """One reflection, that of the last coordinate, or none."""
        flip = np.diag([1.0] * (self.size - 1) + [-1.0])
        return jnp.asarray(flip[None] if self.reflections else flip[None][:0], jnp.result_type(float))

    def sample(self, key, count):
        """By the QR decomposition of normal matrices, whose signs are chosen so that it is unique (Mezzadri 2007)."""
        found = jax.random.orthogonal(key, self.size, (count,))
        if self.reflections:
            return found
        signs = jnp.sign(jnp.linalg.det(found))
        return found.at[:, :, -1].multiply(signs[:, None])  # the same law on each of two components, one moved to the other

    def quadrature(self, degree):
        """Equal angles in the plane; in space Euler angles, with a Gauss–Legendre rule for the cosine of the second."""
        degree = check_integer("degree", degree, 0, "It is the degree of polynomials of the entries.")
        if self.size > 3:
            got = Words(f"that of {self!r}")
            remedy = "Use sample(key, count), or finite subgroups such as mf.signed_permutations(n)."
            raise argument_error("group", "one with a known rule: finite, SO(2), O(2), SO(3), O(3), products", got, remedy)
        elements, weights = _RULES[self.size](degree)
        if self.reflections:
            flip = np.diag([1.0] * (self.size - 1) + [-1.0])
            elements, weights = np.concatenate([elements, elements @ flip]), np.concatenate([weights, weights]) / 2
        dtype = jnp.result_type(float)
        return jnp.asarray(elements, dtype), jnp.asarray(weights, dtype)

    def __repr__(self) -> str:
        return f"{'O' if self.reflections else 'SO'}({self.size})"


def SO(size: IntLike) -> OrthogonalGroup:
    """All rotations of R^n."""
    return OrthogonalGroup(check_integer("size", size, 1, "It is the dimension n."), False)


def O(size: IntLike) -> OrthogonalGroup:  # noqa: E743  # the name of the field
    """All rotations and reflections of R^n."""
    return OrthogonalGroup(check_integer("size", size, 1, "It is the dimension n."), True)


_Rule = tuple[Float[np.ndarray, "q k k"], Float[np.ndarray, " q"]]


def _of_line(degree: int) -> _Rule:
    return np.ones((1, 1, 1)), np.ones(1)


def _of_plane(degree: int) -> _Rule:
    """degree + 1 equal angles."""
    angles = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    cos, sin = np.cos(angles), np.sin(angles)
    elements = np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)
    return elements, np.full(len(angles), 1 / len(angles))


def _of_space(degree: int) -> _Rule:
    """R_z(α) R_y(β) R_z(γ): what is left of entries of degree l after the means over α and γ is P_l(cos β)."""
    plane, weights = _of_plane(degree)
    turns = np.zeros((len(plane), 3, 3))
    turns[:, :2, :2], turns[:, 2, 2] = plane, 1.0
    cos, shares = np.polynomial.legendre.leggauss(degree // 2 + 1)
    tilts = np.zeros((len(cos), 3, 3))
    tilts[:, 0, 0], tilts[:, 2, 2], tilts[:, 1, 1] = cos, cos, 1.0
    tilts[:, 0, 2], tilts[:, 2, 0] = np.sqrt(1 - cos**2), -np.sqrt(1 - cos**2)
    elements = np.einsum("aij,bjk,ckl->abcil", turns, tilts, turns).reshape(-1, 3, 3)
    return elements, np.einsum("a,b,c->abc", weights, shares / 2, weights).ravel()


_RULES = {1: _of_line, 2: _of_plane, 3: _of_space}
