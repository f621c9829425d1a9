"""Runs in a process of its own, started by test_spread.py: lanes on one device and over all, their greatest difference.

Prints one JSON object: for every case the greatest relative difference of any number, and what early ends were called.
"""

import jax
import jax.numpy as jnp
import numpy as np
from processes import print_report

import mfsym as mf
from mfsym import sharding

TS = (0.0, 0.5, 1.0)
SIZES = {"cells": 16, "nodes": 7, "modes": 6}
# Nothing is computed on import: a process joins the others before it has devices.


def steps():
    return {"method": "characteristics", "training": mf.Training(step=0.05)}


def problems(count):
    """Different dimensions, subspaces and scales, with the shapes of one; few dimensions, each of which compiles its own."""
    kinds = [(5 + i % 2, 2 + i // 2 % 2, 1 + i / count) for i in range(count)]
    return {str(i): mf.Problem(mf.Gaussian(d), mf.SubspaceNorm(k, scale=scale)) for i, (d, k, scale) in enumerate(kinds)}


def flow(count):
    return lambda mesh: mf.sweep(problems(count), TS, mesh=mesh, **SIZES)


def finite_steps(mesh):
    """Five problems, one of which diverges."""
    table = problems(4) | {"stiff": mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2, scale=300.0))}
    return mf.sweep(table, TS, mesh=mesh, throw=False, **steps(), **SIZES)


def clouds(mesh):
    """Three problems that stack, six clouds of each."""
    table = {str(scale): mf.Problem(mf.Gaussian(5), mf.SubspaceNorm(2, scale=scale)) for scale in (1.0, 1.5, 2.0)}
    return mf.sweep(table, TS, mesh=mesh, widths=(4, 8), seeds=3, **steps(), **SIZES)


def ensemble(mesh):
    """Clouds of the cross-check, three at each width."""
    problem = problems(1)["0"]
    return mf.run_clouds(problem, TS, mf.reduce(problem, **SIZES), widths=(4, 8), seeds=3, mesh=mesh)


CASES = {"finite steps": finite_steps, "clouds": clouds, "flow": flow(5), "512 problems": flow(512), "ensemble": ensemble}


def compare(case, mesh):
    alone, spread = case(None), case(mesh)
    pairs = list(zip(*map(numbers, (alone, spread)), strict=True))
    early = spread.early() if hasattr(spread, "early") else {}
    return {"difference": max(difference(*pair) for pair in pairs), "early": early, "numbers": len(pairs)}


def difference(expected, found):
    """The greatest, relative to the largest expected entry; NaN has to be where it is expected."""
    known = ~np.isnan(expected)
    assert np.array_equal(known, ~np.isnan(found))
    return float(
        np.max(np.abs(found - expected), initial=0, where=known) / np.max(np.abs(expected), initial=1e-300, where=known)
    )


def numbers(found):
    return [np.asarray(leaf, float) for leaf in jax.tree.leaves(found) if jnp.issubdtype(leaf.dtype, jnp.inexact)]


def halvings(number):
    """How often a number can be halved, in a loop of as many rounds."""
    return jax.lax.while_loop(lambda pair: pair[0] >= 2, lambda pair: (pair[0] / 2, pair[1] + 1), (number, 0))[1]


def communicated(mesh):
    """Collective operations, and loops, of a compiled program that goes through lanes."""
    lanes = jax.device_put(jnp.arange(16.0), jax.NamedSharding(mesh, jax.P(mesh.axis_names)))
    text = sharding._spread.lower(halvings, lanes, (), mesh).compile().compiled.as_text()
    kinds = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
    return {
        "kinds": [kind for kind in kinds if f"{kind}(" in text or f"{kind}-start(" in text],
        "loops": text.count(" while("),
    }


def report(options):
    mesh = jax.make_mesh((jax.device_count(),), ("lanes",), axis_types=(jax.sharding.AxisType.Auto,))
    found = {name: compare(CASES[name], mesh) for name in options.names}
    return found | ({"communication": communicated(mesh)} if options.communication else {})


if __name__ == "__main__":
    print_report(report)
