"""Where the flows of training carry a direction: a second route to the number of laws, without any bracket.

All points that flows of the fields reach from θ, one after another, form a manifold, and whatever training keeps is constant
on it. Its tangent space at θ is spanned by DΦ(θ)⁻¹ X_c(Φ(θ)), with Φ any such flows after another (Sussmann 1973). Here Φ is
three flows of random fields over a third of |θ| each, by Runge–Kutta steps; the way back is the same flows, run backwards.
What does not come back to θ is no direction of the orbit, and is left out.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .fields import FlatField

LEGS = 3
_STEPS = 400  # of each leg
_FAR = 0.3  # of |θ|, the length of a leg
_BACK = 1e-11  # of |θ|, how far from it the way back may end: far below what counts in a rank


def pulled_back(field: FlatField, cs: Float[Array, "k n"], theta: Float[Array, " D"]) -> Float[Array, " D"]:
    """DΦ(θ)⁻¹ X_c(Φ(θ)), c the last of `cs` and Φ the flows of the others."""
    *legs, last = cs
    there, ways = theta, []
    for c in legs:
        speed = jnp.linalg.norm(field(c, there))
        time = jnp.where(speed > 0, _FAR * jnp.linalg.norm(theta) / jnp.where(speed > 0, speed, 1), 0)
        there = _flow(field, c, time, there)
        ways.append((c, time))

    def back(place):
        for c, time in reversed(ways):
            place = _flow(field, c, -time, place)
        return place

    again, direction = jax.jvp(back, (there,), (field(last, there),))
    return jnp.where(jnp.linalg.norm(again - theta) < _BACK * jnp.linalg.norm(theta), direction, 0)


def _flow(field: FlatField, c: Float[Array, " n"], time: Float[Array, ""], theta: Float[Array, " D"]) -> Float[Array, " D"]:
    """The flow of X_c over a time, by the classical Runge–Kutta method."""
    tau = time / _STEPS

    def step(theta, _):
        first = field(c, theta)
        second = field(c, theta + tau / 2 * first)
        third = field(c, theta + tau / 2 * second)
        fourth = field(c, theta + tau * third)
        return theta + tau / 6 * (first + 2 * second + 2 * third + fourth), None

    return jax.lax.scan(step, theta, length=_STEPS)[0]
