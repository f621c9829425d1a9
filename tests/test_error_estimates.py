"""Stated errors of the reduced route are promises: quadratures of targets and `solution.error` against known truth."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from scipy.stats import norm

import mfsym as mf
from mfsym.reduced.flow import _remainder
from mfsym.reduced.rules.panels import quadrature_of

SMALL = {"cells": 16, "nodes": 7, "modes": 32}


class Step(eqx.Module):
    """1[x > c], whose place is an array: all steps share compiled code."""

    place: jax.Array

    def __call__(self, x):
        return jnp.where(x > self.place, 1.0, 0.0)


def step(place):
    return mf.SingleIndex(Step(jnp.asarray(place)))


def start_of(reduced, parts=None):
    """½E f*² from the three numbers that a reduction keeps of its target."""
    coefficients, floor, tail = (reduced.coefficients, reduced.floor, reduced.tail) if parts is None else parts
    return floor + tail + 0.5 * jnp.sum(coefficients**2)


def test_undeclared_jumps_are_found():
    """½P(x_1 > c) to ten digits, where panels that ignore the jump give four."""
    for place in (0.5, 2.0, -1.2345):
        reduced = mf.reduce(mf.Problem(mf.Gaussian(10), step(place)), **SMALL)
        assert float(start_of(reduced)) == pytest.approx(norm.sf(place) / 2, rel=1e-10)
        assert abs(float(start_of(reduced, reduced.check) - start_of(reduced))) < 1e-10


@pytest.mark.parametrize(
    ("g", "places"),
    [
        (lambda x: jnp.where(jnp.abs(x) < 0.1, 1.0, 0.0), (-0.1, 0.1)),
        (lambda x: jnp.sign(x - 0.5), (0.5,)),
        (lambda x: jax.nn.relu(x - 1), (1.0,)),
        (lambda x: jnp.floor(x), range(-5, 6)),
        (lambda x: jnp.where(jnp.abs(x - 0.371) < 0.02, x, 1.0), (0.351, 0.391)),
    ],
)
def test_panels_end_where_a_function_is_not_smooth(g, places):
    for inputs in (mf.Gaussian(7, 1.1), mf.Sphere(7, 2.0)):
        breaks = np.asarray(quadrature_of(mf.SingleIndex(g), inputs).breaks[0])
        for place in places:
            if abs(place) < 2.0 or isinstance(inputs, mf.Gaussian):
                assert np.min(np.abs(breaks - place)) < 1e-6, place


def test_a_smooth_function_costs_no_panels():
    breaks = quadrature_of(mf.SingleIndex(lambda x: x**2 + 0.3 * x), mf.Gaussian(7)).breaks
    assert breaks.shape == (2, 1)


def test_a_hidden_jump_is_stated():
    """Under jit nobody can look for the jump: the two rules disagree by more than either errs, in 19 of 20 places."""

    @jax.jit
    def both(place):
        reduced = mf.reduce(mf.Problem(mf.Gaussian(10), step(place)), **SMALL)
        return start_of(reduced), start_of(reduced, reduced.check)

    places = np.random.default_rng(0).uniform(-1.5, 1.5, 20)
    found = np.array([both(jnp.asarray(place)) for place in places])
    error, stated = np.abs(found[:, 0] - norm.sf(places) / 2), np.abs(found[:, 1] - found[:, 0])
    print(f"errors {error.max():.1e} at most, stated / error {np.median(stated / error):.1f} in the median")
    assert np.sum(error <= stated) >= 19 and np.max(error) > 1e-8 and np.median(stated / error) < 30


def test_fast_growth_is_followed():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(10), mf.SingleIndex(lambda x: jnp.exp(4 * x))), **SMALL)
    assert float(start_of(reduced)) == pytest.approx(np.exp(32) / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("g", "sentence"),
    [
        (lambda x: jnp.exp(x**2 / 4), "has not decayed"),
        (lambda x: jnp.sin(x) / x, "f\\* is NaN at x_1 = 0"),
        (lambda x: jnp.sqrt(x), "f\\* is NaN at x_1 = -"),
        (lambda x: jnp.log(x), "f\\* is infinite at x_1 = 0"),
    ],
)
def test_targets_without_values_or_second_moment(g, sentence):
    with pytest.raises(mf.ArgumentError, match=sentence):
        mf.reduce(mf.Problem(mf.Gaussian(5), mf.SingleIndex(g)), **SMALL)


def test_values_are_asked_for_only_where_inputs_come():
    mf.Problem(mf.Sphere(5, 0.5), mf.SingleIndex(lambda x: jnp.log(1 + x)))
    with pytest.raises(mf.ArgumentError, match="x_1 = 0, x_2 = 0"):
        mf.Problem(mf.Gaussian(5), mf.MultiIndex(lambda z: z[0] * jnp.sin(z[1]) / z[1], 2))


@pytest.mark.slow
def test_a_jump_in_two_coordinates_is_stated():
    """½P(x_1 > ½): tensor rules in the angles cannot follow the jump, and their difference says by how much."""
    target = mf.MultiIndex(lambda z: jnp.where(z[0] > 0.5, 1.0, 0.0), 2)
    reduced = mf.reduce(mf.Problem(mf.Gaussian(6), target), cells=8, nodes=7, modes=2)
    error = abs(float(start_of(reduced)) - norm.sf(0.5) / 2)
    stated = abs(float(start_of(reduced, reduced.check) - start_of(reduced)))
    print(f"error {error:.1e}, stated {stated:.1e}")
    assert 1e-8 < error <= stated < 1e-2


def test_what_is_missing_where_halving_does_not_help():
    """Risks of sign(x_1 x_2), d = 10, at t = 20, 40, 60, 100 on (12, 16), (24, 32) and (48, 64) cells; by labels .2018,
    .1905, .1729: the last change is too small by up to 20 times."""
    quarter, half, whole = jnp.array(
        [
            [0.19782598, 0.18048898, 0.17102755, 0.16150001],
            [0.1992329, 0.18111489, 0.16790121, 0.15193845],
            [0.20070673, 0.18365131, 0.16812179, 0.15117386],
        ]
    )
    times = jnp.array([20.0, 40.0, 60.0, 100.0])
    missing = _remainder(jnp.abs(whole - half), jnp.abs(half - quarter), times)
    error = np.abs(whole[:3] - np.array([0.20175766, 0.19047972, 0.17292494]))
    assert np.all(error <= missing[:3]) and np.all(missing[:3] <= 30 * error)
    assert np.all(missing >= jnp.abs(whole - half))


class Member(NamedTuple):
    """A problem of the table: its target, ½E f*² in closed form or by scipy, inputs and sizes."""

    name: str
    target: Callable[[], Any]
    half_energy: float
    dim: int


def _single(name, g, dim, half_energy):
    return Member(name, lambda: mf.SingleIndex(g), half_energy, dim)


RADIAL = [
    Member(f"norm {dim_h} in {dim}", functools.partial(mf.SubspaceNorm, dim_h, scale), scale**2 * dim_h / 2, dim)
    for dim, dim_h, scale in (
        (3, 1, 1.0), (3, 2, 1.0), (5, 1, 0.5), (5, 4, 1.0), (8, 2, 1.0), (8, 7, 0.7), (12, 3, 2.0),
        (20, 1, 1.0), (20, 10, 0.5), (30, 5, 1.0), (40, 2, 1.0), (60, 59, 0.3),
    )
]  # fmt: skip
SIGNED = [
    _single("relu", jax.nn.relu, 4, 0.25),
    _single("square", lambda x: x**2, 6, 1.5),
    _single("linear", lambda x: x, 10, 0.5),
    _single("absolute value", jnp.abs, 20, 0.5),
    _single("sign of x − ½", lambda x: jnp.sign(x - 0.5), 3, 0.5),
    _single("step at 2", lambda x: jnp.where(x > 2, 1.0, 0.0), 10, norm.sf(2) / 2),
    _single("box", lambda x: jnp.where(jnp.abs(x) < 0.1, 1.0, 0.0), 3, 0.5 - norm.sf(0.1)),
    _single("shifted relu", lambda x: jax.nn.relu(x - 1), 30, (2 * norm.sf(1) - norm.pdf(1)) / 2),
    _single("cosine", jnp.cos, 8, (1 + np.exp(-2)) / 4),
    _single("tanh of x + 1", lambda x: jnp.tanh(x + 1), 5, problems.gaussian_mean(lambda z: np.tanh(z + 1) ** 2) / 2),
    _single("softplus", jax.nn.softplus, 12, problems.gaussian_mean(lambda z: np.logaddexp(0, z) ** 2) / 2),
]
TIMES = jnp.array([0.0, 0.5, 2.0, 8.0])
SIZES = {"radial": {"cells": 64, "nodes": 31, "modes": 16}, "signed": {"cells": 96, "nodes": 63, "modes": 16}}
FINE = {"radial": {"cells": 64, "nodes": 127, "modes": 64}, "signed": {"cells": 96, "nodes": 255, "modes": 64}}


def outcome(member: Member, kind: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Errors and stated errors of risk, masses and alignments at every time, [5, T] each.

    The truth is ½E f*² at time 0, and a run by characteristics with four times the labels and modes.
    """
    problem = mf.Problem(mf.Gaussian(member.dim), member.target())
    run = mf.solve_reduced(mf.reduce(problem, **SIZES[kind]), TIMES, method=method, error=True)
    fine = mf.reduce(problem, **FINE[kind])
    truth = mf.solve_reduced(fine, TIMES, method="characteristics", rtol=1e-10, atol=1e-12)
    names = ("risk", "mass_plus", "mass_minus", "alignment_plus", "alignment_minus")
    exact = {name: np.asarray(truth.observables[name]) for name in names}
    exact["risk"] = np.concatenate([[member.half_energy], exact["risk"][1:]])
    return (
        np.stack([np.abs(np.asarray(run.observables[name]) - exact[name]) for name in names]),
        np.stack([np.asarray(run.error[name]) for name in names]),
    )


def verdict(members, kind: str, method: str) -> tuple[int, int, list[float]]:
    """How many stated errors there are, how many cover the error, and how much too large they are."""
    covered, total, ratios = 0, 0, []
    for member in members:
        error, stated = outcome(member, kind, method)
        holds = error <= stated + 1e-9  # what the truth is known to
        covered, total = covered + int(np.sum(holds)), total + holds.size
        visible = error > 1e-9
        ratios += (stated[visible] / error[visible]).tolist()
        shown = ", ".join(f"{e:.1e}/{s:.1e}" for e, s in zip(error.max(axis=1), stated.max(axis=1), strict=True))
        print(f"{member.name}, {method}: error/stated {shown}; {np.sum(holds)} of {holds.size} covered")
    return covered, total, ratios


@pytest.mark.slow
def test_some_stated_errors_cover():
    covered, total, ratios = verdict([RADIAL[4], RADIAL[9]], "radial", "grid")
    print(f"{covered} of {total}, {np.median(ratios):.1f} times too large in the median")
    assert covered >= 0.95 * total and np.median(ratios) <= 30


@pytest.mark.study
def test_stated_errors_cover_over_the_table():
    """23 problems by two methods: 46 runs, 920 numbers; 95 % are covered, and the median is at most 30 times too large."""
    covered, total, ratios = 0, 0, []
    for members, kind in ((RADIAL, "radial"), (SIGNED, "signed")):
        for method in ("grid", "characteristics"):
            more = verdict(members, kind, method)
            covered, total, ratios = covered + more[0], total + more[1], ratios + more[2]
    print(f"VERDICT: {covered} of {total} covered, {np.median(ratios):.1f} times too large in the median")
    assert covered >= 0.95 * total and np.median(ratios) <= 30
