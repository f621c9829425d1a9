"""The law of weighted rows: a data set, with labels or without, and a cubature, which are one thing."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..errors import Words, argument_error, check_flags, check_integer, float_array, is_traced
from ..groups import is_orthogonal
from ..types import IntLike, RealArrayLike
from .inputs import AbstractInputs

_EXACT = jax.lax.Precision.HIGHEST
REPLICATES = 8  # of a cubature that estimates its error
_STUDENT = 5.0  # 99 % of cases, for means of x⁴ too, whose few replicates are skewed; 99.8 % of Student's law
_APART = 1e-5  # of the largest coordinate: rows that are closer are the same


class Empirical(AbstractInputs):
    """The law Σ_i w_i δ_{x_i} of rows x_i: a data set, or the nodes of a cubature (`mf.cubature`).

    The population risk of a problem is then the training risk Σ_i w_i ℓ(f(x_i), y_i).

    Arguments: `x` [n, d], one row per input. `y` [n], or [n, *out] for networks with several outputs: labels of the rows.
    A problem of labelled data takes no target, `mf.Problem(mf.Empirical(x, y))`; what asks for f* between the rows is
    refused. `weights` [n], numbers w_i ≥ 0 that sum to 1; by default 1/n each. `symmetrise` adds the row −x for every row x,
    each with half of the weight, which makes the law symmetric: odd targets then reduce exactly. Of a cubature, `degree` is
    that up to which it is exact, and `replicates` how many equal parts of the rows are rules of their own.
    Raises ArgumentError for weights that are negative or do not sum to 1 (to the square root of rounding), another number of
    labels or weights than of rows, and labels with `symmetrise`, which cannot say what is learnt at −x.
    """

    dim: int = eqx.field(static=True)
    x: Float[Array, "n d"]
    y: Float[Array, "n *out"] | None
    weights: Float[Array, " n"] | None
    degree: int | None = eqx.field(static=True)
    replicates: int = eqx.field(static=True)

    def __init__(
        self,
        x: RealArrayLike,
        y: RealArrayLike | None = None,
        weights: RealArrayLike | None = None,
        symmetrise: bool = False,
        *,
        degree: IntLike | None = None,
        replicates: IntLike = 1,
    ):
        x = float_array("x", x, 2, "One row per input.")
        check_integer("x", x.shape[0], 1, "A data set has at least one row.")
        self.dim = check_integer("x.shape[1]", x.shape[1], 1, "Inputs have at least one coordinate.")
        y = None if y is None else _checked_labels(y, x)
        weights = None if weights is None else _checked_weights(weights, x)
        check_flags(symmetrise=symmetrise)
        if symmetrise and y is not None:
            remedy = "Pass both halves, for example x=concatenate([x, -x]) and y=concatenate([y, -y])."
            raise argument_error("symmetrise", "False where there are labels", symmetrise, remedy)
        if symmetrise:
            x = jnp.concatenate([x, -x])
            weights = None if weights is None else jnp.concatenate([weights, weights]) / 2
        self.x, self.y, self.weights = x, y, weights
        self.degree = None if degree is None else check_integer("degree", degree, 0, "It is that of a cubature.")
        self.replicates = check_integer("replicates", replicates, 1, "It is a number of equal parts of the rows.")
        if self.count % self.replicates or (self.replicates > 1 and weights is not None):
            expected = f"a number of equal parts of {self.count} rows without weights"
            raise argument_error("replicates", expected, replicates, "Leave it out for data.")

    @property
    def count(self) -> int:
        """The number n of rows."""
        return self.x.shape[0]

    @property
    def probabilities(self) -> Float[Array, " n"]:
        """w_i of every row, [n]."""
        return jnp.full((self.count,), 1 / self.count, self.x.dtype) if self.weights is None else self.weights

    def mean(self, values: Float[Array, "n *k"]) -> Float[Array, "*k"]:
        """Σ_i w_i values_i, the mean of what is known at every row."""
        if self.weights is None:
            return jnp.mean(values, axis=0)
        return jnp.tensordot(self.weights.astype(values.dtype), values, 1, precision=_EXACT)

    def error(self, values: RealArrayLike) -> Float[Array, "*k"]:
        """What the mean of values [n, *k] at the rows may be off that over the law a cubature stands for: 5 standard
        errors of the means of its 8 independent replicates, within which it is in 99 of 100 cases, [*k].

        Raises ArgumentError for rows without replicates: rules are exact up to their degree, data are the law itself.
        """
        if self.replicates != REPLICATES:
            remedy = "Build it with mf.cubature(inputs, frames=64, key=key)."
            raise argument_error("replicates", f"{REPLICATES}, to estimate an error", self.replicates, remedy)
        found = float_array("values", values, None)
        if found.shape[:1] != (self.count,):
            raise argument_error("values", f"an array of {self.count} rows", found.shape, "One row per input.")
        means = jnp.mean(found.reshape(REPLICATES, -1, *found.shape[1:]), axis=1)
        return _STUDENT * jnp.std(means, axis=0, ddof=1) / REPLICATES**0.5

    def draw(self, key: PRNGKeyArray, count: int) -> Int[Array, " count"]:
        """Independent indices of rows, each with its weight, [count]."""
        if self.weights is None:
            return jax.random.randint(key, (count,), 0, self.count)
        return jax.random.choice(key, self.count, (count,), p=self.weights)

    def sample(self, key, count, dtype=None):
        """Independent draws with replacement, [count, d]."""
        return self.x[self.draw(key, count)].astype(self.x.dtype if dtype is None else dtype)

    @property
    def second_moment(self):
        """Mean of ‖x‖² over the rows."""
        return self.mean(jnp.sum(self.x**2, axis=1))

    @property
    def covariance(self):
        """Mean of x xᵀ over the rows."""
        if self.weights is None:
            return jnp.matmul(self.x.T, self.x, precision=_EXACT) / self.count
        return jnp.matmul(self.x.T, self.weights[:, None] * self.x, precision=_EXACT)

    def is_invariant(self, matrix):
        """Whether T maps the rows to rows of the same weight; rows that coincide count together."""
        if not is_orthogonal(matrix):
            return False
        rows, inverse = np.unique(np.asarray(self.x, dtype=float), axis=0, return_inverse=True)
        mass = np.bincount(inverse.ravel(), np.asarray(self.probabilities, dtype=float))
        return _same_law(rows, rows @ np.asarray(matrix, dtype=float).T, mass)

    @property
    def rotation_invariant(self):
        """False: no finite data set has this symmetry."""
        return False

    @property
    def spherical(self):
        """False."""
        return False


@functools.singledispatch
def data_of(inputs: AbstractInputs) -> Empirical | None:
    """The rows of a data set or a cubature; None for any other law."""
    return None


@data_of.register
def _(inputs: Empirical):
    return inputs


def _same_law(rows: Float[np.ndarray, "n d"], images: Float[np.ndarray, "n d"], mass: Float[np.ndarray, " n"]) -> bool:
    """Whether as much mass lies about every row as comes there from all rows."""
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]  # takes a while to import

    reach = max(_APART * np.abs(rows).max(), np.finfo(float).tiny)
    near, there = (cKDTree(points).query_ball_point(rows, reach, p=np.inf) for points in (rows, images))
    return all(np.isclose(mass[own].sum(), mass[moved].sum(), atol=0) for own, moved in zip(near, there, strict=True))


def _checked_labels(y: RealArrayLike, x: Float[Array, "n d"]) -> Float[Array, "n *out"]:
    """Labels in the floating type of the rows."""
    remedy = "One label for every row of x: [n], or [n, *out] for several outputs."
    labels = float_array("y", y, None, remedy)
    if labels.shape[:1] != x.shape[:1]:
        raise argument_error("y", f"an array of {x.shape[0]} labels, as x has rows", labels.shape, remedy)
    return labels.astype(x.dtype)


def _checked_weights(weights: RealArrayLike, x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Probabilities in the floating type of the rows; traced ones cannot be looked at."""
    remedy = "Divide what you have by its sum."
    found = float_array("weights", weights, 1, remedy)
    if found.shape != x.shape[:1]:
        raise argument_error("weights", f"an array of {x.shape[0]} numbers, as x has rows", found.shape, remedy)
    if not is_traced(found):
        values = np.asarray(found, dtype=float)
        least, total = values.min(), values.sum()
        if least < 0 or abs(total - 1) > float(jnp.finfo(found.dtype).eps) ** 0.5:
            got = Words(f"an array with the least entry {least:.6g} and the sum {total:.10g}")
            raise argument_error("weights", "an array of numbers ≥ 0 that sum to 1", got, remedy)
    return found.astype(x.dtype)
