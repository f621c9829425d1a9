"""How fast neurons align: positions and masses over time, exact and of networks, with the time t* of the overshoot.

f*(x) = ‖x_H‖ with d = 30, d_H = 5, x ~ N(0, I), as in the notebook 1d-simulation-jax of the authors, who ran to t = 100.
The optimum τ = α δ_0 would have W₂(τ̃⁺, δ_0) = 0 and |α − τ⁺| = 0, with α = 16/3; t* is the first time at which the mass of
τ⁺ exceeds α. That τ⁻ vanishes and moves to π/2 is not part of being optimal, and neither distance of τ⁻ falls for ever:
the lines go on to t = 1000. Markers are clouds of neurons moved in R³¹ by the exact population gradient, several for each
width: one marker is one network at one time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..particles.flow import solve_particles
from ..particles.initial import sphere_cloud
from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, LINES, MINUS, PLUS, TIME, finish, line_key, panels, style
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.targets import SubspaceNorm
from ..reduce import reduce
from ..reduced.flow import solve_reduced
from ..reduced.rules.harmonics import norm_constant
from ..solution import Solution
from .base import Experiment, run_each

DIM, DIM_H, CELLS, END, LIMIT_END = 30, 5, 400, 100.0, 1000.0
WIDTHS, SEEDS, RECORDS = (128, 1024), 3, 160
NAMES = ("distance_plus", "distance_minus", "mass_plus", "mass_minus")


class DistancesRecord(NamedTuple):
    """The limit at `exact.ts`, and of networks the observables `NAMES`, each [widths, seeds, T], at `ts`.

    `alpha` is α(d_H), the mass of the optimum, and `crossings` are t* of the networks, [widths, seeds].
    """

    exact: Solution
    alpha: float
    ts: Float[np.ndarray, " T"]
    networks: dict[str, Float[np.ndarray, "widths seeds T"]]
    widths: tuple[int, ...] = WIDTHS

    @property
    def crossing(self) -> float:
        """t* of the limit."""
        return crossing_time(np.asarray(self.exact.ts), np.asarray(self.exact.mass_plus), self.alpha)

    @property
    def crossings(self) -> Float[np.ndarray, "widths seeds"]:
        """t* of every network."""
        return np.array([[crossing_time(self.ts, m, self.alpha) for m in row] for row in self.networks["mass_plus"]])


def compute(
    key: PRNGKeyArray,
    widths: tuple[int, ...] = WIDTHS,
    seeds: int = SEEDS,
    end: float = END,
    limit_end: float = LIMIT_END,
    cells: int = CELLS,
) -> DistancesRecord:
    """Solve the reduced equation, and move some clouds of each width to the time `end`."""
    problem = Problem(Gaussian(DIM), SubspaceNorm(DIM_H))
    exact = solve_reduced(reduce(problem, cells=cells), _times(limit_end, 3 * RECORDS), derivative="forward")
    ts = _times(end, RECORDS)

    def row(width: int) -> list[dict[str, np.ndarray]]:
        return [_observe(problem, ts, width, jax.random.fold_in(key, width * seeds + i)) for i in range(seeds)]

    runs = run_each(row, widths)
    networks = {name: np.array([[run[name] for run in each] for each in runs]) for name in NAMES}
    return DistancesRecord(exact, float(norm_constant(DIM_H)), np.asarray(ts, float), networks, widths)


def _times(end: float, count: int) -> Array:
    """0, and times in geometric progression from 0.1 on."""
    return jnp.concatenate([jnp.zeros(1), jnp.geomspace(0.1, end, count)])


def _observe(problem: Problem, ts: Array, width: int, key: PRNGKeyArray) -> dict[str, np.ndarray]:
    cloud = sphere_cloud(problem, width=width, key=key, dtype=jnp.float32)
    run = solve_particles(problem, cloud, ts, derivative="forward")
    return {name: np.asarray(run.observables[name], float) for name in NAMES}


def crossing_time(ts: Float[np.ndarray, " T"], mass: Float[np.ndarray, " T"], alpha: float) -> float:
    """The first time at which the mass exceeds α, linear between records; NaN if it never does."""
    above = np.flatnonzero(mass > alpha)
    if above.size == 0 or above[0] == 0:
        return float("nan")
    i = above[0]
    return float(np.interp(alpha, mass[i - 1 : i + 1], ts[i - 1 : i + 1]))


def draw(record: DistancesRecord, axes: AxesLike | None = None) -> Figure:
    """Distances of the positions and of the masses, on logarithmic axes."""
    with style(axes):
        figure, grid = panels(axes, 1, 2, (9.2, 3.4))
        row = position, mass = grid.ravel()
        limit = {name: np.asarray(record.exact.observables[name], float) for name in NAMES}
        for name, ax, colour, marker in zip(NAMES, (position, position, mass, mass), (PLUS, MINUS) * 2, "osos", strict=True):
            ax.plot(record.exact.ts, _distance(record, name, limit[name]), color=colour, **LINES[colour])
            for i, size in enumerate(_sizes(record)):
                values = _distance(record, name, record.networks[name][i]).T
                look = {"color": colour, "ls": "none", "marker": marker, "ms": size, "mfc": "white", "mew": 0.8}
                ax.plot(record.ts[1:], values[1:], markevery=12, **look)
        for ax in row:
            ax.set(xscale="log", yscale="log", xlabel=TIME)
            ax.axvline(record.crossing, color=GREY, lw=0.9, ls=":")
            ax.margins(x=0.02)
        mass.text(
            1.08 * record.crossing, 0.02, f"$t^* = {record.crossing:.2f}$", color=GREY, transform=mass.get_xaxis_transform()
        )
        position.set_ylabel("distance of positions")
        mass.set_ylabel("distance of masses")
        _legends(record, position, mass)
        return finish(figure, axes)


def _distance(record: DistancesRecord, name: str, values: np.ndarray) -> np.ndarray:
    return np.abs(record.alpha - values) if name == "mass_plus" else values


def _sizes(record: DistancesRecord) -> list[float]:
    """Sizes of the markers: small networks have small ones."""
    return list(np.linspace(2.2, 4.4, len(record.widths)))


def _legends(record: DistancesRecord, position: Axes, mass: Axes) -> None:
    position.legend(
        handles=[
            line_key(r"$W_2(\tilde\tau^{+}, \delta_0)$", PLUS, **LINES[PLUS]),
            line_key(r"$W_2(\tilde\tau^{-}, \delta_{\pi/2})$", MINUS, **LINES[MINUS]),
            line_key(r"lines: $m=\infty$ (exact)", INK),
            *(
                line_key(f"networks, $m={width}$", INK, ls="none", marker="o", ms=size, mfc="white", mew=0.8)
                for width, size in zip(record.widths, _sizes(record), strict=True)
            ),
        ],
        loc="lower left",
    )
    mass.legend(
        handles=[
            line_key(r"$|\alpha - \tau^{+}([0, \pi/2])|$", PLUS, **LINES[PLUS]),
            line_key(r"$\tau^{-}([0, \pi/2])$", MINUS, **LINES[MINUS]),
        ]
    )


EXPERIMENT = Experiment(
    "distances of positions and masses from alignment over time, with the time t* of the overshoot", compute, draw
)
