"""Many reduced equations at once: one vmapped `mf.solve_reduced` beside one after the other.

f* = ‖x_H‖ for pairs (d, d_H), to t = 10 on 200 cells with 32 modes, in float64. Reductions of different problems have
the same shapes, so that they stack, and one compiled loop solves all.

    python benchmarks/sweep.py [--counts 1 8 64] [--turns 5] [--json]
"""

import argparse
import json
import statistics
import sys
import time

import jax
import jax.numpy as jnp
from measuring import markdown

import mfsym as mf

PAIRS = [(d, k) for d in (6, 8, 10, 15, 20, 30, 40, 60) for k in (2, 3, 4, 5)]
MODES = 32  # the same for all, so that they stack
COUNTS = (1, 8, 64)
END = 10.0


def reductions(count: int) -> list:
    """`count` of them, repeated with another scale of the target after the last pair."""
    pairs = [(*PAIRS[i % len(PAIRS)], 1.0 + 0.25 * (i // len(PAIRS))) for i in range(count)]
    return [mf.reduce(mf.Problem(mf.Gaussian(d), mf.SubspaceNorm(k, scale)), modes=MODES) for d, k, scale in pairs]


def final(reduced):
    """Risk and masses at the end."""
    run = mf.solve_reduced(reduced, jnp.array([0.0, END]), derivative="forward")
    return run.risk[-1], run.mass_plus[-1], run.mass_minus[-1]


def timed(function, argument, turns: int) -> tuple[float, float, list[float]]:
    """Seconds of the first call, and the least and all of the later ones."""
    seconds = []
    for _ in range(turns + 1):
        started = time.perf_counter()
        jax.block_until_ready(function(argument))
        seconds.append(time.perf_counter() - started)
    return seconds[0], min(seconds[1:]), seconds[1:]


def measure(counts=COUNTS, turns: int = 5) -> dict:
    """Every count, stacked and one by one; the two must agree to the tolerance of the time steps."""
    one, many = jax.jit(final), jax.jit(jax.vmap(final))
    alone = reductions(max(min(counts[-1], 8), 1))
    first, least, _ = timed(one, alone[0], turns)
    rows = []
    for count in counts:
        stack = mf.stack(reductions(count))
        first_call, seconds, all_seconds = timed(many, stack, turns)
        together, apart = many(stack)[1][: len(alone)], [one(r)[1] for r in alone[:count]]
        difference = max(abs(float(a) / float(b) - 1) for a, b in zip(together, apart, strict=False))
        rows.append(
            {
                "count": count,
                "seconds": seconds,
                "seconds_median": statistics.median(all_seconds),
                "first_call_seconds": first_call,
                "times_faster": count * least / seconds,
                "difference": difference,
            }
        )
    return {"rows": rows, "seconds_alone": least, "first_call_seconds_alone": first, "end": END, "turns": turns}


HEADER = ("problems", "one vmapped solve", "each", "one by one", "times faster", "first call", "difference of τ⁺")


def table(result: dict) -> str:
    """The rows as a Markdown table."""
    alone = result["seconds_alone"]
    lines = []
    for row in result["rows"]:
        each, total = f"{1e3 * row['seconds'] / row['count']:.2f} ms", f"{1e3 * row['count'] * alone:,.0f} ms"
        spent = f"{1e3 * row['seconds']:,.0f} ms"
        ratio, first = f"{row['times_faster']:.1f}", f"{row['first_call_seconds']:.1f} s"
        lines.append((str(row["count"]), spent, each, total, ratio, first, f"{row['difference']:.0e}"))
    note = (
        f"To t = {result['end']:g}, float64, 200 cells, 32 modes. Each time is the least of {result['turns']} later calls."
    )
    return markdown(HEADER, lines, [note])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, help="numbers of problems (default 1 8 64)")
    parser.add_argument("--turns", type=int, default=5, help="timings of each (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    result = measure(tuple(options.counts), options.turns)
    sys.stdout.write((json.dumps(result, indent=2) if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
