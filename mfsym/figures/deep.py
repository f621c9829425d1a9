"""Deep networks in several scalings: what is predicted of them at large width, and what they do.

Eight panels. Measured slopes of all layers against predicted exponents, for five scalings. The loss of integrable networks
on digits: a delay that grows with depth and width. Steps until they escape from the stationary point where they start,
against the width: constant, log m, √m, m. Test accuracies on digits of scalings and activations. Singular values of the
last layer after one step. Outputs after one step against the angle between an input and the training sample: networks, and
the limit in closed form. Losses against the learning rate at several widths, in the standard scaling; and how
the best rate moves with the width, for SGD and Adam. (Experiments of our own, after Hajjar, Chizat & Giraud,
arXiv:2110.15596, on the 8 × 8 digits of scikit-learn.)
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from ..deep import (
    CoordinateCheck,
    EscapeTimes,
    Perceptron,
    Scaling,
    TransferCheck,
    calibrate,
    coordinate_check,
    escape_times,
    first_step_limit,
    ip,
    ip_bias,
    ip_llr,
    ip_noncentred,
    mup,
    ntk,
    optimiser,
    standard,
    transfer_check,
)
from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, MINUS, PLUS, finish, line_key, panels, style
from ..plot.widths import draw_slopes, draw_transfer
from .base import Experiment, run_each
from .digits import Images, digits

DEPTH = 3
ACTIVATIONS = {"ReLU": jax.nn.relu, "GELU": jax.nn.gelu, "ELU": jax.nn.elu, "tanh": jnp.tanh}
SCALINGS = {"mup": mup, "ip_llr": ip_llr, "ip_bias": ip_bias, "ip_noncentred": ip_noncentred}
SLOPES = {  # scalings, and rates of their first step
    "mup": (mup(DEPTH), None),
    "ntk": (ntk(DEPTH), None),
    "standard": (standard(DEPTH), None),
    "ip": (ip(DEPTH), None),
    "ip_llr": (ip_llr(DEPTH), (10.0, 40.0, 40.0, 10.0)),
}
STEPPED = {"mup": mup(DEPTH), "ip_llr": ip_llr(DEPTH)}
RATES = {"mup": (1.0, 2.0, 3.0, 1.5), "ip_llr": (3.0, 6.0, 9.0, 4.5)}
SHIFTS = {
    "standard, SGD": standard(DEPTH),
    "mup, SGD": mup(DEPTH),
    "standard, Adam": standard(DEPTH, "adam"),
    "mup, Adam": mup(DEPTH, "adam"),
}
_CHI = (0.5, -0.7, 0.2)
_RATE = 0.2  # on digits


class DeepRecord(NamedTuple):
    """What the panels show.

    - `slopes`, by scaling; `losses` [depths, 2, steps] of ip, narrow and wide; `escapes`, by depth; `accuracies` [scalings,
      `units`].
    - `spectra`, by name, singular values over the largest; `angles` [A], `limits` [scalings, A], `outputs`
      [scalings, seeds, A]; `transfers`, by scaling and optimiser.
    """

    slopes: dict[str, CoordinateCheck]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    losses: Float[np.ndarray, "depths 2 steps"]
    escapes: dict[int, EscapeTimes]
    units: tuple[str, ...]
    accuracies: Float[np.ndarray, "scalings activations"]
    spectra: dict[str, Float[np.ndarray, " r"]]
    angles: Float[np.ndarray, " A"]
    limits: Float[np.ndarray, "scalings A"]
    outputs: Float[np.ndarray, "scalings seeds A"]
    transfers: dict[str, TransferCheck]


def compute(
    key: PRNGKeyArray,
    widths: tuple[int, ...] = (32, 64, 128, 256),
    depths: tuple[int, ...] = (2, 3, 4, 5),
    images: int = 256,
    steps: int = 400,
    width: int = 128,
    units: tuple[str, ...] = tuple(ACTIVATIONS),
) -> DeepRecord:
    """All of them, with widths, depths, images and steps of the networks, `width` of those whose layers are shown, and
    the activations that are trained."""
    keys = jax.random.split(key, 8)
    data = digits(images, keys[0])
    slopes = dict(
        zip(SLOPES, run_each(lambda each: _slopes(each[0], each[1], widths, keys[1]), SLOPES.values()), strict=True)
    )
    losses = run_each(lambda depth: [_losses(depth, m, data, steps, keys[2]) for m in (widths[0], widths[-1])], depths)
    escapes = dict(zip(depths, run_each(lambda depth: _escape(depth, widths, keys[3]), depths), strict=True))
    pairs = [(scaling, unit) for scaling in SCALINGS.values() for unit in (ACTIVATIONS[name] for name in units)]
    found = run_each(lambda pair: _accuracy(pair[0], pair[1], data, width, steps, keys[4]), pairs)
    stepped = [_outputs(name, width, keys[6]) for name in STEPPED]
    shifts = run_each(lambda scaling: _transfer(scaling, widths, steps // 10, keys[7]), SHIFTS.values())
    return DeepRecord(
        slopes,
        depths,
        widths,
        np.array(losses),
        escapes,
        units,
        np.array(found).reshape(len(SCALINGS), len(units)),
        _spectra(data, width, keys[5]),
        np.linspace(0, np.pi, 13),
        np.stack([limit for limit, _ in stepped]),
        np.stack([networks for _, networks in stepped]),
        dict(zip(SHIFTS, shifts, strict=True)),
    )


def _gaussian(key: PRNGKeyArray, count: int, dim: int, classes: int) -> tuple[Array, Array]:
    """Inputs, and labels by a random linear map."""
    keys = jax.random.split(key)
    x = jax.random.normal(keys[0], (count, dim))
    return x, jax.nn.one_hot(jnp.argmax(x @ jax.random.normal(keys[1], (dim, classes)), axis=1), classes, dtype=float)


def _slopes(
    scaling: Scaling, first: tuple[float, ...] | None, widths: tuple[int, ...], key: PRNGKeyArray
) -> CoordinateCheck:
    x, y = _gaussian(key, 32, 20, 10)
    return coordinate_check(
        scaling, widths, x, y, activation=jax.nn.relu, loss=optax.softmax_cross_entropy, first_rates=first, key=key
    )


def _escape(depth: int, widths: tuple[int, ...], key: PRNGKeyArray) -> EscapeTimes:
    x, y = _gaussian(key, 64, 8, 3)
    loss, narrow = optax.softmax_cross_entropy, tuple(m // 2 for m in widths[:-1]) if depth > 4 else widths
    return escape_times(ip(depth), narrow, x, y, activation=jax.nn.elu, loss=loss, level=1.0, key=key)


def _transfer(scaling: Scaling, widths: tuple[int, ...], steps: int, key: PRNGKeyArray) -> TransferCheck:
    x, y = _gaussian(key, 128, 20, 5)
    grid = 2.0 ** np.arange(-3.0, 1.5, 0.5) if scaling.optimiser == "sgd" else 2.0 ** np.arange(-8.0, -1.5, 0.5)
    loss, base = optax.softmax_cross_entropy, widths[0]
    return transfer_check(
        scaling, widths, grid, x, y, loss=loss, steps=steps, activation=jax.nn.relu, base_width=base, key=key
    )


def _train(model: Perceptron, rule: optax.GradientTransformation, data: Images, steps: int) -> tuple[Perceptron, Array]:
    """The network after some steps on all images, and the losses before each."""

    def mean_loss(network: Perceptron) -> Array:
        return jnp.mean(optax.softmax_cross_entropy(jax.vmap(network)(data.x), data.y))

    update: Any = rule.update  # a network is a pytree of arrays, which optax's own types do not say

    def step(carry: Any, _: None) -> tuple[Any, Array]:
        network, state = carry
        loss, gradient = jax.value_and_grad(mean_loss)(network)
        change, state = update(gradient, state, network)
        return (eqx.apply_updates(network, change), state), loss

    run = eqx.filter_jit(lambda carry: jax.lax.scan(step, carry, length=steps))
    (model, _), losses = run((model, rule.init(eqx.filter(model, eqx.is_array))))
    return model, losses


def _losses(depth: int, width: int, data: Images, steps: int, key: PRNGKeyArray) -> np.ndarray:
    model = Perceptron(ip(depth), 64, width, 10, jax.nn.relu, key=key)
    return np.asarray(_train(model, optimiser(model.scaling, width, _RATE), data, steps)[1])


def _first_rates(model: Perceptron, data: Images) -> tuple[float, ...]:
    """Those that move every layer, where the first step has rates of its own."""
    if model.scaling.c_first is None:
        return (_RATE,) * (model.scaling.depth + 1)
    half = data.x.shape[0] // 2
    return calibrate(model, optax.softmax_cross_entropy, (data.x[:half], data.y[:half]), data.x[half:])


def _accuracy(scaling: Any, activation: Any, data: Images, width: int, steps: int, key: PRNGKeyArray) -> float:
    """On the images that were not trained on, of a network of five hidden layers."""
    model = Perceptron(scaling(5), 64, width, 10, activation, key=key)
    rule = optimiser(model.scaling, width, _RATE, first_rates=_first_rates(model, data))
    model, losses = _train(model, rule, data, steps)
    if not np.all(np.isfinite(losses)):
        return float("nan")
    found = jnp.argmax(jax.vmap(model)(data.x_test), axis=1)
    return float(jnp.mean(found == jnp.argmax(data.y_test, axis=1)))


def _spectra(data: Images, width: int, key: PRNGKeyArray) -> dict[str, np.ndarray]:
    """Singular values of the last hidden layer [images, m] after one step, over the largest."""
    found = {}
    cases = {"mup, ReLU": (mup, jax.nn.relu)} | {f"ip_llr, {n}": (ip_llr, ACTIVATIONS[n]) for n in ("ReLU", "GELU", "tanh")}
    for name, (scaling, activation) in cases.items():
        model = Perceptron(scaling(5), 64, width, 10, activation, key=key)
        rule = optimiser(model.scaling, width, 1.0, first_rates=_first_rates(model, data))
        model, _ = _train(model, rule, data, 1)
        last = jax.vmap(lambda x, network=model: network.preactivations(x)[-2])(data.x)
        values = np.linalg.svd(np.asarray(last), compute_uv=False)
        found[name] = values / values[0]
    return found


def _outputs(name: str, width: int, key: PRNGKeyArray, seeds: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """The first output after a step on one sample, at inputs turned away from it: the limit [A], and networks [seeds, A]."""
    dim, chi, scaling, rates = 8, jnp.array(_CHI), STEPPED[name], RATES[name]
    angles = jnp.linspace(0, jnp.pi, 13)
    one, other = jnp.sqrt(dim) * jnp.eye(dim)[:2]
    inputs = jnp.cos(angles)[:, None] * one + jnp.sin(angles)[:, None] * other
    limit = first_step_limit(scaling, one, chi, inputs, rates=rates)[:, 0]
    wide = 8 * width

    def network(key: Array) -> Array:
        model = Perceptron(scaling, dim, wide, 3, jax.nn.relu, key=key)
        rule: Any = optimiser(scaling, wide, rates, first_rates=rates)
        gradient, update = jax.grad(lambda p: p(one) @ chi)(model), rule.update
        return jax.vmap(eqx.apply_updates(model, update(gradient, rule.init(model))[0]))(inputs)[:, 0]

    return np.asarray(limit), np.asarray(jax.jit(jax.vmap(network))(jax.random.split(key, seeds)))


_SHADES = (INK, MINUS, PLUS, "#009E73", "#CC79A7")
_STYLES = ("-", "--")


def draw(record: DeepRecord, axes: AxesLike | None = None) -> Figure:
    """Slopes, losses, escapes, accuracies; spectra, first steps, losses against rates, best rates."""
    with style(axes):
        figure, grid = panels(axes, 2, 4, (15.0, 6.8))
        above, below = grid.reshape(2, 4)
        draw_slopes(above[0], record.slopes)
        _draw_losses(above[1], record)
        _draw_escapes(above[2], record)
        _draw_accuracies(above[3], record)
        _draw_spectra(below[0], record)
        _draw_outputs(below[1], record)
        _draw_rates(below[2], record)
        _draw_shifts(below[3], record)
        return finish(figure, axes)


def _draw_losses(ax: Axes, record: DeepRecord) -> None:
    for colour, rows in zip(_SHADES, record.losses, strict=False):
        for look, row in zip(_STYLES, rows, strict=False):
            ax.plot(1 + np.arange(len(row)), row, color=colour, ls=look, lw=1.2)
    ax.set(xscale="log", xlabel="step", ylabel="loss of ip on digits", ylim=(0, None))
    names = [line_key(f"$L={depth}$", colour) for depth, colour in zip(record.depths, _SHADES, strict=False)]
    ends = zip((record.widths[0], record.widths[-1]), _STYLES, strict=False)
    ax.legend(handles=[*names, *(line_key(f"$m={m}$", GREY, ls=look) for m, look in ends)])


def _draw_escapes(ax: Axes, record: DeepRecord) -> None:
    keys, widths = [], np.asarray(record.widths, float)
    for colour, (depth, found) in zip(_SHADES, record.escapes.items(), strict=False):
        mean = found.steps.mean(axis=1)
        ax.plot(found.widths, mean, color=colour, ls="none", marker="o", ms=4, mfc="white")
        m = np.asarray(found.widths, float)
        growth = np.log(m) if depth == 3 else m ** max(found.exponent or 0.0, 0.0)
        ax.plot(m, growth * np.exp(np.mean(np.log(mean / growth))), color=colour, ls="--", lw=1.0)
        keys.append(line_key(f"$L={depth}$", colour, marker="o", ms=4, mfc="white", ls="--", lw=1.0))
    ax.set(xscale="log", yscale="log", xlabel="width $m$", ylabel="steps to escape under ip")
    ax.set_xticks(widths, [str(int(m)) for m in widths])
    ax.set_xticks([], minor=True)
    ax.legend(handles=[*keys, line_key(r"$1,\ \log m,\ m^{1/2},\ m$", GREY, ls="--", lw=1.0)])


def _draw_accuracies(ax: Axes, record: DeepRecord) -> None:
    ax.imshow(np.nan_to_num(record.accuracies), cmap="Greys", vmin=0, vmax=1.4, aspect="auto")
    for (row, column), value in np.ndenumerate(record.accuracies):
        text = f"{value:.2f}" if np.isfinite(value) else "diverged"
        ax.text(column, row, text, ha="center", va="center", fontsize=9)
    ax.set_xticks(range(len(record.units)), record.units)
    ax.set_yticks(range(len(SCALINGS)), list(SCALINGS))
    ax.tick_params(length=0)
    ax.set_title("test accuracy on digits, $L=5$")


def _draw_spectra(ax: Axes, record: DeepRecord) -> None:
    for colour, (name, values) in zip(_SHADES, record.spectra.items(), strict=False):
        ax.plot(1 + np.arange(len(values)), np.maximum(values, 1e-9), color=colour, label=name)
    ax.axhline(1e-3, color=GREY, lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", ylim=(1e-7, 1.5), xlabel="index", ylabel="singular values of $h^5$, one step")
    ax.legend()


def _draw_outputs(ax: Axes, record: DeepRecord) -> None:
    degrees, keys = np.degrees(record.angles), []
    for colour, name, limit, networks in zip((INK, PLUS), STEPPED, record.limits, record.outputs, strict=True):
        error = networks.std(axis=0, ddof=1) / np.sqrt(len(networks))
        ax.plot(degrees, limit, color=colour)
        ax.errorbar(
            degrees, networks.mean(axis=0), 2 * error, color=colour, ls="none", marker="o", ms=3.6, mfc="white", lw=0.9
        )
        keys += [
            line_key(f"{name}, limit", colour),
            line_key("networks", colour, ls="none", marker="o", ms=3.6, mfc="white"),
        ]
    ax.set(xlabel="angle to the training sample (degrees)", ylabel="output after one step")
    ax.legend(handles=keys)


def _draw_rates(ax: Axes, record: DeepRecord) -> None:
    draw_transfer(ax, record.transfers["standard, SGD"])
    ax.set_title("standard, SGD")


def _draw_shifts(ax: Axes, record: DeepRecord) -> None:
    looks = ((MINUS, "-"), (PLUS, "-"), (MINUS, "--"), (PLUS, "--"))
    for (colour, look), (name, found) in zip(looks, record.transfers.items(), strict=True):
        best = found.best / found.best[0]
        ax.plot(found.widths, best, color=colour, ls=look, marker="o", ms=4, mfc="white", label=name)
        edges = np.flatnonzero(found.at_edge)  # the true minimum may lie beyond the rates tried
        ax.plot(np.take(found.widths, edges), best[edges], color=colour, ls="none", marker="x", ms=7)
    ax.set(xscale="log", xlabel="width $m$", ylabel="best rate, over that of the narrowest")
    ax.set_yscale("log", base=2)
    ax.set_xticks(record.widths, [str(width) for width in record.widths])
    ax.set_xticks([], minor=True)
    ax.legend()


EXPERIMENT = Experiment("deep networks: predicted slopes, escapes, first steps, learning rates", compute, draw)
