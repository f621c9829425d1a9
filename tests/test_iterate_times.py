"""Records of a run in steps at any times: between steps, uneven, traced, cut short, in segments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_integrate import Decay
from test_segments import same_numbers

import mfsym as mf
from mfsym.control import Control
from mfsym.iterate import Descent, iterate, times_between_steps, times_of_every, times_of_whole_steps
from mfsym.iterate.scan import while_in_parts
from mfsym.solution import Status

STEP = 0.07
TS = np.array([0.0, 0.03, 0.07, 0.3, 0.31, 0.9, 1.0])  # before a step, on one, two within one, and an end within one


def euler(control=None, ts=TS, step=STEP, momentum=None, max_steps=None, times=times_between_steps):
    """y' = −y, z' = −z² in steps of one length."""
    dynamics, state = Decay(jnp.asarray(1.0), jnp.asarray(jnp.inf)), {"y": jnp.array([1.0, 3.0]), "z": jnp.ones(())}
    rule = Descent(dynamics, jnp.asarray(step), momentum)
    return iterate(rule, state, times(ts, step), True, Control() if control is None else control, max_steps)


def by_hand(ts=TS, step=STEP):
    """y and z [T] by a Python loop: whole steps before each time, and a shorter one to it."""
    rows = []
    for t in ts:
        y, z, left = 3.0, 1.0, t
        while left > 1e-12:
            length = min(step, left)
            y, z, left = y - length * y, z - length * z**2, left - length
        rows.append((y, z))
    return np.array(rows).T


@pytest.mark.float32
def test_records_between_steps_lie_on_their_way():
    run = euler()
    y, z = by_hand()
    eps = float(jnp.finfo(run.ts.dtype).eps)
    np.testing.assert_allclose(run.states["y"][:, 1], y, rtol=50 * eps)
    np.testing.assert_allclose(run.states["z"], z, rtol=50 * eps)
    np.testing.assert_allclose(run.observables["time"], TS, rtol=50 * eps)
    np.testing.assert_allclose(run.final["z"], z[-1], rtol=50 * eps)
    assert int(run.stats["steps"]) == 15 and bool(run.succeeded)  # fourteen whole ones and one of 0.02


def test_uneven_multiples_are_those_of_every_step():
    every = euler(ts=STEP * np.arange(41), times=times_of_whole_steps)
    chosen = np.array([0, 1, 2, 10, 40])
    some = euler(ts=STEP * chosen, times=times_of_whole_steps)
    np.testing.assert_array_equal(some.states["z"], every.states["z"][chosen])
    np.testing.assert_array_equal(some.ts, STEP * chosen)
    assert int(some.stats["steps"]) == 40


@pytest.mark.parametrize("ts", [TS, STEP * np.array([0.0, 1.0, 4.0, 12.0])], ids=["between", "whole"])
def test_traced_times_are_those_that_are_known(ts):
    known = euler(ts=ts)
    traced = jax.jit(lambda ts: euler(ts=ts, max_steps=40))(jnp.asarray(ts))
    np.testing.assert_allclose(traced.states["z"], known.states["z"], rtol=1e-13)
    assert int(traced.stats["steps"]) == int(known.stats["steps"]) and bool(traced.succeeded)
    short = jax.jit(lambda ts: euler(ts=ts, max_steps=4))(jnp.asarray(ts))
    assert bool(short.status == Status.max_steps) and int(short.stats["steps"]) == 4
    np.testing.assert_array_equal(short.valid, np.isfinite(short.risk))
    np.testing.assert_array_equal(short.valid, ts <= 4 * STEP + 1e-9)


def test_derivatives_in_the_times_and_in_the_step():
    def last(parameters, mode=None):
        ts = jnp.concatenate([jnp.zeros(1), parameters[:2]])
        return jnp.sum(euler(ts=ts, step=parameters[2], max_steps=40).states["z"][1:] * jnp.array([1.0, 2.0]))

    point, change = jnp.array([0.3, 1.0, STEP]), 1e-6
    expected = [(last(point + e) - last(point - e)) / (2 * change) for e in change * np.eye(3)]
    np.testing.assert_allclose(jax.jit(jax.grad(last))(point), expected, rtol=1e-7)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(last))(point), expected, rtol=1e-7)


@pytest.mark.parametrize("momentum", [None, 0.5], ids=["descent", "heavy ball"])
def test_segments_and_a_bound_on_the_steps(momentum, tmp_path):
    momentum = None if momentum is None else jnp.asarray(momentum)
    plain, checkpoint = euler(momentum=momentum), mf.Checkpoints(tmp_path, every=0)
    cut = euler(Control(checkpoint=checkpoint), momentum=momentum, max_steps=14)  # the last step is the shortened one
    assert bool(cut.status == Status.max_steps) and int(cut.stats["steps"]) == 14
    np.testing.assert_array_equal(cut.valid, TS <= 14 * STEP)
    same_numbers(plain, euler(Control(checkpoint=checkpoint), momentum=momentum), 1e-14)
    uncut = euler(momentum=momentum, max_steps=14)
    same_numbers(cut, uncut, 1e-14)


@pytest.mark.parametrize("level", [0.9, 0.65, 1e-3])
def test_a_stop_between_records(level, tmp_path):
    """The first end of a step at the level, that of the shortened last one included."""
    stop = mf.Stop(risk=4 * level)
    plain = euler(ts=np.append(STEP * np.arange(15), 1.0))
    ends = np.asarray(plain.risk) <= 4 * level
    first = int(np.argmax(ends)) if ends.any() else 15
    for run in (euler(Control(stop)), euler(Control(stop, mf.Checkpoints(tmp_path, every=0)))):
        assert int(run.stats["steps"]) == first
        assert float(run.stats["stopped_at"]) == pytest.approx(float(plain.ts[first]))
        np.testing.assert_array_equal(run.valid, float(plain.ts[first]) + 1e-9 >= TS)
        np.testing.assert_allclose(run.final["z"], plain.states["z"][first], rtol=1e-13)


def test_a_bounded_loop_is_the_loop():
    for most in (0, 1, 2, 5, 17):
        for count in range(0, most + 1, 2):
            body = lambda carry: (carry[0] + 1, 2 * carry[1])  # noqa: E731
            made, value = while_in_parts(lambda c, n=count: c[0] < n, body, (jnp.asarray(0), jnp.asarray(1)), most, False)
            assert (int(made), int(value)) == (count, 2**count)


def test_wrong_times():
    with pytest.raises(mf.ArgumentError, match=r"`ts` must be multiples of the step, but is 0\.25 with step 0\.1"):
        times_of_whole_steps([0.0, 0.25, 0.5], 0.1)
    with pytest.raises(mf.ArgumentError, match="`record_every` must be a divisor of steps = 10"):
        times_of_every(10, 3)
    with pytest.raises(mf.ArgumentError, match="`ts` must be at most 2147483647 steps"):
        times_between_steps([0.0, 1.0], 1e-12)
