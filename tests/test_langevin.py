"""Equilibria of noisy training on the sphere and their relaxation: published numbers, finite differences, particles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import mfsym as mf

CASES = {  # (d, d_H), mass of either sign, β: F, J, alignments
    "(30,5)": ((30, 5), 10.0, 0.01, 2.413330, 2.450945, 0.2386, 0.1232),
    "(30,5) warm": ((30, 5), 10.0, 0.1, 2.487709, 2.493755, None, None),
    "(30,1)": ((30, 1), 4.0, 0.01, 0.4464947, 0.476057, 0.1085, 0.0183),
    "(30,1) cold": ((30, 1), 4.0, 0.003, 0.3611650, 0.4170332, None, None),
    "(10,2)": ((10, 2), 3.0, 0.01, 0.8795709, 0.9226842, 0.494998, 0.096127),
}
RATES = {  # block: Poincaré gap +, −, rate, all divided by β
    "(30,5)": {(0, 0): (47.527, 77.504, 56.833), (1, 0): (19.922, 39.581, 29.42), (0, 1): (31.79, 27.502, 29.633)},
    "(30,1)": {(0, 0): (23.806, 107.15, 33.724), (1, 0): (7.970, 53.677, 26.102)},
    "(30,1) cold": {(1, 0): (1.376, 67.41, 13.18)},
    "(10,2)": {(1, 0): (2.814, 19.761, 9.234)},
}


@functools.cache
def solved(name: str) -> mf.Equilibrium:
    (dim, dim_h), mass, temperature = CASES[name][:3]
    problem = mf.Problem(mf.Gaussian(dim), mf.SubspaceNorm(dim_h))
    return mf.equilibrium(problem, temperature=temperature, masses=(mass, mass))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_published_equilibria(name):
    eq, (*_, risk, free_energy, plus, minus) = solved(name), CASES[name]
    reduction, dim_h = eq.reduction, CASES[name][0][1]
    assert float(reduction.floor + reduction.tail + jnp.sum(reduction.coefficients**2) / 2) == pytest.approx(dim_h / 2)
    # The table stops after 24 harmonics: it leaves out the energy of the target beyond them.
    beyond = float(reduction.tail + jnp.sum(reduction.coefficients[24:] ** 2) / 2)
    assert float(eq.risk) - beyond == pytest.approx(risk, abs=6e-7)
    assert float(eq.free_energy) - beyond == pytest.approx(free_energy, abs=6e-7)
    assert 0 <= float(eq.certificate) < 1e-9
    if plus is not None:
        assert float(eq.alignment_plus) == pytest.approx(plus, abs=6e-5)
        assert float(eq.alignment_minus) == pytest.approx(minus, abs=6e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", RATES)
def test_published_rates(name):
    found = mf.relaxation(solved(name), blocks=tuple(RATES[name]))
    for row in found.rows:
        beta = found.temperature
        wanted = RATES[name][row.block]
        np.testing.assert_allclose(np.array([row.gap_plus, row.gap_minus, row.rate]) / beta, wanted, rtol=4e-4)
    assert found.slowest.rate == min(row.rate for row in found.rows) and "rate" in str(found)


def on_a_grid(name: str, count: int = 1500):
    """Centres, width and both laws q of an equilibrium in equal cells."""
    eq = solved(name)
    edges = np.linspace(0, np.pi / 2, count + 1)
    theta = (edges[1:] + edges[:-1]) / 2
    width = edges[1] - edges[0]
    law = np.asarray(eq.density(jnp.asarray(theta)))
    return eq, theta, width, law / np.asarray(eq.gibbs.masses)[:, None]


@pytest.mark.slow
def test_the_density_has_the_masses_and_the_alignment():
    eq, theta, width, law = on_a_grid("(10,2)")
    np.testing.assert_allclose(law.sum(axis=1) * width, 1, rtol=1e-5)
    aligned = (law * np.cos(theta) ** 2).sum(axis=1) * width
    np.testing.assert_allclose(aligned, [float(eq.alignment_plus), float(eq.alignment_minus)], rtol=1e-4)


@pytest.mark.slow
def test_gaps_and_rate_agree_with_finite_differences():
    """Block (1, 0) of (10,2): the one feature is cos θ/(2√d_H), and gradients are differences between cells."""
    eq, theta, width, law = on_a_grid("(10,2)", 300)
    beta, masses = float(eq.gibbs.temperature), np.asarray(eq.gibbs.masses)
    feature, casimir = np.cos(theta) / (2 * np.sqrt(2)), 1.0
    matrices, gaps = [], []
    for q in law:
        face = np.sqrt(q[1:] * q[:-1])  # q on the face between two cells
        stiffness = np.zeros((len(q), len(q)))
        index = np.arange(len(q) - 1)
        for i, j, sign in ((0, 0, 1), (1, 1, 1), (0, 1, -1), (1, 0, -1)):
            stiffness[index + i, index + j] += sign * face / width
        stiffness += np.diag(q * casimir / np.cos(theta) ** 2 * width)
        matrices.append(stiffness)
        root = np.sqrt(q * width)
        gaps.append(beta * scipy.linalg.eigvalsh(stiffness / np.outer(root, root), subset_by_index=(0, 0))[0])
    answer = np.concatenate([e * m * q * width * feature for e, m, q in zip((1, -1), masses, law, strict=True)])
    stored = np.diag(np.concatenate([beta * m * q * width for m, q in zip(masses, law, strict=True)]))
    stored += np.outer(answer, answer)
    count, dissipated = len(theta), np.zeros((2 * len(theta),) * 2)
    for i, (e, m, stiffness) in enumerate(zip((1, -1), masses, matrices, strict=True)):
        onto = np.zeros((count, 2 * count))
        onto[:, i * count : (i + 1) * count] = beta * np.eye(count)
        onto += e * np.outer(feature, answer)
        dissipated += m * onto.T @ stiffness @ onto
    scale = 1 / np.sqrt(np.diag(stored))
    rate = scipy.linalg.eigh(scale[:, None] * dissipated * scale, scale[:, None] * stored * scale, eigvals_only=True)[0]
    row = mf.relaxation(eq, blocks=((1, 0),)).rows[0]
    np.testing.assert_allclose([row.gap_plus, row.gap_minus, row.rate], [*gaps, rate], rtol=4e-3)


@pytest.mark.slow
def test_derivatives_are_those_of_the_envelope():
    """dJ*/dβ is the entropy Σ M KL = (J − F)/β, and the certificate covers every other force."""
    problem = mf.Problem(mf.Gaussian(10), mf.SubspaceNorm(2))

    def least(beta):
        return mf.equilibrium(problem, temperature=beta, masses=(3.0, 3.0)).free_energy

    eq = solved("(10,2)")
    beta = eq.gibbs.temperature
    assert float(jax.grad(least)(beta)) == pytest.approx(float((eq.free_energy - eq.risk) / beta), rel=1e-8)
    risk = functools.partial(mf.equilibrium, problem, masses=(3.0, 3.0))
    slope = jax.grad(lambda b: risk(temperature=b).risk)(beta)
    step = 1e-5
    above, below = (float(risk(temperature=beta + s).risk) for s in (step, -step))
    assert float(slope) == pytest.approx((above - below) / (2 * step), rel=1e-5)


def test_what_has_no_equilibrium_here_is_refused():
    for target, unit in (
        (mf.BlockNorms((1, 2), (1.0, 2.0)), None),
        (mf.SubspaceNorm(4), None),
        (mf.SubspaceNorm(2), mf.GELU()),
    ):
        with pytest.raises(mf.NoReductionError, match="one angle"):
            mf.equilibrium(mf.Problem(mf.Gaussian(4), target, unit))
