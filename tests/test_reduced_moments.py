"""Odd targets: references, the hyperboloid, the closed solution, the certificate; derivatives in both modes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from odd_problems import DIM, TIMES, cubic_problem, general_problem, random_moments, random_problem, run_batch

import mfsym as mf
from mfsym.reduced.odd.certificate import curvature_bound
from mfsym.reduced.odd.moments import OddReduction

# f* = C Σ z_k x_k³, x ~ N(0, I/60): time, ‖w‖, risk. Two independent implementations agree to these digits.
CUBIC = np.array(
    [
        (5.0, 0.19260359, 0.973071),
        (10.0, 0.47300709, 0.934971),
        (20.0, 1.74793118, 0.778266),
        (30.0, 4.39387481, 0.539497),
        (50.0, 8.04358046, 0.401626),
        (100.0, 8.48488692, 0.400000),
    ]
)
CUBIC_TIMES = jnp.array([0.0, *CUBIC[:, 0]])
GENERAL = jnp.array([0.0, 1.0, 5.0, *np.linspace(6.0, 27.0, 22)])
FORWARD = {"derivative": "forward"}  # compiles faster


@pytest.fixture(scope="module")
def cubic():
    return mf.reduce(cubic_problem())


@pytest.fixture(scope="module")
def runs():
    """One problem with a full covariance in both forms."""
    reduced = mf.reduce(random_problem(2))
    return {name: mf.solve_reduced(reduced, TIMES, method=name, **FORWARD) for name in ("hyperboloid", "moments")}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hyperboloid", "closed"])
def test_cubic_reference(cubic, method):
    """d = 60, against the published setting with more digits; the closed form is the default."""
    run = mf.solve_reduced(cubic, CUBIC_TIMES, method=method, **FORWARD)
    np.testing.assert_allclose(np.linalg.norm(run.w[1:], axis=1), CUBIC[:, 1], rtol=1e-7)
    np.testing.assert_allclose(run.risk[1:], CUBIC[:, 2], rtol=0, atol=5e-7)
    assert float(run.risk[0]) == pytest.approx(1.0, rel=1e-12)
    assert float(cubic.floor) == pytest.approx(0.4, rel=1e-12)
    if method == "closed":
        np.testing.assert_array_equal(mf.solve_reduced(cubic, CUBIC_TIMES).w, run.w)


def test_euler_steps_stay_close(cubic):
    """Gradient descent with η = 0.01: ‖w‖ within 0.1 % of the flow; its difference is of first order in η."""
    run = mf.descend_moments(cubic, 10_000, 1e-2, record_every=500)
    chosen = [int(np.argmin(np.abs(run.ts - t))) for t in CUBIC[:, 0]]
    error = np.linalg.norm(np.asarray(run.w)[chosen], axis=1) / CUBIC[:, 1] - 1
    half = mf.descend_moments(cubic, 10_000, 5e-3, record_every=500)
    assert float(half.ts[2]) == pytest.approx(5.0)
    ratio = error[0] / (np.linalg.norm(half.w[2]) / CUBIC[0, 1] - 1)
    print(f"relative error of Euler steps: {error}, with half the step smaller by {ratio:.4f}")
    assert np.max(np.abs(error)) < 1e-3 and ratio == pytest.approx(2.0, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hyperboloid", "moments"])
def test_general_covariance_reference(method):
    run = mf.solve_reduced(mf.reduce(general_problem()), GENERAL, method=method, **FORWARD)
    first = run.states[:, 0, 0] if method == "moments" else 1.5 * run.p0**2 - 0.5
    np.testing.assert_allclose(first[1:3], 1.5 * np.array([1.1147613532, 1.6884513583]) ** 2 - 0.5, rtol=1e-8)
    expected = [[0.3562222525, -0.2067646101], [1.0365892836, -1.3760665237]]
    np.testing.assert_allclose(run.w[1:3, :2], expected, rtol=1e-8)
    np.testing.assert_array_equal(run.w[:, 2:], 0.0)


def test_the_moments_stay_on_the_hyperboloid(runs):
    """M = V p pᵀ − v2 J and p0² − |p⃗|² = 1, with both sides integrated apart."""
    point, full = runs["hyperboloid"], runs["moments"]
    reduced = point.model
    v1, v2 = float(reduced.outer), float(reduced.inner)
    p, J = np.asarray(point.states), np.diag([1.0, *[-1.0] * reduced.dim])
    expected = (v1 + v2) * p[:, :, None] * p[:, None, :] - v2 * J
    scale = np.abs(expected).max()
    np.testing.assert_allclose(full.states, expected, rtol=0, atol=1e-8 * scale)
    np.testing.assert_allclose(p[:, 0] ** 2 - np.sum(p[:, 1:] ** 2, axis=1), 1.0, rtol=0, atol=1e-8)
    np.testing.assert_allclose(jax.vmap(reduced.moments)(point.states), expected, rtol=0, atol=1e-13 * scale)
    assert p[-1, 0] > 1.4  # far from the start, where the statement would be empty


def test_smallest_eigenvalue_of_the_metric(runs):
    """λ_min(H) ≥ V/4 at all times, with equality at 0: V/4 is the best constant. H is taken from the moments."""
    full = runs["moments"]
    reduced = full.model
    M, V = np.asarray(full.states), float(reduced.outer + reduced.inner)
    H = 0.25 * (M[:, :1, :1] * np.eye(reduced.dim) + M[:, 1:, 1:])
    smallest = np.linalg.eigvalsh(H)[:, 0]
    assert np.all(smallest >= V / 4 * (1 - 1e-12))
    assert smallest[0] == pytest.approx(V / 4, rel=1e-12) and np.all(smallest[1:] > V / 4)
    assert float(full.certificate.curvature) == pytest.approx(V / 4, rel=1e-12)
    for run in runs.values():
        np.testing.assert_allclose(run.smallest_eigenvalue, smallest, rtol=1e-8)
        assert bool(run.certificate.holds)
    np.testing.assert_allclose(jax.vmap(reduced.hessian)(full.states), H, rtol=1e-13)


def test_the_metric_moves_the_predictor(runs):
    """w' = −H ∇Q(w), the derivative taken through the reduction, not from the velocity."""
    reduced, p = runs["hyperboloid"].model, runs["hyperboloid"].states[9]
    loss_slope = jax.grad(reduced.gap)(reduced.predictor(p))
    step, kappa = 1e-5, 0.5
    y = -np.asarray(loss_slope)
    change = kappa * np.concatenate([[y @ p[1:]], p[0] * y])
    slope = (reduced.predictor(p + step * change) - reduced.predictor(p - step * change)) / (2 * step)
    np.testing.assert_allclose(slope, reduced.hessian(p) @ y, rtol=0, atol=1e-9 * np.linalg.norm(slope))


@pytest.mark.parametrize(
    ("inputs", "unit", "mass"),
    [
        (mf.Gaussian(60, 0.2), mf.ReLU(), 0.3),
        (mf.Gaussian(60, 0.3), mf.LeakyReLU(0.3), 1e-6),
        (mf.Gaussian(60, 0.2), mf.Identity(), 2.0),
    ],
)
def test_closed_solution_against_the_equation(inputs, unit, mass):
    """From lazy to rich starts; every κ."""
    w = np.random.default_rng(0).standard_normal(60)
    problem = mf.Problem(inputs, mf.LinearTarget(w), unit=unit, start=mf.SphereStart(mass, mass))
    reduced = mf.reduce(problem, structure="odd")
    closed = mf.solve_reduced(reduced, CUBIC_TIMES)
    ode = mf.solve_reduced(reduced, CUBIC_TIMES, method="hyperboloid", **FORWARD)
    assert int(closed.stats["steps"]) == 0 < int(ode.stats["steps"])
    assert float(closed.gap[-1]) < 0.9 * float(closed.gap[0])
    for name in ("w", "p0", "risk", "smallest_eigenvalue", "mass_plus"):
        scale = float(jnp.max(jnp.abs(closed.observables[name])))
        np.testing.assert_allclose(closed.observables[name], ode.observables[name], rtol=0, atol=1e-8 * scale)


def test_closed_solution_is_exact_late():
    """The limit w*, reached without overflow or cancellation, and the rate ω of the approach."""
    problem = mf.Problem(mf.Gaussian(3), mf.LinearTarget([3.0, 0.0, 4.0]), start=mf.GaussianStart(1e-4, 1e-4))
    reduced = mf.reduce(problem, structure="odd")
    run = mf.solve_reduced(reduced, jnp.array([0.0, 5.0, 6.0, 1e5]))
    np.testing.assert_allclose(run.w[-1], [3.0, 0.0, 4.0], rtol=1e-14)
    V = 1e-8 * (1 + 1 / 3)
    omega = np.hypot(5.0, V / 4)
    distance = np.linalg.norm(run.w - jnp.array([[3.0, 0.0, 4.0]]), axis=1)
    assert np.log(distance[1] / distance[2]) == pytest.approx(omega, rel=2e-2)


@pytest.mark.slow
def test_certificate_of_random_starts():
    """20 random (Σ, f*, start with E[ab] = 0), 5 of them with singular Σ, in one batch: the bound holds at every time."""
    runs, ts = run_batch(correlation=0.0), np.asarray(TIMES)
    certificate = runs.certificate
    assert certificate.bound.shape == (20, len(ts)) == certificate.gap.shape
    assert np.all(runs.valid) and np.all(jax.vmap(lambda c: c.holds)(certificate))
    for i in range(20):  # every number of the bound again, with numpy
        sigma, rate = uncorrelated_rate(runs, i)
        w, best = np.asarray(runs.w[i]), np.linalg.pinv(sigma, rtol=1e-9) @ np.asarray(runs.model.cross[i])
        gap = 0.5 * np.einsum("ti,ij,tj->t", w - best, sigma, w - best)
        np.testing.assert_allclose(certificate.bound[i], np.exp(-rate * ts) * gap[0], rtol=1e-9)
        assert np.all(gap <= np.exp(-rate * ts) * gap[0] * (1 + 1e-9))
        np.testing.assert_allclose(certificate.gap[i], gap, rtol=1e-6, atol=1e-12 * gap[0])
    share = np.asarray(certificate.bound / certificate.gap[:, :1])[:, -1]
    print(f"bound at the last time over the gap at 0: {share}")
    assert np.all(share < 1) and np.median(share) < 0.9 and np.min(certificate.gap[:, -1] / certificate.gap[:, 0]) < 1e-3


def uncorrelated_rate(runs, i):
    """Σ and the rate ½ (v1 + λ_min(E b bᵀ)) λ_min(Σ) of one run of a batch, λ_min(Σ) over the range."""
    sigma, M0 = np.asarray(runs.model.covariance[i]), np.asarray(runs.states[i, 0])
    spectrum = np.linalg.eigvalsh(sigma)
    rate = 0.5 * (M0[0, 0] + np.linalg.eigvalsh(M0[1:, 1:])[0]) * spectrum[spectrum > 1e-9][0]
    return sigma, rate


def test_correlated_starts():
    """With E[ab] ≠ 0 the constant v1 + λ_min(E b bᵀ) fails; with −2‖E[ab]‖ the certificate holds for 20 such starts."""
    runs, ts = run_batch(correlation=0.9), np.asarray(TIMES)
    _, rate = uncorrelated_rate(runs, 0)
    gap = np.asarray(runs.gap[0])
    ratio = gap / (np.exp(-rate * ts) * gap[0])
    print(f"gap over the bound for uncorrelated starts: {ratio}")
    assert np.max(ratio) > 2
    assert np.all(jax.vmap(lambda c: c.holds)(runs.certificate)) and np.all(runs.certificate.curvature >= 0)
    assert np.sum(runs.certificate.curvature > 0) > 5
    assert np.min(runs.smallest_eigenvalue[0]) < 0.9 * rate / 2  # Σ = I: H does fall below that constant


def test_curvature_bound_over_all_boosts():
    """min over boosts Λ of λ_min of H, by random search over M0 and Λ, never below the constant."""
    generator, reduced = np.random.default_rng(5), mf.reduce(general_problem())
    worst, bounds = np.inf, jax.jit(lambda M0: curvature_bound(reduced, M0))
    for _ in range(200):
        M0 = random_moments(generator, 2, generator.uniform(0, 1))
        bound = float(bounds(jnp.asarray(M0)))
        direction = generator.standard_normal((50, 2))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        for u, s in zip(direction, generator.exponential(1.0, 50), strict=True):
            boost = np.eye(3)
            boost[0, 0], boost[0, 1:], boost[1:, 0] = np.cosh(s), np.sinh(s) * u, np.sinh(s) * u
            boost[1:, 1:] += (np.cosh(s) - 1) * np.outer(u, u)
            M = boost @ M0 @ boost
            smallest = 0.25 * (M[0, 0] + np.linalg.eigvalsh(M[1:, 1:])[0])
            worst = min(worst, smallest / bound if bound > 0.05 else np.inf)
            assert smallest >= bound * (1 - 1e-9)
    print(f"smallest eigenvalue over the constant, at worst: {worst:.4f}")


@pytest.mark.slow
def test_derivatives_in_both_modes():
    """d/d(w, Σ, start) of everything a run ends with, against central differences."""
    point = jnp.array([1.0, -2.0, 1.0, 0.1, 0.5, 1.1, 0.9])
    direction = jnp.array([0.3, 0.5, -0.4, 0.2, 0.6, -0.1, 0.7])

    def outcome(parameters, derivative="reverse"):
        w, (s11, s12, s22), (outer, inner) = parameters[:2], parameters[2:5], parameters[5:]
        cov = jnp.eye(DIM).at[0, 0].set(s11).at[0, 1].set(s12).at[1, 0].set(s12).at[1, 1].set(s22)
        start, target = mf.GaussianStart(outer, inner), mf.LinearTarget(jnp.append(w, jnp.array([0.3, 0.4])))
        reduced = mf.reduce(mf.Problem(mf.GaussianCovariance(cov), target, start=start))
        run = mf.solve_reduced(reduced, GENERAL, derivative=derivative)
        return run.risk[1] + run.w[2, 0] + 0.3 * run.p0[2] + 0.1 * run.smallest_eigenvalue[1]

    moved = [float(outcome(point + h, "forward")) for h in 1e-4 * jnp.concatenate([jnp.eye(7), -jnp.eye(7)])]
    differences = (np.array(moved[:7]) - np.array(moved[7:])) / 2e-4
    np.testing.assert_allclose(jax.jit(jax.grad(outcome))(point), differences, rtol=1e-5, atol=1e-8)
    along = jax.jit(lambda p, v: jax.jvp(lambda p: outcome(p, "forward"), (p,), (v,))[1])
    directional = along(point, direction)
    assert float(directional) == pytest.approx(float(differences @ direction), rel=1e-5)


def test_derivative_of_descent_and_of_moments():
    """Through the recursion and through the eigenvalue of an isotropic E b bᵀ, which is degenerate at the start."""

    @jax.jit
    def outcome(scale):
        problem = mf.Problem(mf.Gaussian(3), mf.LinearTarget(scale * jnp.array([1.0, -2.0, 0.5])))
        reduced = mf.reduce(problem, structure="odd")
        run = mf.descend_moments(reduced, 40, 0.1, record_every=10)
        return run.risk[-1] + run.smallest_eigenvalue[2]

    point = jnp.asarray(0.8)
    difference = float(outcome(point + 1e-5) - outcome(point - 1e-5)) / 2e-5
    assert float(jax.jit(jax.grad(outcome))(point)) == pytest.approx(difference, rel=1e-7)
    assert float(jax.jit(jax.jacfwd(outcome))(point)) == pytest.approx(difference, rel=1e-7)


def test_stacked_reductions_are_solved_together():
    """One lane of a batch is the run of its problem alone."""
    together, lane = run_batch(correlation=0.0), 2
    alone = mf.solve_reduced(mf.reduce(random_problem(lane)), TIMES, initial=together.states[lane, 0], **FORWARD)
    np.testing.assert_allclose(together.w[lane], alone.w, rtol=0, atol=1e-8)
    np.testing.assert_allclose(together.certificate.bound[lane], alone.certificate.bound, rtol=1e-9)
    with pytest.raises(mf.ArgumentError, match="equal in"):
        mf.stack([mf.reduce(general_problem()), mf.reduce(cubic_problem(dim=3))])


def test_a_run_can_be_continued(runs):
    whole = runs["hyperboloid"]
    for start in (whole.states[3], whole.model.moments(whole.states[3])):
        rest = mf.solve_reduced(whole.model, TIMES, initial=start, **FORWARD)
        np.testing.assert_allclose(rest.w[:-3], whole.w[3:], rtol=1e-7, atol=1e-9)
        assert bool(rest.certificate.holds)


def test_solution_prints_and_saves(runs):
    run = runs["hyperboloid"]
    record = json.loads(json.dumps(run.as_dict(), allow_nan=False))
    assert np.shape(record["w"]) == (25, DIM) and record["alignment_plus"] is None
    assert "smallest_eigenvalue" in repr(run) and " w " not in repr(run)
    with pytest.raises(AttributeError, match="`distance_plus` has no meaning for this problem"):
        _ = run.distance_plus
    x = jax.random.normal(jax.random.key(0), (5, DIM))
    np.testing.assert_allclose(mf.predict(run, x), x @ run.w[-1], rtol=1e-12)
    with pytest.raises(mf.ArgumentError, match="`x` must be an array"):
        mf.predict(run, x[:, :3])


def test_error_estimate(cubic):
    run = mf.solve_reduced(cubic, CUBIC_TIMES, method="hyperboloid", error=True, rtol=1e-6, atol=1e-8, **FORWARD)
    exact = mf.solve_reduced(cubic, CUBIC_TIMES)
    error = np.abs(run.risk - exact.risk)
    assert np.all(error <= 3 * np.asarray(run.error["risk"]) + 1e-10) and 1e-9 < np.max(run.error["risk"]) < 1e-6
    assert float(jnp.max(mf.solve_reduced(cubic, CUBIC_TIMES, error=True).error["w"])) == 0.0


@pytest.mark.float32
def test_single_precision():
    """float32 follows from dtype=; the numbers agree with float64 to its accuracy."""
    reduced = mf.reduce(general_problem(), dtype=jnp.float32)
    assert isinstance(reduced, OddReduction) and reduced.dtype == jnp.float32
    flow, steps = mf.solve_reduced(reduced, GENERAL, **FORWARD), mf.descend_moments(reduced, 5_000, 1e-3, record_every=1_000)
    for w in (flow.w[2], steps.w[-1]):
        assert w.dtype == jnp.float32
        np.testing.assert_allclose(w[:2], [1.0365892836, -1.3760665237], rtol=2e-3)
    assert flow.risk.dtype == jnp.float32 and bool(flow.certificate.holds)


def test_finite_steps_by_training():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(3), mf.LinearTarget(jnp.arange(1.0, 4.0))), structure="odd")
    ts = 0.1 * jnp.arange(0.0, 11.0, 5.0)
    found = mf.solve_reduced(reduced, ts, training=mf.Training(step=0.1))
    steps = mf.descend_moments(reduced, 10, 0.1, record_every=5)
    np.testing.assert_array_equal(found.w, steps.w)
    np.testing.assert_allclose(found.ts, ts, rtol=1e-15)
    assert abs(float(found.risk[-1] - mf.solve_reduced(reduced, ts).risk[-1])) > 1e-3  # the flow is something else
    error = mf.solve_reduced(reduced, ts, training=mf.Training(step=0.1), error=True).error
    assert set(error) == set(found.observables) and not any(np.any(values) for values in error.values())
    refused = (
        ({"training": mf.Training(step=0.1), "rtol": -1.0}, "`rtol` must be"),
        ({"training": mf.Training(step=0.1), "max_steps": -5}, "`max_steps` must be"),
        ({"training": mf.Training(step=0.1), "derivative": "both"}, "`derivative` must be"),
        ({"training": mf.Training(rate_a=2.0)}, "rate 1, without decay, momentum or schedule"),
        ({"training": mf.Training(weight_decay=0.1)}, "rate 1, without decay, momentum or schedule"),
        ({"training": mf.Training(step=0.3)}, "`ts` must be multiples of the step"),
        ({"training": mf.Training(step=0.1), "method": "closed"}, '`method` must be "moments" for finite steps'),
    )
    for options, words in refused:
        with pytest.raises(mf.ArgumentError, match=words):
            mf.solve_reduced(reduced, ts, **options)
