"""Runs that diverge: a status sentence, the last valid time, SolveError with what was computed, exit code 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.__main__ import main

PROBLEM = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2))
STEP = 40.0


def cloud():
    return mf.sphere_cloud(PROBLEM, width=8, key=jax.random.key(0))


def steps_until_infinite(recorded):
    """Plain gradient descent, one step after another, with jnp only: first recorded index whose risk is not finite."""
    risk, present = mf.risk_of(PROBLEM), cloud()
    for index in range(recorded):
        if not bool(jnp.isfinite(risk.value(present))):
            return index
        velocity = risk.velocity(present)
        moved = jax.tree.map(lambda z, v: z + STEP * v, present, velocity)
        present = moved
    return recorded


DIVERGING = {
    "descend": lambda throw: mf.descend(PROBLEM, cloud(), 16, learning_rate=STEP, throw=throw),
    "training": lambda throw: mf.solve_particles(
        PROBLEM, cloud(), STEP * np.arange(17), training=mf.Training(step=STEP), throw=throw, derivative="forward"
    ),
    "step": lambda throw: mf.solve_particles(
        PROBLEM, cloud(), STEP * np.arange(17), step=STEP, throw=throw, derivative="forward"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", DIVERGING)
def test_when_and_why(way):
    first_bad = steps_until_infinite(17)
    assert 2 < first_bad < 17
    solution = DIVERGING[way](False)
    np.testing.assert_array_equal(solution.valid, np.arange(17) < first_bad)
    sentence = solution.sentence()
    assert "not finite" in sentence and "smaller steps" in sentence
    assert f"Last valid time: {STEP * (first_bad - 1):g}, where the risk was" in sentence
    assert " at the start." in sentence  # how it grew
    with pytest.raises(mf.SolveError) as caught:
        DIVERGING[way](True)
    assert sentence in str(caught.value)
    assert float(caught.value.solution.risk[first_bad - 1]) > 1e3 * float(caught.value.solution.risk[0])


def test_fresh_samples_that_diverge():
    options = {"samples": 8, "step": STEP, "key": jax.random.key(1), "throw": False, "derivative": "forward"}
    solution = mf.solve_particles(PROBLEM, cloud(), STEP * np.arange(17), **options)
    assert not bool(solution.succeeded) and "Last valid time" in solution.sentence()


def test_a_target_beyond_the_floating_type_is_refused():
    with pytest.raises(mf.ArgumentError, match=r"Argument `reduced` .* target of mass"):
        reduced = mf.reduce(mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2, 1e200)), cells=16, nodes=15, modes=8)
        mf.solve_reduced(reduced, np.array([0.0, 1.0]))


@pytest.mark.slow
def test_a_target_too_large_for_clouds_says_so():
    problem = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2, 1e200))
    solution = mf.solve_particles(problem, cloud(), np.array([0.0, 1.0]), throw=False, max_steps=64, derivative="forward")
    assert not bool(solution.succeeded) and not bool(jnp.any(solution.valid))
    assert "Last valid time: none" in solution.sentence()


def test_the_command_line_ends_with_code_1_and_one_line(capsys):
    code = main(["solve", "--dim", "6", "--dim-h", "2", "--cells", "16", "--nodes", "15", "--modes", "8", "--until", "1e9",
                 "--method", "upwind", "--records", "3", "--rtol", "1e-14"])  # fmt: skip
    captured = capsys.readouterr()
    assert code == 1 and captured.out == ""
    line = captured.err.splitlines()[-1]
    assert captured.err.count("\n") == 1 and line.startswith("mfsym: The run stopped early") and "Last valid time" in line


def test_memory_ends_with_code_1_and_one_line(capsys, monkeypatch):
    def full(options):
        raise MemoryError("Unable to allocate\n745. GiB")

    monkeypatch.setattr("mfsym.__main__.run_demo", full)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "mfsym: Unable to allocate 745. GiB\n"
