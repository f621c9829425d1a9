"""Weighted and labelled data: the same numbers as repeated rows, everywhere, and refusals where f* is asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from particle_problems import random_cloud

import mfsym as mf

DIM, WIDTH = 3, 5
ROWS = np.random.default_rng(1).standard_normal((6, DIM))
COUNTS = np.array([3, 1, 4, 1, 5, 2])
WEIGHTS = COUNTS / COUNTS.sum()
TARGET = mf.FunctionTarget(lambda x: x[0] * jnp.abs(x[1]) + x[2])
LABELS = np.asarray(jax.vmap(TARGET)(jnp.asarray(ROWS)))
LOSS = mf.Huber(0.4)
UNITS = {"homogeneous": mf.LeakyReLU(0.3), "ridge": mf.GELU(), "biased": mf.Neuron(jnp.tanh)}


def repeated(rows, counts=COUNTS):
    return np.repeat(rows, counts, axis=0)


def pair(symmetrise=False):
    """The law with weights, and as rows that come several times."""
    return (
        mf.Empirical(ROWS, weights=WEIGHTS, symmetrise=symmetrise),
        mf.Empirical(repeated(ROWS), symmetrise=symmetrise),
    )


def cloud_for(unit):
    cloud = random_cloud(WIDTH, dim=DIM)
    return mf.BiasedParticles(cloud.a, cloud.b, 0.3 * cloud.b[:, 0]) if unit.biased else cloud


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0], float)


@pytest.mark.float32
@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_the_risk_is_that_of_repeated_rows(unit):
    """Value, velocity and energy, of a target and of its labels."""
    cloud = cloud_for(unit)
    tolerance = 1e-13 if cloud.dtype == jnp.float64 else 3e-6
    labelled = mf.Empirical(ROWS, LABELS, WEIGHTS), mf.Empirical(repeated(ROWS), repeated(LABELS))
    problems = [mf.Problem(data, TARGET, unit, LOSS) for data in pair()]
    problems += [mf.Problem(data, unit=unit, loss=LOSS) for data in labelled]
    risks = [mf.risk_of(problem) for problem in problems]
    parts = jax.jit(lambda cloud: [(risk.value(cloud), risk.velocity(cloud), risk.energy(cloud)) for risk in risks])(cloud)
    for found in zip(*parts, strict=True):
        first, *others = map(flat, found)
        for other in others:
            np.testing.assert_allclose(other, first, rtol=0, atol=tolerance * np.abs(first).max())


def test_gradients_of_the_risk_in_rows_labels_and_weights():
    """Against central differences; weights are moved along a direction that keeps their sum."""
    cloud, unit = cloud_for(UNITS["biased"]), UNITS["biased"]
    rows, labels, weights = map(jnp.asarray, (ROWS, LABELS, WEIGHTS))
    generator = np.random.default_rng(5)
    along = [generator.standard_normal(np.shape(leaf)) for leaf in (rows, labels, weights)]
    along[2] -= along[2].mean()

    @jax.jit
    def risk(s):
        data = mf.Empirical(*(leaf + s * step for leaf, step in zip((rows, labels, weights), along, strict=True)))
        found = mf.risk_of(mf.Problem(data, unit=unit))
        return found.value(cloud) + jnp.sum(found.velocity(cloud).b ** 2)

    step = 1e-5
    difference = (risk(step) - risk(-step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(risk)(0.0), difference, rtol=1e-7)


@pytest.mark.float32
def test_moments_are_those_of_repeated_rows():
    for symmetrise in (False, True):
        weighted, same = pair(symmetrise)
        tolerance = 1e-13 if weighted.x.dtype == jnp.float64 else 3e-6
        np.testing.assert_allclose(weighted.second_moment, same.second_moment, rtol=tolerance)
        np.testing.assert_allclose(weighted.covariance, same.covariance, rtol=0, atol=tolerance * 3)


def test_draws_have_the_weights():
    """Counts of 40 000 draws, within four and a half standard errors; labels come with their rows."""
    data, count = mf.Empirical(ROWS, LABELS, WEIGHTS), 40_000
    x, y = mf.Problem(data).sample(jax.random.key(3), count)
    np.testing.assert_array_equal(x, data.sample(jax.random.key(3), count))
    which = np.argmin(np.abs(np.asarray(x)[:, None, 0] - ROWS[None, :, 0]), axis=1)
    np.testing.assert_array_equal(y, LABELS[which])
    found = np.bincount(which, minlength=len(ROWS)) / count
    assert np.all(np.abs(found - WEIGHTS) < 4.5 * np.sqrt(WEIGHTS * (1 - WEIGHTS) / count))


def test_invariance_looks_at_weights_and_not_at_how_rows_are_written():
    swap = np.eye(2)[::-1]
    rows = np.array([[1.0, 0.2], [0.2, 1.0], [2.0, 2.0]])
    assert mf.Empirical(rows, weights=[0.3, 0.3, 0.4]).is_invariant(swap)
    assert not mf.Empirical(rows, weights=[0.35, 0.25, 0.4]).is_invariant(swap)
    written_twice = mf.Empirical(rows[[0, 0, 1, 2]], weights=[0.1, 0.2, 0.3, 0.4])
    assert written_twice.is_invariant(swap) and not mf.Empirical(rows[[0, 0, 1, 2]]).is_invariant(swap)
    nothing = mf.Empirical(np.array([[1.0, 0.2], [3.0, 1.0]]), weights=[1.0, 0.0])
    assert not nothing.is_invariant(swap)


def assert_same_moments(problems):
    one, other = map(mf.reduce, problems)
    for name in ("covariance", "cross", "optimum", "floor"):
        found = (np.asarray(getattr(reduced, name)) for reduced in (one, other))
        np.testing.assert_allclose(*found, rtol=1e-11, atol=1e-13)


def test_the_moment_equation_is_that_of_repeated_rows():
    odd = mf.FunctionTarget(lambda x: x[0] ** 3 - x[1], parity="odd")
    assert_same_moments([mf.Problem(data, odd) for data in pair(symmetrise=True)])


def test_labels_of_a_linear_network_reduce():
    """A linear network needs no symmetry: labels have the moment equation of the function that gave them."""
    labelled = mf.Empirical(ROWS, LABELS, WEIGHTS)
    assert_same_moments([mf.Problem(pair()[1], TARGET, mf.Identity()), mf.Problem(labelled, unit=mf.Identity())])


def test_the_defect_of_a_symmetry_has_the_weights():
    flip, target = mf.Symmetry(1, np.diag([-1.0, 1, 1])), mf.FunctionTarget(lambda x: x[0] + x[1] ** 2)
    one, other = (mf.symmetry_defect(target, flip, inputs=data) for data in pair())
    here, there = (s * ROWS[:, 0] + ROWS[:, 1] ** 2 for s in (1, -1))
    np.testing.assert_allclose(one, WEIGHTS @ (here - there) ** 2 / (WEIGHTS @ here**2), rtol=1e-13)
    np.testing.assert_allclose(one, other, rtol=1e-13)


def test_fresh_draws_of_labelled_data_train():
    """The mean risk over draws is the risk on the data, within four standard errors."""
    problem, cloud = mf.Problem(mf.Empirical(ROWS, LABELS, WEIGHTS)), random_cloud(WIDTH, dim=DIM)
    exact = mf.risk_of(problem).value(cloud)
    risk = mf.risk_of(problem, samples=64, key=jax.random.key(0), step=1.0)
    values = np.asarray(jax.lax.map(lambda t: risk.at_time(t).value(cloud), jnp.arange(200.0)))
    assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(len(values))


def problem_of_labels(**options):
    return mf.Problem(mf.Empirical(ROWS, LABELS), **options)


REFUSED = {
    "negative weights": (
        lambda: mf.Empirical(ROWS, weights=WEIGHTS - 0.1),
        "`weights` must be .* but is .* least",
    ),
    "weights of another sum": (lambda: mf.Empirical(ROWS, weights=2 * WEIGHTS), "sum 2. Divide"),
    "another number of weights": (
        lambda: mf.Empirical(ROWS, weights=WEIGHTS[1:]),
        "`weights` must be .* 6 numbers",
    ),
    "another number of labels": (lambda: mf.Empirical(ROWS, LABELS[1:]), "`y` must be an array of 6 labels"),
    "labels and symmetrise": (lambda: mf.Empirical(ROWS, LABELS, symmetrise=True), "`symmetrise` must be False"),
    "labels and a target": (
        lambda: problem_of_labels(target=TARGET),
        "`target` must be left out",
    ),
    "neither": (lambda: mf.Problem(mf.Empirical(ROWS)), "`target` must be of type AbstractTarget"),
    "f* at another input": (lambda: problem_of_labels().values(jnp.zeros((1, DIM))), "known by the labels of the data set"),
    "0 and 1": (
        lambda: mf.Problem(mf.Empirical(ROWS, np.sign(LABELS) / 2 + 0.5), loss=mf.Logistic()),
        "`y` must be .*labels -1 and 1, as Logistic needs, but is one with the label 0",
    ),
    "reduce": (lambda: mf.reduce(problem_of_labels()), "the target Labels declares no structure"),
    "reduce as odd": (lambda: mf.reduce(problem_of_labels(), structure="odd"), "the target is not declared odd"),
    "orbits": (lambda: mf.reduce(problem_of_labels(unit=mf.Neuron(jnp.tanh))), "This problem has no reduced equation here"),
}


@pytest.mark.parametrize(("what", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(what, message):
    with pytest.raises(mf.ArgumentError, match=message):
        what()
