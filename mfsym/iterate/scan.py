"""Loops through many steps of which reverse differentiation stores few."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import PyTree


def scan_in_parts(body: Callable, start: PyTree, length: int, plain: bool) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan(body, start, None, length)` of which reverse differentiation stores about 2 √length carries.

    The steps are cut into about √length parts. Reverse mode stores where each begins, and makes its steps anew for the
    time that it needs them; nothing else changes. `plain` leaves it out, for a body that has effects.
    """
    root = math.isqrt(length)
    if plain or root < 2:
        return jax.lax.scan(body, start, None, length=length)
    divisors = (parts for parts in range(root, root // 4, -1) if length % parts == 0)
    parts = next(divisors, root)  # without a divisor near the root a rest is left, whose code is compiled as well
    size, rest = divmod(length, parts)

    def part(count: int) -> Callable:
        return jax.checkpoint(lambda carry, _: jax.lax.scan(body, carry, None, length=count), prevent_cse=False)

    carry, rows = jax.lax.scan(part(size), start, None, length=parts)
    rows = jax.tree.map(lambda leaf: leaf.reshape(parts * size, *leaf.shape[2:]), rows)
    if rest:
        carry, others = part(rest)(carry, None)
        rows = jax.tree.map(lambda early, late: jnp.concatenate([early, late]), rows, others)
    return carry, rows


def while_in_parts(live: Callable, body: Callable, start: PyTree, most: int, plain: bool) -> PyTree:
    """`while live(carry): carry = body(carry)` for at most `most` steps; like `scan_in_parts` for differentiation.

    What is left of the bound when `live` has become false costs about 2 √most looks at it. In a batch `live` should be
    the same for all, or every step up to the bound is made.
    """
    parts = math.isqrt(most - 1) + 1 if most else 0  # the root, rounded up
    size = -(-most // parts) if parts else 0

    def guarded(step: Callable) -> Callable:
        return lambda carry, _: (jax.lax.cond(live(carry), step, lambda carry: carry, carry), None)

    def part(carry: PyTree) -> PyTree:
        return jax.lax.scan(guarded(body), carry, None, length=size)[0]

    return jax.lax.scan(guarded(part if plain else jax.checkpoint(part, prevent_cse=False)), start, None, length=parts)[0]
