"""Direct products of groups."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, check_instance, check_integer
from ..types import Checked, IntLike
from .group import AbstractGroup
from .matrices import block_diagonal
from .representations import AbstractRepresentation, OfBlock, check_same_group


class ProductGroup(AbstractGroup):
    """G_1 × G_2 × …: pairs, triples … of elements, as block-diagonal matrices. Build it with `mf.product(G, H)`.

    A representation R of the i-th factor is one of the product as well, `product.of_factor(i, R)`.
    """

    factors: tuple[AbstractGroup, ...]

    @property
    def size(self):
        """The sum of the sizes."""
        return sum(factor.size for factor in self.factors)

    @property
    def order(self):
        """The product of the orders."""
        orders = [factor.order for factor in self.factors]
        return None if None in orders else math.prod(order for order in orders if order is not None)

    @property
    def algebra(self):
        """Those of the factors in their blocks."""
        return self._embedded([factor.algebra for factor in self.factors], 0.0)

    @property
    def components(self):
        """Those of the factors, beside identities."""
        return self._embedded([factor.components for factor in self.factors], 1.0)

    def sample(self, key, count):
        """Independent elements of the factors."""
        keys = jax.random.split(key, len(self.factors))
        return block_diagonal(*(factor.sample(k, count) for factor, k in zip(self.factors, keys, strict=True)))

    def quadrature(self, degree):
        """All pairs, triples … of nodes of the factors' rules."""
        rules = [factor.quadrature(degree) for factor in self.factors]
        places = np.indices([len(weights) for _, weights in rules]).reshape(len(rules), -1)
        elements = block_diagonal(*(nodes[place] for (nodes, _), place in zip(rules, places, strict=True)))
        weights = [weights[place] for (_, weights), place in zip(rules, places, strict=True)]
        return elements, functools.reduce(jnp.multiply, weights)

    def of_factor(self, index: IntLike, representation: Checked[AbstractRepresentation]) -> AbstractRepresentation:
        """g ↦ R(g_i), a representation R of the i-th factor carried over to the product."""
        index = check_integer("index", index, 0, "It is the place of a factor, from 0.")
        if index >= len(self.factors):
            raise argument_error("index", f"below {len(self.factors)}, the number of factors", index, "Count from 0.")
        remedy = "Build it from the factor, for example G.standard."
        inner = check_instance("representation", representation, AbstractRepresentation, remedy)
        check_same_group("representation", self.factors[index], inner)
        return OfBlock(self, sum(factor.size for factor in self.factors[:index]), inner)

    def _embedded(self, stacks: list[Float[Array, "_ _ _"]], diagonal: float) -> Float[Array, "c k k"]:
        """Matrices of the factors in their blocks, the other blocks being 0 or the identity."""
        rows = []
        for i, stack in enumerate(stacks):
            others = [jnp.eye(factor.size, dtype=stack.dtype) * diagonal for factor in self.factors]
            blocks = [jnp.broadcast_to(other[None], (len(stack), *other.shape)) for other in others]
            rows.append(block_diagonal(*blocks[:i], stack, *blocks[i + 1 :]))
        return jnp.concatenate(rows)


def product(*groups: Checked[AbstractGroup]) -> ProductGroup:
    """The direct product of some groups; `product.of_factor(i, R)` carries representations of the factors over to it."""
    remedy = "Pass for example mf.cyclic(4) and mf.symmetric(3)."
    if not groups:
        raise argument_error("groups", "at least one group", groups, remedy)
    return ProductGroup(tuple(check_instance("groups", group, AbstractGroup, remedy) for group in groups))
