"""An optimiser of optax, put into a scaling: every layer with its own rate, and other rates in the first steps."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from ..errors import Words, argument_error, check_integer, positive_number
from ..types import Checked, IntLike, RealLike
from .activations import HOMOGENEOUS
from .networks import Perceptron, Where, biases_of, check_base, check_layers, powers, weights_of
from .scalings import ADAM, SGD, Scaling, check_scaling

Rate = Checked[RealLike | Callable[[Array], Array] | Sequence[RealLike | Callable[[Array], Array]]]

_RATES = "Pass one learning rate or schedule, or one for each layer, first layer first."
_EPSILON = 1e-8  # of Adam at width 1


def optimiser(
    scaling: Checked[Scaling],
    width: IntLike,
    rate: Rate,
    *,
    first_rates: Rate | None = None,
    layers: Where = None,
    biases: Where = None,
    make: Checked[Callable[..., optax.GradientTransformation] | None] = None,
    epsilon: RealLike | None = None,
    base_width: IntLike = 1,
) -> optax.GradientTransformation:
    """An optimiser of optax whose learning rate is η_l m^{−c_l} in layer l; the first steps have those of the scaling.

    Arguments: the `scaling`, that of a `Perceptron`, or `.normalised()` for a network without multipliers; its `width` m;
    `rate` η, a number or a schedule of the step, one for all or one for each layer; `first_rates`, the same for the first
    steps (left out: `rate`); `layers` and `biases`, functions that pick weights and biases from the parameters, known for
    `Perceptron` and `eqx.nn.MLP`; `make`, from a rate to an optimiser, `optax.sgd` or `optax.adam` unless given:
    functools.partial(optax.adamw, weight_decay=0.1) is one. Clipping by the global norm goes in front of it, in a chain.
    `epsilon` of Adam, handed on where `make` takes an `eps`: a number is taken as it is; left out, 1e-8 times the power of m
    that gradients of the layer have, so that it stays as small beside them at every width.

    Raises ArgumentError, when the state is made, for parameters of no layer, another width, a network that does not fit
    the scaling, and optimisers that normalise their steps under a scaling for SGD, or do not under one for Adam.
    """
    scaling, width = check_scaling("scaling", scaling), check_integer("width", width, 1)
    base = check_base(scaling, base_width)
    if make is not None and not callable(make):
        raise argument_error("make", "a function from a rate to an optimiser", make, "Pass for example optax.adamw.")
    make = _default(scaling) if make is None else make
    later = _rates("rate", rate, scaling)
    first = later if first_rates is None else _rates("first_rates", first_rates, scaling)
    sizes = _epsilons(scaling, width, base, epsilon)

    def transforms(c: Sequence[float], c_first: Sequence[float] | None, epsilons: Sequence[Any], kind: str):
        scales = powers(width, base, c, -1)
        firsts = None if c_first is None else powers(width, base, c_first, -1)
        found = {}
        for index, scale in enumerate(scales):
            start = None if firsts is None else _times(first[index], firsts[index])
            own = _switched(start, _times(later[index], scale), scaling.first_steps)
            found[f"{kind} {index + 1}"] = _made(make, own, epsilons[index])
        return found

    of_biases = scaling.c_bias_first if scaling.c_bias_first is not None or scaling.c_first is None else scaling.c_bias
    groups = transforms(scaling.c, scaling.c_first, sizes["layer"], "layer")
    groups |= transforms(scaling.c_bias, of_biases, sizes["bias"], "bias")

    def labels(params: PyTree) -> PyTree:
        return _labels(params, weights_of(params, layers), biases_of(params, biases), scaling)

    inner = optax.multi_transform(groups, labels)

    def init(params: PyTree) -> optax.OptState:
        _check_network(params, weights_of(params, layers), scaling, width, base)
        return _check_state(inner.init(params), scaling)

    return optax.GradientTransformation(init, inner.update)


def _default(scaling: Scaling) -> Callable[..., optax.GradientTransformation]:
    return optax.adam if scaling.optimiser == ADAM else optax.sgd


def _rates(argument: str, rate: Any, scaling: Scaling) -> tuple[Any, ...]:
    """One number or schedule for each layer."""
    count = scaling.depth + 1
    several: tuple[Any, ...] = tuple(rate) if isinstance(rate, (tuple, list)) else (rate,) * count
    if len(several) != count:
        got = Words(f"{len(several)} numbers")
        raise argument_error(argument, f"one number, or {count}, one for each layer", got, _RATES)
    return tuple(each if callable(each) else positive_number(argument, each, _RATES, strict=False) for each in several)


def _times(rate: Any, scale: float) -> Any:
    """A rate, or a schedule, times a number."""

    def scaled(step: Array) -> Any:
        return scale * rate(step)

    return scaled if callable(rate) else scale * rate


def _switched(first: Any, later: Any, steps: int) -> Any:
    """The first rate for the first few updates, then the later one: a schedule where there are two."""
    if first is None:
        return later

    def at(rate: Any, step: Array) -> Any:
        return rate(step) if callable(rate) else jnp.asarray(rate)

    return lambda step: jnp.where(step < steps, at(first, step), at(later, step))


def _made(make: Callable[..., Any], rate: Any, epsilon: Any) -> optax.GradientTransformation:
    parameters = inspect.signature(make).parameters
    return make(rate, eps=epsilon) if "eps" in parameters else make(rate)


def _epsilons(scaling: Scaling, width: int, base: int, epsilon: RealLike | None) -> dict[str, tuple[Any, ...]]:
    """ε of weights and biases in every layer."""
    count = scaling.depth + 1
    if epsilon is not None:
        number = positive_number("epsilon", epsilon, "It is Adam's ε, the same in all layers.")
        return {"layer": (number,) * count, "bias": (number,) * count}
    found = scaling.predict(HOMOGENEOUS)
    inputs = (0.0, *found["forward"][:-1])
    weights = [gradient - a for gradient, a in zip(found["gradient"], scaling.a, strict=True)]
    biases = [gradient - size for gradient, size in zip(found["gradient"], inputs, strict=True)]
    return {
        kind: tuple(_EPSILON * factor for factor in powers(width, base, values, 1))
        for kind, values in (("layer", weights), ("bias", biases))
    }


def _labels(params: PyTree, pick: Callable, pick_biases: Callable, scaling: Scaling) -> PyTree:
    """The name of the group of every leaf."""
    leaves, structure = jax.tree.flatten(params)
    places = jax.tree.unflatten(structure, range(len(leaves)))
    names: list[str | None] = [None] * len(leaves)
    for index, place in enumerate(pick(places)):
        names[place] = f"layer {index + 1}"
    for index, place in enumerate(_of_layers(list(pick_biases(places)), scaling)):
        if place is not None:
            names[place] = f"bias {index + 1}"
    if None in names:
        path = jax.tree_util.keystr(jax.tree_util.tree_flatten_with_path(params)[0][names.index(None)][0])
        remedy = "Name all weights with layers=, all biases with biases=; freeze the rest outside, with eqx.partition."
        raise argument_error("params", "made of the weights and biases of the layers", Words(f"with {path} besides"), remedy)
    return jax.tree.unflatten(structure, names)


def _of_layers(places: list[int | None], scaling: Scaling) -> list[int | None]:
    """Biases of all layers, None where there is none, or of the hidden ones."""
    count, depth = len(places), scaling.depth
    if count not in (0, depth, depth + 1):
        expected = f"{depth + 1} biases, or {depth} of the hidden layers"
        remedy = "Pick them from the first layer to the output, None where a layer has none."
        raise argument_error("biases", expected, Words(f"{count} of them"), remedy)
    return places


def _check_network(params: PyTree, pick: Callable, scaling: Scaling, width: int, base: int) -> None:
    found, _ = check_layers(list(pick(params)), scaling)
    if found != width:
        raise argument_error("width", f"that of the network, {found}", width, "Pass the width of its hidden layers.")
    if isinstance(params, Perceptron):
        if params.scaling != scaling or params.base_width != base:
            got = Words(f"{scaling.name} with base_width={base}, not written as in the network")
            raise argument_error("scaling", "that of the Perceptron", got, "Pass model.scaling and its base_width.")
    elif any(scaling.a):
        remedy = "Pass scaling.normalised(): rates of the published form are for networks with multipliers m^{−a}."
        raise argument_error("scaling", "normalised for a network without multipliers", scaling.name, remedy)


def is_adaptive(state: optax.OptState) -> bool:
    """Whether an optimiser of this state divides by second moments, as Adam does."""
    return "nu" in _fields(state)


def _fields(node: Any) -> set[str]:
    """Names of fields of all named tuples in a state."""
    own, children = set(getattr(node, "_fields", ())), ()
    if isinstance(node, dict):
        children = tuple(node.values())
    elif isinstance(node, (tuple, list)):
        children = tuple(node)
    return own.union(*map(_fields, children))


def _check_state(state: optax.OptState, scaling: Scaling) -> optax.OptState:
    """A state whose kind of optimiser is that of the scaling."""
    fields = _fields(state)
    if scaling.optimiser == SGD and "nu" in fields:
        got = Words("one that divides by second moments, as Adam does")
        raise argument_error("make", "an optimiser for a scaling of SGD", got, 'Take a scaling with optimiser="adam".')
    if scaling.optimiser == ADAM and not fields & {"nu", "mu"}:
        got = Words("one that follows gradients, as SGD does")
        raise argument_error("make", "an optimiser for a scaling of Adam", got, 'Take a scaling with optimiser="sgd".')
    return state
