"""Stated errors of the reduced route are promises: quadratures of targets and `solution.error` against known truth."""

import jax.numpy as jnp
import pytest

import mfsym as mf


@pytest.mark.parametrize(
    ("g", "sentence"),
    [
        (lambda x: jnp.sin(x) / x, "f\\* is NaN at x_1 = 0"),
        (lambda x: jnp.sqrt(x), "f\\* is NaN at x_1 = -"),
        (lambda x: jnp.log(x), "f\\* is infinite at x_1 = 0"),
    ],
)
def test_targets_without_values(g, sentence):
    with pytest.raises(mf.ArgumentError, match=sentence):
        mf.Problem(mf.Gaussian(5), mf.SingleIndex(g))


def test_values_are_asked_for_only_where_inputs_come():
    mf.Problem(mf.Sphere(5, 0.5), mf.SingleIndex(lambda x: jnp.log(1 + x)))
    with pytest.raises(mf.ArgumentError, match="x_1 = 0, x_2 = 0"):
        mf.Problem(mf.Gaussian(5), mf.MultiIndex(lambda z: z[0] * jnp.sin(z[1]) / z[1], 2))
