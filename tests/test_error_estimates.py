"""Stated errors of the reduced route are promises: quadratures of targets and `solution.error` against known truth."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import mfsym as mf
from mfsym.reduced.panels import quadrature_of

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
