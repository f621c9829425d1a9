"""Finite groups: the closure of generators."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, check_integer
from ..types import IntLike
from .group import AbstractGroup
from .matrices import ORTHOGONALITY

LARGEST = 4096  # elements of a group that are listed


class MatrixGroup(AbstractGroup):
    """A finite group of orthogonal matrices: `generators` [c, k, k], and all `matrices` [g, k, k], the identity first.

    Build it with `mf.generate(*generators)`, or as `mf.cyclic(n)` and other named groups.
    """

    generators: Float[Array, "c k k"]
    matrices: Float[Array, "g k k"]

    @property
    def size(self):
        """k."""
        return self.matrices.shape[-1]

    @property
    def order(self):
        """The number of elements."""
        return self.matrices.shape[0]

    @property
    def algebra(self):
        """None: [0, k, k]."""
        return jnp.zeros((0, self.size, self.size), self.matrices.dtype)

    @property
    def components(self):
        """The generators."""
        return self.generators

    def sample(self, key, count):
        """Elements of equal probabilities."""
        return self.matrices[jax.random.randint(key, (count,), 0, self.order)]

    def quadrature(self, degree):
        """All elements with equal weights, for any degree."""
        return self.matrices, jnp.full((self.order,), 1 / self.order, self.matrices.dtype)


def closure(generators: Float[np.ndarray, "c k k"], largest: int) -> Float[np.ndarray, "g k k"]:
    """All products of some matrices, the identity first, breadth first (host, float64).

    Raises ArgumentError if more than `largest` elements appear: the group is then infinite, or too large to
    close a cloud under.
    """
    size = generators.shape[-1]
    found, count, walked = np.empty((largest + len(generators), size**2)), 1, 0  # rows, so that one product compares all
    found[0] = np.eye(size).ravel()
    while walked < count:  # the list grows while it is walked
        for generator in generators:
            candidate = (generator @ found[walked].reshape(size, size)).ravel()
            squares = np.sum(candidate**2) + np.einsum("gi,gi->g", found[:count], found[:count])
            if np.min(squares - 2 * found[:count] @ candidate) > (2 * size * ORTHOGONALITY) ** 2:
                found[count] = candidate
                count += 1
        if count > largest:
            raise argument_error("generators", f"those of a group of at most {largest}", count, "Use fewer.")
        walked += 1
    return found[:count].reshape(count, size, size)


def listed_group(generators: Float[np.ndarray, "c k k"], largest: int = LARGEST) -> MatrixGroup:
    """The group that orthogonal matrices on the host generate."""
    elements, dtype = closure(generators, largest), jnp.result_type(float)
    return MatrixGroup(jnp.asarray(generators, dtype), jnp.asarray(elements, dtype))


def cyclic(order: IntLike) -> MatrixGroup:
    """C_n, the rotations of the plane by multiples of 2π/n. Its `regular` representation shifts n places in a circle."""
    return listed_group(_turn(order)[None])


def dihedral(order: IntLike) -> MatrixGroup:
    """D_n, the 2n rotations and reflections of the plane that keep a regular polygon of n corners, one of them at (1, 0)."""
    return listed_group(np.stack([_turn(order), np.diag([1.0, -1.0])]))


def symmetric(size: IntLike) -> MatrixGroup:
    """S_n, all n! permutations of n coordinates, as matrices [n, n]. Listed for n ≤ 6."""
    return listed_group(_permutations(check_integer("size", size, 1, _SIZE)))


def signed_permutations(size: IntLike) -> MatrixGroup:
    """All 2^n n! permutations and changes of sign of n coordinates, the symmetries of a cube, [n, n]. Listed for n ≤ 5."""
    size = check_integer("size", size, 1, _SIZE)
    flip = np.diag([-1.0] + [1.0] * (size - 1))
    return listed_group(np.concatenate([_permutations(size), flip[None]]))


_SIZE = "It is the number of coordinates."


def _turn(order: IntLike) -> Float[np.ndarray, "2 2"]:
    """The rotation by 2π/n; numbers like 0, ½ and 1 are these to the last bit."""
    angle = 2 * np.pi / check_integer("order", order, 1, "It is the number of rotations.")
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    halves = np.round(2 * turn) / 2
    return np.where(np.abs(turn - halves) < 1e-15, halves, turn)


def _permutations(size: int) -> Float[np.ndarray, "2 n n"]:
    """A swap and a cycle."""
    ones = np.eye(size)
    return np.stack([ones[[*range(min(size, 2))[::-1], *range(2, size)]], np.roll(ones, 1, axis=0)])
