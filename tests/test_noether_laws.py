"""Laws of training: what a finite step must do to them, and what `track` tells of a loop that nobody adapted."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mfsym as mf

noether = mf.noether


def network(sizes, activation, bias, seed=3):
    """A list of layers, and apply(params, x)."""
    keys = jax.random.split(jax.random.key(seed), 2 * len(sizes))
    params = [
        {"w": jax.random.normal(keys[2 * i], (after, before))}
        | ({"b": jax.random.normal(keys[2 * i + 1], (after,))} if bias else {})
        for i, (before, after) in enumerate(itertools.pairwise(sizes))
    ]

    def apply(params, x):
        for i, layer in enumerate(params):
            x = layer["w"] @ x + layer.get("b", 0.0)
            x = activation(x) if i < len(params) - 1 else x
        return x

    return params, apply


def gradient_of(apply, n, d, seed=5, loss=lambda r: jnp.mean(r**2)):
    """Of a loss on 12 inputs with n outputs."""
    keys = jax.random.split(jax.random.key(seed))
    x, y = jax.random.normal(keys[0], (12, d)), jax.random.normal(keys[1], (12, n))
    return jax.grad(lambda params: loss(jax.vmap(lambda row: apply(params, row))(x) - y))


def relu2(z):
    return jax.nn.relu(z) ** 2


LAYERS = (lambda p: p[0]["w"], lambda p: p[1]["w"])
RELU = network((3, 4, 2), jax.nn.relu, True)
LINEAR = network((3, 4, 2), lambda z: z, False)
UNITS = noether.unit_norms(*LAYERS, bias=lambda p: p[0]["b"])
CASES = {
    "ReLU": (RELU, UNITS),
    "linear": (LINEAR, noether.balance(*LAYERS)),
    "squares": (network((3, 4, 2), relu2, False), noether.unit_norms(*LAYERS, degree=2)),
    "classes": (
        (RELU[0], lambda p, x: jax.nn.log_softmax(RELU[1](p, x))),
        noether.entry_sums(lambda p: p[1]["w"]),
    ),
}


@pytest.mark.parametrize("method", ["euler", "heun", "rk4"])
@pytest.mark.parametrize("name", CASES)
def test_a_step_does_what_it_must(name, method):
    (params, apply), law = CASES[name]
    found = noether.step_defect(law, gradient_of(apply, 2, 3), params, 0.1, method=method)
    assert found.defect < 1e-13
    if law.degree == 2 and method == "euler":
        assert np.max(np.abs(found.change)) > 1e-4


def test_a_step_with_weight_decay():
    """200 of them, by the recursion; and the linear law."""
    (params, apply), law = CASES["ReLU"]
    gradient = gradient_of(apply, 2, 3)
    step = jax.jit(lambda params: noether.step_defect(law, gradient, params, 0.05, shrink=0.005)[::3])
    defects = []
    for _ in range(50):
        defect, params = step(params)
        defects.append(float(defect))
    assert max(defects) < 1e-13
    (params, apply), law = CASES["classes"]
    assert noether.step_defect(law, gradient_of(apply, 2, 3), params, 0.05, shrink=0.1).defect < 1e-13


def test_a_law_of_another_network_shows():
    """That of ReLU for its square, and of units for biases left out."""
    (params, apply), _ = CASES["squares"]
    found = noether.step_defect(noether.unit_norms(*LAYERS), gradient_of(apply, 2, 3), params, 0.1)
    assert found.defect > 1e-2
    (params, apply), _ = CASES["ReLU"]
    assert noether.step_defect(noether.unit_norms(*LAYERS), gradient_of(apply, 2, 3), params, 0.1).defect > 1e-3


def test_rates_of_layers_weight_their_norms():
    """By one step of a flow with the metric of these rates."""
    (params, apply), _ = CASES["ReLU"]
    plain = gradient_of(apply, 2, 3)

    def gradient(params):
        first, second = plain(params)
        return [jax.tree.map(lambda g: 3.0 * g, first), jax.tree.map(lambda g: 0.5 * g, second)]

    weighted = noether.unit_norms(*LAYERS, bias=lambda p: p[0]["b"], rates=(3.0, 0.5))
    assert noether.step_defect(weighted, gradient, params, 0.1).defect < 1e-13
    assert noether.step_defect(UNITS, gradient, params, 0.1).defect > 1e-2


@pytest.mark.parametrize(("method", "order", "tolerance"), [("euler", 1, 0.1), ("heun", 3, 0.3), ("rk4", 4, 0.3)])
def test_orders_of_the_drift(method, order, tolerance):
    (params, apply), law = CASES["linear"]
    params = jax.tree.map(lambda leaf: leaf / 2, params)
    _, slopes = noether.drift_order(law, gradient_of(apply, 2, 3), params, 2.0, (40, 80, 160), method=method)
    print(slopes)
    assert abs(slopes[-1] - order) < tolerance


def trained(optimiser, params, loss, steps=50):
    """An ordinary loop."""
    state = optimiser.init(params)

    @jax.jit
    def step(params, state):
        updates, state = optimiser.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def mlp(dtype=jnp.float64):
    model = eqx.nn.MLP(4, 3, 8, 2, key=jax.random.key(0), dtype=dtype)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    x = 2 * jax.random.normal(jax.random.key(1), (400, 4), dtype)
    return params, lambda p: jnp.mean((jax.vmap(lambda v: eqx.combine(p, static)(v))(x) - 1) ** 2)


HIDDEN = noether.unit_norms(lambda p: p.layers[0].weight, lambda p: p.layers[1].weight, bias=lambda p: p.layers[0].bias)
OPTIMISERS = {  # with shrink, the drift of the largest unit and what was broken of it, as published beside the rules
    "sgd": (optax.sgd(0.05), 0.0, 2.1e-3, 0.0),
    "clipped by the global norm": (optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.05)), 0.0, None, 0.0),
    "decay": (optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.05)), 0.005, 0.246, 0.0),
    "scheduled decay": (
        optax.chain(optax.add_decayed_weights(0.1), optax.sgd(lambda k: 0.05 / (1 + k))),
        lambda k: 0.005 / (1 + k),
        None,
        0.0,
    ),
    "momentum": (optax.sgd(0.01, momentum=0.9), 0.0, 0.130, 0.123),
    "adam": (optax.adam(1e-2), 0.0, 0.204, 0.200),
    "clipped entries": (optax.chain(optax.clip(1e-2), optax.sgd(0.05)), 0.0, None, None),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_loop_is_told_what_it_broke(name, standard_promotion):
    optimiser, shrink, drift, broken = OPTIMISERS[name]
    params, loss = mlp()
    last, state = trained(optax.chain(optimiser, noether.track(HIDDEN, shrink=shrink)), params, loss)
    plain, _ = trained(optimiser, params, loss)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(last), jax.tree.leaves(plain), strict=True))
    found = noether.drift(state)
    row = found.as_dict()[HIDDEN.name]
    print(found)
    assert found.steps == 50 and row["kept"] == (broken == 0.0)
    np.testing.assert_allclose(found.value[0], HIDDEN(last), rtol=0, atol=1e-13)
    if broken == 0.0:
        assert row["broken"] < 1e-13
    elif broken is None:
        assert row["broken"] > 1e-3
    else:
        assert abs(row["broken"] - broken) < 6e-4
    if drift is not None:
        assert abs(row["drift"] - drift) < 6e-4


@pytest.mark.float32
def test_single_precision_under_scan():
    """The state is carried through a loop that is compiled."""
    params, loss = mlp(jnp.float32)
    optimiser = optax.chain(optax.sgd(0.05), noether.track((HIDDEN, noether.squared_norm(lambda p: p.layers[2].weight))))

    def step(carry, _):
        params, state = carry
        updates, state = optimiser.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (_, state), _ = jax.lax.scan(step, (params, optimiser.init(params)), length=50)
    found = noether.drift(state)
    print(found)
    assert found.kept == (True, False)  # the second is no law
    assert np.max(np.abs(found.broken[0]) / found.path[0]) < 1e-5


def test_laws_and_trackers_may_be_made_inside_of_what_is_compiled():
    def change(params):
        law = noether.unit_norms(*LAYERS, bias=lambda p: p[0]["b"], rates=(1.0, 2.0))
        optimiser = noether.track(law, shrink=0.1)
        return optimiser.update(params, optimiser.init(params), params)[1].value

    np.testing.assert_allclose(jax.jit(change)(RELU[0])[0], change(RELU[0])[0])


def test_a_law_without_a_degree():
    """½‖u‖² − b of exponential units: what finite steps do is the remainder of the second order."""
    params, apply = network((2, 3, 1), jnp.exp, True)
    params = jax.tree.map(lambda leaf: leaf / 2, params)
    gradient = gradient_of(apply, 1, 2)
    law = noether.exponential_bias(lambda p: p[1]["w"], lambda p: p[0]["b"])
    optimiser = optax.chain(optax.sgd(1e-2), noether.track(law))
    state = optimiser.init(params)
    for _ in range(5):
        updates, state = optimiser.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
    found = noether.drift(state)
    assert found.kept == (True,) and np.max(np.abs(found.broken[0])) < 1e-14 < np.max(
        np.abs(found.value[0] - found.start[0])
    )


def observed(training=None):
    """q along a run of 6 neurons with ‖b‖ > |a|, and the law."""
    problem = mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 0.0, -1.0]))
    keys = jax.random.split(jax.random.key(2))
    cloud = mf.Particles(0.3 * jax.random.normal(keys[0], (6,)), jax.random.normal(keys[1], (6, 3)))
    law = noether.cloud_law(problem.unit, training)
    ts = jnp.linspace(0.0, 2.0, 5)
    observe = {"q": law, "plain": lambda cloud: jnp.sum(cloud.b**2, axis=1) - cloud.a**2, "a": lambda cloud: cloud.a}
    run = mf.solve_particles(problem, cloud, ts, training=training, observe=observe, rtol=1e-9, atol=1e-9)
    assert np.max(np.abs(run.a[-1] - run.a[0])) > 0.1
    return run, np.asarray(ts)


@pytest.mark.parametrize(
    ("training", "rate"),
    [(None, 0.0), (mf.Training(2.0, 0.5), 0.0), (mf.Training(2.0, 2.0, weight_decay=0.1), 0.4)],
    ids=["rates of 1", "unequal rates", "decay"],
)
def test_the_law_of_a_cloud_along_the_flow(training, rate):
    """Constant, or exp(−2ρλt) of its start."""
    run, ts = observed(training)
    np.testing.assert_allclose(run.q, run.q[:1] * np.exp(-rate * ts)[:, None], rtol=0, atol=2e-8)
    if training is not None and not rate:
        assert np.max(np.abs(run.plain - run.plain[:1])) > 0.1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: noether.Law("h", 3), "function"),
        (lambda: noether.Law("h", jnp.sum, 3), "degree"),
        (lambda: noether.unit_norms(3, LAYERS[1]), "incoming"),
        (lambda: noether.unit_norms(LAYERS[0], []), "outgoing"),
        (lambda: noether.squared_norm(None), "where"),
        (lambda: noether.unit_norms(LAYERS[0], LAYERS[0])(RELU[0]), "outgoing"),
        (lambda: noether.unit_norms(*LAYERS, rates=(1.0, -1.0)), "rates"),
        (lambda: noether.balance(LAYERS[0], lambda p: p[0]["b"])(RELU[0]), "outgoing"),
        (lambda: noether.step_defect(noether.Law("h", jnp.sum), jax.grad, RELU[0], 0.1), "law"),
        (lambda: noether.step_defect(UNITS, jax.grad, RELU[0], 0.1, method="midpoint"), "method"),
        (lambda: noether.step_defect(UNITS, jax.grad, RELU[0], 0.1, method=([[0.5]], [1.0])), "explicit"),
        (lambda: noether.track([3]), "laws"),
        (lambda: noether.track(noether.Law("h", jnp.sum), shrink=0.1), "shrink"),
        (lambda: noether.track(UNITS).update(RELU[0], noether.track(UNITS).init(RELU[0])), "params"),
        (lambda: noether.drift(optax.sgd(0.1).init(RELU[0])), "tracker"),
        (lambda: mf.nothing, "no attribute"),
        (lambda: noether.cloud_law(mf.GELU()), "unit"),
        (lambda: noether.cloud_law(mf.ReLU(), mf.Training(step=0.1, momentum=0.5)), "momentum"),
        (lambda: noether.cloud_law(mf.ReLU(), mf.Training(1.0, 2.0, weight_decay=0.1)), "unequal"),
        (lambda: noether.cloud_law(mf.ReLU(), mf.Training(1.0, 0.0)), "at rest"),
    ],
)
def test_refusals(call, words):
    with pytest.raises((mf.ArgumentError, AttributeError), match=words):
        call()
