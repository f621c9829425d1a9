"""`solve_reduced`: published and exact values, batches, restarts, error estimates, precision."""

import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
import references

import mfsym as mf
from mfsym.reduced.line.transport import GridDynamics


@pytest.mark.parametrize("method", ["grid", "characteristics"])
@pytest.mark.parametrize("t", [0, 1, 3, 10, 100])
def test_reference_run(t, method):
    """d = 30, d_H = 5 with 200 cells and default settings."""
    run = problems.reference_run(method)
    i = problems.REFERENCE_TIMES.index(t)
    plus, minus, distance_plus, distance_minus, risk = references.REFERENCE_RUN[t]
    assert float(run.mass_plus[i]) == pytest.approx(plus, abs=2e-4)
    assert float(run.mass_minus[i]) == pytest.approx(minus, abs=2e-4)
    assert float(run.distance_plus[i]) == pytest.approx(distance_plus, abs=1e-3)
    assert float(run.distance_minus[i]) == pytest.approx(distance_minus, abs=1e-3)
    assert float(run.risk[i]) == pytest.approx(risk, rel=0.01)


@pytest.mark.slow
def test_table_of_dimension_forty_in_one_batch():
    """Ten problems as one: exact masses within 1e-4, by one vmapped call over stacked reductions."""
    cases = references.DIM_40_TABLE
    reductions = [problems.small_reduction(200, mf.Problem(mf.Gaussian(40), mf.SubspaceNorm(dim_h))) for dim_h in cases]
    ts = jnp.array([0.0, 10.0])
    batch = jax.vmap(lambda reduced: mf.solve_reduced(reduced, ts))(mf.stack(reductions))
    seen = np.stack([batch.mass_plus[:, 1], batch.mass_minus[:, 1]], axis=1)
    print("d_H   this run             exact                Euler 5e-3           published (Monte Carlo)")
    for row, (dim_h, (exact, published, euler)) in zip(seen, cases.items(), strict=True):
        cells = "".join(f"{plus:10.5f} {minus:9.7f} " for plus, minus in (row, exact, euler, published))
        print(f"{dim_h:3d} {cells}")
    np.testing.assert_allclose(seen, [exact for exact, _, _ in cases.values()], atol=1e-4)
    for index in (0, 4):
        single = mf.solve_reduced(reductions[index], ts)
        for name, values in single.observables.items():
            np.testing.assert_allclose(batch.observables[name][index], values, rtol=1e-6, atol=1e-9)
    assert bool(jnp.all(batch.succeeded)) and bool(jnp.all(batch.valid))
    assert "batch" in repr(batch) and "batch" in batch.sentence()


@pytest.mark.slow
def test_restart_from_the_final_state():
    reduced, half = problems.small_reduction(100), jnp.array([0.0, 1.0])
    first = mf.solve_reduced(reduced, half, rtol=1e-10, atol=1e-10)
    second = mf.solve_reduced(reduced, half, rtol=1e-10, atol=1e-10, initial=first.final)
    whole = mf.solve_reduced(reduced, 2 * half, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(second.final, whole.final, atol=1e-8)
    for name, values in whole.observables.items():
        np.testing.assert_allclose(second.observables[name][1], values[1], atol=1e-8)
        np.testing.assert_allclose(second.observables[name][0], first.observables[name][1], atol=1e-12)


@pytest.mark.slow
def test_error_estimate_bounds_the_error():
    """At 100 cells and the default tolerance, against 1600 cells with errors of time stepping below 1e-9."""
    run = mf.solve_reduced(problems.small_reduction(100), jnp.array([0.0, 1.0]), error=True)
    fine = problems.small_run(1600)
    assert set(run.error) == set(run.observables)
    for name, estimate in run.error.items():
        true = abs(float(run.observables[name][1] - fine.observables[name][1]))
        print(f"{name}: error {true:.1e}, estimate {float(estimate[1]):.1e}")
        assert true <= float(estimate[1]) + 1e-12
        assert float(estimate[1]) <= 10 * true + 1e-9
        assert float(estimate[0]) < 1e-4


class Traced(Exception):
    """Raised instead of compiling."""


@pytest.mark.slow
def test_new_numbers_compile_nothing(monkeypatch):
    """Runs that differ in numbers only share one compiled function; new shapes do not."""
    ts, options = jnp.array([0.0, 1.0]), {"derivative": "forward"}  # as in the shared run
    problems.small_run(100)

    def prepare(self):
        raise Traced

    monkeypatch.setattr(GridDynamics, "prepare", prepare)
    start = mf.SphereStart(0.2, 0.9)
    for problem in (
        mf.Problem(mf.Gaussian(30, 1.2), mf.SubspaceNorm(5, 0.7)),
        mf.Problem(mf.Sphere(17, 3.0), mf.SubspaceNorm(4), start=start),
        mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(1), unit=mf.LeakyReLU(0.1)),
    ):
        run = mf.solve_reduced(problems.small_reduction(100, problem), 1.5 * ts, rtol=1e-5, atol=1e-7, **options)
        assert bool(run.succeeded)
    with pytest.raises(Traced):
        mf.solve_reduced(problems.small_reduction(102), ts, **options)
    with pytest.raises(Traced):
        mf.solve_reduced(problems.small_reduction(100), jnp.array([0.0, 1.0, 2.0]), **options)


def test_reduce_and_solve_inside_jit():
    ts = jnp.array([0.0, 1.0])

    @jax.jit
    def final_masses(scale, mass):
        problem = mf.Problem(mf.Gaussian(30), mf.SubspaceNorm(5, scale), start=mf.SphereStart(mass, 0.5))
        run = mf.solve_reduced(problems.small_reduction(100, problem), ts, rtol=1e-10, atol=1e-10)
        return run.mass_plus[1], run.mass_minus[1]

    run = problems.small_run(100)
    seen = final_masses(jnp.asarray(1.0), jnp.asarray(0.5))
    np.testing.assert_allclose(seen, [run.mass_plus[1], run.mass_minus[1]], rtol=1e-12)


@pytest.mark.slow
def test_a_start_may_be_traced_batched_or_a_constant():
    reduced, ts = problems.small_reduction(16), jnp.array([0.0, 0.5])
    start = mf.solve_reduced(reduced, ts).final

    def last_risk(state, ts):
        return mf.solve_reduced(reduced, ts, initial=state).risk[-1]

    expected = last_risk(start, ts)
    np.testing.assert_allclose(jax.jit(lambda ts: last_risk(start, ts))(ts), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(last_risk, (0, None))(jnp.stack([start, start]), ts), [expected] * 2, rtol=1e-12)
    slope = jax.grad(last_risk)(start, ts)
    change = last_risk(start * (1 + 1e-5), ts) - last_risk(start * (1 - 1e-5), ts)
    assert float(jnp.sum(slope * start)) == pytest.approx(float(change) / 2e-5, rel=1e-5)


@pytest.mark.slow
def test_an_end_before_the_last_time():
    reduced, ts = problems.small_reduction(100), jnp.array([0.0, 0.01, 50.0])
    with pytest.raises(mf.SolveError, match="max_steps") as caught:
        mf.solve_reduced(reduced, ts, max_steps=20)
    partial = mf.solve_reduced(reduced, ts, max_steps=20, throw=False)
    for solution in (partial, caught.value.solution):
        assert not bool(solution.succeeded)
        np.testing.assert_array_equal(solution.valid, [True, True, False])
        assert "used up `max_steps`" in solution.sentence() and "0.01" in solution.sentence()
        assert solution.as_dict()["risk"][2] is None
        assert np.isfinite(solution.final).all()
    assert float(partial.risk[1]) < float(partial.risk[0])


@pytest.mark.float32
@pytest.mark.parametrize("method", ["grid", "characteristics"])
def test_single_precision(method):
    """In float32 with its own tolerances (1e-4): masses within 1e-3, the risk within 1e-3 of its start."""
    reduced = mf.reduce(problems.RADIAL[0].problem(), cells=100, nodes=63, modes=16, dtype=jnp.float32)
    run = mf.solve_reduced(reduced, jnp.array([0.0, 1.0, 3.0]), method=method)
    assert {leaf.dtype for leaf in jax.tree.leaves((run.ts, run.observables, run.states))} == {jnp.dtype("float32")}
    for index, t in enumerate((0, 1, 3)):
        plus, minus, distance_plus, distance_minus, risk = references.REFERENCE_RUN[t]
        names = ("mass_plus", "mass_minus", "distance_plus", "distance_minus")
        seen = [float(run.observables[name][index]) for name in names]
        np.testing.assert_allclose(seen, [plus, minus, distance_plus, distance_minus], atol=1e-3)
        assert float(run.risk[index]) == pytest.approx(risk, abs=2.5e-3)
