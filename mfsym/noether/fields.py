"""Vector fields on the space of parameters: those along which training can move, and brackets of them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, positive_number
from ..types import Checked, RealLike

Apply = Checked[Callable[[PyTree, PyTree], PyTree]]
FlatField = Callable[[Float[Array, " n"], Float[Array, " D"]], Float[Array, " D"]]  # linear in its first argument

_INPUTS = "Pass a pytree of arrays with one leading axis, that of the inputs: apply(params, x) takes one of them."
_PARAMS = "Pass a pytree of floating arrays; split an equinox module with eqx.partition(model, eqx.is_inexact_array)."


class Space(NamedTuple):
    """The parameters as one vector θ, [D], with the way back, and the mean square of every leaf spread over its entries."""

    point: Float[Array, " D"]
    unravel: Callable[[Float[Array, " D"]], PyTree]
    scale: Float[Array, " D"]

    @property
    def dim(self) -> int:
        """D."""
        return self.point.shape[0]

    def random(self, key: Array) -> Float[Array, " D"]:
        """Another point, with the same root mean square in every leaf."""
        return self.scale * jax.random.normal(key, self.point.shape, self.point.dtype)


def space_of(params: PyTree) -> Space:
    """The space of parameters around these."""
    leaves = jax.tree.leaves(params)
    if not leaves or not all(hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        got = Words("one without floating leaves" if not leaves else "one with leaves of other types")
        raise argument_error("params", "a pytree of floating arrays", got, _PARAMS)
    point, unravel = ravel_pytree(params)
    sizes = [jnp.sqrt(jnp.mean(jnp.asarray(leaf) ** 2)) for leaf in leaves]
    scale = jnp.concatenate(
        [
            jnp.full(np.size(leaf), jnp.where(size > 0, size, 1), point.dtype)
            for leaf, size in zip(leaves, sizes, strict=True)
        ]
    )
    return Space(point, unravel, scale)


def check_precision(dtype: np.dtype, tol: RealLike | None) -> float:
    """The relative size below which singular values count as zero: 1e-9 in float64, the caller's own in float32."""
    if tol is None and dtype != jnp.float64:
        remedy = 'Run jax.config.update("jax_enable_x64", True) first, or pass tol= and look at the gap.'
        raise argument_error("params", "of float64, since ranks are decided by rounding", Words(f"of {dtype}"), remedy)
    return 1e-9 if tol is None else float(positive_number("tol", tol, "It is relative to the largest singular value."))


def count_of(inputs: PyTree) -> int:
    """How many inputs there are."""
    leaves = jax.tree.leaves(inputs)
    counts = {int(np.shape(leaf)[0]) if np.ndim(leaf) else 0 for leaf in leaves}
    if len(counts) != 1 or 0 in counts:
        got = Words(f"leading axes {sorted(map(str, counts))}" if leaves else "nothing")
        raise argument_error("inputs", "arrays with one leading axis", got, _INPUTS)
    return counts.pop()


def check_apply(apply: Apply, params: PyTree, inputs: PyTree) -> int:
    """The number n of outputs for one input, after looking at what `apply` returns; nothing is run."""
    remedy = "It is called as apply(params, x) with one input x, and returns floating arrays."
    if not callable(apply):
        raise argument_error("apply", "a function apply(params, x)", apply, remedy)
    count_of(inputs)
    try:
        shapes = jax.eval_shape(lambda p, xs: apply(p, jax.tree.map(lambda leaf: leaf[0], xs)), params, inputs)
    except Exception as error:
        got = Words(f"one that fails on the first input with {type(error).__name__}: {error}")
        raise argument_error("apply", "a function apply(params, x)", got, remedy) from error
    leaves = jax.tree.leaves(shapes)
    if not leaves or not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        raise argument_error("apply", "a function with floating outputs", Words(f"one with {shapes}"), remedy)
    return sum(int(np.prod(leaf.shape)) for leaf in leaves)


def outputs_of(apply: Apply, space: Space, inputs: PyTree) -> Callable[[Float[Array, " D"]], Float[Array, " N"]]:
    """θ ↦ all outputs on all inputs, as one vector."""

    def outputs(theta):
        params = space.unravel(theta)
        found = jax.vmap(lambda x: ravel_pytree(apply(params, x))[0])(inputs)
        return found.ravel()

    return outputs


def training_fields(apply: Apply, space: Space, inputs: PyTree, metric: Callable | None = None) -> FlatField:
    """(c, θ) ↦ J_F(θ)ᵀc, F the outputs on all inputs: the velocities that some loss on these inputs gives; M(θ) times it."""
    outputs = outputs_of(apply, space, inputs)

    def field(c, theta):
        (gradient,) = jax.vjp(outputs, theta)[1](c)
        return gradient if metric is None else ravel_pytree(metric(space.unravel(theta), space.unravel(gradient)))[0]

    return field


def momentum_fields(field: FlatField, space: Space, gamma: Float[Array, ""], key: Array) -> tuple[FlatField, Space]:
    """Those of θ'' + γθ' = −∇L on (s, θ, θ'), with s = e^{γt}, or t for γ = 0: the drift times c_0, and the forces of c_1, …

    Laws may depend on time. The space is that around (1, θ, a random velocity).
    """
    count = space.dim
    velocity = space.unravel(space.random(key))
    state = space_of((jnp.ones((), space.point.dtype), space.unravel(space.point), velocity))

    def moved(c, z):
        s, v = z[:1], z[1 + count :]
        drift = jnp.concatenate([jnp.where(gamma > 0, gamma.astype(z.dtype) * s, 1), v, -gamma.astype(z.dtype) * v])
        force = field(c[1:], z[1 : 1 + count])
        return c[0] * drift + jnp.concatenate([jnp.zeros((1 + count,), z.dtype), force])

    return moved, state


def nested_bracket(field: FlatField, cs: Float[Array, "k n"], theta: Float[Array, " D"]) -> Float[Array, " D"]:
    """[X_1, [X_2, … X_k]] at θ, of the fields X_i = field(c_i, ·), with [X, Y] = DY X − DX Y."""
    *outer, last = [lambda theta, c=c: field(c, theta) for c in cs]
    nested = last
    for one in reversed(outer):
        nested = _bracket(one, nested)
    return nested(theta)


def _bracket(x: Callable, y: Callable) -> Callable:
    def value(theta):
        return jax.jvp(y, (theta,), (x(theta),))[1] - jax.jvp(x, (theta,), (y(theta),))[1]

    return value
