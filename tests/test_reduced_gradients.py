"""Derivatives through `mf.reduce` and `mf.solve_reduced` against central differences, in both modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.reduced.line.transport import GridDynamics

POINT = jnp.array([1.1, 0.5, 0.4, 0.9])  # target scale, masses of the two signs, input scale
DIRECTION = jnp.array([0.3, -0.7, 0.5, 0.2])


SIZES = {"cells": 50, "nodes": 63, "modes": 16}


def outcome(parameters, method, derivative="reverse", t=1.0):
    """One number of everything a run ends with."""
    scale, plus, minus, width = parameters
    problem = mf.Problem(mf.Gaussian(12, width), mf.SubspaceNorm(3, scale), start=mf.SphereStart(plus, minus))
    ts = jnp.array([0.0, t])
    run = mf.solve_reduced(mf.reduce(problem, **SIZES), ts, method=method, derivative=derivative, rtol=1e-10, atol=1e-10)
    return run.risk[-1] + 0.3 * run.mass_plus[-1] + 2.0 * run.mass_minus[-1]


def central_differences(function, step=1e-4):
    return np.array(
        [float(function(POINT + step * e) - function(POINT - step * e)) / (2 * step) for e in jnp.eye(len(POINT))]
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grid", "characteristics"])
def test_both_modes_against_central_differences(method):
    differences = central_differences(lambda p: outcome(p, method))
    gradient = jax.grad(outcome)(POINT, method)
    _, directional = jax.jvp(lambda p: outcome(p, method, "forward"), (POINT,), (DIRECTION,))
    print(f"{method}: gradient {gradient}, central differences {differences}")
    np.testing.assert_allclose(gradient, differences, rtol=1e-5)
    assert float(directional) == pytest.approx(float(differences @ DIRECTION), rel=1e-5)


@pytest.mark.slow
def test_where_the_limiter_is_active():
    """Late on a coarse grid the limiter works, and its factor is differentiated like the rest."""
    problem = mf.Problem(mf.Gaussian(12), mf.SubspaceNorm(3))
    run = mf.solve_reduced(mf.reduce(problem, **SIZES), jnp.array([0.0, 30.0]), rtol=1e-10, atol=1e-10)
    dynamics = GridDynamics(run.model, half_width=2)
    dynamics = jax.jit(lambda d: d.prepare())(dynamics)
    slope, _ = dynamics.potential(run.final)
    factor = dynamics.limiter_factor(run.final, dynamics.reconstruct(run.final), slope)
    assert float(jnp.min(factor)) < 0.5
    differences = central_differences(lambda p: outcome(p, "grid", t=30.0))
    gradient = jax.grad(lambda p: outcome(p, "grid", t=30.0))(POINT)
    print(f"limited: gradient {gradient}, central differences {differences}")
    np.testing.assert_allclose(gradient, differences, rtol=1e-5)


def test_gradient_of_a_target_function():
    """Arrays inside g are leaves: d/dc of the coefficients of g(z) = tanh(c z)."""

    def summary(c):
        target = mf.SingleIndex(jax.tree_util.Partial(steep, c))
        reduced = mf.reduce(mf.Problem(mf.Gaussian(8), target), cells=8, nodes=7, modes=16)
        return jnp.stack([reduced.coefficients[-1], reduced.floor])

    c, step = jnp.asarray(1.2), 1e-5
    summary = jax.jit(summary)
    differences = (summary(c + step) - summary(c - step)) / (2 * step)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(summary))(c), differences, rtol=1e-7)


def steep(c, z):
    return jnp.tanh(c * z)
