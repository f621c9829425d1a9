"""Risks that a user brings, on any pytree, and what a user wants to see of a state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mfsym as mf
from mfsym.risks import AbstractRisk, EmpiricalRisk

TS = np.array([0.0, 0.4, 1.0])
START = {"w": np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]]), "bias": np.array(2.0)}  # no axis in common


class Quadratic(AbstractRisk):
    """F = ½ Σ_ij rate_i w_ij² + ½ (bias − goal)²: z' = −∇F has the solution w_i e^{−rate_i t}."""

    rates: jax.Array
    goal: jax.Array

    def prepare(self):
        return self

    def at_time(self, t):
        return self

    def value(self, state):
        return (jnp.sum(self.rates[:, None] * state["w"] ** 2) + (state["bias"] - self.goal) ** 2) / 2

    def velocity(self, state):
        return {"w": -self.rates[:, None] * state["w"], "bias": self.goal - state["bias"]}


RATES = np.array([0.5, 2.0])
RISK = Quadratic(jnp.asarray(RATES), jnp.asarray(1.0))


def values(states):
    return (np.sum(RATES[:, None] * states["w"] ** 2, axis=(1, 2)) + (states["bias"] - 1) ** 2) / 2


def exact(factor):
    """States [T] whose every rate has shrunk by factor(rate) [T]."""
    shrunk = [factor(rate)[:, None] * START["w"][i] for i, rate in enumerate(RATES)]
    return {"w": np.stack(shrunk, axis=1), "bias": 1 + factor(1.0)}


@pytest.mark.float32
def test_the_flow_of_a_risk_on_any_pytree():
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), START)
    run = mf.solve_particles(None, start, TS, risk=RISK, save_states=True, derivative="forward", rtol=1e-6, atol=1e-7)
    expected = exact(lambda rate: np.exp(-rate * TS))
    for name, states in expected.items():
        np.testing.assert_allclose(run.states[name], states, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(run.risk, values(expected), rtol=1e-4)
    assert run.model is None and set(run.observables) == {"risk"} and run.final["w"].dtype == start["w"].dtype


def test_descent_of_a_risk_on_any_pytree(standard_promotion):
    counts = np.arange(5)
    expected = exact(lambda rate: (1 - 0.1 * rate) ** counts)
    descent = mf.descend(None, START, 4, risk=RISK, learning_rate=0.1, save_states=True)
    euler = mf.solve_particles(None, START, 0.1 * counts, risk=RISK, step=0.1, save_states=True)
    training = mf.Training(step=0.1)
    steps = mf.solve_particles(None, START, 0.1 * counts, risk=RISK, training=training, save_states=True)
    optimised = mf.descend(None, START, 4, risk=RISK, optimiser=optax.sgd(0.1), save_states=True)
    for run in (descent, euler, steps, optimised):
        for name, states in expected.items():
            np.testing.assert_allclose(run.states[name], states, rtol=1e-13)
        np.testing.assert_allclose(run.risk, values(expected), rtol=1e-13)


def test_a_risk_beside_its_problem():
    """The training risk given by hand, on Particles: the run of the problem, with its observables."""
    x = jax.random.normal(jax.random.key(1), (20, 3))
    problem = mf.Problem(mf.Empirical(x), mf.SubspaceNorm(2))
    cloud = mf.sphere_cloud(problem, width=4, key=jax.random.key(0))
    risk = EmpiricalRisk(problem.target, problem.unit, problem.loss, x)
    plain, same = (mf.descend(problem, cloud, 3, learning_rate=0.1, risk=own) for own in (None, risk))
    for name, found in plain.observables.items():
        np.testing.assert_array_equal(found, same.observables[name])
    outputs = mf.predict(cloud, x)
    np.testing.assert_allclose(risk.energy(cloud), np.mean(outputs**2), rtol=1e-12)


class Wrong(AbstractRisk):
    """A risk whose velocity and value are what they are told to be."""

    answer: object
    number: object

    def prepare(self):
        return self

    def at_time(self, t):
        return self

    def value(self, state):
        return self.number

    def velocity(self, state):
        return self.answer


VELOCITY, ONE = jax.tree.map(jnp.asarray, START), jnp.ones(())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"risk": 3}, "Argument `risk` must be of type AbstractRisk"),
        ({"risk": Wrong({"w": VELOCITY["w"]}, ONE)}, r"with the velocity \['float64\[2, 3\]'\] of a state"),
        ({"risk": Wrong(VELOCITY | {"w": VELOCITY["w"].T}, ONE)}, r"`risk` must be .* but is one with the velocity"),
        ({"risk": Wrong(VELOCITY, jnp.ones(2))}, r"`risk` must be .* but is one with the value"),
        ({"risk": RISK, "samples": 3, "step": 0.1}, "`samples` must be left out where `risk` is given"),
        ({"risk": RISK, "key": jax.random.key(0)}, "`key` must be left out where `risk` is given"),
        ({"risk": RISK, "block_size": 3}, "`block_size` must be left out where `risk` is given"),
        ({}, "`problem` must be of type Problem"),
    ],
)
def test_wrong_risks(options, message):
    with pytest.raises(mf.ArgumentError, match=message):
        mf.solve_particles(None, START, TS, **options)


def test_a_risk_that_fails_says_how():
    with pytest.raises(mf.ArgumentError, match=r"`risk` must be .* fails on it with KeyError"):
        mf.solve_particles(None, {"v": np.ones(2)}, TS, risk=RISK)


# What a user wants to see


def mass(cloud):
    return jnp.mean(jnp.where(cloud.a > 0, jnp.abs(cloud.a) * jnp.linalg.norm(cloud.b, axis=1), 0))


def moments(cloud):
    return jnp.stack([jnp.mean(cloud.a), jnp.mean(cloud.a**2)])


PROBLEM = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2))
CLOUD = mf.sphere_cloud(PROBLEM, width=4, key=jax.random.key(0))
SEEN = {"mass": mass, "moments": moments, "steps_since": lambda cloud: 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    "solve",
    [
        lambda **options: mf.solve_particles(PROBLEM, CLOUD, TS, derivative="forward", save_states=True, **options),
        lambda **options: mf.solve_particles(PROBLEM, CLOUD, TS, step=0.3, save_states=True, **options),
        lambda **options: mf.descend(PROBLEM, CLOUD, 4, learning_rate=0.1, record_every=2, save_states=True, **options),
    ],
    ids=["flow", "steps", "descend"],
)
def test_a_built_in_observable_is_found_again(solve, tmp_path):
    run = solve(observe=SEEN)
    np.testing.assert_allclose(run.mass, run.mass_plus, rtol=1e-13)
    np.testing.assert_allclose(run.moments, jax.vmap(moments)(run.states), rtol=1e-13)
    assert run.moments.shape == (3, 2) and run.steps_since.tolist() == [3, 3, 3]
    segmented = solve(observe=SEEN, checkpoint=mf.Checkpoints(tmp_path / "run", every=0))
    np.testing.assert_allclose(segmented.moments, run.moments, rtol=1e-12)
    mf.save(tmp_path / "run.mfsym", run)
    np.testing.assert_array_equal(mf.load(tmp_path / "run.mfsym").moments, run.moments)
    assert np.shape(run.as_dict()["moments"]) == (3, 2)
    with pytest.raises(mf.ArgumentError, match="must be a folder for this very run"):
        solve(observe={"mass": mass}, checkpoint=mf.Checkpoints(tmp_path / "run"))


def test_what_is_seen_ends_with_the_run():
    run = mf.descend(PROBLEM, CLOUD, 4, learning_rate=0.1, observe=SEEN, stop=mf.Stop(risk=1e3))
    np.testing.assert_array_equal(np.isnan(run.moments[:, 0]), ~np.asarray(run.valid))
    assert np.sum(run.valid) == 1


REDUCED = {
    "grid": (PROBLEM, {"cells": 16, "nodes": 15, "modes": 8}, {}),
    "point": (mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3)), {}, {}),
    "closed": (mf.Problem(mf.Gaussian(3), mf.LinearTarget(np.arange(3.0))), {"structure": "odd"}, {}),
    "moments": (mf.Problem(mf.Gaussian(3), mf.LinearTarget(np.arange(3.0))), {"structure": "odd"}, {"step": 0.2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REDUCED)
def test_states_of_the_reduced_equation_are_seen(case):
    problem, sizes, training = REDUCED[case]
    observe = {"total": jnp.sum, "own": lambda state: state}
    options = {"training": mf.Training(**training)} if training else {}
    error = case == "grid"
    run = mf.solve_reduced(mf.reduce(problem, **sizes), TS, observe=observe, derivative="forward", error=error, **options)
    np.testing.assert_array_equal(run.own, run.states)
    np.testing.assert_allclose(run.total, np.sum(run.states, axis=tuple(range(1, run.states.ndim))), rtol=1e-13)
    assert not error or set(run.error) == set(run.observables) - set(observe)


def test_a_sweep_shows_it_too():
    problems = [mf.Problem(mf.Gaussian(d), mf.SubspaceNorm(d)) for d in (3, 4)]
    found = mf.sweep(problems, TS, observe={"total": jnp.sum})
    np.testing.assert_allclose(found.observable("total"), found.observable("mass_plus") + found.observable("mass_minus"))


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        ([mass], "`observe` must be a dict from names to functions"),
        ({3: mass}, "`observe` must be made of names"),
        ({"no name": mass}, "`observe` must be made of names"),
        ({"mass": 3}, "`observe` must be made of functions of the state, but is int at 'mass'"),
        ({"risk": mass}, "that the solution does not have already, but is 'risk'"),
        ({"final": mass}, "that the solution does not have already, but is 'final'"),
        ({"names": mass}, "that the solution does not have already, but is 'names'"),
        ({"pair": lambda cloud: (cloud.a, cloud.b)}, r"that returns \(\(4,\), \(4, 4\)\)"),
        ({"word": lambda cloud: "large"}, "that returns large"),
        ({"nothing": lambda cloud: None}, "that returns None"),
        ({"broken": lambda cloud: cloud.c}, "fails with AttributeError"),
    ],
)
def test_wrong_observers(observe, message):
    with pytest.raises(mf.ArgumentError, match=message):
        mf.descend(PROBLEM, CLOUD, 2, learning_rate=0.1, observe=observe)


def test_steps_of_moments_are_seen():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(3), mf.LinearTarget(np.arange(3.0))), structure="odd")
    run = mf.descend_moments(reduced, 4, 0.1, record_every=2, observe={"trace": jnp.trace})
    np.testing.assert_allclose(run.trace, np.trace(run.states, axis1=1, axis2=2), rtol=1e-13)
    assert run.trace[0] < run.trace[-1]


def test_a_name_of_the_equation_is_refused():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(3), mf.LinearTarget(np.arange(3.0))), structure="odd")
    with pytest.raises(mf.ArgumentError, match="does not have already, but is 'gap'"):
        mf.solve_reduced(reduced, TS, observe={"gap": jnp.sum})
