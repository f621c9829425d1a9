"""Batches and data in a budget of errors: the law of a sample, published numbers, simulated networks, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from budgets import at, constant_budget, problem_of, run_of
from networks_on_samples import squared_errors

import mfsym as mf
from mfsym.fluctuations.panels import interpolation_matrix
from mfsym.fluctuations.samples import law_of
from mfsym.reduced.line.sample_moments import sample_law

TIMES = (1.0, 3.0, 10.0)
PUBLISHED = {  # problem, degree: (B/η) E‖f_η − f‖² and n E‖f_n − f‖² at these times
    ("(10,2)", 12): ((2.32737, 4.2054, 0.335), (2.32199, 11.717, 1.533)),
    ("(30,5)", 6): ((25.447, 17.700, 4.27), (25.388, 40.241, 18.3)),
    ("relu", 12): ((0.43172, 0.7629, 0.0462), (0.43081, 2.2431, 0.2246)),
}


@functools.cache
def sampled_budget(name: str, degree: int) -> mf.ErrorBudget:
    return mf.error_budget(run_of(name), degree=degree, bias=False, problem=problem_of(name))


def test_the_parts_of_an_error_add_up():
    found = constant_budget(True).error(0.3, 100, step=0.02, batch=4)
    assert found.parts == pytest.approx({"width": 0.01, "batches": 0.015})
    assert found.squared == pytest.approx(0.025) and found.share == pytest.approx(0.0125)
    assert found.next_order == pytest.approx(0.025 + 0.02 * (1 + 10 / 4))
    assert found.uncertainty == pytest.approx(0.1 / 2 / 100)
    alone = constant_budget(True).error(0.3, samples=50)
    assert alone.parts == pytest.approx({"data": 0.1}) and alone.uncertainty == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "given, or batch or samples"),
        ({"step": 0.1}, "together with batch"),
        ({"batch": 3}, "together with batch"),
        ({"step": 0.1, "batch": 3, "samples": 10}, "not derived"),
        ({"samples": 0}, "an integer of at least 1"),
        ({"step": -1.0, "batch": 3}, "a positive number"),
    ],
)
def test_an_error_that_is_not_derived_is_refused(given, words):
    with pytest.raises(mf.ArgumentError, match=words):
        constant_budget(True).error(0.3, **given)


def test_a_budget_without_samples_says_so():
    with pytest.raises(mf.ArgumentError, match=r"problem= to mf\.error_budget"):
        constant_budget(False).error(0.3, samples=10)


def test_a_cubic_is_known_from_four_points_of_a_panel():
    x = (1 - np.cos(np.pi * np.arange(8) / 7)) / 2
    known = (0, 2, 5, 7)
    np.testing.assert_allclose(interpolation_matrix(known) @ x[list(known)] ** 3, x**3, atol=1e-14)


# ---- the law of a sample ----


@pytest.mark.slow
def test_the_law_of_a_sample_is_that_of_samples():
    """E over a quarter of a million inputs of y‖x‖, y²‖x‖² and y‖x‖³, of a target with a kink and noisy labels."""
    problem = mf.Problem(mf.Gaussian(6, 1.5), mf.SingleIndex(lambda z: jnp.maximum(z - 0.5, 0.0), (0.5,)), noise=0.3)
    law = sample_law(problem)
    x, y = problem.sample(jax.random.key(3), 250_000)
    size = jnp.linalg.norm(x, axis=1)
    for found, values in ((law.mean, y * size), (law.square, (y * size) ** 2), (law.third, y * size**3)):
        error = float(jnp.std(values)) / np.sqrt(len(values))
        assert abs(float(jnp.sum(law.weights * found) - jnp.mean(values))) < 4 * error
        at_pole = values * x[:, 0] / size  # once more against cos θ
        error = float(jnp.std(at_pole)) / np.sqrt(len(values))
        assert abs(float(jnp.sum(law.weights * jnp.cos(law.angles) * found) - jnp.mean(at_pole))) < 4 * error
    assert float(law.fourth) == pytest.approx(1.5**4 * 48)
    assert float(jnp.sum(law.weights)) == pytest.approx(1)


@pytest.mark.slow
def test_samples_are_those_of_the_problem_that_was_reduced():
    reduced = mf.reduce(problem_of("(8,2)"), nodes=15)
    law_of(problem_of("(8,2)"), reduced)
    sphere = mf.Problem(mf.Sphere(8, np.sqrt(8.0)), mf.SubspaceNorm(2))  # the same run, other samples
    assert float(law_of(sphere, reduced).fourth) == pytest.approx(64)
    others = {
        "differs from that of the run": mf.Problem(mf.Gaussian(8), mf.SubspaceNorm(2, 1.1)),
        "where the run has": mf.Problem(mf.Gaussian(9), mf.SubspaceNorm(2)),
        "one that was reduced": mf.Problem(mf.Gaussian(8), mf.MultiIndex(jnp.prod, 2)),
    }
    for words, other in others.items():
        with pytest.raises(mf.ArgumentError, match=words):
            law_of(other, reduced)


# ---- published numbers, and networks ----


@pytest.mark.slow
def test_batches_and_data_have_their_numbers():
    compare_with_published("(10,2)", 12, 1e-3)
    budget = sampled_budget("(10,2)", 12)
    assert float(budget.by_batch[0]) == pytest.approx(0, abs=1e-12) and "C_b" in repr(budget)
    found = budget.error(3, 1024, step=0.02, batch=32)
    assert found.squared == pytest.approx((6.035 * 0.02) / 32, rel=2e-3)  # published beside SGD at this width


@pytest.mark.study
@pytest.mark.parametrize(("name", "degree", "rtol"), [("relu", 12, 5e-3), ("(30,5)", 6, 5e-3)])
def test_batches_and_data_of_other_problems_have_their_numbers(name, degree, rtol):
    compare_with_published(name, degree, rtol)


def compare_with_published(name: str, degree: int, rtol: float):
    budget = sampled_budget(name, degree)
    for record, wanted in zip((budget.by_batch, budget.by_samples), PUBLISHED[name, degree], strict=True):
        found = at(budget, record, TIMES)
        print(name, np.round(found, 5).tolist(), "published", wanted)
        np.testing.assert_allclose(found, wanted, rtol=rtol)


@pytest.mark.study
@pytest.mark.parametrize(
    ("fresh", "batch", "noise"), [(True, 16, 0.0), (False, 500, 0.0), (False, 500, 1.0)], ids=["batches", "data", "noisy"]
)
def test_networks_on_samples_err_as_much(fresh, batch, noise):
    """(10,2) at t = 1: 200 networks of 256 neurons in steps of .02; the next order is 1 to 3 %."""
    problem = problem_of("(10,2)", noise=noise)
    run = run_of("(10,2)", until=1.0)
    budget = mf.error_budget(run, degree=8, bias=False, problem=problem)
    size = {"step": 0.02, "batch": batch} if fresh else {"samples": batch}
    predicted = budget.error(1.0, 256, **size)
    found = squared_errors(problem, 1.0, 0.02, batch, fresh, 256, 200, jax.random.key(11))
    error = found.std(ddof=1) / np.sqrt(len(found))
    z = (found.mean() - predicted.squared) / error
    print(f"{predicted}\nnetworks {found.mean():.4e} ± {error:.1e}, z {z:+.1f}")
    assert abs(z) < 3 + 0.04 * predicted.squared / error
    assert predicted.parts["width"] < 0.6 * predicted.squared
