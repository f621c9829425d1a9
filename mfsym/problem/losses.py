"""Losses ℓ(f, y) and their residuals −∂₁ℓ."""

import abc

import equinox as eqx
from jaxtyping import Array, Float


class AbstractLoss(eqx.Module):
    """A loss ℓ(f, y) of one prediction and one value of the target."""

    @abc.abstractmethod
    def __call__(self, prediction: Float[Array, "..."], value: Float[Array, "..."]) -> Float[Array, "..."]:
        """ℓ(f, y), elementwise."""

    @abc.abstractmethod
    def residual(self, prediction: Float[Array, "..."], value: Float[Array, "..."]) -> Float[Array, "..."]:
        """R = −∂₁ℓ(f, y), elementwise: the force that the flow follows."""


class SquareLoss(AbstractLoss):
    """ℓ(f, y) = ½ (f − y)², residual y − f. The only loss with an exact population risk."""

    def __call__(self, prediction, value):
        """½ (f − y)²."""
        return 0.5 * (prediction - value) ** 2

    def residual(self, prediction, value):
        """y − f."""
        return value - prediction
