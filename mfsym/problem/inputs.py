"""Laws of the inputs x: how to sample them, their moments, and what leaves them invariant."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import check_integer, positive_number
from ..groups import is_orthogonal
from ..types import DTypeLike, RealLike


class AbstractInputs(eqx.Module):
    """A law ρ of the inputs x ∈ R^d."""

    dim: eqx.AbstractVar[int]

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, count: int, dtype: DTypeLike | None = None) -> Float[Array, "count d"]:
        """Independent inputs, [count, d]."""

    @property
    @abc.abstractmethod
    def second_moment(self) -> Float[Array, ""]:
        """E‖x‖²."""

    @property
    @abc.abstractmethod
    def covariance(self) -> Float[Array, "d d"]:
        """Σ = E[x xᵀ], [d, d]."""

    @abc.abstractmethod
    def is_invariant(self, matrix: Float[Array, "d d"]) -> bool:
        """Whether the law of T x is the law of x."""

    @property
    @abc.abstractmethod
    def rotation_invariant(self) -> bool:
        """Whether every rotation and reflection leaves the law as it is; reductions need this."""

    @property
    @abc.abstractmethod
    def spherical(self) -> bool:
        """Whether the law is uniform on a sphere."""


class AbstractIsotropicInputs(AbstractInputs):
    """A law that every rotation leaves as it is: x = L ω, L its length, ω uniform on the unit sphere if `spherical`, else
    N(0, I)."""

    @property
    @abc.abstractmethod
    def length(self) -> Float[Array, ""]:
        """L."""


class Gaussian(AbstractIsotropicInputs):
    """x ~ N(0, scale² I_d). E‖x‖² = scale² d. Invariant under O(d)."""

    dim: int = eqx.field(static=True)
    scale: Float[Array, ""]

    def __init__(self, dim: int, scale: RealLike = 1.0):
        self.dim = check_integer("dim", dim, 1, "It is the dimension d of the inputs.")
        self.scale = positive_number("scale", scale, "It is the standard deviation of one coordinate.")

    def sample(self, key, count, dtype=None):
        """Independent inputs, [count, d]."""
        dtype = self.scale.dtype if dtype is None else dtype
        return self.scale.astype(dtype) * jax.random.normal(key, (count, self.dim), dtype)

    @property
    def length(self):
        """The scale."""
        return self.scale

    @property
    def spherical(self):
        """False."""
        return False

    @property
    def second_moment(self):
        """E‖x‖² = scale² d."""
        return self.scale**2 * self.dim

    @property
    def covariance(self):
        """Σ = scale² I."""
        return self.scale**2 * jnp.eye(self.dim, dtype=self.scale.dtype)

    def is_invariant(self, matrix):
        """Every orthogonal matrix leaves the law as it is."""
        return is_orthogonal(matrix)

    @property
    def rotation_invariant(self):
        """True."""
        return True


class Sphere(AbstractIsotropicInputs):
    """x uniform on the sphere of a radius. E‖x‖² = radius². Invariant under O(d)."""

    dim: int = eqx.field(static=True)
    radius: Float[Array, ""]

    def __init__(self, dim: int, radius: RealLike = 1.0):
        self.dim = check_integer("dim", dim, 1, "It is the dimension d of the inputs.")
        self.radius = positive_number("radius", radius, "It is the norm of every input.")

    def sample(self, key, count, dtype=None):
        """Independent inputs, [count, d]."""
        dtype = self.radius.dtype if dtype is None else dtype
        x = jax.random.normal(key, (count, self.dim), dtype)
        return self.radius.astype(dtype) * x / jnp.linalg.norm(x, axis=1, keepdims=True)

    @property
    def length(self):
        """The radius."""
        return self.radius

    @property
    def spherical(self):
        """True."""
        return True

    @property
    def second_moment(self):
        """E‖x‖² = radius²."""
        return self.radius**2

    @property
    def covariance(self):
        """Σ = (radius²/d) I."""
        return self.radius**2 / self.dim * jnp.eye(self.dim, dtype=self.radius.dtype)

    def is_invariant(self, matrix):
        """Every orthogonal matrix leaves the law as it is."""
        return is_orthogonal(matrix)

    @property
    def rotation_invariant(self):
        """True."""
        return True
