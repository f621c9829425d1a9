"""Problems and trainings that the tests of `Training` share, so that compiled code is shared too."""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp

import mfsym as mf
from mfsym.integrate import Stepping, integrate
from mfsym.reduced.angles.labels import LabelDynamics, reaches_zero

SIZES = {"cells": 64, "nodes": 63, "modes": 48}
TIMES = (0.0, 1.0, 2.0, 4.0)
LAZY, BALANCED, OUTSIDE = mf.SphereStart(2.0, 2.0), mf.SphereStart(), mf.UnbalancedStart(0.5, 2.0)


def problem(start: Any = BALANCED, dim=8, dim_h=2, inputs: Any = None, target: Any = None) -> mf.Problem:
    """f* = ‖x_H‖ unless another target is given."""
    return mf.Problem(inputs or mf.Gaussian(dim), target or mf.SubspaceNorm(dim_h), start=start)


class Case(NamedTuple):
    """A training that reduces, and the problem that it is shown on."""

    problem: mf.Problem
    training: mf.Training = mf.Training()


CASES = {
    "unbalanced start": Case(problem(OUTSIDE)),
    "unequal rates": Case(problem(), mf.Training(2.0, 0.5)),
    "first layer only": Case(problem(mf.UnbalancedStart(1.0, 3.0)), mf.Training(rate_a=0.0)),
    "second layer only": Case(problem(), mf.Training(rate_b=0.0)),
    "weight decay": Case(problem(OUTSIDE), mf.Training(weight_decay=0.1)),
    "lazy": Case(problem(LAZY), mf.Training(1.0, 0.5, 0.05)),
    "gradient descent": Case(problem(), mf.Training(step=0.5)),
    "heavy ball": Case(problem(OUTSIDE), mf.Training(0.5, 1.0, 0.1, step=0.1, momentum=0.8)),
}


@functools.cache
def reduction(name: str) -> Any:
    return reduce(CASES[name].problem)


def solve(reduced: Any, training: Any = None, method="characteristics", ts: Any = TIMES, **options) -> Any:
    """A run in the mode of differentiation that compiles faster."""
    ts = jnp.asarray(ts, reduced.dtype)
    return mf.solve_reduced(reduced, ts, method=method, training=training, derivative="forward", **options)


@functools.cache
def exact(name: str) -> Any:
    """The reduced run of a case."""
    return solve(reduction(name), CASES[name].training)


def by_labels(reduced: Any, training: Any, ts: Any = TIMES, tolerance=1e-12) -> Any:
    """The labels form where the library would take the balanced one."""
    rates = jnp.stack([training.rate_a, training.rate_b])
    dynamics = LabelDynamics(reduced, rates, training.weight_decay, jnp.array([1e-8, 1e-8]))
    stepping = Stepping("dopri8", rtol=10 * tolerance, atol=tolerance, derivative="forward")
    return integrate(dynamics, dynamics.initial_state(), jnp.asarray(ts), stepping, reduced, reaches_zero)


def reduce(problem: mf.Problem, **options: Any) -> Any:
    """The reduction with few cells, labels and modes, so that runs share compiled code."""
    return mf.reduce(problem, **{**SIZES, **options})
