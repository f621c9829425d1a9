"""Fluctuations of finite networks: blocks, their response by two routes, published numbers, refusals."""

import functools
import math

import block_flows
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from budgets import PROBLEMS, at, run_of

import mfsym as mf
from mfsym.distances import squared_distances
from mfsym.fluctuations.panels import budget_times, integration_matrix, panels_of, value_at
from mfsym.fluctuations.passive import correlation
from mfsym.fluctuations.response import eliminate
from mfsym.fluctuations.sources import Sources
from mfsym.reduced.line.isotypic import Powers, block_features, blocks_of, evaluate
from mfsym.solution import Status

# ---- panels ----


def test_panels_integrate_and_interpolate_polynomials_of_degree_seven():
    ts = budget_times(10.0)
    panels = panels_of(ts)
    for power in range(8):
        found = panels.join(panels.integrate(panels.split(ts**power)))
        np.testing.assert_allclose(found, ts ** (power + 1) / (power + 1), rtol=1e-12, atol=1e-13)
    assert value_at(ts, ts**7, 3.3) == pytest.approx(3.3**7, rel=1e-12)
    assert np.abs(integration_matrix()[-1].sum() - 1) < 1e-14


@pytest.mark.parametrize("until", [0.2, 1.0, 7.3, 100.0])
def test_panels_end_where_they_should(until):
    ts = np.asarray(budget_times(until))
    assert ts[0] == 0 and ts[-1] == pytest.approx(until, rel=1e-12) and np.all(np.diff(ts) > 0)
    assert np.asarray(panels_of(jnp.asarray(ts)).lengths).sum() == pytest.approx(until)


# ---- blocks ----


def features_at(reduced, theta, degree):
    """Rows of all blocks, and their features [B, n, T] with two derivatives."""

    @jax.jit
    def evaluated(theta):
        rows = block_features(reduced, blocks_of(reduced, degree), degree)
        return rows, jax.vmap(lambda row: evaluate(row, Powers.of(theta, degree)))(rows)

    return evaluated(theta)


@pytest.mark.parametrize("name", ["(8,2)", "relu"])
def test_features_of_all_blocks_obey_the_addition_theorem(name):
    """Σ N φ² over the harmonics of one degree k is λ_k dim H_k(R^d), whatever the angle."""
    dim, reduced = PROBLEMS[name][0], small_reduction(name)
    theta, blocks = jnp.linspace(0.05, reduced.end - 0.05, 9), blocks_of(reduced, 6)
    rows, (values, _, _) = features_at(reduced, theta, 6)
    squares, found = np.asarray(rows.copies)[:, None, None] * np.asarray(values) ** 2, {}
    for (i, j), block in zip(blocks, squares, strict=True):
        first = j + j % 2 if reduced.signed else i + j
        for n, row in enumerate(block[:4]):
            found[first + 2 * n] = found.get(first + 2 * n, 0) + row
        if reduced.signed:
            found[1] = found.get(1, 0) + block[4]
    for k in (0, 1, 2, 4, 6):
        wanted = dim * block_flows.funk_hecke(k, dim) ** 2 * dimension(dim, k)
        np.testing.assert_allclose(found.pop(k), wanted, rtol=1e-10)
    assert all(np.all(rest == 0) for rest in found.values())


def dimension(dim: int, degree: int) -> int:
    """Of the harmonics of R^d."""
    return math.comb(dim + degree - 1, degree) - (math.comb(dim + degree - 3, degree - 2) if degree > 1 else 0)


@functools.cache
def small_reduction(name: str, unit=None):
    dim, target = PROBLEMS[name]
    return mf.reduce(mf.Problem(mf.Gaussian(dim), target, unit), nodes=15)


@pytest.mark.parametrize("name", ["(8,2)", "relu"])
def test_block_zero_has_the_features_of_the_reduction(name):
    reduced = small_reduction(name)
    step, theta = 1e-5, np.linspace(0.05, reduced.end - 0.05, 9)
    points = jnp.asarray(np.concatenate([theta, theta + step, theta - step]))
    values, slopes, curvatures = (np.asarray(each[0]) for each in features_at(reduced, points, 6)[1])
    kept = np.r_[np.arange(4), [-1] if reduced.signed else []].astype(int)
    wanted = [np.asarray(reduced.factors)[kept, None] * np.asarray(each)[kept] for each in reduced.features(points)]
    np.testing.assert_allclose(values, wanted[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(slopes, wanted[1], rtol=1e-12, atol=1e-14)
    differences = (slopes[:, 9:18] - slopes[:, 18:]) / (2 * step)
    np.testing.assert_allclose(curvatures[:, :9], differences, rtol=1e-7, atol=1e-9)


def test_blocks_that_a_dimension_does_not_have_are_left_out():
    reduced = small_reduction("(8,2)")
    assert {i for i, _ in blocks_of(reduced, 8)} == set(range(9))
    line = eqx.tree_at(lambda r: r.dim_h, reduced, jnp.asarray(1.0))
    assert {i for i, _ in blocks_of(line, 8)} == {0, 1}
    signed = eqx.tree_at(lambda r: r.dim, small_reduction("relu"), jnp.asarray(2.0))
    assert blocks_of(signed, 8) == ((0, 0), (0, 1))


# ---- the response of a block, by two routes ----

ROUTES = {
    "radial (0,0)": ("(10,2)", (0, 0)),
    "radial (1,0)": ("(10,2)", (1, 0)),
    "radial (1,1)": ("(10,2)", (1, 1)),
    "radial (2,0)": ("(10,2)", (2, 0)),
    "signed 0": ("relu", (0, 0)),
    "signed 1": ("relu", (0, 1)),
    "signed 2": ("relu", (0, 2)),
}
SHORT = (0.0, 0.5, 1.0)
LABELS, MODES, DEGREE = 15, 6, 6


def noises(reduced, signs: str = "balanced"):
    """ζ [B, L, S] of all blocks at the labels of a reduction."""
    theta, share = reduced.node_angles, reduced.node_weights()

    @jax.jit
    def drawn():
        sources = Sources(reduced, Powers.of(theta, DEGREE), jnp.sqrt(share / jnp.sum(share)), signs)
        return jax.vmap(sources.noise)(block_features(reduced, blocks_of(reduced, DEGREE), DEGREE))

    return drawn()


@pytest.mark.parametrize("signs", ["balanced", "random", "paired"])
def test_the_noise_of_a_start_has_its_covariance(signs):
    """Cov of Σ ζ f over both signs, f = cos²θ sin θ in block (0, 1) and cos²θ in block (0, 0): by the counts of neurons."""
    reduced = small_reduction("(8,2)")
    theta, probability = np.asarray(reduced.node_angles), np.asarray(reduced.node_weights())
    probability = probability / probability.sum()
    found, blocks = np.asarray(noises(reduced, signs)), blocks_of(reduced, DEGREE)
    for block, f in (((0, 0), np.cos(theta) ** 2), ((0, 1), np.cos(theta) ** 2 * np.sin(theta))):
        sums = np.einsum("i,eis->es", f, found[blocks.index(block)].reshape(2, len(theta), -1))
        square, mean = probability @ f**2, probability @ f
        wanted = np.full((2, 2), square / 2) if signs == "paired" else np.eye(2) * square / 2
        if block == (0, 0):
            wanted -= {"paired": np.full((2, 2), 0.5), "balanced": np.eye(2) / 2, "random": np.full((2, 2), 0.25)}[
                signs
            ] * mean**2
        np.testing.assert_allclose(sums @ sums.T, wanted, rtol=1e-9, atol=1e-12)


@functools.cache
def coarse_budget(name: str) -> tuple[mf.Solution, mf.ErrorBudget]:
    dim, target = PROBLEMS[name]
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), target), nodes=LABELS, modes=MODES)
    run = mf.solve_reduced(reduced, mf.budget_times(SHORT[-1]), method="characteristics", derivative="forward")
    return run, mf.error_budget(run, degree=DEGREE, bias=False)


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
def test_a_block_agrees_with_one_equation_for_every_label(route):
    """The Volterra equation against X, Θ, ψ_H and ψ_⊥ of every label, on the same labels and modes."""
    name, (ell_h, ell_p) = ROUTES[route]
    run, budget = coarse_budget(name)
    reduced, (dim, _) = run.model, PROBLEMS[name]
    if reduced.signed:
        invariant, block = block_flows.signed_block(dim, 0, 2 * MODES - 2), block_flows.signed_block(dim, ell_p, DEGREE)
        target = [at_pole(member) for member in invariant]  # f* = ReLU(x_1) is a neuron at θ = 0
        casimirs = (0, ell_p * (ell_p + dim - 3))
    else:
        invariant = block_flows.radial_block(dim, 2, 0, 0, 2 * MODES - 2)
        block = block_flows.radial_block(dim, 2, ell_h, ell_p, DEGREE)
        target = [np.pi * at_pole(member) for member in invariant]  # ‖x_H‖ = π ∫ ReLU(u·x) over a circle
        casimirs = (ell_h**2, ell_p * (ell_p + dim - 4))
    labels = np.asarray(reduced.node_angles), np.asarray(reduced.node_weights())
    number = budget.blocks.index((ell_h, ell_p))
    noise = np.asarray(noises(reduced)[number])
    squares = block_flows.square_moments(*labels, target, invariant, block, casimirs, noise, SHORT)
    wanted = at(budget, budget.by_block[number], SHORT)
    copies = block_copies(dim, reduced, ell_h, ell_p)
    np.testing.assert_allclose(copies * squares.sum(axis=1), wanted, rtol=2e-4)


def at_pole(member) -> float:
    """The value at θ = 0 of a function without a factor sin θ."""
    return member.size * member.polynomials[0](1.0)


def block_copies(dim, reduced, ell_h, ell_p):
    """How often a block is there: 1, n, and (n + 2)(n − 1)/2 harmonics of degrees 0, 1, 2 on the sphere of R^n."""
    dim_h = round(float(reduced.dim_h))
    return np.prod([{0: 1, 1: n, 2: (n + 2) * (n - 1) / 2}[ell] for n, ell in ((dim_h, ell_h), (dim - dim_h, ell_p))])


# ---- small parts ----


def test_a_volterra_system_is_solved_by_halves():
    rng = np.random.default_rng(0)
    for size in (3, 21):
        matrix, known = (
            np.eye(size) + 0.5 * rng.standard_normal((size, size)) / np.sqrt(size),
            rng.standard_normal((size, 4)),
        )
        np.testing.assert_allclose(
            eliminate(jnp.asarray(matrix), jnp.asarray(known)), np.linalg.solve(matrix, known), rtol=1e-9
        )


@pytest.mark.parametrize("unit", [mf.ReLU(), mf.LeakyReLU(0.25)], ids=["relu", "leaky"])
def test_the_correlation_of_two_neurons_is_that_of_gaussian_pairs(unit):
    """E σ(z) σ(z') in polar coordinates, by the trapezoidal rule on the circle."""
    reduced = mf.reduce(mf.Problem(mf.Gaussian(10, scale=1.5), mf.SubspaceNorm(2), unit), nodes=15)
    angle, phase = np.array([0.3, 1.2, 2.5]), 2 * np.pi * np.arange(40_000) / 40_000  # z = r cos φ, z' = r cos(φ − γ)
    sigma = [np.asarray(unit.activation(jnp.asarray(np.cos(phase - gamma)))) for gamma in (0.0, *angle)]
    wanted = [1.5**2 * 2 * np.mean(sigma[0] * other) for other in sigma[1:]]  # E r² = 2
    found, slopes = correlation(reduced, jnp.asarray(angle))
    np.testing.assert_allclose(found, wanted, rtol=1e-7)
    above, below = (correlation(reduced, jnp.asarray(angle) + step)[0] for step in (1e-5, -1e-5))
    np.testing.assert_allclose(slopes, (above - below) / 2e-5, rtol=1e-8)


# ---- published numbers ----

TIMES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
COEFFICIENTS = {
    "(30,5)": (0.338171, 0.719969, 1.924606, 3.883783, 4.049911, 3.26734, 1.33589),
    "(10,2)": (0.332699, 0.412608, 0.686735, 1.208649, 1.171345, 0.69813, 0.18300),
    "relu": (0.332699, 0.291574, 0.287097, 0.293748, 0.242822, 0.13184, 0.06808),
    "mixed": (0.332699, 0.282239, 0.262753, 0.260476, 0.206167, 0.16116, 0.2746),
}
BLOCKS = {  # of (30,5) at t = 0, 1, 3, 10
    (1, 1): (0.0211, 0.2198, 1.4114, 0.3595),
    (0, 2): (0.0546, 0.4157, 1.6177, 0.3178),
    (2, 0): (0.0024, 0.0339, 0.3642, 0.1453),
}
ORDER_ONE = {  # m(E − limit) at t = 1, 3, 10
    "(30,5)": {
        "risk": (2.1495, 2.2437, 0.5173),
        "mass_plus": (-2.2106, -5.9176, -2.2013),
        "mass_minus": (-0.0442, -0.1183, -0.5566),
    },
    "(10,2)": {
        "risk": (0.6756, 0.8752, 0.0544),
        "mass_plus": (-0.9811, -3.5296, -0.8940),
        "mass_minus": (-0.0819, -0.1249, -0.4697),
    },
}
LATER = (1.0, 3.0, 10.0)


@functools.cache
def usual_budget(name: str) -> mf.ErrorBudget:
    return mf.error_budget(run_of(name), degree=8)


@pytest.mark.slow
def test_the_reference_problem_has_its_numbers():
    """d = 30, d_H = 5 to t = 10: the coefficient of 1/m, its blocks, and the means and variances of order 1/m."""
    budget = usual_budget("(30,5)")
    np.testing.assert_allclose(at(budget, budget.by_width, TIMES), COEFFICIENTS["(30,5)"], rtol=2e-4)
    assert np.all(np.asarray(budget.least) < np.asarray(budget.by_width)) and float(budget.defect) < 1e-6
    np.testing.assert_allclose(budget.by_block.sum(axis=0), budget.least, rtol=1e-10)
    for block, wanted in BLOCKS.items():
        found = at(budget, budget.by_block[budget.blocks.index(block)], (0.0, *LATER))
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=6e-5)
    assert budget.bias is not None and budget.scatter is not None
    for name, wanted in ORDER_ONE["(30,5)"].items():
        np.testing.assert_allclose(at(budget, budget.bias[name], LATER), wanted, rtol=5e-4, atol=1e-4)
    np.testing.assert_allclose(at(budget, budget.scatter["risk"], LATER), (0.00256, 0.00497, 0.00038), atol=6e-6)
    np.testing.assert_allclose(at(budget, budget.scatter["mass_plus"], LATER), (0.00173, 0.00654, 0.00004), atol=6e-6)


@pytest.mark.slow
def test_a_budget_answers_for_one_width():
    budget = usual_budget("(30,5)")
    found = budget.error(t=10, width=512)
    assert found.squared == pytest.approx(1.336 / 512, rel=1e-3)
    assert found.share == pytest.approx(found.squared / float(budget.energy[-1]))
    assert found.next_order == pytest.approx(1.336 / 512 / (2 * 0.0327162), rel=1e-3)
    width = budget.width(t=10, share=0.01)
    assert budget.error(10, width).share <= 0.01 < budget.error(10, width - 1).share
    assert budget.breaks_at(4096) is None
    crossing = budget.breaks_at(8)
    assert crossing is not None and budget.error(crossing, 8).next_order == pytest.approx(1, abs=0.02)
    assert "largest blocks" in repr(budget) and "E‖f_net − f_∞‖²" in str(found)


@pytest.mark.study
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_published_coefficients(name):
    """Four problems, degree 16 at the end of the run, where the table was made with 16 or more."""
    budget = mf.error_budget(run_of(name), degree=16)
    found = at(budget, budget.by_width, TIMES)
    print(
        name,
        *(f"t={t:g} {value:.6f} ({wanted:.6f})" for t, value, wanted in zip(TIMES, found, COEFFICIENTS[name], strict=True)),
    )
    np.testing.assert_allclose(found, COEFFICIENTS[name], rtol=5e-5, atol=2e-4 if name == "mixed" else 2e-5)
    for observable, wanted in ORDER_ONE.get(name, {}).items():
        np.testing.assert_allclose(at(budget, budget.bias[observable], LATER), wanted, rtol=3e-4, atol=1e-4)


@pytest.mark.study
def test_published_coefficients_of_other_signs_and_of_weight_decay():
    """Random signs at t = 0, 1, 3, 10; weight decay at t = 1, 3, 10; pairs cancel at the start."""
    plain, decaying = run_of("(10,2)"), run_of("(10,2)", weight_decay=0.05)
    random, paired = (mf.error_budget(plain, degree=12, bias=False, signs=signs) for signs in ("random", "paired"))
    np.testing.assert_allclose(at(random, random.by_width, (0.0, *LATER)), (0.5, 0.84497, 1.20361, 0.1832), rtol=1e-4)
    assert abs(float(paired.by_width[0])) < 1e-12
    decayed = mf.error_budget(decaying, degree=12, bias=False)
    np.testing.assert_allclose(at(decayed, decayed.by_width, LATER), (0.584636, 0.996379, 0.14675), rtol=1.5e-3)


# ---- networks ----


def coefficients_of_networks(name: str, times, widths, seeds: int):
    """m E‖f_m − f‖² of simulated networks at every width, with standard errors [W, T], by the exact risk of clouds."""
    dim, target = PROBLEMS[name]
    problem = mf.Problem(mf.Gaussian(dim), target)
    reduced = mf.reduce(problem, nodes=63)
    reference = mf.solve_reduced(reduced, times, method="characteristics", derivative="forward")
    runs = mf.run_clouds(problem, times, reduced, widths=widths, seeds=seeds, key=jax.random.key(7))
    distances = squared_distances(reference, runs.theta, runs.weight, runs.energy)[0]["predictor_distance"]
    scaled = [width * np.asarray(each) for width, each in zip(widths, distances, strict=True)]
    means = np.array([each.mean(axis=0) for each in scaled])
    return runs, reference, means, np.array([each.std(axis=0, ddof=1) / np.sqrt(seeds) for each in scaled])


@pytest.mark.study
def test_networks_of_one_width_have_the_coefficient():
    """(10,2) to t = 1, where the next order is small: no z beyond 4, and the start alone to 4 standard errors."""
    times = jnp.asarray([0.0, 0.5, 1.0])
    _, budget = coarse_budget("(10,2)")
    _, _, means, errors = coefficients_of_networks("(10,2)", times, (64, 128), 60)
    z = (means - at(budget, budget.by_width, times)[None]) / errors
    print("z by width and time:", np.round(z, 2).tolist())
    assert np.max(np.abs(z)) < 4


@pytest.mark.study
@pytest.mark.parametrize("name", ["(30,5)", "(10,2)", "relu", "mixed"])
def test_networks_have_the_coefficients_at_infinite_width(name):
    """A line in 1/m through four widths: limits of m E‖f_m − f‖² and of m(E F_m − F) beside the budget, with z."""
    times, widths = jnp.asarray([0.0, 1.0, 3.0, 10.0]), (64, 128, 256, 512)
    budget = mf.error_budget(run_of(name), degree=12)
    runs, reference, means, errors = coefficients_of_networks(name, times, widths, 120)
    wanted = at(budget, budget.by_width, times)
    limits, spread = line_at_zero(1 / np.array(widths), means, errors)
    z = (limits - wanted) / spread
    print(
        name,
        "C:",
        *(
            f"t={t:g} {a:.4f}±{s:.4f} ({w:.4f}, z {q:+.1f})"
            for t, a, s, w, q in zip(times, limits, spread, wanted, z, strict=True)
        ),
    )
    risks = [
        w * (np.asarray(r) - np.asarray(reference.risk)[None]) for w, r in zip(widths, runs.observables["risk"], strict=True)
    ]
    errors = np.array([r.std(axis=0, ddof=1) / np.sqrt(len(r)) for r in risks])
    limits, spread = line_at_zero(1 / np.array(widths), np.array([r.mean(axis=0) for r in risks]), errors)
    bias = (limits - at(budget, budget.bias["risk"], times)) / spread
    print(name, "risk:", *(f"t={t:g} z {q:+.1f}" for t, q in zip(times, bias, strict=True)))
    allowed = 0.02 * wanted / spread  # what a line leaves of the order beyond it
    assert np.all(np.abs(z) < 3.5 + allowed) and np.all(np.abs(bias) < 4)


def line_at_zero(x, values, errors):
    """Intercepts [T] and their standard errors of weighted straight lines through values [W, T]."""
    found = [np.polyfit(x, v, 1, w=1 / e, cov="unscaled") for v, e in zip(values.T, errors.T, strict=True)]
    return np.array([fit[-1] for fit, _ in found]), np.array([np.sqrt(cov[-1, -1]) for _, cov in found])


# ---- derivatives ----


@pytest.mark.study
def test_a_budget_is_differentiable_in_the_scale_of_the_target():
    """∂C(10)/∂scale at (10,2) with degree 6, published .038294, against central differences."""

    def late(scale):
        reduced = mf.reduce(mf.Problem(mf.Gaussian(10), mf.SubspaceNorm(2, scale)), nodes=31)
        run = mf.solve_reduced(reduced, mf.budget_times(10.0), method="characteristics")
        return mf.error_budget(run, degree=6, bias=False).by_width[-1]

    found = jax.grad(late)(1.0)
    assert float(found) == pytest.approx(0.038294, rel=2e-3)
    step = 1e-3
    assert float(found) == pytest.approx(float((late(1 + step) - late(1 - step)) / (2 * step)), rel=1e-5)


# ---- refusals ----


@pytest.mark.parametrize("kind", ["several angles", "other activation", "blocks of inputs", "grid", "no angle"])
def test_what_is_not_derived_is_refused(kind):
    problems = {
        "several angles": (mf.Problem(mf.Gaussian(4), mf.BlockNorms((1, 2), (1.0, 2.0))), "on one angle"),
        "other activation": (mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(2), mf.Neuron(jnp.tanh)), "on one angle"),
        "blocks of inputs": (mf.Problem(mf.GaussianBlocks((2, 2), (1.0, 0.5)), mf.SubspaceNorm(2)), "rotation-invariant"),
        "grid": (mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2)), "labels in balance"),
        "no angle": (mf.Problem(mf.Gaussian(2), mf.SubspaceNorm(2)), "on one angle"),
    }
    problem, words = problems[kind]
    model = mf.reduce(problem)
    blank = jnp.zeros(8)
    run = mf.Solution(blank, {"risk": blank}, blank, blank, Status.complete, blank == 0, {}, None, model)
    with pytest.raises(mf.ArgumentError, match=words):
        mf.error_budget(run)
