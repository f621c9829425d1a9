"""Checks of deep networks with a verdict: slopes in the width, learning rates, escape times, calibration."""

import functools
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mfsym as mf
from mfsym.deep.slopes import Slopes, judge
from mfsym.deep.spoiled import spoiled

deep = mf.deep
LOSS = optax.softmax_cross_entropy
WIDTHS = (64, 128, 256, 512)


@functools.cache
def data(samples=32, dim=20, classes=10):
    keys = jax.random.split(jax.random.key(5), 2)
    x = jax.random.normal(keys[0], (samples, dim))
    labels = jnp.argmax(x @ jax.random.normal(keys[1], (dim, classes)), axis=1)
    return x, jax.nn.one_hot(labels, classes, dtype=float)


@functools.cache
def probe():
    return jax.random.normal(jax.random.key(6), (32, 20))


def checked(make, widths=WIDTHS, **options):
    options = {"activation": jax.nn.relu, "seeds": 3, "probe": probe()} | options
    return deep.coordinate_check(make, widths, *data(), loss=LOSS, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scaling", "options", "expected"),
    [
        ("update", deep.mup(3), {}, (-0.01, 0.01, -0.03, -0.02)),
        ("forward", deep.mup(3), {}, (0, 0, 0.01, -0.51)),
        ("update", deep.ntk(3), {}, (-0.53, -0.54, -0.53, 0.03)),
        ("update", deep.ip(4), {}, (-1.53, -1.00, -1.50, -1.99, -2.91)),
        ("forward", deep.ip(4), {}, (0, -0.50, -0.99, -1.49, -1.95)),
        ("gradient", deep.ip(4), {}, (-2.52, -2.00, -2.01, -1.99, -1.46)),
        ("update", deep.ip(3), {"activation": jnp.tanh}, (-0.99, -0.49, -1.07, -2.06)),
        ("update", deep.ip_llr(3), {"first_rates": (10, 40, 40, 10)}, (-0.01, -0.03, -0.18, -0.28)),
        ("update", deep.ip_llr(4), {"activation": jnp.tanh}, (-0.02, -0.31, -0.70, -1.07, -1.41)),
        ("update", deep.standard(3), {}, (-0.53, 0.46, 0.54, 1.36)),
        ("update", deep.mup(3, "adam"), {}, (0, -0.03, -0.03, -0.02)),
        ("update", deep.ip(3, "adam"), {}, (0, -0.03, -0.15, -0.28)),
        ("update", deep.ip(4, "adam"), {"activation": jnp.tanh}, (-0.01, -0.36, -0.83, -1.23, -1.57)),
        ("update", deep.standard(3, "adam"), {}, (-0.01, 0.96, 2.11, 3.23)),
    ],
)
def test_measured_slopes(name, scaling, options, expected, standard_promotion):
    """Against slopes measured once by another program, on other data and keys; nothing disagrees with what is predicted."""
    found = checked(scaling, **options)
    bends = not deep.classify(options.get("activation", jax.nn.relu)).aligned or scaling.name == "standard"
    np.testing.assert_allclose(found.fits[name].slope, expected, atol=0.35 if bends else 0.2)
    assert found.verdict in ("agree", "undecided"), found


def test_one_check_whole(tmp_path):
    """mup with ReLU: flat in all layers, the output from m^(−½); slopes, table and JSON say so."""
    found = checked(deep.mup(1), (32, 128, 512), seeds=6)
    assert found.values["update"].shape == (3, 6, 2)
    assert found.verdict == "agree", found
    np.testing.assert_allclose(found.fits["forward"].slope, (0, -0.5), atol=0.1)
    text = str(found)
    assert text.splitlines()[-1].startswith("Over widths 32 to 512 predicted and measured slopes agree: 8 agree")
    record = found.as_dict()
    assert record["verdict"] == "agree" and record["update"]["predicted"] == [0.0, 0.0]
    mf.save(tmp_path / "check", found)
    assert mf.load(tmp_path / "check").as_dict() == record
    figure = mf.plot.coordinates(found)
    assert [ax.get_title() for ax in figure.axes] == ["size of $h$", "gradient in $W$", "update of $W$", "change of $h$"]
    assert mf.plot.slopes({"mup": found}).axes[0].get_xlabel() == "predicted exponent"


def sabotaged(name):
    """(make, what it claims to be): networks in another scaling than the one that predicts."""
    a, b = deep.mup(2).a, deep.mup(2).b
    wrong, claimed = {
        "readout as in standard": (deep.Scaling("wrong", a, b, (0, 0, -1)), deep.mup(2)),
        "hidden rates 1/m": (deep.Scaling("wrong", a, b, (0, 1, 0)), deep.mup(2)),
        "hidden starts of mup": (deep.Scaling("wrong", (0, 0.5, 1), (0, 0, 0), (-1, -1, -1)), deep.ip(2)),
        "one layer less": (deep.ip(3), deep.ip(2)),
    }[name]

    def make(width, key):
        model = deep.Perceptron(wrong, 20, width, 10, jax.nn.relu, key=key)
        return model, deep.optimiser(wrong, width, 1.0)

    return make, claimed


SABOTAGES = ["readout as in standard", "hidden rates 1/m", "hidden starts of mup"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SABOTAGES[:1])
def test_a_wrong_scaling_is_caught(name):
    make, claimed = sabotaged(name)
    found = checked(make, (32, 64, 128), scaling=claimed, seeds=4)
    assert found.verdict == "disagree", found


@pytest.mark.study
@pytest.mark.slow
@pytest.mark.parametrize("name", SABOTAGES)
def test_wrong_scalings_are_caught_every_time(name):
    make, claimed = sabotaged(name)
    verdicts = [
        checked(make, (64, 128, 256, 512), scaling=claimed, seeds=4, key=jax.random.key(100 + seed)).verdict
        for seed in range(20)
    ]
    print(f"{name}: {verdicts.count('disagree')} of 20 disagree")
    assert verdicts == ["disagree"] * 20


@pytest.mark.study
@pytest.mark.slow
def test_predictions_of_another_depth_are_caught():
    """Networks of three hidden layers, judged by the predictions of two for the layers that both have."""
    caught = 0
    for seed in range(20):
        found = checked(deep.ip(3), (64, 128, 256), seeds=4, key=jax.random.key(200 + seed))
        wrong = deep.ip(2).predict()["change"]
        fit, notes = found.fits["change"], ("",) * 3
        kept = Slopes(*(np.asarray(part)[[0, 1, 3]] for part in fit))
        caught += any(verdict == "disagree" for verdict, _ in judge("change", kept, wrong, notes))
    print(f"one layer less: {caught} of 20 disagree")
    assert caught == 20


@pytest.mark.parametrize(
    ("slope", "error", "local", "spoiled", "verdict"),
    [
        (0.05, 0.02, 0.05, "", "agree"),
        (0.6, 0.02, 0.6, "", "disagree"),
        (0.6, 0.02, 0.2, "", "undecided"),  # bends towards the prediction
        (0.6, 0.02, 1.0, "", "disagree"),  # bends away from it
        (1.0, 0.02, 0.7, "", "disagree"),  # bends, but nowhere near it
        (0.3, 0.05, 0.3, "", "undecided"),
        (0.6, 0.02, 0.6, "rounding", "undecided"),
        (np.nan, np.nan, np.nan, "", "undecided"),
    ],
)
def test_verdicts(slope, error, local, spoiled, verdict):
    found = Slopes(*(np.full(2, value) for value in (slope, error, local)))
    (first, reason), _ = judge("update", found, (0.0, 0.0), (spoiled, spoiled))
    assert first == verdict
    assert (verdict == "agree") == (reason == "")


@pytest.mark.slow
def test_a_step_that_is_not_yet_larger_than_its_start_is_named():
    """Under standard h^2 moves by m^(1/2), from less than its start: what lies above is not judged by exponents."""
    found = checked(deep.standard(3), (32, 64, 128), seeds=2)
    assert found.verdict != "disagree", found
    assert "layer 2 still bends" in found.spoiled["update"][2] and found.spoiled["update"][1] == ""


def test_a_step_that_saturates_its_layer_is_named():
    """Above a layer of tanh that moves by 5 times its start, updates meet inputs that gradients had not seen."""
    values = {name: np.ones((2, 2, 3)) for name in ("forward", "update", "change")}
    values["change"][:, :, 0] = 5.0
    flat = {"forward": (0.0,) * 3, "update": (0.0,) * 3, "change": (0.0,) * 3}
    for bounded in (True, False):
        notes = spoiled([], values, flat, bounded)
        assert notes["change"][0] == "" == notes["forward"][1]
        assert all(("saturated by a step of 5 times" in notes[name][2]) == bounded for name in ("update", "change"))


@pytest.mark.slow
def test_epsilon_that_spoils_a_slope_is_named(standard_promotion):
    found = checked(deep.ip(4, "adam"), (32, 64), seeds=2, epsilon=1e-4)
    assert found.verdict != "disagree"
    assert "Adam's epsilon" in found.spoiled["update"][1]
    assert all(note == "" for note in checked(deep.ip(4, "adam"), (32, 64), seeds=2).spoiled["update"])


@pytest.mark.float32
def test_float32_that_spoils_a_slope_is_named():
    """Changes after a step of rate 1e-6 are below a rounding of float32 in every layer, and above many of float64."""
    found = checked(deep.ip(3), (16, 32), seeds=2, rate=1e-6)
    double = jnp.result_type(float) == jnp.float64
    assert all(("roundings of float32" in note) != double for note in found.spoiled["change"])


@pytest.mark.slow
def test_a_network_of_the_user_by_name_and_by_function():
    """An equinox MLP in mup is flat; read by a function of its own it gives the same sizes of h."""
    scaling = deep.mup(2).normalised()

    def make(width, key):
        mlp = eqx.nn.MLP(20, 10, width, 2, use_bias=False, use_final_bias=False, key=key)
        return deep.reparametrise(mlp, scaling, key=key), deep.optimiser(scaling, width, 1.0)

    def read(mlp, x):
        first = mlp.layers[0](x)
        second = mlp.layers[1](jax.nn.relu(first))
        return [first, second, mlp.layers[2](jax.nn.relu(second))]

    found = checked(make, (32, 128, 512), scaling=scaling)
    assert found.verdict == "agree", found
    assert set(found.values) == {"forward", "change", "gradient", "update"}
    read_by = checked(make, (32, 64), probe_fn=read, seeds=2)
    by_kind = checked(make, (32, 64), seeds=2)
    assert set(read_by.values) == {"forward", "change"}
    np.testing.assert_allclose(read_by.values["change"], by_kind.values["change"], rtol=1e-10)
    assert read_by.verdict == "undecided" and "nothing was predicted" in str(
        checked(make, (32, 64), seeds=2, activation=None)
    )


@pytest.mark.slow
def test_a_dictionary_of_arrays(standard_promotion):
    """A network written by hand, callable through a small module, under Adam."""
    scaling = deep.mup(1, "adam").normalised()

    class Net(eqx.Module):
        arrays: dict

        def preactivations(self, x):
            h = x @ self.arrays["in"]
            return [h, jnp.tanh(h) @ self.arrays["out"]]

        def __call__(self, x):
            return self.preactivations(x)[-1]

    def pick(net):
        return [net.arrays["in"], net.arrays["out"]]

    def make(width, key):
        net = Net({"in": jnp.zeros((20, width)), "out": jnp.zeros((width, 10))})
        net = deep.reparametrise(net, scaling, key=key, layers=pick, activation=jnp.tanh)
        return net, deep.optimiser(scaling, width, 0.01, layers=pick)

    found = checked(make, (32, 128, 512), scaling=scaling, activation=jnp.tanh)
    assert found.verdict == "agree", found


@pytest.mark.slow
def test_means_cancel_in_several_outputs():
    """Predictions of weights with a mean are for one output; for ten nothing is predicted."""
    assert checked(deep.ip_noncentred(2), (32, 64), seeds=2).predicted == {}
    x, _ = data()
    one = deep.coordinate_check(
        deep.ip_noncentred(3), WIDTHS, x, x[:, 0], activation=jax.nn.relu, loss=lambda f, y: (f[0] - y) ** 2, seeds=3
    )
    assert one.verdict in ("agree", "undecided"), one
    np.testing.assert_allclose(one.fits["gradient"].slope[1:3], -1, atol=0.2)


@pytest.mark.slow
def test_calibrated_rates_move_every_layer():
    model = deep.Perceptron(deep.ip_llr(3), 20, 64, 10, jax.nn.relu, key=jax.random.key(3))
    x, y = data()
    rates = deep.calibrate(model, LOSS, (x, y), probe())
    assert rates[0] == 1.0 and all(0 < rate <= 500 for rate in rates)
    rule = deep.optimiser(model.scaling, 64, 1.0, first_rates=rates)
    gradient = eqx.filter_grad(lambda net: jnp.mean(jax.vmap(LOSS)(jax.vmap(net)(x), y)))(model)
    after = eqx.apply_updates(model, rule.update(gradient, rule.init(model))[0])
    inputs = [jax.nn.relu(h) for h in jax.vmap(after.preactivations)(probe())[:-1]]
    steps = [(b - a) / 64 for a, b in zip(model.weights[1:], after.weights[1:], strict=True)]
    sizes = [float(jnp.mean(jnp.abs(z @ step.T))) for z, step in zip(inputs, steps, strict=True)]
    np.testing.assert_allclose(sizes, [1.0, 1.0, 0.1], rtol=1e-6)


def test_a_transfer_check_marks_minima():
    """Synthetic networks whose best rate is known: a quadratic with the curvature m, and one without."""

    class Quadratic(eqx.Module):
        w: jax.Array
        curvature: float = eqx.field(static=True)

        def __call__(self, x):
            return jnp.sqrt(self.curvature) * self.w * x[:1]

    def make(width, key, rate):
        del key
        return Quadratic(jnp.ones(1), float(width)), optax.sgd(rate)

    x = jnp.ones((4, 1))
    grid = 2.0 ** np.arange(-7.0, 0.5, 0.5)
    found = deep.transfer_check(make, (4, 8, 16), grid, x, 0 * x, loss=lambda f, y: jnp.sum((f - y) ** 2) / 2, steps=1)
    np.testing.assert_allclose(found.best, [1 / 4, 1 / 8, 1 / 16], rtol=0.1)  # of a parabola in log rate
    assert found.shift == pytest.approx(-1, abs=1e-6)
    assert found.at_edge == (False, False, False)
    assert "octaves per doubling" in str(found) and str(found).count("*") == 4
    assert found.as_dict()["best"] == pytest.approx(found.best.tolist())
    assert mf.plot.transfer(found).axes[0].get_xlabel() == "learning rate"
    edge = deep.transfer_check(make, (4, 8), grid[:3], x, 0 * x, loss=lambda f, y: jnp.sum((f - y) ** 2) / 2, steps=1)
    assert all(edge.at_edge) and "At the edge" in str(edge)


def _transfer(scaling, grid):
    keys = jax.random.split(jax.random.key(9), 2)
    x = jax.random.normal(keys[0], (256, 20))
    y = jax.nn.one_hot(jnp.argmax(x @ jax.random.normal(keys[1], (20, 5)), axis=1), 5, dtype=float)
    return deep.transfer_check(
        scaling, (32, 64, 128, 256), grid, x, y, loss=LOSS, steps=60, activation=jax.nn.relu, base_width=32
    )


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_learning_rates_transfer_in_mup_and_not_in_the_standard_scaling(optimiser, standard_promotion):
    grid = 2.0 ** np.arange(-2.0, 2.5, 0.5) if optimiser == "sgd" else 2.0 ** np.arange(-9.0, -2.5, 0.5)
    shifts = {each: _transfer(getattr(deep, each)(3, optimiser), grid).shift for each in ("standard", "mup")}
    print(optimiser, shifts)
    assert shifts["standard"] < -0.2 < shifts["mup"]


@functools.cache
def escape(depth, widths, activation=jax.nn.relu):
    x, y = data(64, 8, 3)
    return deep.escape_times(deep.ip(depth), widths, x, y, activation=activation, loss=LOSS, level=1.0)


@pytest.mark.slow
def test_escape_takes_a_constant_number_of_steps_with_two_layers():
    found = escape(2, (32, 64, 128))
    assert found.steps.shape == (3, 3) and -0.2 <= found.slope <= 0.3
    assert "does not depend on the width" in str(found)
    assert found.as_dict()["exponent"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "widths", "least", "most"),
    [(3, (32, 64, 128, 256), 0.05, 0.45), (4, (32, 64, 128, 256), 0.35, 0.85), (5, (16, 32, 64, 128), 0.8, 1.4)],
)
def test_escape_times_grow_with_the_width(depth, widths, least, most):
    found = escape(depth, widths)
    print(found)
    assert least <= found.slope <= most


@pytest.mark.slow
def test_escapes_that_never_happen_and_levels_that_are_no_escape():
    x, y = data(64, 8, 3)
    options = {"activation": jax.nn.relu, "loss": LOSS}
    found = deep.escape_times(deep.ip(4), (8, 16), x, y, level=1.0, max_steps=2, **options)
    assert np.all(np.isinf(found.steps)) and "3 never" in str(found) and found.as_dict()["slope"] is None
    with pytest.raises(mf.ArgumentError, match="below the loss at the start"):
        deep.escape_times(deep.ip(4), (8, 16), x, y, level=5.0, **options)


def test_options_that_a_network_of_the_user_does_not_take_are_refused():
    x, y = data()
    make, _ = sabotaged(SABOTAGES[0])
    for name, value in {"rate": 0.1, "gain": 1.0, "epsilon": 1e-8, "first_rates": 1.0}.items():
        with pytest.raises(mf.ArgumentError, match=f"`{name}` must be left out"):
            deep.coordinate_check(make, (8, 16), x, y, loss=LOSS, **{name: value})
    with pytest.raises(mf.ArgumentError, match="`scaling` must be left out"):
        checked(deep.mup(2), (8, 16), scaling=deep.mup(2))
    with pytest.raises(mf.ArgumentError, match="`base_width` must be left out"):
        deep.transfer_check(lambda w, k, r: None, (8, 16), [1, 2, 4], x, y, loss=LOSS, steps=1, base_width=8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"widths": (64, 32)}, "`widths` must be at least 2, increasing"),
        ({"widths": (64,)}, "`widths` must be at least 2, increasing"),
        ({"loss": "cross entropy"}, "`loss` must be a function"),
        ({"loss": lambda f, y: f - y}, "`loss` must be a function"),
        ({"targets": jnp.zeros((3, 10))}, "`targets` must be 32 labels"),
        ({"activation": None}, "`activation` must be an activation"),
        ({"activation": lambda z: 0 * z}, "`activation` must be a function that is not 0"),
        ({"rate": (1.0, 2.0)}, "`rate` must be one number, or 3"),
        ({"seeds": 1}, "`seeds` must be an integer of at least 2"),
        ({"probe": jnp.zeros((4, 3))}, "`probe` must be inputs of 20"),
        ({"make": 3}, "`make` must be a Scaling"),
        ({"make": lambda width: None}, "`make` must be a Scaling"),
        ({"make": lambda width, key: 3, "activation": None}, "`make` must be a function that returns"),
        ({"make": deep.mup(2, "adam"), "epsilon": "small"}, "`epsilon` must be a real number"),
    ],
)
def test_wrong_input_of_a_check(change, words):
    x, y = data()
    given = {"make": deep.mup(2), "widths": (8, 16), "inputs": x, "targets": y, "loss": LOSS, "activation": jax.nn.relu}
    with pytest.raises(mf.ArgumentError, match=re.escape(words)):
        deep.coordinate_check(**(given | change))


@pytest.mark.slow
def test_the_page_is_right(standard_promotion):
    """The code of the page runs as it stands, and its network in mup agrees with what is predicted."""
    page = (Path(__file__).parents[1] / "docs" / "rooms" / "deep.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S):
        exec(compile(code, "deep.md", "exec"), names)
    assert names["check"].verdict in ("agree", "undecided"), names["check"]
    assert all(verdict == "agree" for verdict, _ in names["check"].judgements["update"]), names["check"]
