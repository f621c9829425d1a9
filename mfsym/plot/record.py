"""What both routes record, over time."""

import numpy as np

from ..crosscheck import CrossCheckReport
from ..neurons import AbstractRidgeCloud
from ..solution import Solution
from ..types import Checked
from .artists import Artist, Axes, AxesLike, Figure, Row
from .canvas import (
    GREY,
    INK,
    LINES,
    MINUS,
    PLUS,
    REDUCED,
    SHADE,
    SIGNS,
    caption,
    check_reduced,
    check_report,
    check_solution,
    finish,
    line_key,
    panels,
    shade_key,
    style,
    time_axis,
)

_OPEN = {"ls": "none", "marker": "o", "ms": 4, "mfc": "white", "mew": 1.0}
_MARKERS = {INK: _OPEN, PLUS: _OPEN, MINUS: _OPEN | {"marker": "s", "ms": 3.6}}
_SQUARES = (
    ("a_squared", INK, r"$a^2$"),
    ("b_h_squared", PLUS, r"$\|b_H\|^2$"),
    ("b_perp_squared", MINUS, r"$\|b_\perp\|^2$"),
)
_FAINT = 0.12  # opacity of the bands of the smallest width


def overview(
    pde: Checked[Solution],
    full: Checked[Solution | None] = None,
    report: Checked[CrossCheckReport | None] = None,
    *,
    axes: AxesLike | None = None,
) -> Figure:
    """Risk F, masses and alignments of τ^± over time: the reduced route as lines, clouds beside it.

    Neurons followed by labels of any unit have mean squares of a, b_H and b_⊥ instead, and the mean of their biases.

    Arguments:
      pde: Solution of the reduced route.
      full: Solution of the particle route in flow time, drawn as markers.
      report: CrossCheckReport, drawn as bands, mean ± standard deviation over the seeds, at the largest width and,
        fainter, at the smallest. Its verdict is the caption of a new figure.
      axes: three matplotlib axes to draw on; by default those of a new figure.

    The alignment is the mean of ‖b_H‖²/‖b‖² = cos²θ under τ^±. Times that are not evenly spaced and span more than a
    decade get a logarithmic axis, linear up to the first positive time. Values that are not valid are left out.
    Returns the Figure. Raises ArgumentError for a batch of runs or a run that does not count flow time.
    """
    check_reduced(pde)
    if full is not None:
        check_solution("full", full, "Pass what mf.solve_particles returned.")
    if report is not None:
        check_report(report)
    with style(axes):
        figure, grid = panels(axes, 1, 3, (9.6, 2.8))
        risk, mass, alignment = row = grid.ravel()
        draw_run(row, pde, "reduced")
        if full is not None:
            draw_run(row, full, "cloud")
        if report is not None:
            _draw_bands(row, report)
        label_risk(risk, pde)
        _logarithmic(mass, least=10.0)
        if _has_sizes(pde):
            _label_sizes(mass, alignment, pde)
        else:
            mass.set_ylabel(r"mass of $\tau^{\pm}$")
            alignment.set_ylabel(r"alignment $\langle\cos^2\theta\rangle_{\tau^{\pm}}$")
            alignment.set_ylim(-0.03, 1.03)
            mass.legend(handles=[line_key(name, colour, **LINES[colour]) for _, colour, name in SIGNS])
        for ax in row:
            time_axis(ax, np.asarray(pde.ts, float))
        risk.legend(handles=_routes(full, report))
        if report is not None and axes is None:
            caption(figure, report)
        return finish(figure, axes)


def _has_sizes(pde: Solution) -> bool:
    """Whether neurons have sizes instead of masses."""
    return "a_squared" in pde.observables


def _label_sizes(sizes: Axes, bias: Axes, pde: Solution) -> None:
    sizes.set_ylabel("mean square")
    sizes.legend(handles=[line_key(label, colour, **LINES[colour]) for _, colour, label in _SQUARES])
    bias.set_ylabel(r"mean bias $\langle\beta\rangle$")
    if "bias_mean" not in pde.observables:
        bias.set_visible(False)


def draw_run(row: Row, solution: Solution, route: str) -> None:
    """Risk, masses and alignments of a run ("reduced" or "cloud") where valid, on as many axes as there are."""
    valid = np.asarray(solution.valid)
    times = np.asarray(solution.ts, float)[valid]
    for ax, name, colour in _quantities(row):
        if name in solution.observables:
            values = np.asarray(solution.observables[name], float)[valid]
            (line,) = ax.plot(times, values, color=colour, gid=f"{route}:{name}", **LINES[colour])
            if route == "cloud":
                line.set(**_MARKERS[colour], markevery=0.06, zorder=3)


def _draw_bands(row: Row, report: CrossCheckReport) -> None:
    runs = report.runs
    times = np.asarray(runs.ts, float)
    bands = ((int(np.argmin(runs.widths)), _FAINT), (int(np.argmax(runs.widths)), SHADE))
    for ax, name, colour in _quantities(row):
        for width, shade in bands if name in runs.observables else ():
            values = np.asarray(runs.observables[name][width], float)
            mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
            band = ax.fill_between(times, mean - spread, mean + spread, color=colour, alpha=shade, lw=0)
            band.set_gid(f"band:{name}:{runs.widths[width]}")


def _quantities(row: Row) -> list[tuple[Axes, str, str]]:
    """Axes, name and colour of what is drawn over time."""
    kinds = zip(row[1:], ("mass", "alignment"), strict=False)
    signed = [(ax, f"{kind}_{sign}", colour) for ax, kind in kinds for sign, colour, _ in SIGNS]
    squares = [(ax, name, colour) for ax in row[1:2] for name, colour, _ in _SQUARES]
    return [(row[0], "risk", INK), *signed, *squares, *((ax, "bias_mean", INK) for ax in row[2:3])]


def label_risk(ax: Axes, pde: Solution) -> None:
    """Logarithmic axis of the risk, with the floor that no τ can go below where there is one."""
    floor, largest = float(pde.model.floor), float(np.nanmax(np.asarray(pde.risk)))
    _logarithmic(ax)
    ax.set_ylabel("risk $F$")
    if floor > 1e-12 * largest:
        ax.axhline(floor, color=GREY, lw=0.8, ls=":", gid="floor")
        ax.set_ylim(min(ax.get_ylim()[0], 0.6 * floor), None)
        place = {"xy": (1.0, floor), "xycoords": ("axes fraction", "data"), "xytext": (0, -2)}
        ax.annotate("floor", **place, textcoords="offset points", ha="right", va="top", fontsize=8.5, color=GREY)


def _logarithmic(ax: Axes, least: float = 0.0) -> None:
    """A logarithmic axis, if what is drawn is somewhere positive and spans at least the factor `least`."""
    values = np.concatenate([np.zeros(0), *(np.asarray(line.get_ydata(), float) for line in ax.get_lines())])
    positive = values[values > 0]
    if positive.size and positive.max() >= least * positive.min():
        ax.set_yscale("log")
        ax.set_ylim(0.6 * positive.min(), 1.7 * positive.max())


def _routes(full: Solution | None, report: CrossCheckReport | None) -> list[Artist]:
    keys: list[Artist] = [line_key(REDUCED)]
    if full is not None:
        width = f", $m={full.final.width}$" if isinstance(full.final, AbstractRidgeCloud) else ""
        keys.append(line_key(f"cloud{width}", **_MARKERS[INK]))
    if report is not None:
        seeds, widths = len(report.runs.observables["risk"][0]), report.runs.widths
        for width, shade in ((max(widths), SHADE), (min(widths), _FAINT)):
            keys.append(shade_key(f"{seeds} clouds, $m={width}$: mean ± s.d.", shade))
    return keys
