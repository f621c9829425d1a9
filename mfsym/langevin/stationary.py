"""`equilibrium`: where noisy training of the first layer ends, by a concave problem of few variables, with a certificate.

Neurons of fixed second layer ±1 whose directions diffuse, du = ε∇G dt + √(2β) dB on the sphere, descend the free energy

    J(τ) = F(τ) + β Σ_ε M^ε KL(p^ε | uniform),   τ^ε = M^ε p^ε,

which is convex in (p^+, p^−). At its minimum p^ε ∝ e^{ε r·φ/β}, φ the features of the angle and r the maximiser of

    D(r) = floor + r·η − ½|r|² − β Σ M^ε log ∫ e^{ε r·φ/β} dτ̃_0 ≤ J*,

r = η − τ̂ is the residual there, and for any r the entropies cancel in J(τ(r)) − D(r) = ½|η − τ̂(r) − r|². (Derived.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import (
    argument_error,
    check_instance,
    check_sequence,
    float_array,
    is_traced,
    no_reduction,
    positive_number,
)
from ..problem.problem import Problem
from ..reduced.angles.law import label_angles, log_density
from ..reduced.build import Equation, build_reduction, equation_of
from ..reduced.line.angle_reduction import AngleReduction
from ..reduced.line.angle_structure import angle_of
from ..reduced.rules.quadrature import interval_end, node_rule
from ..types import Checked, RealLike

_NODES = 255  # of the angle
_WARM, _STAGES = 1e-2, 8  # temperatures below this are reached in so many geometric steps from it
_MOST_STEPS, _MOST_HALVINGS = 60, 40  # of Newton at one temperature, of one step
_SUFFICIENT = 1e-4  # share of the promised rise that a step must bring
_HIGHEST = jax.lax.Precision.HIGHEST
_MASSES = "They are the shares ∫|a|‖b‖ of neurons with a > 0 and with a < 0, which such training keeps."


class Gibbs(eqx.Module):
    """p^ε ∝ e^{ε r·φ/β} on a rule for the angle, and the dual problem.

    - `theta` [n], `log_probability` [n] that of a uniform direction; `features` φ [M, n]; `coefficients` η [M].
    - `masses` M^± [2]; `temperature` β.
    """

    theta: Float[Array, " n"]
    log_probability: Float[Array, " n"]
    features: Float[Array, "M n"]
    coefficients: Float[Array, " M"]
    masses: Float[Array, " 2"]
    temperature: Float[Array, ""]

    def logits(self, force: Float[Array, " M"]) -> Float[Array, "2 n"]:
        """Logarithms of p^ε at the nodes, not normalised; each sign has its own maximum."""
        exponent = jnp.matmul(force, self.features, precision=_HIGHEST) / self.temperature
        return self.log_probability[None] + jnp.stack([exponent, -exponent])

    def shares(self, force: Float[Array, " M"]) -> Float[Array, "2 n"]:
        """p^ε at the nodes; each row sums to 1."""
        return jax.nn.softmax(self.logits(force), axis=1)

    def moments(self, shares: Float[Array, "2 n"]) -> Float[Array, " M"]:
        """τ̂ = Σ ε M^ε ∫φ dp^ε."""
        return jnp.matmul(self.features, self.masses[0] * shares[0] - self.masses[1] * shares[1], precision=_HIGHEST)

    def dual(self, force: Float[Array, " M"]) -> Float[Array, ""]:
        """D(r) without the floor."""
        logs = jax.nn.logsumexp(self.logits(force), axis=1)
        return jnp.sum(force * self.coefficients) - jnp.sum(force**2) / 2 - self.temperature * jnp.sum(self.masses * logs)

    def step(self, force: Float[Array, " M"]) -> tuple[Float[Array, " M"], Float[Array, " M"]]:
        """∇D = η − r − τ̂(r), and the step of Newton, with I + Σ (M^ε/β) Cov_ε φ as the Hessian of −D."""
        shares = self.shares(force)
        gradient = self.coefficients - force - self.moments(shares)
        hessian = jnp.eye(len(force), dtype=force.dtype)
        for mass, share in zip(self.masses, shares, strict=True):
            centred = self.features - jnp.sum(self.features * share[None], axis=1, keepdims=True)
            spread = jnp.matmul(centred * share[None], centred.T, precision=_HIGHEST)
            hessian = hessian + mass / self.temperature * spread
        return gradient, jax.scipy.linalg.solve(hessian, gradient, assume_a="pos")


def maximise(gibbs: Gibbs) -> Float[Array, " M"]:
    """The r with ∇D(r) = 0, by Newton's method with a line search, down a ladder of temperatures.

    The last step starts where nothing is left to do: it brings the derivatives of r in all that D depends on.
    """
    still = jax.lax.stop_gradient(gibbs)
    warm = jnp.maximum(still.temperature, _WARM)
    ladder = warm * (still.temperature / warm) ** jnp.linspace(0.0, 1.0, _STAGES, dtype=warm.dtype)
    force = jnp.zeros_like(still.coefficients)
    force, _ = jax.lax.scan(
        lambda r, beta: (_newton(eqx.tree_at(lambda g: g.temperature, still, beta), r), None), force, ladder
    )
    force = jax.lax.stop_gradient(force)
    return force + gibbs.step(force)[1]


def _newton(gibbs: Gibbs, force: Float[Array, " M"]) -> Float[Array, " M"]:
    """Steps until the gradient is that of round-off."""
    tolerance = 30 * jnp.finfo(force.dtype).eps * (jnp.linalg.norm(gibbs.coefficients) + jnp.sum(gibbs.masses))

    def unfinished(state):
        _, gradient, _, count = state
        return (jnp.linalg.norm(gradient) > tolerance) & (count < _MOST_STEPS)

    def advance(state):
        force, gradient, step, count = state
        value, slope = gibbs.dual(force), jnp.sum(gradient * step)
        noise = 10 * jnp.finfo(force.dtype).eps * jnp.abs(value)

        def too_long(search):
            length, tries = search
            rise = gibbs.dual(force + length * step) - value
            return (rise < _SUFFICIENT * length * slope - noise) & (tries < _MOST_HALVINGS)

        length, _ = jax.lax.while_loop(too_long, lambda s: (s[0] / 2, s[1] + 1), (jnp.ones_like(value), 0))
        force = force + length * step
        return (force, *gibbs.step(force), count + 1)

    return jax.lax.while_loop(unfinished, advance, (force, *gibbs.step(force), 0))[0]


class Equilibrium(eqx.Module):
    """The minimum of the free energy J = F + temperature Σ M KL.

    - `risk` F, `free_energy` J; `certificate` ≥ J − min J, up to the quadrature of the angle.
    - `alignment_plus`, `alignment_minus`: means of cos²θ over the neurons of either sign.
    - `gibbs`: the law of the angle, and r [M] `force` the coefficients of the residual in the features.
    """

    reduction: AngleReduction
    gibbs: Gibbs
    force: Float[Array, " M"]
    risk: Float[Array, ""]
    free_energy: Float[Array, ""]
    certificate: Float[Array, ""]
    alignment_plus: Float[Array, ""]
    alignment_minus: Float[Array, ""]
    dims: tuple[int, int] = eqx.field(static=True)

    def density(self, theta: Float[Array, " n"]) -> Float[Array, "2 n"]:
        """Densities of τ⁺ and τ⁻ per unit of the angle, [2, n], whose integrals are the masses; 0 < θ < end."""
        theta = float_array("theta", theta, 1, "Pass angles, for example jnp.linspace(0.01, 1.5, 100).")
        reduction, gibbs = self.reduction, self.gibbs
        values = reduction.factors[:, None] * reduction.features(theta.astype(reduction.dtype))[0]
        law = log_density(np.asarray(theta, float), *self.dims, reduction.signed)
        there = eqx.tree_at(lambda g: (g.log_probability, g.features), gibbs, (jnp.asarray(law, values.dtype), values))
        total = jax.nn.logsumexp(gibbs.logits(self.force), axis=1, keepdims=True)
        return gibbs.masses[:, None] * jnp.exp(there.logits(self.force) - total)

    def __repr__(self) -> str:
        if any(is_traced(leaf) for leaf in jax.tree.leaves(self)) or self.risk.ndim:
            return "Equilibrium(traced or batched)"
        plus, minus = (float(mass) for mass in self.gibbs.masses)
        rows = [
            f"Equilibrium of noisy training on the sphere, temperature {float(self.gibbs.temperature):g}, fixed masses "
            f"{plus:g} (a > 0) and {minus:g} (a < 0)",
            f"  risk {float(self.risk):.7g}, free energy {float(self.free_energy):.7g}, at most "
            f"{float(self.certificate):.1e} above the minimum",
            f"  alignment {float(self.alignment_plus):.6g} (a > 0) and {float(self.alignment_minus):.6g} (a < 0)",
        ]
        return "\n".join(rows)


def equilibrium(
    problem: Problem, *, temperature: RealLike = 0.01, masses: Checked[tuple[RealLike, RealLike]] = (0.5, 0.5)
) -> Equilibrium:
    """The law of the neurons that noisy training of their directions ends in, with a proof that it is the minimum.

    Neurons a = ±1, ‖b‖ fixed, u' = ε∇G(u) + √(2 temperature) dB on the unit sphere: mean-field Langevin dynamics, whose free
    energy F + temperature Σ M^ε KL(p^ε | uniform) has one minimum, where p^± ∝ exp(± E[R σ(u·x)]/temperature). It is found
    as the maximum of a concave function of a few residuals; that value is a lower bound of every free energy, `certificate`.

    Arguments:
      problem: a target of one angle (‖x_H‖, g(‖x_H‖), g(x_1), w·x), rotation-invariant inputs, a 1-homogeneous unit. Its
        start only matters for how one gets there.
      temperature: β > 0. masses: ∫|a|‖b‖ of the neurons with a > 0 and with a < 0. Without noise F is 0 only where
        their difference can carry the target.

    Returns an `Equilibrium`; `mf.relaxation` says how fast it is reached. Differentiable in the problem, the temperature and
    the masses.
    Raises NoReductionError for a problem that does not leave one angle, ArgumentError on wrong arguments. (Derived;
    mean-field Langevin dynamics: Mei, Montanari & Nguyen 2018.)
    """
    check_instance("problem", problem, Problem, "Build it with mf.Problem(inputs, target).")
    temperature = positive_number("temperature", temperature, "It is β of the noise √(2β) dB; without noise use a flow.")
    pair = _checked_masses(masses)
    if equation_of(problem) not in (Equation.ANGLE, Equation.SIGNED_ANGLE):
        raise no_reduction("equilibria are those of one angle", "Use a target of ‖x_H‖ with d_H < d, or of one coordinate.")
    reduction = build_reduction(problem, None, None, None, None, jnp.result_type(float), False)
    assert isinstance(reduction, AngleReduction)
    if reduction.features.stretch is not None:
        raise no_reduction("with one scale of the inputs on H and another on H^⊥ noise on the sphere has no blocks")
    dim_h = angle_of(problem).dim_h
    return _equilibrium(
        reduction, temperature.astype(reduction.dtype), pair.astype(reduction.dtype), (dim_h, problem.dim - dim_h)
    )


def _checked_masses(masses: object) -> Float[Array, " 2"]:
    pair = check_sequence("masses", masses, "two numbers ≥ 0, not both of them 0", _MASSES)
    if len(pair) != 2:
        raise argument_error("masses", "two numbers ≥ 0, not both of them 0", masses, _MASSES)
    found = [positive_number("masses", mass, _MASSES, strict=False) for mass in pair]
    if not any(map(is_traced, found)) and not any(float(mass) > 0 for mass in found):
        raise argument_error("masses", "two numbers ≥ 0, not both of them 0", masses, _MASSES)
    return jnp.stack(found)


@eqx.filter_jit
def _equilibrium(reduction: AngleReduction, temperature, masses, dims: tuple[int, int]) -> Equilibrium:
    """Newton in the features of the dynamics; those beyond answer once, and the certificate covers all."""
    signed, dtype = reduction.signed, reduction.dtype
    theta, log_law = label_angles(_NODES, *dims, signed)
    log_probability = jnp.asarray(log_law + np.log(node_rule(_NODES, interval_end(signed))[1]), dtype)
    theta = jnp.asarray(theta, dtype)
    features = reduction.factors[:, None] * reduction.features(theta)[0]
    gibbs = Gibbs(theta, log_probability, features, reduction.coefficients, masses, temperature)
    kept = reduction.resolved_indices()
    resolved = eqx.tree_at(lambda g: (g.features, g.coefficients), gibbs, (features[kept], reduction.coefficients[kept]))
    force = maximise(resolved)
    beyond = gibbs.coefficients - gibbs.moments(resolved.shares(force))
    force = beyond.at[kept].set(force)
    shares = gibbs.shares(force)
    residual = gibbs.coefficients - gibbs.moments(shares)
    certificate = jnp.sum((residual - force) ** 2) / 2
    risk = reduction.floor + reduction.tail + jnp.sum(residual**2) / 2
    free_energy = reduction.floor + reduction.tail + gibbs.dual(force) + certificate
    aligned = jnp.sum(shares * jnp.cos(theta)[None] ** 2, axis=1)
    return Equilibrium(reduction, gibbs, force, risk, free_energy, certificate, aligned[0], aligned[1], dims)
