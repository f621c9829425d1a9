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
        speed = jnp.sqrt(self.target_mass**2 + 4 * plus * minus)
        turn = jnp.tanh(self.kernel * speed * t)
        growth = (speed + (self.target_mass + 2 * minus) * turn) / (speed - (self.target_mass - 2 * plus) * turn)
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
