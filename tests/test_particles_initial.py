"""Clouds at time 0: masses, signs, laws of the directions, and how they are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import mfsym as mf
from mfsym.neurons import Particles
from mfsym.particles.initial import gaussian_cloud, initial_cloud, sphere_cloud

PROBLEM = mf.Problem(mf.Gaussian(8), mf.SubspaceNorm(3))
KEY = jax.random.key(0)


def angular(target, density, dim=8, masses=(0.5, 0.5)):
    return mf.Problem(mf.Gaussian(dim), target, start=mf.AngularStart(density, *masses))


@pytest.mark.float32
@pytest.mark.parametrize("directions", ["random", "quasi", "deterministic"])
@pytest.mark.parametrize("signs", ["balanced", "paired", "random"])
def test_sphere_cloud_has_unit_norms_and_the_signs_asked_for(directions, signs):
    if (directions, signs) == ("deterministic", "random"):
        return
    key = None if directions == "deterministic" else KEY
    cloud = sphere_cloud(PROBLEM, width=100, key=key, signs=signs, directions=directions)
    assert isinstance(cloud, Particles) and cloud.dtype == jnp.result_type(float)
    tolerance = 10 * float(jnp.finfo(cloud.dtype).eps)
    np.testing.assert_allclose(np.abs(cloud.a), 1, rtol=0)
    np.testing.assert_allclose(np.linalg.norm(cloud.b, axis=1), 1, rtol=tolerance)
    if signs != "random":
        assert np.sum(np.asarray(cloud.a) > 0) == 50
    if signs == "paired":
        np.testing.assert_array_equal(cloud.a[:50], -cloud.a[50:])
        np.testing.assert_array_equal(cloud.b[:50], cloud.b[50:])
    else:
        assert len(np.unique(np.asarray(cloud.b), axis=0)) == 100
    again = sphere_cloud(PROBLEM, width=100, key=key, signs=signs, directions=directions)
    np.testing.assert_array_equal(cloud.b, again.b)
    other = sphere_cloud(PROBLEM, width=100, key=jax.random.key(1), signs=signs, directions=directions)
    assert (directions == "deterministic") == bool(np.array_equal(cloud.b, other.b))


def test_masses_are_those_of_the_start():
    problem = mf.Problem(mf.Gaussian(8), mf.SubspaceNorm(1), start=mf.SphereStart(1.5, 0.25))
    cloud = sphere_cloud(problem, width=100, key=KEY)
    mass = np.abs(cloud.a) * np.linalg.norm(cloud.b, axis=1) / 100
    assert np.isclose(mass[np.asarray(cloud.a) > 0].sum(), 1.5)
    assert np.isclose(mass[np.asarray(cloud.a) < 0].sum(), 0.25)
    np.testing.assert_allclose(np.abs(cloud.a), np.linalg.norm(cloud.b, axis=1))


def test_a_sign_may_have_no_mass():
    def total(mass):
        problem = mf.Problem(mf.Gaussian(8), mf.SubspaceNorm(1), start=mf.SphereStart(1.0, mass))
        return jnp.sum(sphere_cloud(problem, width=100, key=KEY).b)

    assert all(np.isfinite(jax.jit(jax.value_and_grad(total))(jnp.asarray(0.0))))


@pytest.mark.parametrize("directions", ["random", "quasi"])
def test_directions_are_uniform(directions):
    """cos²θ ~ Beta(d_H/2, d_⊥/2) and E u uᵀ = I/d; quasi-random points do much better than random ones."""
    cloud = sphere_cloud(PROBLEM, width=8192, key=KEY, directions=directions)
    b = np.asarray(cloud.b)
    spread = np.abs(b.T @ b / len(b) - np.eye(8) / 8).max()
    for half in (b[:4096], b[4096:]):
        law = scipy.stats.beta(1.5, 2.5)
        distance = scipy.stats.kstest(np.sum(half[:, :3] ** 2, axis=1), law.cdf).statistic
        assert distance < (0.03 if directions == "random" else 0.015)
    assert spread < (0.01 if directions == "random" else 0.001)


@pytest.mark.parametrize(
    ("target", "dim_h", "radial"), [(mf.SubspaceNorm(3), 3, True), (mf.SingleIndex(jnp.tanh), 1, False)]
)
@pytest.mark.parametrize("directions", ["random", "quasi"])
def test_angular_start(target, dim_h, radial, directions):
    """The angle has the density asked for times the uniform law; the rest is uniform."""
    problem = angular(target, lambda theta: jnp.exp(jnp.sin(3 * theta)), masses=(1.0, 0.25))
    cloud = sphere_cloud(problem, width=8192, key=KEY, directions=directions)
    b = np.asarray(cloud.b)
    np.testing.assert_allclose(np.linalg.norm(b, axis=1), np.abs(cloud.a), rtol=1e-12)
    unit = b / np.linalg.norm(b, axis=1, keepdims=True)
    along = np.linalg.norm(unit[:, :dim_h], axis=1) if radial else unit[:, 0]
    grid = np.linspace(0, np.pi / 2 if radial else np.pi, 20001)
    weight = np.exp(np.sin(3 * grid)) * np.sin(grid) ** (7 - dim_h) * (np.cos(grid) ** (dim_h - 1) if radial else 1)
    weight = np.cumsum(weight) / weight.sum()
    distance = scipy.stats.kstest(np.arccos(along)[:4096], lambda theta: np.interp(theta, grid, weight)).statistic
    assert distance < (0.03 if directions == "random" else 0.01)
    rest = unit[:, dim_h:] / np.linalg.norm(unit[:, dim_h:], axis=1, keepdims=True)
    assert np.abs(rest.T @ rest / len(rest) - np.eye(8 - dim_h) / (8 - dim_h)).max() < 0.015
    assert np.abs(rest.mean(axis=0)).max() < 0.02


def test_angular_start_where_no_angle_is_left():
    full = sphere_cloud(angular(mf.SubspaceNorm(8), jnp.cos), width=100, key=KEY)
    np.testing.assert_allclose(np.linalg.norm(full.b, axis=1), 1)
    line = sphere_cloud(angular(mf.SingleIndex(jnp.tanh), lambda t: 3.5 - t, dim=1), width=100, key=KEY)
    assert abs(np.mean(np.asarray(line.b) > 0) - 3.5 / (7 - np.pi)) < 0.1


def test_random_clouds_can_be_vmapped_over_keys():
    keys = jax.random.split(KEY, 3)
    clouds = jax.jit(jax.vmap(lambda key: sphere_cloud(PROBLEM, width=100, key=key)))(keys)
    np.testing.assert_allclose(clouds.b[2], sphere_cloud(PROBLEM, width=100, key=keys[2]).b, rtol=1e-12)
    assert clouds.b.shape == (3, 100, 8)


@pytest.mark.float32
def test_initial_cloud_follows_the_start():
    problem = mf.Problem(mf.Gaussian(8), mf.SubspaceNorm(3), start=mf.GaussianStart(0.5, 2.0))
    cloud = initial_cloud(problem, width=20_000, key=KEY)
    assert abs(float(jnp.std(cloud.a)) - 0.5) < 0.02
    assert abs(float(jnp.mean(jnp.sum(cloud.b**2, axis=1))) - 4.0) < 0.1
    np.testing.assert_array_equal(initial_cloud(PROBLEM, width=100, key=KEY).b, sphere_cloud(PROBLEM, width=100, key=KEY).b)
    assert initial_cloud(PROBLEM, width=100, key=KEY, dtype=jnp.float32).dtype == jnp.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sphere_cloud(PROBLEM, width=5, key=KEY), "`width` must be even with balanced signs"),
        (lambda: sphere_cloud(PROBLEM, width=0, key=KEY), "`width` must be an integer of at least 1"),
        (lambda: sphere_cloud(PROBLEM, width=4.0, key=KEY), "`width` must be an integer"),
        (lambda: sphere_cloud(PROBLEM, width=4), "`key` must be a JAX random key"),
        (lambda: sphere_cloud(PROBLEM, width=4, key=0), "`key` must be a JAX random key"),
        (lambda: sphere_cloud(PROBLEM, width=4, key=KEY, signs="odd"), "`signs` must be one of"),
        (lambda: sphere_cloud(PROBLEM, width=4, key=KEY, directions="odd"), "`directions` must be one of"),
        (lambda: sphere_cloud(PROBLEM, width=4, directions="deterministic", signs="random"), "`signs` must be"),
        (lambda: gaussian_cloud(PROBLEM, width=4, key=KEY), "`problem.start` must be a GaussianStart"),
        (
            lambda: sphere_cloud(
                mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(1), start=mf.SphereStart(1.0, 0.5)),
                width=4,
                key=KEY,
                signs="paired",
            ),
            "`problem.start` must be of equal masses",
        ),
        (
            lambda: sphere_cloud(angular(mf.FunctionTarget(jnp.sum), jnp.cos), width=4, key=KEY),
            "`problem.start` must be one that needs no subspace",
        ),
        (
            lambda: jax.vmap(lambda key: sphere_cloud(PROBLEM, width=4, key=key, directions="quasi"))(
                jax.random.split(KEY, 2)
            ),
            "`key` must be concrete",
        ),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(mf.ArgumentError, match=message):
        call()
