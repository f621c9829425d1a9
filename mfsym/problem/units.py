"""Units σ*(x; z) for one neuron z and one input x, and what only some of them have: an odd slope, homogeneity."""

import abc
from typing import ClassVar, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_flags, float_array
from ..groups import AbstractRepresentation
from ..neurons import AbstractRidgeCloud, Particles, neuron_of
from ..types import Cloud, RealFunction, RealLike
from .functions import Function, check_scalar_function, values_on_host

ERF = (jax.scipy.special.erf, jax.lax.erf)  # by which units with closed forms are known
_ORDINARY = 8.0  # arguments at which an activation is looked at


class AbstractUnit(eqx.Module):
    """A unit: a function of one neuron (any pytree without its particle axis) and one input [d]."""

    @abc.abstractmethod
    def __call__(self, neuron: PyTree, x: Float[Array, " d"]) -> Float[Array, "*out"]:
        """Output of one neuron at one input: a number, or an array [*out]."""


class AbstractRidgeUnit(AbstractUnit):
    """A unit a σ(b·x + β), or a σ(b·x) where `biased` is False: it sees an input along one direction only."""

    biased: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def activation(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """σ(z), elementwise."""

    def axes(
        self, inputs: AbstractRepresentation, outputs: AbstractRepresentation, hidden: AbstractRepresentation | None = None
    ) -> AbstractRidgeCloud:
        """a ↦ ρ̂ a, b ↦ ρ b, and β stays; with a sign h = ±1 inside, for odd σ, a ↦ ρ̂ h a, b ↦ h ρ b and β ↦ h β."""
        if hidden is None:
            return neuron_of(outputs, (inputs,), () if self.biased else None)
        return neuron_of(outputs * hidden, (hidden * inputs,), hidden if self.biased else None)


class AbstractOddSlope(AbstractRidgeUnit):
    """What a unit a σ(b·x) has if the odd part of σ is linear: σ(z) − σ(−z) = 2κz.

    A cloud that is symmetric under (a, b) ↦ (−a, −b) is then the linear function κ E[a b]·x.
    """

    biased: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def odd_slope(self) -> Float[Array, ""]:
        """Slope κ of the odd part of σ."""


class AbstractHomogeneousUnit(AbstractOddSlope):
    """A unit a σ(b·x) with σ(z) = odd·z + even·|z|, the general 1-homogeneous activation of one variable.

    Its arc-cosine kernel and its Funk–Hecke coefficients are closed forms of the two slopes, and a neuron
    has a mass |a|‖b‖ and a sign.
    """

    @property
    @abc.abstractmethod
    def even_slope(self) -> Float[Array, ""]:
        """Slope of the even part of σ, that of |z|."""

    @abc.abstractmethod
    def derivative(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """σ'(z), elementwise, with the mean of both sides at z = 0."""


def homogeneous_neurons(unit: AbstractUnit | None, cloud: Cloud) -> tuple[AbstractHomogeneousUnit, Particles] | None:
    """The same two where every neuron has a mass |a|‖b‖ and a sign: Particles of a 1-homogeneous unit; otherwise None."""
    return (unit, cloud) if is_homogeneous(unit) and isinstance(cloud, Particles) else None


def is_homogeneous(unit: AbstractUnit | None) -> TypeGuard[AbstractHomogeneousUnit]:
    """Whether a unit is a σ(b·x) with σ(λz) = λσ(z) for λ > 0, so that closed forms of its two slopes hold."""
    return isinstance(unit, AbstractHomogeneousUnit)


def is_ridge(unit: AbstractUnit | None) -> TypeGuard[AbstractRidgeUnit]:
    """Whether a unit is a σ(b·x) or a σ(b·x + β), with neurons `Particles` or `BiasedParticles`."""
    return isinstance(unit, AbstractRidgeUnit)


def has_bias(unit: AbstractUnit | None) -> bool:
    """Whether a unit is a σ(b·x + β), with neurons `BiasedParticles`."""
    return is_ridge(unit) and unit.biased


def _neuron_output(unit: AbstractOddSlope, neuron: Particles, x: Float[Array, " d"]) -> Float[Array, ""]:
    return neuron.a * unit.activation(jnp.sum(neuron.b * x))


def is_erf(unit: AbstractUnit) -> bool:
    """Whether a unit is a erf(b·x), known by the function itself: `Neuron(jax.scipy.special.erf, bias=False)`."""
    return isinstance(unit, Neuron) and not unit.biased and unit.function.rest in ERF


class ReLU(AbstractHomogeneousUnit):
    """a max(b·x, 0): odd slope ½, even slope ½."""

    def __call__(self, neuron, x):
        """Output of one neuron (a, b) at one input."""
        return _neuron_output(self, neuron, x)

    @property
    def odd_slope(self):
        """½."""
        return jnp.asarray(0.5)

    @property
    def even_slope(self):
        """½."""
        return jnp.asarray(0.5)

    def activation(self, z):
        """max(z, 0)."""
        return jnp.maximum(z, jnp.zeros((), z.dtype))

    def derivative(self, z):
        """1 for z > 0, ½ at 0, 0 for z < 0."""
        return jnp.heaviside(z, jnp.asarray(0.5, z.dtype))


class LeakyReLU(AbstractHomogeneousUnit):
    """a σ(b·x) with σ(z) = z for z > 0 and slope·z for z < 0: odd slope (1+slope)/2, even slope (1−slope)/2."""

    slope: Float[Array, ""]

    def __init__(self, slope: RealLike):
        self.slope = float_array("slope", slope, 0, "It is the slope of σ on the negative half line.")

    def __call__(self, neuron, x):
        """Output of one neuron (a, b) at one input."""
        return _neuron_output(self, neuron, x)

    @property
    def odd_slope(self):
        """(1 + slope)/2."""
        return (1 + self.slope) / 2

    @property
    def even_slope(self):
        """(1 − slope)/2."""
        return (1 - self.slope) / 2

    def activation(self, z):
        """z for z > 0, slope·z for z < 0."""
        return jnp.where(z > 0, z, self.slope.astype(z.dtype) * z)

    def derivative(self, z):
        """1 for z > 0, slope for z < 0, their mean at 0."""
        step = jnp.heaviside(z, jnp.asarray(0.5, z.dtype))
        slope = self.slope.astype(z.dtype)
        return slope + (1 - slope) * step


class Identity(AbstractHomogeneousUnit):
    """a b·x, the two-layer linear network: odd slope 1, even slope 0."""

    def __call__(self, neuron, x):
        """Output of one neuron (a, b) at one input."""
        return _neuron_output(self, neuron, x)

    @property
    def odd_slope(self):
        """1."""
        return jnp.asarray(1.0)

    @property
    def even_slope(self):
        """0."""
        return jnp.asarray(0.0)

    def activation(self, z):
        """z."""
        return z

    def derivative(self, z):
        """1."""
        return jnp.ones_like(z)


class GELU(AbstractOddSlope):
    """a σ(b·x) with σ(z) = z Φ(z), Φ the normal distribution function: odd slope ½, not homogeneous."""

    def __call__(self, neuron, x):
        """Output of one neuron (a, b) at one input."""
        return _neuron_output(self, neuron, x)

    @property
    def odd_slope(self):
        """½."""
        return jnp.asarray(0.5)

    def activation(self, z):
        """z Φ(z)."""
        return jax.nn.gelu(z, approximate=False)


class SiLU(AbstractOddSlope):
    """a σ(b·x) with σ(z) = z/(1 + e^{−z}): odd slope ½, not homogeneous."""

    def __call__(self, neuron, x):
        """Output of one neuron (a, b) at one input."""
        return _neuron_output(self, neuron, x)

    @property
    def odd_slope(self):
        """½."""
        return jnp.asarray(0.5)

    def activation(self, z):
        """z/(1 + e^{−z})."""
        return jax.nn.silu(z)


class Neuron(AbstractRidgeUnit):
    """a σ(b·x + β) for any activation σ of one number, with neurons `BiasedParticles(a, b, bias)`; or, with bias=False,
    a σ(b·x) with neurons `Particles(a, b)`.

    Raises ArgumentError if the activation does not map a real scalar to a real scalar of the same floating type, or is not
    finite between −8 and 8.
    """

    function: Function
    biased: bool = eqx.field(static=True)

    def __init__(self, activation: RealFunction, bias: bool = True):
        self.function = checked_activation(activation)
        check_flags(bias=bias)
        self.biased = bias

    def __call__(self, neuron, x):
        """Output of one neuron at one input."""
        before = jnp.sum(neuron.b * x)
        return neuron.a * self.activation(before + neuron.bias if self.biased else before)

    def activation(self, z):
        """σ(z), elementwise."""
        return jax.vmap(self.function)(z.ravel()).reshape(z.shape)


def checked_activation(activation: RealFunction) -> Function:
    """σ of one real number, which keeps the floating type of its argument and is a number at ordinary ones."""
    function, dtype = Function("activation", activation), jnp.result_type(float)
    check_scalar_function("activation", function, jax.ShapeDtypeStruct((), dtype))
    _check_values(function, dtype)
    return function


def _check_values(function: Function, dtype: np.dtype) -> None:
    kept = jax.eval_shape(lambda z: function(z), jax.ShapeDtypeStruct((), dtype)).dtype
    if kept != dtype:
        remedy = "Write jnp.tanh(z) without a cast, and constants as plain numbers."
        got = Words(f"one that returns {kept}")
        raise argument_error("activation", f"one that returns {dtype} for {dtype}", got, remedy)
    places = np.linspace(-_ORDINARY, _ORDINARY, 129)
    values = values_on_host(function, places)
    if values is not None and not np.all(np.isfinite(values)):
        first = np.argmin(np.where(np.isfinite(values), np.inf, np.abs(places)))
        got = Words(f"one that is {values[first]} at {places[first]:g}")
        remedy = "Give it a value there, for example with jnp.where."
        raise argument_error("activation", f"finite between −{_ORDINARY:g} and {_ORDINARY:g}", got, remedy)
