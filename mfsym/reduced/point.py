"""H is the whole space: no angle is left, and the masses solve a Riccati equation in closed form.

τ^± = m_± e^{±s} with s' = 2K(α − m_+ e^s + m_− e^{−s}); y = e^s solves y' = 2K(αy − m_+ y² + m_−). With
ω = √(α² + 4 m_+ m_−), T = tanh(Kωt), the solution with y(0) = 1 is y = (ω + (α + 2m_−)T) / (ω − (α − 2m_+)T). (Derived.)
"""

import operator

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..errors import check_reducible
from ..problem.problem import Problem
from ..problem.rotated import unrotated
from ..problem.start import AbstractBalancedStart
from ..problem.training import Training
from ..problem.units import AbstractHomogeneousUnit
from ..safe import safe_norm, safe_root
from .angles.angular import METHODS, check_angular_method
from .base import AbstractUnresolvedReduction, Atoms
from .closed import AbstractClosedForm
from .line.coefficients import multiple_of_norm
from .rules.harmonics import funk_hecke, norm_constant
from .rules.panels import quadrature_of


class PointReduction(AbstractUnresolvedReduction):
    """A target g(‖x‖) on the whole space: kernel K = E‖x‖² k, target mass α, initial masses [2], floor of the risk.

    A neuron of mass 1, averaged over its directions, is feature·‖x‖. `check` [2]: target mass and floor by another rule.
    """

    kernel: Float[Array, ""]
    target_mass: Float[Array, ""]
    masses: Float[Array, " 2"]
    floor: Float[Array, ""]
    check: Float[Array, " 2"]
    feature: Float[Array, ""]

    def observe(self, t: Float[Array, " T"]) -> dict[str, Array]:
        """Risk, masses, alignments (1) and distances at times t [T], in closed form."""
        plus, minus = self.masses
        growth = self._growth(t)
        mass_plus, mass_minus = plus * growth, minus / growth
        gap = self.target_mass - mass_plus + mass_minus
        one = jnp.ones_like(t)
        return {
            "risk": self.floor + 0.5 * self.kernel * gap**2,
            "mass_plus": mass_plus,
            "mass_minus": mass_minus,
            "alignment_plus": one,
            "alignment_minus": one,
            "distance_plus": 0 * one,
            "distance_minus": (jnp.pi / 2) * one,
        }

    @property
    def angles(self) -> int:
        """None is left."""
        return 0

    def known_dim(self) -> None:
        """Not kept."""

    @property
    def methods(self) -> tuple[str, ...]:
        """All of them, with one answer."""
        return METHODS

    def choose_method(self, method: str | None, training: Training | None, initial: PyTree) -> str:
        """Any: there is one solution."""
        return check_angular_method("grid" if method is None else method)

    def floor_uncertainty(self) -> float:
        """None."""
        return 0.0

    def displaced(self) -> "tuple[PointReduction, ...]":
        """With the numbers that another quadrature finds of the target."""
        return (eqx.tree_at(lambda r: (r.target_mass, r.floor), self, tuple(self.check)),)

    def absent(self, observables: dict[str, Array]) -> tuple[tuple[str, str], ...]:
        """Nothing."""
        return ()

    def in_common(self) -> dict[str, object]:
        """Nothing but the kind."""
        return {}

    def _growth(self, t: Float[Array, " T"]) -> Float[Array, " T"]:
        """y(t), without a difference of nearly equal numbers: ω − |α| = 4 m_+ m_− / (ω + |α|), 1 − T from exp(−2Kωt)."""
        (plus, minus), target = self.masses, self.target_mass
        size, least = jnp.abs(target), jnp.finfo(self.dtype).tiny
        speed = jnp.hypot(target, 2 * safe_root(plus) * safe_root(minus))
        resting = speed <= least  # nothing to learn and one sign only: y' = 2K(m_− − m_+ y²) with m_+ m_− = 0
        safe = jnp.where(resting, 1, speed)
        decay = jnp.exp(-2 * self.kernel * safe * t)
        turn, rest = (1 - decay) / (1 + decay), 2 * decay / (1 + decay)
        common = 4 * plus * (minus / (safe + size)) + size * rest
        towards, away = jnp.where(target >= 0, 2 * size * turn, 0), jnp.where(target < 0, 2 * size * turn, 0)
        moving = (common + towards + 2 * minus * turn) / (common + away + 2 * plus * turn)
        slow = (1 + 2 * self.kernel * minus * t) / (1 + 2 * self.kernel * plus * t)
        return jnp.where(resting, slow, moving)


class PointForm(AbstractClosedForm):
    """Masses of both signs, [2], at a common `rate` of the layers."""

    reduction: PointReduction
    rate: Float[Array, ""]

    def initial_state(self):
        """Masses."""
        return self.reduction.masses

    def record(self, ts):
        """Masses and what they show."""
        record = self.reduction.observe(ts * self.rate)
        return jnp.stack([record["mass_plus"], record["mass_minus"]], axis=1), record

    def speed(self, ts, states):
        """Both masses change at one relative rate."""
        gap = self.reduction.target_mass - states[:, 0] + states[:, 1]
        return 2 * self.rate * self.reduction.kernel * jnp.abs(gap)

    def certificate(self, state, solution):
        """Nothing is proved."""

    def atoms(self, state):
        """One for each sign, without an angle."""
        return Atoms(jnp.zeros((2, 1, 0), state.dtype), state[:, None])

    def predict(self, state, x):
        """feature (m_+ − m_−) ‖x‖."""
        gap = state[0] - state[1]
        return self.reduction.feature * gap * safe_norm(x).astype(gap.dtype)


def check_point(problem: Problem) -> None:
    """Raise NoReductionError for a start without a closed solution."""
    unbalanced = f"the start {type(problem.start).__name__} is not balanced (|a| = ‖b‖), and with H the whole space only"
    reason = f"{unbalanced} the closed solution of balanced starts is here"
    check_reducible(problem.start, AbstractBalancedStart, reason, "Use mf.SphereStart, or `solve_particles`.")


def build_point(problem: Problem) -> PointReduction:
    """The equation of a problem whose target is a function of ‖x‖, of which a multiple c‖x‖ can be learnt."""
    target, inputs = unrotated(problem.target), problem.inputs
    unit = check_reducible(problem.unit, AbstractHomogeneousUnit, "the unit is not 1-homogeneous")
    start = check_reducible(problem.start, AbstractBalancedStart, "the start is not balanced")
    dim, even = problem.dim, 2 * unit.even_slope  # relative to ReLU
    reachable = even != 0
    kernel = inputs.second_moment * (funk_hecke(0, dim) * even) ** 2
    per_mass = even / norm_constant(dim)  # of the output, in units of ‖x‖

    def parts(rule):
        multiple, energy = multiple_of_norm(target, inputs, rule)
        mass = jnp.where(reachable, multiple / jnp.where(reachable, per_mass, 1.0), 0.0)
        return jnp.stack([mass, energy - jnp.where(reachable, 0.5 * multiple**2 * inputs.second_moment, 0.0)])

    rules = quadrature_of(target, inputs)
    (target_mass, floor), check = (parts(jax.tree.map(operator.itemgetter(i), rules)) for i in (0, 1))
    masses = jnp.stack([start.mass_plus, start.mass_minus])
    return PointReduction(kernel, target_mass, masses, floor, check, per_mass)
