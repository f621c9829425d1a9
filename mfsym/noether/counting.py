"""How many independent laws there are, from the function that a network computes, and nothing else.

Whatever the loss and the labels, training moves θ along J_F(θ)ᵀc. A function of θ is kept by all of these fields if and only
if it is kept by their brackets too; where the span of all brackets has a constant dimension k near θ there are exactly D − k
independent laws, and every other is a function of them (Frobenius; Marcotte, Gribonval & Peyré 2023, 2025). Brackets of
random fields replace a basis, since they are linear in every field. The same span is that of the fields carried back along
flows of training, which is a second route.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_choice, check_integer, check_key, positive_number
from ..products import with_all_digits
from ..types import Checked, IntLike, KeyLike, RealLike
from .fields import (
    Apply,
    FlatField,
    Space,
    check_apply,
    check_precision,
    count_of,
    momentum_fields,
    nested_bracket,
    space_of,
    training_fields,
)
from .orbits import LEGS, pulled_back
from .ranks import Rank, gap_at, rank_of

_MORE = 8  # rows beyond the unknown dimensions
_BLOCK = 64  # rows at a time
_ROUNDING = 1e-10  # of the size that is to be expected
_GAP = 1e3  # where the rank stands still, a smaller one decides nothing


class Route(NamedTuple):
    """A way to more directions than those of the fields themselves: what is sampled at each level beyond 0.

    `fields`: how many of them one direction is made of; `direction` at θ; `order`: how many of them it multiplies.
    """

    fields: Callable[[int], int]
    direction: Callable[[FlatField, Float[Array, "k n"], Float[Array, " D"]], Float[Array, " D"]]
    order: Callable[[int], int]


ROUTES = {
    "brackets": Route(lambda level: level + 1, nested_bracket, lambda level: level),
    "orbits": Route(lambda level: LEGS + 1 if level else 1, pulled_back, lambda level: 0),
}


class LawCount(NamedTuple):
    """How many independent laws there are. It prints as a sentence.

    - `parameters` D; `laws` at the given parameters, `generic` at all but special ones; `points`, the count at every point.
    - `levels`: the dimension of the span of the fields and of their brackets up to each level, at the given parameters; of
      orbits, of samples and more samples. `gap` of singular values at the last cut; `decided`: whether the count is certain
      as far as rounding shows; `method`, "brackets" or "orbits".
    """

    parameters: int
    laws: int
    generic: int
    points: tuple[int, ...]
    levels: tuple[int, ...]
    gap: float
    decided: bool
    method: str

    def sentence(self) -> str:
        """The count in words."""
        gap = "" if np.isinf(self.gap) else f", singular gap {self.gap:.0e}"
        what = f"{self.laws} independent conserved quantities for every data set and loss"
        text = f"{self.parameters} parameters: {what} (spans of {', '.join(map(str, self.levels))} dimensions{gap})"
        if not self.decided:
            return f"{text}: undecided, since the gap is too small to tell; pass more inputs, or of another scale."
        if self.laws != self.generic:
            special = "units dead on these inputs, or weights that are zero, balanced or equal"
            return f"{text}. These parameters are special ({special}): at others there are {self.generic}."
        return f"{text}."

    def __str__(self) -> str:
        return self.sentence()


def count_laws(
    apply: Apply,
    params: PyTree,
    inputs: PyTree,
    *,
    metric: Checked[Callable[[PyTree, PyTree], PyTree] | None] = None,
    friction: RealLike | None = None,
    method: Checked[str] = "brackets",
    known: Checked[int | None] = None,
    points: IntLike = 2,
    max_level: IntLike = 6,
    tol: RealLike | None = None,
    key: KeyLike | None = None,
) -> LawCount:
    """The number of independent functions of the parameters that training keeps, for every loss and labels on these inputs.

    Arguments: `apply(params, x)` for one input x, with outputs of any shape; `params`, any pytree of floating arrays;
    `inputs`, with a leading axis: enough, and wide enough, that every unit is seen on both sides of its kink;
    `metric(params, gradient)`, a velocity linear in the gradient, for flows θ' = −M(θ)∇L; `friction` γ for the motion
    θ'' + γθ' = −M(θ)∇L, whose laws are functions of time, θ and θ', 2D + 1 numbers (the velocities are drawn at random);
    `method`, "brackets" or "orbits", which has nothing in common with them but the fields, and is cheaper for deep brackets
    of small networks; `known`, how many independent laws are known already: the count stops there, which spares the last
    and dearest level. The count is local: `points` = 2 takes another point with the same size of every leaf beside `params`.
    `max_level` of brackets; `tol` relative to the largest singular value, 1e-9.
    Returns a `LawCount`. Raises ArgumentError in float32 without `tol`.
    """
    space = space_of(params)
    outputs = check_apply(apply, params, inputs)
    field, dim = training_fields(apply, space, inputs, metric), outputs * count_of(inputs)
    if friction is not None:
        gamma = positive_number("friction", friction, "It is γ of θ'' + γθ' = −∇L.", strict=False)
        key = jax.random.key(0) if key is None else check_key(key)
        field, space, dim = *momentum_fields(field, space, gamma, jax.random.fold_in(key, 11)), dim + 1
    return _count(field, dim, space, method, known, points, max_level, tol, key)


def count_fields(
    fields: Checked[Callable[[Array, PyTree], PyTree]],
    params: PyTree,
    dim: IntLike,
    *,
    method: Checked[str] = "brackets",
    known: Checked[int | None] = None,
    points: IntLike = 2,
    max_level: IntLike = 6,
    tol: RealLike | None = None,
    key: KeyLike | None = None,
) -> LawCount:
    """The same for any fields: `fields(c, params)`, linear in c ∈ Rᵈⁱᵐ, a pytree like the parameters.

    Flows with a momentum, signs of gradients, or the labels of one symmetric data set are such fields.
    """
    space = space_of(params)
    size = check_integer("dim", dim, 1, "It is the number of fields.")

    def field(c, theta):
        return ravel_pytree(fields(c, space.unravel(theta)))[0]

    found = jax.eval_shape(field, jax.ShapeDtypeStruct((size,), space.point.dtype), space.point)
    if found.shape != space.point.shape:
        got = Words(f"one with {found.shape[0]} entries for {space.dim} parameters")
        raise argument_error("fields", "a function (c, params) to a pytree like params", got, "Return all leaves.")
    return _count(field, size, space, method, known, points, max_level, tol, key)


def _count(field: FlatField, dim: int, space: Space, method, known, points, max_level, tol, key) -> LawCount:
    route = ROUTES[check_choice("method", method, tuple(ROUTES))]
    tol = check_precision(space.point.dtype, tol)
    lacking = check_integer("known", 0 if known is None else known, 0, "It is the number of independent laws known so far.")
    number = check_integer("points", points, 1)
    deepest = check_integer("max_level", max_level, 0)
    key = check_key(jax.random.key(0) if key is None else key)
    places = [space.point, *map(space.random, jax.random.split(jax.random.fold_in(key, 1), number - 1))]
    samplers: dict[int, Callable] = {}
    found = [
        _levels(field, route, dim, place, space.dim - lacking, deepest, tol, jax.random.fold_in(key, 2 + i), samplers)
        for i, place in enumerate(places)
    ]
    laws = [space.dim - levels[-1] for levels, _, _ in found]
    levels = found[0][0]
    decided = all(sure for _, _, sure in found)
    gap = min(gap for _, gap, _ in found)
    return LawCount(space.dim, laws[0], min(laws), tuple(laws), tuple(levels), gap, decided, method)


def _levels(field, route, dim, theta, most, deepest, tol, key, samplers) -> tuple[list[int], float, bool]:
    """Ranks level by level at one point, the gap at the last cut, and whether that decides.

    Directions are only ever lost between levels, so that laws can be counted too often, never too rarely: where the rank is
    as large as the known laws allow, no gap is needed.
    """
    basis, ranks = np.zeros((0, theta.size)), []
    gap, speed, radius = np.inf, 0.0, float(jnp.linalg.norm(theta)) or 1.0
    for level in range(deepest + 1):
        if level not in samplers:
            samplers[level] = jax.jit(lambda cs, theta: _rows(route, field, cs, theta))
        unknown = min(dim, theta.size) if level == 0 else most - len(basis)
        shape = (unknown + _MORE, route.fields(level), dim)
        cs = jax.random.normal(jax.random.fold_in(key, level), shape, theta.dtype) / np.sqrt(dim)
        rows = np.asarray(samplers[level](cs, theta), float)
        norms = np.linalg.norm(rows, axis=1)
        speed = speed or float(np.max(norms))
        # what brackets of fields of this speed come to at this distance from 0: far smaller ones are rounding
        seen = norms > _ROUNDING * speed * (speed / radius) ** route.order(level)
        found = _extended(basis, rows[seen] / norms[seen, None], tol)
        grew = found.rank > len(basis)
        basis, gap = found.basis, found.gap
        ranks.append(found.rank)
        if found.rank >= most:
            return ranks, gap, True
        if level and not grew:
            return ranks, gap, gap >= _GAP
    return ranks, gap, False


def _extended(basis: Float[np.ndarray, "r D"], rows: Float[np.ndarray, "n D"], tol: float) -> Rank:
    """An orthonormal basis with rows of length 1 put to it."""
    if not len(rows):
        return Rank(len(basis), basis, np.ones(len(basis)), np.inf)
    if not len(basis):
        return rank_of(rows, tol)
    beyond = rows - (rows @ basis.T) @ basis
    beyond -= (beyond @ basis.T) @ basis
    _, values, right = np.linalg.svd(beyond, full_matrices=False)
    more = int(np.sum(values > tol * np.sqrt(len(rows))))
    total = len(basis) + more
    spectrum = np.concatenate([np.ones(len(basis)), values])
    gap = gap_at(spectrum, total, basis.shape[1]) if total < basis.shape[1] else np.inf
    return Rank(total, np.concatenate([basis, right[:more]]), spectrum, gap)


def _rows(route: Route, field: FlatField, cs: Float[Array, "N k n"], theta: Float[Array, " D"]) -> Float[Array, "N D"]:
    """One direction for every choice of fields, a block of them at a time."""
    direction = with_all_digits(route.direction)
    return jax.lax.map(lambda each: direction(field, each, theta), cs, batch_size=min(_BLOCK, cs.shape[0]))
