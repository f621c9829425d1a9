"""Where every neuron goes: the map θ_0 ↦ θ_t and the mass that each label gains or loses, and what weight decay changes.

f*(x) = ‖x_H‖, d = 30, d_H = 5, x ~ N(0, I), the first case of `long_time`, by characteristics: a label is a neuron of the
infinite network with its angle θ_0 at the start. Neurons of τ⁺ turn to H and grow, those of τ⁻ turn away; but no neuron's
mass goes to 0. With weight decay ½λ(a² + ‖b‖²) the minimum of F + λ·mass is unique, τ⁺ = (α − λ/K(0,0)) δ_0 and τ⁻ = 0, and
τ⁻ falls at the rate 2λ(1 + K(π/2, 0)/K(0, 0)) in the end. (Experiment of our own; rates derived.)
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, SIGNS, TIME, finish, line_key, number, panels, style
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.targets import SubspaceNorm
from ..problem.training import Training
from ..reduce import reduce
from ..reduced.flow import solve_reduced
from ..reduced.line.angle_reduction import AngleReduction
from ..solution import Solution
from ..types import Options
from .base import Experiment, run_each
from .long_time import log_times

DIM, DIM_H = 30, 5
TIMES = (3.0, 30.0, 300.0, 3000.0)
DECAYS = (0.0, 1e-3, 1e-2, 5e-2)
END = 3000.0


class LabelsRecord(NamedTuple):
    """Labels at `times`, and the masses of τ⁻ for every weight decay.

    `start` [nodes] are the angles θ_0; `theta` [T, 2, nodes] the angles of both signs and `log_gain` [T, 2, nodes] the
    logarithm of the mass over that at the start. `rates` are the final rates of τ⁻ under each decay.
    """

    times: tuple[float, ...]
    start: Float[np.ndarray, " nodes"]
    theta: Float[np.ndarray, "T 2 nodes"]
    log_gain: Float[np.ndarray, "T 2 nodes"]
    decays: tuple[float, ...]
    decayed: list[Solution]
    rates: list[float]


def compute(
    key: PRNGKeyArray,
    times: tuple[float, ...] = TIMES,
    decays: tuple[float, ...] = DECAYS,
    end: float = END,
    nodes: int = 129,
    cells: int = 200,
) -> LabelsRecord:
    """Follow the labels to the last time, and the grid to `end` under every weight decay. Nothing is random."""
    del key
    reduction = reduce(Problem(Gaussian(DIM), SubspaceNorm(DIM_H)), nodes=nodes, cells=cells)
    assert isinstance(reduction, AngleReduction)
    ts = jnp.asarray([0.0, *times])

    def job(decay: float | None) -> Solution:
        options: Options = {"derivative": "forward", "max_steps": 2**20}
        if decay is None:
            return solve_reduced(reduction, ts, method="characteristics", rtol=1e-7, atol=1e-8, **options)
        return solve_reduced(reduction, log_times(end), training=Training(weight_decay=decay), **options)

    labels, *decayed = run_each(job, (None, *decays))
    theta, log_weight = np.asarray(labels.states.theta), np.asarray(labels.states.log_weight)
    rates = [2 * decay * (1 + float(_kernel(reduction, np.pi / 2)) / float(_kernel(reduction, 0.0))) for decay in decays]
    return LabelsRecord(times, theta[0, 0], theta[1:], log_weight[1:] - log_weight[:1], decays, decayed, rates)


def _kernel(reduction: AngleReduction, theta: float) -> Array:
    """K(θ, 0)."""
    values, _ = reduction.features(jnp.asarray([theta, 0.0], reduction.dtype))
    return jnp.sum(values[:, 0] * values[:, 1])


def draw(record: LabelsRecord, axes: AxesLike | None = None) -> Figure:
    """The map of the angles, the gain of every label, and the mass of τ⁻ under weight decay."""
    with style(axes):
        figure, grid = panels(axes, 1, 3, (10.8, 3.3))
        angle, gain, mass = grid.ravel()
        opacity = np.linspace(0.35, 1.0, len(record.times))
        for i, strength in enumerate(opacity):
            for sign, (_, colour, _) in enumerate(SIGNS):
                angle.plot(record.start, record.theta[i, sign], color=colour, alpha=strength, lw=1.3)
                gain.plot(record.start, record.log_gain[i, sign], color=colour, alpha=strength, lw=1.3)
        angle.plot(record.start, record.start, color=GREY, lw=0.8, ls=":")
        gain.axhline(0.0, color=GREY, lw=0.8, ls=":")
        for ax in (angle, gain):
            ax.set_xlabel(r"angle at the start $\theta_0$")
            ax.set_xticks([0, np.pi / 4, np.pi / 2], ["0", r"$\pi/4$", r"$\pi/2$"])
        angle.set_yticks([0, np.pi / 4, np.pi / 2], ["0", r"$\pi/4$", r"$\pi/2$"])
        angle.set_ylabel(r"angle $\theta_t$")
        gain.set_ylabel(r"$\log\,(c_t / c_0)$")
        _draw_decays(mass, record)
        _legends(record, gain, opacity)
        return finish(figure, axes)


def _draw_decays(ax: Axes, record: LabelsRecord) -> None:
    shades = ("#222222", "#6baed6", "#2171b5", "#08306b")
    handles = []
    for decay, run, rate, shade in zip(record.decays, record.decayed, record.rates, shades, strict=False):
        ts, values = np.asarray(run.ts)[1:], np.asarray(run.mass_minus)[1:]
        shown = values > 1e-8
        ax.plot(ts[shown], values[shown], color=shade, lw=1.4)
        handles.append(line_key(rf"$\lambda = {decay:g}$", shade))
        if decay > 0 and shown.any():
            last = int(np.flatnonzero(shown)[-1])
            line = values[last] * np.exp(-rate * (ts - ts[last]))
            ax.plot(ts[line < 0.3], line[line < 0.3], color=shade, lw=1.1, ls=":")
    handles.append(line_key("final rate, formula", INK, lw=0.9, ls=":"))
    ax.set(xscale="log", yscale="log", xlabel=TIME, ylabel=r"mass of $\tau^{-}$", ylim=(1e-8, 1))
    ax.legend(handles=handles, loc="lower left")


def _legends(record: LabelsRecord, gain: Axes, opacity: np.ndarray) -> None:
    keys = [line_key(f"$t = {number(t)}$", INK, alpha=a) for t, a in zip(record.times, opacity, strict=True)]
    first = gain.legend(handles=keys, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 0.52), columnspacing=1.0)
    gain.add_artist(first)  # a second legend would replace the first
    signs = [line_key(name, colour) for _, colour, name in SIGNS]
    gain.legend(handles=signs, ncols=2, loc="upper left", bbox_to_anchor=(0.0, 0.49), columnspacing=1.0)


EXPERIMENT = Experiment("labels: where each neuron goes, what mass it gains, and what weight decay changes", compute, draw)
