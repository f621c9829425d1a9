"""The eight panels of deep networks in several scalings, and the numbers that they show."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..deep import CoordinateCheck, EscapeTimes, TransferCheck
from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, MINUS, PLUS, finish, line_key, panels, style
from ..plot.widths import draw_slopes, draw_transfer


class DeepRecord(NamedTuple):
    """What the panels show.

    - `slopes`, by scaling; `losses` [depths, 2, steps] of ip, narrow and wide; `escapes`, by depth;
      `accuracies` [`scalings`, `units`].
    - `spectra`, by name, singular values over the largest; `limits` [A] and `outputs` [seeds, A], by scaling, at `angles`
      [A]; `transfers`, by scaling and optimiser.
    """

    slopes: dict[str, CoordinateCheck]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    losses: Float[np.ndarray, "depths 2 steps"]
    escapes: dict[int, EscapeTimes]
    scalings: tuple[str, ...]
    units: tuple[str, ...]
    accuracies: Float[np.ndarray, "scalings activations"]
    spectra: dict[str, Float[np.ndarray, " r"]]
    angles: Float[np.ndarray, " A"]
    limits: dict[str, Float[np.ndarray, " A"]]
    outputs: dict[str, Float[np.ndarray, "seeds A"]]
    transfers: dict[str, TransferCheck]


_SHADES = (INK, MINUS, PLUS, "#009E73", "#CC79A7")
_STYLES = ("-", "--")


def draw(record: DeepRecord, axes: AxesLike | None = None) -> Figure:
    """Slopes, losses, escapes, accuracies; spectra, first steps, losses against rates, best rates."""
    with style(axes):
        figure, grid = panels(axes, 2, 4, (15.0, 6.8))
        above, below = grid.reshape(2, 4)
        draw_slopes(above[0], record.slopes)
        _draw_losses(above[1], record)
        _draw_escapes(above[2], record)
        _draw_accuracies(above[3], record)
        _draw_spectra(below[0], record)
        _draw_outputs(below[1], record)
        _draw_rates(below[2], record)
        _draw_shifts(below[3], record)
        return finish(figure, axes)


def _draw_losses(ax: Axes, record: DeepRecord) -> None:
    for colour, rows in zip(_SHADES, record.losses, strict=False):
        for look, row in zip(_STYLES, rows, strict=False):
            ax.plot(1 + np.arange(len(row)), row, color=colour, ls=look, lw=1.2)
    ax.set(xscale="log", xlabel="step", ylabel="loss of ip on digits", ylim=(0, None))
    names = [line_key(f"$L={depth}$", colour) for depth, colour in zip(record.depths, _SHADES, strict=False)]
    ends = zip((record.widths[0], record.widths[-1]), _STYLES, strict=False)
    ax.legend(handles=[*names, *(line_key(f"$m={m}$", GREY, ls=look) for m, look in ends)])


def _draw_escapes(ax: Axes, record: DeepRecord) -> None:
    keys, widths = [], np.asarray(record.widths, float)
    for colour, (depth, found) in zip(_SHADES, record.escapes.items(), strict=False):
        mean = found.steps.mean(axis=1)
        ax.plot(found.widths, mean, color=colour, ls="none", marker="o", ms=4, mfc="white")
        m = np.asarray(found.widths, float)
        growth = np.log(m) if depth == 3 else m ** max(found.exponent or 0.0, 0.0)
        ax.plot(m, growth * np.exp(np.mean(np.log(mean / growth))), color=colour, ls="--", lw=1.0)
        keys.append(line_key(f"$L={depth}$", colour, marker="o", ms=4, mfc="white", ls="--", lw=1.0))
    ax.set(xscale="log", yscale="log", xlabel="width $m$", ylabel="steps to escape under ip")
    ax.set_xticks(widths, [str(int(m)) for m in widths])
    ax.set_xticks([], minor=True)
    ax.legend(handles=[*keys, line_key(r"$1,\ \log m,\ m^{1/2},\ m$", GREY, ls="--", lw=1.0)])


def _draw_accuracies(ax: Axes, record: DeepRecord) -> None:
    ax.imshow(np.nan_to_num(record.accuracies), cmap="Greys", vmin=0, vmax=1.4, aspect="auto")
    for (row, column), value in np.ndenumerate(record.accuracies):
        text = f"{value:.2f}" if np.isfinite(value) else "diverged"
        ax.text(column, row, text, ha="center", va="center", fontsize=9)
    ax.set_xticks(range(len(record.units)), record.units)
    ax.set_yticks(range(len(record.scalings)), record.scalings)
    ax.tick_params(length=0)
    ax.set_title("test accuracy on digits, $L=5$")


def _draw_spectra(ax: Axes, record: DeepRecord) -> None:
    for colour, (name, values) in zip(_SHADES, record.spectra.items(), strict=False):
        ax.plot(1 + np.arange(len(values)), np.maximum(values, 1e-9), color=colour, label=name)
    ax.axhline(1e-3, color=GREY, lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", ylim=(1e-7, 1.5), xlabel="index", ylabel="singular values of $h^5$, one step")
    ax.legend()


def _draw_outputs(ax: Axes, record: DeepRecord) -> None:
    degrees, keys = np.degrees(record.angles), []
    for colour, (name, limit) in zip((INK, PLUS), record.limits.items(), strict=True):
        networks = record.outputs[name]
        error = networks.std(axis=0, ddof=1) / np.sqrt(len(networks))
        ax.plot(degrees, limit, color=colour)
        ax.errorbar(
            degrees, networks.mean(axis=0), 2 * error, color=colour, ls="none", marker="o", ms=3.6, mfc="white", lw=0.9
        )
        keys += [
            line_key(f"{name}, limit", colour),
            line_key("networks", colour, ls="none", marker="o", ms=3.6, mfc="white"),
        ]
    ax.set(xlabel="angle to the training sample (degrees)", ylabel="output after one step")
    ax.legend(handles=keys)


def _draw_rates(ax: Axes, record: DeepRecord) -> None:
    draw_transfer(ax, record.transfers["standard, SGD"])
    ax.set_title("standard, SGD")


def _draw_shifts(ax: Axes, record: DeepRecord) -> None:
    looks = ((MINUS, "-"), (PLUS, "-"), (MINUS, "--"), (PLUS, "--"))
    for (colour, look), (name, found) in zip(looks, record.transfers.items(), strict=True):
        best = found.best / found.best[0]
        ax.plot(found.widths, best, color=colour, ls=look, marker="o", ms=4, mfc="white", label=name)
        edges = np.flatnonzero(found.at_edge)  # the true minimum may lie beyond the rates tried
        ax.plot(np.take(found.widths, edges), best[edges], color=colour, ls="none", marker="x", ms=7)
    ax.set(xscale="log", xlabel="width $m$", ylabel="best rate, over that of the narrowest")
    ax.set_yscale("log", base=2)
    ax.set_xticks(record.widths, [str(width) for width in record.widths])
    ax.set_xticks([], minor=True)
    ax.legend()
