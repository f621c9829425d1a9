"""The action of one symmetry (s, T), or of one element of a group, on everything it acts on."""

from typing import Any, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, float_array
from ..groups import Action, Symmetry
from ..neurons import Particles
from ..neurons import act as act_on_cloud
from ..types import Checked, Cloud, RealArrayLike, RealFunction

_EXACT = jax.lax.Precision.HIGHEST


@overload
def act(symmetry: Symmetry, thing: Particles, action: None = None) -> Particles: ...
@overload
def act(symmetry: Symmetry, thing: RealFunction, action: None = None) -> RealFunction: ...
@overload
def act(symmetry: Symmetry, thing: RealArrayLike, action: None = None) -> Array: ...
@overload
def act(symmetry: RealArrayLike, thing: Cloud | RealFunction, action: Action) -> Cloud | RealFunction: ...
def act(
    symmetry: Symmetry | RealArrayLike, thing: Any, action: Checked[Action | None] = None
) -> Particles | Cloud | RealFunction | Array:
    """The image of a cloud, of inputs or of a predictor under a symmetry (s, T), or under an element g of a group.

    A symmetry: a cloud has the image (a, b) ↦ (s a, T b) for every neuron; inputs, an array [d] or [n, d], have x ↦ T x; a
    function of one input (a target, a predictor) has f ↦ s f(Tᵀ ·), so that the network of the image of a cloud is the image
    of its network, and a function has the symmetry f(T x) = s f(x) where it is its own image.
    An element of a group, a matrix [k, k], with the `action` of the group: neurons z ↦ M(g) z, for one or a cloud of them;
    functions f ↦ ρ̂(g) f(ρ(g)⁻¹ ·); and any other array is taken for inputs, x ↦ ρ(g) x.
    (Hajjar & Chizat 2022, general class of symmetries; Maass & Fontbona 2024.)
    """
    if action is not None:
        return _act_by(symmetry, thing, check_instance("action", action, Action, "Build it with mf.action(…)."))
    symmetry = check_instance("symmetry", symmetry, Symmetry, "Pass mf.Symmetry(s, T), or a matrix and its group's action.")
    if isinstance(thing, Particles):
        return act_on_cloud(symmetry, thing)
    function: RealFunction = thing
    if callable(function):
        return _turned(symmetry, function)
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


def _act_by(element: Symmetry | RealArrayLike, thing: Any, action: Action) -> Cloud | RealFunction:
    """The image under one element of a group."""
    size, remedy = action.group.size, "Take one of action.group.elements, or of a sample."
    expected = f"an element of the group, a matrix [{size}, {size}]"
    if isinstance(element, Symmetry):
        raise argument_error("symmetry", expected, Words("a Symmetry"), remedy)
    matrix = float_array("symmetry", element, 2, remedy)
    if matrix.shape != (size, size):
        raise argument_error("symmetry", expected, matrix.shape, remedy)
    if action.takes(thing):
        return action.move(matrix, thing)
    function: RealFunction = thing
    if callable(function):
        return lambda x: action.move_output(matrix, function(action.move_input(matrix.T, x)))
    x = float_array("thing", thing, None, "Pass neurons of the action, inputs [d] or [n, d], or a function of one input.")
    if x.ndim not in (1, 2) or x.shape[-1] != action.inputs.size:
        expected = f"neurons of the action, or inputs [d] or [n, d] with d = {action.inputs.size}"
        raise argument_error("thing", expected, x.shape, "Match them.")
    return action.move_input(matrix, x)
