"""The predictor, the fields and the clouds drawn from a reduced solution."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import problems
import pytest
import references

import mfsym as mf
from mfsym.reduced.line.predictor import average_table, averaged_feature

TEN = problems.TIMES.index(10.0)
RUNS = pytest.mark.parametrize(
    ("case", "method"),
    [(case, "grid") for case in (problems.RADIAL[0], problems.RADIAL[3])]
    + [(case, "characteristics") for case in problems.SINGLE_INDEX],
    ids=lambda value: getattr(value, "name", value),
)


def random_neurons(theta, dim_h, dim, signed, count, seed):
    """Unit vectors at angle theta to H (or to the first axis), otherwise uniform."""
    generator = np.random.default_rng(seed)

    def uniform(size):
        b = generator.standard_normal((count, size))
        return b / np.linalg.norm(b, axis=1, keepdims=True)

    inside = np.ones((count, 1)) if signed else uniform(dim_h)
    return np.hstack([np.cos(theta) * inside, np.sin(theta) * uniform(dim - dim_h)])


@pytest.mark.parametrize(
    ("dim", "dim_h", "signed", "unit"),
    [
        (2, 1, False, mf.ReLU()),
        (4, 2, False, mf.ReLU()),
        (30, 5, False, mf.LeakyReLU(0.3)),
        (6, 5, False, mf.ReLU()),
        (2, 1, True, mf.ReLU()),
        (9, 1, True, mf.LeakyReLU(0.3)),
        (9, 1, True, mf.Identity()),
    ],
)
def test_averaged_feature_against_sampling(dim, dim_h, signed, unit):
    target = mf.LinearTarget(np.eye(dim)[0]) if signed else mf.SubspaceNorm(dim_h)
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), target, unit=unit), cells=8, nodes=7, modes=4)
    x = np.random.default_rng(1).standard_normal(dim)
    along = x[0] if signed else np.linalg.norm(x[:dim_h])
    across = np.sqrt(x @ x - along**2)
    angles = [0.0, 0.4, 1.0, np.pi / 2, *([2.0, np.pi] if signed else [])]
    seen = averaged_feature(reduced, jnp.asarray(angles), jnp.asarray(along), jnp.asarray(across))
    for index, theta in enumerate(angles):
        b = random_neurons(theta, dim_h, dim, signed, 200_000, index)
        draws = np.asarray(unit.activation(jnp.asarray(b @ x)))
        assert abs(draws.mean() - float(seen[index])) <= 4 * draws.std() / np.sqrt(len(draws)) + 1e-9


@pytest.mark.parametrize(("dim_h", "dim_perp"), [(2, 1), (2, 2), (5, 25), (2, 400), (200, 300)])
def test_averaged_feature_is_a_hypergeometric_function(dim_h, dim_perp):
    """(A/α(d_H)) ₂F₁(−½, (1−d_H)/2; d_⊥/2; B²/A²) for A ≥ B, d_H and d_⊥ exchanged for A ≤ B, by mpmath."""
    table = jnp.asarray(average_table(dim_h, dim_perp))
    reduced = mf.reduce(mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2)), cells=8, nodes=7, modes=4)
    reduced = eqx.tree_at(lambda r: r.average_table, reduced, table)
    for along, across in ((1.0, 0.0), (1.0, 0.03), (2.0, 1.5), (1.0, 0.999), (0.7, 1.0), (0.0, 1.0)):
        seen = averaged_feature(reduced, jnp.array([np.pi / 4]), jnp.asarray(along), jnp.asarray(across))
        (large, first), (small, second) = sorted([(along, dim_h), (across, dim_perp)], reverse=True)
        series = mpmath.hyp2f1(-0.5, (1 - mpmath.mpf(first)) / 2, mpmath.mpf(second) / 2, (small / large) ** 2)
        exact = large * np.sqrt(0.5) / references.alpha(first) * float(series)
        assert float(seen[0]) == pytest.approx(exact, rel=1e-9)


def test_averaged_feature_is_the_norm_at_the_pole():
    """‖x_H‖ = α φ̃(0; x), to the accuracy of the table."""
    for dim, dim_h in ((2, 1), (3, 2), (30, 5), (40, 39), (2000, 3)):
        reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), mf.SubspaceNorm(dim_h)), cells=8, nodes=7, modes=4)
        at_pole = averaged_feature(reduced, jnp.zeros(1), jnp.asarray(1.7), jnp.asarray(0.4))
        assert references.alpha(dim_h) * float(at_pole[0]) == pytest.approx(1.7, rel=1e-9)


@pytest.mark.slow
@RUNS
def test_risk_of_the_predictor_by_sampling(case, method):
    run = problems.tight_run(case, method)
    x, values = case.problem().sample(jax.random.key(3), 2000)
    prediction = mf.predict(run, x)
    losses = 0.5 * np.asarray(prediction - values) ** 2
    difference = losses.mean() - float(run.risk[-1])
    assert abs(difference) < 4 * losses.std() / np.sqrt(len(losses))
    assert losses.mean() < 0.05 * case.energy


@pytest.mark.slow
def test_predictor_and_clouds_follow_the_axis():
    """With another axis w than e_1 the predictor is the same function of the input reflected to exchange the two."""
    run = problems.tight_run(problems.SINGLE_INDEX[1], "characteristics")
    w = np.linspace(-1, 1.3, 8)
    w /= np.linalg.norm(w)
    turned = eqx.tree_at(lambda s: s.model.basis, run, jnp.asarray(w[None]), is_leaf=lambda leaf: leaf is None)
    normal = (w - np.eye(8)[0]) / np.linalg.norm(w - np.eye(8)[0])
    reflection = np.eye(8) - 2 * np.outer(normal, normal)
    x = jax.random.normal(jax.random.key(0), (50, 8))
    np.testing.assert_allclose(mf.predict(turned, x), mf.predict(run, x @ reflection), rtol=1e-10)
    cloud = mf.sample_cloud(turned, 10.0, width=2000, key=jax.random.key(1))
    theta, _ = mf.project(cloud, turned.model)
    np.testing.assert_allclose(jnp.cos(theta), cloud.b @ w / jnp.abs(cloud.a), atol=1e-10)


def test_density():
    case = problems.RADIAL[0]
    run = problems.tight_run(case, "grid")
    points, weights = np.polynomial.legendre.leggauss(3)  # exact for the polynomials of every cell
    cell = case.end / run.model.cells
    theta = jnp.asarray(((np.arange(run.model.cells)[:, None] + (points + 1) / 2) * cell).ravel())
    weights = np.tile(weights * cell / 2, run.model.cells)
    for index in (0, TEN):
        masses = np.asarray(mf.density(run, theta, index)) @ weights
        np.testing.assert_allclose(masses, [run.mass_plus[index], run.mass_minus[index]], rtol=1e-12)
    with pytest.raises(mf.ArgumentError, match="grid"):
        mf.density(problems.tight_run(problems.SINGLE_INDEX[0], "characteristics"), theta)


@RUNS
def test_potential_and_drift(case, method):
    """At t = 0 both signs have one law, f = 0 and G = g*; V is the derivative of G."""
    run = problems.tight_run(case, method)
    few = jnp.asarray(np.linspace(0.1, 1.5, 5))
    np.testing.assert_allclose(mf.potential(run, few, 0), case.target_term(few), atol=2e-5)
    slope = (mf.potential(run, few + 1e-5, TEN) - mf.potential(run, few - 1e-5, TEN)) / 2e-5
    np.testing.assert_allclose(mf.drift(run, few, TEN), slope, atol=1e-8)


@pytest.mark.slow
@RUNS
def test_clouds_drawn_and_projected(case, method):
    """Masses are exact, angles and alignments those of the law within four standard errors."""
    run, width = problems.tight_run(case, method), 20_000
    cloud = mf.sample_cloud(run, 10.0, width=width, key=jax.random.key(7))
    assert cloud.b.shape == (width, case.dim)
    np.testing.assert_allclose(jnp.linalg.norm(cloud.b, axis=1), jnp.abs(cloud.a), rtol=1e-12)
    theta, weight = mf.project(cloud, run.model)
    for sign, mass, alignment in (
        (1, run.mass_plus, run.alignment_plus),
        (-1, run.mass_minus, run.alignment_minus),
    ):
        chosen = np.sign(weight) == sign
        assert abs(np.asarray(weight)[chosen].sum()) == pytest.approx(float(mass[TEN]), rel=1e-10)
        square = np.cos(np.asarray(theta)[chosen]) ** 2
        assert abs(square.mean() - float(alignment[TEN])) < 4 * square.std() / np.sqrt(len(square))
    x = jax.random.normal(jax.random.key(2), (3, case.dim))
    directions = np.asarray(cloud.b)[:, case.dim_h :]
    assert np.abs((directions / np.linalg.norm(directions, axis=1, keepdims=True)).mean(axis=0)).max() < 4.5 / np.sqrt(
        width * (case.dim - case.dim_h)
    )
    assert np.isfinite(np.maximum(np.asarray(x) @ np.asarray(cloud.b).T, 0)).all()


def test_projected_angles():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(4), mf.LinearTarget([0.0, 1.0, 0.0, 0.0])), cells=8, nodes=7, modes=4)
    cloud = mf.Particles([2.0, -1.0], [[0.0, -3.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    theta, weight = mf.project(cloud, reduced)
    np.testing.assert_allclose(theta, [np.pi, np.pi / 4], atol=1e-12)
    np.testing.assert_allclose(weight, [3.0, -np.sqrt(2) / 2])


def _slopes(function, x, step=1e-5):
    """Central differences, [d]."""
    moves = step * np.eye(len(x))
    return np.array([float(function(x + move) - function(x - move)) / (2 * step) for move in moves])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "points"),
    [
        (mf.LinearTarget([1.0, 0.0, 0.0, 0.0]), ([1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0])),
        (mf.SubspaceNorm(2), ([1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0.3, 0.4, 0.2, -0.1])),
    ],
)
def test_gradients_of_the_predictor_where_its_table_ends(target, points):
    """At ties of ‖x_H‖ and ‖x_⊥‖ on a face of the grid, and at x in H or in H^⊥, against central differences."""
    reduced = mf.reduce(mf.Problem(mf.Gaussian(4), target), cells=40, nodes=7, modes=8)
    run = mf.solve_reduced(reduced, jnp.array([0.0, 1.0]))
    predict = jax.jit(lambda x: mf.predict(run, x[None])[0])
    for point in points:
        x = jnp.asarray(point, float)
        gradient = np.asarray(jax.jit(jax.grad(predict))(x))
        np.testing.assert_allclose(gradient, _slopes(predict, x), rtol=1e-5, atol=2e-6)


@pytest.mark.slow
def test_gradient_of_the_risk_where_nothing_moves():
    """f* = 0 learnt from a balanced start: V = 0 everywhere, and the risk is even in the scale of f*."""

    def risk(scale):
        problem = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2, scale))
        reduced = mf.reduce(problem, cells=16, nodes=7, modes=4)
        return mf.solve_reduced(reduced, jnp.array([0.0, 1.0]), derivative="forward").risk[-1]

    slope = jax.jit(jax.jacfwd(risk))
    value = jax.jit(risk)
    for scale in (0.0, 0.5):
        difference = (value(scale + 1e-4) - value(scale - 1e-4)) / 2e-4
        assert float(slope(jnp.asarray(scale))) == pytest.approx(float(difference), abs=1e-7)
