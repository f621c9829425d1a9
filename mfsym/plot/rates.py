"""How the clouds of a cross-check approach the limit."""

from typing import Any

import numpy as np

from ..crosscheck import CrossCheckReport
from .canvas import GREY, INK, SIGNS, caption, check_report, finish, number, panels, style

_TIMES = 3  # at most that many times are drawn per observable
_WIDE = 8.0  # differences of more standard errors get an axis that is logarithmic beyond
_KINDS = {
    "risk": ("risk $F$", "o"),
    "mass": ("mass", "s"),
    "alignment": ("alignment", "^"),
    "distance": ("distance", "D"),
    "w2_squared": ("$W_2^2$", "v"),
    "predictor_distance": (r"$\mathrm{E}(f_m-f)^2$", "P"),
}


def rates(report: Any, *, axes: Any = None):
    """The spread over seeds, the distance of the predictors and the extrapolated limit of the clouds of a cross-check.

    From left to right:
      - standard deviation over seeds against the width m, relative to the smallest width (root mean square over times),
        with the fitted exponents; −½ is expected, −1 for squared distances;
      - m·E(f_m − f)² against m, which tends to a constant at every time;
      - (limit for m → ∞ − reference) in standard errors, with bars of one, for every observable at up to three times
        and both methods (filled, open); the band holds 95 % of a normal law.

    Arguments: `axes`, three matplotlib axes to draw on; by default those of a new figure, with the verdict as caption.
    Returns the Figure. Raises ArgumentError for anything but a CrossCheckReport.
    """
    check_report(report)
    judgement = next(iter(report.judgements.values()))
    with style(axes):
        figure, grid = panels(axes, 1, 3, (11.0, 3.5))
        _draw_spreads(grid[0, 0], judgement.comparisons, np.asarray(report.runs.widths))
        _draw_constant(grid[0, 1], report, np.asarray(judgement.predictor_constant, float))
        _draw_limits(grid[0, 2], report)
        if axes is None:
            caption(figure, report)
        return finish(figure, axes)


def _look(observable: str) -> tuple[str, str, str]:
    """Label, colour and marker of an observable."""
    stem, _, end = observable.rpartition("_")
    for sign, colour, symbol in SIGNS:
        if end == sign:
            kind, marker = _KINDS.get(stem, (stem.replace("_", " "), "h"))
            return f"{kind} {symbol}", colour, marker
    kind, marker = _KINDS.get(observable, (observable.replace("_", " "), "h"))
    return kind, INK, marker


def _width_axis(ax: Any, widths: np.ndarray) -> None:
    ax.set_xscale("log")
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.set_xticks([], minor=True)
    ax.set_xlim(widths[0] / 1.15, widths[-1] * 1.4)
    ax.set_xlabel("width $m$")


def _draw_spreads(ax: Any, comparisons: dict[str, Any], widths: np.ndarray) -> None:
    for slope, text in ((-0.5, "$m^{-1/2}$"), (-1.0, "$m^{-1}$")):
        line = (widths / widths[0]) ** slope
        ax.plot(widths, line, color=GREY, lw=0.9, ls="--", zorder=1, gid=f"slope:{slope:g}")
        ax.annotate(
            text, (widths[-1], line[-1]), (5, 0), textcoords="offset points", va="center", color=GREY, fontsize=8.5
        )
    for name, comparison in comparisons.items():
        spreads = np.asarray(comparison.spreads, float)
        known = np.all(np.isfinite(spreads) & (spreads > 1e-12 * np.nanmax(spreads, initial=1e-300)), axis=0)
        if known.any():
            relative = np.sqrt(np.mean((spreads[:, known] / spreads[:1, known]) ** 2, axis=1))
            label, colour, marker = _look(name)
            label = f"{label}: ${comparison.spread_slope:.2f}$"
            ax.plot(widths, relative, color=colour, marker=marker, ms=4, lw=0.8, label=label, gid=f"spread:{name}")
    ax.set_yscale("log")
    _width_axis(ax, widths)
    ax.set_ylabel(f"spread over seeds / spread at $m={widths[0]}$")
    ax.legend(fontsize=7.5, loc="lower left", labelspacing=0.25)


def _draw_constant(ax: Any, report: CrossCheckReport, constant: np.ndarray) -> None:
    widths, ts = np.asarray(report.runs.widths), np.asarray(report.runs.ts, float)
    known = np.flatnonzero(np.all(np.isfinite(constant), axis=0))
    for rank, index in enumerate(_spread_over(known, 5)):
        shade = str(0.75 - 0.75 * rank / max(len(_spread_over(known, 5)) - 1, 1))
        label = f"$t={number(ts[index])}$"
        ax.plot(widths, constant[:, index], color=shade, marker="o", ms=4, lw=1.0, label=label, gid=f"constant:{index}")
    _width_axis(ax, widths)
    ax.set_ylabel(r"$m\,\mathrm{E}(f_m-f)^2$")
    ax.set_ylim(0, None)
    if known.size:
        ax.legend()


def _spread_over(indices: np.ndarray, count: int) -> np.ndarray:
    return indices[np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int))]


def _draw_limits(ax: Any, report: CrossCheckReport) -> None:
    names = list(next(iter(report.judgements.values())).comparisons)
    ax.axvspan(-1.96, 1.96, color=GREY, alpha=0.15, lw=0)
    ax.axvline(0, color=GREY, lw=0.8)
    largest = 0.0
    for rank, (method, judgement) in enumerate(report.judgements.items()):
        for row, name in enumerate(names):
            comparison = judgement.comparisons[name]
            error = np.asarray(comparison.standard_error, float)
            known = np.flatnonzero(np.isfinite(error) & (error > 0))
            shown = _spread_over(known[-_TIMES:] if known.size < 2 * _TIMES else known, _TIMES)
            scores = (np.asarray(comparison.limit) - np.asarray(comparison.reference))[shown] / error[shown]
            _, colour, marker = _look(name)
            places = row + np.linspace(-0.3, 0.3, 2 * _TIMES)[rank::2][: len(shown)]
            look = {
                "fmt": marker,
                "ms": 3.5,
                "lw": 0.7,
                "color": colour,
                "mfc": "white" if rank else colour,
                "mew": 0.8,
            }
            ax.errorbar(scores, places, xerr=1.0, **look)[0].set_gid(f"limit:{method}:{name}")
            largest = max([largest, *np.abs(scores)])
    if largest > _WIDE:
        ax.set_xscale("symlog", linthresh=4, linscale=1.5)
    ax.set_yticks(range(len(names)), [_look(name)[0] for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("(limit − reference) / standard error")
