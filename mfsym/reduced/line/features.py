"""Features of one angle: the even harmonics and the linear one, for isotropic and for stretched inputs."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..rules.harmonics import EvenFeatures


class AngleFeatures(eqx.Module):
    """The even features of the angle and, on a signed angle, the linear one ½√(E R²/d) cos θ as the last entry.

    Where the inputs are `stretch` s times as large on H^⊥ as on H, a feature of b is that of (b_H, s b_⊥) for isotropic
    inputs: at ‖b‖ = 1 it is ρ ψ(φ) with ρ² = cos²θ + s² sin²θ, tan φ = s tan θ. (Derived.)
    """

    even: EvenFeatures
    linear: Float[Array, ""] | None
    stretch: Float[Array, ""] | None = None

    def __call__(self, theta: Float[Array, "..."]) -> tuple[Float[Array, "M ..."], Float[Array, "M ..."]]:
        """Every feature at θ and its derivative, [M, ...]."""
        if self.stretch is None:
            return self._isotropic(theta)
        cosine, sine = jnp.cos(theta), jnp.sin(theta)
        size = jnp.hypot(cosine, self.stretch * sine)
        values, slopes = self._isotropic(jnp.arctan2(self.stretch * sine, cosine))
        turned = slopes * (self.stretch / size)[None]  # ρ ∂φ/∂θ = s/ρ
        return size[None] * values, turned + ((self.stretch**2 - 1) * sine * cosine / size)[None] * values

    def _isotropic(self, theta):
        values, slopes = self.even(theta)
        if self.linear is None:
            return values, slopes
        value, slope = self.linear * jnp.cos(theta), -self.linear * jnp.sin(theta)
        return jnp.concatenate([values, value[None]]), jnp.concatenate([slopes, slope[None]])

    def truncate(self, count: int) -> "AngleFeatures":
        """The first `count` even features and the linear one."""
        return AngleFeatures(self.even.truncate(count), self.linear, self.stretch)
