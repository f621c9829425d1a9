"""How neurons align: the law of their angles at six times, exact and of one network.

f*(x) = ‖x_H‖ with d = 30, d_H = 5, x ~ N(0, I), as in the notebook 1d-simulation-jax of the authors: times are those of
their steps 0, 100, 1000, 2000, 5000 and 20 000 of length 5e-3. The lines are the densities of τ⁺ and τ⁻ on the grid; the
bars are m = 1024 neurons moved in R³¹ by the exact population gradient, each counted with its mass |a|‖b‖/m. The network
knows neither the angle nor a sample.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..particles.flow import solve_particles
from ..particles.initial import sphere_cloud
from ..plot.angle import densities
from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, finish, line_key, number, panels, shade_key, style
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.targets import SubspaceNorm
from ..reduce import reduce
from ..reduced.flow import solve_reduced
from ..solution import Solution
from .base import Experiment

DIM, DIM_H, RATE, WIDTH, CELLS = 30, 5, 5e-3, 1024, 400
STEPS = (0, 100, 1000, 2000, 5000, 20_000)


class HistogramsRecord(NamedTuple):
    """The limit and one network, both with their states at the same times."""

    exact: Solution
    network: Solution


def compute(key: PRNGKeyArray, steps: tuple[int, ...] = STEPS, width: int = WIDTH, cells: int = CELLS) -> HistogramsRecord:
    """Both routes from 0 to the last of some steps of length 5e-3, which begin with 0."""
    problem = Problem(Gaussian(DIM), SubspaceNorm(DIM_H))
    ts = RATE * jnp.asarray(steps, float)
    exact = solve_reduced(reduce(problem, cells=cells), ts, derivative="forward")
    cloud = sphere_cloud(problem, width=width, key=key, dtype=jnp.float32)
    network = solve_particles(problem, cloud, ts, derivative="forward", save_states=True)
    return HistogramsRecord(exact, network)


def draw(record: HistogramsRecord, axes: AxesLike | None = None) -> Figure:
    """τ⁺ above, τ⁻ below, one column per time; each panel has its own scale, since masses change by a factor 100."""
    exact, network = record
    times = [float(t) for t in exact.ts]
    with style(axes):
        figure, grid = panels(axes, 2, len(times), (0.6 + 1.95 * len(times), 3.9))
        densities(exact, full=network, times=times, axes=grid)
        grid[0, 0].get_legend().remove()
        for i, t in enumerate(times):
            grid[0, i].set_title(f"step {round(t / RATE)}, $t={number(t)}$")
            for ax, name in zip(grid[:, i], ("mass_plus", "mass_minus"), strict=True):
                _write_masses(ax, *(float(run.observables[name][i]) for run in record))
        bars = shade_key(f"network, $m={network.final.width}$")
        grid[1, -1].legend(handles=[line_key(r"$m=\infty$ (exact)"), bars], loc="upper left", bbox_to_anchor=(0.0, 0.74))
        return finish(figure, axes)


def _write_masses(ax: Axes, exact: float, network: float) -> None:
    """The total mass in the corner that the curve leaves free."""
    x, y = (np.asarray(data) for data in ax.get_lines()[0].get_data())
    left = x[y.argmax()] > ax.get_xlim()[1] / 2
    side = {"x": 0.03, "ha": "left"} if left else {"x": 0.97, "ha": "right"}
    text = f"mass {exact:#.3g}\n(bars {network:#.3g})"
    ax.text(s=text, y=0.97, va="top", transform=ax.transAxes, fontsize=8, color=GREY, **side)


EXPERIMENT = Experiment(
    "angles of the neurons at six times: densities of the limit and histograms of a network", compute, draw
)
