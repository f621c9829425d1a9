"""One cloud over all devices of one or several processes: prints its risk, its layout and the time of a second run.

With `--problems 512` so many reduced equations in its place, spread over the devices, each of which goes through its own
loop, and beside them the same on one device. It was never run on an accelerator.

On a host with any number of devices: `python benchmarks/sharded.py`. On a TPU pod slice, on every worker: the same with
`--processes 0`, which asks the pod. On two hosts: `--coordinator HOST:PORT --processes 2 --index 0` on the one, with
`--index 1` on the other.
"""

import argparse
import json
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from sweep import final, reductions

import mfsym as mf
from mfsym.sharding import map_lanes


def join(options: argparse.Namespace) -> None:
    """Make this process one of several, if it is."""
    if options.processes == 0:
        jax.distributed.initialize()
    elif options.processes > 1:
        jax.distributed.initialize(options.coordinator, num_processes=options.processes, process_id=options.index)


def run(cloud: mf.Particles, problem: mf.Problem) -> tuple[mf.Solution, float]:
    """The flow to t = 1 in steps of 0.05, and the seconds that it took."""
    begin = time.perf_counter()
    solution = mf.solve_particles(problem, cloud, jnp.linspace(0.0, 1.0, 5), step=0.05)
    jax.block_until_ready(solution.final)
    return solution, time.perf_counter() - begin


def seconds(call: Callable) -> tuple[jax.Array, list[float]]:
    """What a call returns, and the seconds that two of them took."""
    spent = []
    for _ in range(2):
        begin = time.perf_counter()
        found = jax.block_until_ready(call())
        spent.append(time.perf_counter() - begin)
    return found, spent


def measure_lanes(count: int) -> dict:
    """So many problems over all devices, and on one."""
    stack = mf.stack(reductions(count))
    mesh = jax.make_mesh((jax.device_count(),), ("lanes",), axis_types=(jax.sharding.AxisType.Auto,))
    spread, (first, again) = seconds(lambda: map_lanes(final, stack, (), mesh))
    alone, (_, on_one) = seconds(lambda: map_lanes(final, stack, ()))
    difference = max(float(jnp.max(jnp.abs(a / b - 1))) for a, b in zip(spread, alone, strict=True))
    return {"problems": count, "first_s": first, "again_s": again, "one_device_s": on_one, "difference": difference}


def measure_cloud(width: int) -> dict:
    """One cloud over all devices."""
    problem = mf.Problem(mf.Gaussian(20), mf.SubspaceNorm(5))
    cloud = mf.shard(mf.sphere_cloud(problem, width=width, key=jax.random.key(0)))
    _, first = run(cloud, problem)
    solution, again = run(cloud, problem)
    layout = list(solution.final.b.sharding.spec)
    return {"risk": solution.risk.tolist(), "layout": layout, "first_s": first, "again_s": again}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1024, help="number of neurons, a multiple of the number of devices")
    parser.add_argument("--problems", type=int, help="number of reduced equations in place of the cloud")
    parser.add_argument("--processes", type=int, default=1, help="number of processes; 0 asks the TPU pod")
    parser.add_argument("--coordinator", help="HOST:PORT of the process with index 0")
    parser.add_argument("--index", type=int, help="number of this process, from 0")
    options = parser.parse_args()
    join(options)
    report = measure_cloud(options.width) if options.problems is None else measure_lanes(options.problems)
    report |= {"devices": jax.device_count(), "kind": jax.devices()[0].device_kind, "process": jax.process_index()}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
