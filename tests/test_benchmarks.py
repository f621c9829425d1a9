"""The Monte Carlo scheme of benchmarks/: its samples, its estimates of G and V, and where it goes; then every other
benchmark at tiny sizes. No times."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
import scipy.stats
from jax import random

import mfsym as mf

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
DIM, DIM_H = 10, 3
THETA = np.array([0.05, 0.3, 0.6, 0.9, 1.2, 1.5])


sys.path.append(str(FOLDER))  # where scripts find each other
load = importlib.import_module


published = load("published_step")


@pytest.fixture(scope="module")
def start():
    problem = mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H))
    return mf.solve_reduced(mf.reduce(problem), jnp.array([0.0, 0.1, 0.5]))


@pytest.fixture(scope="module", params=["published form", "rewritten"])
def drawn(request):
    """The form's name, and samples [400, 500] in its manner."""
    draw = jax.jit(published.FORMS[request.param][0], static_argnums=(1, 2, 3))
    sample = draw(random.key(1), DIM, DIM_H, 200_000)
    return request.param, jax.tree.map(lambda leaf: leaf.reshape(400, 500), sample)


def scores(values, expected):
    """Difference of the means over the leading axis from what is expected, in standard errors."""
    values = np.asarray(values, dtype=float)
    return (values.mean(axis=0) - expected) / (values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def estimates(form, weight, sample):
    """Independent estimates of (G, V) at THETA for the cloud with these weights there, [400, 6] each."""
    cloud = published.Cloud(jnp.asarray(THETA, jnp.float32), jnp.asarray(weight, jnp.float32))
    return jax.vmap(lambda one: published.FORMS[form][1](cloud, one, DIM))(sample)


def test_samples_have_the_moments_of_their_laws(drawn):
    sample = jax.tree.map(np.ravel, drawn[1])
    np.testing.assert_allclose(sample.cos**2 + sample.sin**2, 1, atol=1e-6)
    assert abs(scores(sample.cos**2, DIM_H / DIM)) < 4
    for values, dim in zip(sample[2:], (DIM_H, DIM - DIM_H) * 2, strict=True):
        assert abs(scores(values, 0)) < 4
        assert abs(scores(values**2, 1 / dim)) < 4
        assert abs(scores(values**4, 3 / (dim * (dim + 2)))) < 4  # of one coordinate of a uniform direction
    pairs = ((sample.r, sample.r_copy), (sample.s, sample.s_copy), (sample.r, sample.s), (sample.cos, sample.r))
    for values, others in pairs:
        assert abs(scores((values**2 - np.mean(values**2)) * (others**2 - np.mean(others**2)), 0)) < 4


def test_unbiased_at_the_start(drawn, start):
    """τ⁺ = τ⁻ at time 0; a cloud whose signs cancel at every angle is a cloud without weight."""
    reaction, drift = estimates(drawn[0], np.zeros(len(THETA)), drawn[1])
    assert np.max(np.abs(scores(reaction, mf.potential(start, jnp.asarray(THETA), 0)))) < 4
    assert np.max(np.abs(scores(drift, mf.drift(start, jnp.asarray(THETA), 0)))) < 4


def test_unbiased_for_a_cloud_with_weight(drawn, start):
    form, sample = drawn
    weight = np.array([3.0, -1.0, 2.0, 4.0, -2.0, 5.0])
    kernel = references.kernel_by_quadrature(THETA, THETA, DIM_H, DIM - DIM_H)
    slope = references.kernel_by_quadrature(THETA, THETA, DIM_H, DIM - DIM_H, derivative=True)
    exact = np.asarray(mf.potential(start, jnp.asarray(THETA), 0)) - kernel @ weight / len(weight)
    exact_drift = np.asarray(mf.drift(start, jnp.asarray(THETA), 0)) - slope @ weight / len(weight)
    reaction, drift = estimates(form, weight, sample)
    assert np.max(np.abs(scores(reaction, exact))) < 4
    assert np.max(np.abs(scores(drift, exact_drift))) < 4
    spoiled, _ = estimates(form, weight, sample._replace(r_copy=sample.r, s_copy=sample.s))
    assert np.max(np.abs(scores(spoiled, exact))) > 20  # one sample used twice is biased; the copies are needed


def test_both_forms_are_one_estimate(drawn):
    sample = jax.tree.map(lambda leaf: leaf[0], drawn[1])
    weight = jnp.linspace(-3, 3, 64, dtype=jnp.float32)
    cloud = published.Cloud(jnp.linspace(-0.1, 1.7, 64, dtype=jnp.float32), weight)
    with jax.default_matmul_precision("highest"):  # left to itself, a GPU rounds the products of the benchmarks
        first, second = (fields(cloud, sample, DIM) for _, fields in published.FORMS.values())
    for one, other in zip(first, second, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_scheme_goes_where_the_equation_goes(start):
    """Masses at t = 0.5 from eight clouds whose start is spread evenly, with a step short enough to be exact here."""
    length, steps, width = 2.5e-3, 200, 256
    levels = (np.arange(width // 2) + 0.5) / (width // 2)
    cosines = np.sqrt(scipy.stats.beta(DIM_H / 2, (DIM - DIM_H) / 2).ppf(levels))
    angles = jnp.asarray(np.repeat(np.arccos(cosines), 2), jnp.float32)
    weight = jnp.asarray(np.tile([1.0, -1.0], width // 2), jnp.float32)

    def run(key):
        def step(carry, _):
            options = {"dim": DIM, "dim_h": DIM_H, "batch": 500, "length": length, "form": "rewritten"}
            return published.scheme_step(*carry, **options), None

        (cloud, _), _ = jax.lax.scan(step, (published.Cloud(angles, weight), key), None, steps)
        return jnp.mean(jnp.maximum(cloud.weight, 0)), jnp.mean(jnp.maximum(-cloud.weight, 0))

    found = jax.jit(lambda keys: jax.lax.map(run, keys))(random.split(random.key(6), 8))
    for values, expected in zip(found, (start.mass_plus[-1], start.mass_minus[-1]), strict=True):
        assert abs(scores(values, float(expected))) < 4
        assert np.std(values, ddof=1) < 0.05 * float(expected)


def test_python_loop_keeps_every_state(monkeypatch):
    for name, value in {"DIM": 6, "DIM_H": 2, "WIDTH": 16, "BATCH": 20, "BLOCK": 3, "CHECKED_STEP": 6}.items():
        monkeypatch.setattr(published, name, value)
    run = published.TimedScheme("rewritten", seed=0)
    run.advance()
    run.advance()
    assert len(run.states) == 7 and len(run.seconds) == 2
    weights = np.array([state.weight for state in run.states])
    assert np.all(np.isfinite(weights)) and len(np.unique(weights[:, 0])) == 7
    fine = mf.reduce(mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2)))
    found = published.observe(run.states[0], fine)
    assert found["mass_plus"] == found["mass_minus"] == 0.5
    row = run.row("scheme", fine, {"mass_plus": 0.5, "mass_minus": 0.5, "risk": 1.0})
    plus = np.mean(np.maximum(weights[6], 0), dtype=float)
    assert row["errors"]["mass_plus"] == pytest.approx(abs(plus - 0.5), rel=1e-12)
    reference = references.risk_on_nodes(
        run.states[6].theta, weights[6] / 16, 2, 6, lambda theta: references.target_term_norm(theta, 2), 2.0
    )
    np.testing.assert_allclose(row["found"]["risk"], reference, rtol=1e-3)


def test_readme_table_can_be_renewed():
    run = load("run")
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in run.BENCHMARKS:
        for platform in ("cpu", "gpu"):
            section = f"{name} on {platform}"
            renewed = run.renewed(page, section, "new table")
            assert "\nnew table\n" in renewed and run.renewed(renewed, section, "new table") == renewed
    with pytest.raises(ValueError, match=r"README\.md must contain"):
        run.renewed("no markers", "published_step on cpu", "new table")


def test_the_steps_that_are_compared_are_one_step():
    step = load("particle_step")
    cloud, x, y = step.data(300, 200, 12)
    with jax.default_matmul_precision("highest"):  # left to itself, a GPU rounds the products of the benchmarks
        plain, blocked = step.plain_step(cloud, x, y), step.blocked_step(cloud, x, y)
    for one, other, start in zip(*map(jax.tree.leaves, (plain, blocked, cloud)), strict=True):
        assert one.dtype == other.dtype == jnp.float32
        moved = np.max(np.abs(np.asarray(one) - np.asarray(start)))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * moved + 1e-7)
    rows = step.measure([(64, 32, 8)], turns=1)["rows"]
    assert {"mfsym", "jax.value_and_grad", "the two products alone"} <= {row["name"] for row in rows}
    assert all(row["seconds"] > 0 for row in rows)


def test_a_sweep_agrees_with_single_runs():
    sweep = load("sweep")
    rows = sweep.measure(counts=(3,), turns=1)["rows"]
    assert rows[0]["count"] == 3 and rows[0]["difference"] < 1e-5


def test_laws_are_found_and_watched(standard_promotion):
    conserved, tracking = load("conserved"), load("tracking")
    found = conserved.measure(("attention",), ((2, 2, 2), (1, 2, 1)))
    assert found["rows"][0]["laws"] == 12 and found["linear"]["right"] == 2
    assert "34 minutes" in conserved.table(found)
    watched = tracking.measure(width=8, batches=(4,), turns=2)
    assert watched["rows"][0]["parameters"] == 8 * (256 + 8 + 10) + 26 and "+" in tracking.table(watched)


def test_deep_networks_are_timed(standard_promotion):
    deep = load("deep")
    found = deep.measure(widths=(4, 8), seeds=2, steps=3)
    assert found["networks"] == 4 and found["seconds"] > 0 and "4, 8" in deep.table(found)


def test_schemes_are_timed():
    schemes = load("schemes")
    found = schemes.measure(neurons=4, samples=3, width=2, steps=2, seeds=2, turns=1)
    assert [row["what"] for row in found["rows"]][1] == "one step, full data augmentation"
    assert "a group of 8 elements" in schemes.table(found)


def test_run_writes_results_after_every_benchmark(tmp_path, monkeypatch, capsys):
    run = load("run")
    first = SimpleNamespace(measure=lambda: {"rows": [1]}, table=lambda result: f"rows {result['rows']}")

    def break_down():
        raise RuntimeError

    second = SimpleNamespace(measure=break_down)
    first.FIGURE, first.save_figure = "Alt", lambda result, platform, folder: folder / f"first-{platform}.png"
    where = jax.devices()[0].platform
    page = tmp_path / "README.md"
    page.write_text(f"<!-- first on {where}: written by run.py -->\nold\n<!-- end of first on {where} -->\n", "utf-8")
    monkeypatch.setattr(run, "BENCHMARKS", {"first": first, "second": second})
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(RuntimeError):
        run.main()
    found = json.loads((tmp_path / f"results-{where}.json").read_text("utf-8"))["first"]
    assert found["rows"] == [1] and {"date", "device", "default_dtype", "versions"} <= set(found["environment"])
    assert f"![Alt](first-{where}.png)\n\nrows [1]\n- Measured" in page.read_text("utf-8")
    assert "== first" in capsys.readouterr().out


def test_exponents_are_those_of_the_larger_sizes():
    cost = load("cost")
    assert cost.exponent([1, 2, 4, 8, 16], [7.0, 7.0, 16.0, 64.0, 256.0]) == pytest.approx(2)


def test_cost_is_measured_and_drawn(tmp_path):
    cost = load("cost")
    result = cost.measure(shrink=64, turns=1, names=("exact velocity", "grid, one velocity"))
    assert [row["size"] for row in result["rows"]] == ["m", "d", "cells", "modes"]
    for row in result["rows"]:
        ratios = np.divide(row["sizes"][1:], row["sizes"][:-1])
        np.testing.assert_allclose(ratios, 2, rtol=0.02)  # labels are odd
        assert len(row["sizes"]) >= 4 and all(second > 0 for second in row["seconds"]) and np.isfinite(row["time_exponent"])
    assert "m = 8 to 128" in cost.table(result)
    assert cost.save_figure(result, "cpu", tmp_path).stat().st_size > 10_000


@pytest.mark.parametrize("method", ["grid", "characteristics"])
def test_cost_of_a_solve_is_that_of_the_equation(method):
    cost = load("cost")
    sizes = {"cells": 32, "modes": 12} if method == "grid" else {"nodes": 65, "modes": 12}
    solve, (reduced,) = cost.reduced_solve(method, **sizes)
    record = jax.jit(solve)(reduced)
    np.testing.assert_allclose(record["risk"], mf.solve_reduced(reduced, jnp.array([0.0, 10.0]), method=method).risk)
    velocity, (arrays, state) = cost.reduced_velocity(method, **sizes)
    assert jax.tree.map(jnp.shape, velocity(arrays, state)) == jax.tree.map(jnp.shape, state)


def test_derivatives_are_compared_with_the_solve():
    gradients = load("gradients")
    way = gradients.contenders(gradients.descent_solve(16, 24, 30))
    values = {name: run.step() for name, run in way.items()}
    np.testing.assert_allclose([values["forward"][0], values["reverse"][0]], values["plain"], rtol=1e-12)
    np.testing.assert_allclose(values["forward"][1], values["reverse"][1], rtol=1e-9)
    for run in way.values():
        run.advance()
    rows = gradients.rows_of("descend", {1: (30, way), 2: (60, way)})
    assert rows[0]["growth"] is None and rows[1]["growth"] == pytest.approx(1)  # the same code at both lengths
    assert rows[1]["reverse_over_plain"] > rows[1]["forward_over_plain"] / 10 > 0
    result = {"rows": rows, "turns": 1, "cells": 24, "width": 16, "samples": 24}
    assert "| 60 " in gradients.table(result)


def test_the_product_with_a_vector_is_that_of_the_velocity():
    runs = load("gradients").velocity_contenders(24)
    velocity, (_, tangent), (along, *_) = (run.step() for run in runs.values())
    product = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(along))
    assert velocity.shape == (2, 24) and float(jnp.sum(tangent)) == pytest.approx(product, rel=1e-9)


def test_large_clouds_at_a_small_size():
    large = load("large")
    result = large.measure(neurons=64, dim=8, samples=16, steps=2, exact_sizes=(2048, 6), turns=1)
    run = result["descent"]
    assert run["dtype"] == "float32" and len(run["risk"]) == 2 and run["risk"][1] < run["risk"][0]
    assert 2**25 < run["resident_bytes"] < large.LIMIT
    assert run["resident_bytes"] < 2**30  # of the child alone, without what this process has held
    assert [row["dtype"] for row in result["exact"]] == ["float64"] * 2 + ["float32"] * 2
    for row in result["exact"]:
        assert row["matrix_bytes"] == 2048**2 * np.dtype(row["dtype"]).itemsize
        assert 0 < row["temporary_bytes"] < row["matrix_bytes"] / 4
    assert "of an m × m matrix" in large.table(result)


def test_trainings_have_a_table():
    training = load("training")
    result = training.measure(32, ("second layer only",))
    assert len(result["rows"]) == 1 and "second layer only" in training.table(result)


def test_labels_are_timed_in_processes_of_their_own():
    labels = load("labels")
    result = labels.measure(nodes=4, until=0.5)
    assert set(result["rows"]) == set(labels.ROWS) and "two indices" in labels.table(result)
    assert all(0 < row["risk"] < 1 for row in result["rows"].values())


def test_detection_has_a_table(monkeypatch):
    detection = load("detection")
    monkeypatch.setattr(mf, "detect", lambda fn, inputs: None)  # what it finds has tests of its own
    monkeypatch.setattr(detection.targets, "mistakes", lambda found, drawn: ["parity"])
    monkeypatch.setattr(detection.targets, "false_symmetries", lambda found: [])
    monkeypatch.setattr(detection, "jump_mistakes", lambda found, placed: ["cannot tell"])
    found = detection.measure(
        2, kinds=detection.targets.KINDS[:1], evaluations=("plain",), jumping=detection.jumps.TABLE[:1]
    )
    assert [(row["draws"], row["right"]) for row in found["rows"]] == [(2, 0), (2, 0), (2, 2)]
    assert "| 2000, 2001 " in detection.table(found)
