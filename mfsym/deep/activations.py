"""What a scaling has to know of an activation: its degree, or its slope at 0, and the gain that keeps sizes of layers."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import Words, argument_error
from ..types import Checked, RealFunction

_HALF = np.array([0.3, 0.7, 1.0, 1.9])
_POINTS, _POWERS = np.concatenate([-_HALF[::-1], [0.0], _HALF]), (-6, -1, 1, 6)
_SMALL, _LARGE = 2.0**-10, 2.0**19
_NEAR = _SMALL * np.array([[-1.0, -2.0], [1.0, 2.0]])
_FAR = _LARGE * np.array([[-1.0, -2.0], [1.0, 2.0]])
_FUNCTION, _REMEDY = "a function of one real number", "Pass an activation such as jax.nn.relu or jnp.tanh."


class Activation(NamedTuple):
    """An activation φ as predictions see it; `mf.deep.classify(φ)` finds it from values of φ.

    - `kind`: "homogeneous", φ(λz) = λᵖφ(z) for λ > 0; "smooth", φ(0) = 0 with a slope there; "kinked", φ(0) = 0 with a slope
      on either side; "shifted", φ(0) ≠ 0; "flat", φ(0) = φ'(0) = 0 of no degree. The last two have no exponents here.
    - `degree` p where homogeneous, else 1. `slopes` (α, β): φ(1), φ(−1) of a homogeneous φ; elsewhere φ(±ε)/ε at 0.
    - `growth`: φ(z) ~ |z|^growth far out. `odd`: φ(−z) = −φ(z).
    """

    kind: str
    degree: float
    slopes: tuple[float, float]
    growth: float
    odd: bool

    @property
    def gain(self) -> float:
        """Of the Gaussian weights: √(2/(α² + β²)) with a kink and degree 1, 1/|φ'(0)| of a smooth φ, otherwise 1."""
        if self.kind == "smooth":
            return 1.0 / abs(self.slopes[0])
        if self.aligned and self.degree == 1.0:
            return float(np.sqrt(2.0 / np.sum(np.square(self.slopes))))
        return 1.0

    @property
    def aligned(self) -> bool:
        """Whether values at two inputs have a mean product of the size of both, however small they are."""
        return self.kind in ("homogeneous", "kinked")

    def even_size(self, exponent: float) -> float:
        """The same for the even part of φ, (φ(h) + φ(−h))/2, of a smooth φ: quadratic near 0."""
        if self.odd:
            return float("-inf")
        return 2.0 * exponent if exponent <= 0 else self.growth * exponent

    def size(self, exponent: float) -> float:
        """The exponent e_φ(h) of φ(h) where h ~ m^h."""
        if self.kind == "homogeneous":
            return self.degree * exponent
        return exponent if exponent <= 0 else self.growth * exponent


HOMOGENEOUS = Activation("homogeneous", 1.0, (1.0, 0.0), 1.0, False)
SMOOTH = Activation("smooth", 1.0, (1.0, -1.0), 0.0, True)


class _Values(NamedTuple):
    """φ at `_POINTS`, at powers of 2 times them, far out on both sides, and near 0 on both sides."""

    plain: np.ndarray
    scaled: np.ndarray
    far: np.ndarray
    near: np.ndarray


def classify(activation: RealFunction) -> Activation:
    """The kind, degree and slopes of φ, from its values at a few points and powers of 2.

    Raises ArgumentError for what is no function of one real number with finite values, and for φ = 0.
    """
    if not callable(activation):
        raise argument_error("activation", _FUNCTION, activation, _REMEDY)
    return _classify(activation, float(jnp.finfo(jnp.result_type(float)).eps))


@functools.lru_cache(maxsize=256)  # networks of many seeds and widths ask for the same few
def _classify(activation: RealFunction, epsilon: float) -> Activation:
    values, rounding = _evaluate(activation), 64 * epsilon
    scale = float(np.max(np.abs(values.plain)))
    if scale == 0:
        got = Words("0 at all points tried")
        raise argument_error("activation", "a function that is not 0 everywhere", got, _REMEDY)
    odd = bool(np.all(np.abs(values.plain + values.plain[::-1]) <= rounding * scale))
    degree = _degree(values, rounding)
    if degree is None:
        return _near_zero(activation, values, rounding * scale, odd)
    one = len(_HALF) + 1 + int(np.flatnonzero(_HALF == 1.0)[0])
    slopes = float(values.plain[one]), float(values.plain[len(_POINTS) - 1 - one])
    return Activation("homogeneous", degree, slopes, degree, odd)


def _near_zero(activation: RealFunction, values: _Values, rounding: float, odd: bool) -> Activation:
    """The class of a φ of no degree."""
    zero, growth = float(values.plain[len(_HALF)]), _growth(values.far)
    left, right = (
        (4 * (near - zero) - (far - zero)) / (2 * _SMALL) for near, far in values.near
    )  # without the second order
    largest = max(abs(left), abs(right))
    if abs(zero) > rounding:
        return Activation("shifted", 1.0, (right, left), growth, odd)
    if largest < 4 * _SMALL * np.max(np.abs(values.plain)):
        return Activation("flat", 1.0, (0.0, 0.0), growth, odd)
    if abs(right + left) > 0.01 * largest:
        return Activation("kinked", 1.0, (right, left), growth, odd)
    with jax.ensure_compile_time_eval():
        slope = float(jax.grad(activation)(0.0))
    return Activation("smooth", 1.0, (slope, -slope), growth, odd)


def _growth(far: np.ndarray) -> float:
    """The power of |z| that φ grows with, on the side where it is larger."""
    first, second = np.abs(far).max(axis=0)
    if not np.isfinite(second):
        return float("inf")
    return float(np.round(np.log2(second / first), 1)) if first > 0 and second > 0 else 0.0


def _degree(values: _Values, rounding: float) -> float | None:
    """p of a homogeneous φ, or None."""
    largest = int(np.argmax(np.abs(values.plain)))
    ratio = values.scaled[_POWERS.index(1), largest] / values.plain[largest]
    if not 0 < ratio < np.inf:
        return None
    degree = float(np.log2(ratio))
    degree = float(np.round(degree)) if abs(degree - np.round(degree)) < 1e-5 else degree
    for power, found in zip(_POWERS, values.scaled, strict=True):
        expected = 2.0 ** (degree * power) * values.plain
        if not np.all(np.abs(found - expected) <= rounding * np.max(np.abs(expected))):
            return None
    return degree


def _evaluate(activation: RealFunction) -> _Values:
    """φ at all points, in one program; inside of any transformation of JAX too."""
    parts = _POINTS, 2.0 ** np.array(_POWERS)[:, None] * _POINTS, _FAR, _NEAR
    points = np.concatenate([part.ravel() for part in parts])
    with jax.ensure_compile_time_eval():
        try:
            found = np.asarray(jax.jit(jax.vmap(activation))(jnp.asarray(points, float)), float)
        except (TypeError, ValueError) as error:
            raise argument_error("activation", _FUNCTION, Words(f"one that fails: {error}"), _REMEDY) from error
    if found.shape != points.shape or not np.all(np.isfinite(found[: _POINTS.size])):
        raise argument_error("activation", f"{_FUNCTION} with finite values", activation, _REMEDY)
    ends = np.cumsum([part.size for part in parts])[:-1]
    return _Values(*(piece.reshape(part.shape) for piece, part in zip(np.split(found, ends), parts, strict=True)))


def check_predictable(argument: str, activation: Checked[str | Activation | Callable]) -> Activation:
    """An activation with exponents: "homogeneous" (of degree 1), "smooth" (bounded), an `Activation`, or φ itself."""
    named = {"homogeneous": HOMOGENEOUS, "smooth": SMOOTH}
    if isinstance(activation, str):
        if activation not in named:
            raise argument_error(argument, "'homogeneous', 'smooth', or a function", activation, "Choose one of these.")
        return named[activation]
    found = activation if isinstance(activation, Activation) else classify(activation)
    if found.kind in ("shifted", "flat"):
        reason = "φ(0) ≠ 0" if found.kind == "shifted" else "φ(0) = φ'(0) = 0 and no degree"
        remedy = "Subtract φ(0); a network of it runs all the same, and coordinate_check measures it without predictions."
        raise argument_error(
            argument, "an activation with φ(0) = 0 and a slope or a degree there", Words(f"one with {reason}"), remedy
        )
    return found
