"""The Monte Carlo scheme of benchmarks/: its samples, its estimates of G and V, and where it goes. No times."""

import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
from jax import random

import mfsym as mf

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
DIM, DIM_H = 10, 3
THETA = np.array([0.05, 0.3, 0.6, 0.9, 1.2, 1.5])


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


published = load("published_step")


@pytest.fixture(scope="module")
def start():
    problem = mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H))
    return mf.solve_reduced(mf.reduce(problem), jnp.array([0.0, 0.1]))


def scores(values, expected):
    """Difference of the means over the leading axis from what is expected, in standard errors."""
    values = np.asarray(values, dtype=float)
    return (values.mean(axis=0) - expected) / (values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def estimates(form, weight, biased=False, draws=400, batch=500):
    """Independent estimates of (G, V) at THETA for the cloud with these weights there, [draws, 6] each."""
    sample, fields = published.FORMS[form]
    cloud = published.Cloud(jnp.asarray(THETA, jnp.float32), jnp.asarray(weight, jnp.float32))

    def one(key):
        drawn = sample(key, DIM, DIM_H, batch)
        if biased:
            drawn = drawn._replace(r_copy=drawn.r, s_copy=drawn.s)
        return fields(cloud, drawn, DIM)

    return jax.jit(jax.vmap(one))(random.split(random.key(1), draws))


@pytest.mark.parametrize("form", ["published form", "rewritten"])
def test_samples_have_the_moments_of_their_laws(form):
    drawn = published.FORMS[form][0](random.key(2), DIM, DIM_H, 40_000)
    np.testing.assert_allclose(drawn.cos**2 + drawn.sin**2, 1, atol=1e-6)
    assert abs(scores(drawn.cos**2, DIM_H / DIM)) < 4
    for values, dim in zip(drawn[2:], (DIM_H, DIM - DIM_H) * 2, strict=True):
        assert abs(scores(values, 0)) < 4
        assert abs(scores(values**2, 1 / dim)) < 4
        assert abs(scores(values**4, 3 / (dim * (dim + 2)))) < 4  # of one coordinate of a uniform direction
    for values, copies in ((drawn.r, drawn.r_copy), (drawn.s, drawn.s_copy), (drawn.r, drawn.s)):
        assert abs(scores(values**2 * copies**2, float(np.mean(values**2) * np.mean(copies**2)))) < 4


@pytest.mark.parametrize("form", ["published form", "rewritten"])
def test_unbiased_at_the_start(form, start):
    # τ⁺ = τ⁻ at time 0, and a cloud whose signs cancel at every angle is a cloud without weight.
    reaction, drift = estimates(form, np.zeros(len(THETA)))
    assert np.max(np.abs(scores(reaction, mf.potential(start, jnp.asarray(THETA), 0)))) < 4
    assert np.max(np.abs(scores(drift, mf.drift(start, jnp.asarray(THETA), 0)))) < 4


@pytest.mark.parametrize("form", ["published form", "rewritten"])
def test_unbiased_for_a_cloud_with_weight(form, start):
    weight = np.array([3.0, -1.0, 2.0, 4.0, -2.0, 5.0])
    kernel = references.kernel_by_quadrature(THETA, THETA, DIM_H, DIM - DIM_H)
    slope = references.kernel_by_quadrature(THETA, THETA, DIM_H, DIM - DIM_H, derivative=True)
    exact = np.asarray(mf.potential(start, jnp.asarray(THETA), 0)) - kernel @ weight / len(weight)
    exact_drift = np.asarray(mf.drift(start, jnp.asarray(THETA), 0)) - slope @ weight / len(weight)
    reaction, drift = estimates(form, weight)
    assert np.max(np.abs(scores(reaction, exact))) < 4
    assert np.max(np.abs(scores(drift, exact_drift))) < 4
    spoiled, _ = estimates(form, weight, biased=True)  # one sample used twice is what the copies are for
    assert np.max(np.abs(scores(spoiled, exact))) > 20


def test_both_forms_are_one_estimate():
    drawn = published.published_sample(random.key(3), DIM, DIM_H, 300)
    cloud = published.start_cloud(random.key(4), DIM, DIM_H, 64)
    first, second = (fields(cloud, drawn, DIM) for _, fields in published.FORMS.values())
    for one, other in zip(first, second, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_scheme_goes_where_the_equation_goes(start):
    """Masses at t = 0.5 from eight clouds whose start is spread evenly, with a step short enough to be exact here."""
    length, steps, width = 2.5e-3, 200, 256
    square = random.beta(random.key(5), 1.5, 3.5, (20_000,), jnp.float32)  # cos² θ_0 ~ Beta(d_H/2, d_⊥/2)
    angles = jnp.repeat(jnp.quantile(jnp.arccos(jnp.sqrt(square)), (jnp.arange(width // 2) + 0.5) / (width // 2)), 2)
    weight = jnp.tile(jnp.array([1.0, -1.0], jnp.float32), width // 2)

    def run(key):
        def step(carry, _):
            options = {"dim": DIM, "dim_h": DIM_H, "batch": 500, "length": length, "form": "rewritten"}
            return published.scheme_step(*carry, **options), None

        (cloud, _), _ = jax.lax.scan(step, (published.Cloud(angles.astype(jnp.float32), weight), key), None, steps)
        return jnp.mean(jnp.maximum(cloud.weight, 0)), jnp.mean(jnp.maximum(-cloud.weight, 0))

    found = jax.jit(jax.vmap(run))(random.split(random.key(6), 8))
    exact = mf.solve_reduced(start.model, jnp.array([0.0, 0.5]))
    for values, expected in zip(found, (exact.mass_plus[-1], exact.mass_minus[-1]), strict=True):
        assert abs(scores(values, float(expected))) < 4
        assert np.std(values, ddof=1) < 0.05 * float(expected)


def test_python_loop_keeps_every_state(monkeypatch):
    for name, value in {"DIM": 6, "DIM_H": 2, "WIDTH": 16, "BATCH": 20, "BLOCK": 3, "CHECKED_STEP": 6}.items():
        monkeypatch.setattr(published, name, value)
    run = published.TimedScheme("published form", seed=0)
    run.advance()
    run.advance()
    assert len(run.states) == 7 and len(run.seconds) == 2
    weights = np.array([state.weight for state in run.states])
    assert np.all(np.isfinite(weights)) and len(np.unique(weights[:, 0])) == 7
    fine = mf.reduce(mf.Problem(mf.Gaussian(6), mf.SubspaceNorm(2)))
    found = published.observe(run.states[0], fine)
    assert found["mass_plus"] == found["mass_minus"] == 0.5
    row = run.row("scheme", fine, {"mass_plus": 0.5, "mass_minus": 0.5, "risk": 1.0})
    assert row["errors"]["mass_plus"] == abs(float(np.mean(np.maximum(weights[6], 0))) - 0.5)
    reference = references.risk_on_nodes(
        run.states[6].theta, weights[6] / 16, 2, 6, lambda theta: references.target_term_norm(theta, 2), 2.0
    )
    np.testing.assert_allclose(row["found"]["risk"], reference, rtol=1e-3)


def test_readme_table_can_be_renewed(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    run = load("run")
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    renewed = run.renewed(page, "published_step", "new table")
    assert "\nnew table\n" in renewed and run.renewed(renewed, "published_step", "new table") == renewed
    with pytest.raises(ValueError, match=r"README\.md must contain"):
        run.renewed("no markers", "published_step", "new table")
