"""Both routes on one problem, and a verdict on their difference.

A cloud of m neurons is biased by O(1/m) and scattered by O(m^{-1/2}), so no single run is held against a tolerance:
means over seeds are extrapolated to infinite width, and their difference to the reference is judged by its standard
error.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.sharding import Mesh
from jaxtyping import Array, Float

from .distances import squared_distances
from .errors import (
    SolveError,
    Words,
    argument_error,
    check_flags,
    check_instance,
    check_integer,
    check_key,
    check_times,
)
from .extrapolation import Comparison, compare
from .lift import project
from .particles.ensemble import solve_ensemble
from .particles.initial import check_widths, initial_cloud
from .particles.risk import risk_of
from .problem.problem import Problem
from .reduce import reduce
from .reduced.base import AbstractReduction
from .reduced.flow import solve_reduced
from .sharding import check_mesh_of_lanes, stack_lanes
from .solution import Solution, early_ends, lane, with_masks, words_of_early_ends
from .types import Checked, Json, KeyLike, Times

_HIGHEST = jax.lax.Precision.HIGHEST


class Runs(eqx.Module):
    """Finite clouds of several widths and seeds on one problem, recorded at `ts` [T].

    `observables[name][k]` is [seeds, T] for `widths[k]`: what every cloud shows by itself. `theta[k]` and `weight[k]`
    [seeds, T, width] are the clouds pushed forward to the angle, with signed weights (`theta[k]` with one more axis where
    there are several angles); `energy[k]` [seeds, T] is E f_m².
    """

    ts: Float[Array, " T"]
    widths: tuple[int, ...] = eqx.field(static=True)
    observables: dict[str, list[Float[Array, "seeds T"]]]
    theta: list[Float[Array, "seeds T _ *k"]]
    weight: list[Float[Array, "seeds T _"]]
    energy: list[Float[Array, "seeds T"]]


class Judgement(NamedTuple):
    """The verdict on one reference: "agree", "disagree" or "undecided", a sentence, and every comparison behind it.

    `predictor_constant` [W, T] is m·E‖f_m − f‖², which tends to a constant in m.
    """

    verdict: str
    sentence: str
    comparisons: dict[str, Comparison]
    predictor_constant: Float[np.ndarray, "W T"]


class CrossCheckReport(NamedTuple):
    """Both methods of the reduced route judged against the same clouds. `verdict` is the worst of both."""

    runs: Runs
    references: dict[str, Solution]
    judgements: dict[str, Judgement]
    verdict: str

    def __str__(self) -> str:
        """The sentence of every method, with the rates in m."""
        lines = [f"Widths {', '.join(map(str, self.runs.widths))}, {self.runs.energy[0].shape[0]} seeds each."]
        for method, judgement in self.judgements.items():
            slopes = [f"{c.observable} {c.spread_slope:.2f}" for c in judgement.comparisons.values()]
            constant = [f"{value:.3g}" for value in judgement.predictor_constant[:, -1]]
            lines += [
                f"{method}: {judgement.sentence}",
                f"  spread over seeds ~ m^p, p: {', '.join(slopes)}",
                f"  m·E(f_m − f)² at t = {float(self.runs.ts[-1]):g} for each width: {', '.join(constant)}",
            ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Json]:
        """Plain numbers for JSON: the verdicts, and for every observable its limit, reference and standard error."""
        record: dict[str, Json] = {"verdict": self.verdict, "t": np.asarray(self.runs.ts).tolist()}
        record |= {"widths": list(self.runs.widths), "seeds": int(self.runs.energy[0].shape[0])}
        for method, judgement in self.judgements.items():
            rows = {name: c.as_dict() for name, c in judgement.comparisons.items()}
            constant = [[v if np.isfinite(v) else None for v in row] for row in judgement.predictor_constant.tolist()]
            parts = {"verdict": judgement.verdict, "sentence": judgement.sentence, "observables": rows}
            record[method] = parts | {"predictor_constant": constant}
        return record


@with_masks
def cross_check(
    problem: Problem,
    ts: Times,
    *,
    widths: tuple[int, ...] = (64, 256, 1024),
    seeds: int = 8,
    key: KeyLike | None = None,
    cells: int | None = None,
    nodes: int | None = None,
    modes: int | None = None,
    mesh: Checked[Mesh | None] = None,
    progress: bool = False,
) -> CrossCheckReport:
    """Solve a problem by both routes and judge their difference.

    Arguments:
      ts: times [T] of the comparison, increasing from 0.
      widths: numbers of neurons, at least two of them; three allow for a bias of order 1/m².
      seeds: independent clouds per width, at least 3; `key` makes them (default jax.random.key(0)).
      cells, nodes, modes: as in `mf.reduce`; progress: show a bar over the clouds on stderr.
      mesh: as in `mf.sweep`, spread the clouds over all its devices.

    Returns a CrossCheckReport: both methods of the reduced route against the same clouds, the characteristics with twice
    the modes, and the difference of the two as the error of either. Print it for the verdict.
    Raises NoReductionError if the problem has no reduced equation, ArgumentError on wrong arguments.
    """
    check_instance("problem", problem, Problem, "Build it with mf.Problem(inputs, target).")
    ts = check_times(ts)
    reduced = reduce(problem, cells=cells, nodes=nodes, modes=modes)
    _check_law(reduced, "problem")
    runs = run_clouds(problem, ts, reduced, widths=widths, seeds=seeds, key=key, mesh=mesh, progress=progress)
    references = _references(reduced, ts)
    judgements = {method: judge(reference, runs) for method, reference in references.items()}
    verdicts = [judgement.verdict for judgement in judgements.values()]
    worst = next(v for v in ("disagree", "undecided", "agree") if v in verdicts)
    return CrossCheckReport(runs, references, judgements, worst)


def _check_law(reduced: AbstractReduction, argument: str) -> None:
    """Clouds are compared by the law of their directions too."""
    if reduced.angles is None:
        remedy = (
            "Compare runs of mf.solve_particles with one of mf.solve_reduced; for odd targets also mf.moments_of(cloud)."
        )
        got = Words(f"one whose equation keeps none: {type(reduced).__name__}")
        raise argument_error(argument, "one with an angle for cross_check", got, remedy)


def _references(reduced, ts) -> dict[str, Solution]:
    """Both methods of the reduced route; the error of either is their difference, the characteristics with twice the
    modes, so that it shows what cells, labels, modes and time steps leave out."""
    if reduced.angles == 0:
        return {"grid": solve_reduced(reduced, ts)}
    methods = [method for method in ("grid", "characteristics") if method in reduced.methods]
    other = solve_reduced(reduced, ts, method=methods[0], derivative="forward")  # the mode that compiles faster
    labels = solve_reduced(reduced.all_modes(), ts, method="characteristics", derivative="forward")
    error = {name: jnp.abs(values - labels.observables[name]) for name, values in other.observables.items()}
    found = {methods[0]: other, "characteristics": labels}
    return {name: dataclasses.replace(run, error=error) for name, run in found.items()}


@with_masks
def run_clouds(
    problem: Problem,
    ts: Times,
    reduced: AbstractReduction,
    *,
    widths: tuple[int, ...],
    seeds: int,
    key: KeyLike | None = None,
    mesh: Checked[Mesh | None] = None,
    progress: bool = False,
) -> Runs:
    """Independent clouds from the start of a problem, moved by the exact flow, for every width and seed.

    `progress` shows a bar on stderr, in which every neuron counts as much; `mesh` spreads the clouds over all its devices.
    Raises SolveError if one of them ended early; it says which, when and why, and has all Runs in its `.solution`.
    """
    check_instance("problem", problem, Problem, "Build it with mf.Problem(inputs, target).")
    check_instance("reduced", reduced, AbstractReduction, "Build it with mf.reduce(problem).")
    _check_law(reduced, "reduced")
    ts = check_times(ts)
    widths = check_widths([problem], widths, 2, "Pass even integers such as (64, 256, 1024).")
    if len(set(widths)) < 2 or list(widths) != sorted(widths):
        raise argument_error("widths", "at least two increasing widths", widths, "One width cannot be extrapolated.")
    seeds = check_integer("seeds", seeds, 3, "The scatter over seeds is the yardstick of the comparison.")
    check_flags(progress=progress)
    mesh = check_mesh_of_lanes(mesh)
    keys = jax.random.split(jax.random.key(0) if key is None else check_key(key), len(widths))
    with tqdm.tqdm(total=seeds * sum(widths), unit="neuron", disable=not progress) as bar:
        records = [
            _run_width(problem, ts, reduced, width, jax.random.split(k, seeds), mesh, bar)
            for width, k in zip(widths, keys, strict=True)
        ]
    runs, theta, weight, energy = (list(column) for column in zip(*records, strict=True))
    observables = {name: [batch.observables[name] for batch in runs] for name in runs[0].observables}
    found = Runs(ts, widths, observables, theta, weight, energy)
    early = early_ends(_by_name(widths, runs))
    if early:
        raise SolveError(words_of_early_ends(early, "All clouds are in `.solution` of this error."), found)
    return found


def _run_width(problem, ts, reduced, width, keys, mesh, bar) -> tuple[Solution, Array, Array, Array]:
    """The runs [S, …], projections [S, T, width] and E f_m² [S, T] of one width for every key."""
    clouds = stack_lanes([initial_cloud(problem, width=width, key=key) for key in keys])
    runs = solve_ensemble(problem, clouds, ts, save_states=True, mesh=mesh, done=lambda lanes: bar.update(lanes * width))
    return runs, *_projected(problem, reduced, runs.states)


def _by_name(widths: tuple[int, ...], runs: list[Solution]) -> Iterator[tuple[str, Solution]]:
    """Every cloud as a run by itself."""
    for width, batch in zip(widths, runs, strict=True):
        yield from ((f"{width} neurons, seed {seed}", lane(batch, seed)) for seed in range(len(batch.valid)))


@eqx.filter_jit
def _projected(problem, reduced, states):
    """θ and signed weights [S, T, width], and E f_m² [S, T], of stacked clouds."""
    shape = states.a.shape[:2]
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), states)
    energy = jax.lax.map(risk_of(problem).energy, flat).reshape(shape)
    if reduced.angles == 0:
        return jnp.zeros((*shape, 0)), jnp.zeros((*shape, 0)), energy
    theta, weight = jax.vmap(lambda cloud: project(cloud, reduced))(flat)
    return theta.reshape(*shape, *theta.shape[1:]), weight.reshape(*shape, -1), energy


def judge(reference: Solution, runs: Runs) -> Judgement:
    """Compare clouds with a reduced solution: extrapolated means against the reference, at every recorded time.

    The verdict is "disagree" if one of all differences is excluded as chance at a family-wise level of 0.1 %
    (Bonferroni, Student), "agree" if none is and every difference above a tenth of the size of its observable is
    excluded at 95 %, and "undecided" otherwise. Squared distances (Wasserstein between the laws of the angle, L²
    between the predictors) are compared with zero.
    """
    check_instance("reference", reference, Solution, "Pass what mf.solve_reduced returned.")
    check_instance("runs", runs, Runs, "Pass `report.runs`, or what mf.crosscheck.run_clouds returned.")
    if reference.ts.shape != runs.ts.shape or not np.allclose(reference.ts, runs.ts):
        raise argument_error("reference", "recorded at the times of the runs", reference.ts, "Solve it at runs.ts.")
    if not np.all(reference.valid):
        got = Words(f"one that did not: {reference.sentence()}")
        raise argument_error("reference", "a run that reached all of its times", got, "Solve it without `stop`.")
    names = [name for name in runs.observables if name in reference.observables]
    with_angles = runs.weight[0].shape[-1] > 0
    total = len(runs.ts) * (len(names) + (3 if with_angles else 0))
    comparisons = {}
    for name in names:
        error = 0 * reference.observables[name] if reference.error is None else reference.error[name]
        scale = _size(name, reference)
        comparisons[name] = compare(
            name, reference.observables[name], error, runs.observables[name], runs.widths, scale, total
        )
    constant = np.full((len(runs.widths), len(runs.ts)), np.nan)
    if with_angles:
        distances, sizes, errors = squared_distances(reference, runs.theta, runs.weight, runs.energy)
        for name, samples in distances.items():
            zero = np.zeros(len(runs.ts))
            comparisons[name] = compare(name, zero, errors[name], samples, runs.widths, sizes[name], total, squared=True)
        constant = np.stack(
            [m * np.mean(d, axis=0) for m, d in zip(runs.widths, distances["predictor_distance"], strict=True)]
        )
    return _verdict(comparisons, np.asarray(runs.ts), constant)


def _size(name: str, reference: Solution) -> float:
    """Against what a difference counts: the range of a bounded observable, the largest value of the others."""
    if name.startswith("alignment"):
        return 1.0
    if name.startswith("distance"):
        return np.pi / 2
    return float(np.max(np.abs(reference.observables[name])))


def _verdict(comparisons: dict[str, Comparison], ts, constant) -> Judgement:
    verdicts = {c.verdict for c in comparisons.values()}
    verdict = next(v for v in ("disagree", "undecided", "agree") if v in verdicts)
    scores = {name: np.abs(c.limit - c.reference) / c.standard_error for name, c in comparisons.items()}
    name = max(scores, key=lambda n: np.max(scores[n]))
    index = int(np.argmax(scores[name]))
    widest = max(comparisons.values(), key=lambda c: np.max(c.excluded) / c.scale)
    share = float(np.max(widest.excluded) / widest.scale)
    sentence = (
        f"{verdict}: {len(comparisons)} observables at {len(ts)} times. Largest difference {scores[name][index]:.1f} "
        f"standard errors ({name} at t = {ts[index]:g}). Excluded at 95 %: differences above {100 * share:.2g} % of "
        f"the size of any observable (the widest is {widest.observable})."
    )
    return Judgement(verdict, sentence, comparisons, constant)
