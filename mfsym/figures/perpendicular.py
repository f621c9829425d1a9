"""What a network does along H^⊥, where the target is constant: f(u_H + r e_⊥) for r ∈ [0, 5], exact and of networks.

f*(x) = ‖x_H‖ with d = 20, d_H = 5, x ~ N(0, I), so that f* = 1 on the whole line of a unit vector u_H ∈ H and a unit vector
e_⊥ ∈ H^⊥: gradient descent with m = 1024, batches of 256 and rate 5e-2, 5000 steps, as in the notebook
orthogonal-dependence of the authors. The exact predictor has infinite width and infinite batches and takes the same
steps, `Training(step=5e-2)`, so that what is left between the two is sampling alone; it depends on r only, not on the
directions. The networks learn on fresh samples; their means and standard deviations are over independent runs.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..particles.flow import solve_particles
from ..particles.initial import sphere_cloud
from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, finish, line_key, panels, style
from ..predict import predict
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.targets import SubspaceNorm
from ..problem.training import Training
from ..reduce import reduce
from ..reduced.flow import solve_reduced
from ..types import Options
from .base import Experiment, run_each

DIM, DIM_H, WIDTH, BATCH, RATE, SEEDS = 20, 5, 1024, 256, 5e-2, 6
STEPS = (20, 100, 200, 1000, 5000)
RADII = np.linspace(0.0, 5.0, 51)
FEW = slice(None, None, 5)  # radii at which networks are drawn


class PerpendicularRecord(NamedTuple):
    """f(u_H + r e_⊥) at steps [T] and radii [R]: of the limit, and of several networks."""

    steps: Float[np.ndarray, " T"]
    radii: Float[np.ndarray, " R"]
    exact: Float[np.ndarray, "T R"]
    networks: Float[np.ndarray, "seeds T R"]
    width: int


def compute(
    key: PRNGKeyArray, steps: tuple[int, ...] = STEPS, width: int = WIDTH, seeds: int = SEEDS
) -> PerpendicularRecord:
    """Predictors at these steps and at about forty more on the way to the last of them."""
    problem = Problem(Gaussian(DIM), SubspaceNorm(DIM_H))
    every = np.unique([0, *steps, *np.round(np.geomspace(1, max(steps), 40)).astype(int)])
    ts = RATE * jnp.asarray(every, float)
    training = Training(step=RATE)
    limit = solve_reduced(reduce(problem), ts, training=training, method="characteristics", derivative="forward")
    x = np.zeros((RADII.size, DIM))
    x[:, 0], x[:, DIM_H] = 1.0, RADII
    exact = jax.lax.map(lambda state: predict(dataclasses.replace(limit, final=state), x), limit.states)
    networks = run_each(lambda i: _network(problem, ts, width, x, jax.random.fold_in(key, i)), range(seeds))
    return PerpendicularRecord(every.astype(float), RADII, np.asarray(exact), np.array(networks), width)


def _network(problem: Problem, ts: Array, width: int, x: np.ndarray, key: PRNGKeyArray) -> np.ndarray:
    """f of one network at inputs x [R, d] and times ts [T], [T, R]."""
    start_key, sample_key = jax.random.split(key)
    cloud = sphere_cloud(problem, width=width, key=start_key, dtype=jnp.float32)
    options: Options = {"samples": BATCH, "step": RATE, "key": sample_key}
    run = solve_particles(problem, cloud, ts, derivative="forward", save_states=True, **options)
    return np.asarray(jax.vmap(lambda state: predict(state, x.astype(np.float32)))(run.states), float)


_COLOURS = ("#fdb863", "#e66101", "#b2387a", "#5e3c99", "#1b1044")  # from early to late, or from near to far
_MARKERS = "osD^v"


def draw(record: PerpendicularRecord, axes: AxesLike | None = None, steps: tuple[int, ...] = STEPS) -> Figure:
    """Against r at some steps, and against steps at some r."""
    with style(axes):
        figure, grid = panels(axes, 1, 2, (9.2, 3.6))
        over_radius, over_steps = row = grid.ravel()
        rows = [int(np.flatnonzero(record.steps == step)[0]) for step in steps]
        columns = [int(np.argmin(np.abs(record.radii - r))) for r in (0.0, 1.0, 2.0, 3.5, 5.0)]
        mean, spread = record.networks.mean(axis=0), record.networks.std(axis=0, ddof=1)
        for k, i in enumerate(rows):
            over_radius.plot(record.radii, record.exact[i], color=_COLOURS[k])
            over_radius.errorbar(record.radii[FEW], mean[i, FEW], spread[i, FEW], **_look(k))
        for k, j in enumerate(columns):
            over_steps.plot(record.steps[1:], record.exact[1:, j], color=_COLOURS[k])
            over_steps.errorbar(record.steps[1::3], mean[1::3, j], spread[1::3, j], **_look(k))
        for ax in row:
            ax.axhline(1.0, color=GREY, lw=1.0, ls=":")
            ax.set_ylabel(r"$f(u_H + r\,e_\perp)$")
        over_radius.set_xlabel("distance $r$ from $H$")
        over_steps.set(xlabel="step", xscale="log")
        _keys(over_radius, [f"step {step}" for step in steps])
        _keys(over_steps, [f"$r = {record.radii[j]:g}$" for j in columns])
        over_steps.add_artist(over_steps.get_legend())  # stays when the next one comes
        _legend(record, over_steps)
        return finish(figure, axes)


def _look(k: int) -> Options:
    return {
        "color": _COLOURS[k],
        "ls": "none",
        "marker": _MARKERS[k],
        "ms": 3.8,
        "mfc": "white",
        "mew": 1.0,
        "elinewidth": 0.9,
    }


def _keys(ax: Axes, labels: list[str]) -> None:
    marks = [line_key(text, _COLOURS[k], marker=_MARKERS[k], ms=3.8, mfc="white", mew=1.0) for k, text in enumerate(labels)]
    ax.legend(handles=marks, loc="upper left")


def _legend(record: PerpendicularRecord, ax: Axes) -> None:
    networks = f"{len(record.networks)} networks, $m={record.width}$:\nmean ± s.d."
    marks = [
        line_key(r"lines: $m=\infty$ (exact)", INK),
        line_key(networks, INK, ls="none", marker="o", ms=3.8, mfc="white", mew=1.0),
        line_key(r"target $\|u_H\|$", GREY, lw=1.0, ls=":"),
    ]
    ax.legend(handles=marks, loc="upper right")


EXPERIMENT = Experiment(
    "predictors along directions orthogonal to H: networks on fresh samples and their limit", compute, draw
)
