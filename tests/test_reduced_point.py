"""H is the whole space: the closed solution of the masses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
import scipy.integrate

import mfsym as mf


def solve(dim, ts, scale=1.0, inputs=None, **options):
    inputs = mf.Gaussian(dim) if inputs is None else inputs
    problem = mf.Problem(inputs, mf.SubspaceNorm(dim, scale), **options)
    return mf.solve_reduced(mf.reduce(problem), jnp.asarray(ts))


@pytest.mark.parametrize("dim", [1, 2, 5, 200])
def test_equal_masses(dim):
    ts = np.array([0.0, 0.1, 1.0, 3.0, 50.0])
    run = solve(dim, ts)
    np.testing.assert_allclose([run.mass_plus, run.mass_minus], references.no_angle_masses(ts, dim), rtol=1e-10)
    kernel, alpha = dim / references.alpha(dim) ** 2, references.alpha(dim)
    np.testing.assert_allclose(run.risk, 0.5 * kernel * (alpha - run.mass_plus + run.mass_minus) ** 2, atol=1e-10)
    assert float(run.risk[0]) == pytest.approx(dim / 2)
    np.testing.assert_array_equal(run.alignment_plus, np.ones(5))


@pytest.mark.parametrize(
    ("masses", "scale", "inputs", "factor", "slopes"),
    [
        ((0.9, 0.2), 1.0, mf.Gaussian(4), 4.0, (0.5, 0.5)),
        ((0.1, 2.0), -0.7, mf.Gaussian(4), 4.0, (0.5, 0.5)),
        ((0.3, 0.0), 1.5, mf.Gaussian(4, 2.0), 16.0, (0.5, 0.5)),
        ((0.3, 0.4), 1.5, mf.Sphere(4, 3.0), 9.0, (0.6, 0.4)),
    ],
)
def test_unequal_masses_solve_their_equation(masses, scale, inputs, factor, slopes):
    """(log τ^±)' = ±2K(α − τ⁺ + τ⁻) with K = E‖x‖² (2·even)²/α(d)², α = scale·α(d)/(2·even), by an ODE solver."""
    even = 2 * slopes[1]
    kernel = factor * even**2 / references.alpha(4) ** 2
    target = scale * references.alpha(4) / even
    ts = np.linspace(0, 3, 7)

    def rates(t, y):
        return 2 * kernel * (target - y[0] + y[1]) * np.array([y[0], -y[1]])

    exact = scipy.integrate.solve_ivp(rates, (0, 3), masses, t_eval=ts, method="DOP853", rtol=1e-12, atol=1e-14).y
    unit = mf.LeakyReLU(2 * slopes[0] - 1)
    run = solve(4, ts, scale, inputs, start=mf.SphereStart(*masses), unit=unit)
    np.testing.assert_allclose([run.mass_plus, run.mass_minus], exact, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(run.risk, kernel / 2 * (target - exact[0] + exact[1]) ** 2, rtol=1e-9, atol=1e-13)


def test_a_linear_network_learns_nothing_of_the_norm():
    run = solve(3, [0.0, 1.0], unit=mf.Identity())
    np.testing.assert_allclose(run.risk, [1.5, 1.5])
    np.testing.assert_allclose(run.mass_plus, [0.5, 0.5])


def test_a_long_run_stays_finite():
    run = solve(7, [0.0, 1e5])
    assert float(run.risk[1]) < 1e-20
    assert float(run.mass_plus[1] - run.mass_minus[1]) == pytest.approx(references.alpha(7), rel=1e-12)


def test_gradient_of_the_closed_solution():
    def risk(scale):
        return solve(5, [0.0, 0.2], scale).risk[1]

    difference = (risk(1.0 + 1e-5) - risk(1.0 - 1e-5)) / 2e-5
    assert float(jax.grad(risk)(1.0)) == pytest.approx(float(difference), rel=1e-8)


def test_a_run_that_may_stop_keeps_its_errors():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(5), mf.SubspaceNorm(5)))
    run = mf.solve_reduced(reduced, jnp.array([0.0, 0.5, 1.0]), error=True, stop=mf.Stop(risk=1.7))
    assert np.isnan(run.risk[-1])
    np.testing.assert_array_equal(run.error["risk"], [0.0, 0.0, np.nan])
