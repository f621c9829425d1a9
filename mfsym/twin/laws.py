"""The law that the weights of a network were drawn from, recognised by its moments or stated and compared."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import Words, argument_error
from ..problem.start import AbstractStart, BiasedStart, GaussianStart, IndependentStart, SphereStart, UnbalancedStart
from .network import Network
from .scaling import Scaling

_SURE = 4.0  # standard errors
_FOURTH_MOMENTS = {"normal": 3.0, "uniform": 1.8}  # relative to the square of the second
_EQUAL = 1e-5  # relative spread of numbers that are one
_REMEDY = (
    "Say what the weights were drawn from, in units of a = m s A and b = p B: start=mf.IndependentStart(outer, inner, "
    "scale_a, scale_b), mf.GaussianStart(scale_a, scale_b), …, for biases inside of mf.BiasedStart(...)."
)


class Law(NamedTuple):
    """A start, and what was taken for granted about it, in words."""

    start: AbstractStart
    assumed: tuple[str, ...]


class Neurons(NamedTuple):
    """a [m], b [m, d] and β [m] of a network in the units of this library; None for biases that are not there."""

    a: Float[np.ndarray, " m"]
    b: Float[np.ndarray, "m d"]
    bias: Float[np.ndarray, " m"] | None


def neurons_of(network: Network, scaling: Scaling) -> Neurons | None:
    """a = m s A, b = p B, β; None for a law by name."""
    if network.outer is None or network.inner is None:
        return None
    width = len(network.outer)
    return Neurons(width * scaling.scale(width) * network.outer, scaling.preactivation * network.inner, network.bias)


def recognised(neurons: Neurons | None, kind: str) -> Law:
    """The law of these neurons; raises ArgumentError where it is none that a start here has, and asks for it."""
    if neurons is None:
        start = SphereStart() if "mean field" in kind else GaussianStart()
        return Law(start, (f"{kind} is taken to start from the {type(start).__name__}() here; start= says otherwise",))
    outer, inner = _outer(neurons.a), _inner(neurons.b)
    size_a = float(np.sqrt(np.mean(neurons.a**2)))
    size_b = float(np.sqrt(np.mean(np.sum(neurons.b**2, axis=1))))
    start, error = _start(outer, inner, size_a, size_b), 100 / np.sqrt(2 * len(neurons.a))
    words = f"the weights of the model show the laws {outer!r} of a and {inner!r} of b"
    exact = "" if outer == "signs" else f", and the sizes of them, those of a to ± {error:.1g} %: start= states exact ones"
    return Law(_with_bias(start, neurons.bias), (words + exact,))


def _start(outer: str, inner: str, size_a: float, size_b: float) -> AbstractStart:
    """By the name that these laws have together, if they have one."""
    named = {("signs", "sphere"): UnbalancedStart, ("normal", "normal"): GaussianStart}.get((outer, inner))
    return IndependentStart(outer, inner, size_a, size_b) if named is None else named(size_a, size_b)


def _outer(a: Float[np.ndarray, " m"]) -> str:
    if np.ptp(np.abs(a)) <= _EQUAL * np.mean(np.abs(a)):
        if abs(np.sum(np.sign(a))) > _SURE * np.sqrt(len(a)):
            raise _unknown("more output weights of one sign than of the other")
        return "signs"
    if abs(np.mean(a)) > _SURE * np.std(a) / np.sqrt(len(a)):
        raise _unknown(f"output weights of mean {np.mean(a):.3g}, where the laws here have 0")
    return _shape("output weights", a)


def _inner(b: Float[np.ndarray, "m d"]) -> str:
    count, dim = b.shape
    norms, power = np.linalg.norm(b, axis=1), np.mean(np.sum(b**2, axis=1))
    if np.sum(np.mean(b, axis=0) ** 2) > _SURE**2 * power / count:
        raise _unknown("input weights whose mean is not 0")
    second = dim * b.T @ b / count / power - np.eye(dim)
    freedom = dim * (dim + 1) / 2  # the square of the norm is about 2/m times a chi-square of so many degrees
    if np.sum(second**2) > 2 / count * (freedom + 2 * _SURE * np.sqrt(2 * freedom)):
        raise _unknown("input weights that do not vary equally in all directions")
    if np.ptp(norms) <= _EQUAL * np.mean(norms):
        return "sphere"
    if _shape("input weights", b.ravel()) == "uniform":
        raise _unknown(
            "input weights uniform in a box, which rotations do not keep (Gaussians of the same variance are close)"
        )
    return "normal"


def _shape(name: str, values: Float[np.ndarray, " n"]) -> str:
    """The law that the fourth moment shows; raises ArgumentError, asking for it, where it is none of ours."""
    moment, error = np.mean(values**4) / np.mean(values**2) ** 2, np.sqrt(24 / len(values))
    distances = {law: abs(moment - own) for law, own in _FOURTH_MOMENTS.items()}
    law = min(distances, key=lambda law: distances[law])
    if distances[law] > _SURE * error:
        raise _unknown(f"{name} of no known law: E w⁴/(E w²)² = {moment:.3g}, and 3 for Gaussians")
    return law


def _with_bias(start: AbstractStart, bias: Float[np.ndarray, " m"] | None) -> AbstractStart:
    if bias is None or not np.any(bias):
        return start
    if np.ptp(bias) <= _EQUAL * np.abs(np.mean(bias)):
        return BiasedStart(start, float(np.mean(bias)))
    law = _shape("hidden biases", bias - np.mean(bias))
    return BiasedStart(start, float(np.mean(bias)), float(np.std(bias)), law)


def _unknown(found: str) -> Exception:
    expected, got = "stated where the weights do not show their law", Words(f"left out beside {found}")
    return argument_error("start", expected, got, _REMEDY)


def stated(start: AbstractStart, neurons: Neurons | None, drawn: Neurons) -> Law:
    """The start that the user states, if neurons `drawn` from it have the sizes of the network's own."""
    if neurons is None:
        return Law(start, ())
    for name, own, theirs in zip(("a", "b", "bias"), neurons, drawn, strict=True):
        if own is None:
            continue
        sizes = [float(np.sqrt(np.mean(np.asarray(each) ** 2))) for each in (own, theirs)]
        if abs(sizes[0] - sizes[1]) > (0.05 + _SURE / np.sqrt(len(own))) * max(sizes):
            got = Words(f"one whose {name} have root mean square {sizes[1]:.4g}, where the model's have {sizes[0]:.4g}")
            raise argument_error("start", "a law of the model's weights in the units a = m s A, b = p B", got, _REMEDY)
    return Law(start, _as_stated(neurons))


def _as_stated(neurons: Neurons) -> tuple[str, ...]:
    """What the model's own weights say against the law that was stated."""
    try:
        recognised(neurons, "the model")
    except ValueError as error:
        found = str(error).partition("left out beside ")[2].partition(". Say")[0]
        return (f"the start is the one that was stated; the model itself has {found}",)
    return ("the start is the one that was stated",)
