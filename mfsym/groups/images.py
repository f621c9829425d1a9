"""Representations given by the images of generators; that they are homomorphisms is verified."""

from types import ModuleType

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, float_array
from ..types import Checked, RealArrayLike
from .base import AbstractCompactGroup
from .group import AbstractGroup, nearest_index
from .matrices import ORTHOGONALITY, Matrix, Stack, identities, is_orthogonal, library_of
from .orthogonal import OrthogonalGroup
from .representations import AbstractRepresentation

_PAIRS = 64  # of random elements whose products are compared
_HOMOMORPHISM = "those of a homomorphism, R(gh) = R(g) R(h)"


def representation(
    group: Checked[AbstractGroup], images: RealArrayLike, algebra: RealArrayLike | None = None
) -> AbstractRepresentation:
    """The representation of a group with given images of its generators.

    Arguments: `images` [c, n, n], orthogonal, those of `group.components`: of the generators of a finite group in their
    order; of the reflection of O(2) and O(3), and none, [0, n, n], for SO(2) and SO(3). `algebra` [l, n, n], skew, the
    images of `group.algebra` for these four: in space of the rotations of coordinates (1, 2), (1, 3) and (2, 3).
    Representations of products are built from those of their factors, by `product.of_factor(i, R)`, + and *.

    Raises ArgumentError if this is no homomorphism: if a relation between generators fails in a finite group (all products
    of an element and a generator are tried), or R(gh) = R(g) R(h) among 64 random pairs of elements.
    """
    check_instance("group", group, AbstractGroup, "Build it with mf.generate, mf.cyclic(n), mf.SO(3) or others.")
    moves = _checked_images(group, images)
    if group.order is not None:
        if algebra is not None:
            raise argument_error("algebra", "left out for a finite group", algebra, "It has none.")
        return Listed(group, jnp.asarray(_all_images(group, moves), jnp.result_type(float)))
    if not isinstance(group, OrthogonalGroup) or group.size > 3:
        remedy = "Build it from the standard one with +, * and of_factor."
        raise argument_error("group", "finite, or SO(2), O(2), SO(3) or O(3)", Words(f"{group!r}"), remedy)
    tangents = _checked_algebra(group, algebra, moves.shape[-1])
    frequency = np.max(np.abs(np.linalg.eigvals(np.asarray(tangents[0], dtype=float))))
    found = Exponential(group, jnp.asarray(moves, jnp.result_type(float)), tangents, round(float(frequency)))
    _check_pairs(found)
    return found


class Listed(AbstractRepresentation):
    """The representation of a finite group as a table of images [g, n, n]."""

    group: AbstractCompactGroup
    table: Float[Array, "g n n"]

    @property
    def size(self):
        """n."""
        return self.table.shape[-1]

    @property
    def degree(self):
        """0: nothing is connected."""
        return 0

    def at(self, elements):
        """Entries of the table."""
        found = library_of(elements).asarray(self.table, dtype=elements.dtype)
        return found[nearest_index(elements, self.group.elements)]

    def derivative(self, tangents):
        """0."""
        return 0 * identities(tangents, self.size)


class Exponential(AbstractRepresentation):
    """The representation of SO(2), O(2), SO(3) or O(3) with given images of the algebra [l, n, n] and of the reflection."""

    group: OrthogonalGroup
    flips: Float[Array, "c n n"]
    tangents: Float[Array, "l n n"]
    frequency: int = eqx.field(static=True)

    @property
    def size(self):
        """n."""
        return self.tangents.shape[-1]

    @property
    def degree(self):
        """The highest frequency."""
        return self.frequency

    def at(self, elements):
        """exp(α Z) exp(−β Y) exp(γ Z) by Euler angles, Z and Y the images of the rotations of (1, 2) and (1, 3)."""
        library = library_of(elements)
        tangents = library.asarray(self.tangents, dtype=elements.dtype)
        sign = library.round(library.linalg.det(elements))
        ones = library.ones_like(sign)
        last = library.stack([ones] * (self.group.size - 1) + [sign], axis=1)
        rotations = elements * last[:, None, :]  # an element is a rotation, or a rotation after the reflection
        if self.group.size == 2:
            found = _exponential(library, library.arctan2(rotations[:, 1, 0], rotations[:, 0, 0]), tangents[0])
        else:
            alpha, beta, gamma = _euler_angles(library, rotations)
            turns = ((alpha, tangents[0]), (-beta, tangents[1]), (gamma, tangents[0]))
            first, second, third = (_exponential(library, angle, tangent) for angle, tangent in turns)
            found = first @ second @ third
        if not self.group.reflections:
            return found
        flip = library.asarray(self.flips[0], dtype=elements.dtype)
        return library.where((sign > 0)[:, None, None], found, found @ flip)

    def derivative(self, tangents):
        """Linear in the tangent."""
        library = library_of(tangents)
        basis = library.asarray(self.group.algebra, dtype=tangents.dtype)
        shares = library.einsum("qij,lij->ql", tangents, basis) / 2
        return library.einsum("ql,lij->qij", shares, library.asarray(self.tangents, dtype=tangents.dtype))


def _exponential(library: ModuleType, angle: Float[Array | np.ndarray, " q"], tangent: Matrix) -> Stack:
    """exp(angle · A) for every angle."""
    exponential = scipy.linalg.expm if library is np else jax.scipy.linalg.expm
    return exponential(angle[:, None, None] * tangent[None])


def _euler_angles(library: ModuleType, rotations: Stack) -> tuple[Float[Array | np.ndarray, " q"], ...]:
    """α, β, γ with R_z(α) R_y(β) R_z(γ); β and γ are those of what is left after R_z(−α), so that β = 0 harms no digit."""
    alpha = library.arctan2(rotations[:, 1, 2], rotations[:, 0, 2])
    cos, sin = library.cos(alpha)[:, None], library.sin(alpha)[:, None]
    first, second = cos * rotations[:, 0] + sin * rotations[:, 1], cos * rotations[:, 1] - sin * rotations[:, 0]
    beta = library.arctan2(first[:, 2], rotations[:, 2, 2])
    return alpha, beta, library.arctan2(second[:, 0], second[:, 1])


def _checked_images(group: AbstractGroup, images: RealArrayLike) -> Float[np.ndarray, "c n n"]:
    count = len(group.components)
    expected = f"an array [{count}, n, n] of orthogonal matrices, one for every entry of group.components"
    remedy = "Pass for example jnp.stack([...]); for SO(2) and SO(3) jnp.zeros((0, n, n))."
    found = np.asarray(float_array("images", images, 3, remedy), dtype=float)
    if len(found) != count or found.shape[1] != found.shape[2] or not all(map(is_orthogonal, found)):
        raise argument_error("images", expected, images, remedy)
    return found


def _checked_algebra(group: AbstractGroup, algebra: RealArrayLike | None, size: int) -> Float[Array, "l n n"]:
    count = len(group.algebra)
    expected = f"an array [{count}, {size}, {size}] of skew matrices, one for every entry of group.algebra"
    remedy = "They are the derivatives of R along group.algebra."
    if algebra is None:
        raise argument_error("algebra", expected, None, remedy)
    found = float_array("algebra", algebra, 3, remedy)
    values = np.asarray(found, dtype=float)
    if found.shape != (count, size, size) or np.max(np.abs(values + np.swapaxes(values, 1, 2))) > ORTHOGONALITY:
        raise argument_error("algebra", expected, algebra, remedy)
    return found


def _all_images(group: AbstractGroup, moves: Float[np.ndarray, "c n n"]) -> Float[np.ndarray, "g n n"]:
    """Images of all elements, by walking from the identity; every way to an element must lead to one image."""
    elements, generators = (np.asarray(each, dtype=float) for each in (group.elements, group.components))
    table = np.full((len(elements), *moves.shape[1:]), np.nan)
    table[0] = np.eye(moves.shape[-1])
    walk, known = [0], {0}
    for index in walk:  # grows while it is walked
        for place, following in enumerate(nearest_index(generators @ elements[index], elements)):
            image = moves[place] @ table[index]
            if following not in known:
                known.add(following)
                walk.append(following)
                table[following] = image
            gap = np.max(np.abs(table[following] - image))
            if gap > ORTHOGONALITY:
                got = Words(
                    f"those of a map with two images of element {following}, {gap:.2g} apart (one by generator {place})"
                )
                remedy = "Relations of the generators, such as g² = 1, must hold for their images."
                raise argument_error("images", _HOMOMORPHISM, got, remedy)
    return table


def _check_pairs(found: AbstractRepresentation) -> None:
    sample = np.asarray(found.group.sample(jax.random.key(0), 2 * _PAIRS), dtype=float)
    left, right = np.split(sample, 2)
    gap = np.max(np.abs(found.at(left @ right) - found.at(left) @ found.at(right)))
    if gap > 10 * ORTHOGONALITY:
        got = Words(f"those of a map with R(gh) and R(g) R(h) {gap:.2g} apart")
        remedy = "Brackets of the algebra, and full turns, must hold for their images."
        raise argument_error("algebra", _HOMOMORPHISM, got, remedy)
