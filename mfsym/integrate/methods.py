"""Runge–Kutta methods by name, with the steps that keep a state admissible, and the modes of differentiation."""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import numpy as np


def _ten_stages() -> np.ndarray:
    """Runge–Kutta matrix of the ten-stage method: Euler steps of a sixth, with a convex combination after the fifth."""
    matrix = np.tril(np.full((10, 10), 1 / 6), -1)
    matrix[5:, :5] = 1 / 15
    return matrix


class SSPRK104(diffrax.AbstractERK):
    """Ten-stage fourth-order strong-stability-preserving Runge–Kutta method (Ketcheson 2008), coefficient 6.

    Every stage is a convex combination of Euler steps of a sixth of the step, so what Euler steps keep (positivity) is
    kept with steps six times as long. The embedded third-order weights are those of Conde, Fekete & Shadid (2018).
    """

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        c=_ten_stages().sum(axis=1)[1:],
        a_lower=tuple(_ten_stages()[i, :i] for i in range(1, 10)),
        b_sol=np.full(10, 1 / 10),
        b_error=1 / 10 - np.array([1 / 5, 0, 0, 3 / 10, 0, 0, 1 / 5, 0, 3 / 10, 0]),
    )
    interpolation_cls: ClassVar[Callable[..., Any]] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        """4."""
        return 4


METHODS = {"ssprk104": SSPRK104, "tsit5": diffrax.Tsit5, "dopri8": diffrax.Dopri8, "euler": diffrax.Euler}
SSP_COEFFICIENT = {"ssprk104": 6.0}
ADJOINTS = {"reverse": diffrax.RecursiveCheckpointAdjoint, "forward": diffrax.ForwardMode}
