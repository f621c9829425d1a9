"""Small images under the eight symmetries of a square, and networks with a hidden layer as neurons.

Letters F, L, T and crosses on 8 × 8 pixels, near the middle and with noise; D_4 turns and mirrors the images, and not
the classes. A neuron is a network 64 – 16 – 4 of tanh, whose hidden layer carries twice the regular representation; E^G has
dimension 142 of 1108. Students are means of such networks and start strongly invariant. Settings are ours: the theorems are
those of Maass & Fontbona (2024), who show them for matrices on R².
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..groups import Action, dihedral, representation
from ..particles.flow import solve_particles
from ..particles.initial import initial_cloud
from ..particles.risk.schemes import AbstractScheme
from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, finish, panels, style
from ..predict import predict
from ..problem.empirical import Empirical
from ..problem.layered_units import MLPUnit
from ..problem.losses import CrossEntropy
from ..problem.problem import Problem
from ..problem.start import NormalStart
from ..problem.unit_actions import action
from ..solution import Solution
from .base import Experiment, run_each
from .teachers import LOOKS, look_key, schemes

SIDE, CLASSES = 8, 4
_LETTERS = (
    ("###", "#..", "##.", "#..", "#.."),
    ("#..", "#..", "#..", "#..", "###"),
    ("###", ".#.", ".#.", ".#.", ".#."),
    ("...", ".#.", "###", ".#.", "..."),
)
_NOISE, _SCALE = 0.2, 0.4
_UNIT = MLPUnit((16,), jnp.tanh)
BATCH, _STEP, _RECORDS, _TESTED = 16, 1.0, 21, 512
_BATCHED = ("plain", "sampled DA", "EA")  # full DA and FA are one run with EA
_ROUNDING = 1e-33  # what is drawn of a distance 0


class ImagesRecord(NamedTuple):
    """RMD² to the fixed networks, in [0, 1], and shares of images whose class was found.

    `steps` [T]; `closed` and `drawn` [T] for every scheme by name, on images with all their symmetric ones and on images as
    they were drawn; `batches` at `widths`, at the end of training on batches of the former; `accuracy`, of networks trained
    on the latter, on new images, as drawn and moved.
    """

    steps: Float[np.ndarray, " T"]
    closed: dict[str, Float[np.ndarray, " T"]]
    drawn: dict[str, Float[np.ndarray, " T"]]
    widths: tuple[int, ...]
    batches: dict[str, Float[np.ndarray, " widths"]]
    accuracy: dict[str, tuple[float, float]]


def square_action() -> Action:
    """D_4 on pixels, on no class, and on networks."""
    group = dihedral(4)
    pixels = representation(group, np.stack([_moved_pixels(np.asarray(g)) for g in group.components]))
    return action(_UNIT, pixels, group.trivial(CLASSES), hidden=2 * group.regular)


def _moved_pixels(matrix: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "64 64"]:
    """The permutation of pixels that a symmetry of the square makes, whose middle is at 0."""
    places = np.stack(np.meshgrid(*2 * [np.arange(SIDE)], indexing="ij"), axis=-1).reshape(-1, 2)
    images = np.rint((places - (SIDE - 1) / 2) @ matrix.T + (SIDE - 1) / 2).astype(int)
    moved = np.zeros((SIDE**2, SIDE**2))
    moved[images[:, 0] * SIDE + images[:, 1], np.arange(SIDE**2)] = 1
    return moved


def letters(key: PRNGKeyArray, count: int) -> tuple[Float[Array, "count 64"], Float[Array, "count 4"]]:
    """Images and their classes, as probabilities."""
    keys = jax.random.split(key, 4)
    masks = jnp.asarray([[[pixel == "#" for pixel in line] for line in letter] for letter in _LETTERS], float)
    classes = jax.random.randint(keys[0], (count,), 0, CLASSES)
    rows, columns = (jax.random.randint(keys[i], (count,), first, first + 2) for i, first in ((1, 1), (2, 2)))
    blank = jnp.zeros((SIDE, SIDE))
    images = jax.vmap(lambda c, i, j: jax.lax.dynamic_update_slice(blank, masks[c], (i, j)))(classes, rows, columns)
    noise = _NOISE * jax.random.normal(keys[3], (count, SIDE**2))
    return images.reshape(count, -1) + noise, jax.nn.one_hot(classes, CLASSES, dtype=noise.dtype)


def orbits(square: Action, x: Float[Array, "n 64"], y: Float[Array, "n 4"]) -> Empirical:
    """The images with all that D_4 makes of them."""
    moved = jax.vmap(square.move_input, in_axes=(0, None))(square.group.elements, x)
    return Empirical(moved.reshape(-1, x.shape[1]), jnp.tile(y, (len(moved), 1)))


def compute(
    key: PRNGKeyArray, images: int = 96, steps: int = 200, width: int = 4, widths: tuple[int, ...] = (2, 8, 32)
) -> ImagesRecord:
    """Train under every scheme on as many images of either kind, and on batches of the closed set at several widths."""
    square, keys = square_action(), jax.random.split(key, 4)
    table = schemes(square)
    data, test = letters(keys[0], images), letters(keys[1], _TESTED)
    few = orbits(square, *(each[: images // len(square.group.elements)] for each in data))
    problems = {"closed": _problem(few, square), "drawn": _problem(Empirical(*data), square)}
    whole = [(kind, name) for kind in problems for name in table if name != "sampled DA"]
    batched = [(name, m) for name in _BATCHED for m in widths]

    def run(case: tuple[str, str]) -> Solution:
        ts = _STEP * np.linspace(0, steps, _RECORDS)
        return _trained(problems[case[0]], table[case[1]], square, width, ts, _STEP, keys[2])

    def end(case: tuple[str, int]) -> float:
        step = _STEP * widths[0] / case[1]
        return float(
            _trained(
                problems["closed"], table[case[0]], square, case[1], [0.0, _STEP * steps], step, keys[3], BATCH
            ).rmd_fixed[-1]
        )

    runs, ends = dict(zip(whole, run_each(run, whole), strict=True)), dict(zip(batched, run_each(end, batched), strict=True))
    moved = _moved_at_random(square, keys[3], test[0])
    closed, drawn = (
        {name: np.asarray(found.rmd_fixed) for (of, name), found in runs.items() if of == kind} for kind in problems
    )
    shares = {
        name: (_share(found, *test), _share(found, moved, test[1])) for (of, name), found in runs.items() if of == "drawn"
    }
    return ImagesRecord(
        np.linspace(0, steps, _RECORDS),
        closed,
        drawn,
        widths,
        {name: np.array([ends[name, m] for m in widths]) for name in _BATCHED},
        shares,
    )


def _problem(data: Empirical, square: Action) -> Problem:
    return Problem(data, None, _UNIT, loss=CrossEntropy(), start=NormalStart(_SCALE, fixed_by=square))


def _trained(
    problem: Problem,
    scheme: AbstractScheme | None,
    square: Action,
    width: int,
    ts: Any,
    step: float,
    key: PRNGKeyArray,
    samples: int | None = None,
) -> Solution:
    """Steps from a strongly invariant start, on all images or on some of them."""
    start_key, key = jax.random.split(key)
    cloud = initial_cloud(problem, width=width, key=start_key)
    drawn = {} if samples is None else {"samples": samples, "key": key}
    return solve_particles(problem, cloud, ts, step=step, scheme=scheme, observe=square, derivative="forward", **drawn)


def _moved_at_random(square: Action, key: PRNGKeyArray, x: Float[Array, "n 64"]) -> Float[Array, "n 64"]:
    return jax.vmap(square.move_input)(square.group.sample(key, len(x)), x)


def _share(run: Solution, x: Float[Array, "n 64"], y: Float[Array, "n 4"]) -> float:
    """Of images whose class is that of the largest output."""
    return float(jnp.mean(jnp.argmax(predict(run, x), axis=1) == jnp.argmax(y, axis=1)))


def draw(record: ImagesRecord, axes: AxesLike | None = None) -> Figure:
    """Distances to the fixed networks along training, on closed data and on others; after batches; and what was learnt."""
    with style(axes):
        figure, grid = panels(axes, 1, 4, (13.0, 3.4))
        closed, drawn, batches, shares = grid[0]
        for ax, runs, title in (
            (closed, record.closed, "images and their orbits"),
            (drawn, record.drawn, "images as drawn"),
        ):
            for name, far in runs.items():
                ax.plot(record.steps, np.maximum(far, _ROUNDING), lw=1.0, ms=4, mfc="white", markevery=4, **LOOKS[name])
            ax.set_xlabel("step")
            ax.set_title(f"{title}: all in every step")
        for name, far in record.batches.items():
            batches.plot(record.widths, np.maximum(far, _ROUNDING), lw=1.0, ms=4, mfc="white", **LOOKS[name])
        batches.set_xscale("log")
        batches.set_xticks(record.widths, [str(width) for width in record.widths])
        batches.set_xticks([], minor=True)
        batches.set_xlabel("number of networks $N$")
        batches.set_title(f"images and their orbits: {BATCH} a step")
        for ax in (closed, drawn, batches):
            ax.set_yscale("log")
            ax.set_ylim(_ROUNDING / 10, 3)
        closed.set_ylabel("RMD² to fixed networks")
        _draw_shares(shares, record.accuracy)
        batches.legend(handles=[look_key(name) for name in LOOKS], loc="center right")
        return finish(figure, axes)


def _draw_shares(ax: Axes, accuracy: dict[str, tuple[float, float]]) -> None:
    """New images as drawn, and moved by random symmetries."""
    places = np.arange(len(accuracy))
    for shift, index, label, fill in ((-0.2, 0, "as drawn", "white"), (0.2, 1, "moved", GREY)):
        ax.bar(
            places + shift, [pair[index] for pair in accuracy.values()], 0.36, color=fill, edgecolor=INK, lw=0.8, label=label
        )
    ax.axhline(1 / CLASSES, color=GREY, lw=0.8, ls=(0, (4, 2)))
    ax.set_xticks(places, list(accuracy))
    ax.set_ylim(0, 1.25)
    ax.set_title("new images, trained on those as drawn")
    ax.set_ylabel("classes found")
    ax.legend(ncols=2, loc="upper center")


EXPERIMENT = Experiment(
    "networks on small images under the symmetries of a square: distances to fixed networks, and classes found",
    compute,
    draw,
)
