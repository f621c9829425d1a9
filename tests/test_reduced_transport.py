"""The finite-volume scheme: order of accuracy, conservation, positivity, decrease of the risk."""

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

import mfsym as mf
from mfsym.integrate import Stepping, integrate
from mfsym.reduced.line.transport import GridDynamics
from mfsym.reduced.rules.stencil import lobatto_points, reconstruction_stencil


def errors(cells, method):
    """|error| of both masses, of the risk and of τ⁺ in L1, at t = 1, against 1600 cells."""
    run, fine = problems.small_run(cells, method), problems.small_run(1600)
    names = ("mass_plus", "mass_minus", "risk")
    values = [abs(float(run.observables[name][1] - fine.observables[name][1])) for name in names]
    block = np.asarray(fine.final[0]).reshape(cells, -1).mean(axis=1)
    return [*values, np.abs(np.asarray(run.final[0]) - block).sum() * np.pi / 2 / cells]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "cells", "order"), [("grid", (50, 100, 200, 400), None), ("upwind", (50, 100, 200), 1.0)]
)
def test_order_of_accuracy(method, cells, order):
    table = np.array([errors(count, method) for count in cells])
    slopes = -np.polyfit(np.log(cells), np.log(table), 1)[0]
    print(f"{method}: errors at {cells} cells\n{table}\norders of mass⁺, mass⁻, risk, L1: {slopes.round(2)}")
    if order is None:
        assert np.all(slopes >= 3)
    else:
        assert np.all(np.abs(slopes - order) < 0.25)


@pytest.mark.parametrize("half_width", [0, 1, 2])
def test_reconstruction_is_exact_for_polynomials(half_width):
    degree = 2 * half_width
    offsets = np.arange(-half_width, half_width + 1)
    means = ((offsets + 0.5) ** (degree + 1) - (offsets - 0.5) ** (degree + 1)) / (degree + 1)
    points = np.array([-0.5, -0.5 / np.sqrt(5), 0.5 / np.sqrt(5), 0.5])
    np.testing.assert_allclose(reconstruction_stencil(half_width) @ means, points**degree, atol=1e-13)


def rough_dynamics(limited=True):
    """A grid far too coarse for what is on it, with random densities."""
    dynamics = GridDynamics(problems.small_reduction(50), half_width=2, limited=limited)
    state = jnp.asarray(np.random.default_rng(0).exponential(size=(2, 50)) ** 4)
    return jax.jit(lambda d: d.prepare())(dynamics), state


def test_transport_conserves_mass():
    dynamics, state = rough_dynamics()
    slope, _ = dynamics.potential(state)
    assert float(jnp.abs(slope).max()) > 0.1
    change = dynamics.transport(dynamics.limit(state, dynamics.reconstruct(state), slope), slope)
    assert np.abs(np.asarray(change).sum(axis=1)).max() < 1e-12 * np.abs(change).sum()
    assert np.abs(change).max() > 1.0


def test_one_euler_step_of_the_largest_size_keeps_the_sign():
    dynamics, state = rough_dynamics()
    step = dynamics.largest_step(state)
    for _ in range(20):
        state = state + dynamics.largest_step(state) * dynamics.velocity(0.0, state)
        assert float(jnp.min(state)) >= -1e-14 * float(jnp.max(state))
    free, state = rough_dynamics(limited=False)
    for _ in range(20):
        state = state + step * free.velocity(0.0, state)
    assert float(jnp.min(state)) < -1e-3


def test_limiter_keeps_means_and_does_nothing_where_all_is_positive():
    dynamics, state = rough_dynamics()
    weights = jnp.asarray(np.array([1, 5, 5, 1])[:, None] / 12)
    slope, _ = dynamics.potential(state)
    values = jnp.stack(dynamics.limit(state, dynamics.reconstruct(state), slope), axis=1)
    np.testing.assert_allclose(jnp.sum(weights[None] * values, axis=1), state, rtol=1e-12)
    assert float(jnp.min(values)) >= -1e-15
    smooth = dynamics.initial_state() + 1.0
    kept = dynamics.limit(smooth, dynamics.reconstruct(smooth), slope)
    np.testing.assert_allclose(kept, dynamics.reconstruct(smooth), rtol=1e-13)


@pytest.mark.slow
def test_tables_are_those_of_the_features():
    """Interpolation in cos 2θ (and cos θ on a signed angle) against the features themselves, and stretched ones."""
    for problem in (
        mf.Problem(mf.Gaussian(30), mf.SubspaceNorm(5)),
        mf.Problem(mf.Gaussian(10_000), mf.SubspaceNorm(5)),
        mf.Problem(mf.Gaussian(9), mf.SingleIndex(jnp.tanh)),
        mf.Problem(mf.GaussianBlocks((2, 5), (1.0, 1.5)), mf.SubspaceNorm(2)),
    ):
        reduced = mf.reduce(problem, cells=20, nodes=7, modes=24)
        dynamics = jax.jit(lambda d: d.prepare())(GridDynamics(reduced, half_width=2))
        kernel_bound = np.sqrt(float(reduced.kernel(jnp.zeros(1), jnp.zeros(1))[0, 0]))
        forces = jnp.asarray(np.random.default_rng(1).standard_normal(reduced.resolved().coefficients.shape))
        lobatto, rule = lobatto_points(20, reduced.end)
        faces = np.linspace(0.0, reduced.end, 21)
        values, slopes = reduced.resolved().features(jnp.asarray(np.concatenate([faces, lobatto[1], lobatto[2]])))
        slopes = slopes[:, :21].at[:, (0, -1)].set(0.0)
        expected = jnp.concatenate([forces @ values[:, :21], forces @ slopes, forces @ values[:, 21:]])
        np.testing.assert_allclose(dynamics.tables.synthesise(forces), expected, atol=1e-11 * kernel_bound * 24)
        state = jnp.asarray(np.random.default_rng(0).exponential(size=(2, 20)))
        at_points, _ = reduced.features(jnp.asarray(lobatto.ravel()))
        density = np.asarray(jnp.stack(dynamics.reconstruct(state), axis=1)) * rule[None, :, None]
        moments = dynamics.tables.all_moments(dynamics.with_ghosts(state)[0])
        np.testing.assert_allclose(moments, at_points @ density[0].ravel(), atol=1e-13 * kernel_bound * density[0].sum())


@pytest.mark.slow
def test_without_the_limiter_densities_become_negative():
    """The check of `test_reduced_methods.test_densities_are_not_negative`, failing where the limiter is off."""
    reduced = problems.small_reduction(50)
    stepping = Stepping("ssprk104", rtol=1e-8, atol=1e-8)
    lowest = {}
    for limited in (True, False):
        dynamics = GridDynamics(reduced, half_width=2, limited=limited)
        states = integrate(dynamics, dynamics.initial_state(), jnp.array([0.0, 30.0]), stepping).states[1]
        lowest[limited] = float(jnp.min(states / jnp.max(states, axis=1, keepdims=True)))
    print(f"lowest density over highest: {lowest[True]:.1e} with the limiter, {lowest[False]:.1e} without")
    assert lowest[True] >= -1e-14
    assert lowest[False] < -1e-14


def test_risk_never_rises():
    run = problems.reference_run()
    assert len(run.ts) > 200
    assert float(jnp.max(jnp.diff(run.risk))) <= 1e-6 * float(run.risk[0])


@pytest.mark.parametrize("t", [0.5, 1.0, 3.0, 9.0])
def test_rate_of_the_risk(t):
    """dF/dt = −∫(2G² + V²) d(τ⁺ + τ⁻) (Hajjar & Chizat 2022)."""
    run = problems.reference_run()
    i = problems.REFERENCE_TIMES.index(t)
    step = float(run.ts[1])
    rate = float((run.risk[i - 2] - 8 * run.risk[i - 1] + 8 * run.risk[i + 1] - run.risk[i + 2]) / (12 * step))
    points, weights = np.polynomial.legendre.leggauss(400)
    theta = jnp.asarray((points + 1) * np.pi / 4)
    total = jnp.sum(mf.density(run, theta, i), axis=0)
    dissipation = 2 * mf.potential(run, theta, i) ** 2 + mf.drift(run, theta, i) ** 2
    integral = float(jnp.sum(jnp.asarray(weights * np.pi / 4) * total * dissipation))
    assert rate == pytest.approx(-integral, rel=1e-3)
