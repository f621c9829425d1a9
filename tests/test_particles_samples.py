"""The empirical and the sampled risk, and the predictor: against plain formulas, in blocks, unbiased."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from particle_problems import random_cloud

import mfsym as mf
from mfsym.chunks import StepBlocks, block_limits, map_blocks, rows_per_block, split_rows, step_blocks, sum_blocks
from mfsym.particles.descent import descend
from mfsym.particles.flow import solve_particles
from mfsym.particles.predictor import predict_cloud
from mfsym.particles.risk import risk_of
from mfsym.problem.losses import AbstractLoss
from mfsym.problem.units import AbstractUnit
from mfsym.risks.field import homogeneous_field

KEY = jax.random.key(0)


class Quartic(AbstractLoss):
    """¼ (f − y)⁴."""

    def __call__(self, prediction, value):
        return 0.25 * (prediction - value) ** 4

    def residual(self, prediction, value):
        return (value - prediction) ** 3


class Opaque(AbstractUnit):
    """LeakyReLU(0.3), as a unit of which nothing is known."""

    def __call__(self, neuron, x):
        before = jnp.sum(neuron.b * x)
        return neuron.a * jnp.where(before > 0, before, 0.3 * before)


def flat(cloud):
    return np.asarray(ravel_pytree(cloud)[0], dtype=float)


def data_problem(rows, unit, loss=None):
    x = jax.random.normal(jax.random.key(3), (rows, 4))
    return mf.Problem(mf.Empirical(x), mf.FunctionTarget(lambda x: x[0] * jnp.abs(x[1])), unit=unit, loss=loss)


@pytest.mark.float32
@pytest.mark.parametrize("unit", [mf.LeakyReLU(0.3), Opaque()])
@pytest.mark.parametrize("loss", [mf.SquareLoss(), Quartic()])
def test_empirical_risk_against_numpy(unit, loss):
    """Data sets that do not fill their blocks; value and velocity as plain sums."""
    cloud = random_cloud(6, dim=4)
    problem = data_problem(301, unit, loss)
    x, a, b = (np.asarray(leaf, dtype=float) for leaf in (problem.inputs.x, cloud.a, cloud.b))
    y, before = x[:, 0] * np.abs(x[:, 1]), x @ b.T
    after, slope = np.where(before > 0, before, 0.3 * before), np.where(before > 0, 1, 0.3)
    difference = after @ a / 6 - y
    quartic = isinstance(loss, Quartic)
    value = np.mean(difference**4 / 4 if quartic else difference**2 / 2)
    force = -(difference**3 if quartic else difference) / 301
    risk = risk_of(problem)
    tolerance = 50 * float(jnp.finfo(cloud.dtype).eps)
    np.testing.assert_allclose(risk.value(cloud), value, rtol=tolerance)
    velocity = risk.velocity(cloud)
    expected_b = ((force[:, None] * slope).T @ x) * a[:, None]
    scale = np.abs(expected_b).max()
    np.testing.assert_allclose(velocity.a, force @ after, rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(velocity.b, expected_b, rtol=0, atol=tolerance * scale)


def test_gradient_of_the_empirical_value_is_its_velocity():
    cloud, risk = random_cloud(6, dim=4), risk_of(data_problem(301, mf.LeakyReLU(0.3)))
    gradient = jax.jit(jax.grad(lambda cloud: risk.value(cloud)))(cloud)
    np.testing.assert_allclose(-6 * flat(gradient), flat(risk.velocity(cloud)), rtol=0, atol=1e-14)


def test_sampled_velocity_is_unbiased_and_fresh():
    """The mean over steps is the exact velocity, within 4 standard errors of every entry; no two steps agree."""
    problem, cloud = mf.Problem(mf.Sphere(4, 1.5), mf.SubspaceNorm(2)), random_cloud(5, dim=4)
    risk = risk_of(problem, samples=500, key=KEY, step=0.1)
    times = 0.1 * jnp.arange(400.0)
    runs = jax.jit(jax.vmap(lambda t: ravel_pytree(risk.at_time(t).velocity(cloud))[0]))(times)
    exact = flat(risk_of(problem).velocity(cloud))
    error = np.std(runs, axis=0) / np.sqrt(len(runs))
    assert np.all(np.abs(np.mean(runs, axis=0) - exact) < 4 * error)
    assert len(np.unique(np.asarray(runs[:, 0]))) == 400
    np.testing.assert_allclose(flat(risk.velocity(cloud)), runs[0], rtol=1e-12)


def test_sampled_risk_takes_old_keys_and_data_sets():
    problem = data_problem(50, mf.ReLU())
    cloud = random_cloud(6, dim=4)
    solution = descend(problem, cloud, 5, learning_rate=0.1, samples=20, key=jax.random.PRNGKey(1))
    assert solution.succeeded and solution.risk.shape == (6,)


@pytest.mark.float32
def test_training_on_a_data_set_goes_down():
    cloud = random_cloud(6, dim=4)
    solution = solve_particles(data_problem(301, mf.ReLU()), cloud, jnp.linspace(0.0, 3.0, 7))
    assert solution.risk.dtype == cloud.dtype
    assert np.all(np.diff(np.asarray(solution.risk)) < 0)


@pytest.mark.float32
@pytest.mark.parametrize("unit", [mf.LeakyReLU(0.3), Opaque()])
def test_predictor(unit):
    cloud, x = random_cloud(6, dim=4), jax.random.normal(KEY, (333, 4))
    before = np.asarray(x, dtype=float) @ np.asarray(cloud.b, dtype=float).T
    expected = np.where(before > 0, before, 0.3 * before) @ np.asarray(cloud.a, dtype=float) / 6
    found = predict_cloud(cloud, unit, x)
    assert found.dtype == cloud.dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=20 * float(jnp.finfo(cloud.dtype).eps))
    with pytest.raises(mf.ArgumentError, match="`x` must be of shape"):
        predict_cloud(cloud, unit, x[:, :3])
    with pytest.raises(mf.ArgumentError, match="`x` must be a real array with 2 axes"):
        predict_cloud(cloud, unit, x[0])


@pytest.mark.processor
@pytest.mark.parametrize("unit", [mf.ReLU(), Opaque()])
def test_memory_grows_with_the_neurons_only(unit):
    """Four times the neurons: at most five times the memory. Four times the data: hardly any more."""

    @eqx.filter_jit
    def slope(risk, cloud):
        return risk.velocity(cloud)

    def bytes_of(rows, width):
        risk, cloud = risk_of(data_problem(rows, unit)), random_cloud(width, dim=4)
        return slope.lower(risk, cloud).compile().compiled.memory_analysis().temp_size_in_bytes

    # Below about 1000 neurons the compiler of jax 0.8 keeps one array of a block, above it two.
    sizes = bytes_of(2048, 2048), bytes_of(2048, 8192), bytes_of(8192, 2048)
    print("temporary bytes at (n, m) = (2048, 2048), (2048, 8192), (8192, 2048):", sizes)
    assert sizes[1] <= 5 * sizes[0] and sizes[2] <= 1.5 * sizes[0]


def test_blocks():
    """Few entries at a time, but never few rows; a device that is not a processor gets as many as it can hold."""
    limits = block_limits()
    assert limits.fewest == 16 and limits.entries >= 2**20
    for count, columns in ((1, 1), (127, 5), (129, 5), (300, 2**14), (300, 2**21)):
        rows, size = jnp.arange(1.0, count + 1), rows_per_block(columns)
        assert size == max(16, min(limits.rows, limits.entries // columns))
        blocks = split_rows(rows, size)
        assert blocks.shape[1] <= size and blocks.size - count < blocks.shape[0]
        np.testing.assert_array_equal(map_blocks(lambda block: {"twice": 2 * block}, rows, size)["twice"], 2 * rows)
        assert float(sum_blocks(lambda block: jnp.sum(block**2), rows, size)) == float(jnp.sum(rows**2))
    assert rows_per_block(10, 7) == 7


@pytest.mark.slow
@pytest.mark.parametrize("unit", [mf.ReLU(), mf.LeakyReLU(0.3)])
def test_blocks_of_a_gradient_step(unit):
    """By all neurons, by blocks of neurons, and whole: the same field, down to the order of sums."""
    problem, cloud = data_problem(100, unit), random_cloud(70, dim=4)
    risk = risk_of(problem).prepare()
    rows = (risk.x, risk.y, jnp.full((100,), 0.01))
    fields = [
        homogeneous_field(unit, risk.loss, cloud, rows, StepBlocks(samples, neurons))
        for samples, neurons in ((100, 70), (17, 70), (100, 8), (17, 8), (1, 1))
    ]
    slope = jax.grad(risk.value)(cloud)
    np.testing.assert_allclose(fields[0], -70 * slope.b / cloud.a[:, None], rtol=1e-11, atol=1e-13)
    for field in fields[1:]:
        np.testing.assert_allclose(field, fields[0], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        risk_of(problem, block_size=3).velocity(cloud).b, risk.velocity(cloud).b, rtol=1e-11, atol=1e-13
    )


def test_blocks_fit_the_shapes():
    """Every shape gets blocks of bounded size; many neurons of few dimensions are cut too, where a cache is small."""
    limits = block_limits()
    for samples, neurons, dim in ((512, 65_536, 20), (4096, 8192, 64), (4096, 8192, 256), (10, 10**6, 100), (10**5, 3, 2)):
        blocks = step_blocks(samples, neurons, dim)
        assert blocks.samples >= min(samples, limits.fewest)
        assert blocks.samples * min(blocks.neurons, neurons) <= max(4 * limits.entries, limits.fewest * neurons)
    assert step_blocks(10, 20, 3, 5) == StepBlocks(5, 20)
    if jax.default_backend() == "cpu":
        assert step_blocks(512, 65_536, 20) == StepBlocks(512, 2048)
        assert step_blocks(4096, 8192, 64) == StepBlocks(64, 8192)
