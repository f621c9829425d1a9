"""Extreme but legal inputs: the right answer, by a scaling law, a closed form or the other method, or a reason why not."""

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import mfsym as mf

TIMES = np.linspace(0.0, 4.0, 5)
SIZES = {"cells": 16, "nodes": 15, "modes": 8}


def reduction(target=1.0, mass=0.5, scale=1.0, **options):
    problem = mf.Problem(mf.Gaussian(6, scale), mf.SubspaceNorm(2, target), start=mf.SphereStart(mass, mass))
    return mf.reduce(problem, **SIZES, **options)


def run(ts=TIMES, method="grid", **options):
    return mf.solve_reduced(reduction(**options), ts, method=method, derivative="forward")


def largest_difference(values, others):
    """Largest relative difference."""
    return float(np.max(np.abs(np.asarray(values, float) / np.asarray(others, float) - 1)))


# A target and masses λ times as large move as fast as before in the time t/λ; inputs r times as large, in t/r².
# Powers of two are exact; with powers of ten steps round differently, by the tolerance of a step.
@pytest.mark.slow
@pytest.mark.parametrize("method", ["grid", "characteristics"])
@pytest.mark.parametrize("factor", [1e-30, 1e-12, 1e-6, 1e6, 1e12, 1e30])
def test_target_and_start_scale_together(method, factor):
    usual = run(method=method)
    scaled = run(TIMES / factor, method, target=factor, mass=0.5 * factor)
    assert largest_difference(scaled.risk / factor**2, usual.risk) < 5e-6  # the default tolerance: 1e-6 a step
    assert largest_difference(scaled.mass_plus / factor, usual.mass_plus) < 1e-6
    assert largest_difference(scaled.alignment_plus, usual.alignment_plus) < 1e-6


@pytest.mark.parametrize("method", ["grid", "characteristics"])
@pytest.mark.parametrize("factor", [2.0**-27, 2.0**27, 2.0**66])
def test_inputs_scale(method, factor):
    usual, scaled = run(method=method), run(TIMES / factor**2, method, scale=factor)
    assert largest_difference(scaled.risk / factor**2, usual.risk) < 1e-12
    assert largest_difference(scaled.mass_minus, usual.mass_minus) < 1e-12


@pytest.mark.float32
@pytest.mark.parametrize("method", ["grid", "characteristics"])
@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e6, 1e12])
def test_scales_in_single_precision(method, factor):
    usual = run(method=method, dtype=jnp.float32)
    scaled = run(TIMES / factor, method, target=factor, mass=0.5 * factor, dtype=jnp.float32)
    assert largest_difference(np.asarray(scaled.risk, float) / factor**2, usual.risk) < 3e-5
    assert largest_difference(scaled.mass_plus / factor, usual.mass_plus) < 1e-5


@pytest.mark.float32
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_masses_whose_squares_are_no_numbers_are_refused(factor):
    with pytest.raises(mf.ArgumentError, match="Argument `reduced` must be one whose masses have squares"):
        run(target=factor, mass=0.5 * factor, dtype=jnp.float32)
    with pytest.raises(mf.ArgumentError, match="Argument `cloud` must be of a size whose square"):
        mf.solve_particles(problem_of_clouds(factor), cloud(factor, jnp.float32), TIMES)


def problem_of_clouds(target=1.0):
    return mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2, target))


def cloud(factor=1.0, dtype=None):
    b = np.random.default_rng(0).standard_normal((8, 4))
    a = np.linalg.norm(b, axis=1) * np.tile([1, -1], 4)
    return mf.Particles(jnp.asarray(np.sqrt(factor) * a, dtype), jnp.asarray(np.sqrt(factor) * b, dtype))


@pytest.mark.float32
@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e6, 1e12])
def test_clouds_scale(factor):
    usual = mf.solve_particles(problem_of_clouds(), cloud(), TIMES, derivative="forward")
    scaled = mf.solve_particles(problem_of_clouds(factor), cloud(factor), TIMES / factor, derivative="forward")
    tolerance = 1e-6 if usual.risk.dtype == jnp.float64 else 1e-4
    assert largest_difference(scaled.risk / factor**2, usual.risk) < tolerance
    assert largest_difference(scaled.mass_plus / factor, usual.mass_plus) < tolerance


@pytest.mark.parametrize(
    ("plus", "minus", "target"),
    [
        (0.5, 0.5, 1.0),
        (1e-12, 1e-12, 1.0),
        (1e-12, 1.0, 1.0),
        (1e12, 1.0, 1.0),
        (1e12, 1e12, 1.0),
        (0.5, 0.5, -1e6),
        (0.5, 0.5, 0.0),
        (0.5, 0.0, 0.0),
        (0.0, 0.5, 0.0),
        (1e-12, 0.0, 1e6),
    ],
)
def test_the_closed_solution_in_80_digits(plus, minus, target):
    problem = mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3, target), start=mf.SphereStart(plus, minus))
    point, ts = mf.reduce(problem), np.array([0.0, 1e-3, 1.0, 10.0, 100.0])
    solution = mf.solve_reduced(point, ts)
    assert bool(solution.succeeded)
    with mpmath.workdps(80):
        kernel, alpha, m_plus, m_minus = map(mpmath.mpf, (float(point.kernel), float(point.target_mass), plus, minus))
        omega = mpmath.sqrt(alpha**2 + 4 * m_plus * m_minus)
        for i, t in enumerate(ts):
            if omega == 0:
                growth = (1 + 2 * kernel * m_minus * t) / (1 + 2 * kernel * m_plus * t)
            else:
                turn = mpmath.tanh(kernel * omega * t)
                growth = (omega + (alpha + 2 * m_minus) * turn) / (omega - (alpha - 2 * m_plus) * turn)
            assert float(solution.mass_plus[i]) == pytest.approx(float(m_plus * growth), rel=1e-14)
            assert float(solution.mass_minus[i]) == pytest.approx(float(m_minus / growth), rel=1e-14)


# In high dimension the two methods resolve the narrow law of the angle, 1/√d wide, in unrelated ways.
@pytest.mark.slow
@pytest.mark.parametrize(("dim", "dim_h"), [(2, 1), (1000, 5), (1000, 999), (10000, 5)])
def test_methods_agree_in_any_dimension(dim, dim_h):
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), mf.SubspaceNorm(dim_h)), cells=400, nodes=511, modes=64)
    ts = np.array([0.0, 1.0, 10.0])
    grid, labels = (mf.solve_reduced(reduced, ts, method=m, derivative="forward") for m in ("grid", "characteristics"))
    for name in ("risk", "mass_plus", "alignment_plus"):
        assert largest_difference(grid.observables[name], labels.observables[name]) < 2e-4, name


@pytest.mark.slow
@pytest.mark.parametrize("dim_h", [1, 9999])
def test_the_stated_error_holds_at_either_end_of_high_dimension(dim_h):
    reduced = mf.reduce(mf.Problem(mf.Gaussian(10000), mf.SubspaceNorm(dim_h)), cells=200)
    ts = np.array([0.0, 1.0, 3.0])
    grid = mf.solve_reduced(reduced, ts, error=True, derivative="forward")
    labels = mf.solve_reduced(reduced, ts, method="characteristics", derivative="forward")
    for name in ("risk", "mass_plus", "mass_minus"):
        difference = np.abs(grid.observables[name] - labels.observables[name])[1:]
        assert np.all(difference < grid.error[name][1:]), name
        assert np.all(grid.error[name][1:] < 0.02 * labels.observables[name][1:]), name


@pytest.mark.slow
def test_the_smallest_grid_conserves_what_it_must():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2)), cells=8, nodes=7, modes=1)
    for method in ("grid", "characteristics"):
        solution = mf.solve_reduced(reduced, np.array([0.0, 1.0, 1e5]), method=method, derivative="forward")
        assert bool(solution.succeeded) and bool(jnp.all(jnp.diff(solution.risk) < 0))
    assert float(jnp.min(mf.solve_reduced(reduced, np.array([0.0, 1.0, 1e5]), derivative="forward").states)) >= -1e-15


def test_one_neuron_follows_its_closed_solution():
    """f = a b·x (Identity) and f* = x in d = 1: with a = b > 0, (ab)' = 2 ab (1 − ab), a logistic curve."""
    problem = mf.Problem(mf.Gaussian(1), mf.LinearTarget([1.0]), unit=mf.Identity())
    start, ts = 1e-3, np.array([0.0, 1.0, 5.0, 1e5])
    one = mf.Particles(jnp.array([np.sqrt(start)]), jnp.array([[np.sqrt(start)]]))
    options = {"derivative": "forward", "max_steps": 200_000}  # explicit steps of a stiff flow are bounded by stability
    solution = mf.solve_particles(problem, one, ts, rtol=1e-9, atol=1e-12, **options)
    growth = np.exp(2 * np.minimum(ts, 300.0))
    np.testing.assert_allclose(solution.mass_plus, start * growth / (1 + start * (growth - 1)), rtol=1e-7)


def test_duplicates_in_data_are_weights():
    """The empirical risk of rows x, x, y is that of weights ⅔ and ⅓; one row alone is learnt exactly."""
    x = np.random.default_rng(1).standard_normal((2, 4))
    target = mf.FunctionTarget(lambda x: x[0])
    thrice = mf.risk_of(mf.Problem(mf.Empirical(x[[0, 0, 1]]), target)).value(cloud())
    each = [float(mf.risk_of(mf.Problem(mf.Empirical(row[None]), target)).value(cloud())) for row in x]
    assert float(thrice) == pytest.approx((2 * each[0] + each[1]) / 3, rel=1e-14)
    single = mf.solve_particles(
        mf.Problem(mf.Empirical(x[:1]), target), cloud(), np.array([0.0, 100.0]), derivative="forward"
    )
    assert float(single.risk[-1]) < 1e-12 < float(single.risk[0])


@pytest.mark.parametrize("width", [1, 2, 7, 129])
def test_any_width_is_cut_into_blocks(width):
    """E f² and the target term of a cloud, block by block or neuron by neuron, are the same sums."""
    rng = np.random.default_rng(width)
    a, b = rng.standard_normal(width), rng.standard_normal((width, 4))
    norms = np.linalg.norm(b, axis=1)
    q = np.clip((b / norms[:, None]) @ (b / norms[:, None]).T, -1, 1)
    kernel = (np.sqrt((1 - q) * (1 + q)) + (np.pi - np.arccos(q)) * q) / (2 * np.pi)  # E ReLU ReLU (Cho & Saul 2009)
    energy = (a * norms) @ kernel @ (a * norms) / width**2
    # a vanishing target leaves ½ E f²
    risk = mf.risk_of(mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2, 0.0))).value(mf.Particles(a, b))
    assert float(risk) == pytest.approx(energy / 2, rel=1e-12)


def test_a_vanishing_target_is_forgotten():
    """f* = 0: the masses of both signs stay equal, and the risk falls to 0."""
    zero = run(target=0.0)
    assert bool(zero.succeeded) and bool(jnp.all(jnp.isfinite(zero.risk)))
    np.testing.assert_allclose(zero.mass_plus, zero.mass_minus, rtol=1e-12)
    full = mf.solve_particles(problem_of_clouds(0.0), cloud(), np.array([0.0, 10.0]), derivative="forward")
    assert float(full.risk[-1]) < 0.2 * float(full.risk[0])


def test_times_that_are_no_different_numbers_are_refused():
    for ts in ([0.0, 1e-320], [0.0, 1e-300, 1e-300 * (1 + 1e-17)]):
        with pytest.raises(mf.ArgumentError, match="Argument `ts`"):
            run(np.array(ts))
    with pytest.raises(mf.ArgumentError, match="different numbers in float32"):
        run(np.array([0.0, 1.0, 1.0 + 1e-12]), dtype=jnp.float32)
