"""The flow with noise: its order along one path, its laws beside exact ones and those of steps, checkpoints, derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.integrate import AbstractDynamics, Stepping, integrate
from mfsym.integrate.noise import brownian_term
from mfsym.particles.noise import thermal_noise
from mfsym.risks import AbstractRisk

KEY = jax.random.key(11)
SHAPE = (300, 2, 2)  # of all clouds here, so that few loops are compiled
pytestmark = pytest.mark.slow  # a loop along a virtual path takes the compiler 15 CPU seconds


class Cubic(AbstractRisk):
    """z' = pull z − push z³ of every number: two valleys where both are 1, nothing where both are 0."""

    pull: jax.Array
    push: jax.Array

    def __init__(self, pull, push):
        self.pull, self.push = jnp.asarray(pull, float), jnp.asarray(push, float)

    def prepare(self):
        return self

    def at_time(self, t):
        return self

    def value(self, state):
        return jnp.mean(self.push * state**4 / 4 - self.pull * state**2 / 2)

    def velocity(self, state):
        return self.pull * state - self.push * state**3


class Swap(eqx.Module):
    """The projection on matrices [[a, b], [b, a]]."""

    def project(self, cloud):
        return (cloud + cloud[:, ::-1, ::-1]) / 2


VALLEYS, FLAT = Cubic(1.0, 1.0), Cubic(0.0, 0.0)
START = jnp.linspace(-1.0, 1.0, int(np.prod(SHAPE))).reshape(SHAPE)
HOT = {"weight_decay": 0.0, "temperature": 0.2}


def flow(risk, ts, cloud=START, training=mf.Training(**HOT), **options):
    usual = {"key": KEY, "rtol": 1e-2, "atol": 1e-4, "derivative": "forward", "save_states": True}
    return mf.solve_particles(None, cloud, ts, risk=risk, training=training, **(usual | options))


class EvenSteps(AbstractDynamics):
    """The two valleys in steps no longer than `longest`."""

    longest: jax.Array

    def prepare(self):
        return self

    def velocity(self, t, state):
        return VALLEYS.velocity(state)

    def observe(self, t, state):
        return {"risk": VALLEYS.value(state)}

    def largest_step(self, state):
        return self.longest / 0.9  # of which the control of steps takes 0.9


def along_the_path(noise, start, steps):
    """z(1) by Heun's rule for u = z − √(2T) W, u' = v(u + √(2T) W), on a fine grid of the very path; on the host."""
    term, one = brownian_term(noise, jnp.ones(()), start), jnp.ones(())
    walk = jax.jit(lambda t: noise.spread(term.path.evaluate(jnp.zeros(()), t), one))
    u, before, h = np.asarray(start), np.zeros(start.shape), 1 / steps
    for k in range(steps):
        after = np.asarray(walk(jnp.asarray((k + 1) * h)))
        first = (u + before) - (u + before) ** 3
        second = (u + h * first + after) - (u + h * first + after) ** 3
        u, before = u + h * (first + second) / 2, after
    return u + before


def test_strong_order_along_one_path():
    """Halving the steps keeps the path, and the end moves to that of another method on it like step^(3/2)."""
    noise, start = thermal_noise(mf.Training(**HOT), KEY), jnp.linspace(-1.0, 1.0, 32)
    exact, steps, errors = along_the_path(noise, start, 2**12), [1 / 8, 1 / 16, 1 / 32, 1 / 64], []
    even = Stepping("tsit5", rtol=1e3, atol=1e3, derivative="forward")
    for step in steps:
        run = integrate(EvenSteps(jnp.asarray(step)), start, jnp.array([0.0, 1.0]), even, noise=noise)
        assert 0 <= int(run.stats["steps"]) - round(1 / step) <= 3  # the first guess is shorter
        errors.append(float(jnp.sqrt(jnp.mean((run.final - exact) ** 2))))
    order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    print("errors", errors, "order", order)
    assert abs(order - 1.5) < 0.25


def test_a_quadratic_well_has_the_exact_law_at_all_times():
    """Mean z_0 e^{−λt} and variance (T/λ)(1 − e^{−2λt}); two times have the covariance of the first, times e^{−λ(t−s)}."""
    ts, start, training = np.array([0.0, 0.5, 3.0]), jnp.full(SHAPE, 0.5), mf.Training(weight_decay=1.0, temperature=0.2)
    numbers = np.asarray(flow(FLAT, ts, start, training).states).reshape(3, -1)
    mean, variance, count = 0.5 * np.exp(-ts), 0.2 * (1 - np.exp(-2 * ts)), numbers.shape[1]
    offset = numbers - mean[:, None]
    found, together = np.mean(offset**2, axis=1), np.mean(offset[1] * offset[2])
    covariance = variance[1] * np.exp(-2.5)
    print("variance", found, "exact", variance, "covariance", together, "exact", covariance)
    assert np.all(np.abs(np.mean(offset, axis=1)) <= 4 * np.sqrt(variance / count) + 1e-15)
    assert np.all(np.abs(found - variance) <= 4 * variance * np.sqrt(2 / count))
    assert abs(together - covariance) < 4 * np.sqrt((variance[1] * variance[2] + covariance**2) / count)


def test_the_flow_and_short_steps_have_one_law():
    """In two valleys, far from any normal law: moments of the flow and of 200 steps differ by what draws differ."""
    zero, ts = jnp.zeros(SHAPE), [0.0, 1.0, 2.0]
    ends = [flow(VALLEYS, ts, zero).final]
    ends += [flow(VALLEYS, ts, zero, mf.Training(step=0.01, **HOT), key=jax.random.key(12)).final]
    for power in (1, 2, 4, 6):
        one, other = (np.asarray(end).reshape(-1) ** power for end in ends)
        error = np.sqrt((one.var() + other.var()) / one.size)
        print(power, one.mean(), other.mean(), error)
        assert abs(one.mean() - other.mean()) < 4 * error


@pytest.mark.float32
def test_confined_noise_stays():
    """E|P⊥z|² = 2 T t · 2 where the noise is free, and rounding where it is confined; the path along is the same."""
    single = START.dtype == jnp.float32

    def across(cloud):
        return float(jnp.mean(jnp.sum((cloud - Swap().project(cloud)) ** 2, axis=(1, 2))))

    free, confined = (
        flow(FLAT, [0.0, 0.2, 0.5], jnp.zeros(SHAPE), mf.Training(**HOT, confine=how)).final for how in (None, Swap())
    )
    print("E|P⊥z|²", across(free), across(confined))
    assert abs(across(free) - 0.4) < 4 * 0.4 / np.sqrt(SHAPE[0])
    assert across(confined) < (1e-12 if single else 1e-28)
    np.testing.assert_allclose(Swap().project(free), confined, atol=1e-5 if single else 1e-13)


def test_the_path_belongs_to_the_key_and_the_end():
    """Records change steps, not the path; another key is another path."""
    ends = [flow(VALLEYS, ts).final for ts in ([0.0, 0.4, 1.0], [0.0, 0.7, 1.0])]
    ends += [flow(VALLEYS, [0.0, 0.4, 1.0], key=jax.random.key(12)).final]
    moved, redrawn = (float(jnp.sqrt(jnp.mean((ends[0] - end) ** 2))) for end in ends[1:])
    print("records", moved, "key", redrawn)
    assert moved < 5e-3 and redrawn > 0.3


def test_a_run_that_was_cut_short_goes_on_along_its_path(tmp_path):
    ts, files = [0.0, 0.4, 1.0], {"checkpoint": mf.Checkpoints(tmp_path, every=0)}
    whole = flow(VALLEYS, ts)
    short = flow(VALLEYS, ts, **files, max_steps=7, throw=False)
    assert int(short.stats["steps"]) < int(whole.stats["steps"]) and not bool(short.succeeded)
    resumed = flow(VALLEYS, ts, **files)
    assert resumed.stats["steps"] == whole.stats["steps"]
    np.testing.assert_allclose(resumed.states, whole.states, rtol=0, atol=1e-13)
    np.testing.assert_allclose(resumed.risk, whole.risk, rtol=0, atol=1e-13)
    with pytest.raises(mf.ArgumentError, match="a folder for this very run"):
        flow(VALLEYS, ts, **files, key=jax.random.key(12))


@pytest.mark.parametrize("derivative", ["forward", pytest.param("reverse", marks=pytest.mark.study)])
def test_derivatives_along_a_path(derivative):
    """From 0 in a quadratic well z is √T times what the path makes of it: dz/dT = z/2T to rounding."""

    def size(temperature):
        training = mf.Training(weight_decay=1.0, temperature=temperature)
        run = flow(FLAT, [0.0, 0.4, 1.0], jnp.zeros(SHAPE), training, max_steps=512, derivative=derivative)
        return jnp.sum(run.final[0, 0])

    change = (jax.jacfwd if derivative == "forward" else jax.grad)(size)(0.2)
    np.testing.assert_allclose(change, size(0.2) / 0.4, rtol=1e-12)
