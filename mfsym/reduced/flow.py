"""`solve_reduced`: from a reduction to a Solution, by two methods, and in closed form where no angle is left."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..control import Control, cut_after, differences, reached_times
from ..discrete import take_steps
from ..errors import (
    argument_error,
    check_choice,
    check_flags,
    check_floating,
    check_instance,
    check_times,
    float_array,
    is_traced,
    no_reduction,
)
from ..integrate import Stepping, bound_on_steps, cast_floats, integrate, require_complete
from ..problem.training import Training
from ..solution import Solution, Status, with_masks
from .blocks.build import coarsened_blocks
from .blocks.labels import BlockLabelState
from .blocks.quotient import BlockReduction
from .characteristics import CharacteristicState
from .choose import check_training, dynamics_of
from .kinds import KINDS, Reduction
from .labels import LabelDynamics, LabelState, reaches_zero
from .moment_flow import solve_moments
from .moments import OddReduction
from .point import PointReduction
from .scales import check_range, smallest_scale

_ROUND_OFF = 1e-6  # of the largest density: what a state in float32 may be below 0
METHODS = ("grid", "characteristics", "upwind")
_POSITIONS = "distances to the ends of the interval are measured for targets of ‖x_H‖ only"


@with_masks
def solve_reduced(
    reduced: Reduction,
    ts: Any,
    *,
    training: Any = None,
    method: str | None = None,
    derivative: str = "reverse",
    rtol: Any = None,
    atol: Any = None,
    max_steps: Any = None,
    throw: bool = True,
    progress: bool = False,
    initial: PyTree = None,
    error: bool = False,
    dtype: Any = None,
    stop: Any = None,
    checkpoint: Any = None,
) -> Solution:
    """Solve the reduced equation ∂_t τ^± = ∓∂_θ(V τ^±) ± 2 G τ^± from its start.

    Arguments:
      reduced: from `mf.reduce`. With H the whole space no angle is left and the closed solution is returned. For an odd
        target it is the moment equation M' = AM + MA.
      ts: times [T] of the record, increasing from 0; multiples of the step where `training` has one.
      training: rates of the layers, weight decay, finite steps and momentum; default the flow. What does not leave
        a mass at every angle (unequal rates or an unbalanced start, finite steps) needs method="characteristics" and
        then follows every neuron by its label, in (a, ‖b_H‖, ‖b_⊥‖).
      method: "grid" (the default; fifth-order finite volumes, non-negative), "characteristics" (labels that move;
        spectrally accurate while the flow map is smooth), or "upwind" (first order, a yardstick). For an odd target
        "closed" (inputs with Σ = v I), "hyperboloid" (1 + d unknowns, from the start of the problem) or "moments"
        ((1 + d)² unknowns, any start); the default is the first of them that holds.
      derivative: "reverse" (jax.grad, jax.vjp) or "forward" (jax.jvp, jax.jacfwd) mode of differentiation.
      rtol, atol: tolerances of a time step; by default 1e-6 and 1e-6 on a grid, 1e-9 and 1e-10 for characteristics,
        1e-10 and 1e-12 for moments, and 1e-4 and 1e-6 (moments: 1e-5 and 1e-7) in float32; on a grid `atol` is less
        where the masses of the start or of the target are below 1.
      max_steps, throw, progress: bound on the steps (default 65536, or as many as steps of a given length need); raise
        SolveError on an early end; show a progress bar on stderr.
      initial: state to start from instead of the reduction's own, for example `solution.final` of an earlier run, or,
        for an odd target, the moments E[c cᵀ], c = (a, b), of any start that is invariant under c ↦ −c.
      error: also run with half the cells (or labels) and twice the modes, and once with tighter steps, and report the
        sum of the two differences of each observable in `solution.error`.
      dtype: floating type of the run; default that of the reduction.
      stop: a `Stop`, where to end the run early.
      checkpoint: a `Checkpoints`, where to write files from which the same call goes on.

    Returns a Solution whose `final` is the cell means [2, cells] (one axis per angle), or the state of the labels. Masses
    and alignments of an unbalanced start belong to the sign of a at that time, which |a| < ‖b‖ lets change. For an odd
    target the observables are `risk`, `gap` = Q(w) − Q*, `w` [T, d] with f(x) = w·x, `smallest_eigenvalue` of H, `p0` and
    the masses; `certificate` is the exponential bound with its constants, beside the run.
    Raises ArgumentError on wrong arguments, NoReductionError for a training that the method cannot hold, SolveError on
    a run that ended early: also where a neuron reaches b = 0, from where the ReLU flow is not unique.
    (Hajjar & Chizat 2022, low-dimensional structure; spectral form and scheme derived here.)
    """
    control = Control(stop, checkpoint, progress)
    training = None if training is None else check_training(training)
    check_instance("reduced", reduced, KINDS, "Build it with mf.reduce(problem).")
    times = check_times(ts)
    check_flags(throw=throw, error=error)
    if error and initial is not None:
        raise argument_error("error", "False for a run with `initial`", error, "Estimate the error of a whole run.")
    dtype = reduced.dtype if dtype is None else check_floating(dtype)
    most = bound_on_steps(ts, None if training is None else training.step) if max_steps is None else max_steps
    options: dict[str, Any] = {"derivative": derivative, "max_steps": most, "control": control}
    reduced, ts = cast_floats((reduced, times), dtype)
    if isinstance(reduced, OddReduction):
        given = {"initial": initial, "rtol": rtol, "atol": atol, "error": error, "throw": throw, "options": options}
        return solve_moments(reduced, ts, training=training, method=method, **given)
    method = check_choice("method", "grid" if method is None else method, METHODS)
    if isinstance(reduced, PointReduction):
        _stepping(method, dtype, 1, rtol, atol, options)  # for its checks
        return _closed_solution(reduced, ts, training, initial, error, control)
    check_range(reduced)
    stepping = _stepping(method, dtype, smallest_scale(reduced), rtol, atol, options)
    dynamics = dynamics_of(reduced, method, training, stepping.atol)
    state = dynamics.initial_state() if initial is None else _checked_initial(initial, dynamics.initial_state())
    solution = _run(dynamics, state, ts, stepping, training)
    if isinstance(reduced, BlockReduction) or reduced.signed:
        absent = (("distance_plus", _POSITIONS), ("distance_minus", _POSITIONS))
        solution = dataclasses.replace(solution, absent=absent)
    solution = require_complete(solution, throw)
    if error:
        estimate = _error_estimate(reduced, ts, method, training, stepping, solution, options)
        solution = eqx.tree_at(lambda s: s.error, solution, estimate, is_leaf=lambda leaf: leaf is None)
    return solution


def _run(dynamics: Any, state: PyTree, ts: Float[Array, " T"], stepping: Stepping, training: Training | None) -> Solution:
    if training is not None and training.step is not None:
        options = {name: getattr(stepping, name) for name in ("derivative", "max_steps", "control")}
        return take_steps(dynamics, state, ts, training.step, training.momentum, dynamics.reduction, **options)
    stop = reaches_zero if isinstance(dynamics, LabelDynamics) else None
    return integrate(dynamics, state, ts, stepping, dynamics.reduction, stop)


def _stepping(method, dtype, scale, rtol, atol, options) -> Stepping:
    """Tolerances and scheme of a method; `scale` is the size of the smallest masses that matter, where it is below 1."""
    fine = jnp.finfo(dtype).bits >= 64
    loose = (1e-6, 1e-6) if method != "characteristics" else (1e-9, 1e-10)
    default = loose if fine else (1e-4, 1e-6)
    default = default if method == "characteristics" else (default[0], scale * default[1])  # labels have no unit
    rtol, atol = (given if given is not None else usual for given, usual in zip((rtol, atol), default, strict=True))
    scheme = "dopri8" if method == "characteristics" else "ssprk104"
    return Stepping(scheme, rtol=rtol, atol=atol, **options)


def _checked_initial(initial: Any, like: Any) -> Any:
    expected = [leaf.shape for leaf in jax.tree.leaves(like)]
    remedy = "Pass `solution.final` of a run with the same cells (or nodes) and method."
    if isinstance(initial, np.ndarray):
        initial = float_array("initial", initial, None, remedy)
    kind = jax.Array if isinstance(like, jax.Array) else type(like)  # a tracer is of another class than an array
    if not isinstance(initial, kind) or [np.shape(leaf) for leaf in jax.tree.leaves(initial)] != expected:
        raise argument_error("initial", f"a state with arrays of shapes {expected}", initial, remedy)
    if not any(is_traced(leaf) for leaf in jax.tree.leaves(initial)) and not _is_admissible(initial):
        raise argument_error("initial", "finite, with densities that are not negative", initial, remedy)
    return cast_floats(initial, jax.tree.leaves(like)[0].dtype)


def _is_admissible(state: Any) -> bool:
    state = jax.tree.map(lambda leaf: np.asarray(leaf, float), state)  # on the host: inside jit constants would be traced
    if isinstance(state, LabelState):
        return all(bool(np.all(np.isfinite(leaf))) for leaf in jax.tree.leaves(state))
    if isinstance(state, (CharacteristicState, BlockLabelState)):
        return bool(np.all(np.isfinite(jax.tree.leaves(state)[0])) & np.all(state.log_weight < np.inf))
    return bool(np.all(np.isfinite(state)) & (np.min(state) >= -_ROUND_OFF * np.max(state)))


def _error_estimate(reduced, ts, method, training, stepping, solution, options) -> dict[str, Array]:
    """|difference| to the same run with half the resolution and all stored modes, and with steps 10 times as exact."""
    quiet = {**options, "control": Control()}
    ts = reached_times(solution, ts)
    tighter = _stepping(method, reduced.dtype, 1, stepping.rtol / 10, stepping.atol / 10, quiet)
    usual = _stepping(method, reduced.dtype, 1, stepping.rtol, stepping.atol, quiet)
    variants = [(coarsened(with_all_modes(reduced)), usual)]
    if training is None or training.step is None:  # given steps have no error
        variants.append((reduced, tighter))
    total = {name: jnp.zeros_like(values) for name, values in solution.observables.items()}
    for variant, steps in variants:
        dynamics = dynamics_of(variant, method, training, steps.atol)
        other = _run(dynamics, dynamics.initial_state(), ts, steps, training)
        total = {name: total[name] + found for name, found in differences(solution, other).items()}
    return total


def coarsened(reduced: Any) -> Any:
    """Half the cells (exact sums of pairs) and half the labels (nested angles, and half the ratios of a start)."""
    if isinstance(reduced, BlockReduction):
        return coarsened_blocks(reduced)
    cells = reduced.cell_masses
    if reduced.cells % 2:
        raise argument_error("cells", "even where an error estimate is asked for", reduced.cells, "Pass one cell more.")
    halves = (cells[:, ::2] + cells[:, 1::2], reduced.node_log_density[:, 1::2], reduced.labels.coarsened())
    return eqx.tree_at(lambda r: (r.cell_masses, r.node_log_density, r.labels), reduced, halves)


def with_all_modes(reduced: Any) -> Any:
    """The same reduction with all stored features in the dynamics: twice the modes."""
    if isinstance(reduced, BlockReduction):
        return dataclasses.replace(reduced, resolved_count=reduced.count)
    return dataclasses.replace(reduced, modes=len(reduced.features.even))


def _closed_solution(reduced: Any, ts: Any, training: Any, initial: Any, error: bool, control: Control) -> Solution:
    if initial is not None:
        remedy = "The closed solution starts from the start of the problem."
        raise argument_error("initial", "left out where no angle is left", initial, remedy)
    control.check_stepped()
    rate = jnp.ones((), ts.dtype) if training is None else _rate_of_point(training).astype(ts.dtype)
    record = reduced.observe(ts * rate)
    final = jnp.stack([record["mass_plus"][-1], record["mass_minus"][-1]])
    states = jnp.stack([record["mass_plus"], record["mass_minus"]], axis=1)
    valid = jnp.isfinite(record["risk"])
    stats = {"steps": jnp.asarray(0), "rejected": jnp.asarray(0)}
    status = Status.where(jnp.all(valid), Status.complete, Status.not_finite)
    exact = {name: jnp.zeros_like(values) for name, values in record.items()} if error else None
    solution = Solution(ts, record, final, states, status, valid, stats, exact, reduced)
    if control.levels is None:
        return solution
    gap = reduced.target_mass - record["mass_plus"] + record["mass_minus"]
    speed = 2 * rate * reduced.kernel * jnp.abs(gap)  # both masses change at this relative rate
    return cut_after(solution, cast_floats(control.levels, gap.dtype), speed)


def _rate_of_point(training: Training) -> Float[Array, ""]:
    """The common rate of both layers, which is all that the closed solution can follow."""
    if training.step is not None or training.decays or not training.same_rates:
        reason = "with H the whole space only the closed solution of the flow at equal rates, without weight decay, is here"
        raise no_reduction(reason)
    return training.rate_a
