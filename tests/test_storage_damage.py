"""A file is whole or refused, and what was there before survives a failure to write."""

import errno
import json
import os
import pickle
import subprocess
import sys
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import stored

import mfsym as mf
from mfsym.storage.container import _member, read_container, write_container


@pytest.fixture
def file(tmp_path):
    mf.save(tmp_path / "file", stored.cloud())
    return tmp_path / "file"


def refused(path) -> bool:
    try:
        mf.load(path)
    except mf.FileError as error:
        return str(path) in str(error)
    return False


def test_every_cut_is_noticed(file):
    whole = file.read_bytes()
    for length in [len(whole) * tenth // 10 for tenth in range(10)] + [1, 29, 31, len(whole) - 1]:
        file.write_bytes(whole[:length])
        assert refused(file), length
    file.write_bytes(whole + b"\0")
    assert refused(file)


def test_every_changed_byte_is_noticed(file):
    whole = file.read_bytes()
    places = np.unique(np.linspace(0, len(whole) - 1, 120).astype(int))
    for place in [int(place) for place in places]:
        for flip in (0x01, 0x80, 0xFF):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            assert refused(file), place
    file.write_bytes(whole)
    assert stored.same(mf.load(file), stored.cloud())


def test_other_files_are_refused(tmp_path, monkeypatch):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    (tmp_path / "text").write_text("a text that is longer than the first member of a zip archive")
    (tmp_path / "pickle").write_bytes(pickle.dumps(Bomb()))
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    for name in ("text", "pickle", "arrays.npz"):
        with pytest.raises(mf.FileError, match="is not a file of mfsym"):
            mf.load(tmp_path / name)
    write_array, bomb = np.lib.format.write_array, np.array([Bomb()], dtype=object)
    monkeypatch.setattr(np.lib.format, "write_array", lambda member, *_, **__: write_array(member, bomb, allow_pickle=True))
    write_container(str(tmp_path / "sealed"), {"array": 0}, [np.zeros(1)])  # a file of ours that was made to do harm
    with pytest.raises(mf.FileError, match="Object arrays cannot be loaded"):
        mf.load(tmp_path / "sealed")
    assert not (tmp_path / "exploded").exists()


ENTRY = {"array": 0, "kind": "jax", "weak": False, "dtype": "float64", "shape": [2]}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (ENTRY | {"shape": [3]}, r"array 0 is float64\[2\], not float64\[3\]"),
        (ENTRY | {"dtype": "float32"}, "not float32"),
        (ENTRY | {"array": 1}, "KeyError"),
        ({"list": [ENTRY, ENTRY]}, "KeyError"),
        (None, "1 arrays are left over"),
        ({"class": "problem.Gaussian", "fields": {"dim": 2}}, "has the fields dim, scale, but in the file dim"),
        ({"class": "problem.Gaussian", "fields": {"dim": 2, "scale": ENTRY, "mean": 0}}, "but in the file dim, scale, mean"),
        ({"class": "problem.Cauchy", "fields": {}}, r"it has no problem\.Cauchy"),
        ({"class": "os.system", "fields": {}}, r"it has no os\.system"),
        ({"function": "jax.numpy.load"}, r"it has no jax\.numpy\.load"),
        ({"partial": "exec", "inside": [None, {"tuple": []}, {"dict": []}]}, "KeyError"),
        ({"import": "os"}, "it has no import"),
        ({}, "does not fit"),
        ({"status": ENTRY, "names": []}, "does not fit"),
        (
            {"class": "problem.Rotated", "fields": {"target": {"class": "problem.ReLU", "fields": {}}, "rotation": ENTRY}},
            r"Rotated\.target is a ReLU, not a AbstractTarget",
        ),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(tmp_path, tree, message):
    write_container(str(tmp_path / "file"), tree, [np.zeros(2)])
    with pytest.raises(mf.FileError, match=message):
        mf.load(tmp_path / "file")


def test_headers_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    header = {"format": "mfsym", "version": 1, "library": "9.9", "arrays": 1, "tree": 0}
    changes = {
        "has format version 2; this mfsym .* reads version 1. It was written by mfsym 9.9": {"version": 2},
        "has format version None": {"version": None},
        "is not a file of mfsym": {"format": "other"},
        "members are missing or left over": {"arrays": 2},
    }
    for message, change in changes.items():
        monkeypatch.setattr(json, "dumps", lambda *_, text=json.JSONEncoder().encode(header | change), **__: text)
        write_container(str(tmp_path / "file"), 0, [np.zeros(2)])
        with pytest.raises(mf.FileError, match=message):
            mf.load(tmp_path / "file")


def test_a_deep_description_is_refused(tmp_path):
    tree = 0
    for _ in range(400):
        tree = {"list": [tree]}
    write_container(str(tmp_path / "file"), tree, [])
    with pytest.raises(mf.FileError, match="RecursionError"):
        mf.load(tmp_path / "file")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(file, monkeypatch, call):
    before = file.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(mf.FileError, match=f"{file}.*could not be written: No space left on device.*untouched"):
        mf.save(file, {"other": jnp.zeros(3)})
    assert file.read_bytes() == before and os.listdir(file.parent) == [file.name]


LIMITED = """
import os, resource, signal, sys
import numpy as np, mfsym as mf
from mfsym.storage.checkpoints import latest, write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, checkpoints = sys.argv[1], mf.Checkpoints(sys.argv[2])
mf.save(path, np.arange(10))
write(checkpoints, 1, {"a": np.arange(10)}, "f")
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for action in (lambda: mf.save(path, np.zeros(10000)), lambda: write(checkpoints, 2, {"a": np.zeros(10000)}, "f")):
    try:
        action()
    except mf.FileError as error:
        assert "could not be written: File too large" in str(error), error
    else:
        raise SystemExit("nothing was raised")
assert np.array_equal(mf.load(path), np.arange(10))
assert np.array_equal(latest(checkpoints, "f", {"a": np.arange(10)})["a"], np.arange(10))
assert os.listdir(checkpoints.folder) == ["checkpoint-00000001.mfsym"], os.listdir(checkpoints.folder)
"""


def test_a_limit_of_the_system_leaves_the_old_file(tmp_path):
    arguments = [sys.executable, "-W", "error", "-c", LIMITED, tmp_path / "file", tmp_path / "folder"]
    child = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert (child.returncode, child.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_links_and_permissions_are_kept(tmp_path):
    mf.save(tmp_path / "file", 1)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    mf.save(tmp_path / "link", 2)
    assert (tmp_path / "link").is_symlink() and mf.load(tmp_path / "file") == 2
    (tmp_path / "other").write_text("")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_large_members_are_announced(tmp_path):
    """An array of more than 2 GiB needs the long form of the record, which zipfile chooses by the announced size."""
    with zipfile.ZipFile(tmp_path / "file", "w") as archive, archive.open(_member("a", 2**31), "w") as member:
        member.write(b"1")
        assert member._zip64
    header, arrays = read_container(_written(tmp_path / "other"))
    assert header["arrays"] == len(arrays) == 1


def _written(path) -> str:
    mf.save(path, np.arange(3))
    return str(path)
