"""Laws θᵀAθ + 2bᵀθ that were found: as functions of the parameters, and in words."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .families import Leaf, Term
from .laws import Law

_EXACT = jax.lax.Precision.HIGHEST
_MOST_TERMS = 8  # in a name


class QuadraticForm(eqx.Module):
    """params ↦ Σ over terms of ⟨matrix, unfolded leaf · unfolded leafᵀ⟩ + factor ⟨b, θ⟩; only what is not zero is looked
    at."""

    matrices: tuple[Array, ...]
    shifts: tuple[Array, ...]
    places: tuple[tuple[int, int | None, tuple[int, int] | None], ...] = eqx.field(static=True)  # leaf, axis, slice; −1 is θ
    shifted: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, params: PyTree) -> Float[Array, ""]:
        """The value."""
        leaves = jax.tree.leaves(params)
        total = jnp.zeros((), jnp.result_type(*leaves))
        for matrix, (index, axis, part) in zip(self.matrices, self.places, strict=True):
            array = ravel_pytree(params)[0] if index < 0 else leaves[index]
            total = total + _form(matrix.astype(array.dtype), array, axis, part)
        for shift, index in zip(self.shifts, self.shifted, strict=True):
            total = total + jnp.sum(shift.astype(leaves[index].dtype) * leaves[index])
        return total


class OfSizes(eqx.Module):
    """The same form of |θ|."""

    form: QuadraticForm

    def __call__(self, params: PyTree) -> Float[Array, ""]:
        """The value."""
        return self.form(jax.tree.map(jnp.abs, params))


def _form(matrix: Array, array: Array, axis: int | None, part: tuple[int, int] | None) -> Float[Array, ""]:
    if axis is None:
        return jnp.sum(matrix * array**2)
    if part is not None:
        array = jnp.take(array, part[1], axis=part[0])
        axis -= part[0] < axis
    rows = jnp.moveaxis(jnp.atleast_1d(array), axis, 0).reshape(matrix.shape[0], -1)
    return jnp.sum(rows * jnp.matmul(matrix, rows, precision=_EXACT))


def quadratic_law(terms: Sequence[Term], b: np.ndarray, leaves: Sequence[Leaf]) -> Law:
    """θᵀAθ + 2bᵀθ, or bᵀθ where A = 0, in a size that reads well, with its name, its degree and its size."""
    factor = 2.0 if terms else 1.0
    shifts = [(i, factor * leaf.of(b)) for i, leaf in enumerate(leaves) if np.any(leaf.of(b))]
    unit = unit_of(np.array([value for value, _ in _parts(terms, shifts, leaves)]))
    terms = [term._replace(matrix=term.matrix / unit) for term in terms]
    shifts = [(index, shift / unit) for index, shift in shifts]
    form = QuadraticForm(
        tuple(jnp.asarray(term.matrix) for term in terms),
        tuple(jnp.asarray(shift) for _, shift in shifts),
        tuple((term.leaf, term.axis, term.slice) for term in terms),
        tuple(index for index, _ in shifts),
    )
    name = sum_in_words(_parts(terms, shifts, leaves))
    if terms and shifts:
        return Law(name, form)
    if not terms:
        size = QuadraticForm((), tuple(map(jnp.abs, form.shifts)), (), form.shifted)
        return Law(name, form, 1, OfSizes(size))
    above = tuple(jnp.asarray(_absolute(term.matrix, term.axis)) for term in terms)
    return Law(name, form, 2, QuadraticForm(above, (), form.places, ()))


def _absolute(matrix: np.ndarray, axis: int | None) -> np.ndarray:
    """|A|, the positive root of A²."""
    if axis is None:
        return np.abs(matrix)
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.abs(values)) @ vectors.T


Parts = list[tuple[float, str]]  # coefficients, and what they multiply


def _parts(terms: Sequence[Term], shifts: Sequence[tuple[int, np.ndarray]], leaves: Sequence[Leaf]) -> Parts:
    parts = [part for term in terms for part in _words(term, leaves)]
    for index, shift in shifts:
        leaf = leaves[index]
        parts += [(value, f"{leaf.name}{_index(place)}") for place, value in np.ndenumerate(shift) if value]
    return parts


def unit_of(values: Float[np.ndarray, " n"]) -> float:
    """The least of the coefficients, where the others are small multiples of it; otherwise the largest."""
    sizes = np.abs(values)
    return float(np.min(sizes) if np.max(sizes) < 12.5 * np.min(sizes) else np.max(sizes))


def sum_in_words(parts: Parts) -> str:
    """What is added first, and no more than 8 terms."""
    parts = sorted(parts, key=lambda part: part[0] < 0)
    shown = parts if len(parts) <= _MOST_TERMS else parts[: _MOST_TERMS - 1]
    text = "".join(_signed(value, words, first=not i) for i, (value, words) in enumerate(shown))
    return text if shown is parts else f"{text} … ({len(parts)} terms)"


def _words(term: Term, leaves: Sequence[Leaf]) -> Parts:
    if term.leaf < 0:
        names = [f"{leaf.name}{_index(place)}" for leaf in leaves for place in np.ndindex(*leaf.shape)]
        return _pairs(term.matrix, lambda i: f"{names[i]}²", lambda i, j: f"{names[i]}·{names[j]}")
    leaf = leaves[term.leaf]
    if term.axis is None:
        return [(value, f"{leaf.name}{_index(place)}²") for place, value in np.ndenumerate(term.matrix) if value]
    if len(leaf.shape) < 2:
        names = [f"{leaf.name}{_index((i,)) if leaf.shape else ''}" for i in range(len(term.matrix))]
        return _pairs(term.matrix, lambda i: f"{names[i]}²", lambda i, j: f"{names[i]}·{names[j]}")
    diagonal = np.diag(term.matrix)
    if term.slice is None and np.array_equal(term.matrix, diagonal[0] * np.eye(len(diagonal))):
        return [(float(diagonal[0]), f"‖{leaf.name}‖²")]
    fixed = dict([term.slice] if term.slice else [])
    places = [{**fixed, term.axis: i} for i in range(len(diagonal))]
    names = [f"{leaf.name}[{', '.join(str(p.get(axis, ':')) for axis in range(len(leaf.shape)))}]" for p in places]
    return _pairs(term.matrix, lambda i: f"‖{names[i]}‖²", lambda i, j: f"⟨{names[i]}, {names[j]}⟩")


def _pairs(matrix: np.ndarray, one, two) -> Parts:
    own = [(float(matrix[i, i]), one(i)) for i in range(len(matrix)) if matrix[i, i]]
    return own + [(2 * float(matrix[i, j]), two(i, j)) for i in range(len(matrix)) for j in range(i) if matrix[i, j]]


def _index(place: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, place))}]" if place else ""


def _signed(value: float, words: str, first: bool) -> str:
    size = abs(value)
    factor = "" if abs(size - 1) < 1e-9 else f"{size:.6g} "
    sign = ("−" if value < 0 else "") if first else (" − " if value < 0 else " + ")
    return f"{sign}{factor}{words}"
