"""Laws of neurons that an action leaves as they are: distances to them, targets, problems and data with the symmetry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from maass_fontbona import SWAP, TEACHERS, UNIT

import mfsym as mf

GROUP = mf.generate(SWAP)
ACTION = mf.action(UNIT, GROUP.standard, GROUP.standard)
INPUTS = mf.Gaussian(2, 4.0)


def random_matrices(count, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((count, 2, 2)))


def test_relative_distances_of_the_teachers():
    """To the projected law, 3.465/28.31 by hand, and to the symmetrised one."""
    for name, fixed, symmetrised in (("arbitrary", 3.465 / 28.31, 0.1450056754), ("WI", 3.465 / 28.31, 0), ("SI", 0, 0)):
        cloud = TEACHERS[name].cloud
        assert mf.symmetry_defect(cloud, ACTION, space="fixed") == pytest.approx(fixed, abs=1e-10)
        assert mf.relative_distance(cloud, mf.fixed_part(cloud, ACTION)) == pytest.approx(fixed, abs=1e-10)
        assert mf.relative_distance(cloud, mf.orbit_cloud(cloud, ACTION)) == pytest.approx(symmetrised, abs=1e-10)


def test_the_nearest_law_on_the_fixed_neurons_is_the_projected_one():
    """Assignment finds nothing nearer than z ↦ Pz, of random clouds; normal neurons have the distance 1/6."""
    cloud = random_matrices(40)
    assert mf.relative_distance(cloud, mf.fixed_part(cloud, ACTION)) == pytest.approx(
        float(mf.symmetry_defect(cloud, ACTION, space="fixed")), rel=1e-12
    )
    assert mf.symmetry_defect(random_matrices(20000), ACTION, space="fixed") == pytest.approx(1 / 6, abs=0.01)


def test_relative_distances_by_hand():
    """Pairs in another order, repeated neurons, one atom against two, opposite atoms, and nothing at all."""
    cloud = {"a": jnp.array([1.0, 2.0, -1.0]), "b": jnp.array([[1.0], [0.0], [2.0]])}
    turned = jax.tree.map(lambda leaf: jnp.concatenate([leaf[::-1], leaf]), cloud)
    assert mf.relative_distance(cloud, turned) == pytest.approx(0, abs=1e-15)
    line = lambda *places: jnp.array(places)[:, None]  # noqa: E731
    assert mf.relative_distance(line(0.0), line(1.0, 3.0)) == pytest.approx(5 / (2 * 5))
    assert mf.relative_distance(line(1.0), line(-1.0)) == pytest.approx(1.0)
    assert mf.relative_distance(line(0.0), line(0.0)) == 0


def test_defects_under_an_action():
    """0 where the law is closed or fixed, as a function and as a law; of units a σ(b·x) those of the symmetry (s, T)."""
    cloud = random_matrices(6)
    options = {"inputs": INPUTS, "unit": UNIT, "samples": 64}
    for space in ("function", "parameter"):
        assert mf.symmetry_defect(cloud, ACTION, space=space, **options) > 1e-3
        for symmetric in (mf.orbit_cloud(cloud, ACTION), mf.fixed_part(cloud, ACTION)):
            assert mf.symmetry_defect(symmetric, ACTION, space=space, **options) < 1e-14
    assert mf.symmetry_defect(TEACHERS["WI"], ACTION, inputs=INPUTS) < 1e-28
    flip = mf.generate(mf.Symmetry(-1, np.diag([-1.0, 1.0])))
    action = mf.action(mf.ReLU(), flip.inputs, flip.outputs)
    particles = mf.Particles(np.array([1.0, -0.5, 2.0]), np.random.default_rng(1).standard_normal((3, 2)))
    old, new = (mf.symmetry_defect(particles, group, space="parameter") for group in (flip, action))
    assert new == pytest.approx(float(old), rel=1e-12)
    data = mf.Empirical(np.random.default_rng(2).standard_normal((9, 2)))
    old, new = (mf.symmetry_defect(particles, group, inputs=data, unit=mf.ReLU()) for group in (flip, action))
    assert new == pytest.approx(float(old), rel=1e-12)


def gauss_hermite(teacher, nodes=32):
    return mf.Problem(mf.cubature(INPUTS, nodes=nodes), teacher, UNIT)


def test_symmetrised_teachers():
    """Of a teacher the union of images; Q_G f is the mean of the images by hand, and what is equivariant stays."""
    found = mf.symmetrised(TEACHERS["arbitrary"], ACTION)
    assert isinstance(found, mf.Teacher) and len(found.cloud) == 10
    other = mf.symmetrised(mf.FunctionTarget(TEACHERS["arbitrary"]), ACTION)
    x = jnp.asarray(np.random.default_rng(3).standard_normal((5, 2)))
    by_hand = (jax.vmap(TEACHERS["arbitrary"])(x) + jax.vmap(TEACHERS["arbitrary"])(x[:, ::-1])[:, ::-1]) / 2
    for each in (found, other):
        np.testing.assert_allclose(jax.vmap(each)(x), by_hand, rtol=1e-13)
    np.testing.assert_allclose(jax.vmap(mf.symmetrised(found, ACTION))(x), by_hand, rtol=1e-13)


@pytest.mark.slow
def test_a_function_averaged_over_rotations():
    """u σ(u·x) over all directions u; the orbit of n points is equivariant to 1e-2, 1e-4 and 1e-8 for n = 6, 12 and 24."""
    group = mf.SO(2)
    action = mf.action(mf.VectorUnit(jax.nn.sigmoid), group.standard, group.standard)
    target = mf.FunctionTarget(lambda x: jnp.array([1.0, 0.0]) * jax.nn.sigmoid(x[0]))
    options = {"inputs": mf.Gaussian(2), "samples": 256}
    defects = [mf.symmetry_defect(mf.symmetrised(target, action, degree=n - 1), action, **options) for n in (6, 12, 24)]
    np.testing.assert_array_less(np.sqrt(defects), [3e-2, 3e-4, 3e-8])
    assert defects[0] > 1e-6


@pytest.mark.slow
def test_the_floor_of_every_symmetric_model():
    """½E|(I−Q)f*|² of the arbitrary teacher; its risk at z = 0 is that of the symmetrised one and the floor."""
    problem = gauss_hermite(TEACHERS["arbitrary"], 60)
    floor = mf.symmetric_floor(problem, ACTION)
    assert 2 * floor == pytest.approx(0.0330957264, abs=1e-9)
    nothing = jnp.zeros((1, 2, 2))
    risks = [mf.risk_of(gauss_hermite(TEACHERS[name], 60)).prepare().value(nothing) for name in ("arbitrary", "WI")]
    assert risks[0] - risks[1] == pytest.approx(float(floor), abs=1e-12)
    assert mf.symmetric_floor(gauss_hermite(TEACHERS["WI"]), ACTION) < 1e-30
    sampled = mf.symmetric_floor(mf.Problem(INPUTS, TEACHERS["arbitrary"], UNIT), ACTION)
    assert sampled == pytest.approx(float(floor), rel=0.02)


FIXED = mf.from_coordinates(jnp.stack([0.35 * jnp.cos(jnp.arange(4.0)), 0.35 * jnp.sin(2 * jnp.arange(4.0) + 1)], 1), ACTION)
TRAINED = {"WI": 2.622408472e-5, "SI": 1.191108229e-5, "arbitrary": 3.312207038e-2}
LAST = {"WI": (0.2269159540, 0.3479218205), "SI": (0.2375628055, 0.3299040219), "arbitrary": (0.2269159540, 0.3479218205)}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_restricted_training_is_that_of_the_equivariant_architecture(name):
    """500 steps on the published teachers: the values to all their digits, and the architecture's neurons to 1e-12."""
    problem = gauss_hermite(TEACHERS[name])
    options = {"training": mf.Training(step=1.0, weight_decay=1e-4)}
    small = mf.restrict(problem, ACTION)
    found = mf.solve_particles(small, mf.to_coordinates(FIXED, ACTION), [0.0, 500.0], **options)
    run = mf.solve_particles(problem, FIXED, [0.0, 500.0], scheme=mf.EquivariantArchitecture(ACTION), **options)
    np.testing.assert_allclose(mf.from_coordinates(found.final, ACTION), run.final, atol=1e-12)
    assert 2 * found.risk[-1] == pytest.approx(TRAINED[name], rel=1e-9)
    np.testing.assert_allclose(found.final[0] / np.sqrt(2), LAST[name], atol=1e-9)


def test_restricted_problems_have_the_same_networks():
    """Risks and coordinates there and back; a normal start keeps its scale in fewer coordinates."""
    problem = gauss_hermite(TEACHERS["SI"], 8)
    problem = mf.Problem(problem.inputs, problem.target, UNIT, start=mf.NormalStart(0.25))
    small = mf.restrict(problem, ACTION)
    cloud = mf.initial_cloud(small, width=4000, key=jax.random.key(0))
    assert cloud.shape == (4000, 2) and jnp.std(cloud) == pytest.approx(0.25, rel=0.05)
    whole = mf.from_coordinates(cloud[:5], ACTION)
    np.testing.assert_allclose(mf.to_coordinates(whole, ACTION), cloud[:5], atol=1e-15)
    risks = [mf.risk_of(each).prepare().value(state) for each, state in ((small, cloud[:5]), (problem, whole))]
    assert risks[0] == pytest.approx(float(risks[1]), rel=1e-13)
    assert mf.symmetry_defect(whole, ACTION, space="fixed") < 1e-30


@pytest.mark.slow
def test_one_row_for_every_orbit():
    """528 of 32 × 32 nodes, on which a symmetric network has the same risk, and the same gradient on E^G."""
    data = mf.cubature(INPUTS, nodes=32)
    fewer = mf.fundamental_domain(data, ACTION)
    assert fewer.count == 528
    cloud = mf.orbit_cloud(random_matrices(3), ACTION)
    risks = [mf.risk_of(mf.Problem(each, TEACHERS["WI"], UNIT)).prepare() for each in (data, fewer)]
    assert risks[1].value(cloud) == pytest.approx(float(risks[0].value(cloud)), rel=1e-13)
    means = [mf.fixed_part(risk.velocity(mf.fixed_part(cloud, ACTION)), ACTION) for risk in risks]
    np.testing.assert_allclose(*means, atol=1e-15)


def test_rows_whose_labels_differ_are_kept():
    rows, labels = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0], [2.0, 1.0]]), np.array([[5.0, 6], [6, 5], [1, 1], [5, 6]])
    found = mf.fundamental_domain(mf.Empirical(rows, labels, [0.4, 0.3, 0.2, 0.1]), ACTION)
    np.testing.assert_array_equal(found.x, rows[[0, 2, 3]])
    np.testing.assert_array_equal(found.y, labels[[0, 2, 3]])
    np.testing.assert_allclose(found.weights, [0.7, 0.2, 0.1])


def test_cubatures_closed_under_a_group():
    """Quarter turns need nothing, turns by 60 degrees add images that share the weights; the means are the same."""
    pairs = mf.VectorUnit(jnp.tanh)
    plain = mf.cubature(INPUTS, nodes=8)
    quarter, sixth = (mf.action(pairs, group.standard, group.standard) for group in (mf.cyclic(4), mf.cyclic(6)))
    assert mf.cubature(INPUTS, nodes=8, action=quarter).count == plain.count
    closed = mf.cubature(INPUTS, nodes=8, action=sixth)
    turn = mf.cyclic(6).components[0]
    assert closed.count == 6 * plain.count and closed.is_invariant(turn) and not plain.is_invariant(turn)
    assert closed.degree == plain.degree
    for power in (2, 4, 6):
        np.testing.assert_allclose(closed.mean(closed.x[:, 0] ** power), plain.mean(plain.x[:, 0] ** power), rtol=1e-12)
    frames = mf.cubature(mf.Sphere(2, 2.0), frames=8, key=jax.random.key(0), action=sixth)
    assert frames.replicates == 8 and frames.error(frames.x[:, 0] ** 2) < 1e-14


def bump(neuron, x):
    """exp(−(ax + b)²/2)."""
    return jnp.exp(-((neuron["a"] * x[0] + neuron["b"]) ** 2) / 2)


@pytest.mark.slow
def test_what_strongly_invariant_laws_cannot_learn():
    """An even sum of two bumps: E^G are constants in [0, 1], whose best has the known risk; no floor stands in the way.

    (a, b) ↦ (−a, b); R = (e^{−1/3} + e^{−1})/(2√3) − e^{−1/2}/2 at the constant e^{−1/4}/√2.
    """
    minus = mf.generate(-np.eye(1))
    unit = mf.FunctionUnit(bump, {"a": np.zeros(()), "b": np.zeros(())})
    action = mf.action(unit, minus.standard, minus.trivial(), axes={"a": minus.standard, "b": minus.trivial()})
    target = mf.Teacher({"a": jnp.array([1.0, -1.0]), "b": jnp.array([1.0, 1.0])}, unit)
    problem = mf.Problem(mf.cubature(mf.Gaussian(1), nodes=60), target, unit)
    assert mf.symmetric_floor(problem, action) < 1e-30 and action.dim_fixed == 1
    small = mf.restrict(problem, action)
    best = np.sqrt(-2 * np.log(np.exp(-1 / 4) / np.sqrt(2)))
    risk = mf.risk_of(small).prepare()
    cloud = jnp.full((1, 1), best)
    expected = (np.exp(-1 / 3) + np.exp(-1)) / (2 * np.sqrt(3)) - np.exp(-1 / 2) / 2
    assert expected == pytest.approx(0.0097770899, abs=1e-10)
    assert 2 * risk.value(cloud) == pytest.approx(expected, abs=1e-9)
    assert jnp.abs(risk.velocity(cloud)[0, 0]) < 1e-9


@pytest.mark.slow
def test_an_equivariant_target_that_no_fixed_neuron_sees():
    """The orbit average of e σ(e·x) over directions e of the plane: SO(2) fixes only z = 0, so that E|f*|² is left."""
    group, unit = mf.SO(2), mf.VectorUnit(jax.nn.sigmoid)
    action = mf.action(unit, group.standard, group.standard)
    target = mf.FunctionTarget(lambda x: jnp.array([1.0, 0.0]) * jax.nn.sigmoid(x[0]))
    data = mf.cubature(mf.Gaussian(2), nodes=40)
    mean = mf.symmetrised(target, action, degree=39)
    values = jax.vmap(mean)(data.x)
    assert action.dim_fixed == 0
    assert jnp.sum(data.mean(values**2)) == pytest.approx(0.0216011511, abs=1e-9)
    with pytest.raises(mf.ArgumentError, match="fixes only 0"):
        mf.restrict(mf.Problem(data, target, unit), action)


@pytest.mark.slow
def test_what_fixed_pairs_of_vectors_cannot_learn():
    """v σ(u·x/2) under the swap: on E^G a function of s = (x_1 + x_2)/√2 times (1, 1)/√2, a constant and odd functions of s.

    What is left of the published matrices, taken as rows u and v with their images, is the even part of E[f*|s] about its
    mean and all that depends on x beside s. Least squares on a dictionary of fixed neurons come down to it, and a weakly
    invariant law, the teacher, has no risk.
    """
    swap = mf.generate(SWAP)
    unit = mf.VectorUnit(jax.nn.sigmoid, scale=0.5)
    action = mf.action(unit, swap.standard, swap.standard)
    rows = TEACHERS["WI"].cloud[:5]  # their images as pairs are (g u, g v)
    cloud = mf.orbit_cloud((rows[:, 0], rows[:, 1]), action)
    problem = mf.Problem(mf.cubature(mf.Gaussian(2, 4.0), nodes=60), mf.Teacher(cloud, unit), unit)
    nothing = jax.tree.map(lambda leaf: 0 * leaf[:1], cloud)
    assert 2 * mf.risk_of(problem).value(nothing) == pytest.approx(0.0223669497, abs=1e-9)
    assert mf.symmetric_floor(problem, action) < 1e-30 and action.dim_fixed == 2
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    weights = weights / weights.sum()
    along, across = np.meshgrid(4 * nodes, 4 * nodes, indexing="ij")
    points = np.stack([along + across, along - across], axis=-1).reshape(-1, 2) / np.sqrt(2)
    values = np.asarray(mf.predict(cloud, points, unit=unit)).reshape(100, 100, 2)
    seen = values.sum(axis=-1) / np.sqrt(2) @ weights
    best = (seen - seen[::-1]) / 2 + weights @ seen
    least = weights @ np.sum(values**2, axis=-1) @ weights - weights @ best**2
    assert least == pytest.approx(0.0003099305, abs=1e-9)
    x, w = np.asarray(problem.inputs.x), np.sqrt(np.asarray(problem.inputs.weights))[:, None]
    slopes = np.geomspace(0.05, 0.8, 10)
    neurons = [(jnp.full((1, 2), slope), jnp.ones((1, 2))) for slope in slopes]
    columns = np.stack([(w * mf.predict(neuron, x, unit=unit)).ravel() for neuron in neurons])
    wanted = (w * mf.predict(cloud, x, unit=unit)).ravel()
    amplitudes = np.linalg.lstsq(columns.T, wanted, rcond=1e-12)[0]
    found = np.sum((columns.T @ amplitudes - wanted) ** 2)
    print(f"least risk {least:.10f}, by a dictionary {found - least:.1e} more")
    assert found == pytest.approx(least, abs=1e-12)
