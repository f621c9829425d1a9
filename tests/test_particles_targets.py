"""Target terms of the exact risk against quadrature, and the risk itself against samples."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import references
from particle_problems import EXACT, random_cloud

import mfsym as mf
from mfsym.particles.predictor import predict_cloud
from mfsym.particles.risk import risk_of
from mfsym.particles.risk.norm_table import norm_profile
from mfsym.particles.risk.targets import target_term, target_values

GS = {
    "abs": (jnp.abs, abs, (0.0,)),
    "relu": (jax.nn.relu, lambda z: max(z, 0.0), (0.0,)),
    "square": (jnp.square, lambda z: z * z, ()),
    "sin": (jnp.sin, np.sin, ()),
    "tanh": (jnp.tanh, np.tanh, ()),
    "shifted": (lambda z: jax.nn.relu(z - 1.0), lambda z: max(z - 1.0, 0.0), (1.0,)),
    "steep": (lambda z: jnp.tanh(20 * z), lambda z: np.tanh(20 * z), (0.0,)),
}
COSINES = np.array([0.0, 0.5, 0.999, 1.0, -0.3, -1.0, 1 - 1e-12])


@eqx.filter_jit
def target_term_of(problem):
    return target_term(problem.target, problem.inputs, problem.unit)


def directions(cosines, dim=3):
    rows = np.zeros((len(cosines), dim))
    rows[:, 0], rows[:, 1] = cosines, np.sqrt((1 - cosines) * (1 + cosines))
    return rows


@pytest.mark.parametrize("name", GS)
def test_single_index_against_adaptive_quadrature(name):
    g, reference_g, kinks = GS[name]
    unit = mf.ReLU() if name in ("relu", "tanh") else mf.LeakyReLU(-0.4)
    term = target_term_of(mf.Problem(mf.Gaussian(3), mf.SingleIndex(g, kinks), unit=unit))
    slopes = {"odd": float(unit.odd_slope), "even": float(unit.even_slope)}
    expected = [references.target_term_single_index(reference_g, c, kinks, **slopes) for c in COSINES]
    found = target_values(term, jnp.asarray(directions(COSINES)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dim", [3, 6, 400])
def test_single_index_on_a_sphere_against_the_disk(dim):
    """E over the two coordinates (z, w) = ρ (cos φ, sin φ), with density (d−2)/2π (1−ρ²)^{(d−4)/2} on the disk."""
    radius, unit = 1.5, mf.LeakyReLU(0.2)
    points, weights = np.polynomial.legendre.leggauss(400)
    psi, psi_weights = (points + 1) * np.pi / 4, weights * np.pi / 4  # ρ = sin ψ
    angular = (dim - 2) / (2 * np.pi) * np.sin(psi) * np.cos(psi) ** (dim - 3) * psi_weights
    problem = mf.Problem(mf.Sphere(dim, radius), mf.SingleIndex(lambda z: jnp.sin(z) + z**2), unit=unit)
    term = target_term_of(problem)
    cosines = np.array([1.0, 0.7, 0.0, -0.4])
    expected = []
    for cosine in cosines:
        theta = np.arccos(cosine)
        total = 0.0
        for start in (theta - np.pi / 2, theta + np.pi / 2):  # u·x changes sign at both ends
            phi = start + (points + 1) * np.pi / 2
            z = radius * np.sin(psi)[:, None] * np.cos(phi)
            before = radius * np.sin(psi)[:, None] * np.cos(phi - theta)
            values = (np.sin(z) + z**2) * np.where(before > 0, before, 0.2 * before)
            total += angular @ values @ weights * np.pi / 2
        expected.append(total)
    found = target_values(term, jnp.asarray(directions(cosines, dim)))
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("dim_h", [1, 2, 3, 4, 5, 15, 16, 5000])
def test_norm_profile_against_the_hypergeometric_function(dim_h):
    theta = np.concatenate([np.linspace(0, np.pi / 2, 23), [1e-8, 1e-3, np.pi / 2 - 1e-3]])
    value, slope = jax.jit(norm_profile, static_argnums=0)(dim_h, jnp.asarray(theta))
    np.testing.assert_allclose(value, references.target_term_norm(theta, dim_h), rtol=3e-12)
    with mpmath.workdps(40):
        series = [mpmath.hyp2f1(0.5, 0.5, mpmath.mpf(dim_h) / 2 + 1, mpmath.cos(mpmath.mpf(t)) ** 2) for t in theta]
    expected = references.alpha(dim_h) / (4 * np.pi * dim_h) * np.array([float(value) for value in series])
    np.testing.assert_allclose(slope, expected, rtol=3e-12)


@pytest.mark.parametrize("name", EXACT)
def test_value_against_samples(name):
    """Within 3 standard errors of 10⁶ samples; x and −x are used together, and count as one sample."""
    problem, cloud = EXACT[name], random_cloud(7)
    generator = np.random.default_rng(1)
    x = generator.standard_normal((500_000, problem.dim))
    scale = getattr(problem.inputs, "scale", None)
    if scale is None:
        x *= float(problem.inputs.radius) / np.linalg.norm(x, axis=1, keepdims=True)
    else:
        x *= float(scale)
    x = jnp.asarray(np.stack([x, -x]).reshape(-1, problem.dim))
    losses = jax.vmap(problem.loss)(predict_cloud(cloud, problem.unit, x), problem.values(x)).reshape(2, -1).mean(axis=0)
    error = float(jnp.std(losses)) / np.sqrt(losses.size)
    assert abs(float(risk_of(problem).value(cloud)) - float(jnp.mean(losses))) < 3 * error
    assert error < 0.01 * float(jnp.mean(losses))
