"""Margins and variation norms of logistic regression, and noise of the labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.errors import ArgumentError, NoReductionError
from mfsym.particles.observables import measurement

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.standard_normal((7, 3))
SIDE = mf.FunctionTarget(lambda x: jnp.sign(x[0] + 0.2 * x[1]))
VALUES = np.sign(ROWS[:, 0] + 0.2 * ROWS[:, 1])
TANH, INDEX = mf.Neuron(jnp.tanh), mf.SingleIndex(lambda z: jnp.tanh(2 * z))


def logistic(target, unit, inputs=None):
    return mf.Problem(mf.Empirical(ROWS) if inputs is None else inputs, target, unit=unit, loss=mf.Logistic())


def test_margin_and_variation_norm_of_a_cloud():
    """With biases, and without; a row whose label is noisy counts with both of its labels."""
    a, b, bias = GENERATOR.standard_normal(5), GENERATOR.standard_normal((5, 3)), GENERATOR.standard_normal(5)
    cloud = mf.BiasedParticles(a, b, bias)
    found = measurement(logistic(SIDE, TANH), cloud)(cloud)
    outputs = np.tanh(ROWS @ b.T + bias) @ a / 5
    norm = np.mean(np.abs(a) * np.sqrt(np.sum(b**2, axis=1) + bias**2))
    assert found["variation_norm"] == pytest.approx(norm, rel=1e-13)
    assert found["margin"] == pytest.approx(np.min(VALUES * outputs) / norm, rel=1e-12)

    half = mf.FunctionTarget(lambda x: 0.5 + 0 * x[0])
    assert measurement(logistic(half, TANH), cloud)(cloud)["margin"] == pytest.approx(-np.max(np.abs(outputs)) / norm)

    plain = mf.Particles(a, b)
    found = measurement(logistic(SIDE, mf.ReLU()), plain)(plain)
    assert found["variation_norm"] == pytest.approx(float(found["mass_plus"] + found["mass_minus"]), rel=1e-13)
    outputs = np.maximum(ROWS @ b.T, 0) @ a / 5
    assert found["margin"] == pytest.approx(np.min(VALUES * outputs) / float(found["variation_norm"]), rel=1e-12)


@pytest.mark.slow
def test_margin_and_variation_norm_of_labels():
    start = mf.BiasedStart(mf.GaussianStart(0.9, 1.2), 0.2, 0.5)
    problem = mf.Problem(mf.Gaussian(4), INDEX, unit=TANH, loss=mf.Logistic(), start=start)
    reduced = mf.reduce(problem, nodes=6)
    (state, weight), x = reduced.labels, reduced.blocks.representatives(reduced.inputs.points)
    found = reduced.observe(state)
    norm = float(np.sum(weight * np.abs(state.a) * np.sqrt(np.sum(state.q**2, axis=1) + state.bias**2)))
    outputs = np.asarray(reduced.predict(state, reduced.inputs.points))
    assert np.all(np.abs(np.tanh(2 * x[:, 0])) < 1)
    assert found["variation_norm"] == pytest.approx(norm, rel=1e-13)
    assert found["margin"] == pytest.approx(-np.max(np.abs(outputs)) / norm, rel=1e-12)
    square = mf.reduce(mf.Problem(mf.Gaussian(4), INDEX, unit=TANH, start=start), nodes=6)
    assert not {"margin", "variation_norm"} & set(square.observe(state))


def test_inputs_that_are_drawn_afresh_have_no_margin():
    problem = logistic(INDEX, TANH, mf.Gaussian(3))
    cloud = mf.initial_cloud(problem, width=4, key=jax.random.key(0))
    measured = measurement(problem, cloud)
    assert "margin" not in measured(cloud) and "variation_norm" in measured(cloud)
    assert "drawn afresh" in dict(measured.absent())["margin"]


@pytest.mark.slow
def test_the_norm_grows_like_the_logarithm_of_time_over_the_margin():
    """Records in log-time, of a linear network: d(margin·norm)/d log t → 1 and the margin rises (Lyu & Li 2020)."""
    problem = logistic(SIDE, mf.Identity())
    cloud = mf.sphere_cloud(problem, width=8, key=jax.random.key(1))
    run = mf.solve_particles(problem, cloud, np.concatenate([[0.0], np.geomspace(1, 1e5, 11)]), derivative="forward")
    margin, grown = np.asarray(run.margin), np.asarray(run.margin * run.variation_norm)
    slopes = np.diff(grown[1:]) / np.log(np.sqrt(10))
    print(margin, slopes)
    assert margin[0] < 0 < margin[-1] and np.all(np.diff(margin[4:]) > 0)
    assert abs(slopes[-1] - 1) < 0.15 and abs(slopes[-1] - 1) < abs(slopes[-4] - 1)


def test_noise_is_in_what_is_sampled():
    problem = mf.Problem(mf.Gaussian(4), INDEX, noise=0.3)
    x, y = problem.sample(jax.random.key(0), 20_000)
    noise = np.asarray(y) - np.tanh(2 * np.asarray(x[:, 0]))
    assert abs(noise.mean()) < 4 * 0.3 / np.sqrt(len(y)) and abs(noise.var() / 0.09 - 1) < 4 * np.sqrt(2 / len(y))
    assert abs(np.mean(noise * x[:, 0])) < 4 * 0.3 / np.sqrt(len(y))


@pytest.mark.slow
def test_noise_adds_half_its_variance_to_the_risk_and_moves_nothing():
    clean, noisy = (mf.reduce(mf.Problem(mf.Gaussian(4), INDEX, unit=TANH, noise=noise), nodes=6) for noise in (0.0, 0.3))
    state = clean.labels.state
    assert noisy.observe(state)["risk"] - clean.observe(state)["risk"] == pytest.approx(0.045, rel=1e-12)
    assert noisy.floor == pytest.approx(0.045)
    forces = zip(*(jax.tree.leaves(each.velocity(state)) for each in (clean, noisy)), strict=True)
    assert all(np.array_equal(one, other) for one, other in forces)


REFUSED = {
    "another loss": (lambda: mf.Problem(mf.Gaussian(3), INDEX, unit=TANH, loss=mf.Huber(), noise=0.1), "noise"),
    "a data set": (lambda: mf.Problem(mf.Empirical(ROWS), INDEX, noise=0.1), "noise"),
    "a negative one": (lambda: mf.Problem(mf.Gaussian(3), INDEX, noise=-0.1), "noise"),
    "an exact risk": (lambda: mf.risk_of(mf.Problem(mf.Gaussian(3), INDEX, noise=0.1)), "samples"),
    "an angle": (lambda: mf.reduce(mf.Problem(mf.Gaussian(3), INDEX, noise=0.1)), "σ²/2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_noise_is_refused(name):
    call, words = REFUSED[name]
    with pytest.raises((ArgumentError, NoReductionError), match=words):
        call()
