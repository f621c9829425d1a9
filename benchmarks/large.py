"""Large clouds in little memory: a million neurons on data, and the exact risk without its m × m matrix.

Ten steps of `mf.descend` on m = 1 000 000 neurons in d = 100 with n = 1024 samples, float32, in a process of its own whose
largest resident memory is read at its end (that of Python and of the compiler included). Then value and velocity of the
exact risk of m = 16 384 neurons in d = 64, in float64 and in float32. On two cores the descent takes two to three minutes,
the other seconds.

    python benchmarks/large.py [--neurons 1000000] [--dim 100] [--samples 1024] [--steps 10] [--exact 16384,64] [--json]
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from measuring import compiled, markdown, memory_text, take_turns, temporary_bytes, time_text

import mfsym as mf

NEURONS, DIM, SAMPLES, STEPS = 1_000_000, 100, 1024, 10
EXACT = (16_384, 64)
DIM_H = 5
LIMIT = 8 * 2**30  # bytes
_RATE = 0.1


def descent(neurons: int, dim: int, samples: int, steps: int) -> dict:
    """Steps of gradient descent in this process, with its largest resident memory so far."""
    x = jax.random.normal(jax.random.key(1), (samples, dim), jnp.float32)
    problem = mf.Problem(mf.Empirical(x), mf.SubspaceNorm(DIM_H))
    cloud = mf.sphere_cloud(problem, width=neurons, key=jax.random.key(0), dtype=jnp.float32)

    def train(cloud):
        run = mf.descend(problem, cloud, steps, learning_rate=_RATE, record_every=steps)
        return run.final, run.risk

    started = time.perf_counter()
    run = jax.jit(train).lower(cloud).compile()
    spent = time.perf_counter() - started
    started = time.perf_counter()
    _, risk = jax.block_until_ready(run(cloud))
    seconds = time.perf_counter() - started
    return {
        "neurons": neurons,
        "dim": dim,
        "samples": samples,
        "steps": steps,
        "dtype": str(cloud.dtype),
        "seconds": seconds,
        "compile_seconds": spent,
        "risk": risk.tolist(),
        "cloud_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(cloud)),
        "temporary_bytes": temporary_bytes(run),
        "resident_bytes": largest_resident(),
    }


def largest_resident() -> int:
    """Bytes that this process held at most."""
    status = Path("/proc/self/status")
    if status.exists():  # where it does, getrusage also counts the process that started this one
        found = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"), re.M)
        if found:
            return 1024 * int(found.group(1))
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, KiB elsewhere
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def descent_in_child(*sizes: int) -> dict:
    """The same in a process of its own, so that no other benchmark counts."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", *map(str, sizes)]
    package = str(Path(mf.__file__).resolve().parent.parent)
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "JAX_ENABLE_X64": "0", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The child process ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def exact(neurons: int, dim: int, dtype: str, turns: int) -> list[dict]:
    """Value and velocity of the exact risk, with what a matrix of all pairs would take."""
    problem = mf.Problem(mf.Gaussian(dim), mf.SubspaceNorm(DIM_H))
    cloud = mf.sphere_cloud(problem, width=neurons, key=jax.random.key(0), dtype=dtype)
    risk = mf.risk_of(problem).prepare()
    work = {"risk": lambda cloud: risk.value(cloud), "velocity": lambda cloud: risk.velocity(cloud)}
    runs = {name: compiled(function, (cloud,)) for name, function in work.items()}
    take_turns(runs.values(), turns)
    matrix = neurons**2 * cloud.dtype.itemsize
    sizes = {"neurons": neurons, "dim": dim, "dtype": str(cloud.dtype), "matrix_bytes": matrix}
    return [
        {"name": name, "seconds": run.least, "temporary_bytes": run.memory, "compile_seconds": run.compile_seconds} | sizes
        for name, run in runs.items()
    ]


def measure(neurons=NEURONS, dim=DIM, samples=SAMPLES, steps=STEPS, exact_sizes=EXACT, turns: int = 2) -> dict:
    """Both studies; of the first one run, after compilation."""
    found = descent_in_child(neurons, dim, samples, steps)
    rows = [row for dtype in ("float64", "float32") for row in exact(*exact_sizes, dtype, turns)]
    return {"descent": found, "exact": rows, "limit_bytes": LIMIT, "turns": turns}


HEADER = ("work", "m", "n", "d", "dtype", "time", "temporary memory", "beside")


def table(result: dict) -> str:
    """Both studies as a Markdown table."""
    run = result["descent"]
    resident, limit, cloud = (
        memory_text(size) for size in (run["resident_bytes"], result["limit_bytes"], run["cloud_bytes"])
    )
    work = f"{run['steps']} steps of mf.descend"
    lines = [_line(work, run, f"{run['samples']:,}", f"{cloud} of the cloud")]
    for row in result["exact"]:
        lines.append(_line(f"exact {row['name']}", row, "", f"{memory_text(row['matrix_bytes'])} of an m × m matrix"))
    within = "within" if run["resident_bytes"] <= result["limit_bytes"] else "more than"
    notes = [
        f"Largest resident memory of the whole process that descends: {resident}, {within} {limit}. "
        f"Risk at the start and at the end: {run['risk'][0]:.4f}, {run['risk'][-1]:.4f}.",
        f"One descent after compilation; exact: the least of {result['turns']} turns.",
    ]
    return markdown(HEADER, lines, notes)


def _line(work: str, row: dict, samples: str, beside: str) -> tuple[str, ...]:
    shape = f"{row['neurons']:,}", samples, str(row["dim"]), row["dtype"]
    return work, *shape, time_text(row["seconds"]), memory_text(row["temporary_bytes"]), beside


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--neurons", type=int, default=NEURONS, help=f"of the descent (default {NEURONS})")
    parser.add_argument("--dim", type=int, default=DIM, help=f"dimensions of the descent (default {DIM})")
    parser.add_argument("--samples", type=int, default=SAMPLES, help=f"of the descent (default {SAMPLES})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of the descent (default {STEPS})")
    parser.add_argument("--exact", default="{},{}".format(*EXACT), metavar="m,d", help="sizes of the exact risk")
    parser.add_argument("--turns", type=int, default=2, help="timings of the exact risk (default 2)")
    parser.add_argument("--child", type=int, nargs=4, metavar=("m", "d", "n", "steps"), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    if options.child:
        sys.stdout.write(json.dumps(descent(*options.child)) + "\n")
        return
    jax.config.update("jax_enable_x64", True)
    sizes = tuple(map(int, options.exact.split(",")))
    result = measure(options.neurons, options.dim, options.samples, options.steps, sizes, options.turns)
    sys.stdout.write((json.dumps(result, indent=2) if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
