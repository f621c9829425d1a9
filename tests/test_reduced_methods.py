"""Grid against characteristics on six problems, and both against a kernel without harmonics."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import problems
import pytest
import references

import mfsym as mf

# |x_1| in 20 dimensions needs four times the modes of the others: minutes of the suite.
MARKS = {"absolute value in 20": pytest.mark.slow}
CASES = [pytest.param(case, marks=MARKS.get(case.name, ()), id=case.name) for case in problems.SIX]
SIX = pytest.mark.parametrize("case", CASES)
ONE, TEN, TWENTY, HUNDRED = range(1, 5)  # indices into problems.TIMES


def masses(solution):
    return np.stack([solution.mass_plus, solution.mass_minus], axis=1)


@SIX
def test_masses_of_the_two_methods(case):
    difference = np.abs(masses(problems.tight_run(case, "grid")) - masses(problems.tight_run(case, "characteristics")))
    print(f"{case.name}: masses differ by {difference.max(axis=1)} at t = {problems.TIMES}")
    assert difference[ONE].max() < 1e-8
    assert difference[TWENTY].max() < 1e-6


@SIX
def test_every_observable_of_the_two_methods(case):
    grid, labels = problems.tight_run(case, "grid"), problems.tight_run(case, "characteristics")
    assert set(grid.observables) == set(labels.observables)
    for name in grid.observables:
        np.testing.assert_allclose(
            grid.observables[name][: TWENTY + 1], labels.observables[name][: TWENTY + 1], rtol=1e-4, atol=1e-8
        )


@SIX
def test_densities_are_not_negative(case):
    states = np.asarray(problems.tight_run(case, "grid").states)
    assert np.all(states >= -1e-14 * states.max(axis=2, keepdims=True))


@pytest.mark.slow
@SIX
def test_twice_the_modes(case):
    run = problems.tight_run(case, "characteristics")
    reduced = problems.reduction(case).all_modes()
    twice = mf.solve_reduced(reduced, run.ts, method="characteristics", rtol=1e-11, atol=1e-12)
    change, risk = np.abs(masses(twice) - masses(run)).max(), np.abs(twice.risk / run.risk - 1).max()
    print(f"{case.name}: twice the modes change the masses by {change:.1e}, the risk by {risk:.1e}")
    assert change < (1e-6 if case.kind == "radial" else 1e-4)
    assert risk < 2e-3


@pytest.mark.parametrize(
    ("case", "index"),
    [(case, TWENTY) for case in problems.SIX] + [(problems.SINGLE_INDEX[0], HUNDRED)],
    ids=lambda value: getattr(value, "name", f"t = {problems.TIMES[value]:g}" if isinstance(value, int) else None),
)
def test_risk_without_harmonics(case, index):
    run = problems.tight_run(case, "characteristics")
    theta, weight = problems.atoms(run, index)
    kept = np.abs(weight) > 1e-8 * np.abs(weight).max()
    theta, weight = theta[kept], weight[kept]
    nodes = {"nodes": 32, "rule": "gauss-jacobi"} if case.dim_h >= 5 else {"nodes": 64 if case.dim_h == 1 else 40}
    risk = risk_in_blocks(case, theta, weight, nodes)
    print(f"{case.name}: F = {float(run.risk[index]):.10f}, without harmonics {risk:.10f}")
    assert float(run.risk[index]) == pytest.approx(risk, abs=1e-6)


def risk_in_blocks(case, theta, weight, nodes):
    """references.risk_on_nodes, the double sum in blocks of rows above the diagonal (memory, time)."""
    g = case.target_term(theta) if case.g is None else target_term_on(case, theta)
    total = case.energy - 2 * g @ weight
    for rows in np.array_split(np.arange(len(theta)), 40):
        columns = np.arange(rows[0], len(theta))
        if case.g is None:
            kernel = references.kernel_by_quadrature(theta[rows], theta[columns], case.dim_h, case.dim - case.dim_h, **nodes)
        else:
            kernel = references.kernel_single_index(theta[rows], theta[columns], case.dim, **nodes)
        twice = np.where(columns > rows[-1], 2.0, 1.0)
        total += weight[rows] @ kernel @ (twice * weight[columns])
    return total / 2


def target_term_on(case, theta):
    """g* at many angles: a Chebyshev series of the reference on each half, smooth there for these targets."""
    knots = (np.cos(np.pi * (np.arange(40) + 0.5) / 40) + 1) / 2
    values = np.empty_like(theta)
    for low in (0.0, np.pi / 2):
        half = (theta >= low) & (theta <= low + np.pi / 2)
        series = np.polynomial.chebyshev.chebfit(2 * knots - 1, case.target_term(low + np.pi / 2 * knots), 39)
        values[half] = np.polynomial.chebyshev.chebval(4 * (theta[half] - low) / np.pi - 1, series)
    return values


def test_reference_run_to_seven_digits():
    run = problems.tight_run(problems.RADIAL[0], "characteristics")
    for t in (1, 10, 100):
        i = problems.TIMES.index(t)
        plus, minus, distance_plus, distance_minus, risk = references.REFERENCE_RUN[t]
        assert float(run.mass_plus[i]) == pytest.approx(plus, abs=6e-7)
        assert float(run.mass_minus[i]) == pytest.approx(minus, abs=6e-8)
        assert float(run.distance_plus[i]) == pytest.approx(distance_plus, abs=6e-7)
        assert float(run.distance_minus[i]) == pytest.approx(distance_minus, abs=6e-7)
        assert float(run.risk[i]) == pytest.approx(risk, rel=1e-5)


@pytest.mark.parametrize("method", ["grid", "characteristics"])
def test_absolute_value(method):
    """|x_1|, d = 20, against a run without harmonics."""
    run = problems.tight_run(problems.SINGLE_INDEX[0], method)
    for t, digits in ((10, (1e-6, 1e-6, 2e-7)), (100, (1e-5, 1e-5, 1.3e-6))):
        plus, minus, risk = references.ABSOLUTE_VALUE_RUN[t]
        index = problems.TIMES.index(t)
        assert float(run.mass_plus[index]) == pytest.approx(plus, abs=digits[0])
        assert float(run.mass_minus[index]) == pytest.approx(minus, abs=digits[1])
        assert float(run.risk[index]) == pytest.approx(risk, abs=digits[2])  # within 1 % at t = 100


def test_absolute_value_by_its_two_reductions():
    """g(x_1) = |x_1| on [0, π] and ‖x_H‖ with d_H = 1 on [0, π/2] are one problem."""
    run = problems.tight_run(problems.SINGLE_INDEX[0], "characteristics")
    other = mf.reduce(mf.Problem(mf.Gaussian(20), mf.SubspaceNorm(1)), **problems.SIZES["radial"])
    radial = mf.solve_reduced(other, run.ts, method="characteristics", rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(masses(radial)[: TWENTY + 1], masses(run)[: TWENTY + 1], atol=1e-6)
    np.testing.assert_allclose(radial.alignment_plus, run.alignment_plus, atol=1e-5)


def test_fewer_modes_are_seen():
    """The comparison with twice the modes can fail: eight modes are not enough for |x_1|."""
    case = problems.SINGLE_INDEX[0]
    theta, weight = problems.atoms(problems.tight_run(case, "characteristics"), TWENTY)
    reduced = dataclasses.replace(problems.reduction(case), modes=8).resolved()
    values = np.asarray(reduced.features(jnp.asarray(theta))[0])
    truncated = float(reduced.risk(jnp.asarray(values @ weight)))
    assert abs(truncated - float(problems.tight_run(case, "characteristics").risk[TWENTY])) > 1e-4


def test_what_a_solution_says():
    run = problems.tight_run(problems.SINGLE_INDEX[0], "grid")
    with pytest.raises(AttributeError, match="`distance_plus` has no meaning for this problem"):
        _ = run.distance_plus
    with pytest.raises(AttributeError, match=r"no attribute `mass`.*mass_minus, mass_plus"):
        _ = run.mass
    record = run.as_dict()
    assert record["distance_plus"] is None and record["t"] == list(problems.TIMES)
    assert record["status"] == "The run reached its last time."
    assert "mass_plus" in repr(run)
