"""H is the whole space: no angle is left, and the masses solve a Riccati equation in closed form.

τ^± = m_± e^{±s} with s' = 2K(α − m_+ e^s + m_− e^{−s}); y = e^s solves y' = 2K(αy − m_+ y² + m_−). With
ω = √(α² + 4 m_+ m_−), T = tanh(Kωt), the solution with y(0) = 1 is y = (ω + (α + 2m_−)T) / (ω − (α − 2m_+)T). (Derived.)
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class PointReduction(eqx.Module):
    """A target scale·‖x‖ on the whole space: kernel K = E‖x‖² k, target mass α, initial masses [2], floor of the risk.

    A neuron of mass 1, averaged over its directions, is feature·‖x‖.
    """

    kernel: Float[Array, ""]
    target_mass: Float[Array, ""]
    masses: Float[Array, " 2"]
    floor: Float[Array, ""]
    feature: Float[Array, ""]

    def observe(self, t: Float[Array, " T"]) -> dict[str, Array]:
        """Risk, masses, alignments (1) and distances at times t [T], in closed form."""
        plus, minus = self.masses
        growth = self._growth(t)
        mass_plus, mass_minus = plus * growth, minus / growth
        gap = self.target_mass - mass_plus + mass_minus
        one = jnp.ones_like(t)
        return {
            "risk": self.floor + 0.5 * self.kernel * gap**2,
            "mass_plus": mass_plus,
            "mass_minus": mass_minus,
            "alignment_plus": one,
            "alignment_minus": one,
            "distance_plus": 0 * one,
            "distance_minus": (jnp.pi / 2) * one,
        }

    @property
    def dtype(self):
        """Floating type."""
        return self.masses.dtype

    def _growth(self, t: Float[Array, " T"]) -> Float[Array, " T"]:
        """y(t), without a difference of nearly equal numbers: ω − |α| = 4 m_+ m_− / (ω + |α|), 1 − T from exp(−2Kωt)."""
        (plus, minus), target = self.masses, self.target_mass
        size, least = jnp.abs(target), jnp.finfo(self.dtype).tiny
        speed = jnp.hypot(target, 2 * _root(plus) * _root(minus))
        resting = speed <= least  # nothing to learn and one sign only: y' = 2K(m_− − m_+ y²) with m_+ m_− = 0
        safe = jnp.where(resting, 1, speed)
        decay = jnp.exp(-2 * self.kernel * safe * t)
        turn, rest = (1 - decay) / (1 + decay), 2 * decay / (1 + decay)
        common = 4 * plus * (minus / (safe + size)) + size * rest
        towards, away = jnp.where(target >= 0, 2 * size * turn, 0), jnp.where(target < 0, 2 * size * turn, 0)
        moving = (common + towards + 2 * minus * turn) / (common + away + 2 * plus * turn)
        slow = (1 + 2 * self.kernel * minus * t) / (1 + 2 * self.kernel * plus * t)
        return jnp.where(resting, slow, moving)


def _root(mass: Float[Array, ""]) -> Float[Array, ""]:
    """√m, with derivative 0 at 0."""
    return jnp.where(mass > 0, jnp.sqrt(jnp.where(mass > 0, mass, 1)), 0)
