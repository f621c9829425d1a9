"""The problem: inputs, target, unit, loss and start. It holds mathematics only: no tolerance, no grid, no key."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import Words, argument_error, check_instance, is_traced, positive_number
from ..types import RealLike
from .block_targets import BlockNorms, MultiIndex
from .empirical import data_of
from .functions import check_finite_function, values_on_host
from .inputs import AbstractInputs
from .losses import AbstractLoss, SquareLoss, check_loss, takes_all_values, wrong_values
from .rotated import unrotated
from .start import AbstractStart, BiasedStart, NormalStart, SphereStart
from .targets import AbstractRadialTarget, AbstractTarget, Labels, LinearTarget, RadialIndex, SingleIndex
from .tree_units import example_neuron, output_shape
from .units import AbstractUnit, ReLU, has_bias, is_ridge

# Targets whose values are numbers.
_OF_NUMBERS = (AbstractRadialTarget, SingleIndex, LinearTarget, MultiIndex, BlockNorms)


class Problem(eqx.Module):
    """Learn f* by a wide two-layer network: minimise F(μ) = E_{x~ρ} ℓ(f(x; μ), f*(x)), f = ∫ σ*(x; z) dμ(z).

    Arguments: `inputs` the law ρ; `target` f*, left out where the inputs are data with labels; `unit` σ* (default
    a·ReLU(b·x)); `loss` ℓ (default ½(f−f*)²); `start` the law of the neurons at time 0 (default |a| = ‖b‖ = 1, uniform
    directions, equal signs); `noise` σ of labels y = f* + σ·N(0, 1) of the square loss, which adds σ²/2 to F, and noise to
    what is sampled.
    Raises ArgumentError if the target does not fit the dimension of the inputs, or is NaN or infinite where they come, and
    for labels or values that the loss cannot be taken of.
    (Hajjar & Chizat 2022, arXiv:2211.08771.)
    """

    inputs: AbstractInputs
    target: AbstractTarget
    unit: AbstractUnit
    loss: AbstractLoss
    start: AbstractStart
    noise: Float[Array, ""] | None

    def __init__(
        self,
        inputs: AbstractInputs,
        target: AbstractTarget | None = None,
        unit: AbstractUnit | None = None,
        loss: AbstractLoss | None = None,
        start: AbstractStart | None = None,
        noise: RealLike = 0.0,
    ):
        unit = ReLU() if unit is None else unit
        loss = SquareLoss() if loss is None else loss
        start = SphereStart() if start is None else start
        self.inputs = check_instance("inputs", inputs, AbstractInputs, "Use mf.Gaussian, mf.Sphere or mf.Empirical.")
        target = _target_or_labels(target, inputs)
        self.target = check_instance("target", target, AbstractTarget, "Wrap a function in mf.FunctionTarget(fn).")
        self.unit = check_instance(
            "unit",
            unit,
            AbstractUnit,
            "Use mf.ReLU(), mf.GELU() or another of these, mf.Neuron(activation), mf.FunctionUnit or mf.ModuleUnit.",
        )
        self.loss = check_instance(
            "loss", loss, AbstractLoss, "Use mf.SquareLoss(), mf.Logistic(), mf.CrossEntropy() or mf.FunctionLoss(fn)."
        )
        self.start = check_instance("start", start, AbstractStart, "Use mf.SphereStart().")
        sigma = positive_number("noise", noise, "It is the standard deviation of the labels.", strict=False)
        # asked of what was given: inside jit constants become traced arrays
        self.noise = sigma if is_traced(noise) or float(noise) > 0 else None
        self.target.check(inputs.dim)
        _check_start(self.start, self.unit)
        shape = self.target_shape
        _check_outputs(self.unit, shape, inputs.dim)
        check_loss(self.loss, shape)
        _check_noise(self)
        _check_values(unrotated(self.target), inputs)
        _check_allowed(self)

    @property
    def dim(self) -> int:
        """Dimension d of the inputs."""
        return self.inputs.dim

    @property
    def target_shape(self) -> tuple[int, ...]:
        """[*out] of one value of the target: () for numbers."""
        if self.labels is not None:
            return self.labels.shape[1:]
        target = self.target
        if isinstance(unrotated(target), _OF_NUMBERS):
            return ()
        example = jax.ShapeDtypeStruct((self.dim,), jnp.result_type(float))
        return jax.eval_shape(lambda x: target(x), example).shape  # a module with traced leaves cannot be compared

    def values(self, x: Float[Array, "n d"]) -> Float[Array, "n *out"]:
        """f*(x) for every row, [n, *out], in the dtype of x."""
        return jax.vmap(self.target)(x).astype(x.dtype)

    @property
    def labels(self) -> Float[Array, "n *out"] | None:
        """y [n, *out] where the inputs are data with labels, and None elsewhere."""
        return _labels_of(self.inputs)

    def subspace(self) -> Float[Array, "dim_h d"] | None:
        """Orthonormal basis [d_H, d] of the declared subspace H, or None."""
        return self.target.subspace(self.dim)

    def radial_subspace(self) -> bool:
        """Whether f* is a function of ‖x_H‖ alone, so that angles to H lie in [0, π/2]."""
        return isinstance(unrotated(self.target), AbstractRadialTarget)

    def signed_angle(self) -> bool:
        """Whether f* is a function of one coordinate with its sign, so that angles to its axis lie in [0, π]."""
        basis, norms = self.subspace(), AbstractRadialTarget | BlockNorms
        return basis is not None and basis.shape[0] == 1 and not isinstance(unrotated(self.target), norms)

    def sample(
        self, key: PRNGKeyArray, count: int, dtype=None
    ) -> tuple[Float[Array, "count d"], Float[Array, "count *out"]]:
        """Independent pairs (x, y), y = f*(x) + noise, or rows with their labels: [count, d] and [count, *out]."""
        data = data_of(self.inputs)
        if data is not None and data.y is not None:
            rows = data.draw(key, count)
            x, y = data.x[rows], data.y[rows]
            return (x, y) if dtype is None else (x.astype(dtype), y.astype(dtype))
        if self.noise is None:
            x = self.inputs.sample(key, count, dtype)
            return x, self.values(x)
        input_key, noise_key = jax.random.split(key)
        x = self.inputs.sample(input_key, count, dtype)
        y = self.values(x)
        return x, y + self.noise.astype(y.dtype) * jax.random.normal(noise_key, y.shape, y.dtype)


_SEEN = 256  # inputs at which values are looked at
_FAR = 8.0  # standard deviations, where inputs still come


def _labels_of(inputs: AbstractInputs) -> Float[Array, "n *out"] | None:
    data = data_of(inputs)
    return None if data is None else data.y


def _target_or_labels(target: AbstractTarget | None, inputs: AbstractInputs) -> AbstractTarget | None:
    """The target, or what stands for one where the inputs are data with labels."""
    if _labels_of(inputs) is None:
        return target
    if target is not None:
        got = Words(f"a {type(target).__name__} beside the labels of the data")
        raise argument_error("target", "left out where the data have labels", got, "Leave out one of the two.")
    return Labels()


def _check_values(target: AbstractTarget, inputs: AbstractInputs) -> None:
    """f* = g(x_H) of rotation-invariant inputs must be a number at 0, on the axes and between them."""
    seen = _looked_at(target, np.linspace(-1, 1, 129))
    if seen is None or not inputs.rotation_invariant:
        return
    moment = values_on_host(lambda _: inputs.second_moment, np.zeros(1))
    if moment is None:
        return
    far = float(np.sqrt(moment[0])) * (1.0 if inputs.spherical else _FAR / np.sqrt(inputs.dim))
    g, places = seen
    check_finite_function(g, far * places)


@functools.singledispatch
def _looked_at(target: AbstractTarget, line: Float[np.ndarray, " n"]) -> tuple[Callable, np.ndarray] | None:
    """g and its arguments, of which each goes along a line through 0; None for a target that is no g of coordinates."""
    return None


@_looked_at.register
def _(target: SingleIndex, line):
    return target.g, line


@_looked_at.register
def _(target: RadialIndex, line):
    return target.g, np.abs(line)


@_looked_at.register
def _(target: MultiIndex, line):
    """On the axes and between them."""
    axes = line[:, None, None] * np.eye(target.dim_h)
    between = 1 / np.sqrt(target.dim_h) * np.random.default_rng(0).uniform(-1, 1, (128, target.dim_h))
    return target.g, np.concatenate([axes.reshape(-1, target.dim_h), between])


def _check_noise(problem: Problem) -> None:
    """Only the mean of the square loss over noise is that loss and a constant; data have the labels that they have."""
    if problem.noise is None:
        return
    if not isinstance(problem.loss, SquareLoss):
        remedy = "Noisy labels ±1 of mf.Logistic are values of the target between −1 and 1."
        raise argument_error("noise", "0 for losses other than the square", problem.noise, remedy)
    if data_of(problem.inputs) is not None:
        raise argument_error("noise", "0 for a data set", problem.noise, "Add the noise to its labels.")


def _check_start(start: AbstractStart, unit: AbstractUnit) -> None:
    """A law of biases is for units that have them, one of any leaves for units without layers of a name."""
    if isinstance(start, NormalStart) and is_ridge(unit):
        got, remedy = Words(f"a NormalStart of a {type(unit).__name__}"), "Use mf.GaussianStart(scale, scale * d**0.5)."
        raise argument_error("start", "a law of (a, b) for neurons a σ(b·x)", got, remedy)
    if isinstance(start, BiasedStart) and not has_bias(unit):
        remedy = "Use mf.Neuron(activation), which has one, or the start without biases."
        raise argument_error("unit", "one with a bias, as the start is a BiasedStart", type(unit).__name__, remedy)


def _check_outputs(unit: AbstractUnit, wanted: tuple[int, ...], dim: int) -> None:
    """A unit that is known to put out arrays of another shape than the target's values."""
    neuron = example_neuron(unit, dim, wanted)
    if neuron is None and not is_ridge(unit):
        return  # seen with the first cloud
    dtype = jnp.result_type(*jax.tree.leaves(neuron), jnp.result_type(float))
    check_shape_of_outputs(output_shape(unit, neuron, dim, dtype), wanted)


def check_shape_of_outputs(found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Raise ArgumentError if neurons put out something of another shape than the target's values."""
    if found != wanted:
        expected = f"one whose outputs have the shape {list(wanted)} of the target's values"
        remedy = "Units a σ(b·x) have one number; for several use mf.FunctionUnit or mf.ModuleUnit."
        raise argument_error("unit", expected, Words(f"one with outputs of shape {list(found)}"), remedy)


def _check_allowed(problem: Problem) -> None:
    """Labels, or values of the target on a few inputs, must be some that the loss can be taken of."""
    labels = problem.labels
    if takes_all_values(problem.loss):
        return
    if labels is not None:
        values = None if is_traced(labels) else np.asarray(labels)
    else:
        values = values_on_host(lambda _: problem.sample(jax.random.key(0), _SEEN)[1], np.zeros(1))
        values = None if values is None else values[0]
    refusal = None if values is None else wrong_values(problem.loss, values, labels is not None)
    if refusal is not None:
        raise argument_error("target" if labels is None else "y", *refusal)


def check_cloud_dimension(problem: Problem, dim: int) -> None:
    """Raise ArgumentError if a cloud and the problem differ in dimension."""
    if dim != problem.dim:
        raise argument_error("cloud", f"of dimension {problem.dim}, that of the inputs", dim, "Draw it from the problem.")
