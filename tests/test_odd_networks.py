"""Finite networks against the moment equation: step by step, along the flow, for every unit with a linear odd part."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mfsym as mf

pytestmark = pytest.mark.slow

DIM = 5
OPPOSITE = mf.generate(mf.Symmetry(-1.0, -np.eye(DIM)))


def paired_cloud(width, seed=0, scale=1.0):
    """A cloud that is closed under (a, b) ↦ (−a, −b): `width` neurons."""
    generator = np.random.default_rng(seed)
    half = mf.Particles(generator.standard_normal(width // 2), scale * generator.standard_normal((width // 2, DIM)))
    return mf.orbit_cloud(half, OPPOSITE)


def odd_function(x):
    """sin + cubic + sign: odd, neither smooth nor a polynomial."""
    return jnp.sin(3 * x[0]) + 0.3 * x[1] ** 3 - jnp.sign(x[2]) + 0.5 * x[3] * x[0] ** 2


def data(rows, seed=1):
    """Rows of a law that is neither Gaussian nor rotation invariant."""
    generator = np.random.default_rng(seed)
    return generator.uniform(-1.5, 1.5, (rows, DIM)) ** 3 + 0.3 * generator.exponential(1.0, (rows, 1))


def data_problem(unit=None, rows=40):
    inputs = mf.Empirical(data(rows), symmetrise=True)
    return mf.Problem(inputs, mf.FunctionTarget(odd_function, parity="odd"), unit=unit)


def stacked_moments(states):
    """M of every recorded cloud, with numpy."""
    c = np.concatenate([np.asarray(states.a)[..., None], np.asarray(states.b)], axis=-1)
    return np.einsum("tmi,tmj->tij", c, c) / c.shape[1]


def compare(problem, cloud, steps, rate, record_every):
    """The largest differences in the moments and in the predictor of descent on a network and of the recursion."""
    network = mf.descend(problem, cloud, steps, optimiser=optax.sgd(rate), record_every=record_every, save_states=True)
    reduced = mf.reduce(problem)
    recursion = mf.descend_moments(reduced, steps, rate, initial=mf.moments_of(cloud), record_every=record_every)
    x = jax.random.normal(jax.random.key(5), (20, DIM))
    outputs = mf.predict(network.final, x, unit=problem.unit)
    linear = x @ (reduced.odd_slope * jnp.mean(network.final.a[:, None] * network.final.b, axis=0))
    np.testing.assert_allclose(recursion.risk, network.risk, rtol=1e-10)
    moved = np.linalg.norm(recursion.w[-1] - recursion.w[0])
    assert moved > 0.1 * np.linalg.norm(recursion.w[-1])
    moments = np.abs(stacked_moments(network.states) - np.asarray(recursion.states)).max()
    return moments, np.abs(outputs - linear).max(), np.abs(mf.predict(recursion, x) - outputs).max()


def test_a_paired_network_step_by_step():
    """48 ReLU neurons on 80 symmetric points, 20 000 steps: moments to 1e-10, a predictor that is linear to 1e-12."""
    problem = data_problem()
    assert problem.inputs.x.shape == (80, DIM)
    moments, linearity, predictor = compare(problem, paired_cloud(48), 20_000, 2e-3, 2_000)
    print(f"differences: moments {moments:.1e}, network − w·x {linearity:.1e}, two predictors {predictor:.1e}")
    assert moments < 1e-10 and linearity < 1e-12 and predictor < 1e-12


@pytest.mark.parametrize("unit", [mf.LeakyReLU(0.3), mf.GELU(), mf.SiLU()])
def test_other_units_step_by_step(unit):
    moments, linearity, predictor = compare(data_problem(unit), paired_cloud(16, scale=0.5), 400, 5e-3, 100)
    print(f"{type(unit).__name__}: moments {moments:.1e}, network − w·x {linearity:.1e}, two predictors {predictor:.1e}")
    assert moments < 1e-10 and linearity < 1e-12 and predictor < 1e-12


def test_the_linear_network_on_any_data():
    """Neither the data, nor the target, nor the cloud has a symmetry."""
    problem = mf.Problem(mf.Empirical(data(33)), mf.FunctionTarget(lambda x: jnp.exp(x[0] / 3) + x[1]), unit=mf.Identity())
    generator = np.random.default_rng(2)
    cloud = mf.Particles(generator.standard_normal(7), generator.standard_normal((7, DIM)))
    moments, linearity, predictor = compare(problem, cloud, 400, 2e-3, 100)
    assert moments < 1e-10 and linearity < 1e-12 and predictor < 1e-12


def test_an_unpaired_network_is_not_linear():
    """The comparison can fail: without the symmetry of the cloud the moments differ at once."""
    generator = np.random.default_rng(2)
    cloud = mf.Particles(generator.standard_normal(8), generator.standard_normal((8, DIM)))
    with pytest.raises(AssertionError):
        compare(data_problem(), cloud, 400, 5e-3, 100)


def test_flow_of_a_paired_cloud():
    """The population flow of a finite cloud (arc-cosine kernel, no samples) against the moments, and its certificate."""
    problem = mf.Problem(mf.Gaussian(DIM), mf.LinearTarget([1.0, 0, -2, 0, 0.5]))
    cloud, ts = paired_cloud(12), jnp.linspace(0.0, 4.0, 5)
    network = mf.solve_particles(problem, cloud, ts, rtol=1e-9, atol=1e-11, save_states=True, derivative="forward")
    reduced = mf.reduce(problem, structure="odd")
    run = mf.solve_reduced(reduced, ts, initial=mf.moments_of(cloud), derivative="forward")
    np.testing.assert_allclose(network.risk, run.risk, rtol=0, atol=1e-8)
    np.testing.assert_allclose(stacked_moments(network.states), run.states, rtol=1e-6, atol=1e-7)
    assert bool(run.certificate.holds) and float(run.risk[-1]) < 0.1 * float(run.risk[0])


def test_the_angle_and_the_moments_agree():
    """The same limit by a transport equation on one angle and in closed form: two reductions without a common number."""
    problem = mf.Problem(mf.Gaussian(4, 1.2), mf.LinearTarget([0.6, 0, 0.8, 0]), start=mf.SphereStart(0.7, 0.7))
    ts = jnp.linspace(0.0, 3.0, 4)
    angle = mf.solve_reduced(mf.reduce(problem, nodes=63, modes=16), ts, method="characteristics", derivative="forward")
    odd = mf.solve_reduced(mf.reduce(problem, structure="odd"), ts)
    for name in ("risk", "mass_plus", "mass_minus"):
        np.testing.assert_allclose(angle.observables[name], odd.observables[name], rtol=0, atol=1e-7)
    x = jax.random.normal(jax.random.key(0), (4, 4))
    np.testing.assert_allclose(mf.predict(angle, x), mf.predict(odd, x), rtol=0, atol=1e-6)
