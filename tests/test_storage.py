"""What is saved comes back bit for bit, in the same process and in another; what cannot be is refused."""

import dataclasses
import functools
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stored
from stored import GIVEN, THINGS, same

import mfsym as mf
from mfsym.problem.inputs import AbstractInputs
from mfsym.problem.losses import AbstractLoss
from mfsym.problem.start import AbstractStart
from mfsym.problem.targets import AbstractTarget
from mfsym.problem.units import AbstractUnit
from mfsym.solution import Status
from mfsym.storage.container import read_container, write_container
from mfsym.storage.registry import known_classes, known_functions, name_of_class, name_of_function


@pytest.mark.float32
@pytest.mark.parametrize("name", THINGS)
def test_what_is_saved_comes_back(tmp_path, name):
    mf.save(tmp_path / "file", THINGS[name])
    assert same(mf.load(tmp_path / "file", functions=GIVEN), THINGS[name])


@pytest.mark.float32
def test_a_file_of_an_earlier_version_is_still_read():
    """`data/version-1.mfsym` was written by 0.1.0 with JAX_ENABLE_X64=0; no change of format may orphan such files."""
    found = mf.load(Path(__file__).parent / "data" / "version-1.mfsym")
    assert found["note"] == ("format", 1) and isinstance(found["unit"], mf.LeakyReLU)
    assert found["cloud"].a.tolist() == [1, -1] and found["cloud"].b.tolist() == [[1, 0, 0], [0, 2, 0]]


def concrete(kind: type) -> set[type]:
    below = {each for child in kind.__subclasses__() for each in (child, *concrete(child))}
    return {each for each in below if each.__module__.startswith("mfsym.") and not each.__name__.startswith("Abstract")}


@pytest.mark.parametrize("kind", [AbstractInputs, AbstractTarget, AbstractUnit, AbstractLoss, AbstractStart])
def test_every_part_of_a_problem_is_among_the_things(kind):
    parts = [part for problem in stored.problems().values() for part in vars(problem).values()]
    assert {type(part) for part in parts if isinstance(part, kind)} == concrete(kind)


def test_names_in_files_are_unique_and_lead_back():
    classes, functions = known_classes(), known_functions()
    assert all(name_of_class(kind) == name for name, kind in classes.items())
    public = {kind for kind in vars(mf).values() if isinstance(kind, type) and issubclass(kind, (eqx.Module, tuple))}
    assert public <= set(classes.values()) and len(classes) > 60
    assert all(known_functions()[name_of_function(function)] is function for function in functions.values())
    forbidden = ("load", "save", "file", "print", "call", "vectorize", "py")
    assert not any(word in name.split(".")[-1] for name in functions for word in forbidden)


@pytest.fixture(scope="module")
def runs():
    """Short runs of several solvers by name."""
    ts = jnp.linspace(0.0, 1.0, 5)
    problem = mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2))
    odd = mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 2.0, 0.0]))
    reduced = mf.reduce(problem, cells=16, nodes=15, modes=16)
    grid = mf.solve_reduced(reduced, ts)
    return {
        "grid": dataclasses.replace(grid, error=dict(grid.observables)),
        "odd": mf.solve_reduced(mf.reduce(odd, structure="odd"), ts),
    }


@pytest.mark.float32
@pytest.mark.parametrize("name", ["grid", "odd"])
def test_solutions_come_back(tmp_path, runs, name):
    mf.save(tmp_path / "run", runs[name])
    loaded = mf.load(tmp_path / "run", expect=mf.Solution)
    assert same(loaded, runs[name])
    assert loaded.as_dict() == runs[name].as_dict() and repr(loaded) == repr(runs[name])
    if name == "odd":
        assert bool(loaded.certificate.holds)
        with pytest.raises(AttributeError, match="has no meaning for this problem"):
            _ = loaded.alignment_plus


@pytest.mark.slow
@pytest.mark.parametrize("name", ["characteristics", "several angles", "closed", "labels", "particles", "descent", "report"])
def test_other_results_come_back(tmp_path, name):
    ts, problem = jnp.linspace(0.0, 1.0, 3), mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2))
    sizes = {"cells": 16, "nodes": 15, "modes": 16}
    cloud = mf.sphere_cloud(problem, width=8, key=jax.random.key(0))
    if name == "characteristics":
        result = mf.solve_reduced(mf.reduce(problem, **sizes), ts, method="characteristics")
    elif name == "several angles":
        blocks = mf.Problem(mf.Gaussian(6), mf.BlockNorms((1, 2)))
        result = mf.solve_reduced(mf.reduce(blocks, cells=8, modes=8), ts)
    elif name == "closed":
        result = mf.solve_reduced(mf.reduce(mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3))), ts)
    elif name == "labels":
        start = mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2), start=mf.UnbalancedStart(0.5, 1.0))
        result = mf.solve_reduced(mf.reduce(start, **sizes), ts, method="characteristics")
    elif name == "particles":
        result = mf.solve_particles(problem, cloud, ts, save_states=True)
    elif name == "descent":
        result = mf.descend(problem, cloud, 3, learning_rate=0.1)
    else:
        result = mf.cross_check(problem, ts, widths=(8, 16, 32), seeds=4)
    mf.save(tmp_path / "file", result)
    assert same(mf.load(tmp_path / "file"), result)


def test_every_status_comes_back_by_its_name(tmp_path, runs):
    ends = [dataclasses.replace(runs["odd"], status=end) for end in (Status.not_finite, Status.complete, Status.max_steps)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *ends)
    for solution in (*ends, batch):
        mf.save(tmp_path / "run", solution)
        assert same(mf.load(tmp_path / "run"), solution)
    header, arrays = read_container(str(tmp_path / "run"))
    status = header["tree"]["fields"]["status"]
    status["names"] = status["names"][::-1]  # as if another version had numbered them the other way round
    arrays[status["status"]["array"]] = len(status["names"]) - 1 - arrays[status["status"]["array"]]
    write_container(str(tmp_path / "run"), header["tree"], arrays)
    assert same(mf.load(tmp_path / "run"), batch)


CHILD = """
import hashlib, sys, jax, jax.numpy as jnp, numpy as np, mfsym as mf
def digest(tree):
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))).hexdigest()
def results(run, problem):
    x = np.linspace(-1, 1, 12).reshape(2, 6)
    more = mf.solve_reduced(run.model, jnp.linspace(0.0, 0.5, 5), initial=run.final)
    return [digest(tree) for tree in (run, problem, more, mf.predict(run, x), mf.predict(more, x))]
if __name__ == "__main__":
    print(*results(*mf.load(sys.argv[1], expect=tuple)))
"""


@pytest.mark.slow
def test_another_process_goes_on_with_the_same_bits(tmp_path, runs):
    problem = mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2))
    mf.save(tmp_path / "both", (runs["grid"], problem))
    child = subprocess.run([sys.executable, "-c", CHILD, tmp_path / "both"], capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    here: dict = {"__name__": "here"}
    exec(CHILD, here)
    assert child.stdout.split() == here["results"](runs["grid"], problem)


@pytest.mark.parametrize("kind", [functools.partial, jax.tree_util.Partial])
def test_partials_come_back(tmp_path, kind):
    """They have no equality of their own, so that the parts are compared."""
    weights = jnp.arange(3.0)
    mf.save(tmp_path / "file", (kind(stored.bump, weights, where=None), mf.SingleIndex(kind(jnp.multiply, weights[1]))))
    bare, target = mf.load(tmp_path / "file", functions=GIVEN)
    assert type(bare) is kind and bare.func is stored.bump
    assert same((bare.args, bare.keywords), ((weights,), {"where": None}))
    assert float(target(jnp.arange(2.0, 5.0))) == 2.0


def local_function():
    def square(z):
        return z * z

    return square


LOOP: list = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (LOOP, "nested at most 100 deep.*contains itself"),
        (mf.SingleIndex(lambda z: z), r"thing.g.rest.*a lambda.*def name"),
        ({"key": [object()]}, r"thing\['key'\]\[0\].*of type object"),
        ((local_function(), local_function()), r"a second one named square"),
        (np.array(["text"]), "dtype that files hold"),
        (np.array([None]), "dtype that files hold"),
        (np.arange(3, dtype=">i4"), "dtype that files hold"),
        (jnp.zeros(2, jnp.float8_e4m3fn), "dtype that files hold"),
        (np.ma.masked_array([1.0]), "a plain array"),
        (mf.Particles, "of type"),
        (1j, "of type complex"),
        ({1, 2}, "of type set"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(tmp_path, thing, message):
    with pytest.raises(mf.ArgumentError, match=message):
        mf.save(tmp_path / "file", thing)
    assert list(tmp_path.iterdir()) == []


def test_traced_arrays_are_refused(tmp_path):
    with pytest.raises(mf.ArgumentError, match="outside of"):
        jax.jit(lambda x: mf.save(tmp_path / "file", {"x": x}))(1.0)


def test_own_functions_must_be_given(tmp_path):
    mf.save(tmp_path / "file", (stored.bump, stored.Wave(jnp.asarray(1.0), "x"), jnp.tanh))
    with pytest.raises(mf.ArgumentError, match=r"Wave, bump.*functions=\{'Wave': Wave, 'bump': bump\}"):
        mf.load(tmp_path / "file")
    with pytest.raises(mf.ArgumentError, match="a function bump"):
        mf.load(tmp_path / "file", functions={"bump": 3, "Wave": stored.Wave})
    with pytest.raises(mf.ArgumentError, match="the class Wave"):
        mf.load(tmp_path / "file", functions={"bump": stored.bump, "Wave": stored.bump})
    with pytest.raises(mf.FileError, match="Note has the fields text, numbers, but in the file frequency, given"):
        mf.load(tmp_path / "file", functions={"bump": stored.bump, "Wave": stored.Note})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expect": mf.Solution}, "path.*Solution.*holds one of type Particles"),
        ({"expect": "Solution"}, "expect"),
        ({"functions": [1]}, "functions"),
        ({"functions": {1: abs}}, "functions"),
    ],
)
def test_wrong_arguments_of_load(tmp_path, options, message):
    mf.save(tmp_path / "file", stored.cloud())
    with pytest.raises(mf.ArgumentError, match=message):
        mf.load(tmp_path / "file", **options)


@pytest.mark.parametrize("path", [3, "", None])
def test_wrong_paths(path):
    for call in (lambda: mf.save(path, 1), lambda: mf.load(path)):
        with pytest.raises(mf.ArgumentError, match="path"):
            call()


def test_folders_and_missing_files(tmp_path):
    with pytest.raises(mf.ArgumentError, match="the folder"):
        mf.save(tmp_path, 1)
    with pytest.raises(FileNotFoundError):
        mf.load(tmp_path / "nothing")
    with pytest.raises(mf.FileError, match=r"missing/file.*could not be written: No such file or directory"):
        mf.save(tmp_path / "missing" / "file", 1)


@pytest.mark.skipif(jnp.result_type(float) != jnp.float64, reason="double precision is what is to be refused")
def test_double_precision_is_refused_where_jax_is_in_single(tmp_path):
    mf.save(tmp_path / "double", stored.cloud())
    mf.save(tmp_path / "numpy", np.arange(3.0))
    with jax.enable_x64(False):
        with pytest.raises(mf.FileError, match=r"float64.*jax_enable_x64"):
            mf.load(tmp_path / "double")
        assert same(mf.load(tmp_path / "numpy"), np.arange(3.0))


def test_equal_things_make_equal_files_that_other_tools_read(tmp_path):
    for name in ("one", "two"):
        mf.save(tmp_path / name, stored.cloud())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with zipfile.ZipFile(tmp_path / "one") as archive:
        header = json.loads(archive.read("mfsym.json"))
    assert (header["format"], header["version"], header["library"]) == ("mfsym", 1, mf.__version__)
    with np.load(tmp_path / "one") as arrays:
        np.testing.assert_array_equal(arrays["1"], stored.cloud().b)
