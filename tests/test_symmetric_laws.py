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
