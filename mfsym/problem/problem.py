"""The problem: inputs, target, unit, loss and start. It holds mathematics only: no tolerance, no grid, no key."""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import Words, argument_error, check_instance, is_traced
from .block_targets import BlockNorms, MultiIndex
from .empirical import Empirical
from .functions import check_finite_function, values_on_host
from .inputs import AbstractInputs
from .losses import AbstractLoss, SquareLoss, allowed_values
from .rotated import unrotated
from .start import AbstractStart, BiasedStart, SphereStart
from .targets import AbstractTarget, Labels, RadialIndex, SingleIndex, SubspaceNorm
from .units import AbstractUnit, ReLU, has_bias


class Problem(eqx.Module):
    """Learn f* by a wide two-layer network: minimise F(μ) = E_{x~ρ} ℓ(f(x; μ), f*(x)), f = ∫ σ*(x; z) dμ(z).

    Arguments: `inputs` the law ρ; `target` f*, left out where the inputs are data with labels; `unit` σ* (default
    a·ReLU(b·x)); `loss` ℓ (default ½(f−f*)²); `start` the law of the neurons at time 0 (default |a| = ‖b‖ = 1, uniform
    directions, equal signs).
    Raises ArgumentError if the target does not fit the dimension of the inputs, or is NaN or infinite where they come, and
    for labels or values that the loss cannot be taken of.
    (Hajjar & Chizat 2022, arXiv:2211.08771.)
    """

    inputs: AbstractInputs
    target: AbstractTarget
    unit: AbstractUnit
    loss: AbstractLoss
    start: AbstractStart

    def __init__(
        self,
        inputs: AbstractInputs,
        target: AbstractTarget | None = None,
        unit: AbstractUnit | None = None,
        loss: AbstractLoss | None = None,
        start: AbstractStart | None = None,
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
            "Use mf.ReLU(), mf.LeakyReLU(s), mf.Identity(), mf.GELU(), mf.SiLU() or mf.Neuron(activation).",
        )
        self.loss = check_instance(
            "loss", loss, AbstractLoss, "Use mf.SquareLoss(), mf.Logistic(), mf.Huber() or mf.FunctionLoss(fn)."
        )
        self.start = check_instance("start", start, AbstractStart, "Use mf.SphereStart().")
        target.check(inputs.dim)
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

    @property
    def labels(self) -> Float[Array, "n *out"] | None:
        """y [n, *out] where the inputs are data with labels, and None elsewhere."""
        return _labels_of(self.inputs)

    def subspace(self) -> Float[Array, "dim_h d"] | None:
        """Orthonormal basis [d_H, d] of the declared subspace H, or None."""
        return self.target.subspace(self.dim)

    def radial_subspace(self) -> bool:
        """Whether f* is a function of ‖x_H‖ alone, so that angles to H lie in [0, π/2]."""
        return isinstance(unrotated(self.target), SubspaceNorm | RadialIndex)

    def signed_angle(self) -> bool:
        """Whether f* is a function of one coordinate with its sign, so that angles to its axis lie in [0, π]."""
        basis, norms = self.subspace(), SubspaceNorm | RadialIndex | BlockNorms
        return basis is not None and basis.shape[0] == 1 and not isinstance(unrotated(self.target), norms)

    def sample(self, key: PRNGKeyArray, count: int, dtype=None) -> tuple[Float[Array, "count d"], Float[Array, " count"]]:
        """Independent pairs (x, f*(x)), or rows with their labels: [count, d] and [count, *out]."""
        if isinstance(self.inputs, Empirical) and self.inputs.y is not None:
            rows = self.inputs.draw(key, count)
            x, y = self.inputs.x[rows], self.inputs.y[rows]
            return (x, y) if dtype is None else (x.astype(dtype), y.astype(dtype))
        x = self.inputs.sample(key, count, dtype)
        return x, self.values(x)


_SEEN = 256  # inputs at which values are looked at
_FAR = 8.0  # standard deviations, where inputs still come


def _labels_of(inputs: AbstractInputs) -> Float[Array, "n *out"] | None:
    return inputs.y if isinstance(inputs, Empirical) else None


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
    if not isinstance(target, SingleIndex | RadialIndex | MultiIndex) or not inputs.rotation_invariant:
        return
    moment = values_on_host(lambda _: inputs.second_moment, np.zeros(1))
    if moment is None:
        return
    far = float(np.sqrt(moment[0])) * (1.0 if inputs.spherical else _FAR / np.sqrt(inputs.dim))
    line = far * np.linspace(-1, 1, 129)
    if not isinstance(target, MultiIndex):
        check_finite_function(target.g, line if isinstance(target, SingleIndex) else np.abs(line))
        return
    axes = line[:, None, None] * np.eye(target.dim_h)
    between = far / np.sqrt(target.dim_h) * np.random.default_rng(0).uniform(-1, 1, (128, target.dim_h))
    check_finite_function(target.g, np.concatenate([axes.reshape(-1, target.dim_h), between]))


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
    if problem.labels is not None:
        return _check_labels(problem.labels, allowed, type(problem.loss).__name__)
    values = values_on_host(lambda _: problem.sample(jax.random.key(0), _SEEN)[1], np.zeros(1))
    if values is not None and not np.all((values >= low) & (values <= high)):
        got = Words(f"one with values from {values.min():.4g} to {values.max():.4g}")
        expected = f"a target with values in [{low:g}, {high:g}], as {type(problem.loss).__name__} needs"
        raise argument_error("target", expected, got, "Take for example the sign, or tanh, of what you have.")


def _check_labels(labels: Float[Array, "n *out"], allowed: tuple[float, float], loss: str) -> None:
    """Labels of data are one or the other of the two extreme values: 0 would be a fair coin, and is a mistake."""
    wrong = () if is_traced(labels) else np.setdiff1d(np.asarray(labels, dtype=float), allowed)
    if len(wrong):
        expected = f"an array of labels {allowed[0]:g} and {allowed[1]:g}, as {loss} needs"
        remedy = "Of labels 0 and 1 take 2 y − 1; one that is uncertain is two rows with their `weights`."
        raise argument_error("y", expected, Words(f"one with the label {wrong[0]:g}"), remedy)


def check_cloud_dimension(problem: Problem, dim: int) -> None:
    """Raise ArgumentError if a cloud and the problem differ in dimension."""
    if dim != problem.dim:
        raise argument_error("cloud", f"of dimension {problem.dim}, that of the inputs", dim, "Draw it from the problem.")
