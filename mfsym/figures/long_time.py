"""Long times: does the negative part vanish, and how does the risk go to zero?

f*(x) = ‖x_H‖, x ~ N(0, I), for four pairs (d, d_H), on logarithmic times until the masses stand still. Nothing is sampled.
Two grids, which differ in cells and in modes, and characteristics up to an earlier time are three witnesses of each run:
labels that spread out resolve less and less, a grid does not. The risk is split into the parts of the harmonics,

    F(t) = Σ_n e_n(t),   e_n = ½ r_n²,   r_n = α ψ_n(0) − ∫ψ_n d(τ⁺ − τ⁻)   (Gaussian inputs, degree 2n),

to see whether they are learnt one after the other, at times 1/λ_n with λ_n the eigenvalue of the kernel for degree 2n.
As (log c)' = 2εG with |G| ≤ √(2 F K(θ, θ)), a finite ∫√F dt would leave a part of τ⁻ for ever. (Experiment of our own.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, TIME, finish, line_key, panels, style
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.targets import SubspaceNorm
from ..reduce import reduce
from ..reduced.choose import form_of
from ..reduced.flow import solve_reduced
from ..reduced.line.angle_reduction import AngleReduction
from ..reduced.rules.harmonics import funk_hecke, norm_constant
from ..solution import Solution
from ..types import Options
from .base import Experiment, run_each

CASES = ((30, 5), (40, 10), (10, 2), (5, 2))
END, LABELS_END, PER_DECADE = 1e5, 1e4, 20
FINE, COARSE = (400, 64), (200, 32)  # cells and modes
HARMONICS = 9
_COLOURS = ("#222222", "#009E73", "#CC79A7", "#E69F00")


class LongTimeRecord(NamedTuple):
    """Runs of every case: on the fine and on the coarse grid at the same times, and by labels up to an earlier one.

    `energies[i]` [T, M] are the parts e_n of the risk on the fine grid and `eigenvalues[i]` [M] the λ_n; `alphas` are the
    masses of the optimum.
    """

    fine: list[Solution]
    coarse: list[Solution]
    labels: list[Solution]
    energies: list[Float[np.ndarray, "T M"]]
    eigenvalues: list[Float[np.ndarray, " M"]]
    alphas: list[float]
    cases: tuple[tuple[int, int], ...] = CASES


def compute(
    key: PRNGKeyArray,
    cases: tuple[tuple[int, int], ...] = CASES,
    end: float = END,
    labels_end: float = LABELS_END,
    fine: tuple[int, int] = FINE,
    coarse: tuple[int, int] = COARSE,
) -> LongTimeRecord:
    """Follow every case to the time `end` on two grids, and to `labels_end` by characteristics. Nothing is random."""
    del key
    jobs = [(case, *size, "grid") for size in (fine, coarse) for case in cases]
    jobs += [(case, *coarse, "characteristics") for case in cases]
    runs = run_each(lambda job: _follow(*job, end=labels_end if job[3] == "characteristics" else end), jobs)
    count = len(cases)
    energies = [_energies(run) for run in runs[:count]]
    eigenvalues = [np.array([d * funk_hecke(2 * n, d) ** 2 for n in range(energies[0].shape[1])]) for d, _ in cases]
    alphas = [float(norm_constant(dim_h)) for _, dim_h in cases]
    parts = runs[:count], runs[count : 2 * count], runs[2 * count :]
    return LongTimeRecord(*parts, energies, eigenvalues, alphas, cases)


def log_times(end: float) -> Array:
    """0, and `PER_DECADE` times in every decade from 0.1 to the end."""
    count = round(PER_DECADE * (np.log10(end) + 1)) + 1
    return jnp.concatenate([jnp.zeros(1), jnp.logspace(-1, np.log10(end), count)])


def _follow(case: tuple[int, int], cells: int, modes: int, method: str, end: float) -> Solution:
    dim, dim_h = case
    reduction = reduce(Problem(Gaussian(dim), SubspaceNorm(dim_h)), cells=cells, modes=modes, nodes=65)
    tolerances = {} if method == "grid" else {"rtol": 1e-7, "atol": 1e-8}
    options: Options = {"method": method, "derivative": "forward", "max_steps": 2**20, **tolerances}
    return jax.block_until_ready(solve_reduced(reduction, log_times(end), **options))


def _energies(run: Solution) -> np.ndarray:
    """e_n at every time, [T, M]."""
    return np.asarray(_residual_energies(run.model, run.states))


@jax.jit
def _residual_energies(reduction: AngleReduction, states: Array) -> Array:
    def at(state):
        theta, mass = form_of(reduction, state).atoms(state)
        values, _ = reduction.features(theta[0, :, 0])
        return 0.5 * reduction.residual(jnp.matmul(values, mass[0] - mass[1], precision=jax.lax.Precision.HIGHEST)) ** 2

    return jax.lax.map(at, states)


def learning_times(record: LongTimeRecord, case: int) -> Float[np.ndarray, " M"]:
    """When each harmonic has lost nine tenths of its part of the risk, NaN if it never does."""
    energies, ts = record.energies[case], np.asarray(record.fine[case].ts)
    below = energies <= 0.1 * energies[0]
    return np.where(below.any(axis=0), ts[below.argmax(axis=0)], np.nan)


def trusted(run: Solution) -> Bool[np.ndarray, " T"]:
    """Where at most a tenth of the risk is what the series of harmonics leaves out."""
    return np.asarray(run.risk) > 10 * float(run.model.tail)


def slopes(run: Solution) -> tuple[np.ndarray, np.ndarray]:
    """−d log F / d log t between neighbouring records, and the times in between."""
    ts, risk = np.log(np.asarray(run.ts)[1:]), np.log(np.asarray(run.risk)[1:])
    return np.exp((ts[1:] + ts[:-1]) / 2), -np.diff(risk) / np.diff(ts)


def accumulated(run: Solution) -> np.ndarray:
    """∫_0^t √F ds at the records, by the trapezium rule in log t."""
    ts, root = np.asarray(run.ts), np.sqrt(np.asarray(run.risk))
    first = ts[1] * (root[0] + root[1]) / 2
    pieces = np.diff(np.log(ts[1:])) * (ts[1:-1] * root[1:-1] + ts[2:] * root[2:]) / 2
    return np.concatenate([[0.0, first], first + np.cumsum(pieces)])


def draw(record: LongTimeRecord, axes: AxesLike | None = None) -> Figure:
    """Masses, risk, its slope, the parts of the harmonics of the first case, their times, and ∫√F dt."""
    with style(axes):
        figure, grid = panels(axes, 2, 3, (10.8, 6.0))
        mass, risk, slope, parts, times, total = grid.ravel()
        for i, (run, colour) in enumerate(zip(record.fine, _COLOURS, strict=False)):
            ts = np.asarray(run.ts)[1:]
            _witnesses(mass, record, i, "mass_minus", colour)
            _witnesses(risk, record, i, "risk", colour)
            risk.axhline(float(run.model.tail), color=colour, lw=0.8, ls=":")
            known = trusted(run)[1:]
            between, values = slopes(run)
            slope.plot(between[known[1:]], values[known[1:]], color=colour, lw=1.2)
            eigenvalues = record.eigenvalues[i][:HARMONICS]
            times.plot(1 / eigenvalues, learning_times(record, i)[:HARMONICS], "o-", color=colour, ms=3.5, lw=0.7)
            total.plot(ts[known], accumulated(run)[1:][known], color=colour, lw=1.4)
        _draw_parts(parts, record)
        _label(grid, record)
        return finish(figure, axes)


def _witnesses(ax: Axes, record: LongTimeRecord, case: int, name: str, colour: str) -> None:
    """The fine grid as a line, the coarse one as dots, labels as crosses."""
    fine, coarse, labels = record.fine[case], record.coarse[case], record.labels[case]
    ax.plot(np.asarray(fine.ts)[1:], np.asarray(fine.observables[name])[1:], color=colour, lw=1.4)
    for run, look in ((coarse, {"marker": "o", "ms": 2.6}), (labels, {"marker": "x", "ms": 4.5})):
        values = np.asarray(run.observables[name])
        ax.plot(np.asarray(run.ts)[1:], values[1:], color=colour, ls="none", markevery=6, mew=0.8, mfc="white", **look)


def _draw_parts(ax: Axes, record: LongTimeRecord) -> None:
    from_time = np.asarray(record.fine[0].ts)[1:]
    shades = np.linspace(0.15, 0.85, HARMONICS)
    for n, shade in enumerate(shades):
        colour = (shade, 0.35 + 0.35 * shade, 0.75)
        ax.plot(from_time, record.energies[0][1:, n], color=colour, lw=1.1, label=f"{2 * n}" if n % 2 == 0 else None)
    ax.plot(from_time, np.asarray(record.fine[0].risk)[1:], color=INK, lw=1.6, label="$F$")
    ax.legend(ncols=2, title="degree", title_fontsize=8.5, loc="lower left", handlelength=1.2)


def _label(grid: np.ndarray, record: LongTimeRecord) -> None:
    mass, risk, slope, parts, times, total = grid.ravel()
    for ax in (mass, risk, slope, parts, total):
        ax.set(xscale="log", xlabel=TIME)
    for ax in (risk, parts, times):
        ax.set_yscale("log")
    mass.set(ylabel=r"mass of $\tau^{-}$", ylim=(0, None))
    risk.set(ylabel="risk $F$", ylim=(1e-10, None))
    slope.set(ylabel=r"$-\,d\,\log F\,/\,d\,\log t$")
    d, dim_h = record.cases[0]
    parts.set(ylabel=rf"parts of $F$, $({d}, {dim_h})$", ylim=(1e-11, None))
    times.set(xscale="log", xlabel=r"$1/\lambda_n$", ylabel="nine tenths learnt at $t$")
    total.set(ylabel=r"$\int_0^t \sqrt{F}\,ds$")
    times.plot((1, 1e4), (1, 1e4), color=GREY, lw=0.8, ls=(0, (5, 2)))
    times.set(ylim=(0.5, 2e3))
    names = [rf"$(d, d_H) = ({d}, {k})$" for d, k in record.cases]
    mass.legend(handles=[line_key(name, colour) for name, colour in zip(names, _COLOURS, strict=False)])
    kinds = [
        line_key("fine grid", INK),
        line_key("coarse grid", INK, ls="none", marker="o", ms=2.6, mfc="white", mew=0.8),
        line_key("characteristics", INK, ls="none", marker="x", ms=4.5, mew=0.8),
        line_key("beyond the series", INK, lw=0.8, ls=":"),
    ]
    risk.legend(handles=kinds, loc="lower left")
    times.legend(handles=[line_key(r"$t = 1/\lambda_n$", GREY, lw=0.8, ls=(0, (5, 2)))], loc="lower right")


EXPERIMENT = Experiment("long times: masses, risk and its harmonics until they stand still, four problems", compute, draw)
