"""What the flow owes to time: the energy that the loss gives, and the tangent kernel, at which rate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, positive_number
from ..types import Checked, RealLike
from .fields import Apply, check_apply, count_of

Loss = Checked[Callable[[PyTree, PyTree], Array]]


def tangent_kernel(
    apply: Apply, params: PyTree, x: PyTree, z: PyTree, *, rates: PyTree | None = None
) -> Float[Array, "N M n n"]:
    """Θ(x, z) = J_f(x) diag(rates) J_f(z)ᵀ for every pair of inputs, the outputs of each as one vector.

    `rates`, learning rates in a pytree like the parameters, one number for each leaf; 1 where left out. The flow of a mean
    loss moves outputs by f'(x) = −(1/N) Σ_i Θ(x, x_i) ∂ℓ_i/∂f.
    """
    check_apply(apply, params, x)
    check_apply(apply, params, z)
    point, unravel = ravel_pytree(params)
    weights = jnp.ones_like(point)
    if rates is not None:
        numbers = jax.tree.map(lambda leaf, rate: jnp.full(jnp.shape(leaf), rate, leaf.dtype), params, rates)
        weights = ravel_pytree(numbers)[0]

    def rows(one):
        return jax.jacrev(lambda theta: ravel_pytree(apply(unravel(theta), one))[0])(point)

    first, second = jax.vmap(rows)(x), jax.vmap(rows)(z)
    return jnp.einsum("nid,d,mjd->nmij", first, weights, second, precision=jax.lax.Precision.HIGHEST)


def rate_defect(apply: Apply, loss: Loss, params: PyTree, x: PyTree, y: PyTree) -> Float[Array, ""]:
    """|‖∇L‖² − rᵀΘr| / ‖∇L‖² of L = mean of loss(apply(params, x_i), y_i), with r_i = (1/N) ∂ℓ_i/∂f: 0, at any parameters.

    −dL/dt of the flow is both: the square of the gradient, and the tangent kernel seen by the residuals.
    """
    count = count_of(x)
    kernel = tangent_kernel(apply, params, x, x)
    outputs = jax.vmap(lambda one: apply(params, one))(x)
    pulls = jax.vmap(lambda out, label: ravel_pytree(jax.grad(loss)(out, label))[0])(outputs, y) / count
    rate = jnp.einsum("ni,nmij,mj->", pulls, kernel, pulls, precision=jax.lax.Precision.HIGHEST)

    def mean(params):
        return jnp.mean(jax.vmap(lambda one, label: loss(apply(params, one), label))(x, y))

    square = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(jax.grad(mean)(params)))
    return jnp.abs(square - rate) / square


def energy_defect(loss: Checked[Callable[[PyTree], Array]], states: PyTree, step: RealLike) -> Float[Array, ""]:
    """|L(0) − L(T) − ∫‖∇L‖² dt| / (L(0) − L(T)) along states [2K + 1, …] of a flow at times 0, h, …, by Simpson's rule.

    It falls by 16 when h is halved, with states that are at least as exact; for states of gradient descent by 2.
    """
    tau = positive_number("step", step, "It is the time between two states.")
    count = count_of(states)
    if count < 3 or count % 2 == 0:
        got = Words(f"{count}")
        raise argument_error("states", "an odd number of states, at least 3", got, "Simpson's rule takes pairs of steps.")
    values, gradients = jax.lax.map(jax.value_and_grad(loss), states)
    flat = jnp.concatenate([leaf.reshape(count, -1) for leaf in jax.tree.leaves(gradients)], axis=1)
    squares = jnp.sum(flat**2, axis=1)
    weights = jnp.ones((count,), squares.dtype).at[1:-1:2].set(4).at[2:-1:2].set(2)
    lost = values[0] - values[-1]
    return jnp.abs(lost - tau.astype(squares.dtype) / 3 * (weights @ squares)) / jnp.abs(lost)
