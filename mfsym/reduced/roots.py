"""Roots and quotients whose derivatives stay finite. At 0 that of a root is 0: right for what is even in it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_root(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """√s, and 0 with derivative 0 where s ≤ 0."""
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def row_norms(x: Float[Array, "... n"]) -> Float[Array, "..."]:
    """‖x_i‖ of every row."""
    return safe_root(jnp.sum(x**2, axis=-1))


@jax.custom_jvp
def quotient(held: Array, needed: Array) -> Array:
    """held / needed, whose derivative does not square a density that may be as small as the smallest float."""
    return held / needed


@quotient.defjvp
def _quotient_jvp(primals, tangents):
    share = primals[0] / primals[1]
    return share, (tangents[0] - share * tangents[1]) / primals[1]
