"""The problem: inputs, target, unit, loss and start. It holds mathematics only: no tolerance, no grid, no key."""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import Words, argument_error, check_instance, is_traced, positive_number
from ..types import RealLike
from .block_targets import MultiIndex
from .functions import check_finite_function, values_on_host
from .inputs import AbstractInputs, Empirical
from .losses import AbstractLoss, SquareLoss, allowed_values
from .rotated import unrotated
from .start import AbstractStart, BiasedStart, SphereStart
from .targets import AbstractTarget, SingleIndex, SubspaceNorm
from .units import AbstractUnit, ReLU, has_bias


class Problem(eqx.Module):
    """Learn f* by a wide two-layer network: minimise F(μ) = E_{x~ρ} ℓ(f(x; μ), f*(x)), f = ∫ σ*(x; z) dμ(z).

    Arguments: `inputs` the law ρ; `target` f*; `unit` σ* (default a·ReLU(b·x)); `loss` ℓ (default ½(f−f*)²);
    `start` the law of the neurons at time 0 (default |a| = ‖b‖ = 1, uniform directions, equal signs); `noise` σ of labels
    y = f* + σ·N(0, 1) of the square loss, which adds σ²/2 to F, and noise to what is sampled.
    Raises ArgumentError if the target does not fit the dimension of the inputs, or is NaN or infinite where they come.
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
        target: AbstractTarget,
        unit: AbstractUnit | None = None,
        loss: AbstractLoss | None = None,
        start: AbstractStart | None = None,
        noise: RealLike = 0.0,
    ):
        unit = ReLU() if unit is None else unit
        loss = SquareLoss() if loss is None else loss
        start = SphereStart() if start is None else start
        self.inputs = check_instance("inputs", inputs, AbstractInputs, "Use mf.Gaussian, mf.Sphere or mf.Empirical.")
        self.target = check_instance("target", target, AbstractTarget, "Wrap a function in mf.FunctionTarget(fn).")
        self.unit = check_instance(
            "unit",
            unit,
            AbstractUnit,
            "Use mf.ReLU(), mf.LeakyReLU(s), mf.Identity(), mf.GELU(), mf.SiLU() or mf.Neuron(activation).",
        )
        self.loss = check_instance(
            "loss", loss, AbstractLoss, "Use mf.SquareLoss(), mf.Logistic(), mf.Huber() or mf.FunctionLoss(fn)."
        )
        self.start = check_instance("start", start, AbstractStart, "Use mf.SphereStart().")
        noise = positive_number("noise", noise, "It is the standard deviation of the labels.", strict=False)
        self.noise = noise if is_traced(noise) or float(noise) > 0 else None
        target.check(inputs.dim)
        _check_noise(self)
        _check_bias(self.start, self.unit)
        _check_values(unrotated(target), inputs)
        _check_allowed(self)

    @property
    def dim(self) -> int:
        """Dimension d of the inputs."""
        return self.inputs.dim

    def values(self, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f*(x) for every row, [n], in the dtype of x."""
        return jax.vmap(self.target)(x).astype(x.dtype)

    def subspace(self) -> Float[Array, "dim_h d"] | None:
        """Orthonormal basis [d_H, d] of the declared subspace H, or None."""
        return self.target.subspace(self.dim)

    def radial_subspace(self) -> bool:
        """Whether f* is a function of ‖x_H‖ alone, so that angles to H lie in [0, π/2]."""
        return isinstance(unrotated(self.target), SubspaceNorm)

    def sample(self, key: PRNGKeyArray, count: int, dtype=None) -> tuple[Float[Array, "count d"], Float[Array, " count"]]:
        """Independent pairs (x, y), y = f*(x) + noise: [count, d] and [count]."""
        if self.noise is None:
            x = self.inputs.sample(key, count, dtype)
            return x, self.values(x)
        input_key, noise_key = jax.random.split(key)
        x = self.inputs.sample(input_key, count, dtype)
        return x, self.values(x) + self.noise.astype(x.dtype) * jax.random.normal(noise_key, (count,), x.dtype)


_SEEN = 256  # inputs at which values are looked at
_FAR = 8.0  # standard deviations, where inputs still come


def _check_values(target: AbstractTarget, inputs: AbstractInputs) -> None:
    """f* = g(x_H) of rotation-invariant inputs must be a number at 0, on the axes and between them."""
    if not isinstance(target, SingleIndex | MultiIndex) or not inputs.rotation_invariant:
        return
    moment = values_on_host(lambda _: inputs.second_moment, np.zeros(1))
    if moment is None:
        return
    far = float(np.sqrt(moment[0])) * (1.0 if inputs.spherical else _FAR / np.sqrt(inputs.dim))
    line = far * np.linspace(-1, 1, 129)
    if isinstance(target, SingleIndex):
        check_finite_function(target.g, line)
        return
    axes = line[:, None, None] * np.eye(target.dim_h)
    between = far / np.sqrt(target.dim_h) * np.random.default_rng(0).uniform(-1, 1, (128, target.dim_h))
    check_finite_function(target.g, np.concatenate([axes.reshape(-1, target.dim_h), between]))


def _check_noise(problem: Problem) -> None:
    """Only the mean of the square loss over noise is that loss and a constant; data have the labels that they have."""
    if problem.noise is None:
        return
    if not isinstance(problem.loss, SquareLoss):
        remedy = "Noisy labels ±1 of mf.Logistic are values of the target between −1 and 1."
        raise argument_error("noise", "0 for losses other than the square", problem.noise, remedy)
    if isinstance(problem.inputs, Empirical):
        raise argument_error("noise", "0 for a data set", problem.noise, "Add the noise to its labels.")


def _check_bias(start: AbstractStart, unit: AbstractUnit) -> None:
    """A law of biases is for units that have them."""
    if isinstance(start, BiasedStart) and not has_bias(unit):
        remedy = "Use mf.Neuron(activation), which has one, or the start without biases."
        raise argument_error("unit", "one with a bias, as the start is a BiasedStart", type(unit).__name__, remedy)


def _check_allowed(problem: Problem) -> None:
    """Values of the target, on a few inputs, must be some that the loss can be taken of."""
    allowed = allowed_values(problem.loss)
    if allowed is None:
        return
    low, high = allowed
    values = values_on_host(lambda _: problem.sample(jax.random.key(0), _SEEN)[1], np.zeros(1))
    if values is not None and not np.all((values >= low) & (values <= high)):
        got = Words(f"one with values from {values.min():.4g} to {values.max():.4g}")
        expected = f"a target with values in [{low:g}, {high:g}], as {type(problem.loss).__name__} needs"
        raise argument_error("target", expected, got, "Take for example the sign, or tanh, of what you have.")


def check_cloud_dimension(problem: Problem, dim: int) -> None:
    """Raise ArgumentError if a cloud and the problem differ in dimension."""
    if dim != problem.dim:
        raise argument_error("cloud", f"of dimension {problem.dim}, that of the inputs", dim, "Draw it from the problem.")
