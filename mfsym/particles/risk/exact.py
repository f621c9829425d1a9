"""The exact population risk of a cloud: no samples, in blocks of neurons."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...integrate import cast_floats
from ...neurons import Particles
from ...problem.inputs import AbstractInputs
from ...problem.targets import AbstractTarget
from ...problem.units import AbstractHomogeneousUnit
from ...risks import AbstractPredictorRisk
from .kernel import pair_energy, pair_field
from .targets import AbstractTargetTerm, mean_square, target_term, target_values


class ExactRisk(AbstractPredictorRisk):
    """F = ½E(f − f*)² for rotation-invariant inputs and 1-homogeneous units, by the arc-cosine kernel k:

    F = ½E f*² − (1/m) Σ_i a_i g*(b_i) + (E‖x‖²/d)(1/2m²) Σ_ij a_i a_j k(b_i, b_j),
    a_i' = b_i·h_i, b_i' = a_i h_i with h_i = ∇g*(b_i) − (E‖x‖²/d)(1/m) Σ_j a_j ∇₁k(b_i, b_j).
    Both are correct where neurons coincide, in float32 too, and so are their derivatives. Time O(m²d), memory O(m):
    `block_size` neurons are paired with all others at a time; by default the shapes decide.
    (Cho & Saul 2009 for the kernel; the derivative is derived.)
    """

    inputs: AbstractInputs
    target: AbstractTarget
    unit: AbstractHomogeneousUnit
    block_size: int | None = eqx.field(static=True, default=None)
    term: AbstractTargetTerm | None = None

    def prepare(self):
        """The risk with the closed form of its target."""
        term = target_term(self.target, self.inputs, self.unit) if self.term is None else self.term
        return ExactRisk(self.inputs, self.target, self.unit, self.block_size, term)

    def at_time(self, t):
        """The same risk at every time."""
        return self

    @eqx.filter_jit
    def value(self, cloud):
        """F, as a difference of the three sums above."""
        term, square, odd, even = self._parts(cloud)
        fit = jnp.sum(cloud.a * target_values(term, cloud.b)) / cloud.width
        return term.energy / 2 - fit + square / 2 * pair_energy(cloud, cloud, odd, even, self.block_size)

    @eqx.filter_jit
    def velocity(self, cloud):
        """(a', b') for every neuron."""
        term, square, odd, even = self._parts(cloud)
        field = term.field(cloud.b) - square * pair_field(cloud.b, cloud, odd, even, self.block_size)
        return Particles(jnp.sum(cloud.b * field, axis=1), cloud.a[:, None] * field)

    @eqx.filter_jit
    def energy(self, cloud):
        """E f² = (E‖x‖²/d)(1/m²) Σ_ij a_i a_j k(b_i, b_j)."""
        _, square, odd, even = self._parts(cloud)
        return square * pair_energy(cloud, cloud, odd, even, self.block_size)

    def _parts(self, cloud: Particles) -> tuple[AbstractTargetTerm, Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        risk = cast_floats(self, cloud.dtype).prepare()
        odd, even = risk.unit.odd_slope.astype(cloud.dtype), risk.unit.even_slope.astype(cloud.dtype)
        return risk.term, mean_square(risk.inputs, cloud.dtype), odd**2, even**2
