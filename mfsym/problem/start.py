"""Laws of the neurons at time 0."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_choice, check_instance, float_array, is_traced, positive_number
from ..groups import Action
from ..types import Checked, DTypeLike, RealFunction, RealLike, Scalar
from .functions import Function, check_scalar_function

_MASS = "It is the mass ∫|a|‖b‖ of the neurons of one sign."


class AbstractStart(eqx.Module):
    """A law of (a, b) at time 0."""

    @property
    @abc.abstractmethod
    def uniform(self) -> bool:
        """Whether directions b/‖b‖ are uniform on the sphere."""

    @abc.abstractmethod
    def density(self, theta: Float[Array, " n"]) -> Float[Array, " n"]:
        """Density of the angle to H relative to the uniform law on the sphere, not normalised, [n]."""


class AbstractUniformStart(AbstractStart):
    """A start whose vectors have uniform directions."""

    @property
    def uniform(self):
        """True."""
        return True

    def density(self, theta):
        """1: uniform."""
        return jnp.ones_like(theta)


class Sizes(NamedTuple):
    """|a| and ‖b‖ of neurons that differ by their sign alone: first those with a > 0, then those with a < 0."""

    outer: tuple[Scalar, Scalar]
    inner: tuple[Scalar, Scalar]


class AbstractSignedStart(AbstractStart):
    """A start with as many a > 0 as a < 0, whose neurons of one sign have the same |a| and the same ‖b‖."""

    @abc.abstractmethod
    def sizes(self, dtype: DTypeLike) -> Sizes:
        """|a| and ‖b‖ of both signs."""

    @abc.abstractmethod
    def masses(self) -> tuple[Scalar, Scalar]:
        """∫|a|‖b‖ of the neurons with a > 0 and with a < 0."""


class AbstractBalancedStart(AbstractSignedStart):
    """A start with |a| = ‖b‖, described by the masses of the two signs and the law of the directions."""

    mass_plus: eqx.AbstractVar[Float[Array, ""]]
    mass_minus: eqx.AbstractVar[Float[Array, ""]]

    def sizes(self, dtype):
        """√(2 mass), with derivative 0 at 0."""
        roots = _safe_root(2 * self.mass_plus.astype(dtype)), _safe_root(2 * self.mass_minus.astype(dtype))
        return Sizes(roots, roots)

    def masses(self):
        """Those that describe it."""
        return self.mass_plus, self.mass_minus


def _safe_root(square: Scalar) -> Scalar:
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


class SphereStart(AbstractBalancedStart, AbstractUniformStart):
    """b/‖b‖ uniform on the sphere, half of the neurons with a > 0, |a| = ‖b‖ = √(2 mass of the sign).

    The default, masses ½ and ½, is |a| = ‖b‖ = 1 (Hajjar & Chizat 2022).
    """

    mass_plus: Float[Array, ""]
    mass_minus: Float[Array, ""]

    def __init__(self, mass_plus: RealLike = 0.5, mass_minus: RealLike = 0.5):
        self.mass_plus = positive_number("mass_plus", mass_plus, _MASS, strict=False)
        self.mass_minus = positive_number("mass_minus", mass_minus, _MASS, strict=False)
        _check_some_mass(self.mass_plus, self.mass_minus)


class AngularStart(AbstractBalancedStart):
    """Directions whose angle to H has a given density relative to the uniform law, |a| = ‖b‖ as in `SphereStart`.

    `density_of_angle` takes the angle θ (cos θ = ‖b_H‖/‖b‖, or cos θ = b_1/‖b‖ where H is one coordinate that the target
    sees with its sign) and returns a non-negative scalar; it is normalised by the library. H is all that the target depends
    on, and directions inside H and H^⊥ are uniform. Its arrays can be differentiated.
    """

    density_of_angle: Function
    mass_plus: Float[Array, ""]
    mass_minus: Float[Array, ""]

    def __init__(self, density_of_angle: RealFunction, mass_plus: RealLike = 0.5, mass_minus: RealLike = 0.5):
        self.density_of_angle = Function("density_of_angle", density_of_angle)
        scalar = jax.ShapeDtypeStruct((), jnp.result_type(float))
        check_scalar_function("density_of_angle", self.density_of_angle, scalar)
        self.mass_plus = positive_number("mass_plus", mass_plus, _MASS, strict=False)
        self.mass_minus = positive_number("mass_minus", mass_minus, _MASS, strict=False)
        _check_some_mass(self.mass_plus, self.mass_minus)

    @property
    def uniform(self):
        """False."""
        return False

    def density(self, theta):
        """The user's density at every angle, [n]."""
        values = jax.vmap(self.density_of_angle)(theta)
        if not is_traced(values) and not bool(jnp.all(jnp.isfinite(values) & (values >= 0))):
            raise argument_error(
                "density_of_angle", "finite and non-negative on the whole interval", values, "Check its formula."
            )
        return values


class UnbalancedStart(AbstractSignedStart, AbstractUniformStart):
    """Directions b/‖b‖ uniform on the sphere, half of the neurons with a > 0, |a| = norm_a and ‖b‖ = norm_b.

    The masses of the signs are ½ norm_a norm_b. One factor in both norms is the scale of the start: large ones are
    learnt lazily, with hardly any change of the directions, small ones richly. Where a² > ‖b‖² a neuron of the wrong
    sign reaches b = 0 in finite time.
    """

    norm_a: Float[Array, ""]
    norm_b: Float[Array, ""]

    def __init__(self, norm_a: RealLike, norm_b: RealLike):
        self.norm_a = positive_number("norm_a", norm_a, "It is |a| of every neuron.", strict=False)
        self.norm_b = positive_number("norm_b", norm_b, "It is ‖b‖ of every neuron; at b = 0 there is no direction.")

    def sizes(self, dtype):
        """The two norms, the same for both signs."""
        outer, inner = self.norm_a.astype(dtype), self.norm_b.astype(dtype)
        return Sizes((outer, outer), (inner, inner))

    def masses(self):
        """½ norm_a norm_b each."""
        mass = self.norm_a * self.norm_b / 2
        return mass, mass


class GaussianStart(AbstractUniformStart):
    """a ~ N(0, scale_a²) and b ~ N(0, scale_b² I_d / d), independent: not balanced, so that no angle alone follows it."""

    scale_a: Float[Array, ""]
    scale_b: Float[Array, ""]

    def __init__(self, scale_a: RealLike = 1.0, scale_b: RealLike = 1.0):
        self.scale_a = positive_number("scale_a", scale_a, "It is the standard deviation of a.")
        self.scale_b = positive_number("scale_b", scale_b, "It is the root mean square of ‖b‖.")


class NormalStart(AbstractUniformStart):
    """Every entry of a neuron ~ N(0, scale²), independent, for units whose neurons are any pytree (`MatrixUnit`, `MLPUnit`,
    `FunctionUnit`, `ModuleUnit`); for units a σ(b·x) it is `GaussianStart(scale, scale √d)`.

    `fixed_by`, an action on the neurons of the unit, projects them on those that it fixes: a strongly invariant start.
    Raises ArgumentError for an action that fixes only z = 0, where all neurons would be one.
    """

    scale: Float[Array, ""]
    fixed_by: Action | None

    def __init__(self, scale: RealLike = 1.0, *, fixed_by: Checked[Action | None] = None):
        self.scale = positive_number("scale", scale, "It is the standard deviation of every entry of a neuron.")
        self.fixed_by = fixed_by
        if fixed_by is None:
            return
        check_instance("fixed_by", fixed_by, Action, "Build it with mf.action(unit, inputs, outputs).")
        if fixed_by.dim_fixed == 0:
            got, remedy = Words(f"one of {fixed_by.group!r} that fixes only 0"), "Start weakly invariant: leave it out."
            raise argument_error("fixed_by", "an action that fixes some neurons", got, remedy)


class IndependentStart(AbstractUniformStart):
    """a and b independent, each of a law by name with a root mean square: scale_a of a, scale_b of ‖b‖.

    `outer` is that of a: "signs" (± scale_a), "normal" or "uniform" (on ± √3 scale_a). `inner` is that of b, in uniform
    directions: "sphere" (‖b‖ = scale_b) or "normal". `UnbalancedStart` and `GaussianStart` are two of the six.
    Reduced by labels of neurons.
    """

    outer: str = eqx.field(static=True)
    inner: str = eqx.field(static=True)
    scale_a: Float[Array, ""]
    scale_b: Float[Array, ""]

    def __init__(self, outer: str, inner: str, scale_a: RealLike = 1.0, scale_b: RealLike = 1.0):
        self.outer = check_choice("outer", outer, ("signs", "normal", "uniform"))
        self.inner = check_choice("inner", inner, ("sphere", "normal"))
        self.scale_a = positive_number("scale_a", scale_a, "It is the root mean square of a.")
        self.scale_b = positive_number("scale_b", scale_b, "It is the root mean square of ‖b‖.")


class BiasedStart(AbstractStart):
    """(a, b) as in another start, and biases β independent of them, all equal to the mean for scale 0.

    `law` is N(mean, scale²) if "normal", uniform on mean ± √3 scale if "uniform".
    For units with a bias (`Neuron`), which start with β = 0 from any other start.
    """

    start: AbstractStart
    mean: Float[Array, ""]
    scale: Float[Array, ""]
    law: str = eqx.field(static=True)
    random: bool = eqx.field(static=True)

    def __init__(self, start: AbstractStart, mean: RealLike = 0.0, scale: RealLike = 0.0, law: str = "normal"):
        self.start = check_instance("start", start, AbstractStart, "Use mf.SphereStart() or another start of (a, b).")
        if isinstance(start, BiasedStart):
            raise argument_error("start", "a start of (a, b)", start, "One law of the biases is enough.")
        self.mean = float_array("mean", mean, 0, "It is the mean of the biases.")
        self.scale = positive_number("scale", scale, "It is the standard deviation of the biases.", strict=False)
        self.law = check_choice("law", law, ("normal", "uniform"))
        self.random = is_traced(self.scale) or float(self.scale) > 0

    @property
    def uniform(self):
        """Whether that of (a, b) is."""
        return self.start.uniform

    def density(self, theta):
        """That of (a, b)."""
        return self.start.density(theta)


def _check_some_mass(mass_plus: Float[Array, ""], mass_minus: Float[Array, ""]) -> None:
    if not is_traced(mass_plus) and not is_traced(mass_minus) and mass_plus + mass_minus == 0:
        raise argument_error("mass_plus", "positive where mass_minus is 0", 0.0, "A start without neurons learns nothing.")
