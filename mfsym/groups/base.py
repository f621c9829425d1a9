"""What a compact group of matrices is: its Lie algebra, its components, means over it."""

import abc

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import Words, argument_error, is_traced


class AbstractCompactGroup(eqx.Module):
    """A compact group G of orthogonal matrices [k, k], which are its elements. Its representations are objects of their own.

    `algebra` [l, k, k] is a basis of its Lie algebra (none for a finite group). `components` [c, k, k] are elements that
    generate the group together with its identity component: generators of a finite group, one reflection of O(n).
    """

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """k."""

    @property
    @abc.abstractmethod
    def order(self) -> int | None:
        """The number of elements; None if there are infinitely many."""

    @property
    @abc.abstractmethod
    def algebra(self) -> Float[Array, "l k k"]:
        """A basis of the Lie algebra, skew matrices."""

    @property
    @abc.abstractmethod
    def components(self) -> Float[Array, "c k k"]:
        """Elements that generate the group, together with what is connected to the identity."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, count: int) -> Float[Array, "count k k"]:
        """Independent elements from the Haar probability, [count, k, k]."""

    @abc.abstractmethod
    def quadrature(self, degree: int) -> tuple[Float[Array, "q k k"], Float[Array, " q"]]:
        """Elements and weights whose mean is that over the group, of polynomials of the entries up to a degree.

        All elements for a finite group. Raises ArgumentError where no rule is known; `sample` remains.
        """

    @property
    def elements(self) -> Float[Array, "g k k"]:
        """All elements of a finite group, the identity first. Raises ArgumentError for an infinite one."""
        if self.order is None:
            raise argument_error("group", "finite", Words("infinite"), "Use quadrature(degree) or sample(key, count).")
        return self.quadrature(0)[0]


def is_same_group(one: AbstractCompactGroup, other: AbstractCompactGroup) -> bool:
    """Whether two groups have the same matrices in the same order."""
    if one is other:
        return True
    leaves, structure = jax.tree.flatten(one)
    others, its_structure = jax.tree.flatten(other)
    if structure != its_structure or any(a.shape != b.shape for a, b in zip(leaves, others, strict=True)):
        return False
    return any(map(is_traced, (*leaves, *others))) or all(map(np.array_equal, leaves, others))
