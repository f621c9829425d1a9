"""Symmetries of the data: when they make the first layer's gradient orthogonal to its rotations.

For f(Wx) on data closed under a group of rotations, with invariant labels, the rows of W may be turned together by elements
of the group. Turned by any angle they see other data; the angular momentum ⟨∇_W L, WAᵀ⟩, A antisymmetric, is 0 all the same,
or small, or not: for the squared loss and units that are sums of powers an exact rule says which (derived). It restricts the
path; in general it is no conserved quantity (see `Generator`).
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import argument_error, check_instance, check_integer, check_sequence, float_array
from ..groups import AbstractCompactGroup
from ..types import Checked, IntLike, RealArrayLike

_POWERS = "Pass the degrees of σ, such as (2,) for z², (1, 3) for z + z³."


def angular_momentum(
    loss: Checked[Callable[[PyTree], Array]],
    params: PyTree,
    where: Checked[Callable[[PyTree], Array]],
    matrix: RealArrayLike,
) -> Float[Array, ""]:
    """ρ = |⟨∇_W L, W Aᵀ⟩| / (‖∇_W L‖ ‖W Aᵀ‖), between 0 and 1, of a loss(params).

    Arguments: `where` picks W [h, d]; `matrix` A [d, d], antisymmetric. ρ = 0 for all W if all rotations exp(εA) of the data
    leave the loss as it is; for a finite group of them see `exact_for`.
    """
    turn = float_array("matrix", matrix, 2)
    if turn.shape[0] != turn.shape[1] or not np.allclose(turn, -turn.T, atol=1e-6):
        raise argument_error("matrix", "an antisymmetric matrix", matrix, "It generates the rotations exp(εA).")
    weight, gradient = where(params), where(jax.grad(loss)(params))
    moved = jnp.matmul(weight, turn.T.astype(weight.dtype), precision=jax.lax.Precision.HIGHEST)
    size = jnp.linalg.norm(gradient) * jnp.linalg.norm(moved)
    return jnp.where(size > 0, jnp.abs(jnp.sum(gradient * moved)) / jnp.where(size > 0, size, 1), 0)


def invariant_degrees(group: Checked[AbstractCompactGroup], maximum: IntLike) -> tuple[int, ...]:
    """The degrees n = 1 … maximum in which a group of rotations has an invariant harmonic polynomial.

    Their number in degree n is the mean over the group of χ_n = h_n − h_{n−2}, with h_n the complete symmetric polynomial of
    the eigenvalues of an element, by Newton's identities n h_n = Σ_k tr(gᵏ) h_{n−k} (Molien 1897). C_m has them where m
    divides n. `group` acts on the inputs, such as mf.cyclic(5).
    """
    check_instance("group", group, AbstractCompactGroup, "Pass mf.cyclic(5), mf.generate(matrix, …) or the like.")
    most = check_integer("maximum", maximum, 1)
    elements, weights = (np.asarray(each, float) for each in group.quadrature(most))
    traces, power = [], np.eye(group.size)
    for _ in range(most):
        power = power @ elements
        traces.append(np.trace(power, axis1=-2, axis2=-1))
    complete = [np.ones(len(weights))]
    for n in range(1, most + 1):
        complete.append(np.sum([traces[k - 1] * complete[n - k] for k in range(1, n + 1)], axis=0) / n)
    harmonic = [complete[n] - (complete[n - 2] if n > 1 else 0) for n in range(1, most + 1)]
    return tuple(n for n, character in enumerate(harmonic, start=1) if weights @ character > 0.5)


def exact_for(group: Checked[AbstractCompactGroup], degrees: Checked[Sequence[int]]) -> bool:
    """Whether ρ = 0 for all W: data closed under the group, invariant labels, the squared loss, and σ a sum of powers.

    With P the degrees of σ: if and only if the group has no invariant harmonic polynomial of a degree n > 0 among
    {p + q, p + q − 2, …} and {p, p − 2, …}, p, q ∈ P (derived). For one power p and C_m: m divides none of them. For other
    losses and units, logistic, tanh or ReLU, ρ is only small: nothing is claimed.
    """
    powers = {check_integer("degrees", p, 0) for p in check_sequence("degrees", degrees, "degrees of powers", _POWERS)}
    if not powers:
        raise argument_error("degrees", "degrees of powers", degrees, _POWERS)
    tops = powers | {p + q for p in powers for q in powers}
    seen = {n for top in tops for n in range(top, 0, -2)}
    return not seen or seen.isdisjoint(invariant_degrees(group, max(seen)))
