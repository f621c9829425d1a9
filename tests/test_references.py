"""The reference formulas checked against each other, before they judge the library."""

import numpy as np
import pytest
import references
import scipy.special


def hermite_4(z):
    """He_4 normalised in L2 of the standard normal law."""
    return (z**4 - 6 * z**2 + 3) / np.sqrt(24)


@pytest.mark.parametrize(("n", "value"), [(1, 2), (2, np.pi), (5, 16 / 3), (10, 7.731263170943631)])
def test_alpha_at_small_dimensions(n, value):
    assert references.alpha(n) == pytest.approx(value, rel=1e-15)


def test_alpha_does_not_overflow():
    n = 10_000  # Stirling: sqrt(2 pi n) (1 - 1/(4n) + 1/(32 n^2) + O(n^-3))
    expected = np.sqrt(2 * np.pi * n) * (1 - 1 / (4 * n) + 1 / (32 * n**2))
    assert references.alpha(n) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("odd", "even"), [(0.5, 0.5), (0.6, 0.4), (1.0, 0.0), (0.0, 1.0)])
def test_arc_cosine_against_two_dimensional_integral(odd, even):
    # Gaussian in polar coordinates: E r^2 = 2 and a trapezoidal mean over the angle (second order: kinks).
    angle = np.linspace(0, 2 * np.pi, 200_001)[:-1]

    def unit(z):
        return odd * z + even * np.abs(z)

    for q in (-0.9, -0.2, 0.5, 1.0):
        mean = 2 * np.mean(unit(np.cos(angle)) * unit(np.cos(angle - np.arccos(q))))
        assert references.arc_cosine(q, odd, even) == pytest.approx(mean, abs=1e-9)


def test_arc_cosine_is_the_published_relu_form():
    q = np.linspace(-0.999, 0.999, 41)
    published = (np.sqrt(1 - q**2) + q * (np.pi - np.arccos(q))) / (2 * np.pi)
    np.testing.assert_allclose(references.arc_cosine(q), published, atol=1e-15)
    slope = (references.arc_cosine(q + 1e-6) - references.arc_cosine(q - 1e-6)) / 2e-6
    np.testing.assert_allclose(references.arc_cosine_derivative(q), slope, atol=1e-8)


@pytest.mark.parametrize("rule", ["gauss-jacobi", "graded"])
@pytest.mark.parametrize("dim", [1, 2, 3, 4, 7])
def test_averaging_rule_moments(dim, rule):
    points, weights = references.averaging_rule(dim, 96, rule)
    moments = [weights @ points**power for power in (0, 1, 2, 4)]
    np.testing.assert_allclose(moments, [1, 0, 1 / dim, 3 / (dim * (dim + 2))], atol=1e-13)


@pytest.mark.parametrize("dim", [100, 5000])
def test_averaging_rule_moments_in_high_dimension(dim):
    points, weights = references.averaging_rule(dim)
    moments = [weights @ points**power for power in (0, 2, 4)]
    np.testing.assert_allclose(moments, [1, 1 / dim, 3 / (dim * (dim + 2))], rtol=1e-12)


@pytest.mark.parametrize("case", references.KERNEL_TABLE)
def test_kernel_table(case):
    dim_h, dim_perp, theta, theta2 = case
    kernel, target_term = references.KERNEL_TABLE[case]
    graded = references.kernel_by_quadrature(theta, theta2, dim_h, dim_perp)[0, 0]
    jacobi = references.kernel_by_quadrature(theta, theta2, dim_h, dim_perp, rule="gauss-jacobi")[0, 0]
    appell = references.kernel_by_appell(theta, theta2, dim_h, dim_perp, max_degree=2000)
    np.testing.assert_allclose([graded, jacobi, appell], kernel, atol=2e-9)
    assert graded == pytest.approx(appell, abs=2e-9 if theta == 0 else 1e-13)
    np.testing.assert_allclose(references.target_term_norm(theta, dim_h), target_term, atol=1e-9)


@pytest.mark.parametrize(("dim_h", "dim_perp"), [(1, 1), (1, 19), (2, 2), (2, 38), (5, 25), (10, 1000)])
def test_kernel_corners(dim_h, dim_perp):
    corners = references.kernel_corners(dim_h, dim_perp)
    ends = np.array([0, np.pi / 2])
    kernel = references.kernel_by_quadrature(ends, ends, dim_h, dim_perp)
    np.testing.assert_allclose(kernel, [corners[:2], corners[1:]], atol=1e-14)


@pytest.mark.parametrize(("dim_h", "dim_perp"), [(1, 3), (2, 2), (2, 9), (5, 25), (9, 9), (12, 20)])
def test_kernel_near_the_diagonal_does_not_move_with_the_nodes(dim_h, dim_perp):
    theta = np.array([0, 1e-3, 0.3, 0.8, np.pi / 2 - 1e-4])
    for derivative in (False, True):
        coarse, fine = (
            references.kernel_by_quadrature(theta, theta + 1e-5, dim_h, dim_perp, nodes, derivative=derivative)
            for nodes in (64, 200)
        )
        np.testing.assert_allclose(coarse, fine, atol=2e-13)


def test_kernel_derivatives_against_differences():
    theta, theta2, step = np.array([0.2, 0.7, 1.3]), np.array([0.4, 0.7, 1.5]), 1e-5
    for kernel in (
        lambda t, **options: references.kernel_by_quadrature(t, theta2, 2, 7, **options),
        lambda t, **options: references.kernel_single_index(t, theta2, 6, **options),
    ):
        slope = (kernel(theta + step) - kernel(theta - step)) / (2 * step)
        np.testing.assert_allclose(kernel(theta, derivative=True), slope, atol=2e-7)


def test_radial_kernel_with_one_dimension_is_the_mean_of_single_index_kernels():
    theta = np.array([0.1, 0.6, 1.4])
    mean = sum(references.kernel_single_index(theta, other, 9) for other in (theta, np.pi - theta)) / 2
    np.testing.assert_allclose(references.kernel_by_quadrature(theta, theta, 1, 8), mean, atol=1e-13)


@pytest.mark.parametrize(("dim_h", "dim_perp", "theta", "theta2"), [(5, 25, 0.3, 1.1), (2, 3, 0.9, 0.8)])
def test_kernel_and_target_term_by_monte_carlo(dim_h, dim_perp, theta, theta2):
    generator, samples = np.random.default_rng(3), 200_000

    def directions(angle):
        u_h = generator.standard_normal((samples, dim_h))
        u_perp = generator.standard_normal((samples, dim_perp))
        u_h *= np.cos(angle) / np.linalg.norm(u_h, axis=1, keepdims=True)
        u_perp *= np.sin(angle) / np.linalg.norm(u_perp, axis=1, keepdims=True)
        return np.hstack([u_h, u_perp])

    x = generator.standard_normal((samples, dim_h + dim_perp))
    first = np.maximum(np.sum(directions(theta) * x, axis=1), 0)
    second = np.maximum(np.sum(directions(theta2) * x, axis=1), 0)
    kernel = references.kernel_by_quadrature(theta, theta2, dim_h, dim_perp)[0, 0]
    target_term = references.target_term_norm(theta, dim_h)
    target = np.linalg.norm(x[:, :dim_h], axis=1)
    for draws, value in ((first * second, kernel), (first * target, target_term)):
        assert abs(draws.mean() - value) < 3 * draws.std() / np.sqrt(samples)


@pytest.mark.parametrize("dim_h", [1, 2, 5, 12])
def test_target_term_norm_is_alpha_times_kernel_at_the_pole(dim_h):
    theta = np.linspace(0, np.pi / 2, 7)
    expected = references.alpha(dim_h) * references.kernel_by_quadrature(theta, 0.0, dim_h, 6)[:, 0]
    np.testing.assert_allclose(references.target_term_norm(theta, dim_h), expected, atol=1e-13)


@pytest.mark.parametrize("cosine", [1.0, 1 - 1e-9, 0.6, 1e-4, 0.0, -0.3, -1.0])
def test_target_term_single_index_closed_forms(cosine):
    angle = np.arccos(abs(cosine))
    absolute = 2 * (np.sin(angle) + (np.pi / 2 - angle) * np.cos(angle)) / (2 * np.pi)
    assert references.target_term_single_index(np.abs, cosine) == pytest.approx(absolute, abs=1e-13)
    assert references.target_term_norm(angle, 1) == pytest.approx(absolute, abs=1e-13)
    quartic = -(cosine**4) / np.sqrt(48 * np.pi)
    assert references.target_term_single_index(hermite_4, cosine) == pytest.approx(quartic, abs=1e-13)
    leaky = references.target_term_single_index(lambda z: max(z, 0.1 * z), cosine, odd=0.55, even=0.45)
    assert leaky == pytest.approx(references.arc_cosine(cosine, 0.55, 0.45), abs=1e-13)


def test_target_term_single_index_with_a_kink_away_from_zero():
    # By parts, k >= 0: E[(z - k)_+ z_+] = Phi(-k) at cos = 1; E[(z - k)_+] / sqrt(2 pi) at cos = 0.
    k, density, tail = 0.7, np.exp(-0.245) / np.sqrt(2 * np.pi), scipy.special.ndtr(-0.7)
    for cosine, value in ((1.0, tail), (0.0, (density - k * tail) / np.sqrt(2 * np.pi))):
        result = references.target_term_single_index(lambda z: max(z - k, 0), cosine, (k,))
        assert result == pytest.approx(value, abs=1e-13)


def test_funk_hecke_table_and_closed_form():
    for degree, value in references.FUNK_HECKE_DIM_5.items():
        assert references.funk_hecke(degree, 5) == pytest.approx(value, abs=1e-14)
    for dim in (2, 3, 40):
        zero = 1 / references.alpha(dim)
        assert references.funk_hecke(0, dim) == pytest.approx(zero, abs=1e-14)
        assert references.funk_hecke(1, dim, odd=0.55) == pytest.approx(0.55 / dim, abs=1e-14)


@pytest.mark.slow
def test_funk_hecke_coefficients_rebuild_the_kernel():
    # d = 3: kappa(q) = 3 sum_k a_k^2 (2k + 1) P_k(q), P_k Legendre; odd k >= 3 vanish.
    total = 0.0
    for degree in (0, 1, *range(2, 80, 2)):
        harmonic = (2 * degree + 1) * scipy.special.eval_legendre(degree, 0.3)
        total += 3 * references.funk_hecke(degree, 3) ** 2 * harmonic
    assert total == pytest.approx(references.arc_cosine(0.3), abs=1e-7)


def test_risk_vanishes_at_the_minimiser_and_starts_at_half_the_energy():
    for dim_h in (1, 2, 5):

        def target_term(theta, dim_h=dim_h):
            return references.target_term_norm(theta, dim_h)

        minimiser = references.risk_on_nodes([0.0], [references.alpha(dim_h)], dim_h, 20, target_term, dim_h)
        start = references.risk_on_nodes([0.4, 0.4], [0.5, -0.5], dim_h, 20, target_term, dim_h)
        np.testing.assert_allclose([minimiser, start], [0, dim_h / 2], atol=1e-13)
    with pytest.raises(ValueError, match="kind"):
        references.risk_on_nodes([0.0], [1.0], 1, 3, target_term, 1, kind="other")


@pytest.mark.parametrize("kind", ["radial", "single-index"])
def test_risk_on_nodes_against_a_symmetric_network(kind):
    # In d = 2 with d_H = 1 the averages are finite: flips of both coordinates (radial) or of the second.
    theta, masses = np.array([0.2, 0.9, 1.4]), np.array([1.3, -0.4, 0.7])
    flips = [(1, 1), (1, -1)] + ([(-1, 1), (-1, -1)] if kind == "radial" else [])
    b = np.concatenate([np.stack([s * np.cos(theta), r * np.sin(theta)], axis=1) for s, r in flips])
    a = np.tile(masses * len(theta), len(flips))
    value, error = references.network_risk_monte_carlo(a, b, lambda x: np.abs(x[:, 0]), 200_000, seed=1)
    exact = references.risk_on_nodes(theta, masses, 1, 2, references.target_term_norm(theta, 1), 1.0, kind)
    assert abs(value - exact) < 3 * error
    assert error < 0.005 * exact


def test_no_angle_masses_solve_their_equation():
    dim, step = 5, 1e-5
    start_plus, start_minus = references.no_angle_masses(0.0, dim)
    assert (start_plus, start_minus) == (0.5, 0.5)
    rate, a = 2 * dim / references.alpha(dim) ** 2, references.alpha(dim)
    for t in (0.1, 1.0, 3.0):
        later, earlier = references.no_angle_masses(t + step, dim), references.no_angle_masses(t - step, dim)
        plus, minus = references.no_angle_masses(t, dim)
        slope = (np.log(later[0]) - np.log(earlier[0])) / (2 * step)
        assert slope == pytest.approx(rate * (a - (plus - minus)), abs=1e-8)
        assert plus * minus == pytest.approx(0.25, rel=1e-12)


def test_tables_are_consistent():
    assert references.REFERENCE_RUN[0][4] == 2.5
    for exact, published, euler in references.DIM_40_TABLE.values():
        np.testing.assert_allclose(published[0], exact[0], rtol=0.006)
        assert 0.92 < published[1] / exact[1] < 0.98
        np.testing.assert_allclose(euler[0], exact[0], rtol=3e-4)
        assert 0.93 < euler[1] / exact[1] < 1
