"""How fast neurons in balance grow and move, on any number of angles."""

import equinox as eqx
from jaxtyping import Array, Float

REACTION = 2.0  # c' = 2 ε c G: both a and ‖b‖ grow at rate ε G


class Pace(eqx.Module):
    """Training of layers that stay balanced: time runs `rate` times as fast, and with weight decay λ masses c decay,
    c' = 2 rate c (ε G − λ), θ' = ε rate V. (Derived.)"""

    rate: Float[Array, ""]
    weight_decay: Float[Array, ""]

    @property
    def loss(self) -> Float[Array, ""]:
        """2λ, the rate at which weight decay takes mass."""
        return REACTION * self.weight_decay
