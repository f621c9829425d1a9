"""Where the neurons of the three teachers' students are: seen from above the matrices that an exchange fixes, and edge-on.

One network of each scheme at the settings of `teachers`, of the same start, inputs and noise. Matrices are points of R⁴, in
the orthonormal basis I/√2, P/√2 of those that the exchange fixes and D/√2, J/√2 of the others, D = diag(1, −1) and
J = [[0, 1], [−1, 0]]. From above is the plane of the first two; edge-on it is a line, below and above which neurons are
drawn that have left it, each teacher's to a scale of its own. (Maass & Fontbona 2024.)
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ..plot.artists import AxesLike, Figure
from ..plot.canvas import GREY, INK, MINUS, PLUS, finish, line_key, panels, style
from .base import Experiment, run_each
from .teachers import TEACHERS, final_neurons, schemes, swap_action

WIDTH = 100
SHOWN = ("plain", "sampled DA", "EA")  # full DA, FA and EA are one run
_BASIS = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 0, -1], [0, 1, -1, 0]]) / np.sqrt(2)
_LOOKS = {"plain": (INK, "o", 3.2), "sampled DA": (PLUS, "s", 2.6), "EA": (MINUS, "D", 2.2)}
_VIEWS = (((0, 1), "from above"), ((0, 2), "edge-on"))


class CloudsRecord(NamedTuple):
    """Coordinates of the neurons at the end, in the basis I/√2, P/√2, D/√2, J/√2, for every scheme by name."""

    neurons: dict[str, Float[np.ndarray, "teachers m 4"]]


def compute(key: PRNGKeyArray, width: int = WIDTH) -> CloudsRecord:
    """Train one network of this width for every teacher under every scheme that is shown."""
    swap, keys = swap_action(), jax.random.split(key, 1)
    table = schemes(swap)
    ends = run_each(lambda name: final_neurons(swap, table[name], width, keys), SHOWN)
    flat = [np.asarray(end).reshape(len(TEACHERS), width, 4) @ _BASIS.T for end in ends]
    return CloudsRecord(dict(zip(SHOWN, flat, strict=True)))


def draw(record: CloudsRecord, axes: AxesLike | None = None) -> Figure:
    """A column for every teacher: the clouds from above, and edge-on to the matrices that the exchange fixes."""
    names = [rf"$\langle z, {letter}\rangle/\sqrt{{2}}$" for letter in "IPD"]
    with style(axes):
        figure, grid = panels(axes, len(_VIEWS), len(TEACHERS), (10.2, 6.0))
        for line, ((first, second), words) in zip(grid, _VIEWS, strict=True):
            for teacher, ax in enumerate(line):
                for name, (color, marker, size) in _LOOKS.items():
                    points = record.neurons[name][teacher]
                    ax.plot(points[:, first], points[:, second], marker, color=color, ms=size, mfc="white", mew=0.8)
                ax.set_xlabel(names[first])
            line[0].set_ylabel(f"{words}: {names[second]}")
        for column, (above, edge) in enumerate(zip(*grid, strict=True)):
            above.set_title(f"{TEACHERS[column]} teacher")
            edge.axhline(0.0, color=GREY, lw=0.6, zorder=0)
            reach = 1.1 * max(np.abs(points[column, :, 2]).max() for points in record.neurons.values())
            edge.set_ylim(-reach, reach)
        grid[1, 0].legend(handles=[_key(name) for name in _LOOKS], loc="lower right")
        return finish(figure, axes)


def _key(name: str):
    color, marker, size = _LOOKS[name]
    label = {"EA": "full DA, FA, EA"}.get(name, name)
    return line_key(label, color, ls="none", marker=marker, ms=size, mfc="white")


EXPERIMENT = Experiment(
    "neurons of three teachers' students from above the neurons that a group fixes, and edge-on to them", compute, draw
)
