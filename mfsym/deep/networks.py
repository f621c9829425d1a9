"""Fully connected networks in any scaling: our own, in published form or without multipliers, and anybody's, redrawn."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_flags, check_integer, check_key, positive_number
from ..types import Checked, IntLike, KeyLike, RealFunction, RealLike
from .activations import classify
from .scalings import Scaling, check_scaling, standard

Where = Checked[Callable[[PyTree], Sequence[Array]] | None]

_LAYERS = "Pass layers=lambda m: [...], the weights from the first layer to the output."


class Perceptron(eqx.Module):
    """f = h^{L+1}, h^l = m^{−a_l} w^l x^{l−1} + β^l, x^l = φ(h^l), x⁰ = x: a network that carries its scaling.

    - `weights`: w^1 [m, d], w^l [m, m], w^{L+1} [k, m], as they are trained; `biases` β^l, or None.

    Arguments: `scaling`; `dim` d, `width` m, `outputs` k; `activation` φ, from a real number to one; `key`. Starts are
    w^l = m^{−b_l} (gain · N(0, 1) + mean), gain/√d in the first layer, 1 in the output. `gain` is that of `classify(φ)`
    unless given. `bias=True` adds biases that start at 0; those of a scaling with random ones start as N(0, 1).
    `base_width` m₀: powers are of m/m₀, on top of `standard` at m₀, where all scalings are then the same network.
    """

    weights: tuple[Float[Array, "n m"], ...]
    biases: tuple[Float[Array, " n"], ...] | None
    scaling: Scaling
    activation: RealFunction = eqx.field(static=True)
    base_width: int = eqx.field(static=True)

    def __init__(
        self,
        scaling: Checked[Scaling],
        dim: IntLike,
        width: IntLike,
        outputs: IntLike,
        activation: RealFunction,
        *,
        key: KeyLike,
        gain: RealLike | None = None,
        bias: Checked[bool] = False,
        base_width: IntLike = 1,
    ):
        check_flags(bias=bias)
        scaling, width = check_scaling("scaling", scaling), check_integer("width", width, 1)
        sizes = (check_integer("dim", dim, 1), *(width,) * scaling.depth, check_integer("outputs", outputs, 1))
        self.scaling, self.activation = scaling, activation
        self.base_width = check_base(scaling, base_width)
        keys = jax.random.split(check_key(key), 2)
        shapes = tuple((after, before) for before, after in itertools.pairwise(sizes))
        self.weights = _draw(scaling, shapes, width, self.base_width, _gain(activation, gain), sizes[0], keys[0])
        self.biases = _draw_biases(scaling, sizes[1:], keys[1]) if bias or scaling.random_biases else None

    @property
    def width(self) -> int:
        """m."""
        return self.weights[0].shape[0]

    def multipliers(self) -> tuple[float, ...]:
        """m^{−a_l}."""
        return powers(self.width, self.base_width, self.scaling.a, -1)

    def preactivations(self, x: Float[Array, " d"]) -> list[Float[Array, " n"]]:
        """h^1, …, h^{L+1} at one input; the last is the output."""
        found = []
        for index, (weight, factor) in enumerate(zip(self.weights, self.multipliers(), strict=True)):
            before = x if index == 0 else jax.vmap(self.activation)(found[-1])
            found.append(factor * (weight @ before) + (0 if self.biases is None else self.biases[index]))
        return found

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " k"]:
        """f at one input."""
        return self.preactivations(x)[-1]


def check_base(scaling: Scaling, base_width: IntLike) -> int:
    """The width where all scalings are one network; means have no such width."""
    base = check_integer("base_width", base_width, 1)
    if base > 1 and scaling.means is not None:
        remedy = "Weights with a mean are another network than standard at every width."
        raise argument_error("base_width", "1 for a scaling with means", base, remedy)
    return base


def powers(width: int, base_width: int, exponents: Sequence[float], sign: int) -> tuple[float, ...]:
    """(m/m₀)^{± exponent}, layer by layer."""
    return tuple(float((width / base_width) ** (sign * value)) for value in exponents)


def start_sizes(scaling: Scaling, width: int, base_width: int) -> tuple[float, ...]:
    """m^{−b_l} of a scaling; with a base width m₀^{start of standard} (m/m₀)^{−b_l}."""
    base = powers(base_width, 1, standard(scaling.depth).effective().init, 1)
    return tuple(one * other for one, other in zip(base, powers(width, base_width, scaling.b, -1), strict=True))


def reparametrise(
    model: Checked[PyTree],
    scaling: Checked[Scaling],
    *,
    key: KeyLike,
    layers: Where = None,
    biases: Where = None,
    activation: RealFunction | None = None,
    gain: RealLike | None = None,
    base_width: IntLike = 1,
) -> Any:
    """A network without multipliers, its weights drawn anew at the starts of a scaling, m^{i_l} · gain · N(0, 1).

    Arguments: `model`, an `eqx.nn.MLP`, or any pytree with `layers`, a function that picks its matrices from the first layer
    to the output, [out, in] or [in, out]; `biases` picks those that shall start at 0; `activation`, whose gain is used
    (that of the MLP where it has one); or the `gain` itself. Train it with `mf.deep.optimiser(scaling.normalised(), …)`.
    Raises ArgumentError for another depth, hidden layers of several widths, or a scaling with means or random biases.
    """
    scaling = check_scaling("scaling", scaling)
    if scaling.means is not None or scaling.random_biases:
        remedy = "Use mf.deep.Perceptron, or draw weights and biases yourself."
        raise argument_error("scaling", "one of centred weights and zero biases", scaling.name, remedy)
    pick, pick_biases = weights_of(model, layers), biases_of(model, biases)
    found, base = list(pick(model)), check_base(scaling, base_width)
    width, dim = check_layers(found, scaling)
    chosen = _gain(getattr(model, "activation", None) if activation is None else activation, gain)
    shapes = tuple(weight.shape for weight in found)
    drawn = _draw(scaling.normalised(), shapes, width, base, chosen, dim, check_key(key))
    cast = [new.astype(old.dtype) for new, old in zip(drawn, found, strict=True)]
    model = eqx.tree_at(lambda tree: list(pick(tree)), model, cast)

    def given(tree: PyTree) -> list[Any]:
        return [each for each in pick_biases(tree) if each is not None]

    zeros = [jnp.zeros_like(each) for each in given(model)]
    return eqx.tree_at(given, model, zeros) if zeros else model


def weights_of(model: PyTree, layers: Where) -> Callable[[PyTree], Sequence[Array]]:
    """A function that picks the weights of a network of this kind."""
    if layers is not None:
        if not callable(layers):
            raise argument_error("layers", "a function of the network", layers, _LAYERS)
        return layers
    if isinstance(model, Perceptron):
        return lambda tree: tree.weights
    if isinstance(model, eqx.nn.MLP):
        return lambda tree: [layer.weight for layer in tree.layers]
    raise argument_error(
        "layers", "a function for a network of this kind", Words(f"None for a {type(model).__name__}"), _LAYERS
    )


def biases_of(model: PyTree, biases: Where) -> Callable[[PyTree], Sequence[Array | None]]:
    """A function that picks the biases of a network of this kind, layer by layer; None where a layer has none."""
    if biases is not None:
        if not callable(biases):
            raise argument_error("biases", "a function of the network", biases, "Pass biases=lambda m: [...].")
        return biases
    if isinstance(model, Perceptron):
        return lambda tree: () if tree.biases is None else tree.biases
    if isinstance(model, eqx.nn.MLP):
        return lambda tree: [layer.bias for layer in tree.layers]
    return lambda tree: ()


def check_layers(weights: Sequence[Array], scaling: Scaling) -> tuple[int, int]:
    """Width m and dimension d of matrices that follow one another, [out, in] or [in, out]."""
    if len(weights) != scaling.depth + 1:
        got = Words(f"{len(weights)} for a scaling of {scaling.depth} hidden layers")
        raise argument_error("layers", f"{scaling.depth + 1} weight matrices", got, "Pass a scaling of the same depth.")
    shapes = [np.shape(weight) for weight in weights]
    pairs = list(itertools.pairwise(shapes))
    if any(len(shape) != 2 for shape in shapes):
        raise argument_error("layers", "matrices", Words(f"of shapes {shapes}"), _LAYERS)
    if all(before[0] == after[1] for before, after in pairs):
        dim, widths = shapes[0][1], {shape[0] for shape in shapes[:-1]}
    elif all(before[1] == after[0] for before, after in pairs):
        dim, widths = shapes[0][0], {shape[1] for shape in shapes[:-1]}
    else:
        raise argument_error("layers", "matrices that follow one another", Words(f"of shapes {shapes}"), _LAYERS)
    if len(widths) != 1:
        remedy = "A scaling is one in one width; give all hidden layers the same."
        raise argument_error("layers", "hidden layers of one width", Words(f"of widths {sorted(widths)}"), remedy)
    return int(widths.pop()), int(dim)


def _gain(activation: RealFunction | None, gain: RealLike | None) -> float | Float[Array, ""]:
    if gain is not None:
        return positive_number("gain", gain, "It multiplies the Gaussian weights of hidden layers.")
    if activation is None:
        raise argument_error(
            "gain", "given where the activation is not known", None, "Pass activation=jax.nn.relu, or gain=."
        )
    return classify(activation).gain


def _draw(
    scaling: Scaling,
    shapes: Sequence[tuple[int, ...]],
    width: int,
    base: int,
    gain: float | Float[Array, ""],
    dim: int,
    key: Array,
) -> tuple[Array, ...]:
    """Weights of these shapes: gain/√d in the first layer, gain in hidden ones, 1 in the output, times m^{−b_l}."""
    gains = (gain / np.sqrt(dim), *(gain,) * (scaling.depth - 1), 1.0)
    means = scaling.means or (False,) * len(shapes)
    keys = jax.random.split(key, len(shapes))
    return tuple(
        size * (own * jax.random.normal(each, shape) + float(mean))
        for size, own, mean, shape, each in zip(start_sizes(scaling, width, base), gains, means, shapes, keys, strict=True)
    )


def _draw_biases(scaling: Scaling, sizes: Sequence[int], key: Array) -> tuple[Array, ...]:
    keys = jax.random.split(key, len(sizes))
    if scaling.random_biases:
        return tuple(jax.random.normal(each, (size,)) for each, size in zip(keys, sizes, strict=True))
    return tuple(jnp.zeros(size) for size in sizes)
