"""Inputs, targets, units, starts: moments, derivatives and closed forms against sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import mfsym as mf

KEY = jax.random.key(11)


@pytest.mark.parametrize("inputs", [mf.Gaussian(5, 1.5), mf.Sphere(5, 2.0), mf.Empirical(np.eye(5)[:3])])
def test_moments_of_inputs(inputs):
    x = np.asarray(inputs.sample(KEY, 40_000))
    assert x.shape == (40_000, 5)
    squares = np.sum(x**2, axis=1)
    error = squares.std() / np.sqrt(len(x)) + 1e-9
    assert abs(squares.mean() - float(inputs.second_moment)) < 4 * error
    products = x[:, :, None] * x[:, None, :]
    errors = products.std(axis=0) / np.sqrt(len(x)) + 1e-9
    assert np.all(np.abs(products.mean(axis=0) - np.asarray(inputs.covariance)) < 4.5 * errors)
    assert float(jnp.trace(inputs.covariance)) == pytest.approx(float(inputs.second_moment))


def test_invariance_of_inputs():
    rotation = np.array([[0.6, -0.8], [0.8, 0.6]])
    square = mf.Empirical([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    for inputs in (mf.Gaussian(2), mf.Sphere(2)):
        assert inputs.rotation_invariant and inputs.is_invariant(rotation)
        assert not inputs.is_invariant(2 * rotation)
    assert not square.rotation_invariant
    assert square.is_invariant(quarter) and not square.is_invariant(rotation)


def test_targets_at_one_input():
    x = jnp.array([3.0, -4.0, 12.0])
    cloud = mf.Particles([2.0, -1.0], [[1.0, 0, 0], [0, -1.0, 0]])
    cases = [
        (mf.SubspaceNorm(2, -0.5), -2.5),
        (mf.SingleIndex(jnp.tanh), np.tanh(3)),
        (mf.LinearTarget([1.0, 2.0, 0.5]), 1.0),
        (mf.Teacher(cloud), (2 * 3 - 4) / 2),
        (mf.Teacher(cloud, mf.Identity()), (2 * 3 - 4) / 2),
        (mf.FunctionTarget(lambda z: z[0] * z[1]), -12.0),
    ]
    for target, value in cases:
        assert float(target(x)) == pytest.approx(value, rel=1e-12)
        problem = mf.Problem(mf.Gaussian(3), target)
        assert problem.values(jnp.stack([x, x])).shape == (2,)
    basis = mf.LinearTarget([3.0, 0, 4.0]).subspace(3)
    np.testing.assert_allclose(basis, [[0.6, 0, 0.8]])
    np.testing.assert_allclose(mf.SubspaceNorm(2).subspace(3), np.eye(3)[:2])
    assert mf.Teacher(cloud).subspace(3) is None


@pytest.mark.parametrize("unit", [mf.ReLU(), mf.LeakyReLU(0.3), mf.LeakyReLU(-1.0), mf.Identity()])
def test_units(unit):
    z = jnp.array([-2.0, -0.5, 0.5, 3.0])
    odd, even = unit.odd_slope, unit.even_slope
    np.testing.assert_allclose(unit.activation(z), odd * z + even * jnp.abs(z), rtol=1e-12)
    np.testing.assert_allclose(unit.derivative(z), jax.vmap(jax.grad(unit.activation))(z), rtol=1e-12)
    assert float(unit.derivative(jnp.zeros(()))) == pytest.approx(float(odd))
    neuron = mf.Particles([2.0], [[1.0, -1.0]])
    one = jax.tree.map(lambda leaf: leaf[0], neuron)
    x = jnp.array([0.5, 2.0])
    assert float(unit(one, x)) == pytest.approx(2 * float(unit.activation(jnp.asarray(-1.5))))


@pytest.mark.parametrize("unit", [mf.GELU(), mf.SiLU()])
def test_units_with_a_linear_odd_part(unit):
    """σ(z) − σ(−z) = 2κz exactly, and the activations against their formulas."""
    z = jnp.array([-2.0, -0.5, 0.5, 3.0])
    np.testing.assert_allclose(unit.activation(z) - unit.activation(-z), 2 * unit.odd_slope * z, rtol=1e-14)
    share = scipy.stats.norm.cdf(z) if isinstance(unit, mf.GELU) else scipy.special.expit(z)
    np.testing.assert_allclose(unit.activation(z), z * share, rtol=1e-12)
    one = mf.Particles([2.0], [[1.0, -1.0]])
    x = jnp.array([[0.5, 2.0]])
    np.testing.assert_allclose(mf.predict(one, x, unit=unit), 2 * unit.activation(jnp.array([-1.5])))


def test_moments_of_a_cloud():
    cloud = mf.Particles([2.0, -1.0], [[1.0, 0.0], [3.0, 1.0]])
    np.testing.assert_allclose(mf.moments_of(cloud), [[2.5, -0.5, -0.5], [-0.5, 5, 1.5], [-0.5, 1.5, 0.5]])


def test_loss():
    loss = mf.SquareLoss()
    prediction, value = jnp.array([1.0, -2.0]), jnp.array([3.0, 0.5])
    np.testing.assert_allclose(jax.vmap(loss)(prediction, value), [2.0, 3.125])
    assert float(loss(prediction, value)) == 5.125  # of two outputs
    slopes = jax.vmap(jax.grad(loss))(prediction, value)
    np.testing.assert_allclose(loss.residual(prediction, value), -slopes)


def test_problem_knows_its_structure():
    radial = mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2))
    single = mf.Problem(mf.Gaussian(6), mf.SingleIndex(jnp.sin))
    assert radial.radial_subspace() and not single.radial_subspace()
    assert radial.dim == 6 and single.subspace().shape == (1, 6)
    assert isinstance(radial.unit, mf.ReLU) and isinstance(radial.loss, mf.SquareLoss)
    x, values = radial.sample(KEY, 7, jnp.float32)
    assert x.dtype == values.dtype == jnp.float32 and values.shape == (7,)
    np.testing.assert_allclose(values, np.linalg.norm(np.asarray(x)[:, :2], axis=1), rtol=1e-6)


def test_problems_are_pytrees():
    """Numbers are leaves: problems jit, vmap and differentiate; functions are static unless they carry arrays."""
    scaled = jax.tree_util.Partial(lambda c, z: c * z, jnp.asarray(2.0))

    def value(problem):
        return jnp.sum(problem.values(jnp.ones((1, 3)))) * problem.inputs.scale

    problem = mf.Problem(mf.Gaussian(3, 0.5), mf.SingleIndex(scaled))
    gradient = jax.grad(value, allow_int=True)(problem)
    assert float(gradient.inputs.scale) == pytest.approx(2.0)
    assert float(gradient.target.g.arrays.args[0]) == pytest.approx(0.5)
    assert float(jax.jit(value)(problem)) == pytest.approx(1.0)
    assert len(jax.tree.leaves(mf.Problem(mf.Gaussian(3), mf.SingleIndex(jnp.tanh)))) == 3  # scale and two masses


def test_problems_are_built_inside_jit():
    @jax.jit
    def value(c):
        target = mf.SingleIndex(jax.tree_util.Partial(lambda c, z: jnp.abs(z - c), c), kinks=(0.5,))
        start = mf.AngularStart(jax.tree_util.Partial(lambda c, theta: c * jnp.sin(theta), c), c, 0.5)
        problem = mf.Problem(mf.Gaussian(2, c), target, unit=mf.LeakyReLU(c), start=start)
        return problem.values(jnp.zeros((1, 2)))[0] + problem.start.density(jnp.array([np.pi / 2]))[0]

    assert float(value(jnp.asarray(0.5))) == pytest.approx(1.0)


@pytest.mark.float32
def test_numbers_take_the_session_precision():
    default = jnp.result_type(float)
    problem = mf.Problem(mf.Gaussian(3, 2), mf.SubspaceNorm(1, np.float64(0.5)), start=mf.SphereStart(1, 2))
    assert {leaf.dtype for leaf in jax.tree.leaves(problem)} == {default}
    assert mf.Gaussian(3, jnp.asarray(2.0, jnp.float32)).scale.dtype == jnp.float32
