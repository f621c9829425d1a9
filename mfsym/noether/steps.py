"""What one finite step does to a law, exactly; and how the drift falls with the length of the step."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_choice, check_sequence, float_array, is_traced, positive_number
from ..types import Checked, IntLike, RealLike
from .laws import Law, check_law_like

Gradient = Checked[Callable[[PyTree], PyTree]]
Tableau = tuple[np.ndarray, np.ndarray]
Method = Checked[str | Sequence[Sequence[float]]]

_TABLEAUS: dict[str, Tableau] = {
    "euler": (np.zeros((1, 1)), np.ones(1)),
    "heun": (np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.5, 0.5])),
    "rk4": (
        np.array([[0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]),
        np.array([1.0, 2.0, 2.0, 1.0]) / 6,
    ),
}


class StepDefect(NamedTuple):
    """What a step did to a law: `change` of h, what was `expected` of it, the largest `defect` between them, new
    `params`."""

    defect: Float[Array, ""]
    change: Float[Array, "..."]
    expected: Float[Array, "..."]
    params: PyTree


def step_defect(
    law: Checked[Law],
    gradient: Gradient,
    params: PyTree,
    step: RealLike,
    *,
    method: Method = "euler",
    shrink: RealLike = 0.0,
) -> StepDefect:
    """One step of gradient descent, or of an explicit Runge–Kutta method, against what it must do to a homogeneous law.

    With slopes k_i = −∇L and B the bilinear form of a law of degree 2, B(k, k) = h(k),
        h(θ + τ Σ b_i k_i) − h(θ) = −τ² Σ_ij m_ij B(k_i, k_j),   m_ij = b_i a_ij + b_j a_ji − b_i b_j,
    which is τ² h(∇L) for gradient descent; a law of degree 1 stays (derived). With a coupled weight decay λ and `shrink`
    s = τλ, h ← (1 − s)² h + τ² h(∇L), and (1 − s) h for degree 1. It holds to rounding at any step, for any batch, and
    across the kinks of a ReLU: where it does not, the law is none of this network.

    Arguments: a `law` of degree 1 or 2; `gradient(params)`, of any loss; `params`; the length `step` τ; `method`, "euler",
    "heun", "rk4" or (a, b); `shrink`, for "euler" alone. Raises ArgumentError for a law of no degree, or an implicit method.
    """
    law = _homogeneous(law)
    a, b = _tableau(method)
    tau, s = positive_number("step", step, "It is the length τ."), _shrink(shrink, b)
    slopes = _slopes(gradient, params, tau, a)
    after = _moved(jax.tree.map(lambda leaf: (1 - s) * leaf, params), [tau * weight for weight in b], slopes)
    before = law(params)
    kept = (1 - s) ** (1 if law.degree == 1 else 2) * before
    expected = kept + _remainder(law, a, b, slopes, tau) - before
    change = law(after) - before
    return StepDefect(jnp.max(jnp.abs(change - expected)), change, expected, after)


def drift_order(
    law: Checked[Law], gradient: Gradient, params: PyTree, time: RealLike, steps: Checked[Sequence[int]], *, method: Method
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K-1"]]:
    """Errors max |h(T) − h(0)| of a method with these numbers of steps to one time T, and the slopes between them.

    A slope is that of log error against log τ: on smooth problems the order of the method, 1 on kinks. Arguments as in
    `step_defect`; `steps`, several increasing numbers of steps.
    """
    law, (a, b) = check_law_like(law), _tableau(method)
    remedy = "Pass for example (20, 40, 80)."
    counts = check_sequence("steps", steps, "increasing numbers of steps", remedy)
    if len(counts) < 2 or any(int(x) >= int(y) for x, y in itertools.pairwise(counts)) or int(counts[0]) < 1:
        raise argument_error("steps", "increasing numbers of steps, at least two", counts, remedy)
    end = positive_number("time", time, "It is the time T of the flow.")
    errors = np.array([_drift(law, gradient, params, end / int(count), int(count), a, b) for count in counts])
    slopes = np.diff(np.log(errors)) / -np.diff(np.log(np.asarray(counts, float)))
    return errors, slopes


def _drift(law: Law, gradient: Gradient, params: PyTree, tau: Array, count: IntLike, a: np.ndarray, b: np.ndarray) -> float:
    def advance(_, params):
        return _moved(params, [tau * weight for weight in b], _slopes(gradient, params, tau, a))

    last = jax.jit(lambda params: jax.lax.fori_loop(0, count, advance, params))(params)
    return float(jnp.max(jnp.abs(law(last) - law(params))))


def _slopes(gradient: Gradient, params: PyTree, tau: Array, a: np.ndarray) -> list[PyTree]:
    """k_i = −∇L(θ + τ Σ_j a_ij k_j) of every stage."""
    slopes: list[PyTree] = []
    for row in a:
        place = _moved(params, [tau * coefficient for coefficient in row[: len(slopes)]], slopes)
        slopes.append(jax.tree.map(jnp.negative, gradient(place)))
    return slopes


def _moved(params: PyTree, factors: Sequence[Array], directions: Sequence[PyTree]) -> PyTree:
    """θ + Σ factor · direction, in the type of θ."""
    for factor, direction in zip(factors, directions, strict=True):
        params = jax.tree.map(lambda leaf, d, factor=factor: leaf + factor.astype(leaf.dtype) * d, params, direction)
    return params


def _remainder(law: Law, a: np.ndarray, b: np.ndarray, slopes: Sequence[PyTree], tau: Array) -> Float[Array, "..."]:
    """−τ² Σ_ij m_ij B(k_i, k_j) of a law of degree 2, by polarisation; 0 for degree 1."""
    if law.degree == 1:
        return jnp.zeros_like(law(slopes[0]))
    own = [law(slope) for slope in slopes]
    total = jnp.zeros_like(own[0])
    for i, first in enumerate(slopes):
        for j, second in enumerate(slopes):
            weight = b[i] * a[i, j] + b[j] * a[j, i] - b[i] * b[j]
            if weight:
                both = own[i] if i == j else (law(jax.tree.map(jnp.add, first, second)) - own[i] - own[j]) / 2
                total = total - weight * both
    return tau**2 * total


def _homogeneous(law: Checked[Law]) -> Law:
    law = check_law_like(law)
    if law.degree is None:
        remedy = "What a finite step does to it is not known; `track` measures it."
        raise argument_error("law", "of degree 1 or 2", Words(f"one of no degree, {law.name}"), remedy)
    return law


def _tableau(method: Method) -> Tableau:
    if isinstance(method, str):
        return _TABLEAUS[check_choice("method", method, tuple(_TABLEAUS))]
    remedy = "Pass one of 'euler', 'heun', 'rk4', or the coefficients (a [n, n], b [n]) of an explicit method."
    pair = check_sequence("method", method, "a name or a pair (a, b)", remedy)
    if len(pair) != 2:
        raise argument_error("method", "a name or a pair (a, b)", pair, remedy)
    a, b = (np.asarray(float_array("method", each, ndim, remedy)) for each, ndim in zip(pair, (2, 1), strict=True))
    if a.shape != (b.size, b.size) or np.any(np.triu(a)):
        raise argument_error("method", "an explicit method: a [n, n] below its diagonal, b [n]", pair, remedy)
    return a, b


def _shrink(shrink: RealLike, b: np.ndarray) -> Array:
    s = positive_number("shrink", shrink, "It is τλ of a coupled weight decay λ.", strict=False)
    if b.size > 1 and (is_traced(shrink) or float(shrink) != 0):
        raise argument_error("shrink", "0 for a method with several slopes", shrink, 'Use method="euler".')
    return s
