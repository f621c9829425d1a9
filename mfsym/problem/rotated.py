"""Targets in rotated coordinates: the subspace H need not be spanned by axes."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import argument_error, check_instance, float_array, is_traced
from ..groups import is_orthogonal
from ..types import RealArrayLike
from .targets import AbstractTarget

_EXACT = jax.lax.Precision.HIGHEST


class Rotated(AbstractTarget):
    """f*(x) = target(rotation x) for an orthogonal matrix `rotation` [d, d].

    Its first rows are an orthonormal basis of the subspace that a `target` written in the first coordinates depends
    on. Where the law of the inputs is invariant under rotations, a reduction in the coordinates rotation x is that of
    `target` itself, and g*(b) = g*_target(rotation b). Raises ArgumentError if the matrix is not orthogonal.
    """

    target: AbstractTarget
    rotation: Float[Array, "d d"]

    def __init__(self, target: AbstractTarget, rotation: RealArrayLike):
        target = check_instance("target", target, AbstractTarget, "Wrap a function in mf.FunctionTarget(fn).")
        remedy = "Pass an orthogonal matrix [d, d]; mf.complete_basis(rows) builds one from its first rows."
        rotation = float_array("rotation", rotation, 2, remedy)
        if rotation.shape[0] != rotation.shape[1] or (not is_traced(rotation) and not is_orthogonal(rotation)):
            raise argument_error("rotation", "an orthogonal matrix [d, d]", rotation, remedy)
        inner = rotation_of(target)  # one rotation is enough
        self.target = unrotated(target)
        self.rotation = rotation if inner is None else jnp.matmul(inner, rotation, precision=_EXACT)

    def __call__(self, x):
        """target(rotation x)."""
        return self.target(jnp.matmul(self.rotation.astype(x.dtype), x, precision=_EXACT))

    @property
    def parity(self):
        """That of the target: −x is turned into minus the turned x."""
        return self.target.parity

    def linear_weights(self):
        """Qᵀ w, as w·(Q x) = (Qᵀ w)·x."""
        w = self.target.linear_weights()
        return None if w is None else jnp.matmul(w.astype(self.rotation.dtype), self.rotation, precision=_EXACT)

    def subspace(self, dim):
        """The subspace of the target, turned back: its basis times `rotation`."""
        basis = self.target.subspace(dim)
        return None if basis is None else jnp.matmul(basis.astype(self.rotation.dtype), self.rotation, precision=_EXACT)

    def check(self, dim):
        """The rotation acts on the inputs, and the target is a function of them."""
        if self.rotation.shape[0] != dim:
            expected = f"of shape [{dim}, {dim}], the dimension of the inputs"
            raise argument_error("target.rotation", expected, self.rotation.shape, "Match them.")
        self.target.check(dim)


@functools.singledispatch
def unrotated(target: AbstractTarget) -> AbstractTarget:
    """The target in its own coordinates: what a `Rotated` wraps, and any other target itself."""
    return target


@unrotated.register
def _(target: Rotated):
    return target.target


@functools.singledispatch
def rotation_of(target: AbstractTarget) -> Float[Array, "d d"] | None:
    """The matrix Q of f*(x) = target(Q x) of a `Rotated`, and None for any other target."""
    return None


@rotation_of.register
def _(target: Rotated):
    return target.rotation
