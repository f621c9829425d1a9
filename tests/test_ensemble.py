"""Clouds as lanes: every one has the numbers of its own solve, whatever happens to the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.chunks import lanes_at_a_time
from mfsym.particles import ensemble
from mfsym.solution import Status, lane

PROBLEM = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2))
WIDTH = 8
TS = jnp.array([0.0, 0.5, 1.0])
GOOD = (0, 2, 4)


def clouds(sizes):
    """A cloud for every size of its weights; those of size 1 are drawn from the start of the problem."""
    keys = jax.random.split(jax.random.key(7), len(sizes))
    drawn = [mf.sphere_cloud(PROBLEM, width=WIDTH, key=key) for key in keys]
    return jax.tree.map(lambda *leaves: jnp.stack([size * leaf for size, leaf in zip(sizes, leaves, strict=True)]), *drawn)


def check_lanes(found, start, rtol=1e-12, **options):
    """What did not fail has the numbers of its own solve; observables and the end."""
    for index in GOOD:
        own = mf.solve_particles(PROBLEM, lane(start, index), TS, derivative="forward", **options)
        run = lane(found, index)
        assert bool(run.succeeded) and run.absent == own.absent and run.clock == own.clock
        for name, values in own.observables.items():
            np.testing.assert_allclose(run.observables[name], values, rtol=rtol, err_msg=f"{index} {name}")
        np.testing.assert_allclose(run.final.b, own.final.b, rtol=0, atol=rtol * jnp.max(jnp.abs(own.final.b)))


@pytest.mark.parametrize("together", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_a_cloud_that_diverges_in_finite_steps_leaves_the_others_alone(together, monkeypatch):
    """Five in one loop; or in loops of two, the last of which repeats a cloud."""
    monkeypatch.setattr(ensemble, "lanes_at_a_time", lambda width: together)
    start, training, seen = clouds((1.0, 1e9, 1e-3, jnp.nan, 1.0)), mf.Training(step=0.125), []
    found = ensemble.solve_ensemble(PROBLEM, start, TS, training=training, save_states=True, done=seen.append)
    assert sum(seen) == 5 and max(seen) == together
    assert found.states.b.shape == (5, 3, WIDTH, 4) and found.risk.shape == (5, 3)
    assert [bool(run.status == Status.not_finite) for run in (lane(found, i) for i in range(5))] == [
        False,
        True,
        False,
        True,
        False,
    ]
    check_lanes(found, start, training=training)


@pytest.mark.slow
@pytest.mark.parametrize("together", [2, 5])
def test_a_cloud_that_runs_out_of_steps_leaves_the_others_alone(together, monkeypatch):
    """The third is small, which asks for tolerances of its own."""
    monkeypatch.setattr(ensemble, "lanes_at_a_time", lambda width: together)
    start = clouds((1.0, 100.0, 1e-3, jnp.nan, 1.0))
    found = ensemble.solve_ensemble(PROBLEM, start, TS, max_steps=64)
    assert [str(Status[lane(found, i).status])[:22] for i in (1, 3)] == ["The run stopped early:"] * 2
    assert bool(lane(found, 1).status == Status.max_steps) and not found.valid[1, 1:].any() and not found.valid[3].any()
    check_lanes(found, start, max_steps=64)


@pytest.mark.processor
def test_small_clouds_move_together_and_large_ones_alone():
    assert lanes_at_a_time(16) > lanes_at_a_time(64) > lanes_at_a_time(256) == lanes_at_a_time(2**20) == 1
