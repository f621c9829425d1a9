"""Runs that stop where they were asked to, on small systems with known solutions, and what every solver makes of it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_integrate import TS, decay, stepping

import mfsym as mf
from mfsym.control import Control
from mfsym.integrate import AbstractDynamics, integrate, require_complete
from mfsym.iterate import AbstractRule, iterate, times_of_every
from mfsym.solution import Status


class Relaxation(AbstractDynamics):
    """y' = rate (1 − y), with risk y and a relative speed rate |1 − y|/y."""

    rate: jax.Array

    def prepare(self):
        return self

    def velocity(self, t, state):
        return self.rate * (1 - state)

    def observe(self, t, state):
        return {"risk": state[0], "square": state[0] ** 2}

    def largest_step(self, state):
        return jnp.asarray(jnp.inf, state.dtype)


def relax(ts, stop, rate=1.0, start=3.0, **options):
    control = Control(stop)
    dynamics, state = Relaxation(jnp.asarray(rate)), jnp.asarray([start])
    options = {"derivative": "forward"} | options  # the mode that compiles faster
    return integrate(dynamics, state, ts, stepping("tsit5", 1e-9, 1e-11, control=control, **options))


LONG = jnp.linspace(0.0, 8.0, 33)


def nan_exactly_where_not_valid(run):
    for leaf in jax.tree.leaves((run.observables, run.states)):
        rows = np.asarray(leaf).reshape(len(leaf), -1)
        assert np.all(np.isnan(rows) == ~np.asarray(run.valid)[:, None])


@pytest.mark.parametrize(
    ("stop", "level", "status"),
    [
        (mf.Stop(risk=1.25), np.log(2 / 0.25), Status.risk_reached),
        # (y − 1)/y = 0.1 where y = 10/9, that is 2 e^{−t} = 1/9
        (mf.Stop(steady=0.1), np.log(18.0), Status.steady),
        (mf.Stop(risk=1.25, steady=0.1), np.log(8.0), Status.risk_reached),
        (mf.Stop(risk=0.5, steady=0.1), np.log(18.0), Status.steady),
    ],
)
def test_the_first_step_at_a_level_ends_the_run(stop, level, status):
    run = relax(LONG, stop)
    stopped = float(run.stats["stopped_at"])
    assert level <= stopped <= level + 0.25  # records are 0.25 apart, and a step ends at each of them
    assert bool(run.status == status) and bool(run.succeeded) and require_complete(run, throw=True) is run
    assert float(run.final[0]) == pytest.approx(1 + 2 * np.exp(-stopped), rel=1e-7)
    np.testing.assert_array_equal(run.valid, np.asarray(LONG) <= stopped)
    nan_exactly_where_not_valid(run)
    assert "stopped as asked" in run.sentence() and f"at t = {stopped:.6g}" in run.sentence()
    record = run.as_dict()
    assert record["risk"][-1] is None and record["risk"][0] == 3.0 and record["valid"][-1] is False


def test_a_start_at_the_level_is_the_only_record():
    run = relax(LONG, mf.Stop(risk=3.0))
    assert float(run.stats["stopped_at"]) == 0 and int(run.stats["steps"]) == 0 and bool(run.succeeded)
    np.testing.assert_array_equal(run.valid, np.arange(len(LONG)) == 0)
    assert float(run.risk[0]) == 3 and float(run.states[0, 0]) == 3 and float(run.final[0]) == 3
    nan_exactly_where_not_valid(run)


def test_a_level_that_is_never_reached_changes_nothing():
    plain, run = relax(LONG, None), relax(LONG, mf.Stop(risk=0.5, steady=1e-9))
    np.testing.assert_allclose(run.risk, plain.risk, rtol=1e-14)
    assert bool(run.status == Status.complete) and float(run.stats["stopped_at"]) == 8.0 and np.all(run.valid)
    assert "stopped_at" not in plain.stats


@pytest.mark.slow
def test_levels_are_arrays_under_jit_vmap_and_grad():
    traces = []

    @eqx.filter_jit
    def run(level, rate):
        traces.append(1)
        return relax(LONG, mf.Stop(risk=level), rate)

    for level in (1.5, 1.25):
        assert float(run(jnp.asarray(level), jnp.asarray(1.0)).stats["stopped_at"]) >= np.log(2 / (level - 1))
    assert len(traces) == 1
    many = jax.vmap(lambda level: relax(LONG, mf.Stop(risk=level)))(jnp.array([1.5, 1.25, 0.5]))
    np.testing.assert_array_equal(many.succeeded, [True] * 3)
    np.testing.assert_array_equal(many.status == Status.risk_reached, [True, True, False])
    singly = [float(relax(LONG, mf.Stop(risk=level)).stats["stopped_at"]) for level in (1.5, 1.25, 0.5)]
    np.testing.assert_allclose(many.stats["stopped_at"], singly, rtol=1e-12)

    def valid_sum(rate):
        run = relax(LONG, mf.Stop(risk=1.25), rate, derivative="reverse")
        return jnp.sum(jnp.where(run.valid, run.risk, 0.0))

    rate, step = jnp.asarray(1.0), 1e-5  # so small that the run stops at the same record
    slope = (valid_sum(rate + step) - valid_sum(rate - step)) / (2 * step)
    assert float(jax.grad(valid_sum)(rate)) == pytest.approx(float(slope), rel=1e-7)


def test_what_was_not_reached_is_nan_after_max_steps():
    run = integrate(*decay(), TS, stepping(max_steps=6, rtol=1e-10, atol=1e-10))
    assert not bool(run.valid[-1]) and not bool(run.succeeded)
    nan_exactly_where_not_valid(run)


class Halving(AbstractRule):
    """z ← z + rate v with v = −z: known after every step."""

    rate: jax.Array

    def prepare(self):
        return self

    def time(self, index):
        return self.rate * index.astype(self.rate.dtype)

    def memory(self, state):
        return jnp.zeros_like(state)  # the sum of all moves

    def velocity(self, index, state):
        return -(state - 1)

    def move(self, state, memory, velocity):
        return state + self.rate * velocity, memory + self.rate * velocity

    def observe(self, index, state):
        return {"risk": jnp.sum(state), "time": self.time(index)}


def halve(stop, steps=12, record_every=4, rule=None, **host):
    rule = Halving(jnp.asarray(0.5)) if rule is None else rule
    return iterate(rule, jnp.asarray([3.0]), times_of_every(steps, record_every), True, Control(stop, **host))


@pytest.mark.parametrize(
    ("stop", "step", "status"),
    [
        (None, 12, Status.complete),
        (mf.Stop(risk=1.3), 3, Status.risk_reached),  # 1 + 2·2^{−k}
        (mf.Stop(risk=1.125), 4, Status.risk_reached),  # at a record
        (mf.Stop(steady=0.1), 5, Status.steady),
        (mf.Stop(risk=3.0), 0, Status.risk_reached),
        (mf.Stop(risk=1 + 2.0**-11), 12, Status.risk_reached),  # after the last step
        (mf.Stop(risk=0.1), 12, Status.complete),
    ],
)
def test_rules_stop_at_the_first_step_at_a_level(stop, step, status, tmp_path):
    segmented = halve(stop, checkpoint=mf.Checkpoints(tmp_path, every=0))
    for run in (halve(stop), segmented):
        assert int(run.stats["steps"]) == step and bool(run.status == status) and bool(run.succeeded)
        assert float(run.final[0]) == 1 + 2 * 0.5**step
        assert stop is None or float(run.stats["stopped_at"]) == step / 2
        np.testing.assert_array_equal(run.valid, np.arange(0, 13, 4) <= step)
        np.testing.assert_array_equal(run.risk[run.valid], (1 + 2 * 0.5 ** np.arange(0.0, 13, 4))[run.valid])
        nan_exactly_where_not_valid(run)


def test_a_wrong_stop_is_refused():
    for arguments, message in [
        ({}, "Argument `stop` must be a Stop with at least one rule, but is None"),
        ({"risk": -1.0}, "Argument `risk` must be a positive number, but is -1"),
        ({"steady": "slow"}, "Argument `steady`"),
        ({"seconds": 0}, "Argument `seconds` must be a positive number"),
    ]:
        with pytest.raises(mf.ArgumentError) as caught:
            mf.Stop(**arguments)
        assert message in str(caught.value)
    with pytest.raises(mf.ArgumentError, match="`seconds` must be a plain number"):
        jax.vmap(lambda seconds: mf.Stop(seconds=seconds).seconds)(jnp.ones(2))
    with pytest.raises(mf.ArgumentError, match="Argument `stop` must be of type Stop"):
        Control(1e-3)
    with pytest.raises(mf.ArgumentError, match="Argument `checkpoint` must be of type Checkpoints"):
        Control(checkpoint="folder")
