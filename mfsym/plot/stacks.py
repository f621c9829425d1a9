"""The error budget of finite width: which blocks carry it, and when it is as large as the residual."""

import numpy as np

from ..errors import Words, argument_error, check_instance, is_traced
from ..fluctuations.report import ErrorBudget
from ..types import Checked
from .artists import Axes, AxesLike, Figure
from .canvas import GREY, INK, TIME, finish, line_key, panels, style

_LOOKS = (":", "--", "-.")  # of 2F m, the largest width last
_SHADES = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")  # of the largest blocks
_REST, _UNANSWERED = "#BBBBBB", "#E4E4E4"
_HEAD = 1.12  # of the axis, above the largest coefficient


def budget(budget: Checked[ErrorBudget], *, axes: AxesLike | None = None) -> Figure:
    """C = lim m E(f_m − f_∞)² along the run, stacked by the blocks (ℓ_H, ℓ_⊥) that carry most of it, beside 2F m for three
    widths that are just wide enough for a part of it: where such a line meets the stack, the fluctuation of a network is as
    large as its residual.

    Arguments: what `mf.error_budget` returned; `axes`, one to draw on.
    """
    budget = check_instance("budget", budget, ErrorBudget, "Pass what mf.error_budget returned.")
    if is_traced(budget.by_width) or budget.by_width.ndim != 1:
        raise argument_error("budget", "a single one, outside of jit", Words("a batch or a tracer"), "Pick one of them.")
    with style(axes):
        figure, grid = panels(axes, 1, 1, (4.8, 3.5))
        _stack(grid[0, 0], budget)
        return finish(figure, axes)


def _stack(ax: Axes, budget: ErrorBudget) -> None:
    ts, blocks, width = (np.asarray(each) for each in (budget.ts, budget.by_block, budget.by_width))
    order = np.argsort(-blocks.max(axis=1))
    largest = order[: len(_SHADES)]
    parts = {rf"$({budget.blocks[i][0]},{budget.blocks[i][1]})$": blocks[i] for i in largest}
    parts |= {"other blocks": blocks[order[len(_SHADES) :]].sum(axis=0), "unanswered": width - np.asarray(budget.least)}
    shades = [*_SHADES[: len(largest)], _REST, _UNANSWERED]
    filled = ax.stackplot(ts, *parts.values(), colors=shades, lw=0)
    ax.plot(ts, width, color=INK, lw=1.2)
    keys = list(zip(filled, parts, strict=True))[::-1]  # as they are stacked
    residual, lines = 2 * np.asarray(budget.risk), []
    for m, look in zip(_widths(width / residual), _LOOKS, strict=True):
        ax.plot(ts, m * residual, color=INK, lw=1.1, ls=look)
        lines.append(line_key(rf"$2F\,m$, $m={m}$", INK, ls=look, lw=1.1))
    ax.set(xlabel=TIME, ylabel=r"$C=\lim\, m\,\mathrm{E}(f_m-f_\infty)^2$")
    ax.set(xlim=(ts[0], ts[-1]), ylim=(0, _HEAD * width.max()))
    names = [*(name for _, name in keys), *(line.get_label() for line in lines)]
    ax.legend([*(fill for fill, _ in keys), *lines], names, loc="upper left", bbox_to_anchor=(1.0, 1.0), labelcolor=INK)
    ax.tick_params(colors=GREY, labelcolor=INK)


def _widths(broken: np.ndarray) -> tuple[int, ...]:
    """A power of two up to the largest width that is broken in the run, C/2F, a half and a quarter of it."""
    largest = max(int(np.log2(max(float(np.max(broken)), 1.0))), 2)
    return tuple(2 ** (largest - i) for i in (2, 1, 0))
