"""Odd targets: the network is linear, f(x) = w·x, and the second moments of its neurons obey a closed equation.

With y = X̄ − Σw = −∇Q(w), Q(w) = ½E(w·x − f*)², every neuron c = (a, b) moves by c' = A c, A = κ [[0, yᵀ], [y, 0]], so that

    M = E[c cᵀ]:   M' = A M + M A,   w = κ E[a b],   w' = −H ∇Q(w),   H = κ² (E[a²] I + E[b bᵀ]).

From an isotropic start, E a² = v1, E b bᵀ = v2 I, E[a b] = 0, V = v1 + v2, this is a curve on a hyperboloid:
M = V p pᵀ − v2 J, J = diag(1, −I), p = (p0, p⃗), p0² − |p⃗|² = 1, p0' = κ y·p⃗, p⃗' = κ p0 y, w = κ V p0 p⃗.
(Hajjar & Chizat 2022, odd targets, for the linear predictor; hyperboloid and closed solution derived.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...errors import argument_error, check_choice, is_traced
from ...problem.training import Training
from ..base import AbstractUnresolvedReduction
from .linear_part import solve_covariance

METHODS = ("closed", "hyperboloid", "moments")
_ANGLE = "it lives on an angle, which the moments do not keep"
_MISSING = {
    "mass_plus": "it needs the start of the problem, |a| = ‖b‖ with a 1-homogeneous unit, and the flow",
    "mass_minus": "it needs the start of the problem, |a| = ‖b‖ with a 1-homogeneous unit, and the flow",
    "p0": "the second moments do not stay on a hyperboloid",
}
_ROUNDING = 1e3  # an error of X̄ by so many units of the last place moves nothing that time stepping does not
_HIGHEST = jax.lax.Precision.HIGHEST
State = Float[Array, " n"] | Float[Array, "n n"]  # a point p of the hyperboloid, or the moments M; n = 1 + d


class OddReduction(AbstractUnresolvedReduction):
    """The moment equation of a problem with an odd target, as array leaves.

    - `covariance`: Σ [d, d], or the number v where Σ = v I.
    - `cross`: X̄ = E[f*(x) x] [d]; `optimum` w* [d], the best linear predictor, Σ w* = X̄.
    - `floor`: Q* = Q(w*), the risk that no linear function can go below.
    - `odd_slope`: κ of the unit; `outer`, `inner`: E a² and the number v2 with E b bᵀ = v2 I at time 0.
    - `cross_error`, `floor_error`: bounds (99 %) of the errors of X̄ along any unit vector and of Q*; 0 where a formula
      gives them.
    - `balanced`: whether |a| = ‖b‖ for every neuron, so that the moments are masses.
    """

    covariance: Float[Array, ""] | Float[Array, "d d"]
    cross: Float[Array, " d"]
    optimum: Float[Array, " d"]
    floor: Float[Array, ""]
    odd_slope: Float[Array, ""]
    outer: Float[Array, ""]
    inner: Float[Array, ""]
    cross_error: Float[Array, ""]
    floor_error: Float[Array, ""]
    balanced: bool = eqx.field(static=True)

    @property
    def dim(self) -> int:
        """Dimension d of the inputs."""
        return self.cross.shape[-1]

    @property
    def isotropic(self) -> bool:
        """Whether Σ = v I by construction, which has a closed solution."""
        return self.covariance.ndim == 0

    @property
    def size(self) -> Float[Array, ""]:
        """V = v1 + v2."""
        return self.outer + self.inner

    def apply_covariance(self, w: Float[Array, " d"]) -> Float[Array, " d"]:
        """Σ w, [d]."""
        return self.covariance * w if self.isotropic else jnp.matmul(self.covariance, w, precision=_HIGHEST)

    def force(self, w: Float[Array, " d"]) -> Float[Array, " d"]:
        """y = X̄ − Σ w = −∇Q(w), [d]."""
        return self.cross - self.apply_covariance(w)

    def gap(self, w: Float[Array, " d"]) -> Float[Array, ""]:
        """Q(w) − Q* = ½ (w − w*)ᵀ Σ (w − w*)."""
        away = w - self.optimum
        return 0.5 * jnp.sum(away * self.apply_covariance(away))

    def start(self) -> Float[Array, " n"]:
        """p = (1, 0) at time 0."""
        return jnp.zeros(self.dim + 1, self.dtype).at[0].set(1)

    def predictor(self, state: State) -> Float[Array, " d"]:
        """w = κ E[a b], with f(x) = w·x, of a point p or of moments M, [d]."""
        if state.ndim == 1:
            return self.odd_slope * self.size * state[0] * state[1:]
        return self.odd_slope * state[0, 1:]

    def moments(self, state: State) -> Float[Array, "n n"]:
        """M = E[c cᵀ], c = (a, b), of a point p (or M itself), [1+d, 1+d]."""
        if state.ndim == 2:
            return state
        diagonal = jnp.full(self.dim + 1, self.inner).at[0].multiply(-1)
        return self.size * state[:, None] * state[None, :] + jnp.diag(diagonal)

    def hessian(self, state: State) -> Float[Array, "d d"]:
        """H = κ² (E[a²] I + E[b bᵀ]), the metric of the flow of w: w' = −H ∇Q(w), [d, d]."""
        moments = self.moments(state)
        return self.odd_slope**2 * (moments[0, 0] * jnp.eye(self.dim, dtype=moments.dtype) + moments[1:, 1:])

    def smallest_eigenvalue(self, state: State) -> Float[Array, ""]:
        """Smallest eigenvalue of H; κ² V p0² on the hyperboloid, as p⃗ p⃗ᵀ has rank one."""
        if state.ndim == 2:
            return self.odd_slope**2 * (state[0, 0] + jnp.linalg.eigvalsh(state[1:, 1:])[0])
        rest = jnp.sum(state[1:] ** 2) if self.dim == 1 else 0
        return self.odd_slope**2 * self.size * (state[0] ** 2 + rest)

    def observe(self, state: State) -> dict[str, Array]:
        """Risk, gap, smallest eigenvalue of H, w and, on the hyperboloid, p0 and the masses of the two signs."""
        w = self.predictor(state)
        gap = self.gap(w)
        record = {"risk": self.floor + gap, "gap": gap, "smallest_eigenvalue": self.smallest_eigenvalue(state), "w": w}
        if state.ndim == 1:
            record["p0"] = state[0]
            if self.balanced:  # (a, b) ↦ (−a, −b) exchanges the signs, and |a|‖b‖ = a²
                record["mass_plus"] = record["mass_minus"] = (self.size * state[0] ** 2 - self.inner) / 2
        return record

    @property
    def angles(self) -> None:
        """Moments keep no law of the directions."""

    def known_dim(self) -> int:
        """Dimension d."""
        return self.dim

    @property
    def methods(self) -> tuple[str, ...]:
        """Which of them holds depends on the inputs and the start."""
        return METHODS

    def choose_method(self, method: str | None, training: Training | None, initial: PyTree) -> str:
        """The smallest form that holds: closed, a point of the hyperboloid, or the full moments."""
        if training is not None and training.step is not None:
            if method not in (None, "moments"):
                raise argument_error("method", '"moments" for finite steps', method, "Finite steps leave the hyperboloid.")
            return "moments"
        given = None if initial is None else np.ndim(initial)
        if method is None:
            if given is None:
                return "closed" if self.isotropic else "hyperboloid"
            return "moments" if given == 2 else "hyperboloid"
        check_choice("method", method, METHODS)
        if method == "closed" and (given is not None or not self.isotropic):
            remedy = 'Leave it out, or use "hyperboloid" or "moments".'
            raise argument_error("method", "used for inputs with Σ = v I and without `initial`", method, remedy)
        if method == "hyperboloid" and given == 2:
            raise argument_error("method", '"moments" for a start given by its moments', method, "Leave it out.")
        return method

    def floor_uncertainty(self) -> Float[Array, ""]:
        """The error of Q*."""
        return self.floor_error

    def displaced(self) -> "tuple[OddReduction, ...]":
        """X̄ off along itself, which moves masses and gap, and off in every entry, which moves w; nothing if X̄ is exact."""
        size = jnp.linalg.norm(self.cross)
        if not is_traced(size) and bool(self.cross_error <= _ROUNDING * jnp.finfo(self.dtype).eps * size):
            return ()
        along = self.cross / jnp.where(size > 0, size, 1)
        signs = np.random.default_rng(0).choice([-1.0, 1.0], self.dim)
        return self._displaced(along), self._displaced(jnp.asarray(signs, self.dtype))

    def _displaced(self, direction: Float[Array, " d"]) -> "OddReduction":
        """The same with X̄ off by its error in a direction: w* and Q* follow it, ½E f*² stays."""
        change = self.cross_error * direction
        step = solve_covariance(self.covariance, change)
        floor = self.floor - jnp.sum((self.optimum + step / 2) * change)
        moved = (self.cross + change, self.optimum + step, floor)
        return eqx.tree_at(lambda r: (r.cross, r.optimum, r.floor), self, moved)

    def absent(self, observables: dict[str, Array]) -> tuple[tuple[str, str], ...]:
        """What belongs to an angle, and what this run has not."""
        angles = ((f"{kind}_{sign}", _ANGLE) for kind in ("alignment", "distance") for sign in ("plus", "minus"))
        return (*angles, *((name, reason) for name, reason in _MISSING.items() if name not in observables))

    def in_common(self) -> dict[str, object]:
        """The dimension, and the forms of Σ and of the moments."""
        return {"d": self.dim, "shape of Σ": self.covariance.shape, "balanced": self.balanced}


def boost(y: Float[Array, " d"], moments: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """A M for A = [[0, yᵀ], [y, 0]], [1+d, 1+d], in O(d²)."""
    first = jnp.matmul(y, moments[1:], precision=_HIGHEST)
    return jnp.concatenate([first[None], y[:, None] * moments[0][None, :]])


def descent_step(reduction: OddReduction, moments: Float[Array, "n n"], rate: Float[Array, ""]) -> Float[Array, "n n"]:
    """(I + ηA) M (I + ηA): what one step of gradient descent with rate η on every neuron does to M. Exact."""
    y = rate * reduction.odd_slope * reduction.force(reduction.predictor(moments))
    turned = boost(y, moments)
    return moments + turned + turned.T + boost(y, turned.T)


def closed_state(reduction: OddReduction, t: Float[Array, ""]) -> Float[Array, " n"]:
    """p(t) for isotropic inputs Σ = v I, in closed form.

    With A = 2κ‖X̄‖, B = κ² V v, ω = √(A² + B²), T = tanh(ωt/2): p0 = (ω + BT)/√D, p⃗ = 2κ X̄ T/√D,
    D = (ω + BT)² − A²T², written as a sum of positive terms. (Derived: p⃗ keeps its direction, p0 = cosh(s/2) and
    tanh(s/2) = AT/(ω + BT).)
    """
    kappa = reduction.odd_slope
    square = 4 * kappa**2 * jnp.sum(reduction.cross**2)
    own = kappa**2 * reduction.size * reduction.covariance
    speed = jnp.sqrt(square + own**2)
    turn = jnp.tanh(speed * t / 2)
    decay = jnp.exp(-speed * t)
    remaining = 4 * decay / (1 + decay) ** 2  # 1 − T², without cancellation
    root = jnp.sqrt(square * remaining + own**2 * (1 + turn**2) + 2 * speed * own * turn)
    return jnp.concatenate([(speed + own * turn)[None], 2 * kappa * turn * reduction.cross]) / root
