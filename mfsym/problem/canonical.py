"""Data moved to canonical places: one representative of every orbit of a group."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, is_traced
from ..groups import Action
from ..types import Checked
from .empirical import Empirical
from .symmetric_units import checked_frame

_SHARE = 2 / 3  # of the digits, to which a frame must find one place for a whole orbit
_ELEMENTS = 8


def canonical(data: Checked[Empirical], action: Checked[Action], *, frame: Checked[Callable[[Array], Array]]) -> Empirical:
    """Labelled data with every input moved by its element c = frame(x), and its label with it: (ρ_c x, ρ̂_c y).

    A cloud trained on them predicts with `CanonicalUnit(unit, action, frame)`, which moves inputs there and outputs back.
    The canonical data are not equivariant, so that nothing that is proved for equivariant data holds of this training.

    Arguments: `data` with labels; `frame`, a function from an input [d] to an element [k, k] of the group, such that whole
    orbits have one place: c(ρ_g x) = c(x) g⁻¹. Raises ArgumentError if, at the rows and some of their images, it has not.
    (Canonicalisation and frame averaging; Dym, Lawrence & Siegel 2024 for what it cannot be.)
    """
    check_instance("data", data, Empirical, "Use mf.Empirical(x, y).")
    check_instance("action", action, Action, "Build it with mf.action(unit, inputs, outputs).")
    if data.y is None:
        remedy = "Give the rows their labels: mf.Empirical(x, problem.values(x))."
        raise argument_error("data", "one with labels, which move with their inputs", Words("one without"), remedy)
    place = checked_frame(frame, action)
    elements = jax.vmap(place)(data.x)
    x = jax.vmap(action.move_input)(elements, data.x)
    if not is_traced(x):
        _check_orbits(data.x, x, action, place)
    return Empirical(x, jax.vmap(action.move_output)(elements, data.y), data.weights)


def _check_orbits(x: Float[Array, "n d"], places: Float[Array, "n d"], action: Action, frame: Callable) -> None:
    """Some images of every row must come to the place of the row."""

    def place_of_image(element: Float[Array, "k k"]) -> Float[Array, "n d"]:
        images = action.move_input(element, x)
        return jax.vmap(lambda image: action.move_input(frame(image), image))(images)

    tried = action.group.sample(jax.random.key(0), _ELEMENTS)
    found = np.asarray(jax.lax.map(place_of_image, tried), dtype=float)
    apart = np.abs(found - np.asarray(places, dtype=float)).max() / np.abs(np.asarray(x)).max()
    if not apart <= float(jnp.finfo(x.dtype).eps) ** _SHARE:
        got = Words(f"one whose places differ by {apart:.2g} of the inputs along an orbit")
        remedy = "It has to be c(ρ_g x) = c(x) g⁻¹ for every element g, at every row."
        raise argument_error("frame", "one that moves a whole orbit to one place", got, remedy)
