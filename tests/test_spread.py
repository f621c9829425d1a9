"""Independent runs over several devices: the numbers of one device, for any number of runs."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from processes import REPOSITORY, finish, in_two_processes, start

import mfsym as mf
from mfsym.sharding import map_lanes, pad_lanes

RUNS = REPOSITORY / "tests" / "spread_runs.py"


def check_same(report, names):
    for name in names:
        print(name, report[name])
        assert report[name]["difference"] < (1e-12 if jax.config.jax_enable_x64 else 1e-5), (name, report[name])
        assert report[name]["numbers"] > 20
    if "finite steps" in names:
        assert list(report["finite steps"]["early"]) == ["stiff"]


def test_eight_devices_give_what_one_gives():
    """Five problems, one of which diverges; what is found is gathered in the end, and the loops never wait."""
    (report,) = finish([start(RUNS, "finite steps", "--communication", devices=8)])
    assert report["devices"] == [8, 8]
    check_same(report, ["finite steps"])
    assert report["communication"] == {"kinds": ["all-gather"], "loops": 1}


@pytest.mark.slow
def test_two_processes_give_what_one_gives():
    for report in in_two_processes(RUNS, "clouds"):
        assert report["devices"] == [2, 1]
        check_same(report, ["clouds"])


@pytest.mark.slow
@pytest.mark.parametrize("names", [["512 problems"], pytest.param(["clouds", "ensemble", "flow"], marks=pytest.mark.study)])
def test_flows_on_eight_devices(names):
    (report,) = finish([start(RUNS, *names, devices=8)])
    check_same(report, names)
    if names == ["512 problems"]:
        assert report["512 problems"]["early"] == {} and report["512 problems"]["numbers"] > 512


@pytest.mark.slow
def test_the_script_of_the_readme():
    (report,) = finish([start(REPOSITORY / "benchmarks" / "sharded.py", "--problems", "3", devices=2)])
    assert report["devices"] == 2 and report["problems"] == 3 and report["difference"] < 1e-5


def double(lane, shared):
    return {"twice": 2 * lane["x"] + shared, "name": "fixed"}


def test_lanes_are_padded_and_come_back_in_order():
    x = np.arange(5.0, dtype=np.float32)
    assert pad_lanes({"x": jax.numpy.asarray(x)}, 8)["x"].tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    for mesh in (None, jax.make_mesh((1, 1), ("a", "b"), axis_types=(AxisType.Auto,) * 2)):
        found = map_lanes(double, {"x": jax.numpy.asarray(x)}, (jax.numpy.ones((), np.float32),), mesh)
        assert found["name"] == "fixed" and found["twice"].tolist() == [1, 3, 5, 7, 9]
    one = map_lanes(double, {"x": jax.numpy.asarray(x[:1])}, (jax.numpy.ones((), np.float32),))
    assert one["twice"].tolist() == [1]


def test_what_does_not_fit_is_refused():
    problem = mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3))
    with pytest.raises(mf.ArgumentError, match="`mesh` must be of type Mesh"):
        mf.sweep([problem], [0.0, 1.0], mesh=8)
    with pytest.raises(mf.ArgumentError, match="`mesh` must be a mesh whose axes are all of type Auto"):
        explicit = jax.make_mesh((1,), ("lanes",), axis_types=(AxisType.Explicit,))
        mf.cross_check(problem, [0.0, 1.0], widths=(2, 4), seeds=3, mesh=explicit)
