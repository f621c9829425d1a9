"""Labels of any unit: seconds of a first call, of the first call of a second start, and of a warm one.

tanh neurons with biases, d = 30, the square loss, t = 10, tolerance 1e-6: one index by 64 labels per angle and sign, and two
by the usual number. Every row is two processes that share a folder of compiled programs, empty at first: what the second
one compiles is read from there. Imports are not counted.

    python benchmarks/labels.py [--json]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from measuring import markdown, time_text

ROWS = {"one index, sin 2x_1": 64, "two indices, x_1 x_2": 12}
_CACHED = {
    "EQX_ON_ERROR": "off",  # loops with callbacks are not kept
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "JAX_ENABLE_X64": "1",
}


def child(name: str, nodes: int, until: float) -> dict[str, float]:
    """Seconds of the first call of this process, and of one after it, with the risk."""
    import jax
    import jax.numpy as jnp

    import mfsym as mf

    one = name.startswith("one")
    target = mf.SingleIndex(lambda x: jnp.sin(2 * x), kinks=()) if one else mf.MultiIndex(lambda z: z[0] * z[1], 2)
    start = mf.BiasedStart(mf.UnbalancedStart(1.0, 2.0), 0.3)
    problem = mf.Problem(mf.Gaussian(30), target, unit=mf.Neuron(jnp.tanh), start=start)
    seconds, risk = [], 0.0
    for _ in range(2):
        begun = time.perf_counter()
        reduced = mf.reduce(problem, nodes=nodes)
        run = mf.solve_reduced(reduced, [0.0, until], rtol=1e-6, atol=1e-6, derivative="forward")
        risk = float(jax.block_until_ready(run.risk)[-1])
        seconds.append(time.perf_counter() - begun)
    return {"first": seconds[0], "warm": seconds[1], "risk": risk}


def measure(nodes: int | None = None, until: float = 10.0) -> dict:
    """Every row; `nodes` in place of those of the table."""
    found = {}
    for name, usual in ROWS.items():
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | _CACHED | {"JAX_COMPILATION_CACHE_DIR": folder}
            command = [sys.executable, __file__, "--child", name, str(nodes or usual), str(until)]
            runs = [
                json.loads(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)
                for _ in range(2)
            ]
        found[name] = {
            "nodes": nodes or usual,
            "first": runs[0]["first"],
            "second_start": runs[1]["first"],
            "warm": min(run["warm"] for run in runs),
            "risk": runs[0]["risk"],
        }
    return {"rows": found}


def table(result: dict) -> str:
    """Markdown."""
    header = ("target", "labels per angle and sign", "first call", "second start", "warm", "risk")
    rows = [
        (name, str(row["nodes"]), *(time_text(row[key]) for key in ("first", "second_start", "warm")), f"{row['risk']:.7f}")
        for name, row in result["rows"].items()
    ]
    return markdown(header, rows)


def main() -> None:
    """Measure and print, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=3)
    arguments = parser.parse_args()
    if arguments.child is not None:
        name, nodes, until = arguments.child
        sys.stdout.write(json.dumps(child(name, int(nodes), float(until))))
        return
    result = measure()
    sys.stdout.write((json.dumps(result) if arguments.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
