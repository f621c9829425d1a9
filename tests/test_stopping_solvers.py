"""`stop`, `checkpoint` and `progress` on the public solvers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_segments import same_numbers
from test_stopping import nan_exactly_where_not_valid

import mfsym as mf
from mfsym.solution import Status

TS = jnp.linspace(0.0, 3.0, 13)
PROBLEM = mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2))
ODD = mf.Problem(mf.Gaussian(5), mf.LinearTarget(jnp.arange(1.0, 6.0) / 5))
SKEWED = mf.Problem(mf.GaussianCovariance(jnp.diag(jnp.arange(1.0, 4.0))), mf.LinearTarget(jnp.ones(3)))
TWO_ANGLES = mf.Problem(mf.Gaussian(6), mf.BlockNorms((2, 2), (1.0, 0.5)))


def cloud_of(problem, width=8):
    return mf.sphere_cloud(problem, width=width, key=jax.random.key(0))


def middle(run):
    """A level that the risk passes between two records."""
    return 0.5 * float(run.risk[5] + run.risk[6])


def stops_in_the_middle(solve, ts=TS):
    """The records up to the stop are those of the whole run."""
    plain = solve()
    run = solve(stop=mf.Stop(risk=middle(plain)))
    assert bool(run.status == Status.risk_reached) and bool(run.succeeded)
    np.testing.assert_array_equal(run.valid[:6], True)
    np.testing.assert_array_equal(run.valid[7:], False)
    np.testing.assert_allclose(run.risk[:6], plain.risk[:6], rtol=1e-12)
    assert float(ts[5]) < float(run.stats["stopped_at"]) <= float(ts[6])
    assert np.all(np.isnan(run.risk[~run.valid]))
    json.dumps(run.as_dict(), allow_nan=False)
    return plain, run


@pytest.mark.slow
def test_closed_solutions_stop_at_records():
    for problem, structure in ((mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(4)), None), (ODD, "odd")):
        reduced = mf.reduce(problem) if structure is None else mf.reduce(problem, structure=structure)
        plain, run = stops_in_the_middle(lambda r=reduced, **host: mf.solve_reduced(r, TS, **host))
        nan_exactly_where_not_valid(run) if structure is None else None
        assert float(run.stats["stopped_at"]) == float(TS[6])
        for one, other in zip(jax.tree.leaves(run.final), jax.tree.leaves(plain.states), strict=True):
            np.testing.assert_array_equal(one, other[6])
        # A level of the relative speed: as the finite difference of the states says.
        velocity = np.gradient(np.asarray(plain.states), np.asarray(TS), axis=0, edge_order=2)
        speeds = np.linalg.norm(velocity, axis=1) / np.linalg.norm(plain.states, axis=1)
        steady = mf.solve_reduced(reduced, TS, stop=mf.Stop(steady=float(np.sqrt(speeds[6] * speeds[7]))))
        assert float(steady.stats["stopped_at"]) == float(TS[7]) and bool(steady.status == Status.steady)
        for refused in ({"checkpoint": mf.Checkpoints("nowhere")}, {"stop": mf.Stop(seconds=1.0)}):
            with pytest.raises(mf.ArgumentError, match="for a closed solution"):
                mf.solve_reduced(reduced, TS, **refused)


@pytest.mark.slow
def test_the_moments_of_an_odd_target():
    reduced = mf.reduce(SKEWED, structure="odd")
    plain, run = stops_in_the_middle(lambda **host: mf.solve_reduced(reduced, TS, **host))
    assert bool(run.certificate.holds) and bool(plain.certificate.holds)
    estimated = mf.solve_reduced(reduced, TS, error=True, stop=mf.Stop(risk=middle(plain)))
    np.testing.assert_array_equal(np.isnan(estimated.error["risk"]), ~np.asarray(estimated.valid))
    assert np.nanmax(estimated.error["risk"]) < 1e-7
    assert estimated.as_dict()["error"]["risk"][-1] is None


@pytest.mark.slow
def test_finite_steps_stop_in_flow_time(tmp_path):
    training = mf.Training(step=0.05, momentum=0.5)
    cloud = cloud_of(PROBLEM)

    def solve(**host):
        options = {"training": training, "derivative": "forward"}
        return mf.solve_particles(PROBLEM, cloud, TS, **options, **host)

    plain, run = stops_in_the_middle(solve)
    steps = float(run.stats["stopped_at"]) / 0.05
    assert steps == pytest.approx(round(steps), abs=1e-9) == int(run.stats["steps"])
    same_numbers(plain, solve(checkpoint=mf.Checkpoints(tmp_path, every=0)), 1e-12)


@pytest.mark.slow
def test_descend_stops_between_records():
    cloud = cloud_of(PROBLEM)
    plain = mf.descend(PROBLEM, cloud, 60, learning_rate=0.05)
    level = 0.5 * float(plain.risk[16] + plain.risk[17])
    run = mf.descend(PROBLEM, cloud, 60, learning_rate=0.05, record_every=5, stop=mf.Stop(risk=level))
    assert int(run.stats["steps"]) == 17 and float(run.stats["stopped_at"]) == pytest.approx(0.85)
    np.testing.assert_array_equal(run.valid, np.arange(0, 61, 5) <= 17)
    np.testing.assert_allclose(run.risk[:4], plain.risk[:20:5], rtol=1e-12)
    restarted = mf.descend(PROBLEM, run.final, 43, learning_rate=0.05)
    assert float(restarted.risk[-1]) == pytest.approx(float(plain.risk[-1]), rel=1e-12)


@pytest.mark.slow
def test_gradient_descent_on_moments(tmp_path):
    reduced = mf.reduce(ODD, structure="odd")
    plain = mf.descend_moments(reduced, 60, 0.05, record_every=5)
    run = mf.descend_moments(reduced, 60, 0.05, record_every=5, stop=mf.Stop(risk=middle(plain)))
    assert 25 < int(run.stats["steps"]) <= 30 and bool(run.status == Status.risk_reached)
    training = mf.Training(step=0.05)
    options = {"training": training, "checkpoint": mf.Checkpoints(tmp_path, every=0), "progress": True}
    segmented = mf.solve_reduced(reduced, 0.05 * jnp.arange(0.0, 61.0, 5.0), **options)
    np.testing.assert_allclose(segmented.risk, plain.risk, rtol=1e-12)


def test_bars_go_to_stderr(capfd, standard_promotion):
    cloud = cloud_of(PROBLEM)
    run = mf.descend(PROBLEM, cloud, 60, optimiser=optax.adam(1e-2), record_every=5, progress=True)
    jax.block_until_ready(run.final)
    captured = capfd.readouterr()
    assert captured.out == "" and "100" in captured.err


CASES = {
    "grid": lambda **host: mf.solve_reduced(mf.reduce(PROBLEM, cells=16, modes=8), TS, derivative="forward", **host),
    "characteristics": lambda **host: mf.solve_reduced(
        mf.reduce(PROBLEM, nodes=17, modes=8), TS, method="characteristics", derivative="forward", **host
    ),
    "labels": lambda **host: mf.solve_reduced(
        mf.reduce(PROBLEM, nodes=17, modes=8),
        TS,
        method="characteristics",
        training=mf.Training(rate_a=2.0),
        derivative="forward",
        **host,
    ),
    "two angles": lambda **host: mf.solve_reduced(
        mf.reduce(TWO_ANGLES, cells=12, modes=6), TS, derivative="forward", **host
    ),
    "moments": lambda **host: mf.solve_reduced(
        mf.reduce(SKEWED, structure="odd"), TS, method="moments", derivative="forward", **host
    ),
    "particles": lambda **host: mf.solve_particles(PROBLEM, cloud_of(PROBLEM), TS, derivative="forward", **host),
    "fresh samples": lambda **host: mf.solve_particles(
        PROBLEM, cloud_of(PROBLEM), TS, samples=16, step=0.03, key=jax.random.key(1), derivative="forward", **host
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_solver_stops_and_is_resumed(case, tmp_path):
    """Cut short by a bound on its steps (or by the clock), then resumed: the numbers of one uninterrupted run."""
    solve = CASES[case]
    checkpoint = mf.Checkpoints(tmp_path, every=0)
    if case != "fresh samples":  # whose risk is not monotone
        plain, _ = stops_in_the_middle(solve)
    else:
        plain = solve()
    tried = int(plain.stats["steps"] + plain.stats["rejected"])
    with pytest.raises(mf.SolveError, match="used up"):
        solve(checkpoint=checkpoint, max_steps=tried // 2)
    same_numbers(plain, solve(checkpoint=checkpoint), 1e-12)


@pytest.mark.slow
def test_errors_of_a_grid_are_known_where_it_went():
    reduced = mf.reduce(PROBLEM, cells=16, modes=8)
    plain = mf.solve_reduced(reduced, TS, derivative="forward", error=True)
    run = mf.solve_reduced(reduced, TS, derivative="forward", error=True, stop=mf.Stop(risk=middle(plain)))
    for name, values in run.error.items():
        np.testing.assert_array_equal(np.isnan(values), ~np.asarray(run.valid))
        np.testing.assert_allclose(values[run.valid], plain.error[name][run.valid], rtol=1e-6, atol=1e-12)


@pytest.mark.slow
def test_steady_runs():
    """Gradient descent in small steps and the flow become steady at the same time; so do clouds and moments."""
    cloud, ts = cloud_of(PROBLEM), jnp.linspace(0.0, 40.0, 401)
    stop = mf.Stop(steady=0.02)
    flow = mf.solve_particles(PROBLEM, cloud, ts, derivative="forward", stop=stop)
    steps = mf.solve_particles(PROBLEM, cloud, ts, derivative="forward", stop=stop, training=mf.Training(step=0.01))
    descent = mf.descend(PROBLEM, cloud, 4000, learning_rate=0.01, record_every=100, stop=stop)
    times = [float(run.stats["stopped_at"]) for run in (flow, steps, descent)]
    assert 0 < times[0] < 40 and times[1] == pytest.approx(times[2], abs=1e-9)
    assert times[0] == pytest.approx(times[1], abs=0.2)
