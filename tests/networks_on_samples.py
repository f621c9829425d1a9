"""Networks of finite width on batches or on data, in plain steps, and how far they end from the infinite one.

What the coefficients C_b and C_n of `mfsym.fluctuations` are compared with: nothing here is linearised, and nothing but the
infinite network is taken from the library.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import mfsym as mf
from mfsym.distances import squared_distances


@functools.partial(jax.jit, static_argnames=("width", "steps", "batch", "fresh"))
def trained(problem: mf.Problem, key, width: int, step: float, steps: int, batch: int, fresh: bool):
    """Outer and inner weights of one network after gradient steps on a fresh batch each, or on one batch for all."""
    start, data = jax.random.split(key)
    b = jax.random.normal(start, (width, problem.dim))
    b = b / jnp.linalg.norm(b, axis=1, keepdims=True)
    a = jnp.repeat(jnp.array([1.0, -1.0]), width // 2)

    def move(weights, key):
        a, b = weights
        x, y = problem.sample(key if fresh else data, batch)
        z = x @ b.T
        hidden = jnp.maximum(z, 0.0)
        residual = (y - hidden @ a / width) / batch
        slope = (residual[:, None] * (z > 0).astype(x.dtype)).T @ x
        return (a + step * (residual @ hidden), b + step * a[:, None] * slope), None

    return jax.lax.scan(move, (a, b), jax.random.split(data, steps))[0]


def squared_errors(problem: mf.Problem, until: float, step: float, batch: int, fresh: bool, width: int, seeds: int, key):
    """E_x (f_net − f_∞)² of independent networks at the end [seeds], f_∞ the limit in steps of the same length."""
    reduced = mf.reduce(mf.Problem(problem.inputs, problem.target), nodes=63)  # noise of labels moves no limit
    options = {"method": "characteristics", "derivative": "forward"}
    training = mf.Training(step=step)
    reference = mf.solve_reduced(reduced, jnp.array([0.0, until]), training=training, **options)
    steps = round(until / step)
    a, b = jax.lax.map(
        lambda k: trained(problem, k, width, step, steps, batch, fresh), jax.random.split(key, seeds), batch_size=20
    )
    return errors_of(reference, a, b)


def errors_of(reference: mf.Solution, a, b):
    """E_x (f_net − f_∞)² at the end of networks a [S, m], b [S, m, d] with ReLU."""
    length, width, reduced = jnp.linalg.norm(b, axis=-1), a.shape[1], reference.model
    charge, units = a * length, b / length[..., None]
    angle = jnp.arccos(jnp.clip(jnp.einsum("smd,snd->smn", units, units), -1, 1))
    kernel = (jnp.sin(angle) + (np.pi - angle) * jnp.cos(angle)) / (2 * np.pi) * reduced.second_moment / reduced.dim
    energy = jnp.einsum("sm,smn,sn->s", charge, kernel, charge) / width**2
    theta = jax.vmap(lambda rows: reduced.angles_of(rows)[:, 0])(units)
    twice = [
        jnp.repeat(each[:, None], 2, axis=1) for each in (theta, charge / width, energy)
    ]  # for both times of the record
    found = squared_distances(reference, *([each] for each in twice))[0]["predictor_distance"][0]
    return np.asarray(found)[:, -1]
