"""Dependence on the dimension d of the inputs, at a fixed dimension d_H of what the target sees.

f* = ‖x_H‖, x ~ N(0, I_d): networks of 1024 neurons, 1500 steps of 256 fresh samples, rate 5e-2/F(0), as in the notebook
dimension-dependence of the authors of Hajjar & Chizat (arXiv:2211.08771), with d_H = 2 and d up to 200, and d_H = 5. The
limit has one angle whatever d is: all of it is one vmapped run, up to d = 10⁴. The risk of a network is exact.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..neurons import Particles
from ..particles.risk.choose import risk_of
from ..plot.artists import Artist, Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, finish, line_key, panels, style
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.targets import SubspaceNorm
from ..reduce import reduce
from ..reduced.build import stack
from ..reduced.flow import solve_reduced
from ..solution import Solution
from ..types import Options
from .base import Experiment, network_marks, run_each
from .fresh_samples import BATCH, CLOCK, RATE, STEPS, WIDTH, exact_clock, recorded_steps, train

CURVES = {2: (3, 5, 10, 40, 100, 200), 5: (10, 20, 40, 100, 200)}  # d_H: the d of the authors
NETWORKS = {2: (3, 40, 200), 5: (10, 40, 200)}
LARGE = (500, 1000, 3000, 10_000)
# At d = 10⁴ 800 cells and 128 modes move F by less than 1 % of itself.
SIZES: Options = {"cells": 200, "modes": 64, "nodes": 63}
LEVEL = 0.01  # of F(0)
_LATER = np.linspace(1.05, 1.4, 8)  # limits go on for longer than networks, to find out when F = 0.01 F(0)
_COLOURS: dict[int, str] = {
    3: "#f0b429",
    5: "#b0dd2f",
    10: "#54c568",
    20: "#21a585",
    40: "#26828e",
    100: "#46337f",
    200: "#440154",
}
_LOOKS: dict[int, Options] = {2: {"color": INK}, 5: {"color": GREY, "ls": (0, (5, 1.5))}}  # of the last panel


class DimensionRecord(NamedTuple):
    """F/F(0) by (d_H, d): of limits at F(0) t = `clock`, of networks after `steps`."""

    clock: Float[np.ndarray, " T"]
    exact: dict[tuple[int, int], Float[np.ndarray, " T"]]
    steps: Int[np.ndarray, " K"]
    networks: dict[tuple[int, int], Float[np.ndarray, " K"]]
    width: int = WIDTH

    def crossings(self, dim_h: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Dimensions d, increasing, and the F(0) t at which the limit has come down to 1 % of F(0)."""
        dims = sorted(d for k, d in self.exact if k == dim_h)
        return np.array(dims, float), np.array([first_time(self.clock, self.exact[dim_h, d]) for d in dims])


def first_time(times: Float[np.ndarray, " T"], shares: Float[np.ndarray, " T"], level: float = LEVEL) -> float:
    """When a record first falls below a level, by interpolation of both logarithms; nan where it does not."""
    below = np.flatnonzero(shares < level)
    if not below.size or below[0] < 2:
        return float("nan")
    pair = slice(below[0] - 1, below[0] + 1)
    return float(np.exp(np.interp(-np.log(level), -np.log(shares[pair]), np.log(times[pair]))))


def compute(
    key: PRNGKeyArray,
    curves: dict[int, tuple[int, ...]] = CURVES,
    networks: dict[int, tuple[int, ...]] = NETWORKS,
    large: tuple[int, ...] = LARGE,
    width: int = WIDTH,
    steps: int = STEPS,
    sizes: Options = SIZES,
) -> DimensionRecord:
    """Solve the limit for all (d_H, d) at once, and train the networks."""
    clock, marks = np.append(exact_clock(steps), RATE * steps * _LATER), recorded_steps(steps)
    cases = [(k, d) for k, dims in curves.items() for d in (*dims, *large)]
    runs = solve_all(cases, clock, sizes)
    starts = np.array([[k / 2] for k, _ in cases])
    exact = dict(zip(cases, np.asarray(runs.risk) / starts, strict=True))
    shown = [(k, d) for k, dims in networks.items() for d in dims]
    trained = run_each(lambda case: network_share(case, marks, width, key), shown)
    return DimensionRecord(clock, exact, marks, dict(zip(shown, trained, strict=True)), width)


def solve_all(cases: list[tuple[int, int]], clock: Float[np.ndarray, " T"], sizes: Options) -> Solution:
    """The limits of all (d_H, d) as one batch, each at its own flow times."""
    stacked = stack([reduce(_problem(case), **sizes) for case in cases])
    ts = jnp.stack([jnp.asarray(2 * clock / dim_h) for dim_h, _ in cases])
    return jax.jit(jax.vmap(lambda reduced, ts: solve_reduced(reduced, ts, derivative="forward")))(stacked, ts)


def _problem(case: tuple[int, int]) -> Problem:
    dim_h, dim = case
    return Problem(Gaussian(dim), SubspaceNorm(dim_h))


def network_share(case: tuple[int, int], steps: Int[np.ndarray, " K"], width: int, key: Array) -> Float[np.ndarray, " K"]:
    """Exact F/F(0) of one network at these steps."""
    problem, start = _problem(case), case[0] / 2
    states = train(problem, start, steps, width, jax.random.fold_in(jax.random.fold_in(key, case[0]), case[1]))
    return np.asarray(_risks(risk_of(problem), states) / start)


@eqx.filter_jit
def _risks(risk: Any, states: Particles) -> Array:
    return jax.lax.map(risk.prepare().value, states)


def draw(record: DimensionRecord, axes: AxesLike | None = None) -> Figure:
    """F/F(0) for each d_H, one line per d, networks as markers; and the time to 1 % of F(0) against d."""
    shown = sorted({k for k, _ in record.exact})
    with style(axes):
        figure, grid = panels(axes, 1, len(shown) + 1, (3.5 * (len(shown) + 1), 3.5))
        *curves, last = grid.ravel()
        for dim_h, ax in zip(shown, curves, strict=True):
            _curves(ax, record, dim_h)
        lowest = min(ax.get_ylim()[0] for ax in curves)
        for ax in curves:
            ax.set_ylim(lowest, 1.5)
        curves[0].set_ylabel("risk $F(t)/F(0)$")
        kinds = [line_key(r"exact limit, $m=\infty$"), _network_key(record, INK)]
        curves[0].legend(handles=kinds, loc="lower left")
        colours = [
            line_key(f"$d={d}$", colour) for d, colour in _COLOURS.items() if any(case[1] == d for case in record.exact)
        ]
        curves[-1].legend(handles=colours, loc="lower left")
        _draw_crossings(last, record, shown)
        return finish(figure, axes)


def _curves(ax: Axes, record: DimensionRecord, dim_h: int) -> None:
    window = (record.clock > 0) & (record.clock <= 1.001 * RATE * record.steps[-1])
    for (k, d), values in record.exact.items():
        if k == dim_h and d in _COLOURS:
            ax.plot(record.clock[window], values[window], color=_COLOURS[d], lw=1.5, gid=f"exact:{d}")
    for (k, d), values in record.networks.items():
        if k == dim_h:
            look = network_marks(0, _COLOURS[d])
            ax.plot(RATE * record.steps[1:], values[1:], gid=f"network:{d}", zorder=3, **look)
    ax.set(xscale="log", yscale="log", xlabel=CLOCK, title=f"$d_H={dim_h}$")


def _draw_crossings(ax: Axes, record: DimensionRecord, shown: list[int]) -> None:
    keys = []
    for number, dim_h in enumerate(shown):
        ax.plot(*record.crossings(dim_h), lw=1.5, gid=f"exact:{dim_h}", **_LOOKS[dim_h])
        own = {d: values for (k, d), values in record.networks.items() if k == dim_h}
        times = [first_time(RATE * record.steps, values) for values in own.values()]
        look = network_marks(number, _LOOKS[dim_h]["color"])
        ax.plot(list(own), times, gid=f"network:{dim_h}", zorder=3, **look)
        keys.append(line_key(f"$d_H={dim_h}$", **(_LOOKS[dim_h] | {"marker": look["marker"], "mfc": "white", "ms": 3.4})))
    ax.set(xscale="log", xlabel="dimension $d$ of the inputs", ylabel="$F(0)\\,t$ until $F=0.01\\,F(0)$")
    ax.set_ylim(0, None)
    ax.legend(handles=keys, title="line exact, marker network", title_fontsize=8.5, loc="upper left")


def _network_key(record: DimensionRecord, colour: str) -> Artist:
    return line_key(f"network, $m={record.width}$,\nSGD, batch {BATCH}", **network_marks(0, colour))


EXPERIMENT = Experiment("dependence on the dimension of the inputs at a fixed dimension of H", compute, draw)
