"""Steps with noise: its size, where it is confined to, its streams, checkpoints, and who refuses it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.particles.noise import thermal_noise
from mfsym.risks import AbstractRisk

KEY = jax.random.key(3)
WIDTH = 8


class Swap(eqx.Module):
    """The projection on matrices [[a, b], [b, a]], those that exchanging rows and columns leaves as they are."""

    def project(self, cloud):
        """(z + P z P)/2."""
        return (cloud + cloud[:, ::-1, ::-1]) / 2


class Nothing(AbstractRisk):
    """F = 0: what moves is the noise, and decay."""

    def prepare(self):
        return self

    def at_time(self, t):
        return self

    def value(self, state):
        return jnp.zeros((), jax.tree.leaves(state)[0].dtype)

    def velocity(self, state):
        return jax.tree.map(jnp.zeros_like, state)


def matrices(width=WIDTH):
    z = 0.25 * jax.random.normal(KEY, (width, 2, 2))
    return Swap().project(z)


def across(cloud):
    """E|P⊥z|²."""
    return float(jnp.mean(jnp.sum((cloud - Swap().project(cloud)) ** 2, axis=(1, 2))))


def heated(**options):
    return mf.Training(step=50.0, temperature=5e-7, **options)


def wander(training, cloud, until=2000.0, **options):
    return mf.solve_particles(None, cloud, [0.0, until], risk=Nothing(), training=training, key=jax.random.key(1), **options)


@pytest.mark.float32
def test_pure_noise_crosses_the_fixed_matrices_as_it_must():
    """E|P⊥z|² = 2 T t dim(E^G⊥) = 4e-3 after the time of the paper's runs, and rounding where the noise is confined."""
    cloud = matrices(40_000)
    single = cloud.dtype == jnp.float32
    free = across(wander(heated(), cloud).final)
    print(f"E|P⊥z|² = {free:.4e}, 4e-3 expected")
    assert abs(free - 4e-3) < 0.05 * 4e-3
    confined = wander(heated(confine=Swap()), cloud).final
    assert across(confined) < (1e-12 if single else 1e-28)
    along = jnp.mean(jnp.sum((confined - cloud) ** 2, axis=(1, 2)))
    assert abs(float(along) - 4e-3) < 0.05 * 4e-3  # as many dimensions along as across


def test_layers_of_other_rates_have_one_temperature():
    """The variance T/λ of every layer for small steps, 2T/(λ(2 − η rate λ)) for these, whatever its rate."""
    training = mf.Training(rate_a=0.5, rate_b=2.0, weight_decay=1.0, step=0.1, temperature=0.3)
    cloud = mf.Particles(jnp.zeros(20_000), jnp.zeros((20_000, 2)))
    end = wander(training, cloud, until=20.0).final
    for leaf, rate in ((end.a, 0.5), (end.b, 2.0)):
        expected = 2 * 0.3 / (2 - 0.1 * rate)
        assert abs(float(jnp.mean(leaf**2)) - expected) < 4 * expected * np.sqrt(2 / leaf.size)


def small_problem():
    x = np.random.default_rng(0).standard_normal((12, 3))
    return mf.Problem(mf.Empirical(x), mf.LinearTarget([1.0, -1.0, 0.5]), start=mf.GaussianStart())


NOISY = mf.Training(step=0.1, temperature=1e-3)
TS = np.array([0.0, 0.4, 1.2])


def noisy_run(training=NOISY, **options):
    problem = small_problem()
    cloud = mf.initial_cloud(problem, width=4, key=KEY)
    return mf.solve_particles(problem, cloud, TS, training=training, key=jax.random.key(5), **options)


def test_a_run_that_was_cut_short_goes_on_to_the_bit(tmp_path):
    """Of fresh inputs and noise: both come from their keys and the number of the step."""
    inputs = {"samples": 3}
    whole = noisy_run(**inputs)
    files = {"checkpoint": mf.Checkpoints(tmp_path, every=0)}
    short = noisy_run(max_steps=5, throw=False, **inputs, **files)
    assert int(short.stats["steps"]) == 5 and not bool(short.succeeded)
    resumed = noisy_run(**inputs, **files)
    for one, other in zip(jax.tree.leaves(whole.final), jax.tree.leaves(resumed.final), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(whole.risk, resumed.risk)
    with pytest.raises(mf.ArgumentError, match="a folder for this very run"):
        noisy_run(mf.Training(step=0.1, temperature=2e-3), **inputs, **files)


def test_noise_and_fresh_inputs_are_two_streams():
    """Steps with noise draw the inputs of steps without it, and move by the noise of their key besides."""
    problem, key = small_problem(), jax.random.key(5)
    cloud = mf.initial_cloud(problem, width=4, key=KEY)
    fresh = {"samples": 3, "key": key}
    hot, cold = (mf.solve_particles(problem, cloud, [0.0, 0.1], training=t, **fresh) for t in (NOISY, mf.Training(step=0.1)))
    assert float(hot.risk[0]) == float(cold.risk[0])
    noise = thermal_noise(NOISY, key)
    kick = noise.kick(jnp.asarray(0), jnp.asarray(0.1), cloud)
    np.testing.assert_allclose(hot.final.b - cold.final.b, kick.b, atol=1e-15)
    later = noise.kick(jnp.asarray(1), jnp.asarray(0.1), cloud)
    assert not np.allclose(later.b, kick.b) and not np.allclose(kick.a, kick.b[:, 0])


def test_stop_at_rest_looks_at_the_drift():
    run = wander(heated(), matrices(), stop=mf.Stop(steady=1e-9))
    assert float(run.stats["stopped_at"]) == 0.0


def test_steps_of_the_solver_are_steps_with_noise():
    """`step` of the solver, or of the training: the same run, of whole steps."""
    one, other = noisy_run(), noisy_run(mf.Training(temperature=1e-3), step=0.1)
    np.testing.assert_array_equal(one.final.b, other.final.b)
    with pytest.raises(mf.ArgumentError, match="`ts` must be multiples of the step"):
        wander(mf.Training(temperature=1e-3), matrices(), until=1.0, step=0.3)


REDUCIBLE = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2))
HOT = mf.Training(temperature=0.1)
REFUSED = {
    "no key": (
        lambda: mf.solve_particles(None, matrices(), [0.0, 50.0], risk=Nothing(), training=heated()),
        "`key` must be a JAX random key where `training` has a temperature",
    ),
    "momentum": (lambda: mf.Training(step=0.1, momentum=0.9, temperature=0.1), "`temperature` must be 0 where there is"),
    "nothing to confine": (lambda: mf.Training(confine=Swap()), "`confine` must be left out where `temperature` is 0"),
    "reduced": (
        lambda: mf.solve_reduced(mf.reduce(REDUCIBLE, cells=8, nodes=7, modes=4), [0.0, 1.0], training=HOT),
        "no reduced equation here: the noise of a `temperature`",
    ),
    "sweep": (
        lambda: mf.sweep([REDUCIBLE], [0.0, 1.0], training=HOT, cells=8, nodes=7, modes=4),
        "no reduced equation here: the noise of a `temperature`",
    ),
    "conserved law": (lambda: mf.noether.cloud_law(mf.ReLU(), HOT), "`training` must be without a temperature"),
}


@pytest.mark.parametrize(("what", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(what, message):
    with pytest.raises(mf.ArgumentError, match=message):
        what()
