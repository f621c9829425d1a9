"""The search for the subspace that training keeps, stage by stage: what leaves it, against the floor, and the risk.

The teachers of Maass & Fontbona (2024), who show the stages j = 0, 1, 2 of a search; x ~ N(0, 16 I_2) and units σ(zx) of
matrices, as in `teachers`. Once with exact gradients on a cubature, where the floor is rounding, and once with fresh inputs
for every step, where it is noise.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ..invariance import DiscoveryReport, discover
from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, MINUS, PLUS, finish, line_key, panels, style
from ..problem.cubature import cubature
from ..problem.inputs import Gaussian
from ..problem.layered_units import MatrixUnit
from ..problem.problem import Problem
from ..problem.targets import Teacher
from ..problem.training import Training
from .base import Experiment, run_each
from .teachers import TEACHERS, teacher_clouds

WIDTH, TIME, BATCH, STEP, SCALE = 20, 50.0, 400, 1.0, 0.5
SHOWN = ("weakly invariant", "arbitrary")
_SHADES = (GREY, PLUS, MINUS, INK)  # of the stages
_SPAN = 1e-4  # below the lowest floor: what is less is rounding, and drawn there


class DiscoveryRecord(NamedTuple):
    """Searches for every teacher that is shown: `exact` with exact gradients, `sampled` with fresh inputs."""

    exact: dict[str, DiscoveryReport]
    sampled: dict[str, DiscoveryReport]


def compute(key: PRNGKeyArray, width: int = WIDTH, until: float = TIME, batch: int = BATCH) -> DiscoveryRecord:
    """Search once with exact gradients and once with fresh inputs, for every teacher."""
    unit, law = MatrixUnit(jax.nn.sigmoid), Gaussian(2, 4.0)
    clouds: dict[str, Array] = dict(zip(TEACHERS, teacher_clouds(), strict=True))
    training = Training(step=STEP, weight_decay=1e-4)

    def search(case: tuple[str, bool]) -> DiscoveryReport:
        name, exact = case
        problem = Problem(cubature(law, nodes=32) if exact else law, Teacher(clouds[name], unit), unit)
        samples = None if exact else batch
        return discover(problem, width=width, until=until, key=key, start_scale=SCALE, samples=samples, training=training)

    cases = [(name, exact) for exact in (True, False) for name in SHOWN]
    found = dict(zip(cases, run_each(search, cases), strict=True))
    return DiscoveryRecord(*({name: found[name, exact] for name in SHOWN} for exact in (True, False)))


def draw(record: DiscoveryRecord, axes: AxesLike | None = None) -> Figure:
    """Exact gradients above, fresh inputs below: spectra of what left at every stage, with its floor, and the risk then."""
    rows = (("exact gradients", record.exact), ("fresh inputs", record.sampled))
    with style(axes):
        figure, grid = panels(axes, len(rows), len(SHOWN) + 1, (10.2, 5.8))
        for line, (words, reports) in zip(grid, rows, strict=True):
            for ax, name in zip(line, SHOWN, strict=False):
                _draw_stages(ax, reports[name])
                ax.set_title(f"{words}: {name} teacher")
            line[0].set_ylabel("second moment of what left")
            for name, look in zip(SHOWN, ({"color": INK, "marker": "o"}, {"color": PLUS, "marker": "s"}), strict=True):
                stages = reports[name].stages
                line[-1].plot(reports[name].dims, [each.risk for each in stages], label=name, mfc="white", ms=4, **look)
            line[-1].set_title(f"{words}: risk")
            line[-1].set_yscale("log")
            line[-1].set_xticks(range(5))
        for ax in grid[1, :-1]:
            ax.set_xlabel("direction, by what left along it")
        grid[1, -1].set_xlabel("dimension of $E$")
        grid[0, -1].legend(title="teacher")
        return finish(figure, axes)


def _draw_stages(ax: Axes, report: DiscoveryReport) -> None:
    """The spectrum of every stage, what is 0 at the bottom, and floors."""
    numbers = np.arange(1, len(report.stages[0].spectrum) + 1)
    handles, lowest = [], _SPAN * min(stage.floor for stage in report.stages)
    for stage, color in zip(report.stages, _SHADES, strict=False):
        values = np.maximum(stage.spectrum, lowest)
        ax.plot(numbers, values, "o-", color=color, lw=1.0, ms=4, mfc="white")
        ax.axhline(stage.floor, color=color, lw=0.9, ls=(0, (4, 2)))
        handles.append(line_key(f"dim $E$ = {stage.dim}", color, lw=1.0, marker="o", ms=4, mfc="white"))
    ax.set_yscale("log")
    ax.set_xticks(numbers)
    ax.set_ylim(lowest / 3, None)
    ax.legend(handles=[*handles, line_key("floor", GREY, lw=0.9, ls=(0, (4, 2)))], loc="upper right")


EXPERIMENT = Experiment("the search for the subspace that training keeps: what leaves it, and the risk", compute, draw)
