"""Targets f*: what is learnt. A target is one class that works on both routes."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, check_integer, check_sequence, float_array, is_traced
from ..neurons import AbstractRidgeCloud, check_neurons, dim_of
from ..types import Cloud, RealArrayLike, RealFunction, RealLike
from .functions import Function, check_real_function, check_scalar_function
from .tree_units import output_shape
from .units import AbstractUnit, ReLU, is_ridge


class AbstractTarget(eqx.Module):
    """A target f* of one input in R^d, with values that are numbers, or arrays [*out].

    `parity` is what it declares: "even", "odd", or None for nothing.
    """

    parity: eqx.AbstractVar[str | None]

    @abc.abstractmethod
    def __call__(self, x: Float[Array, " d"]) -> Float[Array, "*out"]:
        """f*(x) for one input [d]: a number, or an array [*out]."""

    @abc.abstractmethod
    def subspace(self, dim: int) -> Float[Array, "dim_h d"] | None:
        """Orthonormal basis [d_H, d] of the subspace H that f* depends on, or None if none is declared."""

    @abc.abstractmethod
    def linear_weights(self) -> Float[Array, " d"] | None:
        """w, where f* is declared to be w·x; None for any other target."""

    @abc.abstractmethod
    def check(self, dim: int) -> None:
        """Raise ArgumentError if the target is not a function on R^dim."""


def first_axes(count: int, dim: int) -> Float[Array, "count d"]:
    """The first `count` rows of the identity."""
    return jnp.asarray(np.eye(count, dim), jnp.result_type(float))


class AbstractRadialTarget(AbstractTarget):
    """A function of ‖x_H‖ alone, H spanned by the first dim_h coordinates."""

    dim_h: eqx.AbstractVar[int]

    @property
    def parity(self):
        """ "even": norms do not see signs."""
        return "even"

    def subspace(self, dim):
        """The first dim_h axes."""
        return first_axes(self.dim_h, dim)

    def linear_weights(self):
        """None: not declared to be linear."""
        return None

    def check(self, dim):
        """dim_h ≤ dim."""
        if self.dim_h > dim:
            raise argument_error("target.dim_h", f"at most {dim}, the dimension of the inputs", self.dim_h, "H lies in R^d.")


class SubspaceNorm(AbstractRadialTarget):
    """f*(x) = scale · ‖x_H‖ with H spanned by the first dim_h coordinates (Hajjar & Chizat 2022)."""

    dim_h: int = eqx.field(static=True)
    scale: Float[Array, ""]

    def __init__(self, dim_h: int, scale: RealLike = 1.0):
        self.dim_h = check_integer("dim_h", dim_h, 1, "It is the dimension of the subspace H.")
        self.scale = float_array("scale", scale, 0)

    def __call__(self, x):
        """scale · ‖x_H‖."""
        return self.scale.astype(x.dtype) * jnp.linalg.norm(x[: self.dim_h])


def _static_number(argument: str, value: RealLike) -> float:
    if is_traced(value):
        raise argument_error(argument, "known when the problem is built", value, "Pass plain numbers.")
    float_array(argument, value, 0)
    return float(value)


class SingleIndex(AbstractTarget):
    """f*(x) = g(x_1). `g` takes and returns a scalar; `kinks` are the points where g is not smooth.

    Quadratures are split at the kinks; a needless one costs nothing. `mf.reduce` finds those that are not declared, where g
    is not traced; elsewhere they cost accuracy.
    Arrays inside `g`, where it is an `eqx.Module`, can be differentiated.
    """

    g: Function
    kinks: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, g: RealFunction, kinks: tuple[float, ...] = (0.0,)):
        self.g = Function("g", g)
        check_scalar_function("g", self.g, jax.ShapeDtypeStruct((), jnp.result_type(float)))
        kinks = check_sequence("kinks", kinks, "a tuple of numbers", "Pass for example (0.0,), or () for a smooth g.")
        self.kinks = tuple(_static_number("kinks", kink) for kink in kinks)

    def __call__(self, x):
        """g(x_1)."""
        return self.g(x[0])

    @property
    def parity(self):
        """None: g decides."""
        return None

    def subspace(self, dim):
        """The first axis."""
        return first_axes(1, dim)

    def linear_weights(self):
        """None: not declared to be linear."""
        return None

    def check(self, dim):
        """Every dimension has a first coordinate."""


class RadialIndex(AbstractRadialTarget):
    """f*(x) = g(‖x_H‖) with H spanned by the first dim_h coordinates. `g` takes and returns a scalar.

    `kinks` are the points where g is not smooth, as in `SingleIndex`. A multiple of the norm is `SubspaceNorm`, which has
    closed forms. Arrays inside `g`, where it is an `eqx.Module`, can be differentiated.
    """

    g: Function
    dim_h: int = eqx.field(static=True)
    kinks: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, g: RealFunction, dim_h: int, kinks: tuple[float, ...] = ()):
        self.dim_h = check_integer("dim_h", dim_h, 1, "It is the dimension of the subspace H.")
        self.g = Function("g", g)
        check_scalar_function("g", self.g, jax.ShapeDtypeStruct((), jnp.result_type(float)))
        kinks = check_sequence("kinks", kinks, "a tuple of numbers", "Pass for example (1.0,), or () for a smooth g.")
        self.kinks = tuple(_static_number("kinks", kink) for kink in kinks)

    def __call__(self, x):
        """g(‖x_H‖)."""
        return self.g(jnp.linalg.norm(x[: self.dim_h]))


class LinearTarget(AbstractTarget):
    """f*(x) = w·x."""

    w: Float[Array, " d"]

    def __init__(self, w: RealArrayLike):
        self.w = float_array("w", w, 1)
        if not is_traced(self.w) and not bool(jnp.any(self.w != 0)):
            raise argument_error("w", "different from 0", w, "It is the direction that the target depends on.")

    def __call__(self, x):
        """w·x."""
        return jnp.sum(self.w.astype(x.dtype) * x)

    @property
    def parity(self):
        """ "odd"."""
        return "odd"

    def subspace(self, dim):
        """The direction of w."""
        return (self.w / jnp.linalg.norm(self.w))[None, :]

    def linear_weights(self):
        """w."""
        return self.w

    def check(self, dim):
        """w has one entry for every coordinate."""
        if self.w.shape[0] != dim:
            raise argument_error("target.w", f"of length {dim}, the dimension of the inputs", self.w.shape, "Match them.")


class Teacher(AbstractTarget):
    """f*(x) = (1/M) Σ_j σ*(x; z_j): another network, of any neurons and their unit; by default `Particles` of ReLU."""

    cloud: Cloud
    unit: AbstractUnit

    def __init__(self, cloud: Cloud, unit: AbstractUnit | None = None):
        unit = ReLU() if unit is None else unit
        remedy = "Use ReLU(), Neuron(activation), MatrixUnit(activation) or another of these."
        self.unit = check_instance("unit", unit, AbstractUnit, remedy)
        if is_ridge(unit):
            bias = check_instance("cloud", cloud, AbstractRidgeCloud, "Build one with mf.Particles(a, b).").bias
            if unit.biased != (bias is not None):
                expected = f"one with{'out' if bias is None else ''} a bias, as the neurons are"
                remedy = "Use mf.Neuron(activation, bias=False) for mf.Particles, or mf.BiasedParticles."
                raise argument_error("unit", expected, type(unit).__name__, remedy)
        check_neurons(cloud)
        self.cloud = jax.tree.map(lambda leaf: float_array("cloud", leaf, None, "One array for every leaf."), cloud)

    def __call__(self, x):
        """Mean of the teacher's neurons at x."""
        cloud = jax.tree.map(lambda leaf: leaf.astype(x.dtype), self.cloud)
        return jnp.mean(jax.vmap(self.unit, in_axes=(0, None))(cloud, x), axis=0)

    @property
    def parity(self):
        """None: the teacher's neurons decide."""
        return None

    def subspace(self, dim):
        """None: a teacher declares no subspace."""
        return None

    def linear_weights(self):
        """None: not declared to be linear."""
        return None

    def check(self, dim):
        """The teacher's neurons take the inputs."""
        own = dim_of(self.cloud)
        if own is not None and own != dim:
            raise argument_error("target.cloud", f"of dimension {dim}, that of the inputs", own, "Match them.")
        dtype = jnp.result_type(float)
        neuron = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], dtype), self.cloud)
        output_shape(self.unit, neuron, dim, dtype)


class Labels(AbstractTarget):
    """f* known at the rows of a data set only: the target of a problem of `Empirical(x, y)`, which takes none itself."""

    parity: ClassVar[str | None] = None  # labels declare nothing

    def __call__(self, x):
        """Refused: there is no formula."""
        got = Words("known by the labels of the data set alone")
        raise argument_error("target", "a function of any input here", got, "Pass mf.Empirical(x) and a target.")

    def subspace(self, dim):
        """None: labels declare no subspace."""
        return None

    def linear_weights(self):
        """None: not declared to be linear."""
        return None

    def check(self, dim):
        """Labels fit any dimension."""


class FunctionTarget(AbstractTarget):
    """f*(x) = fn(x) for any function of one input [d], with values that are numbers, or arrays of one shape [*out].

    `parity` may declare it "even" or "odd".
    """

    fn: Function
    parity: str | None = eqx.field(static=True)

    def __init__(self, fn: RealFunction, parity: str | None = None):
        self.fn = Function("fn", fn)
        if parity not in (None, "even", "odd"):
            raise argument_error("parity", "None, 'even' or 'odd'", parity, "Leave it out if it is not known.")
        self.parity = parity

    def __call__(self, x):
        """fn(x)."""
        return self.fn(x)

    def subspace(self, dim):
        """None: nothing is declared about fn."""
        return None

    def linear_weights(self):
        """None: not declared to be linear."""
        return None

    def check(self, dim):
        """fn maps one input [dim] to a real array."""
        check_real_function("fn", self.fn, jax.ShapeDtypeStruct((dim,), jnp.result_type(float)))
