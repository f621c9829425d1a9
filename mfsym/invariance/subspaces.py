"""Linear subspaces of the space of neurons, by orthonormal vectors."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..groups import Action
from ..neurons import fixed_basis
from ..types import Cloud

_EXACT = jax.lax.Precision.HIGHEST


class Subspace(eqx.Module):
    """A linear subspace E of the space R^p of neurons. It confines noise: `mf.Training(..., confine=subspace)`.

    `basis` [k, p] has orthonormal rows; the p numbers of a neuron are the entries of its arrays, one array after the other.
    """

    basis: Float[Array, "k p"]

    @property
    def dim(self) -> int:
        """k."""
        return self.basis.shape[0]

    def project(self, cloud: Cloud) -> Cloud:
        """P z, the orthogonal projection of every neuron on E."""
        return cloud_of_rows(self.within(rows_of(cloud)), cloud)

    def within(self, rows: Float[Array, "m p"]) -> Float[Array, "m p"]:
        """P z for neurons as rows of numbers."""
        basis = self.basis.astype(rows.dtype)
        return jnp.matmul(jnp.matmul(rows, basis.T, precision=_EXACT), basis, precision=_EXACT)

    def joined(self, directions: Float[np.ndarray, "n p"]) -> "Subspace":
        """The span of E and some orthonormal directions that are perpendicular to it; what E had stays as it was."""
        kept = np.asarray(self.basis, dtype=float)
        rest = directions - directions @ kept.T @ kept
        return Subspace(jnp.asarray(np.concatenate([kept, np.linalg.qr(rest.T)[0].T]), self.basis.dtype))


def rows_of(cloud: Cloud) -> Float[Array, "m p"]:
    """Neurons as rows of the numbers in their arrays."""
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(cloud)], axis=1)


def cloud_of_rows(rows: Float[Array, "m p"], like: Cloud) -> Cloud:
    """The cloud with these rows, of the arrays of another one."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([math.prod(leaf.shape[1:]) for leaf in leaves])[:-1]
    parts = jnp.split(rows, [int(end) for end in ends], axis=1)
    arrays = [part.reshape(-1, *leaf.shape[1:]) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, arrays)


def fixed_subspace(action: Action) -> Subspace:
    """E^G, the neurons that a group fixes."""
    return Subspace(rows_of(fixed_basis(action)))
