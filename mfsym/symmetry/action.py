"""The action of one symmetry (s, T) on everything it acts on."""

from typing import overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import argument_error, check_instance, float_array
from ..groups import Symmetry
from ..neurons import Particles
from ..neurons import act as act_on_cloud
from ..types import RealArrayLike, RealFunction

_EXACT = jax.lax.Precision.HIGHEST


@overload
def act(symmetry: Symmetry, thing: Particles) -> Particles: ...
@overload
def act(symmetry: Symmetry, thing: RealFunction) -> RealFunction: ...
@overload
def act(symmetry: Symmetry, thing: RealArrayLike) -> Array: ...
def act(symmetry: Symmetry, thing: Particles | RealFunction | RealArrayLike) -> Particles | RealFunction | Array:
    """The image of a cloud, of inputs or of a predictor under (s, T).

    A cloud: (a, b) ↦ (s a, T b) for every neuron. Inputs, an array [d] or [n, d]: x ↦ T x. A function of one input
    (a target, a predictor): f ↦ s f(Tᵀ ·), so that the network of the image of a cloud is the image of its network, and
    a function has the symmetry f(T x) = s f(x) where it is its own image. (Hajjar & Chizat 2022, general class of
    symmetries.)
    """
    check_instance("symmetry", symmetry, Symmetry, "Pass mf.Symmetry(s, T).")
    if isinstance(thing, Particles):
        return act_on_cloud(symmetry, thing)
    if callable(thing):
        return _turned(symmetry, thing)
    x = float_array("thing", thing, None, "Pass Particles, an array [d] or [n, d], or a function of one input.")
    if x.ndim not in (1, 2) or x.shape[-1] != symmetry.dim:
        expected = f"inputs [d] or [n, d] with d = {symmetry.dim}, the dimension of the symmetry"
        raise argument_error("thing", expected, x.shape, "Match them.")
    return jnp.matmul(x, symmetry.matrix.T.astype(x.dtype), precision=_EXACT)


def _turned(symmetry: Symmetry, function: RealFunction) -> RealFunction:
    def image(x: Float[Array, " d"]) -> Float[Array, ""]:
        back = jnp.matmul(symmetry.matrix.T.astype(x.dtype), x, precision=_EXACT)
        return symmetry.sign.astype(x.dtype) * function(back)

    return image
