"""Laws that are polynomials of any degree, for networks of few parameters."""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from ..errors import Words, argument_error, check_flags, check_integer, check_key
from ..types import Checked, IntLike, KeyLike, RealLike
from .families import Leaf
from .fields import Apply, check_apply, check_precision, space_of
from .laws import Law
from .linear_symmetries import leaves_of, random_gradients
from .quadratic import sum_in_words, unit_of
from .ranks import null_space, rank_of
from .sparse import sparse_basis

_MOST = 3000  # monomials
_MORE = 20  # equations beyond them
_BATCH = 8  # inputs of each


class Polynomial(eqx.Module):
    """params ↦ Σ_i coefficient_i Π_j θ_jᵉ⁽ⁱʲ⁾."""

    exponents: Int[Array, "m D"]
    coefficients: Float[Array, " m"]

    def __call__(self, params: PyTree) -> Float[Array, ""]:
        """The value."""
        theta = ravel_pytree(params)[0]
        monomials = jnp.prod(theta[None] ** self.exponents.astype(theta.dtype), axis=1)
        return jnp.sum(self.coefficients.astype(theta.dtype) * monomials)


class PolynomialLaws(NamedTuple):
    """Laws of a degree. It prints as a sentence and a list.

    - `linear`, how many are linearly independent; `functional`, how many as functions; `gap` of the singular values at the
      cut; `laws`, a basis of few terms.
    """

    degree: int
    linear: int
    functional: int
    gap: float
    laws: tuple[Law, ...]

    def __str__(self) -> str:
        head = (
            f"{self.linear} polynomials of degree {self.degree} are kept, {self.functional} of them independent as "
            f"functions (singular gap {self.gap:.0e}):"
        )
        return "\n".join([head, *(f"  {law.name}" for law in self.laws)])


def polynomial_laws(
    apply: Apply,
    params: PyTree,
    inputs: PyTree,
    degree: IntLike,
    *,
    homogeneous: Checked[bool] = True,
    tol: RealLike | None = None,
    key: KeyLike | None = None,
) -> PolynomialLaws:
    """All polynomials of the parameters, of a degree or up to it, that training keeps for every loss and data set.

    Their coefficients α solve Σ_i α_i ⟨∇m_i(θ), J_f(θ)ᵀc⟩ = 0, one equation for each random θ, inputs and c, with m_i the
    monomials; one singular value decomposition finds them. `homogeneous`: of this degree alone. For D parameters there are
    C(D + degree − 1, degree) monomials, of which 3000 at most are tried. Raises ArgumentError above that.
    """
    space = space_of(params)
    tol = check_precision(space.point.dtype, tol)
    check_flags(homogeneous=homogeneous)
    check_apply(apply, params, inputs)
    power = check_integer("degree", degree, 1)
    count = sum(1 for _ in itertools.islice(_monomials(space.dim, power, bool(homogeneous)), _MOST + 1))
    if count > _MOST:
        remedy = "Use a smaller copy of the architecture, or mf.noether.symmetries for degree 2."
        raise argument_error("degree", f"one with at most {_MOST} monomials", Words(f"{power}: there are more"), remedy)
    exponents = np.array([np.bincount(m, minlength=space.dim) for m in _monomials(space.dim, power, bool(homogeneous))])
    key = check_key(jax.random.key(0) if key is None else key)
    gradients, thetas = random_gradients(apply, space, inputs, count + _MORE, _BATCH, key)
    values = _values(exponents, thetas)
    found = null_space(values * ((gradients / thetas) @ exponents.T), tol)
    basis = sparse_basis(found.basis, np.zeros((0, count))) if len(found.basis) else found.basis
    theta = np.asarray(space.random(jax.random.fold_in(key, 7)), float)
    slopes = (basis * _values(exponents, theta[None])) @ (exponents / theta)
    homogeneous_degree = power if homogeneous and power < 3 else None
    laws = tuple(_law(alpha, exponents, leaves_of(params), homogeneous_degree) for alpha in basis)
    return PolynomialLaws(power, len(basis), rank_of(slopes, 1e-8).rank, found.gap, laws)


def _monomials(dim: int, degree: int, homogeneous: bool):
    degrees = (degree,) if homogeneous else range(1, degree + 1)
    return itertools.chain.from_iterable(itertools.combinations_with_replacement(range(dim), n) for n in degrees)


def _values(exponents: np.ndarray, thetas: Float[np.ndarray, "S D"]) -> Float[np.ndarray, "S m"]:
    """Monomials at points, none of whose entries is zero."""
    signs = (-1.0) ** ((thetas < 0) @ exponents.T)
    return signs * np.exp(np.log(np.abs(thetas)) @ exponents.T)


def _law(alpha: np.ndarray, exponents: np.ndarray, leaves: tuple[Leaf, ...], degree: int | None) -> Law:
    used = np.flatnonzero(alpha)
    coefficients = alpha[used] / unit_of(alpha[used])
    names = [f"{leaf.name}{list(place) or ''}" for leaf in leaves for place in np.ndindex(*leaf.shape)]
    parts = [(float(value), _monomial(exponents[i], names)) for value, i in zip(coefficients, used, strict=True)]
    return Law(sum_in_words(parts), Polynomial(jnp.asarray(exponents[used]), jnp.asarray(coefficients)), degree)


def _monomial(powers: np.ndarray, names: list[str]) -> str:
    raised = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    return "·".join(names[j] + (str(powers[j]).translate(raised) if powers[j] > 1 else "") for j in np.flatnonzero(powers))
