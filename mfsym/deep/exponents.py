"""What every layer of a wide network does at the start and in its first step, as exponents of the width.

Sizes are root mean squares over coordinates and inputs, ~ m^e for m → ∞. For layers l = 1, …, L + 1 with weights W^l of size
i_l and learning rate r_l, on inputs of size 1, x^l = φ(h^l) and e(h) the exponent of φ(h):

1. h^1 = i_1, h^l = i_l + x^{l−1} + ½: a sum over m independent terms.
2. ∂f/∂h^L = i_{L+1}, ∂f/∂h^l = i_{l+1} + ½ + that of the layer above; the gradient in W^l is that times x^{l−1}.
3. The update of W^l acts on an input as r_l + ∂f/∂h^l + ⟨x^{l−1}, x^{l−1} after the step⟩. The inner product has size
   m·x·x where φ has a kink at 0. A smooth φ with small h is linear, its values follow a centred Gaussian that knows nothing
   of the backward pass: from the third layer on aligned are only the square of x, m·x², and even parts of φ, m·h²·h²
   near 0; what the step wrote adds √m·x·Δx.
4. h^l changes by that, or by what the layers below send up, i_l + ½ + their change.
5. The readout is aligned with what the step wrote into x^L: 1 instead of ½.

Adam moves every weight by the sign of its gradient: sizes of ∂f/∂h and of the first x drop out of 3. Weights with a mean add
m·mean·common part in 1 and 2, random biases put a floor of 0 under h. Derived, and tested against measured slopes; the rules
are asymptotic: where a small constant has to grow first, widths of some hundreds show less.
"""

from typing import NamedTuple

from .activations import Activation

Exponents = tuple[float, ...]

NOTHING = float("-inf")  # the exponent of 0


class Layers(NamedTuple):
    """A network as the rules see it: exponents of starts and rates, layer by layer, and which of them have means."""

    activation: Activation
    adaptive: bool
    init: Exponents
    rate: Exponents
    means: tuple[bool, ...]
    random_biases: bool
    bias_rate: Exponents | None

    @property
    def depth(self) -> int:
        """Number of hidden layers L."""
        return len(self.init) - 1


def predict(layers: Layers) -> dict[str, Exponents]:
    """Exponents of h^l, of the gradient in W^l, of the update of W^l on an input, and of the change of h^l."""
    h, x = _forward(layers)
    d = _backward(layers, h)
    update, change = _first_step(layers, x, d)
    gradient = tuple(above + below for above, below in zip(d, x, strict=True))
    return {"forward": h, "gradient": gradient, "update": update, "change": change}


def _forward(layers: Layers) -> tuple[Exponents, Exponents]:
    """Exponents of h^1, …, h^{L+1} and of x^0, …, x^L."""
    sizes, inputs, common = [], [0.0], NOTHING  # `common`: what all coordinates of the last x share
    for index, start in enumerate(layers.init):
        size = start + inputs[index] + (0.5 if index else 0.0)
        if layers.means[index]:
            size = max(size, start + 1.0 + common)
        if layers.random_biases:
            size = max(size, 0.0)
        sizes.append(size)
        inputs.append(layers.activation.size(size))
        scattered = layers.activation.odd and not layers.means[index]  # the mean over coordinates is a fluctuation
        common = inputs[-1] - (0.5 if scattered else 0.0)
    return tuple(sizes), tuple(inputs[:-1])


def _backward(layers: Layers, h: Exponents) -> Exponents:
    """Exponents of ∂f/∂h^1, …, ∂f/∂h^{L+1}."""
    found = [0.0]
    for index in reversed(range(layers.depth)):
        above = index + 1
        fan = 0.0 if above == layers.depth else (1.0 if layers.means[above] else 0.5)
        found.append(layers.init[above] + fan + found[-1] + (layers.activation.degree - 1.0) * h[index])
    return tuple(reversed(found))


def _first_step(layers: Layers, x: Exponents, d: Exponents) -> tuple[Exponents, Exponents]:
    """Exponents of the updates on an input, and of the changes of h."""
    updates, changes, moved = [], [], NOTHING  # `moved`: the change of x below
    for index, rate in enumerate(layers.rate):
        slope = 0.0 if layers.adaptive else d[index]
        update = rate + slope + (_overlap(layers, index, x[index], moved) if index else 0.0)
        fan = 1.0 if index == layers.depth or layers.means[index] else 0.5
        change = max(update, layers.init[index] + fan + moved)
        if layers.bias_rate is not None:
            change = max(change, layers.bias_rate[index] + slope)
        moved = layers.activation.size(change)
        updates.append(update)
        changes.append(change)
    return tuple(updates), tuple(changes)


def _overlap(layers: Layers, index: int, start: float, moved: float) -> float:
    """The exponent of ⟨x before the step, x after it⟩; with Adam of ⟨sign x, x after it⟩."""
    first = 0.0 if layers.adaptive else start
    if layers.activation.aligned or index == 1:
        return 1.0 + first + max(start, moved)
    found = max(1.0 + first + start, 0.5 + first + moved)
    if layers.adaptive:  # the sign of x is that of h, which is odd
        return found
    return max(found, 1.0 + layers.activation.even_size(start) + layers.activation.even_size(moved))
