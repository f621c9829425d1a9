"""Many problems at once: the same numbers as one by one, under their labels."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.solution import Status, words_of_early_ends

TS = jnp.array([0.0, 0.5, 1.0])
SIZES = {"cells": 16, "nodes": 7}


def problems():
    """Two angles to subspaces that stack, a signed angle, a closed solution, and an odd target."""
    return {
        "d = 6": mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2)),
        "d = 40": mf.Problem(mf.Gaussian(40), mf.SubspaceNorm(3, scale=2.0)),
        "tanh": mf.Problem(mf.Gaussian(5), mf.SingleIndex(jnp.tanh)),
        "whole": mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(4)),
    }


@pytest.fixture(scope="module")
def swept():
    return mf.sweep(problems(), TS, **SIZES)


@pytest.mark.slow
def test_the_same_as_one_by_one(swept):
    assert swept.labels == tuple(problems())
    for label, problem in problems().items():
        modes = swept[label].model.modes if hasattr(swept[label].model, "modes") else None
        sizes = {} if label == "whole" else SIZES | {"modes": modes}
        alone = mf.solve_reduced(mf.reduce(problem, **sizes), TS, derivative="forward")
        assert bool(swept[label].succeeded) and set(alone.observables) == set(swept[label].observables)
        for name, values in alone.observables.items():
            np.testing.assert_allclose(swept[label].observables[name], values, rtol=1e-9, err_msg=f"{label} {name}")
    assert swept["d = 6"].model.modes == swept["d = 40"].model.modes


@pytest.mark.slow
def test_arrays_words_and_json(swept):
    risks = swept.observable("risk")
    assert risks.shape == (4, 3) and np.all(np.isfinite(risks)) and np.all(np.diff(risks, axis=1) < 0)
    assert np.isnan(swept.observable("distance_plus")[2]).all()  # a signed angle has none
    text = str(swept)
    assert text.splitlines()[0].startswith("at t = 1") and all(label in text for label in swept.labels)
    record = json.loads(json.dumps(swept.as_dict(), allow_nan=False))
    assert record["tanh"]["risk"] == pytest.approx(risks[2].tolist())
    with pytest.raises(mf.ArgumentError, match="`name` must be one of"):
        swept.observable("loss")
    with pytest.raises(mf.ArgumentError, match="`label` must be one of"):
        swept["nothing"]


@pytest.mark.slow
def test_a_list_gets_numbers_and_early_ends_are_named():
    found = mf.sweep([mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3))], TS)
    assert found.labels == ("0",)
    with pytest.raises(mf.SolveError, match="1 of the runs ended early \\(no grid\\)") as caught:
        nan = mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2, scale=1e200))
        mf.sweep({"good": problems()["d = 6"], "no grid": nan}, TS, **SIZES)
    assert bool(caught.value.solution["good"].succeeded)


@pytest.mark.slow
def test_clouds_that_end_early_are_named_too():
    closed = mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3))
    names = re.escape("2 of the runs ended early (0, 2 neurons, seed 0; 0, 2 neurons, seed 1)")
    with pytest.raises(mf.SolveError, match=names) as caught:
        mf.sweep([closed], TS, widths=(2,), seeds=2, max_steps=1)
    assert bool(caught.value.solution["0"].succeeded)


SCALES = {"one": 1.0, "two": 2.0, "too large": 1e200, "three": 3.0, "stiff": 300.0}


def scaled(scales):
    return {label: mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2, scale=scale)) for label, scale in scales.items()}


def check_the_others(found, options):
    """What did not fail has the numbers of its own solve."""
    for label in ("one", "two", "three"):
        reduced = mf.reduce(scaled(SCALES)[label], modes=found[label].model.modes, **SIZES)
        alone = mf.solve_reduced(reduced, TS, derivative="forward", **options)
        assert bool(found[label].succeeded)
        for name, values in alone.observables.items():
            np.testing.assert_allclose(found[label].observables[name], values, rtol=1e-12, err_msg=f"{label} {name}")


@pytest.mark.slow
def test_lanes_that_fail_leave_the_others_alone():
    """One cannot start, one would need more steps than it may take."""
    options = {"max_steps": 60}
    with pytest.raises(mf.SolveError) as caught:
        mf.sweep(scaled(SCALES), TS, **options, **SIZES)
    text, found = str(caught.value), caught.value.solution
    assert "2 of the runs ended early (too large; stiff)" in text
    assert "\ntoo large: The run stopped early: the step size became too small" in text and "Last valid time: none" in text
    assert "\nstiff: The run stopped early: it used up `max_steps`" in text and "Last valid time: 0, where the risk" in text
    assert list(found.early()) == ["too large", "stiff"] and bool(found["stiff"].status == Status.max_steps)
    check_the_others(found, options)


def test_a_lane_that_diverges_in_finite_steps_leaves_the_others_alone():
    options = {"method": "characteristics", "training": mf.Training(step=0.05)}
    found = mf.sweep(scaled(SCALES), TS, throw=False, **options, **SIZES)
    assert set(found.early()) == {"too large", "stiff"}
    assert (
        "not finite" in found.early()["stiff"] and "Last valid time: 0, where the risk was 9e+04" in found.early()["stiff"]
    )
    check_the_others(found, options)


@pytest.mark.slow
def test_finite_steps_are_bounded_too():
    options = {"method": "characteristics", "training": mf.Training(step=0.05)}
    with pytest.raises(mf.SolveError, match="5 of the runs ended early") as caught:
        mf.sweep(scaled(SCALES), TS, max_steps=3, **options, **SIZES)
    assert set(map(int, (run.stats["steps"] for run in caught.value.solution.solutions.values()))) == {3}


def test_many_failures_are_all_named_and_some_explained():
    early = {f"problem {i}": f"Reason {i}." for i in range(12)}
    text = words_of_early_ends(early, "See `early()`.")
    assert "12 of the runs ended early (problem 0; problem 1;" in text and "problem 11)" in text
    assert "problem 7: Reason 7." in text and "Reason 8." not in text and "4 others: see there" in text


def test_finite_steps_are_counted_before_anything_is_compiled():
    training, options = mf.Training(step=0.3), {"method": "characteristics"} | SIZES
    with pytest.raises(mf.ArgumentError, match="`ts` must be multiples of the step"):
        mf.sweep([problems()["d = 6"]], TS, training=training, **options)


@pytest.mark.slow
def test_a_sweep_does_what_its_problems_do_alone():
    """Odd targets in finite steps, and starts that balance by their numbers: both are decided by values."""
    even, steps = mf.Empirical(jnp.eye(4), symmetrise=True), mf.Training(step=0.5)
    odd = mf.Problem(even, mf.LinearTarget(jnp.arange(1.0, 5.0)))
    found = mf.sweep([odd, odd], TS, training=steps)
    np.testing.assert_allclose(found["1"].risk, mf.solve_reduced(mf.reduce(odd), TS, training=steps).risk, rtol=1e-12)
    balanced = mf.Problem(mf.Gaussian(5), mf.SubspaceNorm(2), start=mf.UnbalancedStart(1.0, 1.0))
    found = mf.sweep([balanced, balanced], TS, modes=6, **SIZES)
    alone = mf.solve_reduced(mf.reduce(balanced, modes=6, **SIZES), TS)
    np.testing.assert_allclose(found["0"].risk, alone.risk, rtol=1e-9)


@pytest.mark.slow
def test_runs_that_stopped_show_where():
    closed = mf.Problem(mf.Gaussian(3), mf.SubspaceNorm(3))
    text = str(mf.sweep([closed], TS, widths=(2,), seeds=2, stop=mf.Stop(risk=1.2)))
    assert "nan" not in text and "risk" in text and "2 of 2 ended before: their last valid record" in text


@pytest.mark.slow
def test_clouds_of_every_width_and_seed():
    """A tiled cloud is the same network: the run of a small cloud by itself is found again."""
    problem = problems()["d = 6"]
    found = mf.sweep({"one": problem}, TS, widths=(4, 16), seeds=3, key=jax.random.key(5), **SIZES)
    clouds = found.clouds["one"]
    assert set(clouds) == {4, 16}
    (own,) = jax.random.split(jax.random.key(5), 1)
    for row, width in zip(jax.random.split(own, (2, 3)), (4, 16), strict=True):
        runs = clouds[width]
        assert runs.risk.shape == (3, 3) and runs.final.b.shape == (3, width, 6)
        for seed, key in enumerate(row):
            alone = mf.solve_particles(problem, mf.initial_cloud(problem, width=width, key=key), TS, derivative="forward")
            np.testing.assert_allclose(runs.risk[seed], alone.risk, rtol=1e-5)
            np.testing.assert_allclose(runs.final.b[seed], alone.final.b, rtol=1e-4, atol=1e-5)
    assert "4 neurons" in str(found) and "±" in str(found)
    assert len(json.loads(json.dumps(found.as_dict()))["one"]["clouds"]["16"]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"problems": {}}, "`problems` must be a dict or a list"),
        ({"problems": {1: problems()["d = 6"]}}, "keys are strings"),
        ({"problems": {"a": 3}}, "at 'a'"),
        ({"widths": 8}, "`widths` must be a tuple"),
        ({"widths": (3,)}, "`widths` must be even"),
        ({"widths": (4, 6)}, "divisors of the largest"),
        ({"widths": (4, 4)}, "divisors of the largest"),
        ({"seeds": 0}, "`seeds`"),
        ({"max_steps": 0}, "`max_steps`"),
        ({"stop": mf.Stop(seconds=1.0)}, "`stop` must be without `seconds`"),
        ({"key": 3}, "`key`"),
        ({"ts": jnp.array([1.0, 2.0])}, "`ts`"),
        ({"cells": 3}, "`cells`"),
        ({"method": "spectral"}, "`method`"),
    ],
)
def test_wrong_arguments(arguments, words):
    with pytest.raises(mf.ArgumentError, match=words):
        mf.sweep(**({"problems": [problems()["d = 6"]], "ts": TS} | arguments))


def test_the_problem_without_reduction_is_named():
    teacher = mf.Teacher(mf.Particles(jnp.ones(2), jnp.ones((2, 6))))
    with pytest.raises(mf.NoReductionError) as caught:
        mf.sweep({"good": problems()["d = 6"], "teacher": mf.Problem(mf.Gaussian(6), teacher)}, TS, **SIZES)
    assert "'teacher'" in caught.value.__notes__[0]
