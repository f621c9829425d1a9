"""Detection: one random draw of every kind of target, and what `reduce` makes of an undeclared function.

The thresholds were set on seeds below 1000; `benchmarks/detection.py` runs the study, here are seeds of their own.
"""

import importlib
import re

import detection_targets as targets
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.errors import ArgumentError
from mfsym.symmetry.evaluation import Sampled
from mfsym.symmetry.subspace import find_subspace

SEED = 5000
SIZES = {"cells": 32, "nodes": 15, "modes": 8}


def turned(dim, seed=0):
    return jnp.asarray(np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0])


@pytest.mark.parametrize("kind", targets.KINDS, ids=lambda kind: kind.__name__)
def test_every_kind(kind):
    drawn = targets.draw(kind, SEED, largest=20)
    found = mf.detect(drawn.fn, drawn.inputs)
    assert targets.mistakes(found, drawn) == []
    assert found.largest_defect < 1e-20
    assert all(each.defect > 1e-6 for each in found.rejected)


@pytest.mark.parametrize(
    ("kind", "evaluation"),
    [
        (targets.block_norms, "axes"),
        (targets.product, "axes"),
        (targets.radial, "noisy"),
        (targets.two_index, "noisy"),
        (targets.odd_single_index, "noisy"),
        (targets.block_norms, "noisy"),
        (targets.block_norms, "callback"),
    ],
)
def test_other_evaluations(kind, evaluation):
    drawn = targets.draw(kind, SEED, evaluation, largest=12)
    assert targets.mistakes(mf.detect(drawn.fn, drawn.inputs), drawn) == []


def test_a_hundred_dimensions():
    rotation = turned(100)
    report = mf.detect(lambda x: 0.7 * jnp.linalg.norm((rotation @ x)[:3]), mf.Gaussian(100))
    assert (report.dim_h, report.parity, report.radial) == (3, "even", True)
    assert report.weights == pytest.approx((0.7,), rel=1e-12)
    assert report.gap > 1e10


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
def test_no_false_symmetry(seed):
    fn, inputs = targets.generic(seed, largest=12)
    report = mf.detect(fn, inputs)
    assert targets.false_symmetries(report) == []
    assert isinstance(report.target, mf.FunctionTarget)
    assert min(each.defect for each in report.rejected) > 1e-3


def test_functions_of_all_directions():
    """Blocks that fill the space, the norm of everything, and a constant."""
    rotation = turned(7)
    blocks = mf.detect(lambda x: jnp.linalg.norm((rotation @ x)[:3]) * jnp.linalg.norm((rotation @ x)[3:]), mf.Gaussian(7))
    assert (blocks.dim_h, blocks.blocks, blocks.block_radial, blocks.angles) == (7, (3, 4), True, 1)
    group = mf.BlockOrthogonal(blocks.blocks, basis=blocks.basis)
    assert mf.symmetry_defect(blocks.target, group, inputs=mf.Gaussian(7)) < 1e-20
    whole = mf.detect(lambda x: 2 * jnp.linalg.norm(x), mf.Sphere(7))
    assert isinstance(whole.target, mf.SubspaceNorm) or whole.dim_h == 0
    assert mf.detect(lambda x: 0 * x[0] + 3, mf.Gaussian(7)).sentence().startswith("f* is constant on the inputs (largest")


def test_the_report_is_a_sentence():
    rotation = turned(30)
    report = mf.detect(lambda x: jnp.linalg.norm((rotation @ x)[:2]), mf.Gaussian(30))
    expected = r"f\* depends on 2 of 30 directions, is even, and is invariant under rotations of them: one angle suffices"
    tests = r" \(largest defect \S+ ± \S+, threshold \S+; a violation on 0\.018 % of the inputs would have been seen\)\."
    assert re.fullmatch(expected + tests, repr(report))
    odd = mf.detect(lambda x: x[0] * jnp.abs(x[1]), mf.Gaussian(3))
    assert "changes its sign under flips of coordinate" in repr(odd)
    assert "the network stays linear" in repr(odd)


def test_the_sentence_names_permutations_once():
    """All swaps of three coordinates are their permutations; a swap of two others stays one."""
    report = mf.detect(lambda x: jnp.sum(jax.nn.softplus(x[:3])) + jnp.sum(jnp.sin(x[3:5] - 1)), mf.Gaussian(7))
    assert "permutations of coordinates" in repr(report) and repr(report).count("swaps of") == 1
    assert len(report.swaps) == 4


def test_what_cannot_be_told_reduces_nothing():
    """Noise hides the position of a jump: the report says that no subspace could be verified."""
    noisy = lambda x: jnp.sign(x[0] + x[1] - 0.5) + 0.05 * targets.noise(x)  # noqa: E731
    report = mf.detect(noisy, mf.Gaussian(5))
    assert not report.verified
    assert not report.rejected[0].holds
    assert "could not be told apart" in repr(report)
    with pytest.raises(mf.NoReductionError, match="could not be told apart"):
        mf.reduce(mf.Problem(mf.Gaussian(5), mf.FunctionTarget(noisy)))


def test_a_jump_beside_a_slope_is_verified():
    report = mf.detect(lambda x: jnp.sign(x[0] + x[1]) + x[0] + x[1], mf.Gaussian(5))
    assert (report.dim_h, report.parity, report.verified) == (1, "odd", True)


@pytest.mark.float32
def test_in_either_precision():
    """A radial target, two directions without symmetry; thresholds follow the floating type."""
    rotation = turned(8).astype(jnp.result_type(float))
    report = mf.detect(lambda x: jnp.linalg.norm((rotation @ x)[:2]), mf.Gaussian(8))
    assert (report.dim_h, report.parity, report.radial) == (2, "even", True)
    plain = mf.detect(lambda x: jnp.tanh((rotation @ x)[0] + 1) + (rotation @ x)[1] ** 2 * x[0], mf.Gaussian(8))
    assert (plain.dim_h, plain.parity, plain.blocks) == (3, None, (1, 1, 1))


@pytest.mark.parametrize("inputs", [mf.Gaussian(9), mf.Sphere(9, 3.0)])
def test_noise_alone_shows_no_direction(inputs):
    """Singular values of noise stay below the threshold, which is not far above them."""
    sampled = Sampled(targets.noise, inputs)
    assert sampled.noisy
    subspace = find_subspace(sampled)
    assert len(subspace.basis) == 0
    assert 0.5 < subspace.singular_values[0] / subspace.threshold < 1


def test_reduce_finds_the_symmetry():
    """An undeclared function gives the equation of the declared target, in rotated coordinates."""
    rotation, dim = turned(8), 8
    cases = [
        (lambda x: 1.5 * jnp.linalg.norm((rotation @ x)[:3]), mf.SubspaceNorm(3, 1.5)),
        (lambda x: jnp.tanh((rotation @ x)[0]) + jnp.abs((rotation @ x)[0]), mf.SingleIndex(lambda z: jnp.tanh(z) + abs(z))),
    ]
    for fn, declared in cases:
        found = mf.reduce(mf.Problem(mf.Gaussian(dim), mf.FunctionTarget(fn)), **SIZES)
        stated = mf.reduce(mf.Problem(mf.Gaussian(dim), mf.Rotated(declared, rotation)), **SIZES)
        np.testing.assert_allclose(jnp.abs(found.coefficients), jnp.abs(stated.coefficients), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.basis.T @ found.basis, stated.basis.T @ stated.basis, atol=1e-9)
    axis = mf.reduce(mf.Problem(mf.Gaussian(4), mf.FunctionTarget(lambda x: jnp.abs(x[0]))), **SIZES)
    assert axis.basis is None


def test_reduce_refuses_with_reasons():
    target = mf.FunctionTarget(lambda x: jnp.tanh(x[0] + 1) * x[1] + x[2] ** 2 + jnp.tanh(x[3] - x[1] * x[0]))
    problem = mf.Problem(mf.Gaussian(6), target)
    with pytest.raises(mf.NoReductionError, match="depends on 4 of 6 directions, is neither even nor odd"):
        mf.reduce(problem)


def test_a_stated_parity_is_not_looked_at_again(monkeypatch):
    monkeypatch.setattr(importlib.import_module("mfsym.reduce"), "detect", lambda *_: pytest.fail("detection ran"))
    reduced = mf.reduce(mf.Problem(mf.Gaussian(6), mf.FunctionTarget(lambda x: x[0] * jnp.abs(x[1]), parity="odd")))
    assert type(reduced).__name__ == "OddReduction"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: jnp.max(x[jnp.array([1, 3])]), "BlockReduction"),
        (lambda x: jnp.abs(x[4]) + 2 * jnp.linalg.norm(x[:2]), "BlockReduction"),
        (lambda x: x[2] ** 3 + x[0], "OddReduction"),
        (lambda x: jnp.linalg.norm(x[1:4]), "AngleReduction"),
    ],
    ids=["two coordinates", "two norms", "odd", "norm"],
)
def test_reduce_goes_on_with_what_was_found(function, kind):
    problem = mf.Problem(mf.Gaussian(6), mf.FunctionTarget(function))
    sizes = {} if kind == "OddReduction" else {"cells": 8, "nodes": 7, "modes": 4}
    reduced = mf.reduce(problem, **sizes)
    assert type(reduced).__name__ == kind
    if kind == "BlockReduction":  # the angles of a cloud are those to the directions that were found
        cloud = mf.sphere_cloud(problem, width=64, key=jax.random.key(0))
        theta, _ = mf.project(cloud, reduced)
        found = mf.detect(problem.target, problem.inputs).basis
        along = jnp.sum((cloud.b @ found.T) ** 2, axis=1)
        np.testing.assert_allclose(1 - jnp.prod(jnp.sin(theta) ** 2, axis=1), along, atol=1e-12)


def test_under_a_trace_the_structure_must_be_stated():
    class Scaled(eqx.Module):
        scale: jax.Array

        def __call__(self, x):
            return self.scale * jnp.linalg.norm(x[:2])

    def first_coefficient(scale):
        return mf.reduce(mf.Problem(mf.Gaussian(5), mf.FunctionTarget(Scaled(scale))), **SIZES).coefficients[0]

    for call in (
        jax.jit(first_coefficient),
        jax.grad(first_coefficient),
        jax.jit(lambda _: first_coefficient(jnp.ones(()))),
    ):
        with pytest.raises(mf.NoReductionError, match=r"trace.*State the structure"):
            call(jnp.ones(()))
    report = mf.detect(Scaled(jnp.asarray(2.0)), mf.Gaussian(5))
    assert isinstance(report.target, mf.SubspaceNorm)


@pytest.mark.slow
def test_arrays_inside_a_detected_function_stay_leaves():
    """A single index found by detection is differentiated through its own parameters."""

    class Steep(eqx.Module):
        slope: jax.Array

        def __call__(self, x):
            return jnp.tanh(self.slope * (x[0] + x[1])) + 0.1 * (x[0] + x[1]) ** 2

    report = mf.detect(Steep(jnp.asarray(0.8)), mf.Gaussian(4))
    problem = mf.Problem(mf.Gaussian(4), report.target)
    value = lambda p: mf.reduce(p, **SIZES).coefficients[-1]  # noqa: E731
    slope_of = lambda p: p.target.target.g.arrays.function.fn.arrays.slope  # noqa: E731
    gradient = slope_of(eqx.filter_grad(value)(problem))
    step = 1e-5
    moved = [value(eqx.tree_at(slope_of, problem, jnp.asarray(0.8 + move))) for move in (step, -step)]
    assert float(gradient) == pytest.approx(float((moved[0] - moved[1]) / (2 * step)), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mf.detect(jnp.sum, mf.Empirical(np.ones((3, 2)))), "inputs"),
        (lambda: mf.detect(lambda x: x, mf.Gaussian(3)), "fn"),
        (lambda: mf.detect(lambda x: jnp.log(x[0]), mf.Gaussian(3)), "finite"),
        (lambda: mf.detect(mf.LinearTarget(np.ones(2)), mf.Gaussian(3)), "w"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
