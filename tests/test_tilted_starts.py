"""Starts with a density of the angle to H, where H has several blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import mfsym as mf
from mfsym.crosscheck import judge
from mfsym.reduced.angles.coordinates import Blocks, to_point
from mfsym.reduced.several.tilted import tilted_cells, tilted_labels

START = mf.AngularStart(lambda theta: jnp.exp(2 * jnp.cos(2 * theta)), 0.6, 0.9)
SIGNED, RADIAL = Blocks((1, 1, 6), (True, True)), Blocks((1, 2, 5), (False, False))


def law(theta, dim_h, dim_perp):
    return np.cos(theta) ** (dim_h - 1) * np.sin(theta) ** (dim_perp - 1) * np.exp(2 * np.cos(2 * theta))


def mean_of_squares(dim_h, dim_perp):
    """E cos²θ of the start, by scipy."""
    over, under = (
        scipy.integrate.quad(lambda t, p=p: np.cos(t) ** p * law(t, dim_h, dim_perp), 0, np.pi / 2, epsabs=1e-13)[0]
        for p in (2, 0)
    )
    return over / under


@pytest.mark.parametrize("blocks", [RADIAL, pytest.param(SIGNED, marks=pytest.mark.slow)], ids=str)
def test_cells_and_labels_have_the_density(blocks):
    dim_perp = blocks.dims[-1]
    expected = mean_of_squares(8 - dim_perp, dim_perp)
    counts, cells = (31, 31), (24, 32)
    weights = np.exp(tilted_labels(START.density, blocks, True, counts) + blocks.log_rule(counts))
    points = np.asarray(to_point(jnp.asarray(blocks.nodes(counts))))
    assert weights.sum() == pytest.approx(1, abs=1e-13)
    assert weights @ (1 - points[:, -1] ** 2) == pytest.approx(expected, abs=1e-7)
    found = np.asarray(tilted_cells(START.density, blocks, True, cells))
    ends = [blocks.end(axis) for axis in (0, 1)]

    def density(second, first):
        laws = [
            np.abs(np.cos(t)) ** (d - 1) * np.sin(t) ** (r - 1) for t, d, r in zip((first, second), dims, rests, strict=True)
        ]
        height = np.sin(first) * np.sin(second)
        return laws[0] * laws[1] * np.exp(2 - 4 * height**2)

    dims, rests = blocks.dims[:2], (blocks.rest(0), blocks.rest(1))
    total, _ = scipy.integrate.dblquad(density, 0, ends[0], 0, ends[1], epsabs=1e-12)
    for i, j in ((3, 20), (11, 15)):
        box = (i * ends[0] / 24, (i + 1) * ends[0] / 24, j * ends[1] / 32, (j + 1) * ends[1] / 32)
        exact, _ = scipy.integrate.dblquad(density, *box, epsabs=0)
        assert found[i, j] == pytest.approx(exact / total, rel=1e-6)


@pytest.mark.slow
def test_one_block_of_several_is_the_line():
    """Both codes have one start on one angle."""
    problems = [mf.Problem(mf.Gaussian(12), f, start=START) for f in (mf.SubspaceNorm(3), mf.BlockNorms((3,)))]
    line, several = (mf.reduce(problem, cells=16, nodes=15, modes=4) for problem in problems)
    np.testing.assert_allclose(several.probability, line.cell_masses[0] / 0.6, rtol=1e-6, atol=1e-11)
    np.testing.assert_allclose(several.labels.log_probability, line.labels.log_probability, atol=1e-9)
    filling = Blocks((1, 2), (False,))  # no angle to the whole space
    np.testing.assert_allclose(tilted_cells(START.density, filling, False, (8,)), filling.probabilities((8,)), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "target", [mf.BlockNorms((1, 2)), mf.MultiIndex(lambda z: z[0] * jnp.abs(z[1]), 2), mf.BlockNorms((1,))], ids=repr
)
def test_clouds_have_the_density(target):
    """Angles to H, and inside H uniform directions, within four standard errors."""
    cloud = mf.sphere_cloud(mf.Problem(mf.Gaussian(8), target, start=START), width=20_000, key=jax.random.key(0))
    dim_h, b = len(target.subspace(8)), np.asarray(cloud.b / jnp.linalg.norm(cloud.b, axis=1, keepdims=True))
    squares = np.sum(b[:, :dim_h] ** 2, axis=1)
    assert abs(squares.mean() - mean_of_squares(dim_h, 8 - dim_h)) < 4 * squares.std() / np.sqrt(len(b))
    for axis in (0, dim_h - 1, 7):
        assert abs(b[:, axis].mean()) < 4 * b[:, axis].std() / np.sqrt(len(b))
        share = (squares if axis < dim_h else 1 - squares).mean() / (dim_h if axis < dim_h else 8 - dim_h)
        assert abs(np.mean(b[:, axis] ** 2) - share) < 4 * np.std(b[:, axis] ** 2) / np.sqrt(len(b))


@pytest.mark.slow
def test_both_routes_agree_from_such_a_start():
    """|x_1| + ‖x_{2:3}‖, d = 8: clouds against a grid and labels; a uniform start is told apart, by the laws as well."""
    target, ts, sizes = mf.BlockNorms((1, 2)), jnp.array([0.0, 1.0]), {"cells": 16, "nodes": 15, "modes": 6}
    problem = mf.Problem(mf.Gaussian(8), target, start=START)
    report = mf.cross_check(problem, ts, widths=(64, 128, 256), seeds=6, **sizes)
    print(report)
    assert report.verdict != "disagree"
    name = "sliced_w2_squared_plus"
    found = report.judgements["characteristics"].comparisons[name]
    assert np.all(np.abs(found.limit) < 0.01) and abs(found.spread_slope + 1) < 0.5
    uniform = mf.Problem(mf.Gaussian(8), target, start=mf.SphereStart(0.6, 0.9))
    other = judge(mf.solve_reduced(mf.reduce(uniform, **sizes), ts, method="characteristics"), report.runs)
    assert other.verdict == "disagree" and other.comparisons[name].verdict == "disagree"
