"""What a group leaves fixed: null spaces, on the host in float64, never by averages of samples."""

import functools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from .base import AbstractCompactGroup
from .matrices import Matrix, Stack, identities, kronecker
from .representations import AbstractRepresentation

_NULL = 1e-10  # eigenvalues of squares below it are 0: the least of a turn by 2π/4096 is 2e-6, those of rounding are 1e-14
_LINKED = 1e-12  # entries below it are rounding
_PIVOT = 0.5  # of the longest one, where directions are chosen in their order


def fixed_space(representations: tuple[AbstractRepresentation, ...]) -> Float[np.ndarray, "f n"]:
    """An orthonormal basis of {v : (R_1 ⊗ R_2 ⊗ …)(g) v = v for all g}, [f, n], n the product of the sizes.

    It is the null space of (R_1 ⊗ …)(h) − I for the components h of the group, and of the derivatives along its algebra.
    Coordinates that the group does not mix are solved apart: orbits, where it permutes coordinates, at a cost of their sizes
    alone. The basis is what comes of the unit vectors in their order, projected, so that it does not depend on the machine.
    """
    if not representations:
        return np.ones((1, 1))
    size = math.prod(each.size for each in representations)
    gaps = np.array(list(_gaps(representations[0].group, representations))).reshape(-1, size, size)
    linked = csr_array(np.any(np.abs(gaps) > _LINKED, axis=0))
    _, parts = connected_components(linked, directed=False)
    spaces = []
    for part in range(parts.max() + 1):
        places = np.flatnonzero(parts == part)
        within = _null_space(gaps[:, places[:, None], places[None]])
        spaces.append(np.zeros((len(within), len(parts))))
        spaces[-1][:, places] = within
    return np.concatenate(spaces)


def _null_space(gaps: Float[np.ndarray, "c n n"]) -> Float[np.ndarray, "f n"]:
    """An orthonormal basis of what all of some matrices map to 0."""
    values, vectors = np.linalg.eigh(np.tensordot(gaps, gaps, ((0, 1), (0, 1))))
    return _ordered_basis(vectors[:, values < _NULL])


def mean_trace(
    representations: tuple[AbstractRepresentation, ...], elements: Stack, weights: Float[np.ndarray, " q"]
) -> float:
    """∫ tr (R_1 ⊗ R_2 ⊗ …)(g), the dimension of the same space, by a quadrature of the group."""
    traces = [np.trace(each.at(elements), axis1=1, axis2=2) for each in representations]
    return float(np.sum(functools.reduce(np.multiply, traces, weights)))


def _gaps(group: AbstractCompactGroup, representations: tuple[AbstractRepresentation, ...]) -> Iterator[Matrix]:
    """M(h) − I for every component, dM(A) for every direction of the algebra, one [n, n] at a time."""
    components, algebra = (np.asarray(each, dtype=float) for each in (group.components, group.algebra))
    for component in components:
        image = functools.reduce(kronecker, (each.at(component[None]) for each in representations))
        yield (image - identities(image, image.shape[-1]))[0]
    for tangent in algebra:
        ones = [identities(tangent[None], each.size) for each in representations]
        terms = [
            functools.reduce(kronecker, [*ones[:i], each.derivative(tangent[None]), *ones[i + 1 :]])
            for i, each in enumerate(representations)
        ]
        yield np.sum(terms, axis=0)[0]


def _ordered_basis(vectors: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "f n"]:
    """An orthonormal basis of the same space: the first unit vectors whose projections are long enough, made orthogonal."""
    rest, rows = vectors @ vectors.T, []
    for _ in range(vectors.shape[1]):
        lengths = np.diagonal(rest)
        pivot = int(np.argmax(lengths >= _PIVOT * np.max(lengths)))
        rows.append(rest[:, pivot] / np.sqrt(rest[pivot, pivot]))
        rest = rest - np.outer(rows[-1], rows[-1])
    return np.stack(rows) if rows else np.zeros((0, len(vectors)))
