"""Clouds over several devices: eight virtual ones in a process, one in each of two processes, against one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from particle_problems import random_cloud
from processes import REPOSITORY, finish, in_two_processes, start

import mfsym as mf

RUNS = REPOSITORY / "tests" / "sharded_runs.py"
SHARDED = [["neurons"], [None, "neurons"]]  # one cloud, one for each time
WIDTH, DIM = 1024, 5  # of the clouds whose communication is looked at


def check_same(report, names):
    """To rounding what one device gives; clouds as they were laid out, what is observed on every device."""
    tolerance = 1e-12 if jax.config.jax_enable_x64 else 1e-5
    for name in names:
        found = report[name]
        print(name, found)
        assert found["difference"] < tolerance, (name, found)
        assert found["observables everywhere"], name
        clouds = {where: layout for where, layout in found["layouts"].items() if ".a" in where or ".b" in where}
        assert all(layout in SHARDED for layout in clouds.values()), (name, clouds)
        assert len(clouds) in (0, 2, 4), (name, clouds)


QUICK = ["values, exact", "flow, exact", "adam", "observables", "predictor"]


@pytest.mark.slow
@pytest.mark.float32
def test_eight_devices_give_what_one_gives():
    (report,) = finish([start(RUNS, *QUICK, "--communication", devices=8)])
    assert report["devices"] == [8, 8]
    check_same(report, QUICK)
    check_communication(report["communication"])


def check_communication(operations):
    """Samples: sums of one number for every sample. The exact risk: neurons, gathered one block after another."""
    print(operations)
    for name in ("data", "fresh samples"):
        assert {kind for kind, _ in operations[name]} == {"all-reduce"}, operations[name]
        assert max(size for _, size in operations[name]) <= 301, operations[name]
    gathered = [size for kind, size in operations["exact"] if kind != "all-reduce"]
    assert gathered and max(gathered) <= WIDTH * DIM / 4, operations["exact"]


FLOWS = [
    "values, data",
    "values, fresh samples",
    "flow, data",
    "flow, fresh samples",
    "heavy ball",
    "gradient descent",
    "resumed",
    "orbits",
    "fixed neurons",
]
GRADIENTS = ["gradient, exact", "gradient, data"]


@pytest.mark.slow
@pytest.mark.float32
@pytest.mark.parametrize("names", [FLOWS, GRADIENTS, ["resumed"]])
def test_every_rule_and_every_gradient_on_eight_devices(names):
    (report,) = finish([start(RUNS, *names, devices=8)])
    check_same(report, names)


@pytest.mark.slow
def test_two_processes_give_what_one_gives():
    names = ["flow, fresh samples", "predictor"]
    for report in in_two_processes(RUNS, *names):
        assert report["devices"] == [2, 1]
        check_same(report, names)


@pytest.mark.slow
def test_two_processes_give_what_one_gives_for_the_exact_risk():
    names = ["values, exact", "flow, exact", "gradient descent", "observables"]
    for report in in_two_processes(RUNS, *names):
        check_same(report, names)


@pytest.mark.slow
def test_the_script_of_the_readme():
    """One process, and two that know of each other: the same risk."""
    script = REPOSITORY / "benchmarks" / "sharded.py"
    (alone,) = finish([start(script, "--width", "64")])
    together = in_two_processes(script, "--width", "64", "--processes", "2")
    assert [report["devices"] for report in (alone, *together)] == [1, 2, 2]
    for report in together:
        np.testing.assert_allclose(report["risk"], alone["risk"], rtol=1e-12)
        assert report["layout"] == SHARDED[0]


def test_one_device_is_a_mesh_too():
    cloud = random_cloud(6)
    sharded = mf.shard(cloud)
    assert list(sharded.b.sharding.spec) == SHARDED[0]
    np.testing.assert_array_equal(sharded.b, cloud.b)
    inside = jax.jit(lambda cloud: mf.shard(cloud, axis="m"))(cloud)
    np.testing.assert_array_equal(inside.a, cloud.a)
    assert mf.shard({"w": np.ones((3, 2))})["w"].shape == (3, 2)


def test_what_does_not_fit_is_refused():
    cloud, auto = random_cloud(6), (AxisType.Auto,)
    with pytest.raises(mf.ArgumentError, match="`mesh` must be of type Mesh"):
        mf.shard(cloud, 8)
    with pytest.raises(mf.ArgumentError, match="`axis` must be an axis of the mesh"):
        mf.shard(cloud, jax.make_mesh((1,), ("x",), axis_types=auto))
    with pytest.raises(mf.ArgumentError, match="`mesh` must be a mesh whose axes are all of type Auto"):
        mf.shard(cloud, jax.make_mesh((1,), ("neurons",), axis_types=(AxisType.Explicit,)))
    with pytest.raises(mf.ArgumentError, match="`cloud` must be a pytree of arrays with the same first axis"):
        mf.shard({"a": jnp.ones(3), "b": jnp.ones((4, 2))})


def test_widths_that_cannot_be_shared_out_are_refused():
    script = """
import jax
import mfsym as mf
problem = mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(1))
try:
    mf.shard(mf.sphere_cloud(problem, width=12, key=jax.random.key(0)))
except mf.ArgumentError as error:
    print(error)
made = jax.jit(lambda key: mf.shard(mf.sphere_cloud(problem, width=16, key=key)))(jax.random.key(0))
print(list(made.b.sharding.spec), made.b.addressable_shards[0].data.shape)
bad = mf.shard(mf.sphere_cloud(problem, width=16, key=jax.random.key(0)))
try:
    mf.Particles(bad.a, bad.b / 0)
except mf.ArgumentError as error:
    print(error)
"""
    process = start("-c", script, devices=8)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    width, made, finite = output.splitlines()
    assert "shared out evenly to 8 devices, but is of width 12. Take 16 neurons" in width
    assert made == "['neurons'] (2, 3)"
    assert "`b` must be a real array with 2 axes with finite entries" in finite
