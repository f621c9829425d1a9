"""Symmetries of clouds: groups, their action, defects, projection to the quotient, and what the flow keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from particle_problems import random_cloud

import mfsym as mf
from mfsym.errors import ArgumentError

DIM, NEURONS = 4, 60


def embedded(small, sign=1.0):
    """A symmetry that acts on the first coordinates only."""
    matrix = np.eye(DIM)
    matrix[: len(small), : len(small)] = small
    return mf.Symmetry(sign, matrix)


FIFTH = 2 * np.pi / 5
GROUPS = {
    "even": [mf.Symmetry(1, -np.eye(DIM))],
    "odd": [mf.Symmetry(-1, -np.eye(DIM))],
    "sign flips": [embedded(np.diag([-1.0])), embedded(np.diag([1.0, -1.0]), -1)],
    "permutations": [embedded(np.eye(3)[[1, 0, 2]]), embedded(np.eye(3)[[1, 2, 0]])],
    "five-fold": [embedded([[np.cos(FIFTH), -np.sin(FIFTH)], [np.sin(FIFTH), np.cos(FIFTH)]])],
}


def closed_cloud(group, seed):
    return mf.orbit_cloud(random_cloud(NEURONS // len(group), DIM, seed=seed), group)


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS)
def test_the_flow_keeps_the_symmetry_of_a_closed_cloud(name):
    """A teacher that is closed under the group has f*(Tx) = s f*(x); equal sizes share the compiled flow."""
    group = mf.generate(*GROUPS[name])
    problem = mf.Problem(mf.Gaussian(DIM), mf.Teacher(closed_cloud(group, 1)))
    run = mf.solve_particles(problem, closed_cloud(group, 2), jnp.array([0.0, 1.0, 5.0]))
    assert run.risk[-1] < 0.5 * run.risk[0]
    assert mf.symmetry_defect(run, group, space="parameter") <= 1e-12
    assert mf.symmetry_defect(run, group, inputs=problem.inputs) <= 1e-12
    x = jax.random.normal(jax.random.key(3), (200, DIM))
    for i in range(len(group)):
        gap = mf.predict(run, mf.act(group[i], x)) - group[i].sign * mf.predict(run, x)
        assert jnp.max(jnp.abs(gap)) <= 1e-12 * jnp.max(jnp.abs(mf.predict(run, x)))


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS)
def test_a_cloud_that_is_not_closed_has_a_defect(name):
    group, cloud = mf.generate(*GROUPS[name]), random_cloud(NEURONS, DIM)
    assert mf.symmetry_defect(cloud, group, space="parameter") > 1e-3
    assert mf.symmetry_defect(cloud, group, inputs=mf.Gaussian(DIM)) > 1e-2


@pytest.mark.float32
@pytest.mark.parametrize("sign", [1, -1])
def test_the_exact_defect_is_the_sampled_one(sign):
    """By pairs of neurons and by inputs; the sampled one as for a function that is not a cloud."""
    cloud, symmetry = random_cloud(40, DIM), mf.Symmetry(sign, np.eye(DIM)[[1, 2, 3, 0]])
    unit = mf.LeakyReLU(0.3)
    for inputs in (mf.Gaussian(DIM, 1.7), mf.Sphere(DIM, 2.0)):
        exact = mf.symmetry_defect(cloud, symmetry, inputs=inputs, unit=unit)
        network = lambda x: mf.predict(cloud, x[None], unit=unit)[0]  # noqa: E731
        sampled = mf.symmetry_defect(network, symmetry, inputs=inputs, samples=16384)
        assert abs(exact - sampled) < 3e-3 * exact


def test_a_target_and_a_data_set():
    """A symmetric data set keeps the defect of a symmetric function at rounding; f = 0 has every symmetry."""
    flip = mf.Symmetry(-1, -np.eye(DIM))
    rows = np.random.default_rng(0).standard_normal((30, DIM))
    data = mf.Empirical(np.concatenate([rows, -rows]))
    assert mf.symmetry_defect(mf.LinearTarget(np.ones(DIM)), flip, inputs=data) < 1e-30
    assert mf.symmetry_defect(mf.SubspaceNorm(2), flip, inputs=data) == pytest.approx(4.0)
    paired = mf.sphere_cloud(mf.Problem(data, mf.SubspaceNorm(1)), width=8, key=jax.random.key(0), signs="paired")
    assert mf.symmetry_defect(paired, flip, inputs=mf.Gaussian(DIM)) == 0.0


WIDTHS = (32, 128, 512)


def slope(defects):
    """Of the root of the mean defect against the width, both in logarithms."""
    roots = 0.5 * np.log([np.mean(values) for values in defects])
    return np.polyfit(np.log(WIDTHS), roots, 1)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "space"), [(1, "function"), (-1, "function"), (1, "parameter"), (-1, "parameter")])
def test_the_defect_of_random_clouds_decays(sign, space):
    """m^{-1/2} for independent neurons of a law with the symmetry and with a network that does not vanish."""
    symmetry = mf.Symmetry(sign, -np.eye(DIM))
    defects = []
    for width in WIDTHS:
        clouds = [random_cloud(width, DIM, seed) for seed in range(6)]
        clouds = [mf.Particles(jnp.abs(c.a) if sign > 0 else c.b[:, 0] + 0.3 * c.a, c.b) for c in clouds]
        defects.append([mf.symmetry_defect(c, symmetry, space=space, inputs=mf.Gaussian(DIM)) for c in clouds])
    assert slope(defects) == pytest.approx(-0.5, abs=0.15)
    if space == "parameter":
        assert np.mean(defects[-1]) == pytest.approx(mean_parameter_defect(clouds[-1]), rel=0.3)


def mean_parameter_defect(cloud):
    """(1 − E k(z, Sz)) / 2m(1 − E k(z, z')) for independent neurons of a law with the symmetry S = ±I ⊕ −I."""
    own = np.concatenate([cloud.a[:, None], cloud.b], axis=1)
    image = np.concatenate([cloud.a[:, None] * np.sign(cloud.a @ cloud.a), -cloud.b], axis=1)
    image[:, 0] *= 1 if np.all(own[:, 0] > 0) else -1
    variance = np.sum(np.var(np.concatenate([own, image]), axis=0))
    kernel = lambda left, right: np.exp(-np.sum((left - right) ** 2, axis=-1) / (2 * variance))  # noqa: E731
    others = np.mean(kernel(own[:, None], np.roll(own, 1, axis=0)[None]))
    return (1 - np.mean(kernel(own, image))) / (2 * cloud.width * (1 - others))


def padded(cloud):
    """The same network and the same dynamics in the largest width: one compilation for all."""
    scale, more = np.sqrt(WIDTHS[-1] / cloud.width), WIDTHS[-1] - cloud.width
    return mf.Particles(jnp.pad(scale * cloud.a, (0, more)), jnp.pad(scale * cloud.b, ((0, more), (0, 0))))


@pytest.mark.slow
def test_the_defect_of_trained_random_clouds_decays():
    """After the flow has learnt an even target, by Euler steps of the exact risk."""
    problem = mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(2))
    risk, flip = mf.risk_of(problem).prepare(), mf.Symmetry(1, -np.eye(DIM))

    def train(cloud):
        move = lambda _, c: jax.tree.map(lambda z, v: z + 0.1 * v, c, risk.velocity(c))  # noqa: E731
        return jax.lax.fori_loop(0, 25, move, cloud)

    starts = [padded(mf.sphere_cloud(problem, width=m, key=jax.random.key(i))) for m in WIDTHS for i in range(6)]
    clouds = jax.jit(jax.vmap(train))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts))
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], clouds) for i in range(len(starts))]
    found = [mf.symmetry_defect(c, flip, inputs=problem.inputs) for c in each]
    defects = np.reshape(found, (len(WIDTHS), 6))
    assert slope(defects) == pytest.approx(-0.5, abs=0.15)


def test_the_action_on_clouds_is_that_on_predictors():
    symmetry = mf.Symmetry(-1, np.linalg.qr(np.random.default_rng(1).standard_normal((DIM, DIM)))[0])
    cloud, x = random_cloud(7, DIM), jax.random.normal(jax.random.key(0), (5, DIM))
    network = lambda x: mf.predict(cloud, x[None])[0]  # noqa: E731
    turned = jax.vmap(mf.act(symmetry, network))(x)
    np.testing.assert_allclose(turned, mf.predict(mf.act(symmetry, cloud), x), rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(mf.act(symmetry, network))(mf.act(symmetry, x)), -mf.predict(cloud, x), rtol=1e-12)
    np.testing.assert_allclose(mf.act(symmetry, x[0]), symmetry.matrix @ x[0], rtol=1e-12)


def turned_basis(dim, seed=2):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]


@pytest.mark.slow
def test_block_groups():
    """Elements of O(2) × I × O(3) in turned coordinates; the norm of the first block has these symmetries."""
    basis = turned_basis(6)
    group = mf.BlockOrthogonal((2, 1, 3), kept=(1,), basis=basis)
    for element in group.sample(jax.random.key(0), 3):
        inner = basis @ element.matrix @ basis.T
        expected = np.zeros((6, 6))
        for block in (slice(0, 2), slice(2, 3), slice(3, 6)):
            expected[block, block] = inner[block, block]
        np.testing.assert_allclose(inner, expected, atol=1e-12)
        assert inner[2, 2] == pytest.approx(1.0)
        np.testing.assert_allclose(inner @ inner.T, np.eye(6), atol=1e-12)
    target = mf.Rotated(mf.FunctionTarget(lambda z: jnp.linalg.norm(z[:2]) * jnp.tanh(z[2])), basis)
    assert mf.symmetry_defect(target, group, inputs=mf.Gaussian(6)) < 1e-24
    whole = mf.BlockOrthogonal((2, 1, 3), basis=basis)
    assert mf.symmetry_defect(target, whole, inputs=mf.Gaussian(6)) > 0.1


def test_projection_to_the_quotient():
    """The angles of a reduction, the same for all images of a cloud; kept coordinates keep their sign."""
    basis = turned_basis(6)
    problem = mf.Problem(mf.Gaussian(6), mf.Rotated(mf.SubspaceNorm(2), basis))
    cloud, group = random_cloud(9, 6), mf.BlockOrthogonal((2, 4), basis=basis)
    law = mf.project_cloud(cloud, group)
    reduced = mf.reduce(problem, cells=8, nodes=7, modes=4)
    np.testing.assert_allclose(law.angles[:, 0], mf.project(cloud, reduced).theta, rtol=1e-12)
    np.testing.assert_allclose(law.weight, mf.project(cloud, reduced).weight, rtol=1e-12)
    image = mf.project_cloud(mf.act(group.sample(jax.random.key(0), 1)[0], cloud), group)
    np.testing.assert_allclose(image.coordinates, law.coordinates, rtol=1e-12)
    signed = mf.project_cloud(cloud, mf.BlockOrthogonal((1, 2, 3), kept=(0,), basis=basis))
    np.testing.assert_allclose(signed.coordinates[:, 0], cloud.b @ basis[0], rtol=1e-12)
    radius = np.linalg.norm(cloud.b, axis=1)
    first, second = signed.angles.T
    rebuilt = radius * np.stack([np.cos(first), np.sin(first) * np.cos(second), np.sin(first) * np.sin(second)])
    np.testing.assert_allclose(rebuilt.T, signed.coordinates, rtol=1e-12)


def test_complete_basis():
    rows = turned_basis(5)[:2]
    full = mf.complete_basis(rows)
    np.testing.assert_array_equal(full[:2], rows)
    np.testing.assert_allclose(full @ full.T, np.eye(5), atol=1e-14)
    np.testing.assert_array_equal(mf.complete_basis(np.eye(2, 4)), np.eye(4))


CLOUD = random_cloud(4, DIM)
FLIP = mf.Symmetry(1, -np.eye(DIM))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: mf.symmetry_defect(CLOUD, FLIP), "inputs"),
        (lambda: mf.symmetry_defect(CLOUD, FLIP, space="both"), "space"),
        (lambda: mf.symmetry_defect(CLOUD, [], space="parameter"), "group"),
        (lambda: mf.symmetry_defect(CLOUD, mf.Symmetry(1, np.eye(3)), space="parameter"), "group"),
        (lambda: mf.symmetry_defect(jnp.sum, FLIP, space="parameter"), "network"),
        (lambda: mf.act(FLIP, jnp.ones(3)), "thing"),
        (lambda: mf.BlockOrthogonal((2, 2), kept=(2,)), "kept"),
        (lambda: mf.BlockOrthogonal((2, 2), basis=np.ones((4, 4))), "basis"),
        (lambda: mf.BlockOrthogonal((2, 0)), "dims"),
        (lambda: mf.complete_basis(np.ones((2, 3))), "rows"),
        (lambda: mf.project_cloud(CLOUD, mf.BlockOrthogonal((2, 3))), "group"),
    ],
)
def test_wrong_arguments(call, argument):
    with pytest.raises(ArgumentError, match=f"`{argument}`"):
        call()


def test_a_reduced_solution_is_refused():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM)))
    run = mf.solve_reduced(reduced, jnp.array([0.0, 1.0]))
    with pytest.raises(ArgumentError, match="by construction"):
        mf.symmetry_defect(run, FLIP, inputs=mf.Gaussian(DIM))
