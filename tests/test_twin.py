"""Training loops as people write them, and their twins."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mfsym as mf
from mfsym.reduced.orbits.blocks import orbit_blocks
from mfsym.reduced.orbits.laws import Counts, start_points
from mfsym.twin.check import finite_loop, weights_of
from mfsym.twin.laws import Neurons, recognised
from mfsym.twin.losses import read_loss
from mfsym.twin.network import INNER, OUTER, read_network
from mfsym.twin.rules import read_rule

DIM, WIDTH = 6, 64
INPUTS, TARGET = mf.Gaussian(DIM), mf.SingleIndex(jnp.sin, kinks=())


def weights(bias=False, width=WIDTH, scale=1.0):
    """(a, b[, β]): signs, directions of length 1, biases ¼."""
    signs = np.where(np.arange(width) % 2, 1.0, -1.0)
    b = np.random.default_rng(0).standard_normal((width, DIM))
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    return (scale * signs, b, np.full(width, 0.25)) if bias else (scale * signs, b)


def slow_but(names, first):
    return [name if name in first else pytest.param(name, marks=pytest.mark.slow) for name in names]


def twin_of(model=None, optimiser=None, **options):
    """The twin of a loop in the mean-field convention, changed where `options` say so."""
    model = weights() if model is None else model
    optimiser = optax.sgd(0.1 * WIDTH) if optimiser is None else optimiser
    options = {"loss": "half square", "steps": 30, "scale": "1/m"} | options
    if isinstance(model, tuple | str):
        options = {"activation": jax.nn.relu} | options
    return mf.twin(model, optimiser, INPUTS, TARGET, **options)


def numbers(training):
    """(step, rate_a, rate_b, weight_decay, momentum)."""
    momentum = 0.0 if training.momentum is None else float(training.momentum)
    return *(float(v) for v in (training.step, training.rate_a, training.rate_b, training.weight_decay)), momentum


# ---- the numbers of a loop ----

# Optimisers, and their η, λ and β.
OPTIMISERS = {
    "sgd": (optax.sgd(6.4), (6.4, 0, 0)),
    "momentum": (optax.sgd(6.4, momentum=0.9), (6.4, 0, 0.9)),
    "ema": (optax.chain(optax.ema(0.5, debias=False), optax.scale(-6.4)), (3.2, 0, 0.5)),
    "coupled decay": (optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(6.4, 0.5)), (6.4, 1e-3, 0.5)),
    "decoupled decay": (
        optax.chain(optax.scale(6.4), optax.add_decayed_weights(0.01), optax.scale(-1)),
        (6.4, 0.01 / 6.4, 0),
    ),
    "dictionary": ({"name": "sgd", "learning_rate": 6.4, "momentum": 0.9, "weight_decay": 1e-3}, (6.4, 1e-3, 0.9)),
    "constant schedule": (optax.sgd(optax.constant_schedule(6.4)), (6.4, 0, 0)),
}


def rule_of(optimiser):
    return read_rule(optimiser, read_network(weights(), jax.nn.relu), 30)


@pytest.mark.parametrize("name", slow_but(OPTIMISERS, ["momentum", "coupled decay", "decoupled decay", "dictionary"]))
def test_an_optimiser_is_recognised_by_its_responses(name):
    optimiser, expected = OPTIMISERS[name]
    rule = rule_of(optimiser)
    assert set(rule.rates) == set(rule.decays) == {OUTER, INNER}
    for layer in rule.rates:
        np.testing.assert_allclose((rule.rates[layer], rule.decays[layer], rule.momentum), expected, rtol=1e-9, atol=1e-12)


LATE = optax.piecewise_constant_schedule(6.4, {29: 0.5})
WARM = optax.warmup_cosine_decay_schedule(0.0, 6.4, 10, 30)
SCHEDULES = {
    "one late change": (optax.sgd(LATE, momentum=0.5), LATE, 0.5),
    "from 0": (optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(WARM, 0.9)), WARM, 0.9),
    "dictionary": ({"name": "sgd", "learning_rate": WARM}, WARM, 0.0),
}


@pytest.mark.parametrize("name", slow_but(SCHEDULES, ["from 0"]))
def test_a_schedule_is_recognised_to_its_last_step(name):
    optimiser, schedule, momentum = SCHEDULES[name]
    rule, expected = rule_of(optimiser), np.array([float(schedule(k)) for k in range(30)])
    assert rule.momentum == pytest.approx(momentum, rel=1e-9) and rule.schedule.shape == (30,)
    for layer, rate in rule.rates.items():
        np.testing.assert_allclose(rate * rule.schedule, expected, rtol=1e-6, atol=1e-9)
        assert rule.decays[layer] == pytest.approx(1e-3 if name == "from 0" else 0, rel=1e-9)


@pytest.mark.slow
def test_the_same_loop_in_four_conventions_has_one_twin():
    a, b = weights()
    layers = {"a": optax.sgd(0.1 / WIDTH), "b": optax.sgd(0.1 * WIDTH)}
    mup = twin_of((a / WIDTH, b), optax.multi_transform(layers, ("a", "b")), scale=1)
    layers = {"a": optax.sgd(0.1), "b": optax.sgd(0.1 * WIDTH * DIM)}
    root = optax.multi_transform(layers, ("a", "b"))
    root = twin_of((a / np.sqrt(WIDTH), b * np.sqrt(DIM)), root, scale="1/sqrt(m)", preactivation=1 / np.sqrt(DIM))
    twice = twin_of(optimiser=optax.sgd(0.05 * WIDTH), loss="square")
    for other in (mup, root, twice):
        np.testing.assert_allclose(numbers(other.training), (0.1, 1, 1, 0, 0), rtol=1e-9, atol=1e-12)
        start = other.problem.start
        np.testing.assert_allclose((start.norm_a, start.norm_b), 1, rtol=1e-12)
    assert twice.loop.loss.factor == 2 and "twice" in str(twice)


@pytest.mark.parametrize(
    ("loss", "kind", "factor"),
    [
        (optax.l2_loss, mf.SquareLoss, 1),
        (optax.squared_error, mf.SquareLoss, 2),
        (lambda f, y: jnp.mean((f - y) ** 2), mf.SquareLoss, 2),
        (lambda f, y: jnp.sum((f - y) ** 2) / 2, mf.SquareLoss, 16),
        (optax.huber_loss, mf.FunctionLoss, 1),
        ("logistic", mf.Logistic, 1),
        (mf.Huber(0.5), mf.Huber, 1),
    ],
)
def test_a_loss_is_recognised_by_its_values(loss, kind, factor):
    found = read_loss(loss, 16)
    assert type(found.loss) is kind and found.factor == factor


def test_laws_by_name_have_any_width():
    twin = twin_of("mup", optax.sgd(0.1))
    assert numbers(twin.training) == (0.1, 1, 1, 0, 0) and "any width" in str(twin)
    assert type(twin.problem.start) is mf.GaussianStart
    assert type(recognised(None, "the law 'mean field'").start) is mf.SphereStart


def test_the_law_of_weights_is_recognised_or_asked_for():
    def found(a, b, bias=None):
        return recognised(Neurons(a, b, bias), "arrays").start

    normal, (signs, sphere, biases) = np.random.default_rng(1).standard_normal, weights(bias=True)
    start = found(normal(WIDTH), normal((WIDTH, DIM)), 0.3 * normal(WIDTH))
    assert type(start) is mf.BiasedStart and type(start.start) is mf.GaussianStart
    start = found(2 * signs, sphere, biases)
    assert type(start.start) is mf.UnbalancedStart and (float(start.mean), float(start.start.norm_a)) == (0.25, 2)
    start = found(signs, normal((WIDTH, DIM)), np.random.default_rng(0).uniform(-1, 1, WIDTH))
    assert type(start.start) is mf.IndependentStart and (start.start.outer, start.start.inner) == ("signs", "normal")
    assert start.law == "uniform"
    box = np.random.default_rng(2).uniform(-1, 1, (WIDTH, DIM))
    refused = {
        "uniform in a box, which rotations do not keep": (signs, box),
        "more output weights of one sign than of the other": (np.ones(WIDTH), sphere),
        "output weights of mean": (1 + normal(WIDTH), sphere),
        "do not vary equally in all directions": (signs, sphere * np.array([3.0, 1, 1, 1, 1, 1])),
        "whose mean is not 0": (signs, sphere + 0.4),
    }
    for words, neurons in refused.items():
        with pytest.raises(mf.ArgumentError, match=words):
            found(*neurons)


@pytest.mark.parametrize(("outer", "inner"), [("signs", "normal"), ("normal", "sphere"), ("uniform", "normal")])
def test_labels_of_independent_laws_have_the_moments_of_their_clouds(outer, inner):
    start = mf.BiasedStart(mf.IndependentStart(outer, inner, 0.8, 1.5), 0.2, 0.5, "uniform")
    problem = mf.Problem(INPUTS, TARGET, mf.Neuron(jnp.tanh), start=start)
    labels = start_points(start, orbit_blocks(problem), Counts(12, 12), 6)
    cloud = mf.initial_cloud(problem, width=40_000, key=jax.random.key(0))
    along, across = cloud.b[:, 0], jnp.linalg.norm(cloud.b[:, 1:], axis=1)
    theirs = {"a": cloud.a, "along": along, "across": across, "bias": cloud.bias}
    ours = {"a": labels.a, "along": labels.q[:, 0], "across": labels.q[:, 1], "bias": labels.bias}
    for name, values in theirs.items():
        for power in (1, 2, 4):
            sample = np.asarray(values) ** power
            expected = np.sum(labels.weight * np.asarray(ours[name]) ** power)
            assert abs(sample.mean() - expected) <= 4 * sample.std() / 200 + 1e-12, (name, power)


def test_a_stated_start_is_compared_with_the_weights():
    normal = np.random.default_rng(1).standard_normal
    exact = mf.BiasedStart(mf.GaussianStart(1.0, np.sqrt(DIM)), 0.0, 0.3)
    a, b, bias = normal(WIDTH), normal((WIDTH, DIM)), 0.3 * normal(WIDTH)
    given = twin_of((a, b, bias), activation=jnp.tanh, start=exact)
    assert given.problem.start is exact and any("stated" in words for words in given.assumed)
    with pytest.raises(mf.ArgumentError, match="bias have root mean square"):
        twin_of((a, b, 3 * bias), activation=jnp.tanh, start=exact)


# ---- loops without a twin ----

MASK = optax.add_decayed_weights(1e-3, mask=(True, False))
NO_TWIN = {
    "adam": (optax.adam(1e-3), "does not commute with the rotations"),
    "adamw": (optax.adamw(1e-3), "does not commute with the rotations"),
    "sign": (optax.sign_sgd(1e-3), "does not commute with the rotations"),
    "global clipping": (optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(6.4)), "clips gradients"),
    "clipping": (optax.chain(optax.clip(1.0), optax.sgd(6.4, 0.9)), "clips gradients"),
    "nesterov": (optax.sgd(6.4, momentum=0.9, nesterov=True), "only the heavy ball"),
    "two schedules": (optax.multi_transform({"a": optax.sgd(LATE), "b": optax.sgd(6.4)}, ("a", "b")), "different schedules"),
    "a schedule that momentum remembers": (
        optax.chain(optax.scale_by_schedule(LATE), optax.trace(0.5), optax.scale(-1.0)),
        "changes from step to step",
    ),
    "a schedule of the decay": (optax.chain(optax.add_decayed_weights(LATE), optax.sgd(6.4, 0.5)), "changes from step to"),
    "decoupled with momentum": (
        optax.chain(optax.trace(0.5), optax.add_decayed_weights(1e-3), optax.scale(-6.4)),
        "decoupled from its momentum",
    ),
    "decay of one layer": (optax.chain(MASK, optax.sgd(6.4)), "decay at different rates"),
    "two memories": (optax.chain(optax.trace(0.5), optax.trace(0.9), optax.scale(-6.4)), "are no sum"),
    "dictionary of adam": ({"name": "adam", "learning_rate": 1e-3}, "does not commute"),
    "dictionary of nesterov": ({"name": "sgd", "learning_rate": 1.0, "nesterov": True}, "only the heavy ball"),
}


@pytest.mark.parametrize("name", slow_but(NO_TWIN, ["adam", "clipping", "nesterov", "two schedules", "decay of one layer"]))
def test_an_optimiser_without_twin_is_refused_with_its_reason(name, standard_promotion):
    optimiser, words = NO_TWIN[name]
    with pytest.raises(mf.NoTwinError, match=words) as raised:
        twin_of(optimiser=optimiser) if "layer" in name else rule_of(optimiser)
    assert "What comes closest: " in str(raised.value)


def mlp(depth=1, bias=True, width=256):
    return eqx.nn.MLP(DIM, "scalar", width, depth, activation=jax.nn.gelu, use_bias=bias, key=jax.random.key(0))


def test_a_network_without_twin_is_refused_with_its_reason():
    with pytest.raises(mf.NoTwinError, match="more than one hidden layer"):
        twin_of(mlp(depth=2), scale=1)
    for law, words in (("ntk", "hardly move"), ("pytorch default", "random features")):
        with pytest.raises(mf.NoTwinError, match=words):
            twin_of(law)
    third = np.sqrt(1 / 3)
    stated = mf.BiasedStart(mf.GaussianStart(16 * third, third), 0.0, third / np.sqrt(DIM))
    with pytest.raises(mf.NoTwinError, match="a random function, E f² = "):  # the default of equinox, and of PyTorch
        twin_of(mlp(), optax.sgd(0.01), scale=1, start=stated)
    net = eqx.tree_at(lambda net: net.layers[1].weight, mlp(), jnp.tile(jnp.array([[0.1, -0.1]]), 128))
    with pytest.raises(mf.NoTwinError, match=r"starts from a bias of 0\.8"):
        stated = mf.BiasedStart(mf.GaussianStart(0.1, third), 0.0, third / np.sqrt(DIM))
        twin_of(eqx.tree_at(lambda net: net.layers[1].bias, net, jnp.full(1, 0.8 * 256)), optax.sgd(0.01), start=stated)


# ---- a loop and its twin, number by number ----


def by_hand(convention, x, y, steps):
    """(a, b, β) after a loop in plain JAX and optax, in its own convention, and the arguments of its twin."""
    scale, preactivation, loss, optimiser = convention
    width, biased = WIDTH, preactivation == 1
    a, b, *bias = weights(biased)
    s = {"1/m": 1 / width, "1/sqrt(m)": width**-0.5}.get(scale, scale)
    params = tuple(jnp.asarray(leaf) for leaf in (a / width / s, b / preactivation, *bias))
    start, state = params, optimiser.init(params)

    def objective(params):
        before = preactivation * x @ params[1].T + (params[2][None] if biased else 0.0)
        return jnp.mean(loss(s * jnp.tanh(before) @ params[0], y))

    @jax.jit
    def step(params, state):
        updates, state = optimiser.update(jax.grad(objective)(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    found = (width * s * params[0], preactivation * params[1], *params[2:])
    return start, found


MUP = optax.multi_transform({"a": optax.sgd(0.2 / WIDTH, 0.5), "b": optax.sgd(0.3 * WIDTH, 0.5)}, ("a", "b", "b"))
ROOT = optax.multi_transform({"a": optax.sgd(0.2), "b": optax.sgd(0.4 * WIDTH)}, ("a", "b"))
CONVENTIONS = {
    "mean field": ("1/m", 1, optax.l2_loss, optax.chain(optax.add_decayed_weights(2e-3), optax.sgd(0.2 * WIDTH, 0.8))),
    "mup": (1, 1, optax.squared_error, MUP),
    "root": ("1/sqrt(m)", DIM**-0.5, optax.squared_error, ROOT),
    "schedule": (
        "1/m",
        1,
        optax.l2_loss,
        optax.chain(
            optax.add_decayed_weights(2e-3), optax.sgd(optax.warmup_cosine_decay_schedule(0.0, 0.2 * WIDTH, 3, 8), 0.8)
        ),
    ),
}


def twin_in(name, start):
    scale, preactivation, loss, optimiser = CONVENTIONS[name]
    options = {"loss": loss, "steps": 8, "scale": scale, "preactivation": preactivation, "activation": jnp.tanh}
    return mf.twin(start, optimiser, INPUTS, TARGET, batch=16, **options)


@pytest.mark.parametrize("name", slow_but(CONVENTIONS, ["mup", "schedule"]))
def test_the_training_of_a_twin_is_the_loop(name, standard_promotion):
    """On a data set the cloud of (m s A, p B, β) moves by the training of the twin exactly as the loop moves it."""
    x = jax.random.normal(jax.random.key(1), (32, DIM))
    start, found = by_hand(CONVENTIONS[name], x, jnp.sin(x[:, 0]), 8)
    twin = twin_in(name, start)
    kind = mf.BiasedParticles if len(start) == 3 else mf.Particles
    problem = mf.Problem(mf.Empirical(x), TARGET, twin.problem.unit, twin.problem.loss)
    ts = twin.training.times((0, 8))
    run = mf.solve_particles(problem, kind(*weights(len(start) == 3)), ts, training=twin.training)
    for one, other in zip((run.final.a, run.final.b, getattr(run.final, "bias", None)), found, strict=False):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)
    with pytest.raises(AssertionError):  # half the clock is another loop
        slower = mf.Training(step=ts[1] / 16)
        half = mf.solve_particles(problem, kind(*weights(len(start) == 3)), ts / 2, training=slower)
        np.testing.assert_allclose(half.final.a, found[0], rtol=1e-3)


def following(twin, cloud, steps, key):
    """A cloud along the training of a twin, on the inputs that a network of the same key has."""
    training = twin.training
    if training.schedule is None:
        ts = training.times((0, steps))
        return mf.solve_particles(twin.problem, cloud, ts, training=training, samples=16, key=key)
    rates = training.step * training.schedule
    rule = optax.sgd(lambda k: rates[k], float(training.momentum))
    rule = optax.chain(optax.add_decayed_weights(float(training.weight_decay)), rule)
    return mf.descend(twin.problem, cloud, steps, optimiser=rule, samples=16, key=key, record_every=steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVENTIONS)
def test_networks_of_other_widths_follow_the_training_of_the_twin(name, standard_promotion):
    """Those of `check`, in the convention of the loop, are clouds that follow the twin's training on the same inputs."""
    start, _ = by_hand(CONVENTIONS[name], jnp.zeros((1, DIM)), jnp.zeros(1), 0)
    twin, width, (key, data) = twin_in(name, start), 2 * WIDTH, jax.random.split(jax.random.key(3))
    finite = finite_loop(twin.loop, twin.problem, width)
    weights = weights_of(finite, twin.loop.network.layers, width, key)
    memory = jax.tree.map(jnp.zeros_like, weights)
    moved, _ = finite.advance(weights, memory, data, jnp.asarray(0), jnp.asarray(6))
    cloud = mf.initial_cloud(twin.problem, width=width, key=key)
    run = following(twin, cloud, 6, data)
    np.testing.assert_allclose(width * finite.scale * moved[OUTER], run.final.a, rtol=1e-11)
    np.testing.assert_allclose(finite.preactivation * moved[INNER], run.final.b, rtol=1e-9, atol=1e-12)
    assert not np.allclose(width * finite.scale * weights[OUTER], run.final.a, rtol=1e-3)


@pytest.mark.slow
def test_a_check_tells_a_twin_from_one_whose_clock_is_wrong():
    twin = twin_of(activation=jnp.tanh, optimiser=optax.sgd(0.4 * WIDTH), batch=256)
    right = twin.check((32, 128), 8)
    assert right.comparison.verdict != "disagree" and right.at == (0, 6, 12, 18, 24, 30)
    assert np.all(np.abs(right.relative[1]) < 4 * right.errors[1] / right.reference + 0.05)
    assert np.all(np.abs(right.means[0] - right.reference - right.trend / 32) < 4 * right.errors[0])
    wrong = dataclasses.replace(twin, training=mf.Training(step=2 * twin.training.step)).check((32, 128), 8)
    print(right, wrong, sep="\n")
    assert wrong.comparison.verdict == "disagree" and "disagree" in str(wrong)


@pytest.mark.slow
def test_a_run_of_a_twin_with_a_schedule_is_on_the_axis_of_the_loop():
    """Steps without a learning rate are no records: the first of 4, and one that is asked for."""
    rates = [0.0, 0.2 * WIDTH, 0.1 * WIDTH, 0.4 * WIDTH]
    rule = {"name": "sgd", "learning_rate": rates.__getitem__}
    twin = twin_of(activation=jnp.tanh, optimiser=rule, steps=4)
    run = twin.solve(nodes=4)
    assert run.clock == "steps" and run.ts.tolist() == [0, 2, 3, 4] and "0.7 at the end" in str(twin)
    again = mf.solve_reduced(run.model, [0.0, 0.2, 0.3, 0.7], training=mf.Training(step=0.1, schedule=[2.0, 1.0, 4.0]))
    np.testing.assert_allclose(run.risk, again.risk, rtol=1e-13)
    for at, words in (((0, 1), "learning rate is not 0"), ((0, 5), "where the schedule ends")):
        with pytest.raises(mf.ArgumentError, match=words):
            twin.solve(at=at)


def test_a_run_of_a_twin_is_on_the_axis_of_the_loop():
    twin = twin_of(activation=jnp.tanh, loss="square")
    run = twin.solve(at=(0, 10, 30), nodes=12)
    plain = mf.solve_reduced(mf.reduce(twin.problem, nodes=12), np.array([0, 2.0, 6.0]), training=twin.training)
    assert run.ts.tolist() == [0, 10, 30] and run.clock == "steps"
    np.testing.assert_allclose(run.risk, 2 * plain.risk, rtol=1e-12)
    with pytest.raises(mf.ArgumentError, match="increase from 0"):
        twin.solve(at=(10, 20))
    for words in (
        "f = (1/m) Σ A σ(B·x)",
        "t = 0.2 · step: 2 (the loss)",
        "E‖x‖² = 6",
        "at width 256",
        "data set stands for it",
    ):
        assert words in str(twin)
