"""Inputs that people tried on clouds, and what is right for them."""

import json
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.integrate
import unfinished_runs
from jax.flatten_util import ravel_pytree
from particle_problems import random_cloud
from test_integrate import decay, stepping

import mfsym as mf
from mfsym.errors import check_integer
from mfsym.integrate import integrate
from mfsym.particles.zero import nearest_to_zero

# ---- second derivatives of the exact risk ----


def special_cloud():
    """Six neurons of R³: two with one direction, two opposite ones, some at right angles."""
    b = [[1.0, 0, 0], [0, 2, 0], [-1, 0, 0], [1, 0, 0], [0.3, 0.4, 0.1], [0.6, 0.8, 0.2]]
    return mf.Particles(jnp.asarray([1.0, -0.5, 2.0, 0.7, 0.3, 0.4]), jnp.asarray(b))


@pytest.mark.slow
def test_hessian_of_the_exact_risk():
    """That of the value, forward over reverse, is the derivative of the hand-written velocity, −1/m of it."""
    risk = mf.risk_of(mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 0.5, 0.0])))
    _, cloud = ravel_pytree(special_cloud())
    hessian = jax.jit(jax.hessian(lambda z: risk.value(cloud(z))))
    jacobian = jax.jit(jax.jacfwd(lambda z: ravel_pytree(risk.velocity(cloud(z)))[0]))
    for start in (special_cloud(), random_cloud(6, dim=3, seed=3)):
        z = ravel_pytree(start)[0]
        np.testing.assert_allclose(hessian(z), -jacobian(z) / 6, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_hessian_of_one_neuron():
    """F = ¼a²‖b‖² − ½a b·w + ½ for f* = w·x."""
    risk = mf.risk_of(mf.Problem(mf.Gaussian(2), mf.LinearTarget([1.0, 0.0])))
    expected = 0.5 * np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = jax.hessian(lambda z: risk.value(mf.Particles(z[:1], z[None, 1:])))(jnp.asarray([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


# ---- a neuron at b = 0 ----


def one_neuron_goes():
    """A neuron of the wrong sign with |a| > ‖b‖, which the flow takes to b = 0."""
    problem = mf.Problem(mf.Gaussian(2), mf.SubspaceNorm(2))
    return problem, mf.Particles(jnp.asarray([-1.0, 1.0]), jnp.asarray([[0.3, 0.0], [0.0, 0.5]]))


def solve(problem, cloud, ts=(0.0, 0.25, 0.5, 1.0), **options):
    return mf.solve_particles(problem, cloud, np.asarray(ts), derivative="forward", throw=False, **options)


def test_a_neuron_that_reaches_zero_ends_the_run():
    problem, cloud = one_neuron_goes()
    run = solve(problem, cloud)
    assert "a neuron reached b = 0, where the ReLU flow is not unique" in run.sentence() and not bool(run.succeeded)
    # ∇g* = (2/π) b/‖b‖ in the plane, and ∇k = ((π − γ) b' + sin γ ‖b'‖ b/‖b‖)/2π at the angle γ to b'.

    def slope(_, z):
        a, b = z[:2], z[2:].reshape(2, 2)
        sizes = np.linalg.norm(b, axis=1)
        u = b / sizes[:, None]
        angle = np.arccos(np.clip(u @ u.T, -1, 1))
        pull = (np.pi - angle) @ (a[:, None] * b) + (np.sin(angle) @ (a * sizes))[:, None] * u
        field = 2 / np.pi * u - pull / (4 * np.pi)
        return np.concatenate([np.sum(b * field, axis=1), (a[:, None] * field).ravel()])

    def zero(_, z):
        return np.hypot(z[2], z[3]) - 1e-6

    zero.terminal = True
    start = np.concatenate([cloud.a, np.ravel(cloud.b)])
    expected = scipy.integrate.solve_ivp(slope, (0, 5), start, rtol=1e-9, atol=1e-10, events=zero)
    assert float(run.stats["stopped_at"]) == pytest.approx(expected.t[-1], rel=1e-4)
    np.testing.assert_array_equal(run.valid, np.asarray(run.ts) <= expected.t[-1])


def test_a_start_at_zero_has_one_record():
    problem, cloud = one_neuron_goes()
    run = solve(problem, mf.Particles(cloud.a, cloud.b.at[0].set(0.0)))
    assert "reached b = 0" in run.sentence() and float(run.stats["stopped_at"]) == 0
    np.testing.assert_array_equal(run.valid, [True, False, False, False])
    assert float(run.risk[0]) > 0 and float(run.final.a[0]) == -1


@pytest.mark.slow
def test_gaussian_clouds_reach_zero():
    """Each in turn, and none of them by using up its steps."""
    problem = mf.Problem(mf.Gaussian(5), mf.SubspaceNorm(2), start=mf.GaussianStart())
    for seed in range(6):
        run = solve(problem, mf.initial_cloud(problem, width=32, key=jax.random.key(seed)), (0.0, 5.0), max_steps=4000)
        assert "reached b = 0" in run.sentence(), (seed, run.sentence())
        nearest = np.min(np.linalg.norm(run.final.b, axis=1))
        assert nearest < 1e-6 < 0.01 < np.min(np.linalg.norm(run.final.b, axis=1) + np.abs(run.final.a))


def test_who_is_watched():
    """Only neurons that may come to b = 0: of a unit with a kink, with rate_b a² > rate_a ‖b‖², or unknown."""
    problem, unbalanced = one_neuron_goes()
    balanced = mf.sphere_cloud(problem, width=8, key=jax.random.key(0))
    inside = mf.Particles(unbalanced.a / 4, unbalanced.b)

    def watched(cloud, unit=problem.unit, **training):
        return nearest_to_zero(unit, mf.Training(**training), cloud, 1e-9) is not None

    assert watched(unbalanced) and not watched(balanced) and not watched(inside)
    assert not watched(unbalanced, mf.Identity()) and not watched(unbalanced, mf.GELU())
    assert watched(unbalanced, mf.LeakyReLU(0.1)) and not watched(unbalanced, mf.LeakyReLU(1.0))
    assert watched(balanced, rate_b=2.0) and not watched(unbalanced, rate_b=0.0) and watched(inside, rate_a=0.0)
    assert not watched(balanced, weight_decay=0.1) and watched(inside, rate_b=0.9, weight_decay=0.1)
    assert jax.jit(watched)(balanced)


# ---- masked records under jax_debug_nans ----


def test_masks_pass_the_search_for_nan():
    """A run that stops as asked, one that ends early and one whose cloud has no negative sign: all are printed."""
    problem, cloud = one_neuron_goes()
    with jax.debug_nans(True):
        early = solve(problem, cloud)
        positive = mf.Particles(jnp.abs(cloud.a), cloud.b)
        assert np.isnan(mf.measure_cloud(problem, positive)["alignment_minus"])
        asked = mf.descend(problem, positive, 4, learning_rate=0.1, stop=mf.Stop(risk=0.7))
        assert "stopped as asked" in str(asked) and "reached b = 0" in str(early)
    assert np.isnan(asked.risk[-1]) and np.isnan(early.risk[-1])


@pytest.mark.slow
def test_estimates_and_sweeps_pass_it_too():
    problem, ts = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2)), np.linspace(0.0, 4.0, 5)
    sizes, stop = {"cells": 16, "nodes": 15, "modes": 8}, mf.Stop(risk=0.3)
    with jax.debug_nans(True):
        run = mf.solve_reduced(mf.reduce(problem, **sizes), ts, error=True, stop=stop, derivative="forward")
        table = mf.sweep([problem, problem], ts, stop=stop, **sizes)
        table.as_dict()
    assert "stopped as asked" in run.sentence() and np.isnan(run.error["risk"][-1]) and run.error["risk"][0] < 1e-2
    assert "stopped as asked" in str(table)


# ---- sentences of our own ----


def refusal(call):
    with pytest.raises(mf.ArgumentError) as caught:
        call()
    return str(caught.value)


def last_of_decay(rate, mode):
    """2 e^{−rate}, by a run."""
    dynamics, state = decay(rate)
    return integrate(dynamics, state, jnp.array([0.0, 1.0]), stepping("tsit5", derivative=mode)).observables["risk"][-1]


def test_a_run_in_reverse_mode_is_not_differentiated_forward():
    said = refusal(lambda: jax.jvp(lambda rate: last_of_decay(rate, "reverse"), (jnp.ones(()),), (jnp.ones(()),)))
    assert said.startswith("Argument `derivative` must be 'forward'") and 'Pass derivative="forward"' in said


@pytest.mark.slow
def test_the_mode_of_differentiation_is_named():
    one = jnp.ones(())
    assert "jax.jacfwd(jax.jacfwd(f))" in refusal(lambda: jax.hessian(last_of_decay)(one, "reverse"))
    said = refusal(lambda: jax.grad(last_of_decay)(one, "forward"))
    assert said.startswith("Argument `derivative` must be 'reverse'") and 'Pass derivative="reverse"' in said
    second = jax.jacfwd(jax.jacfwd(last_of_decay))(one, "forward")  # the way out that they name
    assert float(second) == pytest.approx(2 * np.exp(-1), rel=1e-6)


WRONG = {
    "numpy in a target": (lambda: mf.SingleIndex(np.tanh), "calls numpy on its input", "jnp.tanh for np.tanh"),
    "if in a target": (lambda: mf.SingleIndex(lambda z: z if z > 0 else 0 * z), "decides by its input", "jnp.where"),
    "math in a target": (lambda: mf.SingleIndex(math.tanh), "Python number", "jnp.tanh for math.tanh"),
    "an array for a dimension": (
        lambda: check_integer("dim", jnp.asarray(6), 1),
        "an array of dtype",
        "Pass int(...) of it",
    ),
    "bfloat16": (
        lambda: solve(one_neuron_goes()[0], jax.tree.map(lambda z: z.astype(jnp.bfloat16), one_neuron_goes()[1])),
        "of type bfloat16",
        "dtype=jnp.float32",
    ),
    "a schedule": (
        lambda: mf.descend(*one_neuron_goes(), 4, learning_rate=optax.constant_schedule(0.1)),
        "is a function",
        "optimiser=optax.sgd(schedule)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_why_and_the_way_out(name):
    call, why, way_out = WRONG[name]
    said = refusal(call)
    assert said.startswith("Argument `") and why in said and way_out in said and "\n" not in said


def test_a_schedule_belongs_to_an_optimiser():
    problem, cloud = one_neuron_goes()
    schedule = mf.descend(problem, cloud, 4, optimiser=optax.sgd(optax.constant_schedule(0.1)))
    plain = mf.descend(problem, cloud, 4, learning_rate=0.1)
    np.testing.assert_allclose(schedule.risk, plain.risk, rtol=1e-14)


@pytest.mark.slow
def test_a_cloud_of_few_digits_runs_in_single_precision():
    problem, cloud = one_neuron_goes()
    run = solve(problem, jax.tree.map(lambda z: z.astype(jnp.bfloat16), cloud), (0.0, 0.25), dtype=jnp.float32)
    assert bool(run.succeeded) and run.risk.dtype == jnp.float32


# ---- runs that must not pass for finished ones ----


def check_unfinished(name):
    """With equinox's checks off, as in this process."""
    assert os.environ["EQX_ON_ERROR"] == "off"
    succeeded, valid, sentence = unfinished_runs.outcome(name)
    words = "used up `max_steps`" if "out of steps" in name else "not finite"
    assert not succeeded and not all(valid) and words in sentence and "Last valid time" in sentence, (name, sentence)


def test_what_is_not_finite_is_not_finished():
    for name in unfinished_runs.QUICK:
        check_unfinished(name)
    assert all(said.startswith("Argument `ts` must be ") for said in unfinished_runs.said_of_times())


@pytest.mark.slow
def test_no_unfinished_run_passes_silently():
    """With equinox's checks off or on the same is said."""
    for name in unfinished_runs.RUNS:
        check_unfinished(name)
    command, environment = [sys.executable, unfinished_runs.__file__], os.environ | {"EQX_ON_ERROR": "raise"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["runs"] == {name: unfinished_runs.outcome(name) for name in unfinished_runs.SAME}
    assert found["times"] == unfinished_runs.said_of_times()


# ---- what was fine, and stays so ----


def test_one_relu_neuron_and_its_teacher():
    """F = ¼‖w‖² + ¼‖v‖² − ‖w‖‖v‖(sin θ + (π − θ) cos θ)/2π, −∂F/∂w = ½(v − w) + (‖v‖ sin θ w/‖w‖ − θ v)/2π (Tian 2017)."""
    rng = np.random.default_rng(0)
    one = jnp.ones(1)
    for dim in (2, 7):
        w, v = rng.standard_normal((2, dim))
        risk = mf.risk_of(mf.Problem(mf.Gaussian(dim), mf.Teacher(mf.Particles(one, jnp.asarray(v[None])))))
        cloud = mf.Particles(one, jnp.asarray(w[None]))
        sizes = np.linalg.norm(w), np.linalg.norm(v)
        theta = np.arccos(w @ v / np.prod(sizes))
        value = (w @ w + v @ v) / 4 - np.prod(sizes) * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
        force = (v - w) / 2 + (sizes[1] * np.sin(theta) * w / sizes[0] - theta * v) / (2 * np.pi)
        assert float(risk.value(cloud)) == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(risk.velocity(cloud).b[0], force, rtol=1e-12)


def test_scale_covariance():
    """s f*, √s z: the risk is s² F, and the velocity s^{3/2} v, as time runs s times as fast."""
    scale, cloud = 3.0, random_cloud(6, dim=4)
    larger = jax.tree.map(lambda z: np.sqrt(scale) * z, cloud)
    one, other = (mf.risk_of(mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2, s))) for s in (1.0, scale))
    assert float(other.value(larger)) == pytest.approx(scale**2 * float(one.value(cloud)), rel=1e-13)
    fast, slow = other.velocity(larger), one.velocity(cloud)
    np.testing.assert_allclose(fast.b, scale**1.5 * slow.b, rtol=1e-12)
    np.testing.assert_allclose(fast.a, scale**1.5 * slow.a, rtol=1e-12)


# Name: the factor of the sum over neurons, that of the square, the scale of the weights, and the learning rate of η.
CONVENTIONS = {
    "mean over neurons": lambda m: (1 / m, 0.5, 1.0, m),
    "square without ½": lambda m: (1 / m, 1.0, 1.0, m / 2),
    "1/√m": lambda m: (1 / np.sqrt(m), 0.5, m**-0.25, np.sqrt(m)),
    "plain sum": lambda m: (1.0, 0.5, m**-0.5, 1.0),
}


def test_training_loops_of_other_conventions():
    """Gradient descent as others write it, in numpy, is `descend` with their learning rate and weights mapped."""
    rng, rate, steps = np.random.default_rng(1), 0.3, 5
    x, cloud = rng.standard_normal((7, 3)), random_cloud(4, dim=3, seed=5)
    y = np.linalg.norm(x[:, :2], axis=1)
    run = mf.descend(mf.Problem(mf.Empirical(x), mf.SubspaceNorm(2)), cloud, steps, learning_rate=rate)
    for name, convention in CONVENTIONS.items():
        factor, half, size, speed = convention(cloud.width)
        a, b = size * np.asarray(cloud.a), size * np.asarray(cloud.b)
        for _ in range(steps):
            hidden = x @ b.T
            residual = 2 * half * (factor * np.maximum(hidden, 0) @ a - y) / len(x)
            slope_a = factor * np.maximum(hidden, 0).T @ residual
            slope_b = factor * a[:, None] * ((hidden > 0) * residual[:, None]).T @ x
            a, b = a - speed * rate * slope_a, b - speed * rate * slope_b
        np.testing.assert_allclose(a / size, run.final.a, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(b / size, run.final.b, rtol=1e-12, err_msg=name)
