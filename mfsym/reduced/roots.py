"""Square roots whose derivative at 0 is 0: right for what is even in the root."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_root(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """√s, and 0 with derivative 0 where s ≤ 0."""
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def row_norms(x: Float[Array, "... n"]) -> Float[Array, "..."]:
    """‖x_i‖ of every row."""
    return safe_root(jnp.sum(x**2, axis=-1))
