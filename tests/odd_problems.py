"""Odd problems that several test files share."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import mfsym as mf


def cubic_target(coefficients):
    """f*(x) = Σ_k coefficients_k x_k³, whose coefficients can be differentiated."""
    return mf.FunctionTarget(jax.tree_util.Partial(_cubic, coefficients), parity="odd")


def _cubic(coefficients, x):
    return jnp.sum(coefficients.astype(x.dtype) * x**3)


def cubic_problem(dim=60):
    """f* = C Σ z_k x_k³, x ~ N(0, I/d), C = √(2d³/15)/‖z‖, so that ½E f*² = 1."""
    z = np.random.default_rng(3).standard_normal(dim)
    coefficients = jnp.asarray(np.sqrt(2 * dim**3 / 15) * z / np.linalg.norm(z))
    return mf.Problem(mf.Gaussian(dim, 1 / np.sqrt(dim)), cubic_target(coefficients))


DIM = 4  # of every problem with a full covariance, and 25 times for every run of one: they share compiled code
TIMES = jnp.linspace(0.0, 20.0, 25)


def general_problem():
    """Σ = diag(1, ¼), w* = (1, −2), v1 = 1, v2 = ½, and two more coordinates that nothing depends on."""
    inputs = mf.GaussianCovariance(np.diag([1.0, 0.25, 1.0, 1.0]))
    start = mf.GaussianStart(1.0, np.sqrt(DIM / 2))
    return mf.Problem(inputs, mf.LinearTarget([1.0, -2.0, 0.0, 0.0]), start=start)


def random_problem(seed, rank=DIM):
    """A linear target with a random full covariance, singular if `rank` < 4."""
    generator = np.random.default_rng(seed)
    factor = generator.standard_normal((DIM, DIM))[:, :rank]
    start = mf.GaussianStart(0.8, 1.3)
    return mf.Problem(
        mf.GaussianCovariance(factor @ factor.T / DIM), mf.LinearTarget(generator.standard_normal(DIM)), start=start
    )


def random_moments(generator, dim, correlation):
    """M0 of a start: E a², E b bᵀ anisotropic, and E[ab] a share `correlation` of the largest possible."""
    factor = generator.standard_normal((dim, dim))
    inner = factor @ factor.T / dim + 0.05 * np.eye(dim)
    outer = generator.uniform(0.2, 1.5)
    direction = generator.standard_normal(dim)
    largest = np.sqrt(outer / (direction @ np.linalg.solve(inner, direction)))
    mixed = correlation * largest * direction
    return np.block([[np.full((1, 1), outer), mixed[None]], [mixed[:, None], inner]])


@functools.cache
def run_batch(correlation):
    """20 random (Σ, f*, start), a quarter of them with singular Σ, solved together; one seed per case.

    With a correlation the first case is one where H shrinks: Σ = I, w* = 0.01 u, and b = −0.9 a u for most neurons.
    """
    problems = [random_problem(seed, 3 if seed % 4 == 1 else DIM) for seed in range(20)]
    generator = np.random.default_rng(11)
    starts = [random_moments(generator, DIM, correlation) for _ in problems]
    if correlation:
        u = np.eye(DIM)[0]
        problems[0] = mf.Problem(mf.GaussianCovariance(np.eye(DIM)), mf.LinearTarget(0.01 * u), start=problems[0].start)
        mixed, inner = -0.9 * u, 0.81 * np.outer(u, u) + 0.15 * np.eye(DIM)
        starts[0] = np.block([[np.ones((1, 1)), mixed[None]], [mixed[:, None], inner]])
    return _solve(mf.stack([mf.reduce(problem) for problem in problems]), jnp.asarray(np.stack(starts)))


@eqx.filter_jit
def _solve(reductions, starts):
    def one(reduced, start):
        return mf.solve_reduced(reduced, TIMES, initial=start, derivative="forward")

    return eqx.filter_vmap(one)(reductions, starts)
