"""The noise of a network whose neurons nobody answers: all degrees together, in closed form.

With E σ(u·x) σ(u'·x) = κ(angle between u and u'), independent neurons that move along the mean flow alone have
lim m E‖f_m − f‖² = κ(0) ∫c² dμ less what the known numbers of neurons take away, or for pairs (c_+, u_+), (c_−, u_−) with
the directions of one start ∫ (c_+² + c_−²) κ(0) − 2 c_+ c_− κ(θ_+ − θ_−) dμ less the mean. (Derived.)
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..reduced.line.angle_reduction import AngleReduction
from .paths import Course


def correlation(reduction: AngleReduction, angle: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """κ of the unit for unit vectors at an angle in [−π, π], and its derivative.

    For σ(z) = o z + e|z|: κ = E‖x‖²/d (o² cos γ + e² (2/π)(sin γ + (π/2 − γ) cos γ)), the arc-cosine kernel.
    """
    odd, even = reduction.unit_slopes[0], reduction.unit_slopes[1]
    size, gap = reduction.second_moment / reduction.dim, jnp.abs(angle)
    rest = np.pi / 2 - gap
    value = odd**2 * jnp.cos(gap) + even**2 * (2 / np.pi) * (jnp.sin(gap) + rest * jnp.cos(gap))
    slope = -jnp.sin(angle) * (odd**2 + even**2 * (2 / np.pi) * rest)
    return size * value, size * slope


def passive_energy(reduction: AngleReduction, course: Course, signs: str) -> Float[Array, " T"]:
    """lim m E‖f_m − f‖² without any response, [T]."""
    mass, share = course.panels.join(course.paths.mass), course.labels.share[None]
    alone, _ = correlation(reduction, jnp.zeros((), mass.dtype))
    energy = alone * jnp.sum(share * mass**2, axis=1)
    network = jnp.sum(jnp.sum(course.halves, axis=1) ** 2, axis=-1)
    if signs == "balanced":
        return energy - 2 * jnp.sum(course.halves**2, axis=(1, 2))
    if signs == "random":
        return energy - network
    half = mass.shape[1] // 2
    theta = course.panels.join(course.paths.theta)
    between, _ = correlation(reduction, theta[:, :half] - theta[:, half:])
    crossed = jnp.sum(share[:, :half] * mass[:, :half] * mass[:, half:] * between, axis=1)
    return energy - 2 * crossed - 2 * network
