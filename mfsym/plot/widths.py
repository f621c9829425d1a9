"""Checks of deep networks against their width: sizes of layers with predicted slopes, and best learning rates."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import argument_error, check_instance, check_names
from ..types import Checked
from .artists import Axes, AxesLike, Figure
from .canvas import GREY, INK, MINUS, PLUS, finish, line_key, panels, style

if TYPE_CHECKING:  # the room is imported when it is first used: by whoever has one of its checks
    from ..deep import CoordinateCheck, TransferCheck

TITLES = {"forward": "size of $h$", "gradient": "gradient in $W$", "update": "update of $W$", "change": "change of $h$"}
LAYERS = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#999999")  # of hidden layers, in turn
MARKS = {"forward": "o", "gradient": "s", "update": "^", "change": "D"}
_OUTPUT = PLUS


def coordinates(check: Checked["CoordinateCheck"], *, axes: AxesLike | None = None) -> Figure:
    """Sizes of every layer against the width, one panel for each quantity: markers for networks, dashed lines of the
    predicted slopes through their geometric mean, and the verdict below.

    Arguments: what `mf.deep.coordinate_check` returned; `axes`, one for each quantity, to draw on.
    """
    from ..deep import CoordinateCheck

    check = check_instance("check", check, CoordinateCheck, "Pass what mf.deep.coordinate_check returned.")
    names = list(check.values)
    with style(axes):
        figure, grid = panels(axes, 1, len(names), (2.9 * len(names), 3.1))
        for ax, name in zip(grid[0], names, strict=True):
            _sizes(ax, check, name)
        if axes is None:
            figure.supxlabel(str(check).splitlines()[-1], x=0.01, ha="left", fontsize=8, color=GREY)
        return finish(figure, axes)


def _sizes(ax: Axes, check: "CoordinateCheck", name: str) -> None:
    widths, values = np.asarray(check.widths, float), check.values[name]
    count, keys = values.shape[2], []
    for layer in range(count):
        colour = _OUTPUT if layer == count - 1 else LAYERS[layer % len(LAYERS)]
        label = "output" if layer == count - 1 else f"layer {layer + 1}"
        for row in values[:, :, layer].T:
            ax.plot(widths, row, ls="none", marker="o", ms=3, color=colour, mfc="white", mew=0.9)
        logs = np.log(values[:, :, layer]).mean(axis=1)
        if name in check.predicted and np.all(np.isfinite(logs)):
            slope = check.predicted[name][layer]
            line = np.exp(logs.mean() + slope * (np.log(widths) - np.log(widths).mean()))
            ax.plot(widths, line, ls="--", lw=1.1, color=colour)
        keys.append(line_key(label, colour, ls="none", marker="o", ms=3.4, mfc="white"))
    ax.set(xscale="log", yscale="log", xlabel="width $m$", title=TITLES[name])
    ax.set_xticks(widths, [str(width) for width in check.widths])
    ax.set_xticks([], minor=True)
    if name == next(iter(check.values)):
        ax.legend(handles=[*keys, *([line_key("predicted slope", GREY, ls="--")] if check.predicted else [])])


def slopes(checks: Checked[Mapping[str, "CoordinateCheck"]], *, axes: AxesLike | None = None) -> Figure:
    """Measured slopes of all layers against predicted ones, in one panel: on the diagonal where they agree.

    Arguments: coordinate checks by name; `axes`, one to draw on. Filled markers are those of the outputs.
    """
    from ..deep import CoordinateCheck

    table = check_names("checks", checks, "a dict of coordinate checks", "Pass {name: check}.")
    if not table:
        raise argument_error("checks", "a dict of coordinate checks", checks, "Pass {name: check}.")
    for check in table.values():
        check_instance("checks", check, CoordinateCheck, "Pass {name: what mf.deep.coordinate_check returned}.")
    with style(axes):
        figure, grid = panels(axes, 1, 1, (4.2, 3.8))
        draw_slopes(grid[0, 0], table)
        return finish(figure, axes)


def draw_slopes(ax: Axes, checks: Mapping[str, "CoordinateCheck"]) -> None:
    """The panel of `slopes`."""
    colours = (INK, MINUS, PLUS, *LAYERS[1:])
    ends = []
    for colour, check in zip(colours, checks.values(), strict=False):
        for name, found in check.fits.items():
            if name not in check.predicted:
                continue
            expected = np.asarray(check.predicted[name])
            look = {"ls": "none", "marker": MARKS[name], "ms": 4, "color": colour, "mew": 0.9}
            ax.errorbar(expected[:-1], found.slope[:-1], 2 * found.error[:-1], mfc="white", lw=0.8, **look)
            ax.errorbar(expected[-1:], found.slope[-1:], 2 * found.error[-1:], lw=0.8, **look)
            ends += [expected.min(), expected.max()]
    line = np.array([min(ends, default=0) - 0.3, max(ends, default=1) + 0.3])
    ax.plot(line, line, color=GREY, lw=0.8, zorder=0)
    ax.set(xlabel="predicted exponent", ylabel="measured slope")
    names = [
        line_key(name, colour, ls="none", marker="o", ms=4, mfc="white")
        for colour, name in zip(colours, checks, strict=False)
    ]
    kinds = [line_key(TITLES[kind], GREY, ls="none", marker=mark, ms=4, mfc="white") for kind, mark in MARKS.items()]
    ax.legend(handles=[*names, *kinds], ncols=2)


def transfer(check: Checked["TransferCheck"], *, axes: AxesLike | None = None) -> Figure:
    """Losses against learning rates, a line for each width, darker with the width, and their minima marked.

    Arguments: what `mf.deep.transfer_check` returned; `axes`, one to draw on.
    """
    from ..deep import TransferCheck

    check = check_instance("check", check, TransferCheck, "Pass what mf.deep.transfer_check returned.")
    with style(axes):
        figure, grid = panels(axes, 1, 1, (4.4, 3.4))
        draw_transfer(grid[0, 0], check)
        return finish(figure, axes)


def draw_transfer(ax: Axes, check: "TransferCheck") -> None:
    """The panel of `transfer`."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = [to_hex(shade) for shade in colormaps["Blues"](np.linspace(0.35, 1.0, len(check.widths)))]
    mean, best = check.mean, check.best
    for shade, row, rate in zip(shades, mean, best, strict=True):
        ax.plot(check.rates, np.where(np.isfinite(row), row, np.nan), color=shade, lw=1.3)
        ax.plot(rate, np.min(row), color=PLUS, marker="o", ms=5, mfc=shade, ls="none", mew=1.2)
    start = np.nanmax(np.where(np.isfinite(mean[:, :1]), mean[:, :1], np.nan))
    lowest = float(np.min(mean))
    ax.set(xlabel="learning rate", ylabel=f"loss after {check.steps} steps")
    ax.set_xscale("log", base=2)
    ax.set_ylim(lowest - 0.08 * (start - lowest), start + 0.15 * (start - lowest))
    names = [line_key(f"$m={width}$", shade) for width, shade in zip(check.widths, shades, strict=True)]
    ax.legend(handles=[*names, line_key("minimum", PLUS, ls="none", marker="o", ms=5, mfc="white")])
