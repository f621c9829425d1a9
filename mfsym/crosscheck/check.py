"""`cross_check`: both routes on one problem."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ..errors import check_instance, check_times
from ..problem.problem import Problem
from ..problem.training import Training
from ..reduce import reduce
from ..reduced.base import AbstractReduction
from ..reduced.flow import solve_reduced
from ..solution import Solution, with_masks
from ..types import Checked, IntLike, Json, KeyLike, RealLike, Times
from .clouds import Runs, check_comparable, run_clouds, training_of
from .judgement import Judgement, judge


class CrossCheckReport(NamedTuple):
    """Both methods of the reduced route judged against the same clouds. `verdict` is the worst of both."""

    runs: Runs
    references: dict[str, Solution]
    judgements: dict[str, Judgement]
    verdict: str

    def __str__(self) -> str:
        """The sentence of every method, with the rates in m."""
        lines = [f"Widths {', '.join(map(str, self.runs.widths))}, {self.runs.seeds} seeds each."]
        for method, judgement in self.judgements.items():
            slopes = [f"{c.observable} {c.spread_slope:.2f}" for c in judgement.comparisons.values()]
            lines += [f"{method}: {judgement.sentence}", f"  spread over seeds ~ m^p, p: {', '.join(slopes)}"]
            if "predictor_distance" in judgement.comparisons:
                constant = ", ".join(f"{value:.3g}" for value in judgement.predictor_constant[:, -1])
                lines.append(f"  m·E(f_m − f)² at t = {float(self.runs.ts[-1]):g} for each width: {constant}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Json]:
        """Plain numbers for JSON: the verdicts, and for every observable its limit, reference and standard error."""
        record: dict[str, Json] = {"verdict": self.verdict, "t": np.asarray(self.runs.ts).tolist()}
        record |= {"widths": list(self.runs.widths), "seeds": self.runs.seeds}
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
    samples: IntLike | None = None,
    step: RealLike | None = None,
    cells: int | None = None,
    nodes: int | None = None,
    modes: int | None = None,
    mesh: Checked[Mesh | None] = None,
    progress: bool = False,
) -> CrossCheckReport:
    """Solve a problem by both routes and judge their difference.

    Arguments:
      ts: times [T] of the comparison, increasing from 0; multiples of `step` where there is one.
      widths: numbers of neurons, at least two of them; three allow for a bias of order 1/m².
      seeds: independent clouds per width, at least 3; `key` makes them (default jax.random.key(0)).
      step: compare gradient descent in steps of this length, on both routes, instead of the flow.
      samples: every step of every cloud sees so many fresh inputs, as it must where the risk of a cloud has no closed form
        (any unit but the 1-homogeneous ones, any loss but the square). The reduced run descends the risk itself: the noise
        of the inputs shifts means by O(step/samples), which no width removes and which has to stay below what the
        clouds can show.
      cells, nodes, modes: as in `mf.reduce`; progress: show a bar over the clouds on stderr.
      mesh: as in `mf.sweep`, spread the clouds over all its devices.

    Returns a CrossCheckReport: both methods of the reduced route against the same clouds, the characteristics with twice
    the modes, and the difference of the two as the error of either; labels alone, with the error that `solve_reduced`
    states, for steps and for other units and losses. Risk and observables are compared, and where there is an angle
    its law and the predictors. Print it for the verdict.
    Raises NoReductionError if the problem has no reduced equation, ArgumentError on wrong arguments.
    """
    check_instance("problem", problem, Problem, "Build it with mf.Problem(inputs, target).")
    ts, training = check_times(ts), training_of(samples, step)
    reduced = reduce(problem, cells=cells, nodes=nodes, modes=modes)
    check_comparable(reduced, "problem")
    clouds = {"widths": widths, "seeds": seeds, "key": key, "samples": samples, "step": step}
    runs = run_clouds(problem, ts, reduced, mesh=mesh, progress=progress, **clouds)
    references = _references(reduced, ts, training)
    judgements = {method: judge(reference, runs) for method, reference in references.items()}
    verdicts = [judgement.verdict for judgement in judgements.values()]
    worst = next(v for v in ("disagree", "undecided", "agree") if v in verdicts)
    return CrossCheckReport(runs, references, judgements, worst)


def _references(reduced: AbstractReduction, ts: Times, training: Training | None) -> dict[str, Solution]:
    """Both methods of the reduced route; the error of either is their difference, the characteristics with twice the
    modes, so that it shows what cells, labels, modes and time steps leave out. Labels alone state their own."""
    if reduced.angles == 0:
        return {"grid": solve_reduced(reduced, ts, training=training)}
    options = {"training": training, "derivative": "forward"}  # the mode that compiles faster
    if reduced.angles is None or training is not None:
        return {"characteristics": solve_reduced(reduced, ts, method="characteristics", error=True, **options)}
    methods = [method for method in ("grid", "characteristics") if method in reduced.methods]
    other = solve_reduced(reduced, ts, method=methods[0], **options)
    labels = solve_reduced(reduced.all_modes(), ts, method="characteristics", **options)
    error = {name: jnp.abs(values - labels.observables[name]) for name, values in other.observables.items()}
    found = {methods[0]: other, "characteristics": labels}
    return {name: dataclasses.replace(run, error=error) for name, run in found.items()}
