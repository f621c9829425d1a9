"""What a training loop did to its laws, over the updates."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Words, argument_error, check_instance, check_sequence
from ..types import Checked
from .artists import Artist, Axes, AxesLike, Figure
from .canvas import GREY, SHADE, finish, line_key, panels, shade_key, style

if TYPE_CHECKING:  # the room is imported when it is first used: by whoever has a drift
    from ..noether import Drift

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_WIDEST = 38  # characters of a name in the legend
_REMEDY = "Pass what mf.noether.drift(state) returned, once or after some of the updates in their order."


def charges(drifts: Checked["Drift | Sequence[Drift]"], *, axes: AxesLike | None = None) -> Figure:
    """Laws over the updates of a loop: h − h(0) as a line, what finite steps alone make of it dashed, and between the two,
    shaded, what the optimiser broke.

    Of every law the part that moved most is drawn, and of many laws the six that moved most; below stands how many were kept
    up to finite steps. One drift gives two points, the start and the end.

    Arguments: `drifts`, a `Drift` or a sequence of them, of the same laws and of growing numbers of steps; `axes`, one
    matplotlib axes to draw on. Returns the Figure. Raises ArgumentError for anything else.
    """
    seen = _checked(drifts)
    last, steps = seen[-1], np.array([0, *(each.steps for each in seen)])
    moved = [np.abs(np.ravel(value - start)) for value, start in zip(last.value, last.start, strict=True)]
    shown = sorted(range(len(moved)), key=lambda law: -np.max(moved[law], initial=0.0))[: len(COLOURS)]
    with style(axes):
        figure, grid = panels(axes, 1, 1, (7.6, 3.6))
        ax = grid[0, 0]
        keys = [
            _draw(ax, seen, steps, law, int(np.argmax(moved[law])), colour)
            for law, colour in zip(shown, COLOURS, strict=False)
            if len(moved[law])
        ]
        ax.axhline(0, color=GREY, lw=0.7, zorder=0)
        ax.set(xlabel="update", ylabel="$h-h(0)$")
        ax.margins(x=0.02)
        meanings = [line_key("by finite steps alone", GREY, ls="--", lw=1.0), shade_key("broken by the optimiser")]
        ax.legend(handles=[*keys, *meanings], loc="center left", bbox_to_anchor=(1.0, 0.5))
        if axes is None:
            figure.supxlabel(_sentence(last, len(shown)), x=0.01, ha="left", fontsize=8, color=GREY)
        return finish(figure, axes)


def _checked(drifts: Checked["Drift | Sequence[Drift]"]) -> list["Drift"]:
    from ..noether import Drift

    expected = "a Drift, or a sequence of them"
    given = (drifts,) if isinstance(drifts, Drift) else check_sequence("drifts", drifts, expected, _REMEDY)
    seen = [check_instance("drifts", each, Drift, _REMEDY) for each in given]
    if not seen:
        raise argument_error("drifts", expected, drifts, _REMEDY)
    if len({each.names for each in seen}) > 1:
        raise argument_error("drifts", "of the same laws", Words("of several sets of them"), "Draw one loop at a time.")
    steps = [each.steps for each in seen]
    if np.any(np.diff([0, *steps]) <= 0):
        raise argument_error("drifts", "after growing numbers of steps, from 1 on", Words(f"after {steps}"), _REMEDY)
    return seen


def _draw(ax: Axes, seen: Sequence["Drift"], steps: np.ndarray, law: int, part: int, colour: str) -> Artist:
    start = float(np.ravel(seen[-1].start[law])[part])
    value, predicted = (
        np.array([0.0, *(float(np.ravel(each[law])[part]) - start for each in column)])
        for column in ([each.value for each in seen], [each.predicted for each in seen])
    )
    ax.plot(steps, value, color=colour, gid=f"value:{law}")
    ax.plot(steps, predicted, color=colour, ls="--", lw=1.0, gid=f"predicted:{law}")
    ax.fill_between(steps, predicted, value, color=colour, alpha=SHADE, lw=0)
    return line_key(textwrap.fill(seen[-1].names[law], _WIDEST), colour)


def _sentence(last: "Drift", shown: int) -> str:
    count, kept = len(last.names), sum(last.kept)
    text = f"after {last.steps} steps {kept} of {count} laws kept up to finite steps"
    return text if shown == count else f"{text}; drawn are the {shown} that moved most"
