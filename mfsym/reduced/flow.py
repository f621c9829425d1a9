"""`solve_reduced`: from a reduction to a Solution, by two methods, and in closed form where no angle is left."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..control import Checkpoints, Control, Stop, differences, reached_times
from ..errors import argument_error, check_flags, check_floating, check_instance, check_times, no_reduction
from ..integrate import Stepping, cast_floats, require_complete
from ..iterate import times_of_whole_steps
from ..problem.training import Training
from ..solution import Solution, with_masks
from ..types import Checked, DTypeLike, IntLike, Observe, RealLike, Times
from .base import AbstractForm, AbstractReduction, RunTimes
from .choose import dynamics_of
from .scales import check_range, smallest_scale

_SLOWEST = 10 / 11  # what is missing is at most ten times the last change
_NO_OPTIMISER = (
    "an optimiser that acts coordinate by coordinate (Adam, sign updates, clipping) does not commute with rotations, "
    "so that the angle alone does not follow the neurons"
)


class Numerics(NamedTuple):
    """A Runge–Kutta scheme, its tolerances in float64 and float32, and whether `atol` is meant in units of mass."""

    scheme: str
    fine: tuple[float, float]
    single: tuple[float, float]
    of_mass: bool


_GRID = Numerics("ssprk104", (1e-6, 1e-6), (1e-4, 1e-6), True)
_MOMENTS = Numerics("dopri8", (1e-10, 1e-12), (1e-5, 1e-7), False)
NUMERICS = {
    "grid": _GRID,
    "upwind": _GRID,
    "characteristics": Numerics("dopri8", (1e-9, 1e-10), (1e-4, 1e-6), False),  # labels have no unit
    "closed": _MOMENTS,
    "hyperboloid": _MOMENTS,
    "moments": _MOMENTS,
}


@with_masks
def solve_reduced(
    reduced: AbstractReduction,
    ts: Times,
    *,
    training: Checked[Training] | None = None,
    method: str | None = None,
    derivative: str = "reverse",
    rtol: RealLike | None = None,
    atol: RealLike | None = None,
    max_steps: IntLike | None = None,
    throw: bool = True,
    progress: bool = False,
    initial: PyTree = None,
    error: bool = False,
    dtype: DTypeLike | None = None,
    stop: Checked[Stop] | None = None,
    checkpoint: Checked[Checkpoints] | None = None,
    observe: Observe | None = None,
) -> Solution:
    """Solve the reduced equation ∂_t τ^± = ∓∂_θ(V τ^±) ± 2 G τ^± from its start.

    Arguments:
      reduced: from `mf.reduce`. With H the whole space no angle is left and the closed solution is returned. For an odd
        target it is the moment equation M' = AM + MA.
      ts: times [T] of the record, increasing from 0; multiples of the step where `training` has one, sums of the steps so
        far where it has a schedule.
      training: rates of the layers, weight decay, finite steps and momentum; default the flow. What does not leave
        a mass at every angle (unequal rates or an unbalanced start, finite steps) needs method="characteristics" and
        then follows every neuron by its label, in a and what the angles keep of b, (‖b_H‖, ‖b_⊥‖) with one of them.
      method: "grid" (fifth-order finite volumes, non-negative; the default where `cells` were chosen, or eight of the usual
        ones cover 1/√d: up to d = 253 on one angle), "characteristics" (labels that move; spectrally accurate while the
        flow map is smooth; the default otherwise), or "upwind" (first order, a yardstick). For an odd target
        "closed" (inputs with Σ = v I), "hyperboloid" (1 + d unknowns, from the start of the problem) or "moments"
        ((1 + d)² unknowns, any start); the default is the first of them that holds.
      derivative: "reverse" (jax.grad, jax.vjp) or "forward" (jax.jvp, jax.jacfwd) mode of differentiation.
      rtol, atol: tolerances of a time step; by default 1e-6 and 1e-6 on a grid, 1e-9 and 1e-10 for characteristics,
        1e-10 and 1e-12 for moments, and 1e-4 and 1e-6 (moments: 1e-5 and 1e-7) in float32; on a grid `atol` is less
        where the masses of the start or of the target are below 1.
      max_steps, throw, progress: bound on the steps (default 65536, or as many finite steps as there are); raise
        SolveError on an early end; show a progress bar on stderr.
      initial: state to start from instead of the reduction's own, for example `solution.final` of an earlier run, or,
        for an odd target, the moments E[c cᵀ], c = (a, b), of any start that is invariant under c ↦ −c.
      error: also run with a half and a quarter of the cells (or labels), with twice the modes and another quadrature of
        the target, and with tighter steps, and report the sum of what each would change in `solution.error`.
      dtype: floating type of the run; default that of the reduction.
      stop: a `Stop`, where to end the run early.
      checkpoint: a `Checkpoints`, where to write files from which the same call goes on.
      observe: a dict from names to functions of the state; what each returns is recorded in `observables`, [T, …], without
        an estimate in `error`.

    Returns a Solution whose `final` is the cell means [2, cells] (one axis per angle), or the state of the labels. Masses
    and alignments of an unbalanced start belong to the sign of a at that time, which |a| < ‖b‖ lets change. For an odd
    target the observables are `risk`, `gap` = Q(w) − Q*, `w` [T, d] with f(x) = w·x, `smallest_eigenvalue` of H, `p0` and
    the masses; `certificate` is the exponential bound with its constants, beside the run.
    Raises ArgumentError on wrong arguments, NoReductionError for a training that the method cannot hold, SolveError on
    a run that ended early: also where a neuron reaches b = 0, from where the ReLU flow is not unique.
    (Hajjar & Chizat 2022, low-dimensional structure; spectral form and scheme derived here.)
    """
    control = Control(stop, checkpoint, progress, observe)
    training = None if training is None else _checked_training(training)
    check_instance("reduced", reduced, AbstractReduction, "Build it with mf.reduce(problem).")
    times = check_times(ts)
    check_flags(throw=throw, error=error)
    if error and initial is not None:
        raise argument_error("error", "False for a run with `initial`", error, "Estimate the error of a whole run.")
    dtype = reduced.dtype if dtype is None else check_floating(dtype)
    stepping = Stepping(rtol=rtol, atol=atol, derivative=derivative, max_steps=max_steps, control=control)
    reduced, times = cast_floats((reduced, times), dtype)
    method = reduced.choose_method(method, training, initial)
    check_range(reduced)
    stepping = _with_defaults(stepping, NUMERICS[method], dtype, smallest_scale(reduced))
    form = dynamics_of(reduced, method, training, stepping.atol)
    state = form.start(initial)
    if training is not None and training.step is not None:  # what the caller gave is known inside of jit, an array is not
        times = times_of_whole_steps(ts, training.step, training.schedule)
    solution = _with_words(form, state, form.run(state, times, stepping, training))
    solution = require_complete(solution, throw)
    if error:
        estimate = _error_estimate(form, method, times, training, stepping, solution)
        solution = eqx.tree_at(lambda s: s.error, solution, estimate, is_leaf=lambda leaf: leaf is None)
    return solution


def _checked_training(training: object) -> Training:
    """A Training; refuses optimisers, saying why."""
    if hasattr(training, "init") and hasattr(training, "update"):
        raise no_reduction(_NO_OPTIMISER, "Use mf.Training(step=, momentum=), or `descend` with the optimiser.")
    found = check_instance("training", training, Training, "Use mf.Training().")
    if found.heated:
        raise no_reduction("the noise of a `temperature` spreads neurons over all directions, which its equation does not")
    return found


def _with_defaults(stepping: Stepping, numerics: Numerics, dtype: DTypeLike, scale: Array | float) -> Stepping:
    """The scheme and tolerances of a method; `scale` is the size of the smallest masses that matter, where below 1."""
    rtol, atol = numerics.fine if jnp.finfo(dtype).bits >= 64 else numerics.single
    return stepping.with_defaults(numerics.scheme, rtol, scale * atol if numerics.of_mass else atol)


def _with_words(form: AbstractForm, state: PyTree, solution: Solution) -> Solution:
    """The solution with what has no meaning in it, and what is proved about it."""
    absent, certificate = form.reduction.absent(solution.observables), form.certificate(state, solution)
    return dataclasses.replace(solution, absent=absent, certificate=certificate)


def _error_estimate(
    form: AbstractForm,
    method: str,
    times: RunTimes,
    training: Training | None,
    stepping: Stepping,
    solution: Solution,
) -> dict[str, Array]:
    """What a finer grid, more modes, a better quadrature of the target and shorter steps would change, added up.

    The first is the difference to half the resolution, or more where that falls slowly from a quarter to a half. Modes and
    target are changed at half the resolution, so that nothing cancels, and count twice: the energy of a jump beyond n modes
    falls like 1/n, so that as much again is missing. The risk inherits what is not known of the floor.
    Given steps have no error. Chosen ones count twice: with a tenth of the tolerance they still err by up to a half as much.
    """
    reduced, times, quiet = form.reduction, reached_times(solution, times), stepping.quiet()

    def run(variant: AbstractReduction, steps: Stepping = quiet) -> Solution:
        other = dynamics_of(variant, method, training, steps.atol)
        return other.run(other.start(None), times, steps, training)

    changes = [differences(solution, solution, but=stepping.control.observers.functions)]
    base, at_base, half = reduced, solution, reduced.coarser()
    if half is not None:
        base, at_base = half, run(half)
        change = differences(solution, at_base)
        quarter = half.coarser() if half.can_be_halved(method) else None
        if quarter is not None:
            before = differences(at_base, run(quarter))
            change = {name: _remainder(found, before[name], at_base.ts) for name, found in change.items()}
        changes.append(change)
    whole = base.all_modes()
    moved = [differences(at_base, run(variant)) for variant in whole.displaced()]
    changes += moved if whole is base else 2 * moved
    if form.chooses_steps(training):
        changes += 2 * [differences(solution, run(reduced, quiet.tighter(10.0)))]
    total = {name: sum((_padded(each[name], len(zero)) for each in changes[1:]), zero) for name, zero in changes[0].items()}
    return total | {"risk": total["risk"] + reduced.floor_uncertainty()}


def _remainder(change: Float[Array, " T"], before: Float[Array, " n"], ts: Float[Array, " n"]) -> Float[Array, " T"]:
    """What is still missing after a change that was so much larger one halving before: a geometric series.

    Never less than the change: where it falls by 2^5 that is 30 times too much, and known to be enough. As two runs may
    cross, the largest change counts that is recorded between half the time and the time.
    """
    known = jnp.nan_to_num(change[: len(ts)])
    so_far, earlier = jax.lax.cummax(known), jax.lax.cummax(jnp.nan_to_num(before))
    ratio = jnp.clip(so_far / jnp.maximum(earlier, jnp.finfo(earlier.dtype).tiny), 0.5, _SLOWEST)
    near = (ts[None] >= ts[:, None] / 2) & (ts[None] <= ts[:, None])
    largest = jnp.max(jnp.where(near, known[None], 0.0), axis=1)
    return change.at[: len(ts)].set(jnp.where(jnp.isnan(change[: len(ts)]), jnp.nan, largest * ratio / (1 - ratio)))


def _padded(values: Float[Array, "n ..."], count: int) -> Float[Array, "T ..."]:
    """NaN at the times that were not reached."""
    return jnp.full((count, *values.shape[1:]), jnp.nan, values.dtype).at[: len(values)].set(values)
