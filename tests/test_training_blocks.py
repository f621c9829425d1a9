"""Gaussian inputs with one scale per block: the law, the reduction, and the exact risk of clouds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training_cases as cases

import mfsym as mf

BLOCKS = mf.GaussianBlocks((2, 4), (1.5, 0.5))
UNEQUAL = mf.GaussianBlocks((1, 5), (2.0, 0.5))
COVARIANCE = mf.GaussianCovariance(np.diag(np.arange(1.0, 7.0)))
SWAP = np.eye(6)[[1, 0, 2, 3, 4, 5]]
KEY = jax.random.key(0)


def reduce_rotated(rotation):
    return mf.reduce(mf.Problem(UNEQUAL, mf.Rotated(mf.SubspaceNorm(1), rotation)))


def test_the_law():
    x = np.asarray(BLOCKS.sample(KEY, 40_000))
    covariance = np.diag([2.25] * 2 + [0.25] * 4)
    np.testing.assert_allclose(BLOCKS.covariance, covariance)
    np.testing.assert_allclose(x.T @ x / len(x), covariance, atol=0.05)
    assert float(BLOCKS.second_moment) == pytest.approx(5.5) and BLOCKS.dim == 6
    within = jnp.eye(6)[jnp.array([1, 0, 3, 2, 5, 4])]
    assert BLOCKS.is_invariant(within) and not BLOCKS.is_invariant(jnp.eye(6)[jnp.array([2, 1, 0, 3, 4, 5])])
    assert not BLOCKS.is_invariant(2 * jnp.eye(6)) and not BLOCKS.rotation_invariant


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: mf.GaussianBlocks((3,), (1.0,)), "`dims` must be a tuple of at least two dimensions"),
        (lambda: mf.GaussianBlocks((3, 0), (1.0, 1.0)), "`dims` must be an integer of at least 1"),
        (lambda: mf.GaussianBlocks((3, 2), (1.0,)), "`scales` must be 2 positive numbers"),
        (lambda: mf.GaussianBlocks((3, 2), (1.0, -1.0)), "`scales` must be 2 positive numbers"),
        (lambda: mf.reduce(mf.Problem(BLOCKS, mf.SubspaceNorm(3))), r"the blocks \(2, 4\) of the inputs are not H and H"),
        (lambda: mf.reduce(mf.Problem(BLOCKS, mf.SingleIndex(jnp.abs))), r"the blocks \(2, 4\) of the inputs are not"),
        (lambda: mf.reduce(mf.Problem(BLOCKS, mf.LinearTarget(np.ones(6))), structure="angle"), "w need not lie in one"),
        (lambda: mf.risk_of(mf.Problem(BLOCKS, mf.SubspaceNorm(3))), "`target.dim_h` must be at most 2"),
        (
            lambda: mf.reduce(mf.Problem(COVARIANCE, mf.MultiIndex(lambda z: jnp.abs(z[0]), 2))),
            "several angles .* not GaussianCovariance",
        ),
        (lambda: mf.reduce(mf.Problem(UNEQUAL, mf.BlockNorms((2, 1)))), "cut through those of the target"),
        (
            lambda: mf.reduce(mf.Problem(UNEQUAL, mf.Rotated(mf.SubspaceNorm(1), SWAP))),
            "rotation of the target does not keep",
        ),
        (lambda: mf.reduce(mf.Problem(UNEQUAL, mf.Rotated(mf.SingleIndex(jnp.abs), SWAP))), "does not keep the law"),
        (lambda: jax.jit(reduce_rotated)(jnp.eye(6)), "rotation of the target is not known to keep"),
    ],
)
def test_refusals(build, words):
    with pytest.raises(mf.ArgumentError, match=words):
        build()


def test_a_rotation_of_each_block_is_harmless():
    """Angles in the coordinates Q x: the same equation, its subspace spanned by the first rows of Q."""
    generator, inputs = np.random.default_rng(1), mf.GaussianBlocks((2, 4), (1.5, 0.5))
    rotation = np.zeros((6, 6))
    for block in (slice(0, 2), slice(2, 6)):
        size = block.stop - block.start
        rotation[block, block] = np.linalg.qr(generator.standard_normal((size, size)))[0]
    plain, turned = (
        mf.reduce(mf.Problem(inputs, target), **cases.SIZES)
        for target in (mf.SubspaceNorm(2), mf.Rotated(mf.SubspaceNorm(2), rotation))
    )
    np.testing.assert_array_equal(turned.coefficients, plain.coefficients)
    np.testing.assert_allclose(turned.basis, rotation[:2], atol=1e-12)


def test_a_linear_target_is_left_with_moments():
    reduced = mf.reduce(mf.Problem(BLOCKS, mf.LinearTarget(np.arange(1.0, 7.0))))
    np.testing.assert_allclose(jnp.diag(reduced.covariance), np.repeat(np.square(BLOCKS.scales), BLOCKS.dims))
    np.testing.assert_allclose(reduced.optimum, np.arange(1.0, 7.0), rtol=1e-12)


TARGETS = {
    "norm": mf.SubspaceNorm(2, 1.3),
    "norm of one coordinate": mf.SubspaceNorm(1),
    "single index": mf.SingleIndex(jax.nn.softplus, kinks=()),
    "linear": mf.LinearTarget(np.linspace(-1.0, 1.5, 6)),
    "teacher": mf.Teacher(mf.Particles(np.array([1.0, -0.5]), np.linspace(-1.0, 1.0, 12).reshape(2, 6))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_exact_risk_against_samples(name):
    problem = mf.Problem(BLOCKS, TARGETS[name])
    cloud = mf.sphere_cloud(problem, width=6, key=KEY)
    exact = mf.risk_of(problem)
    losses = np.asarray(0.5 * (mf.predict(cloud, x := BLOCKS.sample(jax.random.key(1), 200_000)) - problem.values(x)) ** 2)
    error = losses.std() / np.sqrt(len(losses))
    assert abs(float(exact.value(cloud)) - losses.mean()) < 4 * error
    gradient = jax.grad(exact.value)(cloud)
    velocity = exact.velocity(cloud)
    np.testing.assert_allclose(velocity.b, -6 * gradient.b, atol=1e-10)
    np.testing.assert_allclose(velocity.a, -6 * gradient.a, atol=1e-10)


def test_equal_scales_are_a_gaussian():
    equal = cases.reduce(cases.problem(inputs=mf.GaussianBlocks((2, 6), (1.5, 1.5))))
    usual = cases.reduce(cases.problem(inputs=mf.Gaussian(8, 1.5)))
    theta = jnp.linspace(0.1, 1.5, 7)
    np.testing.assert_allclose(equal.kernel(theta, theta), usual.kernel(theta, theta), rtol=1e-12)
    np.testing.assert_allclose(equal.target_term(theta), usual.target_term(theta), rtol=1e-12)


def test_fields_of_stretched_inputs_against_samples():
    # g*(θ) and its slope for one neuron, by samples of the inputs.
    problem = mf.Problem(BLOCKS, mf.SubspaceNorm(2))
    reduced = cases.reduce(problem, modes=64)
    theta = jnp.array([0.0, 0.4, 1.1, np.pi / 2])
    x = np.asarray(BLOCKS.sample(jax.random.key(3), 400_000))
    values = np.asarray(problem.values(jnp.asarray(x)))
    for t, found in zip(theta, reduced.target_term(theta), strict=True):
        products = values * np.maximum(np.cos(t) * x[:, 0] + np.sin(t) * x[:, 2], 0)
        assert abs(products.mean() - float(found)) < 4 * products.std() / np.sqrt(len(x))
    values, slopes = reduced.features(theta)
    shifted = [reduced.features(theta + h)[0] for h in (1e-5, -1e-5)]
    np.testing.assert_allclose(slopes, (shifted[0] - shifted[1]) / 2e-5, atol=1e-6 * float(jnp.max(jnp.abs(slopes))))
