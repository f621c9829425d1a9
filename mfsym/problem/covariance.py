"""Gaussian inputs with any covariance."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, check_integer, float_array, is_traced
from ..groups import is_orthogonal
from ..types import RealArrayLike
from .inputs import AbstractInputs

_HIGHEST = jax.lax.Precision.HIGHEST
_SYMMETRY = 1e-5  # relative to the largest entry
_RANK = 1e-7  # smallest eigenvalue, relative to the largest, from which a Cholesky factor is taken


class GaussianCovariance(AbstractInputs):
    """x ~ N(0, Σ) with any covariance Σ [d, d], singular ones included. The law of −x is that of x.

    Raises ArgumentError if Σ is not symmetric and positive semidefinite. A traced Σ cannot be checked: it is taken
    to be positive definite.
    """

    dim: int = eqx.field(static=True)
    cov: Float[Array, "d d"]
    definite: bool = eqx.field(static=True)

    def __init__(self, cov: RealArrayLike):
        self.cov = float_array("cov", cov, 2, "It is the covariance of the inputs, [d, d].")
        self.dim = check_integer("cov.shape[0]", self.cov.shape[0], 1, "Inputs have at least one coordinate.")
        self.definite = is_traced(self.cov) or _check_semidefinite(self.cov)

    @property
    def root(self) -> Float[Array, "d d"]:
        """A matrix L with L Lᵀ = Σ: the Cholesky factor, or the symmetric root where Σ is singular."""
        if self.definite:
            return jnp.linalg.cholesky(self.cov)
        values, vectors = jnp.linalg.eigh(self.cov)
        roots = jnp.sqrt(jnp.maximum(values, jnp.zeros((), values.dtype)))
        return jnp.matmul(vectors * roots[None, :], vectors.T, precision=_HIGHEST)

    def sample(self, key, count, dtype=None):
        """Independent inputs, [count, d]."""
        dtype = self.cov.dtype if dtype is None else dtype
        normals = jax.random.normal(key, (count, self.dim), dtype)
        return jnp.matmul(normals, self.root.astype(dtype).T, precision=_HIGHEST)

    @property
    def second_moment(self):
        """E‖x‖² = tr Σ."""
        return jnp.trace(self.cov)

    @property
    def covariance(self):
        """Σ."""
        return self.cov

    def is_invariant(self, matrix):
        """Whether T Σ Tᵀ = Σ."""
        if not is_orthogonal(matrix):
            return False
        cov, matrix = np.asarray(self.cov, dtype=float), np.asarray(matrix, dtype=float)
        return bool(np.allclose(matrix @ cov @ matrix.T, cov, atol=_SYMMETRY * np.abs(cov).max()))

    @property
    def rotation_invariant(self):
        """False: use `Gaussian` for a multiple of the identity."""
        return False

    @property
    def spherical(self):
        """False."""
        return False


def _check_semidefinite(cov: Float[Array, "..."]) -> bool:
    """Whether Σ is positive definite; raises ArgumentError if it is not a covariance at all."""
    matrix, remedy = np.asarray(cov, dtype=float), "It is E[x xᵀ]."
    if matrix.shape[0] != matrix.shape[1]:
        raise argument_error("cov", "a square matrix", matrix.shape, remedy)
    if not np.allclose(matrix, matrix.T, atol=_SYMMETRY * np.abs(matrix).max()):
        raise argument_error("cov", "symmetric", cov, remedy)
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    if values[-1] <= 0 or values[0] < -_SYMMETRY * values[-1]:
        raise argument_error("cov", "positive semidefinite and not 0", f"one with eigenvalue {values[0]:.3g}", remedy)
    return bool(values[0] > _RANK * values[-1])
