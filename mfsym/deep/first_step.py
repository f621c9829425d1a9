"""The network after its first step, at infinite width and in closed form: ReLU, one training sample (derived).

With the sample x', s the gain, s_1 = s/√d, κ = x'·x and v_l = |χ|²(s²/2)^{L−l}, layers are Gaussian. Before the step
h_0^l = h^l(x') ~ N(0, q_l); after it, at an input x, h_1^l = G^l − A_l g^l 1{h_0^l > 0}, g^l ~ N(0, v_l) independent of the
Gaussian pair (h_0^l, G^l). The step moves layer l by A_l, a sum over what the layers below wrote.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_sequence, float_array, positive_number
from ..types import Checked, RealArrayLike, RealLike
from .scalings import Scaling, check_scaling, ip, ip_llr, mup

_KNOWN = {"mup": mup, "ip_llr": ip_llr, "ip": ip}


class _Field(NamedTuple):
    """h_0 and h_1 of a layer: q = E h_0², E G², E h_0 G, and A, for every input [N]."""

    start: Array
    own: Array
    cross: Array
    step: Array


class _Means(NamedTuple):
    """E φ(h_0)φ(h_1), E 1{h_0 > 0} 1{h_1 > 0}, and E φ(h_1)²."""

    product: Array
    both: Array
    square: Array


def first_step_limit(
    scaling: Checked[Scaling],
    x_train: RealArrayLike,
    derivative: RealArrayLike,
    x: RealArrayLike,
    *,
    rates: Checked[tuple[RealLike, ...]],
    gain: RealLike | None = None,
) -> Float[Array, "N k"]:
    """f [N, k] at inputs x [N, d] after one step of SGD on the sample x' = `x_train` [d], for m → ∞ and ReLU without biases.

    Arguments: the `scaling`, mup, ip_llr, or ip with two hidden layers; `derivative` χ [k] of the loss with respect to the
    output at f = 0, where networks of these scalings start: for softmax and cross-entropy 1/k minus the label; `rates`
    η_1, …, η_{L+1}, which multiply the first rates of the scaling; `gain` (√2).
        f(x) = −χ (A_L P_L + η_{L+1} ρ_L),   ρ_l = E φ(h_0^l)φ(h_1^l),   P_l = P(h_0^l > 0, h_1^l > 0);
    for ip −χ η_2 ρ_1/4. Networks of width m are there up to 1/√m.
    Raises ArgumentError for scalings where it is another network, or 0, and says which.
    """
    scaling = _check(scaling)
    point, chi = float_array("x_train", x_train, 1), float_array("derivative", derivative, 1)
    inputs = float_array("x", x, 2, "Pass inputs [N, d]; one as x[None].")
    if inputs.shape[1] != point.shape[0]:
        got = Words(f"of shape {inputs.shape}")
        raise argument_error("x", f"of {point.shape[0]} columns, as x_train", got, "One row for each input.")
    expected = f"{scaling.depth + 1} numbers, one for each layer"
    steps = check_sequence("rates", rates, expected, "First layer first.")
    if len(steps) != scaling.depth + 1:
        raise argument_error("rates", expected, Words(f"{len(steps)} numbers"), "First layer first.")
    eta = [float_array("rates", each, 0) for each in steps]
    s2 = 2.0 if gain is None else positive_number("gain", gain, "It multiplies the weights.") ** 2
    return -jnp.outer(_amplitude(scaling, point, jnp.sum(chi**2), inputs, eta, s2), chi)


def _check(scaling: Checked[Scaling]) -> Scaling:
    scaling = check_scaling("scaling", scaling)
    expected, depth = "mup, ip_llr or ip for SGD", scaling.depth
    plain = scaling.name in _KNOWN and scaling.optimiser == "sgd"
    if not plain or (scaling.name == "ip_llr" and scaling.c_first is None):
        raise argument_error(
            "scaling", expected, Words(f"{scaling.name} for {scaling.optimiser}"), "No limit is known here."
        )
    if not scaling.same_first_step(_KNOWN[scaling.name](depth)):
        got = Words(f"one of other exponents with the name {scaling.name}")
        raise argument_error("scaling", expected, got, "No limit is known here.")
    if scaling.name == "ip" and depth != 2:
        reason = "where the limit stays 0" if depth > 2 else "which is mup(1): pass that"
        raise argument_error(
            "scaling", f"{expected}, ip with two hidden layers", Words(f"ip with {depth}, {reason}"), "Try ip_llr."
        )
    return scaling


def _amplitude(scaling: Scaling, point: Array, chi2: Array, x: Array, eta: list[Array], s2) -> Float[Array, " N"]:
    """A_L P_L + η_{L+1} ρ_L."""
    depth, dim, mup = scaling.depth, point.shape[0], scaling.name == "mup"
    overlap, first = x @ point, s2 / dim
    still = scaling.name == "ip"  # the first layer of ip moves by less than 1
    field = _Field(
        first * point @ point,
        first * jnp.sum(x**2, axis=1),
        first * overlap,
        jnp.zeros_like(overlap) if still else eta[0] * overlap,
    )
    for layer in range(1, depth + 1):
        means = _means(field, chi2 * (s2 / 2) ** (depth - layer))
        if layer == depth:
            break
        zero = jnp.zeros_like(overlap)
        moved = s2 * field.step * means.both if mup else zero
        own, cross = (s2 * means.square, s2 * means.product) if mup else (zero, zero)
        field = _Field(s2 * field.start / 2, own, cross, eta[layer] * means.product + moved)
    readout = 0.0 if still else eta[depth] * means.product
    return field.step * means.both + readout


def _means(field: _Field, variance: Array) -> _Means:
    """Over h_0, G and g, on the two halves h_0 > 0, where g acts, and h_0 < 0, where it does not."""
    size = jnp.sqrt(field.own + field.step**2 * variance)  # of h_1 where h_0 > 0
    root = jnp.sqrt(field.start)
    t = _angle(field.cross, root, size)
    product = root * size * (jnp.sin(t) + (jnp.pi - t) * jnp.cos(t)) / (2 * jnp.pi)
    both = (jnp.pi - t) / (2 * jnp.pi)
    other = _angle(-field.cross, root, jnp.sqrt(field.own))
    square = size**2 * _half(t) + field.own * _half(other)
    return _Means(product, both, square)


def _angle(cross: Array, root: Array, size: Array) -> Array:
    """arccos(cross/(root·size)); a right angle where one of them is 0."""
    scale = root * size
    safe = jnp.where(scale > 0, scale, 1.0)
    cosine = jnp.where(scale > 0, cross / safe, 0.0)
    return jnp.arctan2(jnp.sqrt(jnp.maximum(1.0 - cosine**2, 0.0)), cosine)


def _half(t: Array) -> Array:
    """E v² 1{u > 0, v > 0} of standard Gaussians at the angle t."""
    return ((jnp.pi - t) / 2 + jnp.sin(2 * t) / 4) / jnp.pi
