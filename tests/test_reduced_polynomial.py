"""Expectations of polynomials from values at as many nodes as they have monomials, and what is seen of a function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfsym.reduced.odd.interactions import look, unseen
from mfsym.reduced.odd.polynomial import count_dense, dense_monomials, monomials_of, polynomial_moments

ONES = np.ones(11)


def random_polynomial(dim, terms, seed):
    """Exponents [terms, d] of degree at most 5, and coefficients."""
    generator = np.random.default_rng(seed)
    exponents = np.zeros((terms, dim), int)
    for row in exponents:
        np.add.at(row, generator.integers(0, dim, generator.integers(0, 6)), 1)
    return exponents, generator.standard_normal(terms)


def moments(function, monomials):
    return jax.jit(lambda: polynomial_moments(function, monomials, ONES, jnp.float64))()


def values_of(exponents, coefficients):
    def function(u):
        powers = jnp.stack([u**k for k in range(6)])
        return jnp.prod(powers[exponents.T, :, np.arange(u.shape[1])[:, None]], axis=0).T @ coefficients

    return function


def test_a_dense_polynomial_against_a_product_rule():
    """All degrees at once, even ones too: E p² and E[p u] of 60 random terms in 4 variables."""
    exponents, coefficients = random_polynomial(4, 60, 0)
    z, w = np.polynomial.hermite_e.hermegauss(6)
    grid = np.stack(np.meshgrid(z, z, z, z, indexing="ij"), axis=-1).reshape(-1, 4)
    weights = np.prod(np.stack(np.meshgrid(w, w, w, w, indexing="ij"), axis=-1).reshape(-1, 4), axis=1) / w.sum() ** 4
    p = np.prod(grid[:, None, :] ** exponents, axis=2) @ coefficients
    found = moments(values_of(exponents, coefficients), dense_monomials(4, 5))
    assert float(found.energy) == pytest.approx(weights @ p**2, rel=1e-12)
    np.testing.assert_allclose(found.cross, (weights * p) @ grid, rtol=0, atol=1e-12 * float(found.size))
    assert found.defect < 1e-12 * found.size
    other = moments(lambda u: u[:, 0] ** 7, dense_monomials(4, 5))
    assert other.defect > 0.1 * np.sqrt(135135)  # of the wrong degree: seen at other points


def test_few_monomials_stand_for_all():
    """The same numbers from the sets of variables that a polynomial has; without one of them the defect shows it."""
    sets = [np.arange(6)[:, None], np.array([[0, 1], [1, 4]])]
    function = values_of(np.array([[3, 2, 0, 0, 0, 0], [0, 4, 0, 0, 1, 0], [0, 0, 0, 0, 0, 5]]), np.array([1.0, -0.5, 0.3]))
    sparse, dense, poorer = (
        moments(function, monomials)
        for monomials in (monomials_of(sets, (5, 5), np.eye(6)), dense_monomials(6, 5), dense_monomials(6, 1))
    )
    assert float(sparse.energy) == pytest.approx(float(dense.energy), rel=1e-13)
    np.testing.assert_allclose(sparse.cross, dense.cross, rtol=0, atol=1e-12)
    assert max(sparse.defect, dense.defect) < 1e-12 < 0.1 < poorer.defect


def test_sizes():
    for dim, degree in ((1, 5), (7, 3), (20, 5)):
        found = dense_monomials(dim, degree)
        lone = 0 if degree == 5 else 2 * dim  # x^4 and x^5 of every variable
        assert len(found.axes) == count_dense(dim, degree) + lone
    assert (
        len(unseen(15).monomials.axes) == count_dense(15, 5) and len(unseen(100).monomials.axes) == count_dense(100, 3) + 200
    )


def seen(function, gradient, dim):
    return look(function, gradient, dim, 1e-9)


def test_what_is_seen():
    """Hidden directions, confirmed by values; variables that appear together; what is no polynomial."""
    u = np.random.default_rng(0).standard_normal(50)
    found = seen(lambda z: np.sin(z @ u), lambda z: np.cos(z @ u)[:, None] * u, 50)
    assert found.basis.shape == (1, 50) and not found.on_rays
    assert abs(found.basis[0] @ u) == pytest.approx(np.linalg.norm(u), rel=1e-12)
    misled = seen(lambda z: np.sign(z[:, 0]) + z[:, 1], lambda z: np.tile(np.eye(50)[1], (len(z), 1)), 50)
    np.testing.assert_array_equal(misled.basis, np.eye(50))

    def chain(z):
        return np.sum(z[:, :-1] ** 2 * z[:, 1:] ** 3, axis=1) + z[:, 0] * z[:, 9] * z[:, 30]

    random = seen(chain, lambda z: z, 40)
    pairs = {tuple(np.sort(row[:2])) for row, p in zip(random.monomials.axes, random.monomials.powers, strict=True) if p[1]}
    assert random.on_rays and {(k, k + 1) for k in range(39)} | {(0, 9), (0, 30), (9, 30)} == pairs
