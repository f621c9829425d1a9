"""What a sweep found, by label."""

from collections.abc import Iterator

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error
from ..solution import Solution, Status, early_ends, lane
from ..types import Json


class Sweep(eqx.Module):
    """What a sweep found, by label.

    - `labels`, `ts` [T];
    - `solutions[label]`: the Solution of the reduced equation; `sweep[label]` is the same;
    - `clouds[label][width]`: where widths were asked for, the Solution of its clouds, with a leading axis of seeds.

    Every run has its own `status`: one that ends early leaves the others as they are. `early()` names those that did.
    """

    labels: tuple[str, ...] = eqx.field(static=True)
    ts: Float[Array, " T"]
    solutions: dict[str, Solution]
    clouds: dict[str, dict[int, Solution]]

    def __getitem__(self, label: str) -> Solution:
        """The reduced solution of one problem."""
        if label not in self.solutions:
            raise argument_error("label", f"one of {', '.join(self.labels)}", label, "See `labels`.")
        return self.solutions[label]

    def observable(self, name: str) -> Float[np.ndarray, "problems T"]:
        """One observable of all problems in the order of `labels`, [problems, T]; NaN where a problem has none."""
        empty = np.full(self.ts.shape, np.nan, self.ts.dtype)
        found = [self.solutions[label].observables.get(name) for label in self.labels]
        if all(values is None for values in found):
            names = sorted({name for run in self.solutions.values() for name in run.observables})
            raise argument_error("name", f"one of {', '.join(names)}", name, "These were recorded.")
        return np.stack([np.asarray(empty if values is None else values) for values in found])

    def early(self) -> dict[str, str]:
        """Which runs ended early, by name ("label", or "label, 64 neurons, seed 3"), and in a sentence when and why."""
        return early_ends(_every_run(self))

    def as_dict(self) -> dict[str, Json]:
        """Plain numbers for JSON: the record of every problem by label, and of its clouds by width and seed."""
        return {label: self.solutions[label].as_dict() | self._clouds_of(label) for label in self.labels}

    def _clouds_of(self, label: str) -> dict[str, Json]:
        if label not in self.clouds:
            return {}
        runs = {str(width): [lane(run, i).as_dict() for i in _seeds(run)] for width, run in self.clouds[label].items()}
        return {"clouds": runs}

    def __str__(self) -> str:
        """The last valid record of every problem, and where clouds ran, their mean and its standard error."""
        names = [n for n in ("risk", "mass_plus", "mass_minus", "alignment_plus") if self._has(n)]
        width = max(len(label) for label in self.labels) + 12
        lines = [f"{'at t = ' + format(float(self.ts[-1]), 'g'):{width}}" + "".join(f"{name:>24}" for name in names)]
        for label in self.labels:
            run = self.solutions[label]
            early = "" if bool(run.status == Status.complete) else f"  {run.sentence()}"
            lines.append(f"{label:{width}}" + "".join(_spread(run, n) for n in names) + early)
            for m, clouds in self.clouds.get(label, {}).items():
                ended = int(np.sum(~np.asarray(clouds.status == Status.complete)))
                early = f"  {ended} of {len(_seeds(clouds))} ended before: their last valid record" if ended else ""
                lines.append(f"{f'  {m} neurons':{width}}" + "".join(_spread(clouds, n) for n in names) + early)
        return "\n".join(lines)

    def _has(self, name: str) -> bool:
        return any(name in run.observables for run in self.solutions.values())


def _every_run(found: Sweep) -> Iterator[tuple[str, Solution]]:
    """Every single run by a name, in the order of the labels."""
    for label in found.labels:
        yield label, found.solutions[label]
        for width, runs in found.clouds.get(label, {}).items():
            yield from ((f"{label}, {width} neurons, seed {i}", lane(runs, i)) for i in _seeds(runs))


def _seeds(runs: Solution) -> range:
    return range(len(runs.valid))


def _spread(runs: Solution, name: str) -> str:
    """The last valid record of a run, or of a batch its mean and standard error over seeds."""
    if name not in runs.observables:
        return " " * 24
    values, valid = (np.atleast_2d(np.asarray(each)) for each in (runs.observables[name], runs.valid))
    last = np.array([row[known][-1] if known.any() else np.nan for row, known in zip(values, valid, strict=True)])
    if len(last) < 2:
        return f"{last[0]:24.6g}"
    error = last.std(ddof=1) / np.sqrt(len(last))
    return f"{f'{last.mean():.6g} ± {error:.1e}':>24}"
