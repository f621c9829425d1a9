"""Several angles: coordinates, harmonics, both methods, and the reductions that they must contain."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
import scipy.stats

import mfsym as mf
from mfsym.reduced.angles.coordinates import Blocks, tangents, to_angles, to_point
from mfsym.reduced.rules.stencil import lobatto_points
from mfsym.reduced.several import scattered
from mfsym.reduced.several.block_reduction import BlockReduction
from mfsym.reduced.several.merging import pole_groups
from mfsym.reduced.several.nested_tables import analyse, nested_tables
from mfsym.reduced.several.tensor_grid import BlockGridDynamics
from mfsym.reduced.several.waves import wave_table

BLOCKS = mf.Problem(mf.Gaussian(8), mf.BlockNorms((1, 2)))  # one angle per norm: two
LARGEST = mf.Problem(mf.Gaussian(10), mf.MultiIndex(jnp.max, 2))  # two signed angles, with a linear part
TIMES = (0.0, 0.5, 1.0, 2.5, 4.0)


@functools.cache
def run(name, method, sizes, modes=12):
    problem = {"blocks": BLOCKS, "largest": LARGEST}[name]
    reduced = mf.reduce(problem, modes=modes, **({"cells": sizes} if method == "grid" else {"nodes": sizes}))
    return mf.solve_reduced(reduced, jnp.asarray(TIMES), method=method, derivative="forward")


def angles_of(*norms):
    """Angles of the unit vector with these norms of its blocks but the last."""
    point = np.append(norms, np.sqrt(1 - np.sum(np.square(norms))))
    return jnp.asarray(to_angles(jnp.asarray(point)))[None]


def gaussian_relu(mean, spread):
    """E max(mean + spread·Z, 0), Z ~ N(0, 1)."""
    return mean * scipy.stats.norm.cdf(mean / spread) + spread * scipy.stats.norm.pdf(mean / spread)


def test_coordinates():
    angles = jnp.asarray(np.random.default_rng(0).uniform(0.1, 3.0, (20, 3))).at[:, 2].divide(2)
    point = to_point(angles)
    np.testing.assert_allclose(jnp.linalg.norm(point, axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(to_angles(2.5 * point), angles, rtol=1e-12)
    frame = tangents(angles)
    np.testing.assert_allclose(jnp.einsum("nac,nbc->nab", frame, frame), np.broadcast_to(np.eye(3), (20, 3, 3)), atol=1e-14)
    moved = jax.vmap(jax.jacfwd(to_point))(angles)  # [n, c, a]: the derivative along θ_a has length Π_{b<a} sin θ_b
    lengths = np.concatenate([np.ones((20, 1)), np.cumprod(np.sin(angles), axis=1)[:, :2]], axis=1)
    np.testing.assert_allclose(np.swapaxes(moved, 1, 2), frame * lengths[..., None], atol=1e-14)


@pytest.mark.parametrize(
    "blocks",
    [
        Blocks((1, 1, 5), (True, True)),
        Blocks((1, 2, 5), (False, False)),
        Blocks((2, 1, 3), (False, True)),
        Blocks((1, 1, 1, 2), (True, True, True)),
        Blocks((1, 3, 1), (True, False)),
    ],
    ids=str,
)
def test_harmonics_are_orthonormal(blocks):
    counts = (41,) * blocks.angles
    angles, log_weight = blocks.nodes(counts), blocks.log_rule(counts) + blocks.log_law(counts)
    tables = nested_tables(blocks, 6, scaled=False)
    reduction = FeaturesOnly(blocks, tables)
    values = np.asarray(reduction.features(jnp.asarray(angles))).reshape(len(angles), -1)
    gram = (values * np.exp(log_weight)[:, None]).T @ values
    used = np.diag(gram) > 0.5
    assert used.sum() >= 4
    np.testing.assert_allclose(gram, np.diag(used.astype(float)), atol=1e-6)


class FeaturesOnly:
    """The evaluation of a BlockReduction, for every degree, without a problem."""

    def __init__(self, blocks, tables):
        self.blocks, self.tables = blocks, tables
        self.degrees = np.arange(tables[0].log_first.shape[0])

    features = BlockReduction.features


@pytest.mark.slow
def test_kernel_of_blocks_without_harmonics():
    """Blocks (1, 2, 4): the arc-cosine kernel averaged over rotations of every block; and a published digit string."""
    reduced = mf.reduce(mf.Problem(mf.Gaussian(7), mf.BlockNorms((1, 2))), modes=24, cells=8, nodes=7)
    assert float(reduced.kernel(angles_of(0.3, 0.5), angles_of(0.6, 0.2))[0, 0]) == pytest.approx(0.170350965, abs=1e-8)
    left, right = (0.3, 0.5, np.sqrt(1 - 0.34)), (0.6, 0.2, np.sqrt(1 - 0.4))
    cosine, weight = np.zeros(1), np.ones(1)
    for dim, one, other in zip((1, 2, 4), left, right, strict=True):
        nodes, share = references.averaging_rule(dim, 64)
        cosine, weight = np.add.outer(cosine, one * other * nodes).ravel(), np.multiply.outer(weight, share).ravel()
    expected = np.sum(weight * references.arc_cosine(cosine))
    assert float(reduced.kernel(angles_of(0.3, 0.5), angles_of(0.6, 0.2))[0, 0]) == pytest.approx(expected, abs=1e-10)


@pytest.mark.slow
def test_kernel_of_signed_coordinates_without_harmonics():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(9), mf.MultiIndex(jnp.max, 2)), modes=24, cells=8, nodes=7)
    left, right = np.array([-0.3, 0.5]), np.array([0.6, 0.2])
    nodes, weight = references.averaging_rule(7, 64)
    cosine = left @ right + np.sqrt(1 - left @ left) * np.sqrt(1 - right @ right) * nodes
    expected = np.sum(weight * references.arc_cosine(cosine))
    assert float(reduced.kernel(angles_of(*left), angles_of(*right))[0, 0]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_target_term_without_harmonics():
    """g*(u) = E[g(x_H) ReLU(u·x)] for max(x_1, x_2), whose kink is off the axes, averaged over H^⊥ in closed form."""
    reduced = mf.reduce(LARGEST, modes=24, cells=8, nodes=7)
    u = np.array([0.6, -0.3])
    node, weight = np.polynomial.legendre.leggauss(200)
    z, w = 9 * node, 9 * weight * np.exp(-((9 * node) ** 2) / 2) / np.sqrt(2 * np.pi)
    # In the coordinates (s, t) = (x_1 + x_2, x_1 − x_2)/√2 the kink is t = 0: two half lines of Gauss points.
    half_node, half_weight = 4.5 * (node + 1), 4.5 * weight
    t = np.concatenate([half_node, -half_node])
    wt = np.tile(half_weight * np.exp(-(half_node**2) / 2) / np.sqrt(2 * np.pi), 2)
    first, second = ((z[:, None] + s * t[None]) / np.sqrt(2) for s in (1, -1))
    mean, spread = u[0] * first + u[1] * second, np.sqrt(1 - u @ u)
    expected = np.sum(w[:, None] * wt[None] * np.maximum(first, second) * gaussian_relu(mean, spread))
    assert float(reduced.target_term(angles_of(*u))[0]) == pytest.approx(expected, abs=2e-6)


SPLITS = {
    "two coordinates": Blocks((1, 1, 8), (True, True)),
    "high dimension": Blocks((1, 1, 9998), (True, True)),
    "coordinate and block": Blocks((1, 2, 5), (True, False)),
    "block and coordinate": Blocks((2, 1, 3), (False, True)),
    "three blocks": Blocks((1, 2, 5), (False, False)),
    "three coordinates": Blocks((1, 1, 1, 7), (True, True, True)),
}


@eqx.filter_jit
def by_recurrence(blocks, tables, angles, forces, weights):
    """G = Σ forces ψ, its gradient by automatic differentiation, and the moments of weights."""

    def potential(point):
        return jnp.sum(forces * scattered.features(blocks, tables, point[None])[0])

    growth, slopes = jax.vmap(jax.value_and_grad(potential))(angles)
    frame = slopes.at[:, 1:].divide(jnp.cumprod(jnp.sin(angles), axis=1)[:, :-1])
    moments = jnp.tensordot(weights, scattered.features(blocks, tables, angles), 1)
    return growth, jnp.einsum("nk,nkc->nc", frame, tangents(angles)), moments


@eqx.filter_jit
def by_waves(blocks, tables, angles, forces, weights):
    """The same by frequencies, and G once more."""
    waves = tuple(map(wave_table, tables))
    growth, gradient = scattered.fields(blocks, waves, angles, forces)
    moments = scattered.moments(blocks, waves, angles, weights)
    return growth, gradient, moments, scattered.sums(blocks, waves, angles, forces)


def test_waves_are_the_harmonics():
    """F[l, j](θ) of the first of two coordinates in R^9999."""
    table, theta = nested_tables(SPLITS["high dimension"], 8)[0], jnp.asarray([0.02, 0.9, 1.56, 1.58, 3.0])

    @eqx.filter_jit
    def both(table):
        waves = wave_table(table)
        plain = waves.at(theta)[0]
        cosines, sines = (jnp.einsum("ljn,pn->ljp", waves.values, each) for each in plain)
        return jnp.where((np.arange(8) % 2 == 0)[None, :, None], cosines, sines), table(theta)[0]

    found, expected = both(table)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPLITS)
def test_sums_by_waves_are_sums_by_recurrence(name):
    """At the pole θ_1 = 0 the gradient is that nearby, where the recurrence loses digits."""
    blocks, rng = SPLITS[name], np.random.default_rng(0)
    tables = nested_tables(blocks, 8)
    angles = np.stack([rng.uniform(0.1, end - 0.1, 5) for end in map(blocks.end, range(blocks.angles))], axis=1)
    shape = jax.eval_shape(lambda: scattered.features(blocks, tables, jnp.asarray(angles))).shape[1:]
    forces, weights = jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=5))
    found = by_waves(blocks, tables, jnp.asarray(angles), forces, weights)
    expected = by_recurrence(blocks, tables, jnp.asarray(angles), forces, weights)
    for one, other in zip(found, (*expected, expected[0]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12 * float(jnp.max(jnp.abs(other))))
    ends = [np.concatenate([np.full((5, 1), theta), angles[:, 1:]], axis=1) for theta in (0.0, 1e-7)]
    at_pole, near = (by_waves(blocks, tables, jnp.asarray(end), forces, weights)[1] for end in ends)
    np.testing.assert_allclose(at_pole, near, atol=1e-5 * float(jnp.max(jnp.abs(found[1]))))


def test_groups_next_to_a_pole():
    groups = pole_groups(Blocks((1, 1, 8), (True, True)), (32, 48))
    sizes = [len(np.unique(row)) for row in groups.index]
    assert sizes[0] == sizes[-1] <= 6 and sizes[16] == 48 and sizes[:16] == sorted(sizes[:16])
    rng = np.random.default_rng(1)
    density, uniform = (jnp.asarray(rng.uniform(size=(32, 48))) for _ in range(2))
    share = groups.share(uniform)
    averaged = groups.average(density, share)
    assert float(jnp.sum(averaged)) == pytest.approx(float(jnp.sum(density)), rel=1e-13)
    np.testing.assert_allclose(groups.average(averaged, share), averaged, rtol=1e-12)
    np.testing.assert_allclose(groups.average(uniform, share), uniform, rtol=1e-12)
    assert pole_groups(Blocks((1, 2, 8), (False, False)), (8, 8)).count == 64  # radial blocks need none


@pytest.mark.slow
def test_transport_alone_conserves_mass():
    dynamics = BlockGridDynamics(mf.reduce(LARGEST, cells=(16, 20), nodes=7, modes=6))
    rng = np.random.default_rng(2)
    state = dynamics.initial_state() * jnp.asarray(rng.uniform(0.5, 1.5, (2, 16, 20)))

    @jax.jit
    def transported(state):
        prepared = dynamics.prepare()
        return prepared.transport(prepared.cell_values(state), prepared.fields(state)[1])

    change = transported(state)
    assert float(jnp.max(jnp.abs(change))) > 1e-3
    np.testing.assert_allclose(jnp.sum(change, axis=(1, 2)), 0.0, atol=1e-12 * float(jnp.sum(jnp.abs(change))))


@pytest.mark.slow
def test_moments_are_integrals_of_the_reconstruction():
    """With a density that does not vanish at the poles, where its continuation reflects the angles that follow."""
    reduced = mf.reduce(LARGEST, cells=(8, 10), nodes=7, modes=4)
    dynamics = eqx.filter_jit(lambda d: d.prepare())(BlockGridDynamics(reduced))
    state = jnp.asarray(np.random.default_rng(3).uniform(size=(2, 8, 10)))
    rules = [lobatto_points(cells, np.pi) for cells in (8, 10)]
    theta = np.stack([z.ravel() for z in np.meshgrid(*(points.T.ravel() for points, _ in rules), indexing="ij")], axis=1)
    weight = np.multiply.outer(np.tile(rules[0][1], 8), np.tile(rules[1][1], 10)).ravel()
    features = np.asarray(reduced.features(jnp.asarray(theta)))
    values = np.asarray(dynamics.reconstruct(state)).reshape(2, -1)
    expected = np.tensordot(weight * (values[0] - values[1]), features, 1)
    np.testing.assert_allclose(analyse(dynamics.tables.all_moments, state[0] - state[1]), expected, atol=1e-14)


@pytest.mark.slow
def test_reference_values_of_two_blocks():
    """|x_1| + ‖x_{2:3}‖, d = 8."""
    grid, labels = run("blocks", "grid", 24), run("blocks", "characteristics", 31)
    for solution in (grid, labels, run("blocks", "grid", 16)):
        one, four = TIMES.index(1.0), TIMES.index(4.0)
        seen = [float(m[i]) for i in (one, four) for m in (solution.mass_plus, solution.mass_minus)]
        np.testing.assert_allclose(seen, [2.12053, 0.12186, 5.30129, 0.06165], atol=1e-5)
        np.testing.assert_allclose([float(solution.risk[i]) for i in (one, four)], [1.0587, 0.0588], rtol=2e-3)
    for name in grid.observables:
        np.testing.assert_allclose(grid.observables[name], labels.observables[name], atol=3e-6)


@pytest.mark.slow
def test_the_largest_of_two_coordinates():
    """Both methods where a linear part drives neurons across the poles: masses within 1e-4."""
    grid, labels = run("largest", "grid", (24, 32), 8), run("largest", "characteristics", 21, 8)
    for name in ("mass_plus", "mass_minus", "risk"):
        difference = np.max(np.abs(grid.observables[name] - labels.observables[name]))
        print(f"{name}: {difference:.1e}")
        assert difference < 1e-4


@pytest.mark.slow
def test_densities_stay_non_negative():
    lowest = {}
    for limited in (True, False):
        reduced = mf.reduce(LARGEST, cells=(24, 32), nodes=7, modes=8)
        dynamics = eqx.filter_jit(lambda d: d.prepare())(BlockGridDynamics(reduced, limited=limited))
        state = jnp.where(jnp.arange(24)[None, :, None] < 12, dynamics.initial_state(), 0.0)  # an edge that overshoots
        euler = jax.jit(lambda s, d=dynamics: s + 0.5 * d.largest_step(s) * d.velocity(0.0, s))
        lowest[limited] = min(float(jnp.min(state := euler(state))) / float(jnp.max(state)) for _ in range(5))
    assert lowest[True] >= -1e-14 and lowest[False] < -1e-6


@pytest.mark.slow
def test_one_coordinate_of_two_is_the_single_index_reduction():
    """|x_1| declared as a function of two coordinates; and a function of ‖x_H‖ declared as one of x_1 and x_2."""
    ts = jnp.asarray([0.0, 1.0, 3.0])
    for small, large in (
        (mf.SingleIndex(jnp.abs), mf.MultiIndex(lambda x: jnp.abs(x[0]), 2)),
        (mf.SubspaceNorm(2), mf.MultiIndex(jnp.linalg.norm, 2)),
    ):
        runs = [
            mf.solve_reduced(
                mf.reduce(mf.Problem(mf.Gaussian(8), target), cells=cells, nodes=63, modes=12), ts, derivative="forward"
            )
            for target, cells in ((small, 200), (large, 32))
        ]
        for name in ("mass_plus", "mass_minus", "risk"):
            np.testing.assert_allclose(runs[0].observables[name], runs[1].observables[name], atol=2e-5)


@pytest.mark.slow
def test_two_declarations_of_one_target():
    blocks = mf.reduce(mf.Problem(mf.Gaussian(12), mf.BlockNorms((1, 1))), modes=16, cells=8, nodes=7)
    index = mf.reduce(
        mf.Problem(mf.Gaussian(12), mf.MultiIndex(lambda x: jnp.sum(jnp.abs(x)), 2)), modes=16, cells=8, nodes=7
    )
    for norms in ((0.3, 0.4), (0.9, 0.1)):
        angles = angles_of(*norms)
        assert float(blocks.target_term(angles)[0]) == pytest.approx(float(index.target_term(angles)[0]), abs=1e-8)
    risk = [float(r.floor + r.tail + 0.5 * jnp.sum(r.coefficients**2)) for r in (blocks, index)]
    assert risk == pytest.approx([0.5 * (2 + 4 / np.pi)] * 2, rel=1e-8)  # ½E(|z_1| + |z_2|)²


@pytest.mark.slow
def test_three_angles():
    """|x_1| + |x_2| + |x_3|, d = 12, t = 3."""
    reduced = mf.reduce(mf.Problem(mf.Gaussian(12), mf.BlockNorms((1, 1, 1))), cells=10, nodes=11, modes=6)
    ts = jnp.asarray([0.0, 1.5, 3.0])
    grid, labels = (mf.solve_reduced(reduced, ts, method=m, derivative="forward") for m in ("grid", "characteristics"))
    for name in grid.observables:
        relative = {"rtol": 0, "atol": 1e-3} if name.startswith("alignment") else {"rtol": 1e-3}
        np.testing.assert_allclose(grid.observables[name], labels.observables[name], **relative)


@pytest.mark.slow
def test_predictor_and_projection():
    solution = run("blocks", "grid", 24)
    x, values = BLOCKS.sample(jax.random.key(0), 4000)
    losses = 0.5 * np.asarray(mf.predict(solution, x) - values) ** 2
    assert abs(losses.mean() - float(solution.risk[-1])) < 4 * losses.std() / np.sqrt(len(losses))
    cloud = mf.sphere_cloud(BLOCKS, width=4000, key=jax.random.key(1))
    theta, weight = mf.project(cloud, solution.model)
    assert theta.shape == (4000, 2) and float(jnp.sum(jnp.abs(weight))) == pytest.approx(1.0)
    point = to_point(theta)
    np.testing.assert_allclose(point[:, 0], jnp.abs(cloud.b[:, 0]), atol=1e-12)
    np.testing.assert_allclose(point[:, 1], jnp.linalg.norm(cloud.b[:, 1:3], axis=1), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grid", "characteristics"])
def test_derivative_in_the_weights(method):
    def final_risk(weights):
        reduced = mf.reduce(mf.Problem(mf.Gaussian(6), mf.BlockNorms((1, 2), weights)), cells=10, nodes=9, modes=4)
        return mf.solve_reduced(
            reduced, jnp.asarray([0.0, 0.7]), method=method, derivative="forward", rtol=1e-9, atol=1e-10
        ).risk[-1]

    at, along = jnp.asarray([1.0, 0.8]), jnp.asarray([0.6, -0.8])
    slope = float(jax.jit(lambda w: jax.jvp(final_risk, (w,), (along,))[1])(at))
    ahead, behind = (float(final_risk(at + h * along)) for h in (1e-4, -1e-4))
    assert slope == pytest.approx((ahead - behind) / 2e-4, rel=1e-5)


def test_a_grid_of_several_angles_holds_balanced_flows_only():
    def last_risk(weights):
        problem = mf.Problem(mf.Gaussian(6), mf.BlockNorms((1, 2), weights))
        reduced = mf.reduce(problem, cells=8, nodes=7, modes=2)
        return mf.solve_reduced(reduced, jnp.asarray([0.0, 0.1]), training=mf.Training(), throw=False).risk[-1]

    assert bool(jnp.isfinite(jax.jit(last_risk)(jnp.ones(2))))  # the default is known to be the default under jit too
    reduced = mf.reduce(BLOCKS, cells=8, nodes=7, modes=2)
    for training in (mf.Training(2.0, 0.5), mf.Training(step=0.1)):
        with pytest.raises(mf.NoReductionError, match="on a grid of angles"):
            mf.solve_reduced(reduced, jnp.asarray([0.0, 0.1]), training=training)


@pytest.mark.parametrize(
    ("dim", "target", "message"),
    [
        (9, mf.BlockNorms((1, 1, 1, 1)), "4 angles are left.*solve_particles"),
        (4, mf.MultiIndex(jnp.max, 4), "no symmetry is left.*solve_particles"),
        (4, mf.BlockNorms((4,)), "SubspaceNorm"),
    ],
)
def test_problems_without_such_a_reduction(dim, target, message):
    with pytest.raises(mf.NoReductionError, match=message):
        mf.reduce(mf.Problem(mf.Gaussian(dim), target))


def test_wrong_arguments():
    with pytest.raises(mf.ArgumentError, match="dims"):
        mf.BlockNorms(())
    with pytest.raises(mf.ArgumentError, match="weights"):
        mf.BlockNorms((1, 2), [1.0])
    with pytest.raises(mf.ArgumentError, match="at most 3"):
        mf.Problem(mf.Gaussian(3), mf.BlockNorms((2, 2)))
    with pytest.raises(mf.ArgumentError, match="`g`"):
        mf.MultiIndex(jnp.abs, 2)
    with pytest.raises(mf.ArgumentError, match="`cells`"):
        mf.reduce(BLOCKS, cells=(8, 8, 8))
    with pytest.raises(mf.ArgumentError, match="`nodes`"):
        mf.reduce(BLOCKS, nodes=8)
    with pytest.raises(mf.ArgumentError, match="`method`"):
        mf.solve_reduced(mf.reduce(BLOCKS, cells=8, nodes=7, modes=2), jnp.asarray([0.0, 1.0]), method="upwind")
    with pytest.raises(mf.ArgumentError, match="`density_of_angle` must be positive somewhere"):
        mf.reduce(mf.Problem(mf.Gaussian(8), mf.BlockNorms((1, 2)), start=mf.AngularStart(jnp.zeros_like)))
