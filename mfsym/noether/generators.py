"""Noether's theorem for training: what a one-parameter group of symmetries gives, and what it does not.

A group f(g_ε·θ, x) = f(θ, x) with generator ξ(θ) = d/dε g_ε·θ at ε = 0 makes every gradient orthogonal to it,
⟨∇L(θ), ξ(θ)⟩ = 0, for every loss and all data: a restriction of the path. It is a conserved quantity where ξ is a gradient,
Dξ symmetric. Where it is antisymmetric, motion with momentum has a charge instead (Głuch & Urbanke 2021; derived).
"""

import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error
from ..types import Checked, RealLike
from .fields import Apply, check_apply, outputs_of, space_of
from .laws import Law, plain_number

_CLOSED = 1e-9
_NODES = (8, 16, 32, 64)  # 8 are exact for polynomials up to degree 14


class Generator(eqx.Module):
    """The generator `field(params)` ξ of a one-parameter group, a pytree like the parameters.

    `closedness` and `skewness` are ‖Dξ ∓ Dξᵀ‖ / 2‖Dξ‖, between 0 and 1: with the first 0 there is a charge of the flow, with
    the second 0 one of momentum.
    """

    field: Checked[Callable[[PyTree], PyTree]]

    def __check_init__(self):
        if not callable(self.field):
            raise argument_error("field", "a function of the parameters", self.field, "It returns ξ, a pytree like them.")

    def closedness(self, params: PyTree) -> Float[Array, ""]:
        """‖Dξ − Dξᵀ‖ / 2‖Dξ‖: 0 where ξ is a gradient."""
        return _part(self._slopes(params), -1)

    def skewness(self, params: PyTree) -> Float[Array, ""]:
        """‖Dξ + Dξᵀ‖ / 2‖Dξ‖: 0 where ξ rotates."""
        return _part(self._slopes(params), 1)

    def frobenius(self, params: PyTree) -> Float[Array, ""]:
        """max |ω_i dω_jk + ω_j dω_ki + ω_k dω_ij| / (‖ω‖ max |dω|), with ω = ξ and dω_ij = ∂_i ω_j − ∂_j ω_i, over i, j, k.

        0 where ξ is a multiple of a gradient, so that some function of its own is kept although ξ is no gradient. D³
        numbers are compared.
        """
        omega, slopes = self._flat(params), self._slopes(params)
        curl = slopes.T - slopes
        one = jnp.einsum("i,jk->ijk", omega, curl)
        form = one + jnp.transpose(one, (2, 0, 1)) + jnp.transpose(one, (1, 2, 0))
        return _ratio(jnp.max(jnp.abs(form)), jnp.linalg.norm(omega) * jnp.max(jnp.abs(curl)))

    def charge(self, params: PyTree) -> Float[Array, ""]:
        """h(θ) = ∫₀¹ ⟨ξ(sθ), θ⟩ ds, with ∇h = ξ, by Gauss–Legendre nodes. Not under jit; `law` makes what is.

        Raises ArgumentError where ξ is no gradient, and where it is not smooth between 0 and θ.
        """
        size = self.closedness(params)
        if not size < _CLOSED ** (0.5 if size.dtype == jnp.float32 else 1):
            got = Words(f"one with ‖Dξ − Dξᵀ‖ = {2 * size:.1e} ‖Dξ‖")
            raise argument_error("field", "a gradient", got, self._why(params))
        values = [_line(self.field, params, nodes) for nodes in _NODES]
        limit = jnp.sqrt(jnp.finfo(values[-1].dtype).eps) * (jnp.abs(values[-1]) + jnp.finfo(values[-1].dtype).tiny)
        for coarse, fine in itertools.pairwise(values):
            if jnp.abs(fine - coarse) <= limit:
                return fine
        got = Words("one that is not")
        raise argument_error("field", "smooth between 0 and the parameters", got, "Give h by hand, as a Law.")

    def law(self, name: str, params: PyTree) -> Law:
        """The charge as a law for `track`, of degree 2 where ξ is linear; `params` are where `charge` looks."""
        self.charge(params)
        twice = jax.tree.map(lambda leaf: 2 * leaf, params)
        flat, double = self._flat(params), self._flat(twice)
        linear = _ratio(jnp.linalg.norm(double - 2 * flat), jnp.linalg.norm(double)) < _CLOSED
        return Law(name, lambda params: _line(self.field, params, _NODES[1]), 2 if linear else None)

    def invariance_defect(self, apply: Apply, params: PyTree, inputs: PyTree) -> Float[Array, ""]:
        """‖J_f(θ) ξ(θ)‖ / (‖J_f(θ)‖ ‖ξ(θ)‖): 0 where the group leaves the network's function as it is."""
        check_apply(apply, params, inputs)
        space = space_of(params)
        jacobian, direction = jax.jacrev(outputs_of(apply, space, inputs))(space.point), self._flat(params)
        return _ratio(jnp.linalg.norm(jacobian @ direction), jnp.linalg.norm(jacobian) * jnp.linalg.norm(direction))

    def path_restriction(self, params: PyTree, velocity: PyTree) -> Float[Array, ""]:
        """⟨v, ξ(θ)⟩ / (‖v‖ ‖ξ(θ)‖), 0 for the velocity of any training by gradients."""
        moved, direction = ravel_pytree(velocity)[0], self._flat(params)
        return _ratio(moved @ direction, jnp.linalg.norm(moved) * jnp.linalg.norm(direction))

    def hessian_defect(self, loss: Checked[Callable[[PyTree], Array]], params: PyTree) -> Float[Array, ""]:
        """‖∇²L ξ + (Dξ)ᵀ∇L‖ / (‖∇²L ξ‖ + ‖(Dξ)ᵀ∇L‖): 0, the identity of second order."""
        gradient, turned = jax.jvp(jax.grad(loss), (params,), (self.field(params),))
        (pulled,) = jax.vjp(self.field, params)[1](gradient)
        first, second = ravel_pytree(turned)[0], ravel_pytree(pulled)[0]
        return _ratio(jnp.linalg.norm(first + second), jnp.linalg.norm(first) + jnp.linalg.norm(second))

    def momentum_charge(self, params: PyTree, velocity: PyTree, t: RealLike, friction: RealLike) -> Float[Array, ""]:
        """e^{γt} ⟨θ', ξ(θ)⟩, which θ'' + γθ' = −∇L keeps where Dξ is antisymmetric."""
        growth = jnp.exp(jnp.asarray(friction) * jnp.asarray(t))
        return growth * (ravel_pytree(velocity)[0] @ self._flat(params))

    def sentence(self, params: PyTree) -> str:
        """What this symmetry gives, in words."""
        if self.closedness(params) < _CLOSED:
            return "The flow keeps the charge h with ∇h = ξ."
        return self._why(params)

    def _why(self, params: PyTree) -> str:
        if self.frobenius(params) < _CLOSED:
            text = "ξ is a multiple of a gradient: the flow keeps a function h with ∇h = factor · ξ, to be given by hand"
        else:
            text = "ξ restricts the path, ⟨θ', ξ⟩ = 0, and from it alone no function is kept"
        return text + ("; motion with momentum keeps e^{γt}⟨θ', ξ⟩." if self.skewness(params) < _CLOSED else ".")

    def _flat(self, params: PyTree) -> Float[Array, " D"]:
        return ravel_pytree(self.field(params))[0]

    def _slopes(self, params: PyTree) -> Float[Array, "D D"]:
        point, unravel = ravel_pytree(params)
        return jax.jacfwd(lambda theta: self._flat(unravel(theta)))(point)


def from_action(action: Checked[Callable[[RealLike, PyTree], PyTree]]) -> Generator:
    """The generator of a group that acts as `action(ε, params)`, by differentiation at ε = 0."""
    if not callable(action):
        raise argument_error("action", "a function (ε, params)", action, "It returns g_ε·θ, a pytree like the parameters.")

    def field(params):
        dtype = jnp.result_type(*jax.tree.leaves(params))
        return jax.jvp(lambda epsilon: action(epsilon, params), (jnp.zeros((), dtype),), (jnp.ones((), dtype),))[1]

    return Generator(field)


def heavy_ball_charge(generator: Generator, params: PyTree, previous: PyTree) -> Float[Array, ""]:
    """J_k = ⟨θ_{k+1}, ξ(θ_k)⟩ of a linear, antisymmetric ξ; θ_{k+1} = θ_k + β(θ_k − θ_{k−1}) − τ∇L makes it β J_{k−1}."""
    return ravel_pytree(params)[0] @ ravel_pytree(generator.field(previous))[0]


def momentum_skew(
    incoming: Checked[Callable[[PyTree], Array]], outgoing: Checked[Callable[[PyTree], Array]], *, friction: RealLike
) -> Law:
    """e^{γt}[W_outᵀW_out' + W_inW_in'ᵀ − (·)ᵀ], [r, r], of (params, velocity, t): two linear maps under θ'' + γθ' = −∇L.

    W_in [r, n], W_out [m, r] that follow one another, as in `balance`, which this motion does not keep.
    """
    gamma = plain_number("friction", friction, "It is γ of θ'' + γθ' = −∇L.")

    def skew(state):
        params, velocity, t = state
        highest = jax.lax.Precision.HIGHEST
        out = jnp.matmul(outgoing(params).T, outgoing(velocity), precision=highest)
        both = out + jnp.matmul(incoming(params), incoming(velocity).T, precision=highest)
        return jnp.exp(gamma * t) * (both - both.T)

    return Law("e^{γt}[W_outᵀW_out' + W_inW_in'ᵀ − (·)ᵀ]", skew)


def _line(field: Callable[[PyTree], PyTree], params: PyTree, nodes: int) -> Float[Array, ""]:
    """∫₀¹ ⟨ξ(sθ), θ⟩ ds."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    point, unravel = ravel_pytree(params)
    places, weights = (jnp.asarray(each, point.dtype) for each in ((places + 1) / 2, weights / 2))
    values = jax.lax.map(lambda s: ravel_pytree(field(unravel(s * point)))[0] @ point, places)
    return weights @ values


def _part(slopes: Float[Array, "D D"], sign: int) -> Float[Array, ""]:
    return _ratio(jnp.linalg.norm(slopes + sign * slopes.T), 2 * jnp.linalg.norm(slopes))


def _ratio(size: Float[Array, ""], scale: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(scale > 0, size / jnp.where(scale > 0, scale, 1), 0)
