"""`error_budget`: how far networks of finite width are from the limit, without running one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_choice, check_flags, check_instance, check_integer, is_traced
from ..problem.problem import Problem
from ..reduced.angles.directions import CharacteristicState
from ..reduced.line.angle_reduction import AngleReduction
from ..reduced.line.isotypic import (
    ORDERS,
    BlockFeatures,
    Blocks,
    Jet,
    Powers,
    block_features,
    blocks_of,
    dual_features,
    evaluate,
)
from ..reduced.line.sample_moments import SampleLaw
from ..solution import Solution
from ..types import Checked, IntLike
from .batches import batch_noise
from .panels import Panels, panels_of
from .passive import passive_energy
from .paths import HIGHEST, Course, course_of
from .report import ErrorBudget
from .response import respond
from .samples import Samples, covariance, fixed_noise, law_of
from .second import Squares, means_of, squares_of
from .sources import SIGNS, Sources

_LARGEST_DEFECT = 0.02  # of (log c)' = 2εG and θ' = εV along a record, in nats and radians
_LABELS = 'Solve with method="characteristics" and the default training; it may have a weight_decay.'


def error_budget(
    run: Checked[Solution],
    *,
    degree: IntLike = 12,
    signs: Checked[str] = "balanced",
    bias: bool = True,
    problem: Checked[Problem | None] = None,
) -> ErrorBudget:
    """What the width of a network costs, its batches and its data, from the infinite-width run alone: no network is run.

    For m independent neurons f_m = f + m^{-1/2} f₁ + m^{-1} f₂ + …, f₁ Gaussian, along the flow on the population risk, and

        lim m E‖f_m − f‖² = C(t),   lim m (E F_m − F),   lim m (E mass^± − mass^±),   lim m Var of these.

    The flow linearised about a solution that depends on one angle splits into blocks of harmonics of the directions;
    in each the response to the noise of the start is a small Volterra equation. (`fluctuations/response.py`.) So is that to
    the noise of samples of a `problem`: with batches of B fresh samples in steps η, or on n fixed samples, to leading order

        E‖f_{m,η,B} − f‖² = C/m + C_b η/B,      E‖f_{m,n} − f‖² = C/m + C_n/n.

    Arguments:
      run: of `mf.solve_reduced(reduced, mf.budget_times(until), method="characteristics")`. Targets of one angle, radial or
        of a single index, with 1-homogeneous units and rotation-invariant inputs; labels in balance, at rates 1. With
        weight decay it is the flow of that training.
      degree: highest degree of the harmonics that answer, even; those above are moved and answer nothing, and their noise
        is added in closed form. The later the time, the more of them it takes: the bracket says.
      signs: "balanced", as many a > 0 as a < 0 (`mf.sphere_cloud`); "paired", every direction with either sign, so that the
        network is 0 at the start (`signs="paired"` there); "random", each sign by itself.
      bias: also the means of order 1/m and the scatter of risk and masses, which takes twice as long.
      problem: the one of the run, whose samples batches and data are made of, with noise of their labels, if any, which
        the run leaves out; then the budget has `by_batch` C_b and `by_samples` C_n, which takes some ten times as long.

    Returns an `ErrorBudget`; print it. Differentiable in everything that the run depends on.
    Raises ArgumentError for a run without such a linearisation: several angles, other activations, grids, finite steps,
    starts out of balance, or one that is not recorded at these times. (Derived; a study compares it with networks.)
    """
    run = checked_run(run)
    reduction, panels = run.model, panels_of(run.ts)
    degree = checked_degree(degree, reduction)
    signs = check_choice("signs", signs, SIGNS)
    check_flags(bias=bias)
    law = None if problem is None else law_of(problem, reduction)
    budget = _budget(run, panels, blocks_of(reduction, degree), degree, signs, bias, law)
    check_defect(budget.defect)
    return budget


def check_defect(defect: Float[Array, ""]) -> None:
    """Raise where a record is not that of the flow which is linearised."""
    if not is_traced(defect) and not float(defect) < _LARGEST_DEFECT:
        got = Words(f"one that departs from that flow by {float(defect):.2g} between its records")
        remedy = "Use the default rates, and record at mf.budget_times(until, first=…) with shorter panels."
        raise argument_error("run", "a run of the flow at rates 1, resolved by its panels", got, remedy)


def checked_run(run: object) -> Solution:
    """A run by labels in balance on one angle, complete."""
    run = check_instance("run", run, Solution, "Pass what mf.solve_reduced returned.")
    if not isinstance(run.model, AngleReduction):
        remedy = (
            "Targets ‖x_H‖, g(‖x_H‖) and g(x_1) with ReLU or LeakyReLU have one; for others compare clouds of two widths."
        )
        raise argument_error("run", "on one angle", Words(f"one of the kind {type(run.model).__name__}"), remedy)
    if run.model.features.stretch is not None:
        remedy = "The blocks of fluctuations are those of mf.Gaussian and mf.Sphere."
        raise argument_error("run", "of rotation-invariant inputs", Words("one of inputs with two scales"), remedy)
    if not isinstance(run.states, CharacteristicState):
        got = Words("one on a grid, or of neurons out of balance")
        raise argument_error("run", "a run by labels in balance", got, _LABELS)
    if run.ts.ndim != 1:
        raise argument_error("run", "a single run", Words("a batch"), "Use jax.vmap over `error_budget`.")
    if not is_traced(run.valid) and not np.all(np.asarray(run.valid)):
        raise argument_error("run", "complete", Words("one that ended early"), run.sentence())
    return run


def checked_degree(degree: IntLike, reduction: AngleReduction) -> int:
    """An even degree, of harmonics that the run has."""
    degree = check_integer("degree", degree, 2, "It is the highest degree of the harmonics, an even number.")
    most = 2 * (reduction.modes - 1)
    if degree % 2 or degree > most:
        remedy = "Odd harmonics above the first are not seen; for higher ones pass more modes= to mf.reduce."
        raise argument_error("degree", f"even and at most {most}, the last harmonic of the run", degree, remedy)
    return degree


@eqx.filter_jit
def _budget(
    run: Solution, panels: Panels, blocks: Blocks, degree: int, signs: str, bias: bool, law: SampleLaw | None
) -> ErrorBudget:
    reduction = run.model
    course = course_of(reduction, run.states.theta, run.states.log_weight, panels)
    rows = block_features(reduction, blocks, degree)
    answers = _answers(reduction, course, rows, degree, signs, bias)
    copies = rows.copies[:, None]
    energy = copies * jax.vmap(panels.join)(jnp.sum(answers.energy, axis=-1))
    unanswered = copies * jax.vmap(panels.join)(jnp.sum(answers.unanswered, axis=-1))
    passive = passive_energy(reduction, course, signs)
    least = jnp.sum(energy, axis=0)
    width = passive + jnp.sum(energy - unanswered, axis=0)
    means, scatter = None, None
    if bias:
        means, scatter = _order_one(reduction, course, rows, degree, answers.squares, signs == "paired", width)
    by_batch, by_samples = (None, None) if law is None else _of_samples(law, reduction, course, rows, blocks, degree)
    return ErrorBudget(
        ts=run.ts,
        risk=run.observables["risk"],
        energy=jnp.sum(jnp.sum(course.halves, axis=1) ** 2, axis=-1),
        by_width=width,
        least=least,
        by_block=energy,
        passive=passive,
        by_batch=by_batch,
        by_samples=by_samples,
        bias=means,
        scatter=scatter,
        defect=course.defect,
        dim=reduction.dim,
        blocks=blocks,
        degree=degree,
        signs=signs,
    )


class _Answers(eqx.Module):
    """Of every block: E M² with and without a response [B, P, p, n], and what the means of order 1/m are made of."""

    energy: Float[Array, "*B P p n"]
    unanswered: Float[Array, "*B P p n"]
    squares: Squares | None


def _answers(
    reduction: AngleReduction, course: Course, rows: BlockFeatures, degree: int, signs: str, bias: bool
) -> _Answers:
    sources = Sources.of(reduction, course, degree, signs)
    tables = Powers.of(course.paths.theta, degree)
    charge = course.labels.sign[None, None] * course.paths.mass

    def answer(block: BlockFeatures) -> _Answers:
        features, noise = features_of(block, tables, ORDERS if bias else 2), sources.noise(block)
        heard = jnp.matmul(charge[:, :, None] * features[0], noise, precision=HIGHEST)

        def observe(path, phi, response):
            if bias:
                return squares_of(course.labels, block, noise, path, phi, response)
            return jnp.sum(response.moments**2, axis=-1)

        found = respond(course.labels, course.paths, block, features, heard, observe, inside=bias)
        return _Answers(found.energy if bias else found, jnp.sum(heard**2, axis=-1), found if bias else None)

    return jax.lax.map(answer, rows)  # one by one: products of batches of small matrices are slow


def _of_samples(
    law: SampleLaw, reduction: AngleReduction, course: Course, rows: BlockFeatures, blocks: Blocks, degree: int
) -> tuple[Float[Array, " T"], Float[Array, " T"]]:
    """lim (B/η) E‖f_η − f‖² and lim n E‖f_n − f‖²."""
    samples, tables = Samples.of(law, reduction, course, degree), Powers.of(course.paths.theta, degree)

    def answer(pair: tuple[BlockFeatures, BlockFeatures]):
        block, dual = pair
        features = features_of(block, tables, 2)
        gamma = covariance(samples, course, block, dual)
        batches = batch_noise(course.labels, course.paths, block, features, gamma)
        return block.copies * jnp.stack([batches, fixed_noise(samples, course, block, dual, features)])

    found = jnp.sum(jax.lax.map(answer, (rows, dual_features(reduction, blocks, degree))), axis=0)
    return course.panels.join(found[0]), course.panels.join(found[1])


def features_of(block: BlockFeatures, tables: Powers, orders: int = ORDERS) -> Jet:
    """The features of a block and their derivatives along the paths, each [P, p, n, L]."""
    return tuple(jnp.moveaxis(each, 0, 2) for each in evaluate(block, tables, orders))


def _order_one(reduction, course, rows, degree, squares, paired: bool, width):
    """Means of order 1/m and scatter, by the names of the observables."""
    total = jax.tree.map(lambda each: jnp.einsum("b,b...->...", rows.copies, each, precision=HIGHEST), squares)
    invariant = jax.tree.map(lambda leaf: leaf[0], rows)  # block (0, 0)
    features = features_of(invariant, Powers.of(course.paths.theta, 1))
    means = means_of(reduction, course, invariant, features, total, paired)
    scatter = jax.vmap(course.panels.join, in_axes=-1)(squares.scatter[0])
    bias: dict[str, Array] = {
        "risk": width / 2 + means.risk,
        "mass_plus": means.masses[:, 0],
        "mass_minus": means.masses[:, 1],
    }
    return bias, dict(zip(bias, scatter, strict=True))
