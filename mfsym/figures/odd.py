"""An odd target: networks of several widths, trained on fresh samples, beside the linear predictor of infinite width.

f* = C Σ_k z_k x_k³ with x ~ N(0, I/d), d = 60, C such that ½E f*² = 1: gradient descent with batches of 512 and rate
1e-2, 10⁴ steps, as in the notebook odd-target of the authors. Nothing is validated on samples: the odd part of a ReLU
network is w·x with w = (1/2m) Σ a_j b_j, so that F = Q(w) + ½E f_even², and E f_even² = E (f − w·x)² is a sum of the
even part of the arc-cosine kernel over pairs of neurons.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..neurons import Particles
from ..particles.flow import solve_particles
from ..particles.initial import sphere_cloud
from ..particles.risk.kernel import mean_feature, pair_energy
from ..plot.artists import AxesLike, Figure, Row
from ..plot.canvas import GREY, INK, TIME, finish, line_key, panels, style
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.targets import FunctionTarget
from ..reduce import reduce
from ..reduced.flow import solve_reduced
from ..reduced.odd.moments import OddReduction
from ..solution import Solution
from .base import Experiment, network_marks, run_each

DIM, BATCH, RATE, STEPS = 60, 512, 1e-2, 10_000
WIDTHS = (10, 50, 128, 1024)


class OddRecord(NamedTuple):
    """`exact` is the limit with its certificate at times `exact.ts`; the rest are the networks at `ts`, one row per width.

    `risk` is F, `distance` ‖w − w*‖ and `nonlinear` E (f − w·x)².
    """

    exact: Solution
    ts: Float[np.ndarray, " T"]
    risk: Float[np.ndarray, "widths T"]
    distance: Float[np.ndarray, "widths T"]
    nonlinear: Float[np.ndarray, "widths T"]
    widths: tuple[int, ...] = WIDTHS


def cubic_problem(key: PRNGKeyArray) -> Problem:
    """f* = C Σ z_k x_k³ with ½E f*² = 1, z a random direction: X̄ = √(6/(5d)) z, ‖w*‖ = √(6d/5)."""
    z = jax.random.normal(key, (DIM,))
    z = z / jnp.linalg.norm(z)
    size = float(np.sqrt(2 * DIM**3 / 15))  # of Python: a number of numpy is a float64
    return Problem(Gaussian(DIM, DIM**-0.5), FunctionTarget(lambda x: size * jnp.sum(z.astype(x.dtype) * x**3), "odd"))


def compute(key: PRNGKeyArray, widths: tuple[int, ...] = WIDTHS, steps: int = STEPS) -> OddRecord:
    """Train networks of these widths for some steps and solve the moment equation over the same time."""
    target_key, key = jax.random.split(key)
    problem = cubic_problem(target_key)
    reduction = reduce(problem)
    assert isinstance(reduction, OddReduction)
    end = steps * RATE
    exact = solve_reduced(reduction, jnp.linspace(0.0, end, 401))
    ts = jnp.linspace(0.0, end, 41)

    def row(width: int) -> tuple[np.ndarray, ...]:
        return _network(problem, reduction, width, ts, jax.random.fold_in(key, width))

    rows = run_each(row, widths[::-1])[::-1]  # the widest, which takes as long as the others, beside them
    risk, distance, nonlinear = (np.stack(part) for part in zip(*rows, strict=True))
    return OddRecord(exact, np.asarray(ts), risk, distance, nonlinear, widths)


def _network(problem: Problem, reduction: OddReduction, width: int, ts: Array, key: PRNGKeyArray) -> tuple[np.ndarray, ...]:
    """Exact F, ‖w − w*‖ and E (f − w·x)² of one network trained on fresh samples, at times `ts`, [T] each."""
    start_key, sample_key = jax.random.split(key)
    cloud = sphere_cloud(problem, width=width, key=start_key, dtype=jnp.float32)
    run = solve_particles(
        problem, cloud, ts, samples=BATCH, step=RATE, key=sample_key, derivative="forward", save_states=True
    )
    distance, gap, nonlinear = jax.jit(jax.vmap(lambda state: _parts(reduction, state)))(run.states)
    return np.asarray(reduction.floor + gap + nonlinear / 2), np.asarray(distance), np.asarray(nonlinear)


def _parts(reduction: OddReduction, cloud: Particles) -> tuple[Array, Array, Array]:
    """‖w − w*‖, Q(w) − Q* and E f_even² of a ReLU network, f_even = (1/2m) Σ_j a_j |b_j·x|."""
    cloud = jax.tree.map(lambda leaf: leaf.astype(reduction.dtype), cloud)
    w = reduction.odd_slope * mean_feature(cloud)
    zero, quarter = jnp.zeros((), reduction.dtype), jnp.full((), 0.25, reduction.dtype)
    even = reduction.covariance * pair_energy(cloud, cloud, zero, quarter)
    return jnp.linalg.norm(w - reduction.optimum), reduction.gap(w), even


def draw(record: OddRecord, axes: AxesLike | None = None) -> Figure:
    """Risk with its minimum, distance to the best linear predictor with the proved bound, and departure from linearity."""
    exact, certificate = record.exact, record.exact.certificate
    with style(axes):
        figure, grid = panels(axes, 1, 3, (10.2, 3.0))
        risk, distance, nonlinear = row = grid.ravel()
        size = float(jnp.linalg.norm(exact.model.optimum))
        times = np.asarray(exact.ts)
        away = np.linalg.norm(np.asarray(exact.w) - np.asarray(exact.model.optimum), axis=1)
        risk.plot(times, np.asarray(exact.risk), color=INK)
        risk.axhline(float(exact.model.floor), color=GREY, lw=0.9, ls=":")
        distance.plot(times, away, color=INK)
        bound = size * np.sqrt(np.asarray(certificate.bound / certificate.bound[0]))
        distance.plot(times, bound, color=GREY, ls=(0, (5, 1.5)), lw=1.2)
        for i in range(len(record.widths)):
            for ax, values in zip(row, (record.risk, record.distance, record.nonlinear), strict=True):
                ax.plot(record.ts, values[i], **network_marks(i))
        risk.set_ylabel("risk $F$")
        distance.set_ylabel(r"$\|w - w^*\|$")
        nonlinear.set_ylabel(r"$\mathbf{E}\,(f - w\cdot x)^2$")
        for ax in row[1:]:
            ax.set_yscale("log")
        for ax in row:
            ax.set_xlabel(TIME)
        _legends(record, row)
        return finish(figure, axes)


def _legends(record: OddRecord, row: Row) -> None:
    risk, distance, nonlinear = row
    risk.legend(handles=[line_key(r"$m=\infty$ (exact)"), line_key("best linear function", GREY, lw=0.9, ls=":")])
    bound = line_key(r"proved bound", GREY, lw=1.2, ls=(0, (5, 1.5)))
    distance.legend(handles=[line_key(r"$m=\infty$ (exact)"), bound], loc="lower left")
    marks = [line_key(f"$m={width}$", **network_marks(i)) for i, width in enumerate(record.widths)]
    nonlinear.legend(handles=marks, title="SGD, batch 512; limit: 0", title_fontsize=8.5, ncols=2)


EXPERIMENT = Experiment(
    "odd target: networks of four widths, the linear limit, the proved bound and the minimum", compute, draw
)
