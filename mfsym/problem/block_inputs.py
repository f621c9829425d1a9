"""Gaussian inputs whose scale differs between blocks of coordinates."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, check_integer, check_sequence, float_array, is_traced
from ..groups import is_orthogonal
from ..types import Checked, RealArrayLike
from .inputs import AbstractInputs


class GaussianBlocks(AbstractInputs):
    """x ~ N(0, Σ) with Σ = ⊕ s_i² I_{d_i}: one scale s_i for every block of d_i coordinates, in their order.

    Invariant under rotations of every block by itself. With two blocks, H and H^⊥, a target of x_H keeps its reduction:
    E[R σ(b·x)] depends on (s_1 ‖b_H‖, s_2 ‖b_⊥‖).
    Raises ArgumentError for fewer than two blocks, or another number of scales.
    """

    dims: tuple[int, ...] = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    scales: Float[Array, " blocks"]

    def __init__(self, dims: Checked[Sequence[int]], scales: RealArrayLike):
        expected, remedy = "a tuple of at least two dimensions", "One block is mf.Gaussian(dim, scale)."
        given = check_sequence("dims", dims, expected, remedy)
        if len(given) < 2:
            raise argument_error("dims", expected, dims, remedy)
        self.dims = tuple(check_integer("dims", dim, 1, "Every block has a coordinate.") for dim in given)
        self.dim = sum(self.dims)
        self.scales = float_array("scales", scales, 1, "Pass one positive number for every block.")
        known = not is_traced(self.scales)
        if self.scales.shape[0] != len(self.dims) or (known and not bool(jnp.all(self.scales > 0))):
            raise argument_error("scales", f"{len(self.dims)} positive numbers, one per block", scales, "Match `dims`.")

    @property
    def coordinate_scales(self) -> Float[Array, " d"]:
        """The standard deviation of every coordinate, [d]: the diagonal of S = Σ^{1/2}."""
        return self.scales[np.repeat(np.arange(len(self.dims)), self.dims)]

    def sample(self, key, count, dtype=None):
        """Independent inputs, [count, d]."""
        dtype = self.scales.dtype if dtype is None else dtype
        return self.coordinate_scales.astype(dtype)[None, :] * jax.random.normal(key, (count, self.dim), dtype)

    @property
    def second_moment(self):
        """E‖x‖² = Σ d_i s_i²."""
        return jnp.sum(self.coordinate_scales**2)

    @property
    def covariance(self):
        """Σ = ⊕ s_i² I."""
        return jnp.diag(self.coordinate_scales**2)

    def is_invariant(self, matrix):
        """Whether T is orthogonal and T Σ Tᵀ = Σ; scales that are traced count as different."""
        if not is_orthogonal(matrix):
            return False
        scales = 1.0 + np.arange(len(self.dims)) if is_traced(self.scales) else np.asarray(self.scales, dtype=float)
        matrix, covariance = np.asarray(matrix, dtype=float), np.diag(np.repeat(scales, self.dims) ** 2)
        return bool(np.allclose(matrix @ covariance @ matrix.T, covariance, atol=1e-5 * covariance.max()))

    @property
    def rotation_invariant(self):
        """False: the blocks rotate, but not into each other."""
        return False

    @property
    def spherical(self):
        """False."""
        return False
