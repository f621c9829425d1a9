"""Properties that hold for all values: drawn by hypothesis inside fixed shapes, so that they share compiled code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mfsym as mf
from mfsym.reduced.angles.label_law import half_sphere_rule
from mfsym.reduced.angles.law import cell_probabilities
from mfsym.reduced.line.angle_reduction import node_rule
from mfsym.reduced.line.angle_structure import default_modes
from mfsym.reduced.rules.harmonics import kernel_at_pole, truncated_share

HOST = settings(derandomize=True, deadline=None, database=None, max_examples=25)
RUNS = settings(derandomize=True, deadline=None, database=None, max_examples=6, phases=[Phase.generate])
TIMES = np.array([0.0, 1.0, 4.0])

dims = st.integers(2, 60).flatmap(lambda d: st.tuples(st.just(d), st.integers(1, d - 1)))
scales = st.floats(0.1, 10.0)
masses = st.floats(0.05, 5.0)
seeds = st.integers(0, 2**32 - 1)


# ---- on the host: any shape ----


@HOST
@given(dims, st.integers(8, 200), st.booleans())
def test_cells_carry_the_whole_law(dimensions, cells, signed):
    dim, dim_h = dimensions
    found = cell_probabilities(cells, 1 if signed else dim_h, dim - (1 if signed else dim_h), signed)
    assert found.shape == (cells,) and np.all(found >= 0)
    assert np.sum(found) == pytest.approx(1, abs=1e-13)
    if signed:  # the law of b and −b
        np.testing.assert_allclose(found, found[::-1], rtol=1e-9, atol=1e-300)


@HOST
@given(st.integers(3, 120).map(lambda n: 2 * n + 1), scales)
def test_labels_integrate_polynomials(nodes, end):
    theta, weights = node_rule(nodes, end)
    assert np.all((theta > 0) & (theta < end)) and np.all(weights > 0)
    for power in (0, 1, 5):
        assert weights @ theta**power == pytest.approx(end ** (power + 1) / (power + 1), rel=1e-12)


@HOST
@given(st.integers(3, 2000), st.integers(1, 16))
def test_sizes_of_a_gaussian_start_have_their_moments(dim, count):
    t, probability = half_sphere_rule(dim, count)
    assert np.all(probability > 0) and np.sum(probability) == pytest.approx(1, abs=1e-12)
    if count > 1:
        assert probability @ t**2 == pytest.approx(1 / dim, rel=1e-6)  # points rarer than 1e-9 are left out


@HOST
@given(dims)
def test_the_default_modes_are_the_fewest_that_are_enough(dimensions):
    dim, dim_h = dimensions
    modes, shares = default_modes(dim, dim_h), truncated_share(dim, dim_h, 128)
    assert np.all(np.diff(shares) <= 1e-15) and shares[0] < 1 and kernel_at_pole(dim, dim_h) > 0
    assert 16 <= modes <= 128 and (modes == 128 or shares[modes - 1] <= 1e-7)
    assert modes in (16, 128) or shares[modes - 2] > 1e-7


@RUNS
@given(st.sampled_from([(2, 3), (1, 2, 2)]), seeds)  # every size of a block compiles its sampler
def test_block_groups_act_by_isometries_that_keep_their_blocks(blocks, seed):
    group = mf.BlockOrthogonal(blocks)
    (element,) = group.sample(jax.random.key(seed), 1)
    x = np.random.default_rng(seed).standard_normal(sum(blocks))
    y, start = np.asarray(element.matrix) @ x, 0
    for size in blocks:
        block = slice(start, start + size)
        assert np.linalg.norm(y[block]) == pytest.approx(np.linalg.norm(x[block]), rel=1e-12)
        start += size


@HOST
@given(st.integers(1, 4), st.integers(1, 6), seeds)
def test_a_completed_basis_is_orthogonal(count, more, seed):
    dim = count + more - 1
    rows = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, count)))[0].T
    full = mf.complete_basis(rows)
    np.testing.assert_array_equal(full[:count], rows)
    np.testing.assert_allclose(full @ full.T, np.eye(dim), atol=1e-13)


# ---- runs: any values in one shape ----


def reduction(dimensions=(6, 2), target=1.0, scale=1.0, plus=0.5, minus=0.5):
    dim, dim_h = dimensions
    start = mf.SphereStart(plus, minus)
    problem = mf.Problem(mf.Gaussian(dim, scale), mf.SubspaceNorm(dim_h, target), start=start)
    return mf.reduce(problem, cells=16, nodes=15, modes=8)


DRAWN = [(9, 1), (30, 5)]  # a reduction of new dimensions compiles its tables


@RUNS
@given(st.sampled_from(DRAWN), st.floats(-3.0, 3.0), scales, masses, masses)
def test_risk_falls_and_densities_stay_positive(dimensions, target, scale, plus, minus):
    reduced = reduction(dimensions, target, scale, plus, minus)
    for method in ("grid", "characteristics"):
        run = mf.solve_reduced(reduced, TIMES / scale**2, method=method, derivative="forward")
        assert bool(jnp.all(jnp.diff(run.risk) <= 1e-6 * run.risk[0] + 1e-20))
        if method == "grid":
            assert float(jnp.min(run.states)) >= -1e-15 * float(jnp.max(run.states))
            start = jnp.sum(run.states[0], axis=-1)
            np.testing.assert_allclose(start / start[0], np.array([plus, minus]) / plus, rtol=1e-12)


@pytest.mark.slow
@RUNS
@given(st.sampled_from(DRAWN), scales, scales, masses)
def test_scaling_laws(dimensions, target, scale, mass):
    """Powers of two scale without rounding: target and masses by λ in the time t/λ, inputs by r in the time t/r²."""
    usual = mf.solve_reduced(reduction(dimensions, target, 1.0, mass, mass), TIMES, derivative="forward", atol=1e-8)
    factor, stretch = 2.0 ** np.round(np.log2(scale)), 2.0
    reduced = reduction(dimensions, factor * target, stretch, factor * mass, factor * mass)
    ts = TIMES / factor / stretch**2
    scaled = mf.solve_reduced(reduced, ts, derivative="forward", atol=1e-8 * factor)
    np.testing.assert_allclose(scaled.risk, (factor * stretch) ** 2 * usual.risk, rtol=1e-9)
    np.testing.assert_allclose(scaled.states, factor * usual.states, rtol=1e-7, atol=1e-12 * factor)


def turned(cloud, matrix):
    return mf.Particles(cloud.a, cloud.b @ matrix.T)


@pytest.mark.slow
@RUNS
@given(seeds, scales)
def test_rotations_of_everything_commute(seed, scale):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    # |a| < ‖b‖ stays so: no neuron comes to b = 0, where the flow is not unique
    directions = rng.standard_normal((8, 4))
    cloud = mf.Particles(rng.uniform(-1, 1, 8), 1.5 * directions / np.linalg.norm(directions, axis=1, keepdims=True))
    own, other = (mf.Rotated(mf.SubspaceNorm(2, scale), matrix) for matrix in (np.eye(4), rotation))
    options = {"step": 0.05, "derivative": "forward"}  # the error of an adaptive step is measured along the axes
    here = mf.solve_particles(mf.Problem(mf.Gaussian(4), own), cloud, TIMES, **options)
    there = mf.solve_particles(mf.Problem(mf.Gaussian(4), other), turned(cloud, rotation.T), TIMES, **options)
    np.testing.assert_allclose(there.risk, here.risk, rtol=1e-9)
    np.testing.assert_allclose(turned(there.final, rotation).b, here.final.b, atol=1e-10)


@pytest.mark.slow
@RUNS
@given(seeds, scales)
def test_closed_clouds_stay_closed(seed, scale):
    rng = np.random.default_rng(seed)
    group = mf.generate(mf.Symmetry(1, np.diag([-1.0, 1, 1, 1])), mf.Symmetry(1, np.diag([1.0, 1, -1, 1])))
    cloud = mf.orbit_cloud(mf.Particles(rng.standard_normal(2), rng.standard_normal((2, 4))), group)
    problem = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2, scale))
    run = mf.solve_particles(problem, cloud, TIMES, derivative="forward")
    assert bool(jnp.all(jnp.diff(run.risk) <= 1e-6 * run.risk[0]))
    blocks = run.final.b.reshape(4, 2, 4)
    for index, element in enumerate(group.matrices):
        np.testing.assert_allclose(blocks[index], blocks[0] @ np.asarray(element).T, atol=1e-12)
    np.testing.assert_allclose(run.final.a.reshape(4, 2), np.tile(run.final.a[:2], (4, 1)), atol=1e-12)
    # layers stay balanced: a² − ‖b‖² is conserved
    balance = [np.asarray(c.a**2 - jnp.sum(c.b**2, axis=1)) for c in (cloud, run.final)]
    np.testing.assert_allclose(balance[1], balance[0], atol=2e-5 * np.max(np.abs(balance[0])))


@RUNS
@given(seeds, masses, scales)
def test_a_paired_cloud_starts_at_the_risk_of_the_limit(seed, mass, scale):
    """f = 0 for paired signs, so that the risk is ½ E f*² at every width: that of the reduced equation at t = 0."""
    problem = mf.Problem(mf.Gaussian(6, scale), mf.SubspaceNorm(2), start=mf.SphereStart(mass, mass))
    cloud = mf.sphere_cloud(problem, width=8, key=jax.random.key(seed), signs="paired")
    limit = mf.solve_reduced(reduction((6, 2), 1.0, scale, mass, mass), TIMES / scale**2, derivative="forward").risk[0]
    assert float(mf.risk_of(problem).value(cloud)) == pytest.approx(float(limit), rel=1e-5)
    assert float(limit) == pytest.approx(scale**2, rel=1e-5)  # ½ d_H scale², but for the tail of 8 modes


@pytest.mark.slow
@RUNS
@given(seeds, scales)
def test_what_is_kept_of_a_run_does_not_change_it(seed, scale):
    problem = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2, scale))
    cloud = mf.sphere_cloud(problem, width=8, key=jax.random.key(seed))
    kept, plain = (mf.solve_particles(problem, cloud, TIMES, save_states=s, derivative="forward") for s in (True, False))
    np.testing.assert_allclose(kept.risk, plain.risk, rtol=1e-13)
    assert plain.states is None
    np.testing.assert_allclose(kept.states.b[-1], kept.final.b, rtol=1e-12, atol=1e-14)


# ---- single precision beside double ----

# Largest relative difference of risk and masses to the same run in double precision, at the default tolerances.
SINGLE = {
    "grid": (5e-5, lambda dtype: mf.solve_reduced(reduction(), TIMES, dtype=dtype, derivative="forward")),
    "characteristics": (
        3e-4,
        lambda dtype: mf.solve_reduced(reduction(), TIMES, method="characteristics", dtype=dtype, derivative="forward"),
    ),
    "odd": (5e-4, lambda dtype: mf.solve_reduced(odd(), TIMES, dtype=dtype, method="hyperboloid", derivative="forward")),
    "several angles": (5e-4, lambda dtype: mf.solve_reduced(several(), TIMES, dtype=dtype, derivative="forward")),
    "solve_particles": (
        2e-4,
        lambda dtype: mf.solve_particles(clouds(), cloud_of_clouds(), TIMES, dtype=dtype, derivative="forward"),
    ),
    "descend": (1e-5, lambda dtype: mf.descend(clouds(), cloud_of_clouds(), 20, learning_rate=0.2, dtype=dtype)),
}


def odd():
    return mf.reduce(mf.Problem(mf.Gaussian(6), mf.LinearTarget([1.0, 2.0, 0, 0, 0, 0])), structure="odd")


def several():
    return mf.reduce(mf.Problem(mf.Gaussian(6), mf.BlockNorms((2, 2))), cells=10, modes=8)


def clouds():
    return mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2))


def cloud_of_clouds():
    return mf.sphere_cloud(clouds(), width=8, key=jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize("solver", SINGLE)
def test_single_precision_beside_double(solver):
    tolerance, solve = SINGLE[solver]
    single, double = solve(jnp.float32), solve(jnp.float64)
    assert single.risk.dtype == jnp.float32 and double.risk.dtype == jnp.float64
    for name in ("risk", "mass_plus", "mass_minus"):
        values, exact = (np.asarray(run.observables[name], float) for run in (single, double))
        difference = float(np.max(np.abs(values - exact) / exact))
        print(f"{solver} {name}: {difference:.1e}")
        assert difference < tolerance
