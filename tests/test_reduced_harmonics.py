"""Features, kernel and target term of the reduced route against quadrature and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
import references

import mfsym as mf
from mfsym.reduced.line.angle_structure import default_modes
from mfsym.reduced.rules.harmonics import even_features, funk_hecke, kernel_at_pole, norm_constant, truncated_share


def features(dim, dim_h, count, theta):
    """ψ_n(θ) and its derivative for x ~ N(0, I_d), [count, n]."""
    values, slopes = even_features(dim, dim_h, count, jnp.asarray(float(dim)))(jnp.asarray(theta))
    return np.asarray(values), np.asarray(slopes)


@pytest.mark.parametrize("dim", [2, 3, 40])
def test_funk_hecke_coefficients(dim):
    for degree in (0, 1, 2, 7, 30):
        assert funk_hecke(degree, dim) == pytest.approx(references.funk_hecke(degree, dim), abs=1e-14)


def test_funk_hecke_table():
    for degree, value in references.FUNK_HECKE_DIM_5.items():
        assert funk_hecke(degree, 5) == pytest.approx(value, rel=1e-13, abs=0)


@pytest.mark.parametrize("n", [1, 2, 5, 10_000])
def test_norm_constant(n):
    assert norm_constant(n) == pytest.approx(references.alpha(n), rel=1e-11)


@pytest.mark.parametrize("case", references.KERNEL_TABLE)
def test_kernel_and_target_term_of_the_table(case):
    dim_h, dim_perp, theta, theta2 = case
    kernel, target_term = references.KERNEL_TABLE[case]
    values, _ = features(dim_h + dim_perp, dim_h, 512, [theta, theta2, 0.0])
    assert values[:, 0] @ values[:, 1] == pytest.approx(kernel, abs=1e-8)
    assert references.alpha(dim_h) * values[:, 0] @ values[:, 2] == pytest.approx(target_term, abs=1e-8)


# The series converges geometrically away from the diagonal, algebraically on it.
@pytest.mark.parametrize(
    ("dim_h", "dim_perp", "count", "tolerance"),
    [
        (1, 1, 512, 1e-9),  # d = 2
        (2, 2, 256, 1e-11),
        (1, 19, 512, 1e-9),
        (2, 38, 256, 1e-9),
        (5, 25, 64, 1e-11),
        (10, 40, 32, 1e-13),
        (10, 9990, 32, 1e-11),
    ],
)
def test_kernel_at_the_corners(dim_h, dim_perp, count, tolerance):
    values, _ = features(dim_h + dim_perp, dim_h, count, [0.0, np.pi / 2])
    corners = references.kernel_corners(dim_h, dim_perp)
    kernel = values.T @ values
    np.testing.assert_allclose(kernel[[0, 0, 1], [0, 1, 1]], corners, atol=tolerance)
    dim = dim_h + dim_perp
    assert dim * kernel_at_pole(dim, dim_h) == pytest.approx(corners[0], rel=1e-10)
    shares = truncated_share(dim, dim_h, count)
    np.testing.assert_allclose(shares, 1 - np.cumsum(values[:, 0] ** 2) / corners[0], atol=1e-12)


@pytest.mark.parametrize(("dim_h", "dim_perp"), [(1, 1), (1, 3), (3, 1), (2, 3), (5, 25), (1, 59), (20, 20)])
def test_radial_kernel_off_the_diagonal(dim_h, dim_perp):
    theta = np.linspace(0.02, 1.5, 7)
    other = theta + 0.06
    values, slopes = features(dim_h + dim_perp, dim_h, 512, np.concatenate([theta, other]))
    for derivative, left in ((False, values), (True, slopes)):
        expected = references.kernel_by_quadrature(theta, other, dim_h, dim_perp, 200, derivative=derivative)
        far = np.abs(theta[:, None] - other) > 0.05
        difference = left[:, :7].T @ values[:, 7:] - expected
        assert np.abs(difference[far]).max() < (1e-7 if derivative else 1e-9)


@pytest.mark.parametrize(
    ("dim", "unit", "odd", "even"),
    [(dim, mf.ReLU(), 0.5, 0.5) for dim in (2, 3, 20, 1000, 10_000)]
    + [(5, mf.LeakyReLU(0.2), 0.6, 0.4), (5, mf.Identity(), 1.0, 0.0)],
)
def test_signed_kernel_off_the_diagonal(dim, unit, odd, even):
    target = mf.LinearTarget(np.eye(dim)[0])  # the kernel does not depend on it
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), target, unit=unit), cells=8, nodes=7, modes=128)
    theta = np.linspace(0.05, 3.1, 9)
    other = theta + np.where(theta > 1.6, -0.17, 0.17)
    rule = "auto" if dim < 100 else "gauss-jacobi"
    expected = references.kernel_single_index(theta, other, dim, 200, rule, odd, even)
    kernel = reduced.kernel(jnp.asarray(theta), jnp.asarray(other))
    np.testing.assert_allclose(kernel, expected, atol=1e-9)
    assert np.isfinite(reduced.target_term(jnp.asarray(theta))).all()


@pytest.mark.parametrize("dim_h", [1, 10, 9999])
def test_ten_thousand_dimensions_are_finite(dim_h):
    values, slopes = features(10_000, dim_h, 256, np.linspace(0, np.pi / 2, 11))
    assert np.isfinite(values).all() and np.isfinite(slopes).all()
    assert np.abs(values).max() < 0.5  # bounded by √K(0, 0)


def test_slopes_are_the_derivatives():
    evaluate = even_features(12, 3, 40, jnp.asarray(12.0))
    theta = jnp.linspace(0.0, np.pi / 2, 9)
    _, slopes = evaluate(theta)
    _, forward = jax.jvp(lambda t: evaluate(t)[0], (theta,), (jnp.ones_like(theta),))
    np.testing.assert_allclose(slopes, forward, atol=1e-12)


@pytest.mark.parametrize("case", problems.SIX + problems.MORE_TARGETS, ids=lambda case: case.name)
def test_target_term(case):
    """g* by the features against quadrature over x_1 or the closed form, and ½E f*² = floor + ½Ση² + tail."""
    reduced = mf.reduce(case.problem(), cells=8, nodes=7, modes=200)
    theta = np.array([0.0, 0.3, 0.9, 1.2, np.pi / 2, 2.0, 2.9, np.pi])
    theta = theta[theta <= case.end]
    np.testing.assert_allclose(reduced.target_term(jnp.asarray(theta)), case.target_term(theta), atol=4e-9)
    parts = float(reduced.floor + 0.5 * jnp.sum(reduced.coefficients**2) + reduced.tail)
    assert parts == pytest.approx(case.energy / 2, rel=1e-11)
    assert reduced.floor > -1e-15 and reduced.tail >= 0


@pytest.mark.parametrize("target", [mf.SubspaceNorm(3, 1.4), mf.SingleIndex(jnp.abs)])
def test_inputs_of_another_size(target):
    """K and g* of a 1-homogeneous target are those of N(0, I_d) times E‖x‖²/d."""
    theta = jnp.linspace(0.1, 1.4, 5)
    laws = mf.Gaussian(12), mf.Gaussian(12, 1.7), mf.Sphere(12, 3.0)
    plain, *others = (mf.reduce(mf.Problem(law, target), cells=8, nodes=7, modes=100) for law in laws)
    for scaled, factor in zip(others, (1.7**2, 9.0 / 12), strict=True):
        np.testing.assert_allclose(scaled.kernel(theta, theta), factor * plain.kernel(theta, theta), rtol=1e-12)
        np.testing.assert_allclose(scaled.target_term(theta), factor * plain.target_term(theta), rtol=1e-10)
        energies = [0.5 * jnp.sum(r.coefficients**2) + r.tail + r.floor for r in (scaled, plain)]
        assert float(energies[0] / energies[1]) == pytest.approx(factor, rel=1e-10)


@pytest.mark.parametrize("inputs", [mf.Gaussian(6, 1.5), mf.Sphere(6, 2.0)])
def test_target_that_is_not_homogeneous_on_other_inputs(inputs):
    """g* = E[f*(x) σ(u·x)] by sampling, for a kink away from 0 and both parities."""
    problem = mf.Problem(inputs, mf.SingleIndex(lambda z: jax.nn.relu(z - 0.4), (0.4,)), unit=mf.LeakyReLU(0.3))
    reduced = mf.reduce(problem, cells=8, nodes=7, modes=100)
    x, values = problem.sample(jax.random.key(0), 400_000)
    for theta in (0.0, 1.0, 2.5):
        z = np.cos(theta) * np.asarray(x[:, 0]) + np.sin(theta) * np.asarray(x[:, 1])
        draws = np.where(z > 0, z, 0.3 * z) * np.asarray(values)
        difference = draws.mean() - float(reduced.target_term(jnp.asarray([theta]))[0])
        assert abs(difference) < 4 * draws.std() / np.sqrt(len(draws))
    energies = float(reduced.floor + 0.5 * jnp.sum(reduced.coefficients**2) + reduced.tail)
    draws = 0.5 * np.asarray(values) ** 2
    assert abs(draws.mean() - energies) < 4 * draws.std() / np.sqrt(len(draws))


def test_floor_of_odd_targets():
    """Only the linear part of an odd target can be learnt: x³ = 3x + (x³ − 3x), ½E(x³ − 3x)² = 3."""
    reduced = mf.reduce(mf.Problem(mf.Gaussian(7), mf.SingleIndex(lambda z: z**3)), cells=8, nodes=7, modes=20)
    assert float(reduced.coefficients[-1]) == pytest.approx(3.0, rel=1e-12)
    np.testing.assert_allclose(reduced.coefficients[:-1], 0, atol=1e-13)
    assert float(reduced.floor) == pytest.approx(3.0, rel=1e-11)


def test_floor_of_units_that_miss_a_part():
    # |z| = (z)_+ + (−z)_+ is even: a linear network learns nothing of it, an even unit all.
    energy, target = 0.5, mf.SingleIndex(jnp.abs)
    for unit, floor in ((mf.Identity(), energy), (mf.LeakyReLU(-1.0), 0.0), (mf.LeakyReLU(1.0), energy)):
        reduced = mf.reduce(mf.Problem(mf.Gaussian(9), target, unit=unit), cells=8, nodes=7, modes=20)
        assert float(reduced.floor) == pytest.approx(floor, abs=1e-12)
    # z is odd: an even unit learns nothing of it.
    reduced = mf.reduce(mf.Problem(mf.Gaussian(9), mf.SingleIndex(lambda z: z), unit=mf.LeakyReLU(-1.0)), cells=8)
    assert float(reduced.floor) == pytest.approx(0.5, abs=1e-12)
    radial = mf.reduce(mf.Problem(mf.Gaussian(9), mf.SubspaceNorm(2), unit=mf.Identity()), cells=8)
    assert float(radial.floor + radial.tail) == pytest.approx(1.0, abs=1e-12)


def test_default_modes_follow_the_closed_form_tail():
    for dim, dim_h in ((30, 5), (40, 2), (60, 10), (4, 2)):
        modes = default_modes(dim, dim_h)
        shares = truncated_share(dim, dim_h, modes)
        assert shares[-1] <= 1e-7
        assert modes == 16 or shares[-2] > 1e-7
    assert default_modes(20, 1) == 128


@pytest.mark.parametrize("dim", [3, 30])
def test_linear_target_is_a_single_index(dim):
    w = np.linspace(-1, 2, dim)
    theta = jnp.linspace(0.0, np.pi, 7)
    pair = (mf.LinearTarget(w), mf.SingleIndex(lambda z: np.linalg.norm(w) * z))
    linear, single = (mf.reduce(mf.Problem(mf.Sphere(dim, 2.0), target), cells=8, nodes=7, modes=16) for target in pair)
    np.testing.assert_allclose(linear.coefficients, single.coefficients, atol=1e-13)
    np.testing.assert_allclose(linear.target_term(theta), single.target_term(theta), atol=1e-13)
    np.testing.assert_allclose([linear.floor, linear.tail], [single.floor, single.tail], atol=1e-13)
    np.testing.assert_allclose(linear.basis, [w / np.linalg.norm(w)], rtol=1e-12)


def test_absolute_value_is_the_norm_of_one_coordinate():
    single, norm = (
        mf.reduce(mf.Problem(mf.Gaussian(15), t), modes=40) for t in (mf.SingleIndex(jnp.abs), mf.SubspaceNorm(1))
    )
    theta = jnp.linspace(0.0, np.pi / 2, 7)
    np.testing.assert_allclose(single.coefficients[:-1], norm.coefficients, atol=1e-13)
    np.testing.assert_allclose(single.target_term(theta), norm.target_term(theta), atol=1e-12)
    assert float(single.tail) == pytest.approx(float(norm.tail), abs=1e-12)


@pytest.mark.float32
def test_features_in_single_precision():
    theta = jnp.linspace(0.0, np.pi / 2, 9, dtype=jnp.float32)
    values, slopes = even_features(30, 5, 48, jnp.asarray(30.0, jnp.float32))(theta)
    assert values.dtype == slopes.dtype == jnp.float32
    kernel = references.kernel_by_quadrature(np.asarray(theta, float), np.asarray(theta, float), 5, 25)
    np.testing.assert_allclose(np.asarray(values).T @ np.asarray(values), kernel, atol=2e-6)
