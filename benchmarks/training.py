"""Trainings that reduce, beside networks of 4000 neurons that are trained: `python benchmarks/training.py [width] [--json]`.

Every row is the exact risk and the risk of one network with quasi-random directions (random sizes for the Gaussian start),
both without samples of the inputs, at the same times. The last columns are the times of a warm reduced run and of the
network.
"""

import argparse
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from measuring import markdown, time_text

import mfsym as mf

TIMES = (0.0, 1.0, 2.0, 4.0)
LAZY, SMALL, OUTSIDE = mf.SphereStart(8.0, 8.0), mf.SphereStart(5e-5, 5e-5), mf.UnbalancedStart(0.5, 2.0)


def problem(start=None, inputs=None, target=None, dim=8, dim_h=2):
    """f* = ‖x_H‖ in dimension 8, unless said otherwise."""
    return mf.Problem(inputs or mf.Gaussian(dim), target or mf.SubspaceNorm(dim_h), start=start)


ROWS = {
    "unbalanced start, |a| = ½, ‖b‖ = 2": (problem(OUTSIDE), mf.Training(), TIMES),
    "rates 2 and ½": (problem(), mf.Training(2.0, 0.5), TIMES),
    "first layer only, ‖b‖ = 3": (problem(mf.UnbalancedStart(1.0, 3.0)), mf.Training(rate_a=0.0), TIMES),
    "second layer only": (problem(), mf.Training(rate_b=0.0), TIMES),
    "weight decay 0.1, unbalanced": (problem(OUTSIDE), mf.Training(weight_decay=0.1), TIMES),
    "weight decay 0.05, d = 30, d_H = 5": (problem(dim=30, dim_h=5), mf.Training(weight_decay=0.05), TIMES),
    "lazy, |a| = ‖b‖ = 4": (problem(LAZY), mf.Training(), (0.0, 0.05, 0.1, 0.2)),
    "rich, |a| = ‖b‖ = 0.01": (problem(SMALL), mf.Training(), (0.0, 6.0, 8.0, 10.0)),
    "Gaussian start 0.1, 1": (problem(mf.GaussianStart(0.1, 1.0)), mf.Training(), (0.0, 0.5, 1.0, 2.0)),
    "gradient descent, η = ½": (problem(), mf.Training(step=0.5), TIMES),
    "heavy ball, η = 0.1, β = 0.8": (problem(), mf.Training(step=0.1, momentum=0.8), TIMES),
    "inputs 1.5 on H, 0.75 on H^⊥": (problem(OUTSIDE, mf.GaussianBlocks((2, 6), (1.5, 0.75))), mf.Training(), TIMES),
    "softplus(x_1), unbalanced": (problem(OUTSIDE, target=mf.SingleIndex(jax.nn.softplus, ())), mf.Training(), TIMES),
}


def timed(function):
    """Seconds of a run and its result."""
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    return time.perf_counter() - start, result


def row(name: str, width: int) -> dict:
    """Both risks of one training, their relative difference and the times."""
    case, training, ts = ROWS[name]
    ts, reduced = jnp.asarray(ts), mf.reduce(case)
    options = {"training": training, "derivative": "forward"}

    def exact():
        return mf.solve_reduced(reduced, ts, method="characteristics", **options)

    exact()  # compiles
    seconds, run = timed(exact)
    key = jax.random.key(0)
    if isinstance(case.start, mf.GaussianStart):
        cloud = mf.initial_cloud(case, width=width, key=key)
    else:
        signs = "paired" if case.start is LAZY else "balanced"  # f(0) = 0, as its scatter is large for large starts
        cloud = mf.sphere_cloud(case, width=width, key=key, signs=signs, directions="quasi")
    wall, network = timed(lambda: mf.solve_particles(case, cloud, ts, rtol=1e-4, atol=1e-6, **options))
    difference = np.asarray(network.risk / run.risk - 1)
    return {
        "times": np.asarray(ts).tolist(),
        "exact": np.asarray(run.risk).tolist(),
        "network": np.asarray(network.risk).tolist(),
        "difference": difference.tolist(),
        "seconds": [seconds, wall],
    }


def measure(width: int = 4000, names: tuple[str, ...] = tuple(ROWS)) -> dict:
    """Every training, or those with the names."""
    return {"rows": [{"name": name} | row(name, width) for name in names], "width": width}


HEADER = ("training", "times", "exact risk", "network", "difference in %", "exact, warm", "network, with compilation")


def table(result: dict) -> str:
    """The rows as a Markdown table."""
    note = f"One network of {result['width']:,} neurons each; the risk of both is exact. Float64."
    return markdown(HEADER, map(_cells, result["rows"]), [note])


def _cells(found: dict) -> tuple[str, ...]:
    times = " ".join(f"{t:g}" for t in found["times"][1:])
    exact, network = (" ".join(f"{v:.5f}" for v in found[key][1:]) for key in ("exact", "network"))
    difference = " ".join(f"{100 * v:+.2f}" for v in found["difference"][1:])
    return found["name"], times, exact, network, difference, *map(time_text, found["seconds"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("width", type=int, nargs="?", default=4000, help="neurons of a network (default 4000)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    result = measure(options.width)
    sys.stdout.write((json.dumps(result, indent=2) if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
