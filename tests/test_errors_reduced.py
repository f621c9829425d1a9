"""Wrong arguments on the reduced route: every message names the argument, what was expected and what came."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.problem.units import AbstractUnit


def norm(**options):
    return mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2), **options)


def solve(ts=(0.0, 1.0), problem=None, **options):
    reduced = mf.reduce(norm() if problem is None else problem, cells=8, nodes=7, modes=4)
    return mf.solve_reduced(reduced, ts if isinstance(ts, jax.Array) else np.asarray(ts), **options)


def negative_density(theta):
    return jnp.cos(theta) - 0.5


class Cubic(AbstractUnit):
    """A unit of which nothing is known."""

    def __call__(self, neuron, x):
        return neuron.a * jnp.sum(neuron.b * x) ** 3


class Quartic(type(mf.SquareLoss()).__bases__[0]):
    """A loss without a spectral form."""

    def __call__(self, prediction, value):
        return (prediction - value) ** 4

    def residual(self, prediction, value):
        return -4 * (prediction - value) ** 3


# What is called, the argument that the message must name, and what it must say came.
WRONG = {
    "dim 0": (lambda: mf.Gaussian(0), "dim", "0"),
    "dim is a float": (lambda: mf.Gaussian(3.0), "dim", "3.0"),
    "dim is a bool": (lambda: mf.Sphere(True), "dim", "True"),
    "dim is text": (lambda: mf.Gaussian("3"), "dim", "'3'"),
    "scale 0": (lambda: mf.Gaussian(3, 0.0), "scale", "0.0"),
    "scale negative": (lambda: mf.Gaussian(3, -1), "scale", "-1"),
    "scale nan": (lambda: mf.Gaussian(3, float("nan")), "scale", "nan"),
    "scale complex": (lambda: mf.Gaussian(3, 1j), "scale", "1j"),
    "scale is an array": (lambda: mf.Gaussian(3, np.ones(2)), "scale", "[1.0, 1.0]"),
    "radius negative": (lambda: mf.Sphere(3, -2.0), "radius", "-2.0"),
    "data without rows": (lambda: mf.Empirical(np.zeros((0, 3))), "x", "0"),
    "data of one axis": (lambda: mf.Empirical(np.zeros(3)), "x", "[0.0, 0.0, 0.0]"),
    "data with nan": (lambda: mf.Empirical([[np.nan, 1.0]]), "x", "nan"),
    "data are text": (lambda: mf.Empirical([["a"]]), "x", "'a'"),
    "dim_h 0": (lambda: mf.SubspaceNorm(0), "dim_h", "0"),
    "dim_h negative": (lambda: mf.SubspaceNorm(-2), "dim_h", "-2"),
    "dim_h too large": (lambda: mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(4)), "target.dim_h", "4"),
    "target scale infinite": (lambda: mf.SubspaceNorm(2, np.inf), "scale", "inf"),
    "g is no function": (lambda: mf.SingleIndex(3.0), "g", "3.0"),
    "g returns a vector": (lambda: mf.SingleIndex(lambda z: jnp.stack([z, z])), "g", "shape=(2,)"),
    "g fails": (lambda: mf.SingleIndex(lambda z: z[0]), "g", "fails with"),
    "g is complex": (lambda: mf.SingleIndex(lambda z: jax.lax.complex(z, z)), "g", "complex"),
    "kink nan": (lambda: mf.SingleIndex(jnp.abs, (np.nan,)), "kinks", "nan"),
    "w of another length": (lambda: mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 2.0])), "target.w", "(2,)"),
    "w is 0": (lambda: mf.LinearTarget(np.zeros(3)), "w", "[0.0, 0.0, 0.0]"),
    "fn returns a vector": (lambda: mf.Problem(mf.Gaussian(3), mf.FunctionTarget(lambda x: x)), "unit", "of shape []"),
    "unknown parity": (lambda: mf.FunctionTarget(jnp.sum, parity="none"), "parity", "'none'"),
    "teacher of another dimension": (
        lambda: mf.Problem(mf.Gaussian(3), mf.Teacher(mf.Particles([1.0], [[1.0, 2.0]]))),
        "target.cloud",
        "2",
    ),
    "teacher without a cloud": (lambda: mf.Teacher([1.0]), "cloud", "list"),
    "teacher with another unit": (lambda: mf.Teacher(mf.Particles([1.0], [[1.0]]), "relu"), "unit", "str"),
    "slope nan": (lambda: mf.LeakyReLU(np.nan), "slope", "nan"),
    "mass negative": (lambda: mf.SphereStart(-0.5), "mass_plus", "-0.5"),
    "masses 0": (lambda: mf.SphereStart(0.0, 0.0), "mass_plus", "0"),
    "density is no function": (lambda: mf.AngularStart(1.0), "density_of_angle", "1.0"),
    "density is a vector": (lambda: mf.AngularStart(lambda t: jnp.ones(3)), "density_of_angle", "shape=(3,)"),
    "density negative": (
        lambda: mf.reduce(norm(start=mf.AngularStart(negative_density))),
        "density_of_angle",
        "array of shape",
    ),
    "density 0": (
        lambda: mf.reduce(norm(start=mf.AngularStart(lambda t: 0.0 * t)), cells=8),
        "density_of_angle",
        "array of shape",
    ),
    "start scale 0": (lambda: mf.GaussianStart(0.0), "scale_a", "0.0"),
    "inputs are an integer": (lambda: mf.Problem(3, mf.SubspaceNorm(2)), "inputs", "int"),
    "target is a function": (lambda: mf.Problem(mf.Gaussian(3), jnp.sum), "target", "function"),
    "unit is a class": (lambda: norm(unit=mf.ReLU), "unit", "ModuleMeta"),
    "loss is text": (lambda: norm(loss="square"), "loss", "str"),
    "start is a number": (lambda: norm(start=0.5), "start", "float"),
    "reduce something else": (lambda: mf.reduce(mf.Gaussian(3)), "problem", "Gaussian"),
    "too few cells": (lambda: mf.reduce(norm(), cells=7), "cells", "7"),
    "cells as a float": (lambda: mf.reduce(norm(), cells=100.0), "cells", "100.0"),
    "too few nodes": (lambda: mf.reduce(norm(), nodes=5), "nodes", "5"),
    "even nodes": (lambda: mf.reduce(norm(), nodes=64), "nodes", "64"),
    "no modes": (lambda: mf.reduce(norm(), modes=0), "modes", "0"),
    "integer dtype": (lambda: mf.reduce(norm(), dtype=jnp.int32), "dtype", "int32"),
    "solve a problem": (lambda: mf.solve_reduced(norm(), jnp.array([0.0, 1.0])), "reduced", "Problem"),
    "one time": (lambda: solve([0.0]), "ts", "[0.0]"),
    "times of two axes": (lambda: solve([[0.0, 1.0]]), "ts", "[[0.0, 1.0]]"),
    "first time is not 0": (lambda: solve([0.5, 1.0]), "ts", "[0.5, 1.0]"),
    "times repeat": (lambda: solve([0.0, 1.0, 1.0]), "ts", "[0.0, 1.0, 1.0]"),
    "times with nan": (lambda: solve([0.0, np.nan]), "ts", "nan"),
    "unknown method": (lambda: solve(method="euler"), "method", "'euler'"),
    "unknown derivative": (lambda: solve(derivative="both"), "derivative", "'both'"),
    "rtol 0": (lambda: solve(rtol=0.0), "rtol", "0.0"),
    "atol negative": (lambda: solve(atol=-1.0), "atol", "-1.0"),
    "no steps": (lambda: solve(max_steps=0), "max_steps", "0"),
    "training is a dict": (lambda: solve(training={}), "training", "dict"),
    "initial of another size": (lambda: solve(initial=jnp.ones((2, 9))), "initial", "array of shape (2, 9)"),
    "initial of another method": (
        lambda: solve(initial=jnp.ones((2, 8)), method="characteristics"),
        "initial",
        "array of shape (2, 8)",
    ),
    "initial negative": (lambda: solve(initial=-jnp.ones((2, 8))), "initial", "array of shape (2, 8)"),
    "initial nan": (lambda: solve(initial=jnp.nan * jnp.ones((2, 8))), "initial", "array of shape (2, 8)"),
    "error with initial": (lambda: solve(initial=jnp.ones((2, 8)), error=True), "error", "True"),
    "stack nothing": (lambda: mf.stack([]), "reductions", "[]"),
    "stack different sizes": (
        lambda: mf.stack([mf.reduce(norm(), cells=c, nodes=7, modes=4) for c in (8, 9)]),
        "reductions",
        "(False, 8",
    ),
    "density of a cloud": (lambda: mf.density(3, jnp.zeros(1)), "solution", "int"),
    "project something": (lambda: mf.project(3, None), "cloud", "int"),
}


def outcomes():
    """What every call of `WRONG` raises: the names of the class and of its base, and the message."""
    seen = {}
    for case, (call, _, _) in WRONG.items():
        try:
            call()
            seen[case] = ("nothing", "")
        except Exception as error:
            seen[case] = (type(error).__name__, str(error))
    return seen


@pytest.fixture(scope="module")
def without_type_checker():
    """`outcomes` in a process of its own, as users have it: under pytest beartype speaks first."""
    script = "import json, test_errors_reduced; print(json.dumps(test_errors_reduced.outcomes()))"
    options = {"cwd": Path(__file__).parent, "capture_output": True, "text": True}
    run = subprocess.run([sys.executable, "-c", script], **options)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case, without_type_checker):
    _, argument, came = WRONG[case]
    raised, message = without_type_checker[case]
    assert raised == "ArgumentError", message
    assert message.startswith(f"Argument `{argument}` must be "), message
    assert ", but is " in message and came in message.split(", but is ")[1], message
    assert message.endswith("."), message  # the remedy is a sentence


def test_they_are_value_errors():
    assert issubclass(mf.ArgumentError, ValueError) and issubclass(mf.NoReductionError, mf.ArgumentError)
    assert issubclass(mf.SolveError, RuntimeError)


REFUSED = {
    "a function": (
        lambda: mf.Problem(
            mf.Gaussian(6), mf.FunctionTarget(lambda x: jnp.tanh(x[0] + 1) * x[1] + x[2] ** 2 + jnp.sin(x[3]))
        ),
        "no class of targets",
    ),
    "a teacher": (
        lambda: mf.Problem(mf.Gaussian(2), mf.Teacher(mf.Particles([1.0], [[1.0, 2.0]]))),
        "Teacher declares no structure",
    ),
    "a data set": (
        lambda: mf.Problem(mf.Empirical(np.eye(6)), mf.SubspaceNorm(2)),
        "Empirical are not invariant under rotations",
    ),
    "another loss and start": (
        lambda: norm(loss=Quartic(), start=mf.AngularStart(jnp.cos)),
        "not from the start AngularStart",
    ),
    "another unit": (lambda: norm(unit=Cubic()), "Cubic is no function of b·x + β"),
    "one dimension": (lambda: mf.Problem(mf.Gaussian(1), mf.SingleIndex(jnp.tanh)), "d = 1"),
    "no angle and a Gaussian start": (
        lambda: mf.Problem(mf.Gaussian(2), mf.SubspaceNorm(2), start=mf.GaussianStart()),
        "GaussianStart is not balanced",
    ),
}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [({"loss": Quartic()}, "square loss, not Quartic"), ({"unit": Cubic()}, "Cubic is not 1-homogeneous")],
)
def test_no_angle_follows_other_units_and_losses(parts, reason):
    with pytest.raises(mf.NoReductionError, match=reason):
        mf.reduce(norm(**parts), structure="angle")


@pytest.mark.parametrize("case", REFUSED)
def test_problems_without_a_reduction(case):
    build, reason = REFUSED[case]
    with pytest.raises(mf.NoReductionError) as caught:
        mf.reduce(build())
    message = str(caught.value)
    assert message.startswith("This problem has no reduced equation here: ") and reason in message
    assert "solve_particles" in message  # the way out


def test_traced_numbers_pass_where_they_cannot_be_checked():
    @jax.jit
    def mass(scale):
        problem = mf.Problem(mf.Gaussian(6, scale), mf.SubspaceNorm(2, scale), start=mf.SphereStart(scale, scale))
        return jnp.sum(mf.reduce(problem, cells=8, nodes=7, modes=4).cell_masses)

    assert float(mass(jnp.asarray(0.4))) == pytest.approx(0.8)
    with pytest.raises(mf.ArgumentError, match=r"traced array of shape \(2,\)"):
        jax.jit(lambda scale: mf.Gaussian(6, scale).scale)(jnp.ones(2))
