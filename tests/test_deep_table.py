"""Predicted against measured, for every scaling, depth and activation: no cell may disagree."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest

import mfsym as mf

deep = mf.deep
WIDTHS = (64, 128, 256, 512, 1024)
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu}
SCALINGS = {
    "standard": deep.standard,
    "ntk": deep.ntk,
    "mup": deep.mup,
    "ip": deep.ip,
    "ip_llr": deep.ip_llr,
    "ip_bias": deep.ip_bias,
    "ip_noncentred": deep.ip_noncentred,
    "standard, Adam": functools.partial(deep.standard, optimiser="adam"),
    "mup, Adam": functools.partial(deep.mup, optimiser="adam"),
    "ip, Adam": functools.partial(deep.ip, optimiser="adam"),
}


def check(name, depth, activation, widths=WIDTHS, seeds=4):
    keys = jax.random.split(jax.random.key(depth), 2)
    x = jax.random.normal(keys[0], (32, 20))
    first = (10.0, *(40.0,) * (depth - 1), 10.0) if name == "ip_llr" else None
    rate = 0.1 if "Adam" in name else 1.0  # a step of Adam of rate 1 would saturate tanh
    options = {"activation": ACTIVATIONS[activation], "rate": rate, "first_rates": first, "seeds": seeds}
    if name == "ip_noncentred":  # for one output
        return deep.coordinate_check(
            SCALINGS[name](depth), widths, x, x[:, 0], loss=lambda f, y: (f[0] - y) ** 2 / 2, **options
        )
    y = jax.nn.one_hot(jnp.argmax(x @ jax.random.normal(keys[1], (20, 10)), axis=1), 10, dtype=float)
    return deep.coordinate_check(SCALINGS[name](depth), widths, x, y, loss=optax.softmax_cross_entropy, **options)


def line(name, found):
    """A cell of the table, and the reasons of what is not decided."""
    layers = [
        f"{key} {index + 1}: {reason}"
        for key, each in found.judgements.items()
        for index, (verdict, reason) in enumerate(each)
        if verdict != "agree"
    ]
    slopes = " ".join(f"{value:+.2f}" for value in found.fits["update"].slope)
    expected = " ".join(f"{value:+.2f}" for value in found.predicted["update"])
    return f"{name:>16}  {found.verdict:<10} update {slopes}  predicted {expected}  {'; '.join(layers)}"


@pytest.mark.study
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("depth", [2, 3, 4, 5, 6])
def test_no_cell_disagrees(depth, activation, standard_promotion):
    found = {name: check(name, depth, activation) for name in SCALINGS}
    print(f"{depth} hidden layers, {activation}", *(line(name, each) for name, each in found.items()), sep="\n")
    assert [name for name, each in found.items() if each.verdict == "disagree"] == []


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("name", ["ip_bias", "ip_noncentred", "standard, Adam"])
def test_a_few_cells(name, activation, standard_promotion):
    found = check(name, 3, activation, (64, 128, 256), 3)
    print(line(name, found))
    assert found.verdict != "disagree", found
