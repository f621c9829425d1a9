"""Targets with more structure than one angle: functions of several coordinates, and sums of norms of blocks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, check_integer, check_sequence, float_array
from ..types import RealArrayLike, RealFunction
from .functions import Function, check_scalar_function
from .targets import AbstractTarget, first_axes


class MultiIndex(AbstractTarget):
    """f*(x) = g(x_1, …, x_{dim_h}). `g` takes an array [dim_h] and returns a scalar.

    Arrays inside `g`, where it is an `eqx.Module`, can be differentiated.
    """

    g: Function
    dim_h: int = eqx.field(static=True)

    def __init__(self, g: RealFunction, dim_h: int):
        self.dim_h = check_integer("dim_h", dim_h, 1, "It is the number of coordinates that g takes.")
        self.g = Function("g", g)
        check_scalar_function("g", self.g, jax.ShapeDtypeStruct((self.dim_h,), jnp.result_type(float)))

    def __call__(self, x):
        """g(x_1, …, x_{dim_h})."""
        return self.g(x[: self.dim_h])

    @property
    def parity(self):
        """None: g decides."""
        return None

    def subspace(self, dim):
        """The first dim_h axes."""
        return first_axes(self.dim_h, dim)

    def linear_weights(self):
        """None: not declared to be linear."""
        return None

    def check(self, dim):
        """dim_h ≤ dim."""
        if self.dim_h > dim:
            raise argument_error("target.dim_h", f"at most {dim}, the dimension of the inputs", self.dim_h, "H lies in R^d.")


class BlockNorms(AbstractTarget):
    """f*(x) = Σ_i weights_i ‖x_{block i}‖, the blocks of the given dimensions filling the first coordinates."""

    dims: tuple[int, ...] = eqx.field(static=True)
    weights: Float[Array, " B"]

    def __init__(self, dims: tuple[int, ...], weights: RealArrayLike | None = None):
        expected, remedy = "a tuple of dimensions, one per block", "Pass for example (1, 2)."
        given = check_sequence("dims", dims, expected, remedy)
        if not given:
            raise argument_error("dims", expected, dims, remedy)
        self.dims = tuple(check_integer("dims", dim, 1, "Every block has at least one coordinate.") for dim in given)
        self.weights = float_array("weights", np.ones(len(self.dims)) if weights is None else weights, 1)
        if self.weights.shape != (len(self.dims),):
            raise argument_error("weights", f"one per block, {len(self.dims)}", self.weights.shape, "Match them with dims.")

    @property
    def starts(self) -> tuple[int, ...]:
        """First coordinate of every block."""
        return tuple(int(start) for start in np.cumsum([0, *self.dims[:-1]]))

    def __call__(self, x):
        """Σ_i weights_i ‖x_{block i}‖."""
        norms = [jnp.linalg.norm(x[start : start + dim]) for start, dim in zip(self.starts, self.dims, strict=True)]
        return jnp.sum(self.weights.astype(x.dtype) * jnp.stack(norms))

    @property
    def parity(self):
        """ "even": norms do not see signs."""
        return "even"

    def subspace(self, dim):
        """The coordinates of all blocks."""
        return first_axes(sum(self.dims), dim)

    def linear_weights(self):
        """None: not declared to be linear."""
        return None

    def check(self, dim):
        """The blocks fit into the inputs."""
        if sum(self.dims) > dim:
            raise argument_error(
                "target.dims", f"of sum at most {dim}, the dimension of the inputs", self.dims, "Match them."
            )
