"""The film of the densities of τ^± over the angle."""

from pathlib import Path

import numpy as np

from ..errors import argument_error, check_integer, check_path, positive_number
from ..solution import Solution
from ..types import Checked, IntLike, PathLike, RealLike
from .angle import (
    Clouds,
    angle_axis,
    bars_of,
    check_angle,
    cloud_at,
    clouds_of,
    densities_at,
    draw_density,
    keys,
    spread_valid,
)
from .artists import Artist, Figure, Image, Row, Text
from .canvas import INK, SIGNS, number, panels, style, time_axis
from .record import draw_run, label_risk

_FASTEST = 100  # frames per second


def film(
    pde: Checked[Solution],
    path: PathLike,
    full: Checked[Solution | None] = None,
    *,
    frames: IntLike = 80,
    fps: RealLike = 16,
) -> Path:
    """Write a GIF of the densities of τ^± and the risk at up to `frames` valid times, spread evenly over the record.

    Arguments:
      pde: Solution of the reduced route on a grid. Times in geometric progression make a film in logarithmic time.
      path: where to write it, a name that ends in .gif.
      full: Solution of the particle route with `save_states=True`, drawn as histograms at the times that both recorded.
      frames, fps: largest number of frames, and frames per second.

    Returns the path. The axes stand still; densities are drawn on the scale of their square root, which shows the start
    beside the concentrated end. Raises ArgumentError as `densities` does.
    """
    check_angle(pde)
    path = _check_gif(path)
    frames = check_integer("frames", frames, 1, "It is the largest number of frames.")
    fps = float(positive_number("fps", fps, "It is the number of frames per second."))
    if fps > _FASTEST:
        raise argument_error("fps", f"at most {_FASTEST}", fps, "A GIF counts time in hundredths of a second.")
    if full is not None and getattr(full, "states", None) is None:
        remedy = "Run mf.solve_particles with save_states=True."
        raise argument_error("full", "a run that kept its clouds", "without clouds at earlier times", remedy)
    indices = spread_valid(pde, frames)
    images = _images(pde, clouds_of(full, float(pde.ts[indices[-1]]), pde.model.dim), indices)
    images[0].save(path, save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0)
    return path


def _check_gif(path: PathLike) -> Path:
    expected, remedy = "the name of a .gif file in an existing folder", "Create the folder, or choose another name."
    name = Path(check_path("path", path, expected, remedy))
    if name.suffix.lower() != ".gif" or not name.parent.is_dir():
        raise argument_error("path", expected, str(path), remedy)
    return name


def _images(pde: Solution, clouds: Clouds | None, indices: np.ndarray) -> list[Image]:
    """The frames. What stands still is drawn once and copied, which is several times faster than saving figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL.Image import fromarray

    theta, values = densities_at(pde, indices)
    images = []
    with style(None):
        figure, grid = panels(None, 1, 3, (9.0, 2.8))
        canvas = FigureCanvasAgg(figure)
        title = _draw_background(figure, grid[0], pde, values, clouds)
        canvas.draw()
        background = canvas.copy_from_bbox(figure.bbox)
        for index, pair in zip(indices, values, strict=True):
            canvas.restore_region(background)
            title.set_text(f"$t = {number(pde.ts[index])}$")
            title.draw(canvas.get_renderer())
            for artist in _draw_moment(grid[0], pde, int(index), theta, pair, clouds):
                artist.draw(canvas.get_renderer())
                artist.remove()
            images.append(fromarray(np.array(canvas.buffer_rgba())[..., :3]))
    return images


def _draw_background(figure: Figure, row: Row, pde: Solution, values: np.ndarray, clouds: Clouds | None) -> Text:
    """Scales, limits, labels and the curve of the risk; returns the title, still empty."""
    for sign, ax in enumerate(row[:2]):
        top = 1.1 * float(values[:, sign].max()) or 1.0
        ax.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0.0)), np.square))
        ax.set_ylim(0, top)
        # Round numbers near 1/4, 1/2 and 3/4 of the axis of square roots.
        ax.set_yticks([0.0, *(float(f"{top * share:.0e}") for share in (1 / 16, 1 / 4, 9 / 16))])
        ax.set_ylabel(f"density of {SIGNS[sign][2]}")
        angle_axis(ax, pde)
    draw_run(row[2:], pde, "reduced")
    label_risk(row[2], pde)
    time_axis(row[2], np.asarray(pde.ts, float))
    row[0].legend(handles=keys(clouds))
    title = figure.suptitle("$t = 0$")
    figure.draw_without_rendering()  # settles the layout
    figure.set_layout_engine("none")
    title.set_text("")
    return title


def _draw_moment(
    row: Row, pde: Solution, index: int, theta: np.ndarray, values: np.ndarray, clouds: Clouds | None
) -> list[Artist]:
    """What moves: the densities, the bars of the cloud, and the present on the curve of the risk."""
    histograms = bars_of(cloud_at(clouds, pde.ts[index]), pde.model)
    moving = [a for sign in (0, 1) for a in draw_density(row[sign], theta, values[sign], histograms[sign], sign)]
    return [*moving, *row[2].plot(pde.ts[index : index + 1], pde.risk[index : index + 1], "o", color=INK, ms=6)]
