"""What a form of an equation on angles is asked for: flows of labels, and flows of densities on a grid."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...errors import argument_error
from ..stepped import AbstractSteppedForm
from .angular import AbstractAngularReduction

_ROUND_OFF = 1e-6  # of the largest density: what a state in float32 may be below 0


class AbstractAngularDynamics(AbstractSteppedForm):
    """A flow of τ^± on k ≥ 1 angles, or of neurons that have them.

    `balanced` says whether |a| = ‖b‖ for every neuron, so that masses say all; `has_density`, whether states are densities.
    """

    reduction: eqx.AbstractVar[AbstractAngularReduction]
    has_density: eqx.AbstractClassVar[bool]
    balanced: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def network(self, state: PyTree) -> Float[Array, " M"]:
        """Coefficients of the predictor of a state, see `AbstractAngularReduction.network`; of a prepared system."""

    @abc.abstractmethod
    def density(self, state: PyTree, angles: Float[Array, "n k"]) -> Float[Array, "2 n"]:
        """Densities of τ⁺ and τ⁻ per unit of the angles; refused by systems of labels, which have none."""


class AbstractLabelForm(AbstractAngularDynamics):
    """Neurons followed by their labels: atoms, without a density."""

    has_density: ClassVar[bool] = False

    def largest_step(self, state: PyTree) -> Float[Array, ""]:
        """No bound: nothing here can become negative."""
        return jnp.asarray(jnp.inf, self.reduction.dtype)

    def observe(self, t: Float[Array, ""], state: PyTree) -> dict[str, Array]:
        """What the atoms show."""
        return self.reduction.observe_atoms(self.atoms(state))

    def predict(self, state: PyTree, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f(x) of the atoms."""
        return self.reduction.predict_atoms(self.atoms(state), x)

    def network(self, state: PyTree) -> Float[Array, " M"]:
        """That of the atoms."""
        atoms = self.atoms(state)
        return self.reduction.network(atoms.scattered(), atoms.signed())

    def density(self, state: PyTree, angles: Float[Array, "n k"]) -> Float[Array, "2 n"]:
        """Refused."""
        raise argument_error("solution", "one on a grid", "one by characteristics", 'Solve with method="grid".')


class AbstractDensityForm(AbstractAngularDynamics):
    """Densities of τ⁺ and τ⁻ on a grid of neurons in balance."""

    has_density: ClassVar[bool] = True
    balanced: ClassVar[bool] = True

    def admissible(self, state: PyTree) -> bool:
        """Finite, and not negative but for rounding."""
        return bool(np.all(np.isfinite(state)) & (np.min(state) >= -_ROUND_OFF * np.max(state)))

    def event(self) -> None:
        """None: the flow of densities is unique."""
