"""The unit of mass of a reduction: what counts as small in it, and what its floating type can hold."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, is_traced
from .base import AbstractReduction, Scales

Number = Float[Array, ""] | float  # traced, or known on the host


def _masses_that_matter(scales: Scales) -> tuple[Number, Number]:
    """The mass at time 0, and that of neurons whose network is as large as the target.

    A neuron of mass 1 is an output of about √(E‖x‖²/2πd), the mean over directions.
    """
    if any(map(is_traced, scales)):
        masses, coefficients, spread = (jax.lax.stop_gradient(value) for value in scales)
        return jnp.sum(masses), jnp.sqrt(2 * np.pi * jnp.sum(coefficients**2) / spread)
    masses, coefficients, spread = (np.asarray(value, float) for value in scales)  # on the host: nothing to compile
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        return float(np.sum(masses)), float(np.linalg.norm(coefficients) * np.sqrt(2 * np.pi / spread))


def smallest_scale(reduced: AbstractReduction) -> Number:
    """The smaller of these masses where it is below 1 and not 0: absolute tolerances are meant in this unit."""
    scales = reduced.scales()
    if scales is None:
        return 1.0
    found = _masses_that_matter(scales)
    if any(map(is_traced, found)):
        both = jnp.stack(found)
        return jnp.minimum(jnp.min(jnp.where(both > 0, both, 1)), 1)
    return min([1.0, *(float(each) for each in found if each > 0)])


def check_range(reduced: AbstractReduction) -> None:
    """Masses, and the squares of which the risk is made, must be ordinary numbers of the floating type.

    The square of the start may be rounded to 0 beside that of a target: neurons of mass 1e-200 grow to the target's.
    """
    scales = reduced.scales()
    found = None if scales is None else _masses_that_matter(scales)
    if found is None or any(map(is_traced, found)):
        return
    kind = jnp.finfo(reduced.dtype)
    tiny = float(kind.tiny) / float(kind.eps)
    least, most = np.sqrt(tiny), np.sqrt(float(kind.max) * float(kind.eps))
    bounds = zip(found, (tiny if found[1] else least, least), strict=True)
    if not all(each == 0 or bound < each < most for each, bound in bounds):
        expected = f"one whose masses have squares that {kind.dtype} can hold, between {least:.0e} and {most:.0e}"
        got = Words(f"one of mass {found[0]:.3g} with a target of mass {found[1]:.3g}")
        raise argument_error("reduced", expected, got, "Scale the target and the start of the problem, or use float64.")
