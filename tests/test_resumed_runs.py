"""Processes that are killed in the middle of a run, and the same call in a new process: the result is that of one run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LIMIT = 900  # seconds for one process on a machine that is busy with other things; alone it needs about ten

CHILD = """
import sys
import jax, jax.numpy as jnp, numpy as np, optax
import mfsym as mf

job, out, folder = sys.argv[1:]
problem = mf.Problem(mf.Gaussian(8), mf.SubspaceNorm(3))
options = {} if folder == "-" else {"checkpoint": mf.Checkpoints(folder, every=0, keep=2)}
if job == "reduced":
    reduced = mf.reduce(problem, cells=16, modes=8)
    run = mf.solve_reduced(reduced, jnp.linspace(0.0, 8.0, 241), derivative="forward", **options)
else:
    cloud = mf.sphere_cloud(problem, width=64, key=jax.random.key(0))
    if job == "particles":
        options |= {"derivative": "forward", "save_states": True}
        run = mf.solve_particles(problem, cloud, jnp.linspace(0.0, 8.0, 241), **options)
    else:
        options |= {"samples": 32, "key": jax.random.key(1), "record_every": 4}
        run = mf.descend(problem, cloud, 240, optimiser=optax.adam(1e-2), **options)
leaves = jax.tree.leaves((run.ts, run.observables, run.states, run.final, run.valid, run.stats))
np.savez(out, *map(np.asarray, leaves))
"""


def start(job, out, folder, cache):
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "JAX_ENABLE_X64": "1",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-c", CHILD, job, str(out), str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process):
    try:
        _, errors = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode == 0, errors


def newest(folder):
    """The number of the newest checkpoint, −1 before the first."""
    names = folder.glob("checkpoint-*") if folder.is_dir() else ()
    return max((int(name.stem.split("-")[1]) for name in names), default=-1)


def kill_between(process, folder, first, last):
    """SIGKILL, at a random moment after a checkpoint of at least `first` steps; returns the newest one then."""
    until = time.monotonic() + LIMIT
    try:
        while newest(folder) < first:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until, "no checkpoint was written"
            time.sleep(0.002)
        time.sleep(random.Random(first).uniform(0.0, 0.05))
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=LIMIT)
    assert process.returncode == -signal.SIGKILL
    reached = newest(folder)
    assert first <= reached < last
    return reached


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def references(tmp_path_factory, cache):
    """Uninterrupted runs in one compiled loop."""
    folder, found = tmp_path_factory.mktemp("references"), {}
    for job in ("particles", "descend", "reduced"):
        finish(start(job, folder / job, "-", cache))
        found[job] = np.load(folder / f"{job}.npz")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "kills"),
    [
        ("particles", (3,)),
        ("particles", (121,)),
        ("particles", (40, 170)),
        ("particles", (200,)),
        ("descend", (1,)),
        ("descend", (90,)),
        ("descend", (33, 150)),
        ("reduced", (10,)),
        ("reduced", (60, 120)),
        ("reduced", (180,)),
    ],
)
def test_a_killed_run_goes_on_to_the_same_result(job, kills, references, cache, tmp_path):
    folder, out = tmp_path / "checkpoints", tmp_path / "out.npz"
    reached = 0
    for first in kills:
        now = kill_between(start(job, out, folder, cache), folder, max(first, reached + 1), 240)
        assert now > reached and not out.exists()
        reached = now
    finish(start(job, out, folder, cache))
    result = np.load(out)
    assert result.files == references[job].files
    for name in result.files:
        np.testing.assert_allclose(result[name], references[job][name], rtol=1e-12, atol=1e-12)
