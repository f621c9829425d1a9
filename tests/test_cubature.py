"""Cubatures of inputs: exact up to their degree, closed under what they say, and an error that covers."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from particle_problems import random_cloud

import mfsym as mf

KEY = jax.random.key(2)


def double_factorial(n):
    return math.prod(range(n, 0, -2))


@pytest.mark.float32
@pytest.mark.parametrize("dim", [1, 3, 4])
def test_products_of_rules_are_exact_up_to_their_degree(dim):
    """E Π x_i^{k_i} = Π (k_i − 1)!! for even k_i, 0 otherwise, scaled; the next degree is missed."""
    nodes, scale = 4, 1.3
    data = mf.cubature(mf.Gaussian(dim, scale), nodes=nodes)
    assert data.degree == 2 * nodes - 1 and data.x.shape == (nodes**dim, dim)
    x = np.asarray(data.x, float) / scale
    tolerance = 1e-12 if data.x.dtype == jnp.float64 else 1e-4
    for powers in itertools.product(range(2 * nodes), repeat=min(dim, 2)):
        exact = math.prod(double_factorial(k - 1) if k % 2 == 0 else 0 for k in powers)
        values = np.prod(x[:, : len(powers)] ** np.array(powers), axis=1)
        size = np.asarray(data.weights, float) @ np.abs(values)
        assert abs(np.asarray(data.weights, float) @ values - exact) < tolerance * size
    assert abs(np.asarray(data.weights, float) @ x[:, 0] ** (2 * nodes) - double_factorial(2 * nodes - 1)) > 1


def test_products_of_rules_are_closed_under_signed_permutations():
    data = mf.cubature(mf.Gaussian(3), nodes=5)
    for signs, order in (((1, 1, -1), (0, 1, 2)), ((1, -1, 1), (2, 0, 1)), ((-1, -1, -1), (1, 0, 2))):
        assert data.is_invariant(np.diag(signs) @ np.eye(3)[list(order)])
    turn = np.eye(3)
    turn[:2, :2] = [[0.6, -0.8], [0.8, 0.6]]
    assert not data.is_invariant(turn)


LAWS = {
    "Gaussian": mf.Gaussian(10, 1.4),
    "Sphere": mf.Sphere(5, 2.0),
    "GaussianBlocks": mf.GaussianBlocks((2, 4), (1.5, 0.5)),
    "GaussianCovariance": mf.GaussianCovariance(np.eye(5) + 0.3),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_turned_frames_are_exact_up_to_their_degree(law):
    """Odd functions everywhere; on a sphere second moments too, which for Gaussians are met within the error."""
    data = mf.cubature(law, frames=16, key=KEY)
    assert data.degree == (3 if law.spherical else 1) and data.x.shape == (16 * 2 * law.dim, law.dim)
    assert data.is_invariant(-np.eye(law.dim))
    off = np.abs(data.covariance - law.covariance)
    assert np.mean(off <= data.error(data.x[:, :, None] * data.x[:, None, :]) + 1e-13) > 0.9
    if law.spherical:
        assert np.max(off) < 1e-13


def functions(length):
    """Means over N(0, length² I_10) of what networks are made of: (function, mean) each; closed forms."""
    sides = np.ones(10) / 10**0.5, np.array([0.6, 0.8] + [0.0] * 8)
    cosine, square = sides[0] @ sides[1], length**2
    sine = np.sqrt(1 - cosine**2)
    kernel = square / (2 * np.pi) * (sine + (np.pi - np.arccos(cosine)) * cosine)
    arcsine = 2 / np.pi * np.arcsin(2 * square * cosine / (1 + 2 * square))
    tail = scipy.special.ndtr(-1 / length)
    return {
        "‖x‖": (lambda x: np.linalg.norm(x, axis=1), length * np.sqrt(2) * math.gamma(5.5) / math.gamma(5)),
        "x_1⁴": (lambda x: x[:, 0] ** 4, 3 * square**2),
        "|x_1|": (lambda x: np.abs(x[:, 0]), length * np.sqrt(2 / np.pi)),
        "cos": (lambda x: np.cos(x @ sides[0] + 0.3), np.exp(-square / 2) * np.cos(0.3)),
        "ReLU ReLU": (lambda x: np.maximum(x @ sides[0], 0) * np.maximum(x @ sides[1], 0), kernel),
        "erf erf": (lambda x: scipy.special.erf(x @ sides[0]) * scipy.special.erf(x @ sides[1]), arcsine),
        "step": (lambda x: (x @ sides[1] > 1).astype(float), tail),
        "x_1² x_2²": (lambda x: x[:, 0] ** 2 * x[:, 1] ** 2, square**2),
    }


def test_the_error_of_turned_frames_covers_and_falls():
    """Of 8 means by 60 rules 1 % may lie outside of what is promised (2 % of so few), which is below ten times the error."""
    law, missed, ratios, sizes = mf.Gaussian(10, 1.4), [], [], []
    for frames, seeds in ((16, 60), (256, 4)):
        scaled = []
        for seed in range(seeds):
            data = mf.cubature(law, frames=frames, key=jax.random.key(seed))
            x = np.asarray(data.x)
            values = np.stack([function(x) for function, _ in functions(1.4).values()], axis=1)
            exact = np.array([mean for _, mean in functions(1.4).values()])
            off, error = np.abs(values.mean(axis=0) - exact), np.asarray(data.error(values))
            scaled.append(error / np.abs(exact))
            if frames == 16:
                missed.append(off > error)
                ratios.append(off / error)
        sizes.append(np.median(scaled, axis=0))
    fall = sizes[0] / sizes[1]
    print(f"outside: {np.mean(missed):.3f}; median of error over promise: {np.median(ratios):.2f}; fall {fall}")
    assert np.mean(missed) < 0.02 and np.median(ratios) > 0.1
    assert np.all(fall > 2.5)  # 4 for independent frames


@pytest.mark.float32
def test_the_risk_of_any_unit_by_cubature():
    """erf neurons against a linear target of three Gaussian inputs, beside the arcsine kernel (Williams 1997)."""
    cloud, w = random_cloud(4, dim=3), np.array([1.0, -0.5, 0.25])
    unit = mf.Neuron(jax.scipy.special.erf, bias=False)
    a, b = (np.asarray(leaf, float) for leaf in (cloud.a, 0.5 * cloud.b))
    cloud = mf.Particles(cloud.a, 0.5 * cloud.b)
    whole = 1 + 2 * np.sum(b**2, axis=1)
    pairs = 2 / np.pi * np.arcsin(2 * b @ b.T / np.sqrt(whole[:, None] * whole))
    crossed = 2 / np.sqrt(np.pi) * b @ w / np.sqrt(whole)
    exact = (w @ w - 2 * a @ crossed / 4 + a @ pairs @ a / 16) / 2
    problem = mf.Problem(mf.cubature(mf.Gaussian(3), nodes=24), mf.LinearTarget(w), unit)
    found = float(mf.risk_of(problem).value(cloud))
    assert found == pytest.approx(exact, rel=1e-7 if cloud.dtype == jnp.float64 else 1e-5)


REFUSED = {
    "a product in ten dimensions": (
        lambda: mf.cubature(mf.Gaussian(10), nodes=8),
        "`nodes` must be left out beyond 4 dimensions.* but is 8 in 10 dimensions, which are 1e\\+09. Pass frames=64",
    ),
    "nothing said in ten": (lambda: mf.cubature(mf.Gaussian(10)), "16 in 10 dimensions, which are 1e\\+12"),
    "too many nodes": (lambda: mf.cubature(mf.Gaussian(4), nodes=64), "`nodes` must be at most 45 in 4 dimensions"),
    "a product on a sphere": (lambda: mf.cubature(mf.Sphere(3), nodes=4), "`frames` must be given on a sphere"),
    "data": (lambda: mf.cubature(mf.Empirical(np.eye(2))), "`inputs` must be a Gaussian law or a Sphere"),
    "frames that are no multiple": (lambda: mf.cubature(mf.Gaussian(9), frames=20, key=KEY), "a multiple of 8, but is 20"),
    "frames without a key": (lambda: mf.cubature(mf.Gaussian(9), frames=16), "`key` must be a JAX random key"),
    "both rules": (lambda: mf.cubature(mf.Gaussian(2), frames=16, nodes=4, key=KEY), "`nodes` must be left out where"),
    "a key of a product": (lambda: mf.cubature(mf.Gaussian(2), key=KEY), "`key` must be left out where `frames` is"),
    "a key in jit": (
        lambda: jax.jit(lambda key: mf.cubature(mf.Gaussian(9), frames=16, key=key).x)(KEY),
        "`key` must be known when",
    ),
    "values of other rows": (
        lambda: mf.cubature(mf.Gaussian(1), frames=8, key=KEY).error(np.ones(3)),
        "`values` must be an array of 16 rows",
    ),
    "an error without replicates": (lambda: mf.cubature(mf.Gaussian(1)).error(jnp.ones(16)), "`replicates` must be 8"),
}


@pytest.mark.parametrize(("what", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(what, message):
    with pytest.raises(mf.ArgumentError, match=message):
        what()
