"""Roots, norms and quotients with finite derivatives. At 0 that of a root is 0, which is right for what is even in it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_root(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """√s, and 0 with derivative 0 where s ≤ 0. What is no number stays none."""
    nothing = square <= 0
    return jnp.where(nothing, 0, jnp.sqrt(jnp.where(nothing, 1, square)))


def safe_norm(x: Float[Array, "... n"]) -> Float[Array, "..."]:
    """‖x_i‖ of every row, with derivative 0 where x_i = 0."""
    return safe_root(jnp.sum(x * x, axis=-1))


def safe_ratio(part: Float[Array, "..."], whole: Float[Array, "..."], otherwise: float) -> Float[Array, "..."]:
    """part/whole, and `otherwise` where whole = 0, with derivative 0 there; whole ≥ 0."""
    positive = whole > 0
    return jnp.where(positive, part / jnp.where(positive, whole, 1), otherwise)


@jax.custom_jvp
def quotient(held: Array, needed: Array) -> Array:
    """held / needed, whose derivative does not square a density that may be as small as the smallest float."""
    return held / needed


@quotient.defjvp
def _quotient_jvp(primals, tangents):
    share = primals[0] / primals[1]
    return share, (tangents[0] - share * tangents[1]) / primals[1]
