"""Clouds drawn from runs by labels: as unbalanced as the run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_cases as cases

import mfsym as mf
from mfsym.reduced.angles.labels import label_weights

WIDTH = 4096


@pytest.mark.parametrize(("name", "outer", "inner"), [("unbalanced start", 0.5, 2.0), ("unequal rates", 1.0, 1.0)])
def test_labels_at_time_0_are_the_start(name, outer, inner):
    cloud = mf.sample_cloud(cases.exact(name), 0.0, width=64, key=jax.random.key(0))
    np.testing.assert_allclose(cloud.a, outer * np.repeat([1.0, -1.0], 32), rtol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(cloud.b, axis=1), inner, rtol=1e-6)


@pytest.mark.parametrize("name", ["unbalanced start", "unequal rates"])
def test_labels_keep_their_sizes(name):
    """E a² − E‖b‖², far from the 0 of balanced neurons, and the masses: within four standard errors."""
    run = cases.exact(name)
    cloud = mf.sample_cloud(run, cases.TIMES[-1], width=WIDTH, key=jax.random.key(1))
    state, weights = jax.tree.map(lambda leaf: np.asarray(leaf[-1]), run.states), np.asarray(label_weights(run.model))
    imbalance = np.sum(weights * (state.a**2 - state.p**2 - state.r**2))
    samples = np.asarray(cloud.a**2 - jnp.sum(cloud.b**2, axis=1))
    assert abs(imbalance) > 0.5
    assert abs(samples.mean() - imbalance) < 4 * samples.std() / np.sqrt(WIDTH)
    for sign, mass in ((1, run.mass_plus), (-1, run.mass_minus)):
        shares = np.where(np.sign(cloud.a) == sign, np.abs(cloud.a) * np.linalg.norm(cloud.b, axis=1), 0)
        assert abs(shares.mean() - float(mass[-1])) <= 4 * shares.std() / np.sqrt(WIDTH)
