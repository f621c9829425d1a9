"""The tangent kernel of a deep network, layer by layer, at finite width and in the limit of infinite width."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import roots_hermitenorm

from ..errors import Words, argument_error, check_instance, check_integer, float_array, positive_number
from ..products import with_all_digits
from ..types import Checked, IntLike, RealArrayLike, RealFunction, RealLike
from .activations import classify
from .networks import Perceptron, powers

_NODES, _MOST, _AGREEMENT = 24, 384, 1e-10  # of the rules for smooth activations


def kernel_parts(
    model: Checked[Perceptron], x: RealArrayLike, z: RealArrayLike, *, output: IntLike = 0
) -> Float[Array, " layers"]:
    """m^{−c_l} ⟨∂f/∂w^l(x), ∂f/∂w^l(z)⟩ of one output, for layers 1, …, L + 1: what each adds to the rate of change of f.

    Gradient flow of unit rates moves f(x) at the rate −Σ_z Θ(x, z) ∂Loss/∂f(z), Θ the sum of the parts.
    """
    model = check_instance("model", model, Perceptron, "Pass a mf.deep.Perceptron.")
    chosen = check_integer("output", output, 0)
    if chosen >= model.weights[-1].shape[0]:
        raise argument_error("output", f"less than {model.weights[-1].shape[0]}", chosen, "It counts from 0.")
    points = [_point(name, each, model) for name, each in (("x", x), ("z", z))]

    def value(weights: tuple[Array, ...], point: Array) -> Array:
        return eqx.tree_at(lambda network: network.weights, model, weights)(point)[chosen]

    first, second = (jax.grad(with_all_digits(value))(model.weights, point) for point in points)
    rates = powers(model.width, model.base_width, model.scaling.c, -1)
    return jnp.stack([rate * jnp.sum(one * two) for rate, one, two in zip(rates, first, second, strict=True)])


def _point(argument: str, value: RealArrayLike, model: Perceptron) -> Float[Array, " d"]:
    point, dim = float_array(argument, value, 1), model.weights[0].shape[1]
    if point.shape[0] != dim:
        raise argument_error(argument, f"a point of {dim} coordinates", Words(f"of shape {point.shape}"), "One input.")
    return point


class LimitKernels(NamedTuple):
    """Infinite width at the start. `covariances` [L, 3]: E h(x)h(x), E h(x)h(z), E h(z)h(z) of layers 1, …, L;
    `parts` [L + 1]: the tangent kernel of one output, layer by layer, in the scalings ntk and mup."""

    covariances: Float[np.ndarray, "L 3"]
    parts: Float[np.ndarray, " layers"]


def limit_kernels(
    depth: IntLike, activation: RealFunction, x: RealArrayLike, z: RealArrayLike, *, gain: RealLike | None = None
) -> LimitKernels:
    """Kernels of L hidden layers for m → ∞, where preactivations are Gaussian (q^l is their covariance at x and z):

        q^1 = gain²/d (x·x, x·z, z·z),   K^l = E φ(u)φ(v),  S^l = E φ'(u)φ'(v),  (u, v) ~ N(0, q^l),   q^{l+1} = gain² K^l,
        Θ_{L+1} = K^L,   Θ_l = (Π_{j=l}^L S^j) gain^{2(L−l)} K^{l−1},  K^0 = x·z.

    A network of width m has them up to 1/√m in the scalings ntk and mup; ip has m^{−(L−1)}, m^{−(L−2)}, m^{−(L−1)} times the
    parts of the first, hidden and last layers. In closed form for ReLU and all φ of degree 1; for smooth φ by Gauss–Hermite
    rules of 24, 96 and 384 nodes, until two agree to 1e-10. Other φ are refused: a rule that does not know a kink
    is off by percents.
    """
    depth, kind = check_integer("depth", depth, 1), classify(activation)
    points = [np.asarray(float_array(name, each, 1), float) for name, each in (("x", x), ("z", z))]
    if points[0].shape != points[1].shape:
        raise argument_error(
            "z", f"of the shape of x, {points[0].shape}", Words(f"of shape {points[1].shape}"), "Two inputs."
        )
    size = kind.gain if gain is None else float(positive_number("gain", gain, "It multiplies the weights."))
    products = np.array([points[0] @ points[0], points[0] @ points[1], points[1] @ points[1]])
    if not (products[0] > 0 and products[2] > 0):
        raise argument_error("x", "two inputs that are not 0", Words("one that is"), "At 0 nothing reaches any layer.")
    if kind.kind == "homogeneous" and kind.degree == 1:
        return _layers(depth, size, products, points[0].size, lambda q: _homogeneous(q, kind.slopes))
    if kind.kind in ("homogeneous", "kinked"):
        remedy = "Pass ReLU, leaky ReLU, |z|, or a smooth activation."
        raise argument_error(
            "activation", "smooth, or homogeneous of degree 1", Words(f"{kind.kind}, of no such degree"), remedy
        )
    nodes, last = _NODES, None
    while nodes <= _MOST:
        found = _layers(depth, size, products, points[0].size, _smooth(activation, nodes))
        if last is not None and np.allclose(found.parts, last.parts, rtol=_AGREEMENT, atol=_AGREEMENT):
            return found
        nodes, last = 4 * nodes, found
    remedy = "Pass an activation that is smooth on the scale of its inputs."
    raise argument_error("activation", f"smooth enough for {_MOST} nodes", Words("not known to 1e-10 with them"), remedy)


def _layers(depth: int, gain: float, products: np.ndarray, dim: int, pair_means) -> LimitKernels:
    """The recursion, given `pair_means`(q): E φφ of (u, u), (u, v), (v, v) [3], and E φ'(u)φ'(v)."""
    covariances, kernels, slopes = [gain**2 / dim * products], [products[1]], []
    for _ in range(depth):
        values, slope = pair_means(covariances[-1])
        kernels.append(values[1])
        slopes.append(slope)
        covariances.append(gain**2 * values)
    parts = [
        np.prod(slopes[layer - 1 :]) * gain ** (2 * (depth - layer)) * kernels[layer - 1] for layer in range(1, depth + 1)
    ]
    return LimitKernels(np.array(covariances[:-1]), np.array([*parts, kernels[-1]]))


def _homogeneous(q: np.ndarray, slopes: tuple[float, float]) -> tuple[np.ndarray, float]:
    """Closed form for φ = α z₊ + β z₋: arc-cosine kernels at the angle and at its supplement."""
    alpha, beta = slopes
    size = np.sqrt(q[0] * q[2])
    angle = np.arctan2(np.sqrt(max(q[0] * q[2] - q[1] ** 2, 0.0)), q[1])

    def cosine(t: float) -> float:
        return size * (np.sin(t) + (np.pi - t) * np.cos(t)) / (2 * np.pi)

    def step(t: float) -> float:
        return (np.pi - t) / (2 * np.pi)

    same, other = alpha**2 + beta**2, 2 * alpha * beta
    value = same * cosine(angle) + other * cosine(np.pi - angle)
    slope = same * step(angle) - other * step(np.pi - angle)
    return np.array([same * q[0] / 2, value, same * q[2] / 2]), float(slope)


def _smooth(activation: RealFunction, nodes: int):
    """Means over a tensor Gauss–Hermite rule."""
    points, weights = roots_hermitenorm(nodes)
    weights = weights / np.sqrt(2 * np.pi)
    slope = jax.vmap(jax.grad(activation))

    def means(q: np.ndarray) -> tuple[np.ndarray, float]:
        root = np.sqrt(q[0])
        across, rest = q[1] / root, np.sqrt(max(q[2] - q[1] ** 2 / q[0], 0.0))
        u, v = root * points, across * points[:, None] + rest * points[None]
        own = np.sqrt(q[2]) * points
        phi = [
            np.asarray(jax.vmap(activation)(jnp.asarray(each.ravel())), float).reshape(each.shape) for each in (u, v, own)
        ]
        steep = [np.asarray(slope(jnp.asarray(each.ravel())), float).reshape(each.shape) for each in (u, v)]
        values = [weights @ phi[0] ** 2, (weights * phi[0]) @ phi[1] @ weights, weights @ phi[2] ** 2]
        return np.array(values), float((weights * steep[0]) @ steep[1] @ weights)

    return means
