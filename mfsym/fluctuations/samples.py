"""The noise of samples: fields that differ from the population's by what every sample adds, and the answer of a network.

One sample x moves the potential by R(x) σ(u·x) − G(u), R = f* − f. In a block that is γ_n = R ‖x‖ φ°_n(θ_x)/√E‖x‖², with
covariance over samples

    Γ_nm(t, t') = Σ_q w_q ρ²_tt'(θ_q) φ°_n φ°_m − [block (0, 0)] r_n(t) r_m(t'),   ρ²_tt'(θ) = E[‖x‖² R_t R_t' | θ]/E‖x‖².

On n fixed samples γ is there from the start: M = −K(M − γ) with the kernel K of `response`, so that N = M − γ is the
response to the source −γ, and lim n E‖f_n − f‖² = Σ_blocks copies · E M². (Derived.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import ArgumentError, Words, argument_error, check_instance, is_traced
from ..problem.problem import Problem
from ..reduced.line.angle_reduction import AngleReduction
from ..reduced.line.angle_structure import check_angle
from ..reduced.line.declared_angle import declared_angle
from ..reduced.line.isotypic import BlockFeatures, Jet, Powers, dual_features, evaluate
from ..reduced.line.sample_moments import SampleLaw, sample_law
from .paths import HIGHEST, Course
from .response import respond
from .second import in_members, residual_of

_COMPARED = 8  # degrees of the target, in which a problem must be that of a run
_MISSED = 0.02  # of the coefficients of the target, by which a run may differ from a problem that is integrated anew


def law_of(problem: object, reduction: AngleReduction) -> SampleLaw:
    """What the samples of a problem are, which must be the one that was reduced."""
    problem = check_instance("problem", problem, Problem, "Pass the problem that was reduced for the run.")
    declared = declared_angle(problem.target)
    known = problem.dim, declared and declared.dim_h, declared and declared.signed
    wanted = reduction.known_dim(), round(float(reduction.dim_h)), reduction.signed
    if known != wanted:
        raise _another(Words(f"one with d, d_H and a signed angle {known} where the run has {wanted}"))
    check_angle(problem.inputs, problem)
    law = sample_law(problem)
    dual = jax.tree.map(lambda leaf: leaf[0], dual_features(reduction, ((0, 0),), _COMPARED))
    values = evaluate(dual, Powers.of(law.angles, 1), 1)[0]
    found = jnp.matmul(values, law.weights * law.mean, precision=HIGHEST) / jnp.sqrt(reduction.second_moment)
    seen = in_members(reduction.factors, dual) != 0  # other parts of a target are not among its coefficients
    gap = jnp.where(seen, found, 0.0) - in_members(reduction.coefficients, dual)
    miss = jnp.linalg.norm(gap) / jnp.linalg.norm(reduction.coefficients)
    if not is_traced(miss) and not float(miss) < _MISSED:
        raise _another(Words(f"one whose target differs from that of the run by {float(miss):.2g} of it"))
    return law


def _another(got: Words) -> ArgumentError:
    return argument_error("problem", "the one that was reduced for the run", got, "Pass that one: its samples are meant.")


class Samples(eqx.Module):
    """What samples are along a course, at angles θ_q of a rule with weights w_q.

    ρ²_tt' = gap_t gap_t' + spread: `gap` [P, p, Q] is √(E‖x‖⁴/E‖x‖²) (b − f_t), where ‖x‖ b(θ) is the homogeneous function
    nearest to f* and ‖x‖ f_t(θ) the network; `spread` [Q] is what no homogeneous function explains of f* and its labels.
    """

    tables: Powers
    root: Float[Array, " Q"]
    gap: Float[Array, "P p Q"]
    spread: Float[Array, " Q"]

    @staticmethod
    def of(law: SampleLaw, reduction: AngleReduction, course: Course, degree: int) -> "Samples":
        """Of samples with this law."""
        nearest, length = law.third / law.fourth, jnp.sqrt(reduction.second_moment)
        gap = jnp.sqrt(law.fourth) / length * (nearest[None] - _network(reduction, course, law.angles))
        spread = jnp.maximum(law.square - law.third * nearest, 0.0) / reduction.second_moment
        return Samples(Powers.of(law.angles, degree), jnp.sqrt(law.weights), course.panels.split(gap), spread)

    def features(self, dual: BlockFeatures) -> Float[Array, "n Q"]:
        """φ° of a block, times the roots of the weights."""
        return self.root[None] * evaluate(dual, self.tables, 1)[0]


def _network(reduction: AngleReduction, course: Course, angles: Float[Array, " Q"]) -> Float[Array, "T Q"]:
    """f_t(θ) = Σ φ°_n τ̂_n/√E‖x‖² in all stored features."""
    highest = 2 * (len(reduction.features.even) - 1)
    dual = jax.tree.map(lambda leaf: leaf[0], dual_features(reduction, ((0, 0),), highest))
    values = evaluate(dual, Powers.of(angles, 1), 1)[0]
    network = jnp.sum(course.halves, axis=1)
    return jnp.matmul(network, values, precision=HIGHEST) / jnp.sqrt(reduction.second_moment)


def fixed_noise(
    samples: Samples, course: Course, block: BlockFeatures, dual: BlockFeatures, features: Jet
) -> Float[Array, "P p"]:
    """n E M² of one copy of a block on n fixed samples.

    Three kinds of sources: γ = gap φ° at every angle; the members one by one, constant in time, for the spread; r in (0, 0).
    """
    at = samples.features(dual)
    members = len(at)
    moved = at[None, None] * samples.gap[:, :, None]
    constant = jnp.broadcast_to(jnp.eye(members, dtype=at.dtype), (*moved.shape[:3], members))
    mean = _mean(course, block)[..., None]
    gamma = jnp.concatenate([moved, constant, mean], axis=-1)
    answered = respond(course.labels, course.paths, block, features, -gamma, lambda path, phi, found: found.moments)
    moved, constant, mean = jnp.split(answered + gamma, [moved.shape[-1], gamma.shape[-1] - 1], axis=-1)
    weights = jnp.matmul(at * samples.spread[None], at.T, precision=HIGHEST)
    spread = jnp.einsum("Ppns,Ppnr,sr->Pp", constant, constant, weights, precision=HIGHEST)
    return jnp.sum(moved**2, axis=(2, 3)) + spread - jnp.sum(mean**2, axis=(2, 3))


def covariance(samples: Samples, course: Course, block: BlockFeatures, dual: BlockFeatures) -> Float[Array, "P p n n"]:
    """Γ(t, t) of a block."""
    at = samples.features(dual)
    weights = samples.gap**2 + samples.spread[None, None]
    raw = jnp.einsum("nq,mq,Ppq->Ppnm", at, at, weights, precision=HIGHEST)
    mean = _mean(course, block)
    return raw - mean[..., :, None] * mean[..., None, :]


def _mean(course: Course, block: BlockFeatures) -> Float[Array, "P p n"]:
    """E γ: r in block (0, 0), nothing in the others."""
    return jnp.where(jnp.all(block.powers == 0), residual_of(course.paths, block), 0.0)
