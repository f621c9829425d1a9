"""Laws: functions of the parameters that the gradient flow keeps, for every data set and every loss.

A symmetry f(g·θ, x) = f(θ, x) makes every gradient orthogonal to its generator ξ, ⟨∇L(θ), ξ(θ)⟩ = 0. Where ξ = ∇h for an h,
the gradient flow keeps h (Głuch & Urbanke 2021; derived). A quadratic h(θ) = ½θᵀAθ is kept for every data set if and only if
J_f(θ)Aθ = 0 for all θ and inputs (derived), and a finite step θ + u changes it by ⟨∇h(θ), u⟩ + h(u), exactly.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_instance, check_sequence, float_array, positive_number
from ..types import Checked, RealLike

Where = Checked[Callable[[PyTree], Array]]  # picks one array, as in eqx.tree_at
Several = Checked[Callable[[PyTree], Array] | Sequence[Callable[[PyTree], Array]]]

_WHERE = "Pass a function that picks an array of the parameters, such as lambda p: p.layers[0].weight."


class Law(eqx.Module):
    """A law h(params), an array with one entry for each of its parts.

    Arguments: its `name`; `function(params)`; `degree`, 1 or 2 where h is homogeneous of that degree, so that what a step
    does to it is known exactly, otherwise None; `size(params)`, where degree is given: an upper bound of |h| part by part
    that is a norm (degree 1) or a squared norm (degree 2) of what the law reads. It scales what an optimiser could have
    broken; left out, gradients do.
    """

    name: str = eqx.field(static=True)
    function: Checked[Callable[[PyTree], Array]]
    degree: Checked[int | None] = eqx.field(static=True, default=None)
    size: Callable[[PyTree], Array] | None = None

    def __check_init__(self):
        if not callable(self.function):
            raise argument_error("function", "a function of the parameters", self.function, "Pass for example a lambda.")
        if self.degree not in (None, 1, 2):
            raise argument_error("degree", "1, 2 or None", self.degree, "It is that of a homogeneous law.")

    def __call__(self, params: PyTree) -> Float[Array, "..."]:
        """h at these parameters."""
        return self.function(params)


def check_law_like(law: Checked[Law]) -> Law:
    """One law."""
    return check_instance("law", law, Law, "Make one with mf.noether.unit_norms, balance, …, or Law(name, function).")


def check_laws(laws: Checked[Law | Sequence[Law]]) -> tuple[Law, ...]:
    """One law, or several, as a tuple."""
    remedy = "Pass a law or a sequence of them, such as those that mf.noether.discover lists."
    several = (laws,) if isinstance(laws, Law) else check_sequence("laws", laws, "a Law or a sequence of them", remedy)
    return tuple(check_instance("laws", law, Law, remedy) for law in several)


def unit_norms(
    incoming: Where,
    outgoing: Several,
    *,
    bias: Where | None = None,
    degree: RealLike = 1.0,
    rates: tuple[RealLike, RealLike] = (1.0, 1.0),
) -> Law:
    """k‖w_out‖² − ‖w_in‖² − b², one part for each unit, of units with σ(λz) = λᵏσ(z) for λ > 0.

    Arguments: `incoming` picks the weights into the units, with the units on axis 0; `outgoing` those out of them, with the
    units on axis 1, or several of them that read the same units; `bias` that of the units. These are the layouts of equinox,
    for dense layers and for convolutions; for transposed kernels pick the transposed array. `degree` k is 1 for ReLU, leaky
    ReLU and |z|, 2 for relu². `rates`, constant learning rates of the two sides, divide their terms. Convolutions followed
    by a mean over positions and RMSNorm gains before linear maps obey it too; no other path may lead around the units.
    """
    _check_where(incoming=incoming, **({} if bias is None else {"bias": bias}))
    after = _several("outgoing", outgoing)
    float_array("degree", degree, 0)
    k = float(degree)
    first, second = _rates(rates)

    def parts(params):
        into = _squares("incoming", incoming(params), 0)
        out = sum(_squares("outgoing", each(params), 1, into.shape[0]) for each in after)
        own = into if bias is None else into + _squares("bias", bias(params), 0, into.shape[0])
        return (k / second) * out, own / first

    def difference(params):
        out, own = parts(params)
        return out - own

    def total(params):
        out, own = parts(params)
        return abs(out) + own

    return Law("k‖w_out‖² − ‖w_in‖²" + ("" if bias is None else " − b²"), difference, 2, total)


def balance(incoming: Where, outgoing: Where, *, rates: tuple[RealLike, RealLike] = (1.0, 1.0)) -> Law:
    """W_outᵀW_out − W_inW_inᵀ, [r, r], of two linear maps that follow one another: W_in [r, n], W_out [m, r].

    Symmetric, so that r(r+1)/2 of its entries are independent. Inside of any network; `rates` as in `unit_norms`.
    """
    _check_where(incoming=incoming, outgoing=outgoing)
    first, second = _rates(rates)

    def parts(params):
        into, out = (_matrix(name, each(params)) for name, each in (("incoming", incoming), ("outgoing", outgoing)))
        if out.shape[1] != into.shape[0]:
            expected = f"a matrix with {into.shape[0]} columns, one for every row of the incoming one"
            raise argument_error("outgoing", expected, Words(f"of shape {out.shape}"), _WHERE)
        return into, out

    def difference(params):
        into, out = parts(params)
        return _product(out.T, out) / second - _product(into, into.T) / first

    def total(params):
        into, out = parts(params)
        norms = jnp.sum(out**2, axis=0) / second + jnp.sum(into**2, axis=1) / first
        return (norms[:, None] + norms[None, :]) / 2

    return Law("W_outᵀW_out − W_inW_inᵀ", difference, 2, total)


def squared_norm(where: Where) -> Law:
    """‖W‖² of a weight that is normalised afterwards, by weight norm, RMSNorm(Wx) or BatchNorm."""
    _check_where(where=where)

    def square(params):
        return jnp.sum(where(params) ** 2)

    return Law("‖W‖²", square, 2, square)


def entry_sums(where: Where, *, axis: int = 0) -> Law:
    """Sums over one axis: those over the classes of the last layer before a softmax, of weight or bias. Linear."""
    _check_where(where=where)
    return Law(
        "sums over classes",
        lambda params: jnp.sum(where(params), axis=axis),
        1,
        lambda params: jnp.sum(jnp.abs(where(params)), axis=axis),
    )


def positive_sums(first: Where, second: Where) -> Law:
    """Σ_i U_ik − Σ_j V_jk, [r], of U Vᵀ under θ' = −θ⊙∇L, as in non-negative factorisations: U [n, r], V [m, r]. Linear."""
    _check_where(first=first, second=second)
    return Law(
        "ΣU − ΣV",
        lambda params: jnp.sum(first(params), axis=0) - jnp.sum(second(params), axis=0),
        1,
        lambda params: jnp.sum(jnp.abs(first(params)), axis=0) + jnp.sum(jnp.abs(second(params)), axis=0),
    )


def exponential_bias(outgoing: Where, bias: Where) -> Law:
    """½‖u_k‖² − b_k of units u_k exp(w_k·x + b_k), units on axis 1 of `outgoing` [n, h]: of an affine symmetry."""
    _check_where(outgoing=outgoing, bias=bias)
    return Law("½‖u‖² − b", lambda params: jnp.sum(outgoing(params) ** 2, axis=0) / 2 - bias(params))


def gradient_norms(law: Law, params: PyTree) -> Float[Array, "..."]:
    """‖∇h‖, part by part, by one reverse pass for each part."""
    rows = jax.tree.leaves(jax.jacrev(law.function)(params))
    shape = jnp.shape(jax.eval_shape(law.function, params))
    return jnp.sqrt(sum(jnp.sum(row.reshape(*shape, -1) ** 2, axis=-1) for row in rows))


def _check_where(**functions: object) -> None:
    for argument, value in functions.items():
        if not callable(value):
            raise argument_error(argument, "a function of the parameters", value, _WHERE)


def _several(argument: str, value: Several) -> tuple[Callable[[PyTree], Array], ...]:
    several = (value,) if callable(value) else check_sequence(argument, value, "a function, or several", _WHERE)
    if not several:
        raise argument_error(argument, "a function, or several", value, _WHERE)
    for each in several:
        _check_where(**{argument: each})
    return several


def plain_number(argument: str, value: RealLike, remedy: str) -> float:
    """A number that is not negative, as Python's own: no part of what is compiled, inside of which laws may be made."""
    positive_number(argument, value, remedy, strict=False)
    return float(value)


def _rates(rates: tuple[RealLike, RealLike]) -> tuple[float, float]:
    remedy = "Pass the learning rates of what leads in and of what leads out, constant or in a constant ratio."
    pair = check_sequence("rates", rates, "two positive numbers", remedy)
    if len(pair) != 2:
        raise argument_error("rates", "two positive numbers", pair, remedy)
    for rate in pair:
        positive_number("rates", rate, remedy)
    return float(pair[0]), float(pair[1])


def _squares(argument: str, array: Array, axis: int, count: int | None = None) -> Float[Array, " h"]:
    """Sums of squares over all axes but one."""
    if jnp.ndim(array) <= axis:
        raise argument_error(
            argument, f"an array with an axis {axis} of units", Words(f"of shape {jnp.shape(array)}"), _WHERE
        )
    sums = jnp.sum(array**2, axis=tuple(i for i in range(array.ndim) if i != axis))
    if count is not None and sums.shape[0] != count:
        expected = f"an array with {count} units on axis {axis}, as many as lead in"
        raise argument_error(argument, expected, Words(f"of shape {array.shape}"), _WHERE)
    return sums


def _matrix(argument: str, array: Array) -> Float[Array, "n m"]:
    if jnp.ndim(array) != 2:
        raise argument_error(argument, "a matrix", Words(f"of shape {jnp.shape(array)}"), _WHERE)
    return array


def _product(a: Float[Array, "n k"], b: Float[Array, "k m"]) -> Float[Array, "n m"]:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
