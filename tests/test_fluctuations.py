"""Fluctuations of finite networks: blocks, their response by two routes, published numbers, refusals."""

import functools

import block_flows
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.reduced.line.isotypic import Powers, block_features, blocks_of, evaluate
from mfsym.fluctuations.panels import budget_times, integration_matrix, panels_of, value_at


def relu(z):
    return jnp.maximum(z, 0.0)


def mixed(z):
    """He_2/√2 and half of He_1: learnt, but slowly at first."""
    return (z**2 - 1) / np.sqrt(2) + z / 2


PROBLEMS = {
    "(30,5)": (30, mf.SubspaceNorm(5)),
    "(10,2)": (10, mf.SubspaceNorm(2)),
    "(8,2)": (8, mf.SubspaceNorm(2)),
    "relu": (10, mf.SingleIndex(relu)),
    "mixed": (10, mf.SingleIndex(mixed)),
}


@functools.cache
def run_of(name: str, until: float = 10.0, nodes: int = 63, weight_decay: float = 0.0) -> mf.Solution:
    dim, target = PROBLEMS[name]
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), target), nodes=nodes)
    training = mf.Training(weight_decay=weight_decay)
    options = {"method": "characteristics", "derivative": "forward"}
    return mf.solve_reduced(reduced, mf.budget_times(until), training=training, **options)


def at(budget, record, times):
    return np.array([value_at(budget.ts, record, t) for t in times])


# ---- panels ----


def test_panels_integrate_and_interpolate_polynomials_of_degree_seven():
    ts = budget_times(10.0)
    panels = panels_of(ts)
    for power in range(8):
        found = panels.join(panels.integrate(panels.split(ts**power)))
        np.testing.assert_allclose(found, ts ** (power + 1) / (power + 1), rtol=1e-12, atol=1e-13)
    assert value_at(ts, ts**7, 3.3) == pytest.approx(3.3**7, rel=1e-12)
    assert np.abs(integration_matrix()[-1].sum() - 1) < 1e-14


@pytest.mark.parametrize("until", [0.2, 1.0, 7.3, 100.0])
def test_panels_end_where_they_should(until):
    ts = np.asarray(budget_times(until))
    assert ts[0] == 0 and ts[-1] == pytest.approx(until, rel=1e-12) and np.all(np.diff(ts) > 0)
    assert np.asarray(panels_of(jnp.asarray(ts)).lengths).sum() == pytest.approx(until)


# ---- blocks ----


@pytest.mark.parametrize("name", ["(8,2)", "relu"])
def test_features_of_all_blocks_obey_the_addition_theorem(name):
    """Σ N φ² over the harmonics of one degree k is λ_k dim H_k(R^d), whatever the angle."""
    dim, target = PROBLEMS[name]
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), target), nodes=15)
    theta = jnp.linspace(0.05, reduced.end - 0.05, 9)
    totals = []
    for degree in (2, 4, 6):
        blocks = blocks_of(reduced, degree)
        rows = block_features(reduced, blocks, degree)
        values = jax.vmap(lambda row, t=theta, k=degree: evaluate(row, Powers.of(t, k))[0])(rows)
        totals.append(jnp.einsum("b,bnt->t", rows.copies, values**2))
    wanted = {k: dim * block_flows.funk_hecke(k, dim) ** 2 * dimension(dim, k) for k in (0, 1, 2, 4, 6)}
    np.testing.assert_allclose(totals[0], wanted[0] + wanted[1] + wanted[2], rtol=1e-12)
    np.testing.assert_allclose(totals[1] - totals[0], wanted[4], rtol=1e-10)
    np.testing.assert_allclose(totals[2] - totals[1], wanted[6], rtol=1e-10)


def dimension(dim: int, degree: int) -> int:
    """Of the harmonics of R^d."""
    from math import comb

    return comb(dim + degree - 1, degree) - (comb(dim + degree - 3, degree - 2) if degree > 1 else 0)


@pytest.mark.parametrize("name", ["(8,2)", "mixed"])
def test_block_zero_has_the_features_of_the_reduction(name):
    dim, target = PROBLEMS[name]
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), target, mf.LeakyReLU(0.3)), nodes=15)
    theta = jnp.linspace(0.05, reduced.end - 0.05, 9)
    row = jax.tree.map(lambda leaf: leaf[0], block_features(reduced, blocks_of(reduced, 6), 6))
    values, slopes, curvatures = evaluate(row, Powers.of(theta, 6))
    even, last = np.arange(4), ([-1] if reduced.signed else [])
    wanted, wanted_slopes = (each[np.r_[even, last].astype(int)] for each in reduced.features(theta))
    factors = reduced.factors[np.r_[even, last].astype(int)][:, None]
    np.testing.assert_allclose(values, factors * wanted, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(slopes, factors * wanted_slopes, rtol=1e-12, atol=1e-14)
    step = 1e-5
    above, below = (evaluate(row, Powers.of(theta + s, 6))[1] for s in (step, -step))
    np.testing.assert_allclose(curvatures, (above - below) / (2 * step), rtol=1e-7, atol=1e-9)


def test_blocks_that_a_dimension_does_not_have_are_left_out():
    reduced = mf.reduce(mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(1)), nodes=15)
    assert all(i <= 1 for i, _ in blocks_of(reduced, 8))
    plane = mf.reduce(mf.Problem(mf.Gaussian(2), mf.SingleIndex(relu)), nodes=15)
    assert blocks_of(plane, 8) == ((0, 0), (0, 1))


# ---- the response of a block, by two routes ----

ROUTES = {
    "radial (0,0)": ("(10,2)", (0, 0)),
    "radial (1,0)": ("(10,2)", (1, 0)),
    "radial (1,1)": ("(10,2)", (1, 1)),
    "radial (2,0)": ("(10,2)", (2, 0)),
    "signed 0": ("relu", (0, 0)),
    "signed 1": ("relu", (0, 1)),
    "signed 2": ("relu", (0, 2)),
}
SHORT = (0.0, 0.5, 1.0)
LABELS, MODES, DEGREE = 31, 6, 6


@functools.cache
def coarse_budget(name: str) -> tuple[mf.Solution, mf.ErrorBudget]:
    dim, target = PROBLEMS[name]
    reduced = mf.reduce(mf.Problem(mf.Gaussian(dim), target), nodes=LABELS, modes=MODES)
    run = mf.solve_reduced(reduced, mf.budget_times(SHORT[-1]), method="characteristics", derivative="forward")
    return run, mf.error_budget(run, degree=DEGREE, bias=False)


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
def test_a_block_agrees_with_one_equation_for_every_label(route):
    """The Volterra equation against X, Θ, ψ_H and ψ_⊥ of every label, on the same labels and modes."""
    name, (ell_h, ell_p) = ROUTES[route]
    run, budget = coarse_budget(name)
    reduced, (dim, _) = run.model, PROBLEMS[name]
    if reduced.signed:
        invariant, block = block_flows.signed_block(dim, 0, 2 * MODES - 2), block_flows.signed_block(dim, ell_p, DEGREE)
        target = [member.jet(0.0)[0] for member in invariant]  # f* = ReLU(x_1) is a neuron at θ = 0
        casimirs = (0, ell_p * (ell_p + dim - 3))
    else:
        invariant = block_flows.radial_block(dim, 2, 0, 0, 2 * MODES - 2)
        block = block_flows.radial_block(dim, 2, ell_h, ell_p, DEGREE)
        target = [np.pi * member.jet(0.0)[0] for member in invariant]  # ‖x_H‖ = π ∫ ReLU(u·x) over a circle
        casimirs = (ell_h**2, ell_p * (ell_p + dim - 4))
    labels = np.asarray(reduced.node_angles), np.asarray(reduced.node_weights())
    squares = block_flows.square_moments(*labels, target, invariant, block, casimirs, (ell_h, ell_p) == (0, 0), SHORT)
    wanted = at(budget, budget.by_block[budget.blocks.index((ell_h, ell_p))], SHORT)
    copies = block_copies(dim, reduced, ell_h, ell_p)
    np.testing.assert_allclose(copies * squares.sum(axis=1), wanted, rtol=2e-4)


def block_copies(dim, reduced, ell_h, ell_p):
    """How often a block is there: 1, n, and (n + 2)(n − 1)/2 harmonics of degrees 0, 1, 2 on the sphere of R^n."""
    dim_h = round(float(reduced.dim_h))
    return np.prod([{0: 1, 1: n, 2: (n + 2) * (n - 1) / 2}[ell] for n, ell in ((dim_h, ell_h), (dim - dim_h, ell_p))])


# ---- published numbers ----

TIMES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
COEFFICIENTS = {
    "(30,5)": (0.338171, 0.719969, 1.924606, 3.883783, 4.049911, 3.26734, 1.33589),
    "(10,2)": (0.332699, 0.412608, 0.686735, 1.208649, 1.171345, 0.69813, 0.18300),
    "relu": (0.332699, 0.291574, 0.287097, 0.293748, 0.242822, 0.13184, 0.06808),
    "mixed": (0.332699, 0.282239, 0.262753, 0.260476, 0.206167, 0.16116, 0.2746),
}
