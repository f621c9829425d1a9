"""Searches side by side, each on batches of its own: what they agree on, and what noise alone would have made of it."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float

from .subspaces import Subspace

_RARE = 0.1  # the chance at which noise alone may exceed a floor
_WEAKEST = (1e-8, 0.1)  # of one search, and of several

Rows = Float[np.ndarray, "r m p"]


class Left(NamedTuple):
    """What has left the subspace of each of r searches, [r, m, p] neuron by neuron, in orthonormal coordinates of neurons.

    For searches on batches, the law of all of it is invariant under the symmetries H of the data, so that its mean lies in
    E^H: across E^H each entry has mean 0, at every width, step and batch, however fast noise grows there. (Derived.)
    """

    rows: Rows
    rounding: float

    def directions(self) -> tuple[Float[np.ndarray, " n"], Rows]:
        """Eigenvalues of the second moment of the mean over searches, largest first, and their directions [r, n, p].

        A direction is a sum over neurons of what left, with the same factors in every search, w^a = Σ_j u_j r^a_j. Those of
        the searches differ by their noise, and their mean is the eigenvector.
        """
        mean = self.rows.mean(axis=0) / np.sqrt(self.rows.shape[1])
        left, roots, _ = np.linalg.svd(mean, full_matrices=False)
        size = np.maximum(roots, np.finfo(float).tiny)[:, None]
        return roots**2, np.einsum("jn,rjp->rnp", left, self.rows) / (np.sqrt(self.rows.shape[1]) * size)

    @property
    def weakest(self) -> float:
        """The least eigenvalue, relative to the largest, whose direction joins with it: others are sharper one stage on."""
        return _WEAKEST[len(self.rows) > 1]

    def floor(self) -> float:
        """What noise alone would exceed one time in ten: the largest eigenvalue that the spread of r gives to their mean,
        times a quantile of the square of Student's t; three times as much one time in a hundred. Of one search, which has
        no noise, that of rounding.
        """
        count, neurons, _ = self.rows.shape
        if count == 1:
            return self.rounding
        spread = (self.rows - self.rows.mean(axis=0)).reshape(count * neurons, -1)
        quantile = scipy.special.stdtrit(count - 1, 1 - _RARE / 2)
        return float(quantile**2 * np.linalg.norm(spread, 2) ** 2 / (neurons * count * (count - 1)))


class Bases(NamedTuple):
    """Orthonormal vectors [r, k, p] of the subspaces of r searches, which have grown side by side."""

    vectors: Float[np.ndarray, "r k p"]

    @property
    def dim(self) -> int:
        """k."""
        return self.vectors.shape[1]

    @property
    def agreed(self) -> Subspace:
        """The span of the means over searches."""
        return Subspace(jnp.asarray(_orthonormal(self.vectors.mean(axis=0)), jnp.result_type(float)))

    def outside(self, rows: Rows) -> Rows:
        """What of neurons is outside of the subspace of its search, and of the span of the means."""
        mean = np.asarray(self.agreed.basis, dtype=float)
        rest = rows - rows @ self.vectors.swapaxes(1, 2) @ self.vectors
        return rest - rest @ mean.T @ mean

    def joined(self, directions: Rows) -> "Bases":
        """With more directions; the vectors before stay as they were."""
        together = np.concatenate([self.vectors, directions], axis=1)
        return Bases(np.stack([_orthonormal(each) for each in together]))


def _orthonormal(rows: Float[np.ndarray, "k p"]) -> Float[np.ndarray, "k p"]:
    """Gram and Schmidt, one row after the other, none of them turned around."""
    columns, triangle = np.linalg.qr(rows.T)
    return (columns * np.where(np.diagonal(triangle) < 0, -1.0, 1.0)).T
