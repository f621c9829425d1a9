"""One floating type for a whole run."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..types import DTypeLike


def cast_floats(tree: PyTree, dtype: DTypeLike) -> PyTree:
    """Every floating leaf in one dtype, none weakly typed.

    Otherwise diffrax would promote a float32 state by float64 times, and equal runs would be compiled twice.
    """

    def cast(leaf):
        floating = eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(dtype) if floating and (leaf.dtype != dtype or leaf.weak_type) else leaf

    return jax.tree.map(cast, tree)


def strong(tree: PyTree) -> PyTree:
    """Arrays whose types are not weak: a place that a run was given compiles the same code as one that it made."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype), tree)
