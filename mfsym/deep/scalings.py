"""Scalings of deep networks with their width m: how large weights start, and how fast every layer learns.

Layers l = 1, …, L + 1, x⁰ = x:   h^l = m^{−a_l} w^l x^{l−1},   x^l = φ(h^l),   f = h^{L+1},
with w^l(0) = m^{−b_l} U^l, U^l Gaussian, and w^l ← w^l − η_l m^{−c_l} ∂Loss/∂w^l. (abc-parametrisations of Yang & Hu,
arXiv:2011.14522; integrable ones of Hajjar, Chizat & Giraud, arXiv:2110.15596.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np

from ..errors import argument_error, check_choice, check_flags, check_integer, check_sequence
from ..types import Checked, IntLike, RealFunction, RealLike
from .activations import Activation, check_predictable
from .exponents import Exponents, Layers, predict
from .tables import layer_table, power

SGD, ADAM = "sgd", "adam"
Theta = Checked[float | Sequence[float]]


class Effective(NamedTuple):
    """A scaling as the network W = m^{−a} w sees it, all that matters: exponents of starts and of learning rates.

    `first_rate` is that of the first steps, or None where they are as the later ones.
    """

    init: Exponents
    rate: Exponents
    first_rate: Exponents | None


class Scaling(eqx.Module):
    """Exponents a, b, c of the width for L + 1 layers, first layer first, output last; nothing in it is an array.

    - `c_first`, `first_steps`: other rates for the first few updates. `optimiser`: "sgd" or "adam", for which c is meant.
    - `means`: whether U^l has mean 1 besides its Gaussian part, layer by layer; None: no layer.
    - `c_bias`, `c_bias_first`: of the rates of biases, which no m^{−a} multiplies (None: 0, and as later).
      `random_biases`: whether networks have biases that start as standard Gaussians.

    Raises ArgumentError for tuples of other lengths, numbers that are not finite, or another optimiser.
    """

    name: str = eqx.field(static=True)
    a: Exponents = eqx.field(static=True)
    b: Exponents = eqx.field(static=True)
    c: Exponents = eqx.field(static=True)
    optimiser: str = eqx.field(static=True)
    c_first: Exponents | None = eqx.field(static=True)
    first_steps: int = eqx.field(static=True)
    means: tuple[bool, ...] | None = eqx.field(static=True)
    c_bias: Exponents = eqx.field(static=True)
    c_bias_first: Exponents | None = eqx.field(static=True)
    random_biases: bool = eqx.field(static=True)

    def __init__(
        self,
        name: Checked[str],
        a: Checked[Exponents],
        b: Checked[Exponents],
        c: Checked[Exponents],
        *,
        optimiser: Checked[str] = SGD,
        c_first: Checked[Exponents | None] = None,
        first_steps: IntLike = 1,
        means: Checked[tuple[bool, ...] | None] = None,
        c_bias: Checked[Exponents | None] = None,
        c_bias_first: Checked[Exponents | None] = None,
        random_biases: Checked[bool] = False,
    ):
        self.name, self.optimiser = str(name), check_choice("optimiser", optimiser, (SGD, ADAM))
        self.a = _exponents("a", a, None)
        layers = len(self.a)
        self.b, self.c = _exponents("b", b, layers), _exponents("c", c, layers)
        self.first_steps = check_integer("first_steps", first_steps, 0)
        self.c_first = None if c_first is None or self.first_steps == 0 else _exponents("c_first", c_first, layers)
        self.c_bias = (0.0,) * layers if c_bias is None else _exponents("c_bias", c_bias, layers)
        has_first = c_bias_first is not None and self.first_steps > 0
        self.c_bias_first = _exponents("c_bias_first", c_bias_first, layers) if has_first else None
        self.means = None if means is None else tuple(bool(mean) for mean in _entries("means", means, layers))
        check_flags(random_biases=random_biases)
        self.random_biases = bool(random_biases)

    @property
    def depth(self) -> int:
        """Number of hidden layers L."""
        return len(self.a) - 1

    def effective(self) -> Effective:
        """i = −(a + b), and r = −(2a + c) for SGD, −(a + c) for Adam: two scalings with these in common are the same."""
        factor = 2 if self.optimiser == SGD else 1

        def rates(c: Exponents) -> Exponents:
            return tuple(-(factor * one + other) + 0.0 for one, other in zip(self.a, c, strict=True))

        init = tuple(-(one + other) + 0.0 for one, other in zip(self.a, self.b, strict=True))
        return Effective(init, rates(self.c), None if self.c_first is None else rates(self.c_first))

    def same_first_step(self, other: "Scaling") -> bool:
        """Whether two scalings are one network until after the first step, however they are written and named."""
        one, two = self.effective(), other.effective()
        rates = [each.rate if each.first_rate is None else each.first_rate for each in (one, two)]
        plain = (self.optimiser, self.means, self.random_biases) == (other.optimiser, other.means, other.random_biases)
        return plain and self.depth == other.depth and np.allclose([one.init, rates[0]], [two.init, rates[1]], atol=1e-9)

    def shift(self, theta: Theta) -> "Scaling":
        """(a + θ, b − θ, c − 2θ), for Adam c − θ: another way to write the same scaling. θ is one number, or one per layer.

        Adam's ε is then another one: of m^{−θ} times the size.
        """
        each = theta if isinstance(theta, (tuple, list)) else (theta,) * len(self.a)
        shifts = _exponents("theta", each, len(self.a))
        factor = 2 if self.optimiser == SGD else 1

        def moved(values: Exponents, times: int) -> Exponents:
            return tuple(value + times * shift + 0.0 for value, shift in zip(values, shifts, strict=True))

        return Scaling(
            self.name,
            moved(self.a, 1),
            moved(self.b, -1),
            moved(self.c, -factor),
            optimiser=self.optimiser,
            c_first=None if self.c_first is None else moved(self.c_first, -factor),
            first_steps=self.first_steps,
            means=self.means,
            c_bias=self.c_bias,
            c_bias_first=self.c_bias_first,
            random_biases=self.random_biases,
        )

    def normalised(self) -> "Scaling":
        """The same scaling with a = 0: for networks without multipliers, as everybody writes them."""
        return self.shift(tuple(-value for value in self.a))

    def predict(
        self, activation: Checked[str | Activation | RealFunction] = "homogeneous", *, bias: Checked[bool] = False
    ) -> dict[str, Exponents]:
        """Exponents e of sizes ~ m^e at the start and in the first step, for layers 1, …, L + 1.

        "forward": h^l. "gradient": that of the loss in W^l = m^{−a} w^l. "update": the step of W^l on an input. "change": of
        h^l by the step; the last is that of the output. Sizes are root mean squares; the rules stand in the documentation.
        Arguments: `activation`, φ itself, or "homogeneous" (degree 1, as ReLU), or "smooth" (bounded, as tanh); `bias`,
        whether there are trained biases, which start at 0 unless the scaling has random ones. For degrees other than 1
        changes are only those of the first order.
        Raises ArgumentError for φ(0) ≠ 0, and for φ without slope and degree at 0.
        """
        check_flags(bias=bias)
        effective = self.effective()
        c_bias = self.c_bias if self.c_bias_first is None else self.c_bias_first
        layers = Layers(
            check_predictable("activation", activation),
            self.optimiser == ADAM,
            effective.init,
            effective.rate if effective.first_rate is None else effective.first_rate,
            self.means or (False,) * len(self.a),
            self.random_biases,
            tuple(-c for c in c_bias) if bias or self.random_biases else None,
        )
        return predict(layers)

    def __str__(self) -> str:
        return _table(self)


def _exponents(argument: str, values: object, length: int | None) -> Exponents:
    remedy = "One number for each layer: L hidden ones and the output."
    entries = _entries(argument, values, length)
    for value in entries:
        if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)) or not np.isfinite(value):
            raise argument_error(argument, "a tuple of finite numbers", values, remedy)
    return tuple(float(value) + 0.0 for value in entries)


def _entries(argument: str, values: object, length: int | None) -> tuple:
    expected = "a tuple of at least two numbers" if length is None else f"a tuple of {length} entries"
    remedy = "One for each layer: L ≥ 1 hidden ones and the output."
    entries = check_sequence(argument, values, expected, remedy)
    if len(entries) < 2 or (length is not None and len(entries) != length):
        raise argument_error(argument, expected, values, remedy)
    return entries


def _layers(depth: int, first: int | float, hidden: int | float, last: int | float) -> Exponents:
    return (float(first), *(float(hidden),) * (depth - 1), float(last))


def _depth(depth: IntLike) -> int:
    return check_integer("depth", depth, 1, "It counts hidden layers: a network with one has two layers of weights.")


def standard(depth: IntLike, optimiser: Checked[str] = SGD) -> Scaling:
    """Starts of size 1/√(inputs of the layer), one rate for all layers: what libraries do when nobody says otherwise."""
    depth = _depth(depth)
    zeros = _layers(depth, 0, 0, 0)
    return Scaling("standard", zeros, _layers(depth, 0, 0.5, 0.5), zeros, optimiser=optimiser)


def ntk(depth: IntLike) -> Scaling:
    """Multipliers 1/√m: for m → ∞ the network is linear in its weights, its tangent kernel constant. SGD."""
    depth = _depth(depth)
    zeros = _layers(depth, 0, 0, 0)
    return Scaling("ntk", _layers(depth, 0, 0.5, 0.5), zeros, zeros)


def mup(depth: IntLike, optimiser: Checked[str] = SGD) -> Scaling:
    """Every layer moves as much as it can: the maximal update of Yang & Hu (arXiv:2011.14522)."""
    depth = _depth(depth)
    adaptive = check_choice("optimiser", optimiser, (SGD, ADAM)) == ADAM
    c = _layers(depth, 0.5, 1, 0.5) if adaptive else _layers(depth, 0, 0, 0)
    half = _layers(depth, 0.5, 0.5, 0.5)
    c_bias = None if adaptive else _layers(depth, -1, -1, 0)
    return Scaling("mup", _layers(depth, -0.5, 0, 0.5), half, c, optimiser=optimiser, c_bias=c_bias)


def ip(depth: IntLike, optimiser: Checked[str] = SGD) -> Scaling:
    """Integrable: every layer is a mean over m terms, as in the mean-field limit of two layers.

    Its rates are those of mup, its hidden starts smaller by √m. From three hidden layers on it starts at a stationary point.
    """
    depth = _depth(depth)
    adaptive = check_choice("optimiser", optimiser, (SGD, ADAM)) == ADAM
    c = _layers(depth, 0, 0, 0) if adaptive else _layers(depth, -1, -2, -1)
    c_bias = None if adaptive else _layers(depth, -1, -1, 0)
    zeros = _layers(depth, 0, 0, 0)
    return Scaling("ip", _layers(depth, 0, 1, 1), zeros, c, optimiser=optimiser, c_bias=c_bias)


def ip_llr(depth: IntLike, degree: RealLike = 1, first_steps: IntLike = 1) -> Scaling:
    """Integrable, with large rates in the first steps, which take it away from the stationary point. SGD.

    `degree` p of the activation: the first rates are m^γ, m^{γ+½}, m^γ in w, γ = ½(1 + Σ_{j<L} p^j).
    """
    plain, p = ip(_depth(depth)), _degree(degree)
    gamma = 0.5 * (1 + sum(p**j for j in range(plain.depth)))
    return Scaling(
        "ip_llr",
        plain.a,
        plain.b,
        plain.c,
        c_first=_layers(plain.depth, -gamma, -gamma - 0.5, -gamma),
        first_steps=first_steps,
        c_bias=plain.c_bias,
    )


def _degree(degree: RealLike) -> float:
    if isinstance(degree, bool) or not isinstance(degree, (int, float)) or not 0 < degree < np.inf:
        raise argument_error("degree", "a positive number", degree, "1 for ReLU, and near 0 for smooth activations.")
    return float(degree)


def ip_bias(depth: IntLike) -> Scaling:
    """Integrable, with random biases of size 1 that keep layers from vanishing, and large rates in the first step. SGD."""
    plain = ip(depth)
    depth = plain.depth
    hidden = tuple(-(depth - layer + 4) / 2 for layer in range(2, depth + 1))
    biases = tuple(-(depth - layer + 2) / 2 for layer in range(1, depth + 1))
    return Scaling(
        "ip_bias",
        plain.a,
        plain.b,
        plain.c,
        c_first=(-(depth + 1) / 2, *hidden, -1.0),
        c_bias=plain.c_bias,
        c_bias_first=(*biases, 0.0),
        random_biases=True,
    )


def ip_noncentred(depth: IntLike) -> Scaling:
    """Integrable, with weights of mean m^{−1} from the second layer on, so that no layer vanishes. SGD, one output."""
    plain = ip(depth)
    means = (False, *(True,) * plain.depth)
    return Scaling("ip_noncentred", plain.a, plain.b, plain.c, means=means, c_bias=plain.c_bias)


def check_scaling(argument: str, value: Checked[Scaling]) -> Scaling:
    """A scaling."""
    if not isinstance(value, Scaling):
        remedy = "Pass for example mf.deep.mup(3), for three hidden layers."
        raise argument_error(argument, "a Scaling", value, remedy)
    return value


def _table(scaling: Scaling) -> str:
    effective, rows = scaling.effective(), scaling.predict("homogeneous")
    columns = {"start": effective.init, "rate": effective.rate}
    if effective.first_rate is not None:
        columns["first rate"] = effective.first_rate
    names = {"forward": "size", "gradient": "gradient", "update": "update", "change": "change"}
    columns |= {title: rows[name] for name, title in names.items()}
    smooth = scaling.predict("smooth")["change"]
    rule = {SGD: "SGD", ADAM: "Adam"}[scaling.optimiser]
    lines = [
        f"{scaling.name}: {scaling.depth} hidden layers, {rule}; exponents of the width m, for an activation such as ReLU"
    ]
    lines += layer_table(columns)
    lines.append(
        f"The output starts at {power(rows['forward'][-1])} and moves by {power(rows['change'][-1])} in the first step."
    )
    if smooth != rows["change"]:
        powers = ", ".join(power(value) for value in smooth)
        lines.append(f"With a smooth activation such as tanh the layers change by {powers}.")
    return "\n".join(lines)
