"""Problems and clouds that the tests of the particle route share."""

import jax
import jax.numpy as jnp
import numpy as np

import mfsym as mf

DIM = 6


def random_cloud(width, dim=DIM, seed=0, dtype=None):
    """A cloud with a of both signs and norms that differ."""
    outer, inner = jax.random.split(jax.random.key(seed))
    dtype = jnp.result_type(float) if dtype is None else dtype
    return mf.Particles(jax.random.normal(outer, (width,), dtype), jax.random.normal(inner, (width, dim), dtype))


def repeated(cloud, times):
    """Every neuron `times` times: the same law."""
    return mf.Particles(jnp.tile(cloud.a, times), jnp.tile(cloud.b, (times, 1)))


def clustered_cloud(width, dim, spread, seed=0):
    """Neurons in five bundles of directions that differ by about `spread`, in float64 where that exists."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((5, dim))
    b = centres[np.arange(width) % 5] * np.sign(np.arange(width) % 10 - 4.5)[:, None]
    b = b + spread * generator.standard_normal((width, dim))
    return mf.Particles(jnp.asarray(generator.standard_normal(width)), jnp.asarray(b))


def _exact_problems():
    gaussian, scaled, sphere = mf.Gaussian(DIM), mf.Gaussian(DIM, 1.7), mf.Sphere(DIM, 2.0)
    leaky = mf.LeakyReLU(0.3)
    teacher = mf.Teacher(random_cloud(5, seed=9), mf.LeakyReLU(0.6))
    weights = np.linspace(-1.0, 1.5, DIM)
    return {
        "norm": mf.Problem(gaussian, mf.SubspaceNorm(2, 1.3)),
        "norm of one coordinate": mf.Problem(gaussian, mf.SubspaceNorm(1)),
        "norm of everything": mf.Problem(scaled, mf.SubspaceNorm(DIM)),
        "norm, leaky, sphere": mf.Problem(sphere, mf.SubspaceNorm(3), unit=leaky),
        "absolute value": mf.Problem(gaussian, mf.SingleIndex(jnp.abs)),
        "square, scaled": mf.Problem(scaled, mf.SingleIndex(jnp.square)),
        "tanh, leaky": mf.Problem(gaussian, mf.SingleIndex(jnp.tanh), unit=leaky),
        "shifted kink, scaled": mf.Problem(scaled, mf.SingleIndex(lambda z: jnp.abs(z - 0.5), kinks=(0.5,)), unit=leaky),
        "sine, sphere": mf.Problem(sphere, mf.SingleIndex(jnp.sin), unit=leaky),
        "linear": mf.Problem(scaled, mf.LinearTarget(weights)),
        "linear, linear unit": mf.Problem(sphere, mf.LinearTarget(weights), unit=mf.Identity()),
        "teacher": mf.Problem(scaled, teacher),
        "teacher, sphere": mf.Problem(sphere, teacher, unit=leaky),
    }


# Name: problem, one for every closed form, with inputs and units in turn. Shared, so that compiled code is too.
EXACT = _exact_problems()
