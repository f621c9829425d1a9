"""Networks of many seeds, made and trained inside one compiled program for each width."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_integer, check_key, check_sequence, float_array
from ..products import with_all_digits
from ..types import Checked, IntLike, KeyLike, RealArrayLike, RealFunction, RealLike
from .networks import Perceptron
from .optimisers import Rate, optimiser
from .scalings import Scaling

Loss = Checked[Callable[[Array, Array], Array]]  # of the output [k] and the label of one sample
Make = Checked[Scaling | Callable[..., tuple[PyTree, optax.GradientTransformation]]]
Maker = Callable[..., tuple[PyTree, Any]]


class Data(eqx.Module):
    """Training inputs [n, d], their labels, and inputs where networks are looked at."""

    x: Float[Array, "n d"]
    y: Array
    probe: Float[Array, "p d"]


def check_data(inputs: RealArrayLike, targets: RealArrayLike, probe: RealArrayLike | None = None) -> Data:
    """Samples of one number; labels of any shape behind the first axis."""
    x, y = float_array("inputs", inputs, 2, "Pass inputs [n, d]."), jnp.asarray(targets)
    if y.ndim == 0 or y.shape[0] != x.shape[0]:
        got = Words(f"of shape {y.shape}")
        raise argument_error("targets", f"{x.shape[0]} labels, one for each input", got, "Labels are [n] or [n, k].")
    seen = x if probe is None else float_array("probe", probe, 2, "Pass inputs [p, d].")
    if seen.shape[1] != x.shape[1]:
        got = Words(f"of shape {seen.shape}")
        raise argument_error("probe", f"inputs of {x.shape[1]} coordinates", got, "They are inputs as those trained on.")
    return Data(x, y, seen)


def check_loss(loss: Loss, outputs: int | None, y: Array) -> Loss:
    """A loss of one output and one label, to one number."""
    expected, remedy = "a function loss(f, y) of one sample", "Such as optax.softmax_cross_entropy, of f [k] and y [k]."
    if not callable(loss):
        raise argument_error("loss", expected, loss, remedy)
    if outputs is None:
        return loss
    try:
        found = jax.eval_shape(loss, jax.ShapeDtypeStruct((outputs,), jnp.result_type(float)), y[0])
    except (TypeError, ValueError) as error:
        raise argument_error("loss", expected, Words(f"one that fails: {error}"), remedy) from error
    if getattr(found, "shape", None) != ():
        raise argument_error("loss", f"{expected}, to one number", Words(f"one of shape {found.shape}"), remedy)
    return loss


def check_widths(widths: Checked[tuple[int, ...]], least: int = 2) -> tuple[int, ...]:
    """Widths that increase."""
    remedy = "Pass for example widths=(64, 128, 256, 512)."
    expected = f"at least {least}, increasing" if least > 1 else "increasing"
    found = tuple(check_integer("widths", each, 1, remedy) for each in check_sequence("widths", widths, expected, remedy))
    if len(found) < least or any(np.diff(found) <= 0):
        raise argument_error("widths", expected, widths, remedy)
    return found


def check_seeds(seeds: IntLike, key: KeyLike | None, least: int = 2) -> tuple[int, Array]:
    """A number of networks of every width, and the key that they come from."""
    count = check_integer("seeds", seeds, least, "Networks of one width scatter: several seeds tell by how much.")
    return count, jax.random.key(0) if key is None else check_key(key)


def outputs_of(targets: Array) -> int:
    """k: labels [n, k] are of k outputs, numbers of one."""
    return 1 if targets.ndim == 1 else int(targets.shape[1])


def of_scaling(
    scaling: Scaling,
    data: Data,
    activation: RealFunction | None,
    gain: RealLike | None,
    first_rates: Rate | None,
    epsilon: RealLike | None = None,
    bias: bool = False,
    base_width: IntLike = 1,
) -> Maker:
    """make(width, key, rate) of Perceptrons and their optimiser."""
    if activation is None:
        raise argument_error("activation", "an activation for a Scaling", None, "Pass for example activation=jax.nn.relu.")
    outputs, dim = outputs_of(data.y), data.x.shape[1]

    def make(width: int, key: Array, rate: Any) -> tuple[PyTree, Any]:
        model = Perceptron(scaling, dim, width, outputs, activation, key=key, gain=gain, bias=bias, base_width=base_width)
        rule = optimiser(scaling, width, rate, first_rates=first_rates, epsilon=epsilon, base_width=base_width)
        return model, rule

    return make


def maker_of(
    make: Make,
    arguments: Sequence[str],
    data: Data,
    *,
    activation: RealFunction | None,
    gain: RealLike | None,
    bias: bool,
    first_rates: Rate | None,
    epsilon: RealLike | None = None,
    base_width: IntLike | None = None,
) -> Maker:
    """make(width, key, rate) of Perceptrons in a Scaling, or of a function of the user's, which takes some of these.

    Options of Perceptrons are refused for the latter, apart from the activation and the bias: predictions may be for them.
    """
    if isinstance(make, Scaling):
        base = 1 if base_width is None else base_width
        return of_scaling(make, data, activation, gain, first_rates, epsilon, bias, base)
    check_absent(gain=gain, first_rates=first_rates, epsilon=epsilon, base_width=base_width)
    own = check_make(make, arguments)
    return lambda width, key, rate: made(own, *(width, key, rate)[: len(arguments)])


def check_make(make: Any, arguments: Sequence[str]) -> Maker:
    """A user's function of these arguments that returns a network and its optimiser."""
    remedy = f"It returns (model, optimiser) for {', '.join(arguments)}."
    expected = f"a Scaling, or a function make({', '.join(arguments)})"
    if not callable(make):
        raise argument_error("make", expected, make, remedy)
    found: Any = make
    try:
        inspect.signature(make).bind(*arguments)
    except TypeError as error:
        raise argument_error("make", expected, Words(f"one of other arguments: {error}"), remedy) from None
    return found


def check_absent(**options: object) -> None:
    """Options of Perceptrons, which a network of the user does not take."""
    for argument, value in options.items():
        if value is not None and value is not False:
            got = Words(f"{value!r} beside a make of your own")
            raise argument_error(argument, "left out, or make a Scaling", got, "Build it into what make returns.")


def made(make: Maker, *arguments: Any) -> tuple[PyTree, Any]:
    """What a `make` returns: a network, and an optimiser."""
    pair = make(*arguments)
    if not (isinstance(pair, tuple) and len(pair) == 2 and callable(getattr(pair[1], "update", None))):
        got = Words(f"one that returns {type(pair).__name__}")
        raise argument_error("make", "a function that returns (model, optimiser)", got, "The optimiser is one of optax.")
    return pair


def mean_loss(loss: Loss, model: PyTree, data: Data) -> Float[Array, ""]:
    """The mean over samples of loss(f(x), y)."""
    outputs = jax.vmap(model)(data.x)
    return jnp.mean(jax.vmap(loss)(outputs, data.y))


def for_every_width(
    measure: Callable[[int, Array, Data], PyTree], widths: Sequence[int], seeds: int, key: Array, data: Data
) -> list[Any]:
    """measure(width, keys, data) of all networks of each width, one program for a width.

    Products keep all digits, which accelerators would round: what is measured are small changes of large numbers.
    """
    found = []
    for index, width in enumerate(widths):
        keys = jax.random.split(jax.random.fold_in(key, index), seeds)
        values = eqx.filter_jit(with_all_digits(functools.partial(measure, width)))(keys, data)
        found.append(jax.tree.map(lambda leaf: np.asarray(leaf, float), values))
    return found


class Trainer(NamedTuple):
    """A training loop on all samples: the loss, what of a network is no parameter, an optimiser of optax, and the data."""

    loss: Loss
    static: PyTree
    rule: Any
    data: Data

    def mean(self, params: PyTree) -> Float[Array, ""]:
        """The loss."""
        return mean_loss(self.loss, eqx.combine(params, self.static), self.data)

    def step(self, params: PyTree, state: PyTree) -> tuple[PyTree, PyTree, PyTree]:
        """Parameters and state after a step, and what was added."""
        return self.moved(jax.grad(self.mean)(params), params, state)

    def moved(self, gradient: PyTree, params: PyTree, state: PyTree) -> tuple[PyTree, PyTree, PyTree]:
        """The same, given the gradient there."""
        change, state = self.rule.update(gradient, state, params)
        return eqx.apply_updates(params, change), state, change

    def steps(self, params: PyTree, state: PyTree, count: int) -> tuple[PyTree, PyTree, PyTree]:
        """Parameters and state after some steps, and the sum of what was added."""

        def one(carry: tuple[PyTree, PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree, PyTree], None]:
            params, state, change = self.step(carry[0], carry[1])
            return (params, state, jax.tree.map(jnp.add, carry[2], change)), None

        return jax.lax.scan(one, (params, state, jax.tree.map(jnp.zeros_like, params)), length=count)[0]


def trainer(loss: Loss, model: PyTree, rule: Any, data: Data) -> tuple[Trainer, PyTree]:
    """The loop of a network, and its parameters."""
    params, static = eqx.partition(model, eqx.is_inexact_array)
    return Trainer(loss, static, rule, data), params
