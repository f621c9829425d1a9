"""Scalings of deep networks: their exponents, what they predict, and networks and optimisers that are in one."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mfsym as mf

deep = mf.deep
KEY = jax.random.key(0)
HALF = 0.5


@pytest.mark.parametrize(
    ("scaling", "init", "rate"),
    [
        (deep.standard(3), (0, -HALF, -HALF, -HALF), (0, 0, 0, 0)),
        (deep.ntk(3), (0, -HALF, -HALF, -HALF), (0, -1, -1, -1)),
        (deep.mup(3), (0, -HALF, -HALF, -1), (1, 0, 0, -1)),
        (deep.ip(3), (0, -1, -1, -1), (1, 0, 0, -1)),
        (deep.mup(3, "adam"), (0, -HALF, -HALF, -1), (0, -1, -1, -1)),
        (deep.ip(3, "adam"), (0, -1, -1, -1), (0, -1, -1, -1)),
        (deep.standard(3, "adam"), (0, -HALF, -HALF, -HALF), (0, 0, 0, 0)),
    ],
    ids=lambda value: f"{value.name}-{value.optimiser}" if isinstance(value, deep.Scaling) else "",
)
def test_effective_exponents(scaling, init, rate):
    assert scaling.effective() == deep.Effective(init, rate, None)
    assert scaling.normalised().a == (0.0,) * 4
    assert scaling.normalised().effective() == scaling.effective()
    assert scaling.shift((0.25, 0.5, -1, 0.75)).normalised() == scaling.normalised()


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_large_first_rates(depth):
    first = deep.ip_llr(depth).effective().first_rate
    assert first == ((depth + 1) / 2, *((depth - 2) / 2,) * (depth - 1), (depth - 3) / 2)
    assert deep.ip_llr(depth, first_steps=0).effective() == deep.ip(depth).effective()
    assert deep.ip_llr(1).effective().first_rate == deep.ip(1).effective().rate


def _hidden(function, depth):
    return tuple(function(layer) for layer in range(2, depth + 1))


def published(depth):
    """(scaling, activation): the exponents of its table, forward, gradient, update, change of the output."""
    zeros, half = (0.0,) * depth, (-HALF,) * depth
    hidden = functools.partial(_hidden, depth=depth)
    ip_sizes = (*(-(layer - 1) / 2 for layer in range(1, depth + 1)), -depth / 2)
    return {
        "ntk": ((*zeros, 0), (*half, 0), (*half, 0), 0),
        "mup": ((*zeros, -HALF), (*(-1.0,) * depth, 0), (*zeros, 0), 0),
        "standard": (
            (*zeros, 0),
            (*half, 0),
            (-HALF, *hidden(lambda layer: (layer - 1) / 2), (depth + 1) / 2),
            (depth + 1) / 2,
        ),
        "ip": (
            ip_sizes,
            (-(depth + 1) / 2, *hidden(lambda layer: -depth / 2), -(depth - 1) / 2),
            (-(depth - 1) / 2, *hidden(lambda layer: -(depth + layer - 4) / 2), -(depth - 1) if depth > 2 else -HALF),
            -(depth - 2),
        ),
        "ip_llr": (ip_sizes, None, (*zeros, 0), 0),
    }


@pytest.mark.parametrize("depth", [2, 3, 4, 6])
@pytest.mark.parametrize("name", ["ntk", "mup", "standard", "ip", "ip_llr"])
def test_predictions_of_sgd(name, depth):
    scaling = getattr(deep, name)(depth)
    forward, gradient, update, change = published(depth)[name]
    found = scaling.predict()
    assert found["forward"] == forward
    assert gradient is None or found["gradient"] == gradient
    assert found["update"] == update
    assert found["change"][-1] == change
    assert scaling.shift(0.3).predict().keys() == found.keys()


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_predictions_of_adam_and_of_smooth_activations(depth):
    zeros, hidden = (0.0,) * (depth + 1), functools.partial(_hidden, depth=depth)
    assert deep.mup(depth, "adam").predict()["update"] == zeros
    assert deep.ip(depth, "adam").predict()["change"] == zeros  # Adam is not caught at the stationary point
    assert deep.standard(depth, "adam").predict()["update"] == (0, *hidden(lambda layer: layer - 1), depth)
    smooth = deep.ip_llr(depth).predict("smooth")
    assert smooth["update"] == (0, *hidden(lambda layer: -(layer - 2) / 2), -(depth - 1) / 2)
    assert smooth["change"][-1] == -(depth - 2) / 2


@pytest.mark.parametrize("depth", [2, 4, 5])
def test_predictions_with_random_biases_and_with_means(depth):
    biased, means = deep.ip_bias(depth), deep.ip_noncentred(depth)
    found = biased.predict()
    trainable = tuple(gradient - a for gradient, a in zip(found["gradient"], biased.a, strict=True))
    assert found["forward"] == (0.0,) * (depth + 1)
    assert trainable == (-(depth + 1) / 2, *_hidden(lambda layer: -(depth - layer + 4) / 2, depth), -1)
    assert found["change"] == (0.0,) * (depth + 1)
    found = means.predict()
    assert found["forward"] == found["change"] == (0.0,) * (depth + 1)
    assert tuple(g - a for g, a in zip(found["gradient"], means.a, strict=True)) == (-1, *(-2,) * (depth - 1), -1)
    assert means.predict(jnp.tanh)["forward"][1] == -HALF  # an odd activation has no mean to build on


def test_trained_biases_leave_the_stationary_point():
    """Under ip the bias of the last hidden layer moves by m⁰, and the output with it; mup has all its layers there."""
    assert deep.ip(4).predict()["change"][-1] == -2
    assert deep.ip(4).predict(bias=True)["change"][-2:] == (0, 0)
    assert deep.mup(4).predict(bias=True) == deep.mup(4).predict()


def test_degrees_other_than_one():
    """Sizes of relu² are squares; its first rates leave every layer moved by m⁰."""
    found = deep.ip_llr(3, degree=2).predict(deep.classify(lambda z: jax.nn.relu(z) ** 2))
    assert found["forward"] == (0, -0.5, -1.5, -3.5)
    assert found["update"] == (0.0,) * 4


@pytest.mark.parametrize(
    ("activation", "kind", "degree", "slopes", "gain"),
    [
        (jax.nn.relu, "homogeneous", 1, (1, 0), np.sqrt(2)),
        (lambda z: jnp.where(z > 0, z, 0.1 * z), "homogeneous", 1, (1, -0.1), np.sqrt(2 / 1.01)),
        (jnp.abs, "homogeneous", 1, (1, 1), 1),
        (lambda z: z, "homogeneous", 1, (1, -1), 1),
        (lambda z: jax.nn.relu(z) ** 2, "homogeneous", 2, (1, 0), 1),
        (jnp.tanh, "smooth", 1, (1, -1), 1),
        (jax.nn.gelu, "smooth", 1, (0.5, -0.5), 2),
        (jax.nn.silu, "smooth", 1, (0.5, -0.5), 2),
        (jax.nn.elu, "smooth", 1, (1, -1), 1),
        (jax.nn.selu, "kinked", 1, (1.0507, -1.7581), np.sqrt(2 / (1.0507**2 + 1.7581**2))),
        (jax.nn.sigmoid, "shifted", 1, (0.25, -0.25), 1),
        (lambda z: z**2 * jnp.tanh(z), "flat", 1, (0, 0), 1),
    ],
)
def test_classes_of_activations(activation, kind, degree, slopes, gain):
    found = deep.classify(activation)
    assert (found.kind, found.degree) == (kind, degree)
    np.testing.assert_allclose(found.slopes, slopes, atol=1e-4)
    np.testing.assert_allclose(found.gain, gain, rtol=1e-4)


def test_growth_tells_bounded_activations_from_others():
    """Under `standard` layers grow by a step: tanh holds them, GELU and ReLU do not."""
    assert deep.classify(jnp.tanh).growth == 0
    assert deep.classify(jax.nn.gelu).growth == 1
    changes = [deep.standard(3).predict(phi)["change"][-1] for phi in (jnp.tanh, jax.nn.gelu, jax.nn.relu)]
    assert changes == [1, 2, 2]


def test_the_table_says_what_each_layer_does():
    text = str(deep.ip_llr(4))
    assert "4 hidden layers, SGD" in text
    assert "The output starts at m^-2 and moves by m^0 in the first step." in text
    assert [line.split()[:4] for line in text.splitlines()[2:]][:5] == [
        ["1", "0", "1", "5/2"],
        ["2", "-1", "0", "1"],
        ["3", "-1", "0", "1"],
        ["4", "-1", "0", "1"],
        ["output", "-1", "-1", "1/2"],
    ]
    assert "tanh the layers change by" in text


def test_sizes_at_the_start():
    model = deep.Perceptron(deep.ip(2), 16, 300, 4, jax.nn.relu, key=KEY)
    assert [weight.shape for weight in model.weights] == [(300, 16), (300, 300), (4, 300)]
    sizes = [float(jnp.std(weight)) for weight in model.weights]
    np.testing.assert_allclose(sizes, [np.sqrt(2) / 4, np.sqrt(2), 1], rtol=0.05)
    np.testing.assert_allclose(model.multipliers(), [1, 1 / 300, 1 / 300])
    assert jnp.allclose(model(jnp.ones(16)), model.preactivations(jnp.ones(16))[-1])


@pytest.mark.parametrize("scaling", [deep.mup(2), deep.ntk(2), deep.ip(2), deep.ip_llr(2), deep.mup(2).normalised()])
def test_all_scalings_are_one_network_at_the_base_width(scaling):
    """The same effective weights, and the same after a step of the later rates."""
    reference = deep.Perceptron(deep.standard(2), 4, 6, 2, jax.nn.relu, key=KEY)
    model = deep.Perceptron(scaling, 4, 6, 2, jax.nn.relu, key=KEY, base_width=6)
    x = jnp.arange(4.0)
    assert jnp.allclose(model(x), reference(x), rtol=1e-12)

    def step(network, base):
        rule = deep.optimiser(network.scaling, 6, 0.1, base_width=base)
        gradient = jax.grad(lambda p: jnp.sum(p(x) ** 2))(network)
        return eqx.apply_updates(network, rule.update(gradient, rule.init(network))[0])

    assert jnp.allclose(step(model, 6)(x), step(reference, 1)(x), rtol=1e-12)


def _mlp(width=12, **options):
    return eqx.nn.MLP(4, 3, width, 2, key=jax.random.key(1), **options)


def test_an_equinox_network_is_redrawn_and_its_layers_get_their_rates():
    scaling = deep.mup(2).normalised()
    mlp = deep.reparametrise(_mlp(400), scaling, key=KEY)
    sizes = [float(jnp.std(layer.weight)) for layer in mlp.layers]
    np.testing.assert_allclose(sizes, [np.sqrt(2) / 2, np.sqrt(2 / 400), 1 / 400], rtol=0.1)
    assert all(jnp.all(layer.bias == 0) for layer in mlp.layers)
    params = eqx.filter(mlp, eqx.is_inexact_array)
    rule = deep.optimiser(scaling, 400, 0.5)
    change, _ = rule.update(jax.tree.map(jnp.ones_like, params), rule.init(params), params)
    steps = [(float(layer.weight[0, 0]), float(layer.bias[0])) for layer in change.layers]
    np.testing.assert_allclose(steps, [(-200, -200), (-0.5, -200), (-0.5 / 400, -0.5)])


@pytest.mark.parametrize("transposed", [False, True])
def test_a_dictionary_of_arrays_is_redrawn(transposed):
    shapes = [(50, 4), (50, 50), (2, 50)]
    params = {f"w{i}": jnp.zeros(shape[::-1] if transposed else shape) for i, shape in enumerate(shapes)} | {
        "b": jnp.ones(50)
    }
    options = {"layers": lambda p: [p["w0"], p["w1"], p["w2"]], "biases": lambda p: [None, p["b"], None]}
    rule = deep.optimiser(deep.mup(2).normalised(), 50, 0.1, **options)
    change, _ = rule.update(params, rule.init(params))
    assert float(change["b"][0]) == pytest.approx(-0.1 * 50)
    with pytest.raises(mf.ArgumentError, match="2 of the hidden layers"):
        deep.optimiser(deep.mup(2).normalised(), 50, 0.1, **(options | {"biases": lambda p: [p["b"]] * 4})).init(params)
    found = deep.reparametrise(params, deep.mup(2), key=KEY, activation=jnp.tanh, **options)
    np.testing.assert_allclose(float(jnp.std(found["w0"])), 0.5, rtol=0.15)
    assert jnp.all(found["b"] == 0)


def test_first_rates_end_after_the_first_steps():
    scaling = deep.ip_llr(2, first_steps=3)
    model = deep.Perceptron(scaling, 3, 10, 2, jax.nn.relu, key=KEY)
    rule = deep.optimiser(scaling, 10, 0.1, first_rates=(1.0, 2.0, 3.0))
    state, ones, seen = rule.init(model), jax.tree.map(jnp.ones_like, model), []
    for _ in range(5):
        change, state = rule.update(ones, state)
        seen.append([float(weight[0, 0]) for weight in change.weights])
    first = -np.array([1.0, 2.0, 3.0]) * 10 ** np.array([1.5, 2.0, 1.5])
    later = -0.1 * 10 ** np.array([1.0, 2.0, 1.0])
    np.testing.assert_allclose(seen, [first, first, first, later, later])


def test_a_schedule_and_rates_of_layers(standard_promotion):
    scaling = deep.mup(1).normalised()
    params = {"a": jnp.ones((4, 2)), "b": jnp.ones((1, 4))}
    rule = deep.optimiser(scaling, 4, (lambda step: 1.0 / (1 + step), 0.5), layers=lambda p: [p["a"], p["b"]])
    state, seen = rule.init(params), []
    for _ in range(2):
        change, state = rule.update(params, state)
        seen.append((float(change["a"][0, 0]), float(change["b"][0, 0])))
    np.testing.assert_allclose(seen, [(-4, -0.125), (-2, -0.125)])


def test_epsilon_of_adam_follows_the_gradients(standard_promotion):
    """Adam's steps do not depend on the width, with gradients of the size that a layer has there; a fixed ε spoils them."""
    scaling = deep.ip(3, "adam").normalised()
    for width in (64, 4096):
        params = {
            str(i): jnp.ones(shape) for i, shape in enumerate([(width, 1), (width, width), (width, width), (1, width)])
        }
        sizes = scaling.predict()["gradient"]
        gradient = {key: 1e-3 * width**size * leaf for (key, leaf), size in zip(params.items(), sizes, strict=True)}
        for epsilon, share in ((None, 1 - 1e-5), (1e-8, None)):
            rule = deep.optimiser(scaling, width, 1.0, layers=lambda p: list(p.values()), epsilon=epsilon)
            change, _ = rule.update(gradient, rule.init(params), params)
            step = -float(change["1"][0, 0]) * width
            assert step == pytest.approx(share, abs=1e-5) if share else step < 1 - 1e-5 * (width > 100)


def test_any_optimiser_that_takes_a_rate(standard_promotion):
    params = eqx.filter(deep.reparametrise(_mlp(), deep.mup(2), key=KEY), eqx.is_inexact_array)
    make = functools.partial(optax.adamw, weight_decay=0.1)
    rule = deep.optimiser(deep.mup(2, "adam").normalised(), 12, 1e-3, make=make)
    rule.update(params, rule.init(params), params)
    with pytest.raises(mf.ArgumentError, match="an optimiser for a scaling of SGD"):
        deep.optimiser(deep.mup(2).normalised(), 12, 1e-3, make=optax.adamw).init(params)
    with pytest.raises(mf.ArgumentError, match="an optimiser for a scaling of Adam"):
        deep.optimiser(deep.mup(2, "adam").normalised(), 12, 1e-3, make=optax.sgd).init(params)


def test_networks_that_do_not_fit_are_refused():
    params = eqx.filter(_mlp(), eqx.is_inexact_array)
    published = deep.Perceptron(deep.mup(2), 4, 12, 3, jax.nn.relu, key=KEY)
    with pytest.raises(mf.ArgumentError, match="normalised for a network without multipliers"):
        deep.optimiser(deep.mup(2), 12, 0.1).init(params)
    with pytest.raises(mf.ArgumentError, match="that of the Perceptron"):
        deep.optimiser(deep.mup(2).normalised(), 12, 0.1).init(published)
    with pytest.raises(mf.ArgumentError, match="that of the network, 12"):
        deep.optimiser(deep.mup(2).normalised(), 13, 0.1).init(params)
    with pytest.raises(mf.ArgumentError, match="4 weight matrices"):
        deep.optimiser(deep.mup(3).normalised(), 12, 0.1).init(params)
    with pytest.raises(mf.ArgumentError, match="besides"):
        deep.optimiser(
            deep.mup(2).normalised(), 12, 0.1, layers=lambda p: [la.weight for la in p.layers], biases=lambda p: ()
        ).init(params)
    with pytest.raises(mf.ArgumentError, match="hidden layers of one width"):
        narrow = [jnp.ones((5, 4)), jnp.ones((6, 5)), jnp.ones((1, 6))]
        deep.reparametrise(narrow, deep.mup(2), key=KEY, layers=lambda p: p, gain=1.0)


def test_the_bias_of_a_single_layer_is_told_from_that_of_the_output():
    for options, expected in (({"use_final_bias": False}, -8.0), ({"use_bias": False}, -1.0)):
        params = eqx.filter(eqx.nn.MLP(3, 2, 8, 1, key=KEY, **options), eqx.is_inexact_array)
        rule = deep.optimiser(deep.mup(1).normalised(), 8, 1.0)
        change, _ = rule.update(jax.tree.map(jnp.ones_like, params), rule.init(params))
        assert [float(layer.bias[0]) for layer in change.layers if layer.bias is not None] == [expected]


def _square(f, y):
    return jnp.sum((f - y) ** 2)


ONE = [[1.0]]
WRONG = {  # argument: calls that it is to blame for
    "depth": [lambda: deep.mup(0), lambda: deep.equivalences(0)],
    "optimiser": [lambda: deep.mup(2, "rmsprop")],
    "degree": [lambda: deep.ip_llr(3, degree=-1)],
    "b": [lambda: deep.Scaling("other", (0, 1), (0,), (0, 0))],
    "a": [lambda: deep.Scaling("other", (0, "one"), (0, 0), (0, 0)), lambda: deep.Scaling("other", (0,), (0,), (0,))],
    "theta": [lambda: deep.mup(2).shift((1, 2))],
    "activation": [
        lambda: deep.classify(3),
        lambda: deep.classify(jnp.log),
        lambda: deep.mup(2).predict(jax.nn.sigmoid),
        lambda: deep.mup(2).predict("relu"),
    ],
    "width": [
        lambda: deep.Perceptron(deep.mup(2), 3, 0, 1, jax.nn.relu, key=KEY),
        lambda: deep.optimiser(deep.mup(2), "4", 1.0),
    ],
    "scaling": [
        lambda: deep.Perceptron("mup", 3, 4, 1, jax.nn.relu, key=KEY),
        lambda: deep.reparametrise(_mlp(), deep.ip_bias(2), key=KEY),
        lambda: deep.layer_laws(deep.mup(2, "adam"), 4),
    ],
    "key": [lambda: deep.Perceptron(deep.mup(2), 3, 4, 1, jax.nn.relu, key=3)],
    "base_width": [lambda: deep.Perceptron(deep.ip_noncentred(2), 3, 4, 1, jax.nn.relu, key=KEY, base_width=2)],
    "layers": [lambda: deep.reparametrise({"a": jnp.ones((2, 2))}, deep.mup(2), key=KEY)],
    "gain": [lambda: deep.reparametrise([jnp.ones((4, 2)), jnp.ones((1, 4))], deep.mup(1), key=KEY, layers=lambda p: p)],
    "rate": [lambda: deep.optimiser(deep.mup(2), 4, -1.0), lambda: deep.optimiser(deep.mup(2), 4, (1.0, 2.0))],
    "make": [lambda: deep.optimiser(deep.mup(2), 4, 1.0, make=3)],
    "model": [lambda: deep.kernel_parts(3, [1.0], [1.0]), lambda: deep.calibrate(3, _square, (1, 2), 3)],
    "z": [lambda: deep.limit_kernels(2, jax.nn.relu, [1.0, 0.0], [1.0])],
    "x": [
        lambda: deep.limit_kernels(2, jax.nn.relu, [0.0, 0.0], [1.0, 0.0]),
        lambda: deep.first_step_limit(deep.mup(2), [1.0, 0.0], [1.0], [[1.0, 0.0, 0.0]], rates=(1, 1, 1)),
    ],
    "rates": [
        lambda: deep.first_step_limit(deep.mup(2), [1.0, 0.0], [1.0], [[1.0, 0.0]], rates=(1, 1)),
        lambda: deep.layer_laws(deep.mup(2), 4, rates=(1, 2)),
        lambda: deep.transfer_check(deep.mup(1), (4, 8), [1.0, 2.0], ONE, ONE, loss=_square, steps=2, activation=jnp.tanh),
    ],
    "h": [lambda: deep.numerical_rank([1.0, 2.0])],
    "level": [lambda: deep.escape_times(deep.ip(2), (4, 8), ONE, ONE, activation=jnp.tanh, loss=_square, level="low")],
    "check": [lambda: mf.plot.coordinates(3), lambda: mf.plot.transfer(None)],
    "checks": [lambda: mf.plot.slopes({}), lambda: mf.plot.slopes({"a": 3})],
}


@pytest.mark.parametrize("argument", WRONG)
def test_wrong_input(argument):
    for call in WRONG[argument]:
        with pytest.raises(mf.ArgumentError, match=f"^Argument `{argument}` must be .*, but is .*"):
            call()
