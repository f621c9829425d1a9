"""How the clouds of a cross-check approach the limit."""

import numpy as np

from ..crosscheck import CrossCheckReport
from ..extrapolation import Comparison
from ..types import Checked
from .artists import Axes, AxesLike, Figure
from .canvas import GREY, INK, SIGNS, caption, check_report, finish, line_key, number, panels, style

_TIMES = 4  # at most that many times are drawn per observable
_WIDE = 8.0  # differences of more standard errors get an axis that is logarithmic beyond
_KINDS = {
    "risk": ("risk $F$", "o"),
    "mass": ("mass", "s"),
    "alignment": ("alignment", "^"),
    "distance": ("distance", "D"),
    "w2_squared": ("$W_2^2$", "v"),
    "sliced_w2_squared": ("sliced $W_2^2$", "v"),
    "predictor_distance": (r"$\mathrm{E}(f_m-f)^2$", "P"),
}


def rates(report: Checked[CrossCheckReport], *, axes: AxesLike | None = None) -> Figure:
    """The spread over seeds, the distance of the predictors and the extrapolated limit of the clouds of a cross-check.

    From left to right:
      - standard deviation over seeds against the width m, relative to the smallest width (root mean square over times),
        with the fitted exponents; −½ is expected, −1 for squared distances;
      - m·E(f_m − f)² against m, which tends to a constant at every time;
      - (limit for m → ∞ − reference) in standard errors, with bars of one, for every observable at up to four times,
        later ones below, the worst among them; the band holds 95 % of a normal law.

    Arguments: `axes`, three matplotlib axes to draw on; by default those of a new figure, with the verdict as caption.
    Returns the Figure. Raises ArgumentError for anything but a CrossCheckReport.
    """
    check_report(report)
    judgement = next(iter(report.judgements.values()))
    with style(axes):
        figure, grid = panels(axes, 1, 3, (12.0, 4.0))
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


def _rank(observable: str) -> tuple[int, str]:
    """Order of the observables: that of their kinds, τ⁺ before τ⁻."""
    kinds = [kind for kind in _KINDS if observable.startswith(kind)]
    return (list(_KINDS).index(kinds[0]) if kinds else len(_KINDS)), observable.replace("plus", "a")


def _width_axis(ax: Axes, widths: np.ndarray) -> None:
    ax.set_xscale("log")
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.set_xticks([], minor=True)
    ax.set_xlim(widths[0] / 1.15, widths[-1] * 1.4)
    ax.set_xlabel("width $m$")


def _draw_spreads(ax: Axes, comparisons: dict[str, Comparison], widths: np.ndarray) -> None:
    for slope, text, dash in ((-0.5, "$m^{-1/2}$", "--"), (-1.0, "$m^{-1}$", ":")):
        line = (widths / widths[0]) ** slope
        ax.plot(widths, line, color=GREY, lw=1.2, ls=dash, zorder=1, label=text, gid=f"slope:{slope:g}")
    lowest = 1.0
    for name in sorted(comparisons, key=_rank):
        spreads = np.asarray(comparisons[name].spreads, float)
        known = np.all(np.isfinite(spreads) & (spreads > 1e-12 * np.nanmax(spreads, initial=1e-300)), axis=0)
        if known.any():
            relative = np.sqrt(np.mean((spreads[:, known] / spreads[:1, known]) ** 2, axis=1))
            label, colour, marker = _look(name)
            label = f"{label}: ${comparisons[name].spread_slope:.2f}$"
            ax.plot(widths, relative, color=colour, marker=marker, ms=4, lw=0.8, label=label, gid=f"spread:{name}")
            lowest = min(lowest, relative.min())
    ax.set_yscale("log")
    ticks = [t for t in (1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001) if t > 0.7 * lowest]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_yticks([], minor=True)
    _width_axis(ax, widths)
    ax.set_ylabel(f"spread over seeds / spread at $m={widths[0]}$")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="fitted exponents", title_fontsize=8.5)


def _draw_constant(ax: Axes, report: CrossCheckReport, constant: np.ndarray) -> None:
    widths, ts = np.asarray(report.runs.widths), np.asarray(report.runs.ts, float)
    shown = _spread(np.flatnonzero(np.all(np.isfinite(constant), axis=0)), 5)
    for index, shade in zip(shown, np.linspace(0.75, 0.0, len(shown)), strict=True):
        look = {"color": str(shade), "marker": "o", "ms": 4, "lw": 1.0, "label": f"$t={number(ts[index])}$"}
        ax.plot(widths, constant[:, index], gid=f"constant:{index}", **look)
    _width_axis(ax, widths)
    ax.set_ylabel(r"$m\,\mathrm{E}(f_m-f)^2$")
    ax.set_ylim(0, None)
    if len(shown):
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` of the indices, first and last included."""
    return indices[np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int))]


def _draw_limits(ax: Axes, report: CrossCheckReport) -> None:
    names = sorted(next(iter(report.judgements.values())).comparisons, key=_rank)
    ax.axvspan(-1.96, 1.96, color=GREY, alpha=0.15, lw=0)
    ax.axvline(0, color=GREY, lw=0.8)
    slots = np.linspace(-0.36, 0.36, _TIMES * len(report.judgements))
    largest = 0.0
    for rank, (method, judgement) in enumerate(report.judgements.items()):
        for row, name in enumerate(names):
            scores = _scores(judgement.comparisons[name])
            _, colour, marker = _look(name)
            look = {"color": colour, "mfc": "white" if rank else colour, "mew": 0.8, "ms": 3.5, "elinewidth": 0.6}
            places = row + slots[rank :: len(report.judgements)][: len(scores)]
            ax.errorbar(scores, places, xerr=1.0, fmt=marker, **look)[0].set_gid(f"limit:{method}:{name}")
            largest = max([largest, *np.abs(scores)])
    if largest > _WIDE:
        ax.set_xscale("symlog", linthresh=4, linscale=1.5)
        low, high = ax.get_xlim()
        ticks = [sign * size for size in (2, 10, 100, 1000, 10000) for sign in (-1, 1)]
        ticks = [0, *(tick for tick in ticks if low <= tick <= high)]
        ax.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
        ax.set_xticks([], minor=True)
    ax.set_yticks(range(len(names)), [_look(name)[0] for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("(limit − reference) / standard error")
    fills = ({"mfc": "white" if rank else INK} for rank in range(len(report.judgements)))
    keys = [line_key(m, ls="none", marker="o", ms=4, **f) for m, f in zip(report.judgements, fills, strict=True)]
    ax.legend(handles=keys, loc="lower center", bbox_to_anchor=(0.5, 0.99), ncols=2)


def _scores(comparison: Comparison) -> np.ndarray:
    """(limit − reference)/standard error at up to four times in their order, the worst among them."""
    error = np.asarray(comparison.standard_error, float)
    known = np.flatnonzero(np.isfinite(error) & (error > 0))
    scores = (np.asarray(comparison.limit, float) - np.asarray(comparison.reference, float))[known] / error[known]
    if not len(known):
        return scores
    shown = np.union1d(_spread(np.arange(len(known)), _TIMES - 1), np.argmax(np.abs(scores)))
    return scores[shown]
