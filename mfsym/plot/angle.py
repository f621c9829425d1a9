"""The densities of τ^± over the angle, beside clouds of neurons pushed forward to it, and their film."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import argument_error, check_instance, check_integer, positive_number
from ..lift import project
from ..neurons import Particles
from ..reduced.fields import density
from ..solution import Solution
from .canvas import (
    ANGLE,
    PLUS,
    REDUCED,
    SHADE,
    SIGNS,
    check_reduced,
    check_solution,
    finish,
    line_key,
    number,
    panels,
    shade_key,
    style,
    time_axis,
)
from .record import draw_run, label_risk

_FINEST, _COARSEST = 400, 12  # numbers of bars over the whole interval


def densities(pde: Any, full: Any = None, *, times: Any = None, axes: Any = None):
    """Densities of τ⁺ (above) and τ⁻ (below) per unit of angle, one column per time, and clouds as weighted histograms.

    Arguments:
      pde: Solution of the reduced route on a grid.
      full: a Particles cloud at the last time, or a Solution of the particle route; of a run without
        `save_states=True` only the last cloud is known.
      times: recorded times; by default four spread evenly over the record.
      axes: matplotlib axes [2, number of times] to draw on; by default those of a new figure.

    Returns the Figure. Raises ArgumentError for a time that was not recorded, and for a solution without an angle or a
    grid.
    """
    _check_angle(pde)
    recorded = np.asarray(pde.ts, float)
    indices = _spread(recorded, 4) if times is None else [_index(recorded, t) for t in np.ravel(times)]
    clouds = _clouds(full, recorded[-1])
    theta = _fine_angles(pde)
    with style(axes):
        figure, grid = panels(axes, 2, len(indices), (0.6 + 2.25 * len(indices), 3.8))
        for column, index in zip(grid.T, indices, strict=True):
            values = np.asarray(density(pde, theta, int(index)))
            bars = _bars(_cloud_at(clouds, recorded[index]), pde)
            for sign, ax in enumerate(column):
                _draw_density(ax, theta, values[sign], bars[sign], sign)
                _angle_axis(ax, pde, labelled=sign == 1)
                ax.set_ylim(0, None)
            column[0].set_title(f"$t = {number(recorded[index])}$")
        for ax, (_, _, name) in zip(grid[:, 0], SIGNS, strict=True):
            ax.set_ylabel(f"density of {name}")
        grid[0, -1].legend(handles=_keys(clouds))
        return finish(figure, axes)


def film(pde: Any, path: Any, full: Any = None, *, frames: int = 80, fps: Any = 16) -> Path:
    """Write a GIF: the densities of τ^± and the risk at up to `frames` recorded times, spread evenly over the record.

    Arguments:
      pde: Solution of the reduced route on a grid. Times in geometric progression make a film in logarithmic time.
      path: where to write it, a name that ends in .gif.
      full: Solution of the particle route with `save_states=True`; histograms are drawn at the times that both recorded.
      frames, fps: largest number of frames, and frames per second.

    Returns the path. The axes stand still; densities are drawn on the scale of their square root, which shows the start
    beside the concentrated end. Raises ArgumentError as `densities` does.
    """
    from matplotlib.animation import PillowWriter

    _check_angle(pde)
    path = _check_gif(path)
    frames = check_integer("frames", frames, 1, "It is the largest number of frames.")
    fps = float(positive_number("fps", fps, "It is the number of frames per second."))
    if isinstance(full, Particles) or (full is not None and getattr(full, "states", full) is None):
        remedy = "Run mf.solve_particles with save_states=True."
        raise argument_error("full", "a run that kept its clouds", "without clouds at earlier times", remedy)
    clouds = _clouds(full, float(pde.ts[-1]))
    indices, theta = _spread(pde.ts, frames), _fine_angles(pde)
    values = np.stack([np.asarray(density(pde, theta, int(index))) for index in indices])
    with style(None):
        figure, grid = panels(None, 1, 3, (9.0, 2.8))
        row = grid.ravel()
        _prepare(figure, row, pde, values, clouds)
        edges = _last_edges(clouds, pde)
        writer = PillowWriter(fps=fps)
        with writer.saving(figure, str(path), dpi=100):
            for index, pair in zip(indices, values, strict=True):
                _draw_frame(figure, row, pde, int(index), theta, pair, _cloud_at(clouds, pde.ts[index]), edges)
                writer.grab_frame()
    return path


def _check_angle(pde: Any) -> None:
    check_reduced(pde)
    if not hasattr(pde.model, "cell_masses"):
        remedy = "Where no angle is left there is no density; mf.plot.overview shows the masses."
        raise argument_error("pde", "a reduced run with an angle", f"a run of {type(pde.model).__name__}", remedy)


def _check_gif(path: Any) -> Path:
    name = Path(path) if isinstance(path, (str, Path)) else Path()
    if name.suffix.lower() != ".gif" or not name.parent.is_dir():
        remedy = "Create the folder, or choose another name."
        raise argument_error("path", "the name of a .gif file in an existing folder", str(path), remedy)
    return name


def _spread(recorded: Any, count: int) -> np.ndarray:
    """Indices of up to `count` entries, first and last included."""
    return np.unique(np.linspace(0, len(recorded) - 1, count).round().astype(int))


def _index(recorded: np.ndarray, t: Any) -> int:
    found = np.flatnonzero(np.isclose(recorded, float(t)))
    if found.size == 0:
        raise argument_error("times", "among the recorded times, `pde.ts`", t, "Record it with ts=.")
    return int(found[0])


def _clouds(full: Any, last: float) -> list[tuple[float, Particles]]:
    """Times and clouds that are known."""
    if full is None:
        return []
    if isinstance(full, Particles):
        return [(last, full)]
    check_solution("full", full, "Pass what mf.solve_particles returned, or a cloud at the last time.")
    check_instance("full.final", full.final, Particles, "Only Particles have angles and masses.")
    if full.states is None:
        return [(float(full.ts[-1]), full.final)]
    return [(float(t), jax.tree.map(lambda leaf, i=i: leaf[i], full.states)) for i, t in enumerate(full.ts)]


def _cloud_at(clouds: list[tuple[float, Particles]], t: Any) -> Particles | None:
    return next((cloud for time, cloud in clouds if np.isclose(time, float(t))), None)


def _fine_angles(pde: Solution) -> np.ndarray:
    return np.linspace(0.0, pde.model.end, 4 * pde.model.cells + 1)


def _bars(cloud: Particles | None, pde: Solution, edges: Any = (None, None)) -> list[Any]:
    """For τ⁺ and τ⁻ the heights (mass per unit of angle) and edges of a histogram, or None without a cloud."""
    if cloud is None:
        return [None, None]
    theta, weight = (np.asarray(array, float) for array in project(cloud, pde.model))
    bars = []
    for epsilon, given in zip((1, -1), edges, strict=True):
        own = epsilon * weight > 0
        masses, angles = np.abs(weight[own]), theta[own]
        borders = _edges(angles, masses, pde.model.end) if given is None else given
        bars.append((np.histogram(angles, borders, weights=masses)[0] / np.diff(borders), borders))
    return bars


def _edges(theta: np.ndarray, weight: np.ndarray, end: float) -> np.ndarray:
    """Equal bars by the rule of Freedman & Diaconis: twice the weighted interquartile range over the cube root of m."""
    width = end / _COARSEST
    if theta.size > 1:
        order = np.argsort(theta)
        low, high = np.interp((0.25, 0.75), np.cumsum(weight[order]) / weight.sum(), theta[order])
        width = np.clip(2 * (high - low) / np.cbrt(theta.size), end / _FINEST, end / _COARSEST)
    return np.linspace(0.0, end, int(np.ceil(end / width)) + 1)


def _last_edges(clouds: list[tuple[float, Particles]], pde: Solution) -> tuple[Any, Any]:
    """Edges of the bars of a film, from its last cloud, so that they stand still."""
    last = clouds[-1][1] if clouds else None
    plus, minus = (None if bars is None else bars[1] for bars in _bars(last, pde))
    return plus, minus


def _draw_density(ax: Any, theta: np.ndarray, values: np.ndarray, bars: Any, sign: int) -> None:
    name, colour, _ = SIGNS[sign]
    ax.plot(theta, values, color=colour, lw=1.5, gid=f"reduced:{name}")
    if bars is not None:
        ax.stairs(*bars, fill=True, color=colour, alpha=SHADE, lw=0, gid=f"cloud:{name}")


def _angle_axis(ax: Any, pde: Solution, labelled: bool = True) -> None:
    names = ("0", r"\pi/2", r"\pi") if pde.model.signed else ("0", r"\pi/4", r"\pi/2")
    ax.set_xlim(0, pde.model.end)
    ax.set_xticks(np.linspace(0, pde.model.end, 3), [f"${name}$" if labelled else "" for name in names])
    if labelled:
        ax.set_xlabel(ANGLE)


def _keys(clouds: list[tuple[float, Particles]]) -> list[Any]:
    bars = [shade_key(f"cloud, $m={clouds[-1][1].width}$")] if clouds else []
    return [line_key(REDUCED), *bars]


def _prepare(figure: Any, row: Any, pde: Solution, values: np.ndarray, clouds: Any) -> None:
    """What stands still: scales, limits, the curve of the risk, the layout."""
    from matplotlib.ticker import FixedLocator

    for sign, ax in enumerate(row[:2]):
        top = 1.1 * float(values[:, sign].max())
        ax.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0.0)), np.square))
        ax.set_ylim(0, top)
        ax.yaxis.set_major_locator(FixedLocator(_square_ticks(top)))
        ax.set_ylabel(f"density of {SIGNS[sign][2]}")
        _angle_axis(ax, pde)
    draw_run(row[2:], pde, "reduced", lw=1.5)
    label_risk(row[2], pde)
    time_axis(row[2], np.asarray(pde.ts, float))
    row[0].legend(handles=_keys(clouds))
    figure.suptitle("$t = 0$")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _square_ticks(top: float) -> list[float]:
    """Round numbers whose square roots are spread over the axis."""
    unit = 10.0 ** np.floor(np.log10(top))
    leading = top / unit
    steps = (0, 0.1, 0.5, 1) if leading < 2 else (0, 0.2, 1, 2) if leading < 5 else (0, 0.5, 2, 5)
    return [unit * step for step in steps]


def _draw_frame(figure, row, pde, index: int, theta, values, cloud: Particles | None, edges) -> None:
    for ax in row[:2]:
        for artist in [*ax.get_lines(), *ax.patches]:
            artist.remove()
    for sign, bars in enumerate(_bars(cloud, pde, edges)):
        _draw_density(row[sign], theta, values[sign], bars, sign)
    for line in [line for line in row[2].get_lines() if line.get_gid() == "now"]:
        line.remove()
    t = float(pde.ts[index])
    row[2].plot([t], [float(pde.risk[index])], "o", color=PLUS, ms=6, gid="now")
    figure.suptitle(f"$t = {number(t)}$")
