"""Deep networks in several scalings: what is predicted of them at large width, and what they do.

Eight panels. Measured slopes of all layers against predicted exponents, for five scalings. The loss of integrable networks
on digits: a delay that grows with depth and width. Steps until they escape from the stationary point where they start,
against the width: constant, log m, √m, m. Test accuracies on digits of scalings and activations. Singular values of the
last layer after one step. Outputs after one step against the angle between an input and the training sample: networks, and
the limit in closed form. Losses against the learning rate at several widths, in the standard scaling; and how
the best rate moves with the width, for SGD and Adam. (Experiments of our own, after Hajjar, Chizat & Giraud,
arXiv:2110.15596, on the 8 × 8 digits of scikit-learn.)
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from ..deep import (
    CoordinateCheck,
    EscapeTimes,
    Perceptron,
    Scaling,
    TransferCheck,
    coordinate_check,
    escape_times,
    first_step_limit,
    ip,
    ip_llr,
    mup,
    ntk,
    optimiser,
    standard,
    transfer_check,
)
from .base import Experiment, run_each
from .deep_digits import SCALINGS, UNITS, accuracy, losses_of_ip, spectra
from .deep_panels import DeepRecord, draw
from .digits import digits

DEPTH = 3
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


def compute(
    key: PRNGKeyArray,
    widths: tuple[int, ...] = (32, 64, 128, 256),
    depths: tuple[int, ...] = (2, 3, 4, 5),
    images: int = 256,
    steps: int = 400,
    width: int = 128,
    units: tuple[str, ...] = tuple(UNITS),
) -> DeepRecord:
    """All of them, with widths, depths, images and steps of the networks, `width` of those whose layers are shown, and
    the activations that are trained."""
    keys = jax.random.split(key, 8)
    data = digits(images, keys[0])
    slopes = dict(
        zip(SLOPES, run_each(lambda each: _slopes(each[0], each[1], widths, keys[1]), SLOPES.values()), strict=True)
    )
    losses = run_each(lambda depth: [losses_of_ip(depth, m, data, steps, keys[2]) for m in (widths[0], widths[-1])], depths)
    escapes = dict(zip(depths, run_each(lambda depth: _escape(depth, widths, keys[3]), depths), strict=True))
    pairs = [(scaling, unit) for scaling in SCALINGS.values() for unit in (UNITS[name] for name in units)]
    found = run_each(lambda pair: accuracy(pair[0], pair[1], data, width, steps, keys[4]), pairs)
    stepped = {name: _outputs(name, width, keys[6]) for name in STEPPED}
    shifts = run_each(lambda scaling: _transfer(scaling, widths, steps // 10, keys[7]), SHIFTS.values())
    return DeepRecord(
        slopes,
        depths,
        widths,
        np.array(losses),
        escapes,
        tuple(SCALINGS),
        units,
        np.array(found).reshape(len(SCALINGS), len(units)),
        spectra(data, width, keys[5]),
        np.linspace(0, np.pi, 13),
        {name: limit for name, (limit, _) in stepped.items()},
        {name: networks for name, (_, networks) in stepped.items()},
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


EXPERIMENT = Experiment("deep networks: predicted slopes, escapes, first steps, learning rates", compute, draw)
