"""Second moments of the neurons at time 0, for starts that are the same in all directions."""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from ...errors import is_traced, no_reduction
from ...problem.start import AbstractStart, GaussianStart, SphereStart, UnbalancedStart


class StartMoments(NamedTuple):
    """E a² and v2 with E b bᵀ = v2 I, whether |a| = ‖b‖ for every neuron, and whether both signs have the same mass."""

    outer: Float[Array, ""]
    inner: Float[Array, ""]
    balanced: bool
    same_masses: Bool[Array, ""] | Bool[np.ndarray, ""]

    @property
    def equal(self) -> bool | None:
        """Whether both signs have the same mass; None if this is not known."""
        return None if is_traced(self.same_masses) else bool(self.same_masses)


@functools.singledispatch
def start_moments(start: AbstractStart, dim: int) -> StartMoments:
    """The moments of a start in R^dim. A new start is one registration."""
    raise no_reduction(
        f"the start {type(start).__name__} is not the same in all directions",
        "Use mf.SphereStart, mf.UnbalancedStart or mf.GaussianStart, or `solve_particles`.",
    )


@start_moments.register
def _(start: SphereStart, dim: int):
    total = start.mass_plus + start.mass_minus
    one = start.mass_plus is start.mass_minus  # known to be equal even where they are traced
    return StartMoments(total, total / dim, True, np.asarray(True) if one else start.mass_plus == start.mass_minus)


@start_moments.register
def _(start: UnbalancedStart, dim: int):
    return StartMoments(start.norm_a**2, start.norm_b**2 / dim, False, np.asarray(True))


@start_moments.register
def _(start: GaussianStart, dim: int):
    return StartMoments(start.scale_a**2, start.scale_b**2 / dim, False, np.asarray(True))
