"""Python processes with devices of their own: several virtual ones in one, or one in each of two that know of each other."""

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
from jax.experimental import multihost_utils

REPOSITORY = Path(__file__).resolve().parent.parent
# JAX catches SIGTERM, and a process that waits for another one waits for ever
LIMIT = ["timeout", "-k", "5", "600"]


def start(script, *arguments, devices=1):
    """A process of its own with so many virtual devices, in the precision of this session."""
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    own = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    command = [*LIMIT, sys.executable, str(script), *arguments]
    return subprocess.Popen(command, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(processes):
    """The JSON that every process printed."""
    outputs = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors
    return [json.loads(text.splitlines()[-1]) for text, _ in outputs]


def in_two_processes(script, *arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    return finish([start(script, *arguments, "--coordinator", coordinator, "--index", str(index)) for index in (0, 1)])


def print_report(report):
    """What a started script does: joins the other process where there is one, and prints what `report(options)` found.

    `options` has the `names` of cases and whether to look at `communication`. Nothing may be computed before this is called:
    a process joins the other before it has devices.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--communication", action="store_true")
    parser.add_argument("--coordinator")
    parser.add_argument("--index", type=int)
    options = parser.parse_args()
    jax.config.update("jax_numpy_rank_promotion", "raise")
    if options.coordinator is not None:
        jax.distributed.initialize(options.coordinator, num_processes=2, process_id=options.index)
    found = report(options)
    print(json.dumps(found | {"devices": (jax.device_count(), jax.local_device_count())}))
    if options.coordinator is not None:
        multihost_utils.sync_global_devices("end")
        jax.distributed.shutdown()
