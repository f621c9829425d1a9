"""All linear symmetries of a network, and with them all its laws of degree 2 or less.

ξ(θ) = Aθ + b is a symmetry if J_f(θ)ξ(θ) = 0 for all θ and inputs: linear equations for A and b, one for every random θ,
input and direction of the outputs, whose null space one singular value decomposition finds. Where A is symmetric, θᵀAθ +
2bᵀθ is kept by training, and there is no other law of degree 2 or less (derived).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_choice, check_flags, check_integer, check_key
from ..products import with_all_digits
from ..types import Checked, IntLike, KeyLike, RealLike
from .families import FAMILIES, AbstractFamily, Leaf
from .fields import Apply, Space, check_apply, check_precision, count_of, outputs_of, space_of
from .laws import Law
from .lists import lines_of
from .quadratic import quadratic_law
from .ranks import Rank, null_space, rank_of
from .sparse import sparse_basis

_MORE = 20  # equations beyond the unknowns
_MOST = 4000  # unknowns
_BLOCK = 64


class LinearSymmetries(NamedTuple):
    """The Lie algebra of linear symmetries within a family. It prints as a sentence and a list.

    - `parameters` D, `unknowns` of the family, `dim` of the algebra; `symmetric` and `antisymmetric` of its members;
      `gap` of the singular values at the cut.
    - `laws`, functionally independent; `independent_laws`, their number.
    """

    parameters: int
    family: str
    unknowns: int
    dim: int
    symmetric: int
    antisymmetric: int
    gap: float
    laws: tuple[Law, ...]

    @property
    def independent_laws(self) -> int:
        """The number of independent laws of degree 2 or less."""
        return len(self.laws)

    def __str__(self) -> str:
        head = (
            f"{self.parameters} parameters: {self.dim} linear symmetries among {self.unknowns} unknowns ({self.family}; "
            f"singular gap {self.gap:.0e}), {self.independent_laws} independent laws of degree 2 or less:"
        )
        return "\n".join([head, *(f"  {line.text}" for line in lines_of([law.name for law in self.laws]))])


def symmetries(
    apply: Apply,
    params: PyTree,
    inputs: PyTree,
    *,
    family: Checked[str] = "axes",
    translations: Checked[bool] = True,
    batch: IntLike = 8,
    tol: RealLike | None = None,
    key: KeyLike | None = None,
) -> LinearSymmetries:
    """The symmetries θ' = Aθ + b of a network, for every θ and input, and the laws that they give.

    Arguments: `apply`, `params` and `inputs` as in `count_laws`; `family` of A: "diagonal" (one number for each parameter),
    "axes" (a matrix on every axis of every leaf, which finds heads and hidden dimensions too), "slices" (one
    for every slice of leaves with three axes or more as well, as of heads that are stacked), "full" (any, for about 60
    parameters at most); `translations`, whether b is looked for; `batch` inputs for each equation. Parameters are drawn at
    random with the sizes of the leaves of `params`: symmetries hold everywhere. At most 4000 unknowns.
    Raises ArgumentError above that, and in float32 without `tol`.
    """
    space = space_of(params)
    tol = check_precision(space.point.dtype, tol)
    check_choice("family", family, tuple(FAMILIES))
    check_flags(translations=translations)
    check_apply(apply, params, inputs)
    members = FAMILIES[family](leaves_of(params), bool(translations))
    if members.unknowns > _MOST:
        remedy = 'Use a smaller copy of the architecture, since symmetries do not depend on widths, or family="diagonal".'
        raise argument_error(
            "family", f"one with at most {_MOST} unknowns", Words(f"{family} with {members.unknowns}"), remedy
        )
    key = check_key(jax.random.key(0) if key is None else key)
    equations = _equations(apply, space, inputs, members, check_integer("batch", batch, 1), key)
    found = null_space(equations, tol)
    return _described(members, family, found, space, jax.random.fold_in(key, 7))


def leaves_of(params: PyTree) -> tuple[Leaf, ...]:
    """The arrays in the order of `ravel_pytree`, with the names by which a reader finds them."""
    found, start = [], 0
    for path, array in jax.tree_util.tree_flatten_with_path(params)[0]:
        name = jax.tree_util.keystr(path).removeprefix(".") or "params"
        found.append(Leaf(name, tuple(np.shape(array)), start))
        start += np.size(array)
    return tuple(found)


def random_gradients(
    apply: Apply, space: Space, inputs: PyTree, count: int, batch: int, key: Array
) -> tuple[Float[np.ndarray, "S D"], Float[np.ndarray, "S D"]]:
    """Gradients J_f(θ)ᵀc of length 1 at random θ, inputs and c, and the θ."""

    def one(key):
        keys = jax.random.split(key, 3)
        theta = space.random(keys[0])
        chosen = jax.random.randint(keys[1], (batch,), 0, count_of(inputs))
        some = jax.tree.map(lambda leaf: jnp.asarray(leaf)[chosen], inputs)
        values, pull_back = jax.vjp(outputs_of(apply, space, some), theta)
        (gradient,) = pull_back(jax.random.normal(keys[2], values.shape, values.dtype))
        return gradient / jnp.linalg.norm(gradient), theta

    @jax.jit
    def all_of(keys):
        return jax.lax.map(with_all_digits(one), keys, batch_size=min(_BLOCK, count))

    gradients, thetas = (np.asarray(each, float) for each in all_of(jax.random.split(key, count)))
    seen = np.all(np.isfinite(gradients), axis=1)  # a network that is dead at some θ says nothing there
    return gradients[seen], thetas[seen]


def _equations(apply, space, inputs, members: AbstractFamily, batch: int, key: Array) -> Float[np.ndarray, "S p"]:
    gradients, thetas = random_gradients(apply, space, inputs, members.unknowns + _MORE, batch, key)
    return members.rows(gradients, thetas)


def _described(members: AbstractFamily, family: str, found: Rank, space: Space, key: Array) -> LinearSymmetries:
    gauge = _padded(members.gauge(), members.unknowns)
    algebra = _orthonormal(found.basis - (found.basis @ gauge.T) @ gauge, len(found.basis) - len(gauge))
    linear = algebra[:, : members.linear]
    turned = np.array([members.transposed(row) for row in linear]).reshape(linear.shape)
    symmetric = _combined(algebra, linear - turned)
    skew = _combined(algebra, np.concatenate([linear + turned, algebra[:, members.linear :]], axis=1))
    theta = np.asarray(space.random(key), float)[None]
    laws = _laws(members, symmetric, gauge, theta)
    return LinearSymmetries(
        space.dim, family, members.unknowns, len(algebra), len(symmetric), len(skew), found.gap, tuple(laws)
    )


def _laws(members: AbstractFamily, symmetric: np.ndarray, gauge: np.ndarray, theta: np.ndarray) -> list[Law]:
    """Readable laws, the linear ones first, as long as their gradients at a random point are independent."""
    straight = _combined(symmetric, symmetric[:, : members.linear])
    curved = _orthonormal(symmetric - (symmetric @ straight.T) @ straight, len(symmetric) - len(straight))
    nothing = np.zeros((0, members.unknowns))
    basis = [
        *_ordered(sparse_basis(straight, nothing)),
        *_ordered(sparse_basis(curved, np.concatenate([gauge, straight]))),
    ]
    laws, gradients = [], np.zeros((0, members.dim))
    for alpha in basis:
        a, b = members.split(alpha)
        gradient = members.apply(a, theta) + b
        more = np.concatenate([gradients, gradient / np.linalg.norm(gradient)])
        if rank_of(more, 1e-8).rank == len(more):
            gradients = more
            laws.append(quadratic_law(members.terms(a), b, members.leaves))
    return laws


def _ordered(vectors: np.ndarray) -> list[np.ndarray]:
    """By the first of their entries, with a plus at the last: outgoing weights then stand before incoming ones."""
    signed = [vector * np.sign(vector[np.flatnonzero(vector)[-1]]) for vector in vectors]
    return sorted(signed, key=lambda vector: tuple(np.flatnonzero(vector)))


def _padded(rows: np.ndarray, width: int) -> np.ndarray:
    return np.pad(rows, [(0, 0), (0, width - rows.shape[1])])


def _orthonormal(rows: np.ndarray, rank: int) -> np.ndarray:
    """An orthonormal basis of rows that span so many dimensions."""
    return np.linalg.svd(rows, full_matrices=False)[2][:rank] if rank else rows[:0]


def _combined(rows: np.ndarray, images: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the combinations of orthonormal rows whose images vanish."""
    if not len(rows):
        return rows
    left, values, _ = np.linalg.svd(images, full_matrices=True)
    rank = int(np.sum(values > 1e-7))
    return left[:, rank:].T @ rows
