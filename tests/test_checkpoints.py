"""Checkpoints: the newest whole file of this very run, or nothing."""

import functools
import os
import socket
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import stored

import mfsym as mf
from mfsym.storage.checkpoints import fingerprint, latest, write


def state(index: int):
    """What a run might carry: a cloud, the memory of an optimiser, a key, counters, an empty slot."""
    cloud = stored.cloud()
    memory = optax.adam(1e-2).init(cloud)
    return {"cloud": cloud, "memory": memory, "key": jax.random.key(index), "t": jnp.asarray(0.1 * index), "none": None}


@pytest.fixture
def folder(tmp_path):
    return mf.Checkpoints(tmp_path / "run", every=0, keep=2)


def names(checkpoints) -> list[str]:
    return sorted(os.listdir(checkpoints.folder))


@pytest.mark.float32
def test_the_newest_comes_back_and_the_oldest_go(folder):
    assert latest(folder, "f", state(0)) is None
    for index in range(1, 12):
        write(folder, index, state(index), "f")
    assert names(folder) == ["checkpoint-00000010.mfsym", "checkpoint-00000011.mfsym"]
    assert stored.same(latest(folder, "f", state(0)), state(11))


def test_an_older_file_goes_only_when_the_new_one_is_safe(folder, monkeypatch):
    only = mf.Checkpoints(folder.folder, keep=1)
    write(only, 1, state(1), "f")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(mf.FileError, match=r"checkpoint-00000002\.mfsym.*No space left on device"):
        write(only, 2, state(2), "f")
    assert names(only) == ["checkpoint-00000001.mfsym"]
    assert stored.same(latest(only, "f", state(0)), state(1))


def test_a_damaged_file_is_passed_over(folder):
    for index in (1, 2):
        write(folder, index, state(index), "f")
    newest = os.path.join(folder.folder, "checkpoint-00000002.mfsym")
    with open(newest, "rb") as file:
        whole = file.read()
    places = [int(place) for place in np.linspace(0, len(whole) - 1, 50)]
    damaged = [whole[: len(whole) * tenth // 10] for tenth in range(10)]
    damaged += [whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :] for place in places]
    for content in damaged:
        with open(newest, "wb") as file:
            file.write(content)
        with pytest.warns(UserWarning, match="checkpoint-00000002.mfsym"):
            assert stored.same(latest(folder, "f", state(0)), state(1))
    write(folder, 2, state(3), "f")  # the run goes on from 1 and comes past the damaged file
    assert stored.same(latest(folder, "f", state(0)), state(3))


def test_damaged_files_of_a_later_number_do_not_crowd_out_new_ones(folder):
    for index in (8, 9):
        write(folder, index, state(index), "f")
        with open(os.path.join(folder.folder, f"checkpoint-{index:08d}.mfsym"), "r+b") as file:
            file.truncate(100)
    with pytest.warns(UserWarning) as caught:
        assert latest(folder, "f", state(0)) is None
    assert len(caught) == 2
    for index in (1, 2, 3):
        write(folder, index, state(index), "f")
    assert names(folder) == ["checkpoint-00000002.mfsym", "checkpoint-00000003.mfsym"]


def test_another_run_is_refused(folder):
    write(folder, 1, state(1), "f")
    with pytest.raises(mf.ArgumentError, match=r"checkpoint.*holds another run.*another folder"):
        latest(folder, "g", state(0))
    with pytest.raises(mf.FileError, match="does not hold the arrays of this run"):
        latest(folder, "f", state(0) | {"t": jnp.zeros(2)})
    mf.save(os.path.join(folder.folder, "checkpoint-00000002.mfsym"), stored.cloud())
    with pytest.raises(mf.FileError, match="is not a checkpoint"):
        latest(folder, "f", state(0))


def test_files_of_killed_writers_are_removed(folder):
    write(folder, 1, state(1), "f")
    unfinished = os.path.join(folder.folder, ".checkpoint-00000002.mfsym.0123.tmp")
    for path in (unfinished, os.path.join(folder.folder, "notes.txt")):
        with open(path, "wb") as file:
            file.write(b"half")
    assert stored.same(latest(folder, "f", state(0)), state(1))
    assert names(folder) == ["checkpoint-00000001.mfsym", "notes.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folder": 3}, "folder"),
        ({"folder": ""}, "folder"),
        ({"folder": __file__}, "folder.*not of a file"),
        ({"every": -1}, "every"),
        ({"every": "often"}, "every"),
        ({"every": float("nan")}, "every"),
        ({"keep": 0}, "keep"),
        ({"keep": 1.5}, "keep"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(mf.ArgumentError, match=message):
        mf.Checkpoints(**({"folder": "run"} | options))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(mf.FileError, match="could not be created"):
        write(mf.Checkpoints(tmp_path / "file" / "folder"), 1, state(1), "f")


def raised_to(power):
    return lambda z: z**power


def with_default(z, factor=1.0):
    return factor * z


def variants():
    """Calls that differ in one respect each, in the same order in every process."""
    cloud, problem = stored.cloud(), mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(2))
    changed = mf.Particles(cloud.a, cloud.b.at[1, 2].multiply(1 + 1e-15))
    turned = mf.Particles(cloud.a[::-1], cloud.b[::-1])
    functions = [raised_to(2), raised_to(3), with_default, functools.partial(with_default, factor=2.0), jnp.tanh, jnp.sin]
    return [
        *(cloud, changed, turned, mf.Particles(cloud.a[:2], cloud.b[:2]), {"cloud": cloud}, (cloud,), [cloud]),
        *(problem, mf.Problem(mf.Sphere(3), mf.SubspaceNorm(2)), mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(2, 1.5))),
        *(mf.Problem(mf.Gaussian(3), mf.SingleIndex(function)) for function in functions),
        *(jax.random.key(0), jax.random.key(1), jax.random.key_data(jax.random.key(0))),
        *(optax.adam(1e-2), optax.adam(1e-3), optax.sgd(1e-2), optax.chain(optax.clip(1.0), optax.adam(1e-2))),
        *(1, 1.0, True, "1", None, np.zeros(2), np.zeros((2, 1)), np.zeros(2, "float32"), jnp.zeros(2), np.zeros(0)),
        *(np.array(["a"], object), {1: 2}, {2: 1}, (), frozenset("abcdef"), jnp.zeros(2, jnp.bfloat16), mf.Training()),
        *(stored.Wave(jnp.asarray(1.0), "a"), stored.Wave(jnp.asarray(1.0), "b"), jax.jit(with_default), stored.bump),
    ]


def test_fingerprints_tell_runs_apart():
    found = [fingerprint(variant) for variant in variants()]
    assert len(set(found)) == len(found)
    assert found == [fingerprint(variant) for variant in variants()]
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})  # as JAX sees a dict


def compiled(source: str):
    space: dict = {"__name__": "script"}
    exec(source, space)
    return fingerprint(space["f"])


def test_fingerprints_follow_what_a_function_uses():
    source = "SCALE = 2.0\ndef g(z):\n    return z * SCALE\ndef f(z):\n    return g(z) + 1\n"
    assert compiled(source) == compiled("# a comment\n\n" + source)
    changes = (("2.0", "2.5"), ("z * SCALE", "z / SCALE"), ("+ 1", "+ 2"), ("f(z)", "f(z, y=0)"))
    assert len({compiled(source), *(compiled(source.replace(*change)) for change in changes)}) == 5
    recursive = "def f(z):\n    return f(z)\n"
    assert compiled(recursive) == compiled(recursive)


CHILD = """
import sys, warnings
sys.path.insert(0, sys.argv[1])
import jax, jax.numpy as jnp, numpy as np, test_checkpoints as t, stored, mfsym as mf
from jax.sharding import NamedSharding, PartitionSpec as P
from mfsym.storage.checkpoints import fingerprint, latest, write
mesh = jax.make_mesh((4,), ("neurons",), axis_types=(jax.sharding.AxisType.Auto,))
rows = NamedSharding(mesh, P("neurons"))
cloud = stored.cloud()
sharded = jax.device_put(cloud, rows)
assert fingerprint(sharded) == fingerprint(cloud)
mf.save(sys.argv[2] + "/cloud", sharded)
assert stored.same(mf.load(sys.argv[2] + "/cloud"), cloud)
folder = mf.Checkpoints(sys.argv[2] + "/run")
on_second = jax.device_put(jnp.zeros(2), jax.devices()[1])
write(folder, 1, (sharded, on_second, jnp.ones(3)), "f")
found, second, free = latest(folder, "f", (jax.tree.map(jnp.zeros_like, sharded), on_second, jnp.ones(3)))
assert stored.same(jax.device_get(found), jax.device_get(sharded))
assert all(leaf.sharding == rows for leaf in jax.tree.leaves(found)), found
assert second.devices() == {jax.devices()[1]} and not free.committed
print(*[fingerprint(v) for v in t.variants()])
"""


@pytest.mark.slow
def test_shards_and_other_processes(tmp_path):
    """Four devices: sharded arrays are gathered on the way out and sharded again; fingerprints are the same there."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONHASHSEED": "7"}
    arguments = [sys.executable, "-c", CHILD, os.path.dirname(__file__), tmp_path]
    child = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == [fingerprint(variant) for variant in variants()]


ONE_OF_TWO = """
import sys
import jax
rank, port, tests, folder = int(sys.argv[1]), *sys.argv[2:]
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
sys.path.insert(0, tests)
import jax.numpy as jnp, numpy as np, stored, mfsym as mf
from jax.sharding import NamedSharding, PartitionSpec as P
from mfsym.storage.checkpoints import fingerprint, latest, write
mesh = jax.make_mesh((2,), ("neurons",), axis_types=(jax.sharding.AxisType.Auto,))
rows, whole = NamedSharding(mesh, P("neurons")), stored.cloud()
shards = lambda x: jax.make_array_from_callback(x.shape, rows, lambda index: np.asarray(x)[index])
cloud = jax.tree.map(shards, whole)
assert not cloud.a.is_fully_addressable and fingerprint(cloud) == fingerprint(whole)
run = mf.Checkpoints(folder + "/run")
assert latest(run, "f", cloud) is None
write(run, 1, cloud, "f")
again = latest(run, "f", cloud)
assert again.a.sharding == again.b.sharding == rows
mf.save(folder + "/cloud", again)
assert stored.same(mf.load(folder + "/cloud"), whole)
try:
    mf.save(folder + "/missing/cloud", cloud)
except mf.FileError as error:
    print(error)
"""


@pytest.mark.slow
def test_two_processes_write_one_file(tmp_path):
    """Half of the neurons on each; the first process writes, and both hear of a failure."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    start = [sys.executable, "-c", ONE_OF_TWO]
    arguments = [port, os.path.dirname(__file__), tmp_path]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([*start, rank, *arguments], **options) for rank in ("0", "1")]
    try:
        (first, _), (second, _) = (process.communicate(timeout=300) for process in both)
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0]
    assert "could not be written" in first and "Process 0 could not write" in second
    assert sorted(os.listdir(tmp_path)) == ["cloud", "run"]
    assert os.listdir(tmp_path / "run") == ["checkpoint-00000001.mfsym"]


def test_traced_arrays_have_no_fingerprint():
    with pytest.raises(mf.ArgumentError, match="traced"):
        jax.vmap(lambda x: jnp.asarray(len(fingerprint({"x": x}))))(jnp.zeros(2))


def test_a_checkpoint_restores_compiled_code(folder):
    """What comes back is placed as what was given, so that jitted code is found again."""
    count = []

    @jax.jit
    def step(tree):
        count.append(1)
        return jax.tree.map(lambda leaf: leaf + 1, tree)

    start = (jnp.zeros(3), jnp.asarray(1.0))
    write(folder, 1, start, "f")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = latest(folder, "f", start)
    step(start)
    step(again)
    assert len(count) == 1
