"""Functions of ‖x_H‖ that are no multiple of it: one angle, by quadrature, against closed forms and all other routes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from combinations import Combination
from sampled_networks import half_energy, trained_risk

import mfsym as mf

SIZES = {"cells": 32, "nodes": 31, "modes": 16}
MIXED = mf.Problem(mf.Gaussian(5), mf.RadialIndex(lambda r: r**2 - r, 2))
TIMES = jnp.array([0.0, 0.5, 2.0])


def energy(reduced, parts=None):
    """½E f*² from what is kept of the target."""
    parts = reduced if parts is None else parts
    return float(parts.floor + parts.tail + 0.5 * jnp.sum(parts.coefficients**2))


def test_a_square_starts_at_its_energy():
    """½E‖x_H‖⁴ = ½ s⁴ k(k+2), and what no 1-homogeneous network can learn of it: with R = ‖x‖ and h = E[R³] cos²θ the rest
    is ½ E cos⁴θ (E R⁴ − (E R³)²/E R²)."""
    dim, k, scale = 6, 3, 1.2
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim, scale), mf.RadialIndex(lambda r: r**2, k)), **SIZES)
    third = 2**1.5 * float(jnp.exp(jax.lax.lgamma((dim + 3) / 2) - jax.lax.lgamma(dim / 2)))
    quartic = k * (k + 2) / (dim * (dim + 2))  # E cos⁴θ
    assert energy(reduced) == pytest.approx(0.5 * scale**4 * k * (k + 2), rel=1e-12)
    assert energy(reduced, reduced.check) == pytest.approx(energy(reduced), rel=1e-12)
    assert float(reduced.floor) == pytest.approx(0.5 * scale**4 * quartic * (dim * (dim + 2) - third**2 / dim), rel=1e-10)


@pytest.mark.slow
def test_special_cases():
    """The norm itself; one coordinate without its sign; a jump whose place nobody declared, ½P(‖x_H‖ > c) = ½e^{−c²/2}."""
    norm, same, jump = (
        mf.reduce(mf.Problem(mf.Gaussian(8), target), **SIZES)
        for target in (
            mf.SubspaceNorm(2),
            mf.RadialIndex(lambda r: r, 2),
            mf.RadialIndex(lambda r: jnp.where(r > 1.234, 1.0, 0.0), 2),
        )
    )
    np.testing.assert_allclose(same.coefficients, norm.coefficients, atol=1e-13)
    np.testing.assert_allclose([same.floor, same.tail], [norm.floor, norm.tail], atol=1e-13)
    assert energy(jump) == pytest.approx(0.5 * np.exp(-(1.234**2) / 2), rel=1e-10)
    single, radial = (
        mf.reduce(mf.Problem(mf.Sphere(8, 2.0), target), **SIZES)
        for target in (mf.SingleIndex(jnp.cos), mf.RadialIndex(jnp.cos, 1))
    )
    np.testing.assert_allclose(radial.coefficients, single.coefficients[:-1], atol=1e-13)


@pytest.mark.slow
def test_all_routes_agree():
    """A grid, labels on the angle, and labels on orbits under a cubature, which shares no quadrature with them.

    The cubature is exact for this target, but not for its products with neurons: 1.5e-3 is missing of F(2) at 40 nodes.
    """
    reduced = mf.reduce(MIXED, **SIZES)
    runs = {
        name: mf.solve_reduced(reduced, TIMES, method=name, derivative="forward") for name in ("grid", "characteristics")
    }
    orbits = mf.solve_reduced(mf.reduce(MIXED, nodes=40, structure="orbits"), TIMES, derivative="forward")
    for name, run in runs.items():
        print(name, run.risk, orbits.risk)
        assert float(run.risk[0]) == pytest.approx(float(orbits.risk[0]), rel=1e-10)
        np.testing.assert_allclose(run.risk, orbits.risk, rtol=3e-3)
    np.testing.assert_allclose(runs["grid"].mass_plus, runs["characteristics"].mass_plus, rtol=1e-4)
    assert float(orbits.risk[-1]) < 0.6 * float(orbits.risk[0])


@pytest.mark.slow
def test_networks_learn_what_the_equation_says():
    """F at t = 0.5 of networks trained in numpy on samples, and of clouds on fresh samples."""
    combination = Combination(target="RadialIndex")
    problem, ts = combination.problem, jnp.array([0.0, 0.25, 0.5])
    run = mf.solve_reduced(mf.reduce(problem, **SIZES), ts, derivative="forward")
    mean, error = trained_risk(combination, mf.Training(), 10)
    slack = 0.01 * half_energy(combination)
    assert abs(float(run.risk[-1]) - mean) < 4 * error + slack
    assert float(run.risk[0] - run.risk[-1]) > 8 * error
    with pytest.raises(mf.ArgumentError, match="samples"):
        mf.risk_of(problem)
    cloud = mf.sphere_cloud(problem, width=1024, key=jax.random.key(0))
    full = mf.solve_particles(problem, cloud, ts, samples=4096, key=jax.random.key(1), step=0.05)
    assert abs(float(full.mass_plus[-1] - run.mass_plus[-1])) < 0.03 * float(run.mass_plus[-1])
    assert set(full.observables) >= {"distance_plus", "alignment_plus"}


@pytest.mark.slow
def test_detection_states_it():
    """‖x_H‖² of a rotated plane, as a bare function, leaves one angle and the numbers of the stated target."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    fn = mf.FunctionTarget(lambda x: jnp.sum((jnp.asarray(rotation[:2]) @ x) ** 2))
    found = mf.reduce(mf.Problem(mf.Gaussian(5), fn), **SIZES)
    stated = mf.reduce(mf.Problem(mf.Gaussian(5), mf.RadialIndex(lambda r: r**2, 2)), **SIZES)
    np.testing.assert_allclose(found.coefficients, stated.coefficients, atol=1e-10)
    basis = np.asarray(found.basis)
    np.testing.assert_allclose(basis.T @ basis, rotation[:2].T @ rotation[:2], atol=1e-9)


def test_functions_of_all_of_x_have_the_closed_solution():
    """‖x‖² in R³: the multiple E R³/E R² of ‖x‖ is learnt, E R³ = 8 √(2/π), and ½(E R⁴ − (E R³)²/E R²) stays."""
    square, norm = (
        mf.solve_reduced(mf.reduce(mf.Problem(mf.Gaussian(3), target)), jnp.array([0.0, 1.0, 200.0]), error=True)
        for target in (mf.RadialIndex(lambda r: r**2, 3), mf.SubspaceNorm(3, 8 * np.sqrt(2 / np.pi) / 3))
    )
    np.testing.assert_allclose(square.mass_plus, norm.mass_plus, rtol=1e-12)
    assert float(square.risk[0]) == pytest.approx(7.5, rel=1e-12)
    floor = 0.5 * (15 - 128 / np.pi / 3)
    np.testing.assert_allclose(square.risk - norm.risk, floor, rtol=1e-11)
    assert float(jnp.max(square.error["risk"])) < 1e-10 and float(square.risk[-1]) == pytest.approx(floor, rel=1e-9)


def test_wrong_arguments():
    with pytest.raises(mf.ArgumentError, match="`dim_h`"):
        mf.RadialIndex(jnp.tanh, 0)
    with pytest.raises(mf.ArgumentError, match="at most 3"):
        mf.Problem(mf.Gaussian(3), mf.RadialIndex(jnp.tanh, 4))
    with pytest.raises(mf.ArgumentError, match="f\\* is NaN at x_1 = 0"):
        mf.Problem(mf.Gaussian(3), mf.RadialIndex(lambda r: jnp.sin(r) / r, 2))


@pytest.mark.slow
def test_derivative_in_an_array_of_the_function():
    """dF(0.5)/ds of g = tanh(s r), forward, against central differences."""

    class Scaled(eqx.Module):
        scale: jax.Array

        def __call__(self, r):
            return jnp.tanh(self.scale * r)

    @jax.jit
    def last(scale):
        reduced = mf.reduce(mf.Problem(mf.Gaussian(5), mf.RadialIndex(Scaled(scale), 2)), cells=16, nodes=15, modes=8)
        return mf.solve_reduced(reduced, jnp.array([0.0, 0.5]), derivative="forward", rtol=1e-9, atol=1e-10).risk[-1]

    at, step = jnp.asarray(1.3), 1e-4
    slope = float(jax.jit(jax.jacfwd(last))(at))
    assert slope == pytest.approx(float(last(at + step) - last(at - step)) / (2 * step), rel=1e-5)
