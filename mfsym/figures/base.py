"""What a figure of the experiments is: something to compute, and a way to draw it."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..plot.artists import Figure
from ..types import Options

_Record = TypeVar("_Record")
_Given = TypeVar("_Given")
_Found = TypeVar("_Found")


class Experiment(NamedTuple, Generic[_Record]):
    """One experiment: `compute(key)` returns a record of numbers, `draw(record)` a matplotlib figure of it.

    `sentence` says what is shown. Exact limits are lines, finite networks are markers or bars.
    """

    sentence: str
    compute: Callable[[PRNGKeyArray], _Record]
    draw: Callable[[_Record], Figure]


def run_each(function: Callable[[_Given], _Found], arguments: Iterable[_Given]) -> list[_Found]:
    """function(argument) for each of them, two at a time: training or compiling one network keeps one core busy."""
    double = jnp.result_type(float) == jnp.float64  # a setting that other threads do not see if it was made in a `with`

    def one(argument):
        with jax.enable_x64(double):
            return function(argument)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, arguments))


_SHADES = ("#9ecae1", "#6baed6", "#2171b5", "#08306b")  # from the smallest network to the largest


def network_marks(index: int, colour: str | None = None) -> Options:
    """How the markers of the network number `index` look: open, darker with the width, or of one colour."""
    colour = _SHADES[index % 4] if colour is None else colour
    return {"color": colour, "ls": "none", "marker": "osD^"[index % 4], "ms": 3.4, "mfc": "white", "mew": 1.0}
