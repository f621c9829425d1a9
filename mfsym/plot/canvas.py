"""What all figures share: colours, panels, legends, captions, and which arguments can be drawn."""

import functools
import io
import textwrap
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..crosscheck import CrossCheckReport
from ..errors import argument_error, check_instance, check_is
from ..reduced.base import AbstractReduction
from ..solution import Solution
from ..types import Checked, RealLike
from .artists import Artist, Axes, AxesLike, Figure

INK, GREY, PLUS, MINUS = "#222222", "#767676", "#D55E00", "#0072B2"
SIGNS = (("plus", PLUS, r"$\tau^{+}$"), ("minus", MINUS, r"$\tau^{-}$"))
TIME, ANGLE, REDUCED = "flow time $t$", r"angle $\theta$", r"reduced, $m=\infty$"
LINES = {INK: {"lw": 1.5}, PLUS: {"lw": 1.5}, MINUS: {"lw": 1.5, "ls": (0, (5, 1.2))}}  # both show where they coincide
SHADE = 0.25  # opacity of bands and bars
_LOG_SPAN = 10.0  # times that span more than this, and are not evenly spaced, get a logarithmic axis
_STYLE: dict[Any, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 10.5,
    "axes.titlesize": 10.5,
    "axes.edgecolor": INK,
    "axes.facecolor": "white",
    "axes.grid": False,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "figure.titlesize": 11,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 2.0,
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
}


def style(axes: AxesLike | None) -> AbstractContextManager[None]:
    """The settings of a figure of ours, for the length of a `with` block; with `axes` given, the reader's own."""
    from matplotlib import rc_context

    return rc_context(_STYLE if axes is None else {})


def panels(axes: AxesLike | None, rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """A figure and its axes [rows, columns]: a new one of `size` inches, or the axes that were given."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if axes is None:
        figure = Figure(figsize=size, layout="constrained")
        vars(figure)["_repr_png_"] = functools.partial(png, figure)  # notebooks show it, whichever backend they use
        return figure, figure.subplots(rows, columns, squeeze=False)
    given = np.asarray(axes, dtype=object)
    if given.size != rows * columns or not all(isinstance(ax, Axes) for ax in given.ravel()):
        shape = f"{columns} matplotlib axes" if rows == 1 else f"matplotlib axes of shape [{rows}, {columns}]"
        raise argument_error("axes", shape, axes, "Make them with plt.subplots, or leave it out.")
    given = given.reshape(rows, columns)
    return given[0, 0].figure.figure, given


def finish(figure: Figure, axes: AxesLike | None) -> Figure:
    """The figure, drawn once in the present style, which its ticks then keep, if it is ours."""
    if axes is None:
        figure.draw_without_rendering()
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def check_solution(argument: str, solution: Checked[Solution], remedy: str) -> Solution:
    """One run, not a batch of them, in flow time."""
    check_instance(argument, solution, Solution, remedy)
    if np.ndim(solution.ts) != 1:
        remedy = "Pick one run, jax.tree.map(lambda leaf: leaf[i], solutions)."
        raise argument_error(argument, "one run", f"a batch with times {np.shape(solution.ts)}", remedy)
    if solution.clock != "flow time":
        remedy = "Only flows and plain gradient descent share the clock of the reduced route."
        raise argument_error(argument, "a run in flow time", f"one that counts {solution.clock}", remedy)
    return solution


def check_reduced(pde: Checked[Solution]) -> Solution:
    """A run of the reduced route."""
    check_solution("pde", pde, "Pass what mf.solve_reduced returned.")
    expected, remedy = "what mf.solve_reduced returned", "Pass that one as `full`."
    check_is("pde", pde.model, AbstractReduction, expected, remedy, "a run of clouds")
    return pde


def check_report(report: Checked[CrossCheckReport]) -> CrossCheckReport:
    """A report of a cross-check."""
    return check_instance("report", report, CrossCheckReport, "Pass what mf.cross_check returned.")


def time_axis(ax: Axes, ts: np.ndarray) -> None:
    """Label and scale of time; if it spans decades, linear up to the first positive time and logarithmic from there."""
    positive, steps = ts[ts > 0], np.diff(ts)
    if positive.size > 1 and positive[-1] > _LOG_SPAN * positive[0] and steps.max() > 2 * steps.min():
        first, last = np.log10(positive[0]), np.log10(positive[-1])
        decades = np.arange(np.ceil(first - 1e-9), np.floor(last + 1e-9) + 1)
        ax.set_xscale("symlog", linthresh=positive[0], linscale=0.4)
        ax.set_xticks([0.0, *10.0 ** decades[:: int(np.ceil(len(decades) / 5))]])
        ax.set_xticks([], minor=True)
    ax.margins(x=0.02)
    ax.set_xlabel(TIME)


def line_key(label: str, colour: str = INK, **look: Any) -> Artist:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **{"color": colour, "lw": 1.5, **look})


def shade_key(label: str, shade: float = SHADE) -> Artist:
    """An entry of a legend for bands and bars."""
    from matplotlib.patches import Patch

    return Patch(color=INK, alpha=shade, lw=0, label=label)


def caption(figure: Figure, report: CrossCheckReport) -> None:
    """The verdict in small print below the panels: of the method that decided it."""
    method, judgement = next(item for item in report.judgements.items() if item[1].verdict == report.verdict)
    text = f"Reduced route ({method}) against clouds – {judgement.sentence}"
    lines = textwrap.fill(text, int(20 * figure.get_figwidth()))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=8, color=GREY, linespacing=1.3)


def number(t: RealLike) -> str:
    """A time in mathematical notation, to three digits."""
    mantissa, _, exponent = f"{float(t):.3g}".partition("e")
    return rf"{mantissa}\times 10^{{{int(exponent)}}}" if exponent else mantissa
