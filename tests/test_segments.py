"""Runs cut into segments for checkpoints and for limits of wall time: the same numbers, and an end that can be resumed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_integrate import stepping
from test_stopping import LONG, Halving, Relaxation, halve, nan_exactly_where_not_valid

import mfsym as mf
from mfsym.control import Control
from mfsym.integrate import integrate
from mfsym.integrate import segments as segments_module
from mfsym.solution import Status


def relax(control=None, ts=LONG, rate=1.0, method="tsit5", **options):
    dynamics, state = Relaxation(jnp.asarray(rate)), jnp.asarray([3.0, 1.5])
    options = {"rtol": 1e-9, "atol": 1e-11, "derivative": "forward", "control": control} | options
    return integrate(dynamics, state, ts, stepping(method, **options))


def same_numbers(first, second, tolerance=0.0):
    leaves = [jax.tree.leaves((run.ts, run.observables, run.states, run.final, run.valid)) for run in (first, second)]
    for one, other in zip(*leaves, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    assert {name: int(value) for name, value in first.stats.items() if name != "stopped_at"} == {
        name: int(value) for name, value in second.stats.items() if name != "stopped_at"
    }
    assert bool(first.status == second.status)


@pytest.mark.slow
def test_segments_change_nothing(tmp_path, monkeypatch):
    calls, traces = [], []
    advance, loop = segments_module._advance, segments_module.solve_loop
    monkeypatch.setattr(segments_module, "_advance", lambda *arguments: calls.append(1) or advance(*arguments))
    monkeypatch.setattr(segments_module, "solve_loop", lambda *a, **k: traces.append(1) or loop(*a, **k))
    checkpoints = mf.Checkpoints(tmp_path, every=0)
    plain, run = relax(), relax(Control(checkpoint=checkpoints))
    same_numbers(plain, run, 1e-13)
    assert len(calls) > 10 and len(traces) == 1  # many segments of at most a few steps, compiled once
    again = relax(Control(checkpoint=checkpoints))
    same_numbers(run, again)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_run_out_of_steps_or_out_of_time_goes_on(tmp_path, monkeypatch):
    checkpoints = mf.Checkpoints(tmp_path, every=0)
    full = relax()
    short = relax(Control(checkpoint=checkpoints), max_steps=20)
    assert bool(short.status == Status.max_steps) and int(short.stats["steps"] + short.stats["rejected"]) == 20
    nan_exactly_where_not_valid(short)
    assert np.any(short.valid) and not np.all(short.valid)
    np.testing.assert_allclose(short.risk[short.valid], full.risk[short.valid], rtol=1e-13)
    hurried = relax(Control(mf.Stop(seconds=1e-6), mf.Checkpoints(tmp_path, every=0)))
    assert bool(hurried.status == Status.out_of_time) and bool(hurried.succeeded)
    assert "wall time was used up" in hurried.sentence() and "at t = " in hurried.sentence()
    assert int(hurried.stats["steps"]) == int(short.stats["steps"])
    resumed = relax(Control(checkpoint=checkpoints))
    same_numbers(full, resumed, 1e-13)


def test_a_limit_of_wall_time_alone():
    hurried = relax(Control(mf.Stop(seconds=1e-6)))
    np.testing.assert_array_equal(hurried.valid, np.arange(len(LONG)) == 0)
    assert float(hurried.stats["stopped_at"]) == 0 and float(hurried.risk[0]) == 3
    same_numbers(relax(), relax(Control(mf.Stop(seconds=1e6))), 1e-13)


@pytest.mark.slow
def test_a_stop_in_segments_is_the_same_stop(tmp_path):
    stop = mf.Stop(risk=1.25)
    plain, run = relax(Control(stop)), relax(Control(stop, mf.Checkpoints(tmp_path, every=0)))
    same_numbers(plain, run, 1e-13)
    assert bool(run.status == Status.risk_reached)
    assert float(plain.stats["stopped_at"]) == float(run.stats["stopped_at"])
    again = relax(Control(stop, mf.Checkpoints(tmp_path)))
    same_numbers(run, again)


@pytest.mark.parametrize(
    "changed",
    [
        {"rate": 1.1},
        {"ts": 1.5 * LONG},
        {"ts": LONG[:-1]},
        {"rtol": 1e-8},
        {"method": "dopri8"},
        {"stop": mf.Stop(risk=1.1)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_run_in_the_same_folder_is_refused(changed, tmp_path):
    checkpoints = mf.Checkpoints(tmp_path, every=0)
    relax(Control(mf.Stop(risk=1.25), checkpoints))
    stop = changed.get("stop", mf.Stop(risk=1.25))
    with pytest.raises(mf.ArgumentError, match="Argument `checkpoint` must be a folder for this very run"):
        relax(Control(stop, checkpoints), **{name: value for name, value in changed.items() if name != "stop"})


def test_the_host_has_no_part_in_traced_runs(tmp_path):
    control = Control(checkpoint=mf.Checkpoints(tmp_path))
    for transform in (jax.jit, jax.grad, lambda f: jax.vmap(f)):
        argument = jnp.ones(2) if transform not in (jax.jit, jax.grad) else jnp.asarray(1.0)
        with pytest.raises(mf.ArgumentError, match="`checkpoint` must be left out under jit, vmap and grad"):
            transform(lambda rate: relax(control, rate=rate).final[0])(argument)
        with pytest.raises(mf.ArgumentError, match="`stop` must be without `seconds`, which is left out under jit"):
            transform(lambda rate: relax(Control(mf.Stop(seconds=1.0)), rate=rate).final[0])(argument)
    with pytest.raises(mf.ArgumentError, match="`checkpoint` must be left out under jit, vmap and grad"):
        jax.jit(lambda rate: halve(None, rule=Halving(rate), checkpoint=control.checkpoint).risk)(jnp.asarray(0.5))
    assert not list(tmp_path.iterdir())


def test_one_bar_for_a_run_in_segments(tmp_path, capfd):
    relax(Control(checkpoint=mf.Checkpoints(tmp_path, every=0), progress=True))
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "100.00%" in captured.err.split("\r")[-1]


def test_a_bar_for_rules(capfd):
    run = jax.block_until_ready(halve(None, progress=True))
    captured = capfd.readouterr()
    assert captured.out == "" and "100" in captured.err and int(run.stats["steps"]) == 12
    many = jax.vmap(lambda rate: halve(None, rule=Halving(rate), progress=True).risk)(jnp.array([0.5, 0.25]))
    np.testing.assert_allclose(many[1, -1], 1 + 2 * 0.75**12)
    assert "100" in capfd.readouterr().err


@pytest.mark.slow
def test_the_memory_of_an_optimiser_is_kept(tmp_path, standard_promotion):
    problem = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2))
    cloud = mf.sphere_cloud(problem, width=8, key=jax.random.key(0))

    def run(rate=1e-2, seed=1, steps=12, **host):
        key = jax.random.key(seed)
        return mf.descend(problem, cloud, steps, optimiser=optax.adam(rate), samples=8, key=key, **host)

    plain, segmented = run(), run(checkpoint=mf.Checkpoints(tmp_path, every=0))
    same_numbers(plain, segmented, 1e-13)
    for changed in ({"rate": 2e-2}, {"seed": 2}, {"steps": 13}):
        with pytest.raises(mf.ArgumentError, match="must be a folder for this very run"):
            run(**changed, checkpoint=mf.Checkpoints(tmp_path))
