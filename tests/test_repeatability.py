"""Equal keys give equal bits, in one process and in another; new numbers compile nothing."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import optax
import pytest

import mfsym as mf

TIMES = np.array([0.0, 0.5, 1.0])
SIZES = {"cells": 16, "nodes": 15, "modes": 8}


def problem(scale=1.0, dim=4, dim_h=2, **options):
    return mf.Problem(mf.Gaussian(dim), mf.SubspaceNorm(dim_h, scale), **options)


def cloud(seed=0, scale=1.0, **options):
    return mf.sphere_cloud(problem(scale), width=8, key=jax.random.key(seed), **options)


def reduced(scale=1.0, dim=4, dim_h=2):
    return mf.reduce(problem(scale, dim, dim_h), **SIZES)


def odd(scale=1.0):
    return mf.reduce(mf.Problem(mf.Gaussian(3, scale), mf.LinearTarget([1.0, 0.0, 0.0])), structure="odd")


# Every solver and sampler as a function of a number that changes values and no shape, and of a seed.
COMPUTED = {
    "grid": lambda v, seed: mf.solve_reduced(reduced(v), v * TIMES, rtol=1e-5 * v, derivative="forward"),
    "characteristics": lambda v, seed: mf.solve_reduced(
        reduced(v), v * TIMES, method="characteristics", rtol=1e-6 * v, atol=1e-7 * v, derivative="forward"
    ),
    "hyperboloid": lambda v, seed: mf.solve_reduced(
        odd(v), v * TIMES, method="hyperboloid", rtol=1e-8 * v, derivative="forward"
    ),
    "closed": lambda v, seed: mf.solve_reduced(odd(v), v * TIMES),
    "point": lambda v, seed: mf.solve_reduced(mf.reduce(problem(v, 2, 2)), v * TIMES),
    "moments": lambda v, seed: mf.descend_moments(odd(v), 4, 0.1 * v),
    "particles": lambda v, seed: mf.solve_particles(
        problem(v), cloud(seed), v * TIMES, rtol=1e-4 * v, atol=1e-6 * v, derivative="forward"
    ),
    "fresh samples": lambda v, seed: mf.solve_particles(
        problem(v), cloud(seed), v * TIMES, samples=4, step=0.5 * v, key=jax.random.key(seed + 1), derivative="forward"
    ),
    "heavy ball": lambda v, seed: mf.solve_particles(
        problem(v), cloud(seed), v * TIMES, training=mf.Training(v, 2 * v, 0.1 * v, 0.5 * v, 0.5 * v), derivative="forward"
    ),
    "descend": lambda v, seed: mf.descend(problem(v), cloud(seed), 4, learning_rate=0.1 * v),
    "descend on samples": lambda v, seed: mf.descend(
        problem(v), cloud(seed), 4, learning_rate=0.1 * v, samples=4, key=jax.random.key(seed + 1)
    ),
    "sphere cloud": lambda v, seed: cloud(seed, v),
    "quasi-random cloud": lambda v, seed: cloud(seed, v, directions="quasi"),
    "gaussian cloud": lambda v, seed: mf.gaussian_cloud(
        problem(v, start=mf.GaussianStart(v, 2 * v)), width=8, key=jax.random.key(seed)
    ),
    "inputs": lambda v, seed: [
        law.sample(jax.random.key(seed), 4) for law in (mf.Gaussian(3, v), mf.Sphere(3, v), mf.Empirical(v * np.eye(3)))
    ],
    "defect": lambda v, seed: mf.symmetry_defect(cloud(seed), mf.BlockOrthogonal((2, 2)), inputs=mf.Gaussian(4, v)),
}


def bits(computed) -> list[str]:
    """Every array of a result, byte by byte."""
    return [np.asarray(leaf).tobytes().hex() for leaf in jax.tree.leaves(computed) if eqx.is_array(leaf)]


def all_bits() -> dict[str, list[str]]:
    return {name: bits(compute(1.0, 0)) for name, compute in COMPUTED.items()}


class Compiled(logging.Handler):
    """Names of what jax compiles."""

    def __init__(self):
        logging.Handler.__init__(self)
        self.names = []

    def emit(self, record):
        words = record.getMessage().split()
        if words[:1] == ["Compiling"]:
            self.names.append(words[1])


@pytest.fixture
def compiled():
    handler, logger = Compiled(), logging.getLogger("jax")
    logger.addHandler(handler)
    with jax.log_compiles():
        yield handler.names
    logger.removeHandler(handler)


LONG = {"hyperboloid", "heavy ball", "fresh samples", "descend on samples", "moments", "defect"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in COMPUTED])
def test_new_numbers_compile_nothing_and_equal_keys_give_equal_bits(name, compiled):
    compute = COMPUTED[name]
    first = bits(compute(1.0, 0))
    seen = len(compiled)
    assert bits(compute(1.0, 0)) == first
    other = bits(compute(1.25, 1))
    assert compiled[seen:] == [] and other != first


@pytest.mark.slow
def test_dimensions_in_a_stack_compile_nothing(compiled):
    solve = jax.jit(jax.vmap(lambda r: mf.solve_reduced(r, TIMES, derivative="forward").risk[-1]))
    stacks = [mf.stack([reduced(1.0, d, k) for d, k in pair]) for pair in ([(4, 2), (6, 3)], [(9, 4), (20, 5)])]
    first = solve(stacks[0])
    seen = len(compiled)
    second = solve(stacks[1])
    assert [name for name in compiled[seen:] if "solve" in name or "run" in name or "lambda" in name] == []
    assert not np.any(np.asarray(first) == np.asarray(second))


@pytest.mark.slow
def test_another_process_gives_the_same_bits():
    script = "import json, test_repeatability as t; print(json.dumps(t.all_bits()))"
    options = {"cwd": Path(__file__).parent, "capture_output": True, "text": True}
    run = subprocess.run([sys.executable, "-c", script], **options)
    assert run.returncode == 0, run.stderr
    there, here = json.loads(run.stdout), all_bits()
    assert {name for name in here if here[name] != there[name]} == set()


def test_other_keys_and_optimisers_give_other_clouds():
    same, other = (mf.descend(problem(), cloud(), 2, optimiser=rule).final for rule in (optax.sgd(0.1), optax.sgd(0.2)))
    assert bits(same) != bits(other)
