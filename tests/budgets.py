"""Problems whose fluctuations have published numbers, and their infinite-width runs."""

import functools

import jax.numpy as jnp
import numpy as np

import mfsym as mf
from mfsym.fluctuations.panels import value_at


def relu(z):
    return jnp.maximum(z, 0.0)


def mixed(z):
    """He_2/√2 and half of He_1: learnt, but slowly at first."""
    return (z**2 - 1) / np.sqrt(2) + z / 2


PROBLEMS = {
    "(30,5)": (30, mf.SubspaceNorm(5)),
    "(10,2)": (10, mf.SubspaceNorm(2)),
    "(8,2)": (8, mf.SubspaceNorm(2)),
    "relu": (10, mf.SingleIndex(relu)),
    "mixed": (10, mf.SingleIndex(mixed)),
    "(6,3)": (6, mf.SubspaceNorm(3)),
    "absolute": (6, mf.SubspaceNorm(1, 2.0)),
}


@functools.cache
def run_of(name: str, until: float = 10.0, nodes: int = 63, weight_decay: float = 0.0) -> mf.Solution:
    dim, target = PROBLEMS[name]
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), target), nodes=nodes)
    training = mf.Training(weight_decay=weight_decay)
    options = {"method": "characteristics", "derivative": "forward"}
    return mf.solve_reduced(reduced, mf.budget_times(until), training=training, **options)


def problem_of(name: str, **options) -> mf.Problem:
    dim, target = PROBLEMS[name]
    return mf.Problem(mf.Gaussian(dim), target, **options)


def at(budget, record, times):
    return np.array([value_at(budget.ts, record, float(t)) for t in times])


def constant_budget(samples: bool) -> mf.ErrorBudget:
    """One whose records do not depend on time."""
    ts = mf.budget_times(1.0)

    def record(value):
        return jnp.full_like(ts, value)

    more = {"by_batch": record(3.0), "by_samples": record(5.0)} if samples else {"by_batch": None, "by_samples": None}
    return mf.ErrorBudget(
        ts=ts,
        risk=record(0.5),
        energy=record(2.0),
        by_width=record(1.0),
        least=record(0.9),
        by_block=record(0.9)[None],
        passive=record(1.2),
        **more,
        bias=None,
        scatter=None,
        defect=jnp.asarray(0.0),
        dim=jnp.asarray(10.0),
        blocks=((0, 0),),
        degree=12,
        signs="balanced",
    )


def constant_stability() -> mf.Stability:
    """One whose records do not depend on time."""
    ts = mf.budget_times(1.0)
    records = (jnp.stack([jnp.full_like(ts, value), jnp.full_like(ts, value / 2)]) for value in (2.0, 3.0, 4.0))
    return mf.Stability(ts, *records, ((0, 0), (1, 0)), 2)
