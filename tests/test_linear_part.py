"""X̄ = E[f* x] and Q* of odd targets: exact for polynomials and data, with an honest error otherwise; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from odd_problems import cubic_problem, cubic_target

import mfsym as mf
from mfsym.reduced.odd.cubature import first_primes
from mfsym.reduced.odd.linear_part import linear_part
from mfsym.reduced.rules.spherical_rules import radial_rule, spherical_rule

COV = np.array([[1.0, 0.3, -0.2], [0.3, 0.5, 0.1], [-0.2, 0.1, 0.8]])
SINGULAR = COV @ np.diag([1.0, 1.0, 0.0]) @ COV


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 7, 64, 65])
def test_rules_are_exact(dim):
    """Moments of one and of two directions against those of the sphere; weights sum to 1."""
    axes, coefficients, weights = spherical_rule(dim)
    generator = np.random.default_rng(dim)
    u, v = generator.standard_normal((2, dim))
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    along, across = (np.sum(z[axes] * coefficients, axis=1) for z in (u, v))
    q = u @ v
    fourth, sixth = 1 / (dim * (dim + 2)), 1 / (dim * (dim + 2) * (dim + 4))
    found = [np.sum(weights * g) for g in (1 + 0 * along, along**2, along * across, along**4, along**2 * across**2)]
    np.testing.assert_allclose(found, [1, 1 / dim, q / dim, 3 * fourth, (1 + 2 * q**2) * fourth], rtol=1e-10, atol=1e-14)
    if dim <= 64:
        found = [np.sum(weights * along**6), np.sum(weights * along**4 * across**2)]
        np.testing.assert_allclose(found, [15 * sixth, (3 + 12 * q**2) * sixth], rtol=1e-10)
    for count in (2, 3):
        radii, weights = radial_rule(dim, count)
        powers = [np.sum(weights * radii ** (2 * k)) for k in range(2 * count)]
        expected = np.cumprod([1.0, *(dim + 2.0 * np.arange(2 * count - 1))])
        np.testing.assert_allclose(powers, expected, rtol=1e-10)


def test_first_primes():
    np.testing.assert_array_equal(first_primes(8), [2, 3, 5, 7, 11, 13, 17, 19])
    assert len(first_primes(1)) == 1 and first_primes(1000)[-1] == 7919


def sine(x):
    return jnp.sin(2 * x[0])


def cube(x):
    return x[0] ** 3


def jump(x):
    return jnp.sign(x[0])


def monomial(x):
    return x[0] ** 3 * x[1] ** 2 + x[2]


def norm_moment(k, dim):
    """E x_0^k on the unit sphere."""
    return np.prod(np.arange(1, k, 2) / (dim + np.arange(0, k, 2)))


ROOT = np.sqrt(2 / np.pi)
# inputs, function, X̄ and E f*² known in closed form, and whether the cubature is exact for them.
KNOWN = {
    "cubic": (mf.Gaussian(3, 1.1), cube, [3 * 1.1**4, 0, 0], 15 * 1.1**6, (True, True)),
    "cubic, d = 70": (mf.Gaussian(70), cube, [3.0, *[0] * 69], 15.0, (True, False)),
    "degree 5": (mf.Gaussian(3), monomial, [3.0, 0, 1], 46.0, (True, False)),
    "sine": (mf.Gaussian(3), sine, [2 * np.exp(-2), 0, 0], (1 - np.exp(-8)) / 2, (False, False)),
    "sine, d = 1": (mf.Gaussian(1), sine, [2 * np.exp(-2)], (1 - np.exp(-8)) / 2, (False, False)),
    "sign, d = 20": (mf.Gaussian(20), jump, [ROOT, *[0] * 19], 1.0, (False, True)),
    "cubic, sphere": (
        mf.Sphere(4, 1.5), cube, [1.5**4 * norm_moment(4, 4), 0, 0, 0], 1.5**6 * norm_moment(6, 4), (True, True)
    ),
    "cubic, full covariance": (mf.GaussianCovariance(COV), cube, 3 * COV[0], 15.0, (True, True)),
    "sine, full covariance": (
        mf.GaussianCovariance(COV), sine, 2 * np.exp(-2) * COV[0], (1 - np.exp(-8)) / 2, (False, False)
    ),
    "cubic, singular covariance": (
        mf.GaussianCovariance(SINGULAR), cube, 3 * SINGULAR[0, 0] * SINGULAR[0], 15 * SINGULAR[0, 0] ** 3, (True, True)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_known_linear_parts(name):
    """Exact to rounding where it is said, otherwise within five of the stated errors, which are small."""
    inputs, function, cross, energy, exact = KNOWN[name]
    part = linear_part(mf.FunctionTarget(function, parity="odd"), inputs)
    covariance = np.asarray(inputs.covariance)
    optimum = np.linalg.pinv(covariance, rtol=1e-9) @ cross
    floor, size = (energy - np.dot(cross, optimum)) / 2, np.linalg.norm(cross)
    error = np.abs(np.asarray(part.cross) - cross).max()
    print(
        f"{name}: X̄ off by {error:.1e} (stated {part.cross_error:.1e}), Q* {part.floor - floor:.1e} ({part.floor_error:.1e})"
    )
    if exact[0]:
        assert error < 1e-12 * size and float(part.cross_error) < 1e-12 * size
        np.testing.assert_allclose(covariance @ part.optimum, cross, rtol=0, atol=1e-11 * size)
    else:
        assert error < 5 * float(part.cross_error) < 0.05 * size
    if all(exact):
        assert float(part.floor) == pytest.approx(floor, abs=1e-11 * energy) and float(part.floor_error) < 1e-11 * energy
    else:
        assert abs(float(part.floor) - floor) < 5 * float(part.floor_error) < 0.25 * energy


def test_linear_part_of_data():
    """Least squares, with more columns than rows too."""
    for rows, columns in ((30, 4), (3, 5)):
        x = np.random.default_rng(rows).uniform(-1, 1, (rows, columns))
        inputs = mf.Empirical(x, symmetrise=True)
        assert inputs.x.shape == (2 * rows, columns)
        part = linear_part(mf.FunctionTarget(lambda x: jnp.sin(3 * x[0]) + x[1] ** 3), inputs)
        y = np.sin(3 * x[:, 0]) + x[:, 1] ** 3
        best, *_ = np.linalg.lstsq(x, y, rcond=None)
        np.testing.assert_allclose(part.optimum, best, rtol=0, atol=1e-10)
        assert float(part.floor) == pytest.approx(0.5 * np.mean((x @ best - y) ** 2), abs=1e-14)


@pytest.mark.slow
def test_derivatives_through_the_cubature():
    """X̄ and Q* of the cubic are polynomials in its coefficients and in the scale of the inputs."""

    def outcome(parameters):
        coefficients, scale = parameters[:3], parameters[3]
        part = linear_part(cubic_target(coefficients), mf.Gaussian(3, scale))
        return part.cross[1] + part.floor

    point = jnp.array([0.4, -1.0, 0.3, 1.2])
    c, s = np.asarray(point[:3]), float(point[3])  # X̄ = 3 s⁴ c, Q* = ½ (15 − 9) s⁶ |c|²
    expected = [*(6 * s**6 * c + np.array([0, 3 * s**4, 0])), 12 * s**3 * c[1] + 18 * s**5 * c @ c]
    np.testing.assert_allclose(jax.jit(jax.grad(outcome))(point), expected, rtol=1e-10)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(outcome))(point), expected, rtol=1e-10)


@pytest.mark.slow
def test_whole_route_under_a_trace():
    """reduce and solve_reduced are one function of the coefficients of a target: grad and vmap of it."""
    ts, coefficients = jnp.array([0.0, 2.0]), jnp.array([0.4, -1.0, 0.3])

    def risk(coefficients):
        return mf.solve_reduced(mf.reduce(mf.Problem(mf.Gaussian(3), cubic_target(coefficients))), ts).risk[-1]

    points = jnp.stack([coefficients, coefficients + 1e-5, coefficients - 1e-5])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(risk)))(points)
    assert float(jnp.sum(slopes[0])) == pytest.approx(float(values[1] - values[2]) / 2e-5, rel=1e-7)


@pytest.mark.float32
def test_cubature_in_single_precision():
    inputs = mf.Gaussian(4, jnp.asarray(1.0, jnp.float32))
    part = linear_part(mf.FunctionTarget(cube, parity="odd"), inputs)
    assert part.cross.dtype == jnp.float32
    np.testing.assert_allclose(part.cross, [3, 0, 0, 0], rtol=0, atol=1e-5)
    assert float(part.floor) == pytest.approx(3.0, rel=1e-4)


def test_gaussian_inputs_with_a_covariance():
    for cov in (COV, SINGULAR):
        inputs = mf.GaussianCovariance(cov)
        np.testing.assert_allclose(inputs.root @ inputs.root.T, cov, rtol=0, atol=1e-14)
        x = np.asarray(inputs.sample(jax.random.key(0), 40_000))
        products = x[:, :, None] * x[:, None, :]
        errors = products.std(axis=0) / 200
        assert np.all(np.abs(products.mean(axis=0) - cov) < 4.5 * errors)
        assert float(inputs.second_moment) == pytest.approx(np.trace(cov))
    assert inputs.is_invariant(-np.eye(3)) and not inputs.is_invariant(np.diag([1.0, -1.0, 1.0]))
    assert not inputs.rotation_invariant
    for wrong, reason in (
        ([[1.0, 2.0], [0.0, 1.0]], "symmetric"),
        (np.diag([1.0, -1.0]), "semidefinite"),
        (COV[:2], "square"),
    ):
        with pytest.raises(mf.ArgumentError, match=f"`cov` must be .*{reason}"):
            mf.GaussianCovariance(wrong)


ODD = mf.FunctionTarget(cube, parity="odd")
DATA = np.random.default_rng(0).standard_normal((6, 3))
REFUSED = {
    "an undeclared function": (mf.Problem(mf.Gaussian(3), mf.FunctionTarget(cube)), "not declared odd"),
    "a wrong declaration": (
        mf.Problem(mf.Gaussian(3), mf.FunctionTarget(lambda x: x[0] + x[1] ** 2, parity="odd")),
        "not odd",
    ),
    "an even target": (mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(2)), "not odd"),
    "data without symmetry": (mf.Problem(mf.Empirical(DATA), ODD), "lacks the row −x"),
    "different masses": (mf.Problem(mf.Gaussian(3), ODD, start=mf.SphereStart(0.5, 0.4)), "different masses"),
    "a start with an angle": (mf.Problem(mf.Gaussian(3), ODD, start=mf.AngularStart(jnp.cosh)), "in all directions"),
    "an even unit": (mf.Problem(mf.Gaussian(3), ODD, unit=mf.LeakyReLU(-1.0)), "unit is even"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    problem, reason = REFUSED[name]
    with pytest.raises(mf.NoReductionError) as caught:
        mf.reduce(problem, structure="odd")
    assert reason in str(caught.value) and "solve_particles" in str(caught.value)


def test_different_masses_under_a_trace_are_not_finite():
    def risk(plus, unit):
        start = mf.SphereStart(plus, 0.5)
        problem = mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 0, 0]), unit=unit, start=start)
        return mf.solve_reduced(mf.reduce(problem, structure="odd"), jnp.array([0.0, 1.0])).risk[-1]

    relu = jax.jit(jax.vmap(lambda plus: risk(plus, mf.ReLU())))(jnp.array([0.4, 0.5]))
    assert np.isnan(relu[0]) and np.isfinite(relu[1])
    linear = jax.jit(jax.vmap(lambda plus: risk(plus, mf.Identity())))(jnp.array([0.4, 0.5]))
    assert np.all(np.isfinite(linear))  # a linear network needs no symmetry


def test_which_structure_is_taken():
    """An angle where there is one; the moments where there is none."""
    linear = mf.LinearTarget([1.0, 0, 0])
    kinds = {
        "AngleReduction": [
            mf.Problem(mf.Gaussian(3), linear),
            mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(2), unit=mf.Identity()),
        ],
        "OddReduction": [
            mf.Problem(mf.Gaussian(3), ODD),
            mf.Problem(mf.GaussianCovariance(COV), linear),
            mf.Problem(mf.Gaussian(3), linear, unit=mf.GELU()),
            mf.Problem(mf.Gaussian(3), linear, start=mf.GaussianStart()),
            mf.Problem(mf.Empirical(DATA), mf.FunctionTarget(jnp.sum), unit=mf.Identity()),
            mf.Problem(mf.Empirical(DATA, symmetrise=True), linear),
        ],
    }
    for kind, problems in kinds.items():
        for problem in problems:
            assert type(mf.reduce(problem)).__name__ == kind
    for size in ("cells", "nodes", "modes"):
        with pytest.raises(mf.ArgumentError, match=f"`{size}` must be left out for an odd target"):
            mf.reduce(kinds["OddReduction"][0], **{size: 20})
    with pytest.raises(mf.ArgumentError, match="`structure` must be one of 'odd', 'angle'"):
        mf.reduce(kinds["AngleReduction"][0], structure="even")
    with pytest.raises(mf.NoReductionError, match="FunctionTarget declares no structure"):
        mf.reduce(mf.Problem(mf.Gaussian(3), ODD), structure="angle")
    with pytest.raises(mf.ArgumentError, match="cross_check"):
        mf.cross_check(mf.Problem(mf.Gaussian(3), ODD), [0.0, 1.0])


def test_an_odd_single_index_as_moments():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(3), mf.SingleIndex(lambda z: z**3)), structure="odd")
    np.testing.assert_allclose(reduced.optimum, [3.0, 0, 0], rtol=0, atol=1e-12)


ARGUMENTS = {
    "a method of the angle": ({"method": "grid"}, "method"),
    "no closed form for a start": ({"method": "closed", "initial": np.eye(4)}, "method"),
    "moments on the hyperboloid": ({"method": "hyperboloid", "initial": np.eye(4)}, "method"),
    "initial of another size": ({"initial": np.eye(3)}, "initial"),
    "initial off the hyperboloid": ({"initial": np.ones(4)}, "initial"),
    "initial not symmetric": ({"initial": np.triu(np.ones((4, 4)))}, "initial"),
    "rtol 0": ({"method": "moments", "rtol": 0.0}, "rtol"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_arguments(name):
    options, argument = ARGUMENTS[name]
    reduced = mf.reduce(mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 0, 0])), structure="odd")
    with pytest.raises(mf.ArgumentError, match=f"Argument `{argument}` must be "):
        mf.solve_reduced(reduced, [0.0, 1.0], **options)


def test_wrong_arguments_of_descent():
    reduced = mf.reduce(cubic_problem(dim=3))
    for call, argument in (
        (lambda: mf.descend_moments(reduced, 0, 0.1), "steps"),
        (lambda: mf.descend_moments(reduced, 10, -0.1), "rate"),
        (lambda: mf.descend_moments(reduced, 10, 0.1, record_every=3), "record_every"),
    ):
        with pytest.raises(mf.ArgumentError, match=f"`{argument}`"):
            call()
    with pytest.raises(mf.SolveError, match="not finite"):
        mf.descend_moments(reduced, 200, 1e3)
