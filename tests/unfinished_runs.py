"""Runs that end early or are not finite, and what is said of them; `python unfinished_runs.py` prints it as JSON.

mfsym switches equinox's own checks off in the command line and in its tests (`EQX_ON_ERROR=off`): what they would catch
must be found by mfsym, with the same words whether they are on or off.
"""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np

import mfsym as mf

PROBLEM = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2))
HUGE = 40.0
SMALL = {"cells": 8, "nodes": 7, "modes": 4}


def cloud():
    return mf.sphere_cloud(PROBLEM, width=8, key=jax.random.key(0))


def at_traced_times(*times):
    """The Solution of a run whose times are known only when it runs."""
    forward = {"derivative": "forward", "throw": False}
    solve = jax.jit(lambda ts: mf.solve_particles(PROBLEM, cloud(), ts, **forward))
    return solve(jnp.asarray(times))


def failing_sweep():
    training = mf.Training(step=HUGE)
    table = mf.sweep([PROBLEM], HUGE * np.arange(9), training=training, method="characteristics", throw=False, **SMALL)
    return table["0"]


RUNS = {
    "out of steps": lambda: mf.solve_particles(
        PROBLEM, cloud(), np.array([0.0, 1.0, 9.0]), max_steps=4, throw=False, derivative="forward"
    ),
    "diverging descent": lambda: mf.descend(PROBLEM, cloud(), 16, learning_rate=HUGE, throw=False),
    "reduced, out of steps": lambda: mf.solve_reduced(
        mf.reduce(PROBLEM, **SMALL), np.array([0.0, 1.0, 9.0]), max_steps=4, throw=False, derivative="forward"
    ),
    "diverging moments": lambda: mf.descend_moments(
        mf.reduce(mf.Problem(mf.Gaussian(3), mf.FunctionTarget(jnp.sum, "odd"))), 64, rate=HUGE, throw=False
    ),
    "diverging sweep": failing_sweep,
    "traced times that fall": lambda: at_traced_times(0.0, -1.0, 1.0),
}
WRONG_TIMES = ([0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.5, 1.0], [0.0, float("nan")], [0.0, float("inf")], [0, 1j], ["a", "b"])


def said_of_times():
    """What solvers say to times that are not increasing real numbers from 0."""
    said = []
    for ts in WRONG_TIMES:
        for solve in (
            lambda ts: mf.solve_particles(PROBLEM, cloud(), ts),
            lambda ts: mf.solve_reduced(mf.reduce(PROBLEM, **SMALL), ts),
            lambda ts: mf.sweep([PROBLEM], ts, **SMALL),
        ):
            try:
                solve(ts)
            except mf.ArgumentError as error:
                said.append(str(error))
            else:
                said.append("nothing")
    return said


@functools.cache
def outcome(name):
    """Did a run succeed, which records are valid, and the sentence."""
    run = RUNS[name]()
    return [bool(run.succeeded), np.asarray(run.valid).tolist(), run.sentence()]


QUICK = ("diverging descent", "diverging moments")
# equinox ends the last one with an exception of its own where its checks are on.
SAME = tuple(name for name in RUNS if name != "traced times that fall")

if __name__ == "__main__":
    print(json.dumps({"runs": {name: outcome(name) for name in SAME}, "times": said_of_times()}))
