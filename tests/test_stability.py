"""Critical steps and amplification: published numbers, and networks on either side of the critical step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from budgets import at, constant_stability, problem_of, run_of

import mfsym as mf

SHARPNESS = {  # of (8,2) at t = 0, 2, 30
    (0, 0): (0.3388, 0.7918, 1.3731),
    (1, 0): (0.2813, 0.7007, 1.2758),
    (0, 1): (0.2813, 0.6324, 0.9102),
}
WORST = (49.8, 332.9, 497.9, 179.6)  # of block (4, 0) at t = 2, 5, 10, 30


@functools.cache
def stability_of(name: str) -> mf.Stability:
    return mf.stability(run_of(name, until=30.0), degree=8)


def test_the_critical_step_is_that_of_the_sharpest_block():
    found = constant_stability()
    np.testing.assert_allclose(found.critical_step, 1.0)
    assert found.sharpest == (0, 0) and "critical step 1," in repr(found)


@pytest.mark.slow
def test_sharpness_and_amplification_have_their_numbers():
    found = stability_of("(8,2)")
    for block, wanted in SHARPNESS.items():
        record = found.sharpness[found.blocks.index(block)]
        np.testing.assert_allclose(at(found, record, (0.0, 2.0, 30.0)), wanted, atol=6e-5)
    record = found.worst[found.blocks.index((4, 0))]
    np.testing.assert_allclose(at(found, record, (2.0, 5.0, 10.0, 30.0)), WORST, rtol=2e-3)
    np.testing.assert_allclose(found.amplification[:, 0], 1, rtol=1e-12)
    assert found.sharpest == (0, 0) and "critical step" in repr(found)
    assert float(found.critical_step[-1]) == pytest.approx(2 / 1.37312, rel=1e-5)


def check_critical_step(name: str, width: int = 256, count: int = 80):
    """A network that the flow has trained goes on by 80 steps: its risk falls at .95 of the critical step, and rises at 1.1.

    Where the flow is done: He_2 with He_1 has F = .09 at t = 30, and its sharpness grows on. And only nearby: above the
    critical step a network leaves for flatter minima, and may find one (ReLU(x_1) does, (8,2) does not in 400 steps).
    """
    problem, critical = problem_of(name), float(stability_of(name).critical_step[-1])
    cloud = mf.sphere_cloud(problem, width=width, key=jax.random.key(5))
    trained = mf.solve_particles(problem, cloud, jnp.array([0.0, 30.0])).final
    below, above = (
        np.asarray(mf.solve_particles(problem, trained, ts, training=mf.Training(step=ts[1])).risk)
        for ts in (factor * critical * jnp.arange(count + 1.0) for factor in (0.95, 1.1))
    )
    ends = f"{below[-1]:.3g} at .95 of it, at most {above.max():.3g} at 1.1"
    print(f"{name}: critical step {critical:.4g}; risk {below[0]:.3g} by the flow, then {ends}")
    assert np.all(np.diff(below[1:]) < 0) and below[-1] < below[0]
    assert above.max() > 10 * above[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["(8,2)", "relu"])
def test_networks_stand_steps_below_the_critical_one(name):
    check_critical_step(name)


@pytest.mark.study
@pytest.mark.parametrize("name", ["(30,5)", "(10,2)", "(6,3)", "absolute"])
def test_networks_of_more_problems_stand_steps_below_the_critical_one(name):
    check_critical_step(name)
