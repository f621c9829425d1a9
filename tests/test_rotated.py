"""Targets in rotated coordinates, on both routes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from particle_problems import random_cloud

import mfsym as mf
from mfsym.errors import ArgumentError

DIM = 6
ROTATION = np.linalg.qr(np.random.default_rng(4).standard_normal((DIM, DIM)))[0]
SIZES = {"cells": 64, "nodes": 31, "modes": 16}


def tilted(z):
    return jnp.tanh(z) + jnp.abs(z)


PLAIN = {
    "norm": mf.SubspaceNorm(2, 1.3),
    "single index": mf.SingleIndex(tilted),
    "linear": mf.LinearTarget(np.linspace(-1, 1.5, DIM)),
    "norm of everything": mf.SubspaceNorm(DIM),
}


def pair(name, inputs=None):
    inputs = mf.Gaussian(DIM, 1.2) if inputs is None else inputs
    return mf.Problem(inputs, PLAIN[name]), mf.Problem(inputs, mf.Rotated(PLAIN[name], ROTATION))


def turn(cloud):
    """The cloud in the coordinates of the target."""
    return mf.act(mf.Symmetry(1, ROTATION), cloud)


@pytest.mark.parametrize("name", PLAIN)
def test_values_and_subspace(name):
    plain, rotated = pair(name)
    x = np.random.default_rng(0).standard_normal((20, DIM))
    np.testing.assert_allclose(rotated.values(jnp.asarray(x)), plain.values(jnp.asarray(x @ ROTATION.T)), rtol=1e-12)
    np.testing.assert_allclose(rotated.subspace(), plain.subspace() @ ROTATION, atol=1e-12)
    assert rotated.radial_subspace() == plain.radial_subspace()


@pytest.mark.float32
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("inputs", [mf.Gaussian(DIM, 1.2), mf.Sphere(DIM, 2.0)])
def test_exact_risk_and_observables(name, inputs):
    """The cloud seen from the target's coordinates has the same risk, and a velocity that turns with it."""
    (plain, rotated), cloud = pair(name, inputs), random_cloud(5)
    precision = 1e-11 if jnp.result_type(float) == jnp.float64 else 1e-4
    np.testing.assert_allclose(mf.risk_of(rotated).value(cloud), mf.risk_of(plain).value(turn(cloud)), rtol=precision)
    velocity, expected = mf.risk_of(rotated).velocity(cloud), mf.risk_of(plain).velocity(turn(cloud))
    np.testing.assert_allclose(turn(velocity).b, expected.b, atol=10 * precision)
    np.testing.assert_allclose(velocity.a, expected.a, atol=10 * precision)
    seen, other = mf.measure_cloud(rotated, cloud), mf.measure_cloud(plain, turn(cloud))
    assert seen.keys() == other.keys()
    for key in seen:
        np.testing.assert_allclose(seen[key], other[key], rtol=precision, atol=precision)


def test_exact_risk_against_samples():
    """Without using that the law is invariant: within 3 standard errors of 400 000 inputs."""
    problem, cloud = pair("norm")[1], random_cloud(7)
    x = 1.2 * np.random.default_rng(1).standard_normal((400_000, DIM))
    losses = jax.vmap(problem.loss)(mf.predict(cloud, x), problem.values(jnp.asarray(x)))
    error = float(jnp.std(losses)) / np.sqrt(losses.size)
    assert abs(float(mf.risk_of(problem).value(cloud)) - float(jnp.mean(losses))) < 3 * error


def reductions(name):
    return [mf.reduce(problem, **SIZES) for problem in pair(name)]


@pytest.mark.parametrize("name", ["norm", "single index", "linear"])
def test_the_reduced_equation_is_the_same(name):
    """Every coefficient, with angles measured in turned coordinates."""
    plain, rotated = reductions(name)
    leaves = [jax.tree.leaves(dataclasses.replace(each, basis=None)) for each in (plain, rotated)]
    for leaf, expected in zip(*leaves, strict=True):
        np.testing.assert_array_equal(leaf, expected)
    cloud = random_cloud(8)
    np.testing.assert_allclose(mf.project(cloud, rotated).theta, mf.project(turn(cloud), plain).theta, rtol=1e-12)


@pytest.mark.slow
def test_prediction_and_lift_of_a_reduced_solution():
    plain, rotated = reductions("norm")
    run = mf.solve_reduced(rotated, jnp.array([0.0, 1.0]))
    x = np.random.default_rng(2).standard_normal((9, DIM))
    expected = mf.predict(dataclasses.replace(run, model=plain), x @ ROTATION.T)
    np.testing.assert_allclose(mf.predict(run, x), expected, rtol=1e-9, atol=1e-12)
    drawn = mf.sample_cloud(run, 1.0, width=4096, key=jax.random.key(0))
    seen = mf.measure_cloud(pair("norm")[1], drawn)
    for sign in ("plus", "minus"):
        assert seen[f"mass_{sign}"] == pytest.approx(float(run.observables[f"mass_{sign}"][-1]), rel=1e-3)
        assert seen[f"alignment_{sign}"] == pytest.approx(float(run.observables[f"alignment_{sign}"][-1]), abs=0.02)


def test_no_angle_is_left_in_any_coordinates():
    plain, rotated = (mf.solve_reduced(mf.reduce(problem), jnp.array([0.0, 1.0])) for problem in pair("norm of everything"))
    np.testing.assert_allclose(rotated.risk, plain.risk, rtol=1e-12)


def test_starts_follow_the_rotated_axis():
    start = mf.AngularStart(lambda theta: jnp.exp(3 * jnp.cos(theta)))
    problem = mf.Problem(mf.Gaussian(DIM), mf.Rotated(mf.SingleIndex(tilted), ROTATION), start=start)
    cloud = mf.sphere_cloud(problem, width=4096, key=jax.random.key(0))
    mean = jnp.mean(cloud.b, axis=0)
    assert float(mean @ ROTATION[0]) > 0.3
    assert float(jnp.linalg.norm(mean - (mean @ ROTATION[0]) * ROTATION[0])) < 0.05


def test_odd_targets_are_odd_in_any_coordinates():
    """X̄ and w* turn back with the target, the floor stays: Q X̄_rotated = X̄."""
    odd = mf.FunctionTarget(lambda x: x[0] ** 3 - 2 * x[1], parity="odd")
    plain, rotated = (mf.reduce(mf.Problem(mf.Gaussian(DIM), target)) for target in (odd, mf.Rotated(odd, ROTATION)))
    np.testing.assert_allclose(ROTATION @ rotated.optimum, plain.optimum, atol=1e-9)
    np.testing.assert_allclose(rotated.floor, plain.floor, atol=1e-9)
    assert float(plain.floor) == pytest.approx(3.0, abs=1e-9)
    with pytest.raises(mf.NoReductionError, match="not declared odd"):
        mf.reduce(mf.Problem(mf.Gaussian(DIM), mf.Rotated(mf.FunctionTarget(jnp.sum), ROTATION)), structure="odd")


def test_linear_targets_are_linear_in_any_coordinates():
    """w·(Q x) = (Qᵀ w)·x by formula, so that full covariances and Gaussian starts take it."""
    w = np.linspace(-1, 1.5, DIM)
    blocks = mf.GaussianBlocks((2, 4), (1.5, 0.5))
    reduced = mf.reduce(mf.Problem(blocks, mf.Rotated(mf.LinearTarget(w), ROTATION), start=mf.GaussianStart()))
    np.testing.assert_allclose(reduced.optimum, w @ ROTATION, atol=1e-12)
    assert float(reduced.floor) == 0


def test_rotations_compose():
    twice = mf.Rotated(mf.Rotated(mf.SubspaceNorm(2), ROTATION), ROTATION)
    x = jnp.arange(1.0, DIM + 1)
    assert isinstance(twice.target, mf.SubspaceNorm)
    np.testing.assert_allclose(twice(x), jnp.linalg.norm((ROTATION @ ROTATION @ x)[:2]), rtol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mf.Rotated(mf.SubspaceNorm(2), np.ones((3, 3))),
        lambda: mf.Rotated(mf.SubspaceNorm(2), np.eye(3)[:2]),
        lambda: mf.Problem(mf.Gaussian(4), mf.Rotated(mf.SubspaceNorm(2), np.eye(3))),
    ],
)
def test_wrong_rotations(call):
    with pytest.raises(ArgumentError, match="rotation"):
        call()
