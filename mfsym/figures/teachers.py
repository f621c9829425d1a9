"""Three teachers under an exchange of coordinates: how far networks of several widths go from the matrices that it fixes.

The experiment of Maass & Fontbona (2024): x ~ N(0, 16 I_2), units σ(zx) of matrices z with σ logistic, and C₂ acting by
z ↦ P z P. Students start strongly invariant, z ~ N(0, 1/16) on the fixed matrices, and take 20 N steps of 100/N on 20 fresh
inputs each, with decay 1e-4 and noise of temperature 5e-7 on the fixed matrices; for the loss |f − y|² that is α = 50,
τ = 1e-4, β = 1e-6 and T = 20. All schemes of one seed share start, inputs and noise. Widths are fewer, and smaller, than
theirs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..groups import Action, generate
from ..neurons import fixed_part
from ..particles.flow import solve_particles
from ..particles.risk.schemes import AbstractScheme, DataAugmentation, EquivariantArchitecture, FeatureAveraging
from ..plot.artists import Artist, AxesLike, Figure
from ..plot.canvas import GREY, INK, MINUS, PLUS, finish, line_key, panels, style
from ..problem.inputs import Gaussian
from ..problem.layered_units import MatrixUnit
from ..problem.problem import Problem
from ..problem.targets import Teacher
from ..problem.training import Training
from ..problem.unit_actions import action
from ..symmetry.defect import symmetry_defect
from ..symmetry.distance import relative_distance
from .base import Experiment, run_each

WIDTHS, SEEDS, BATCH, TIME, RATE = (5, 10, 50, 100, 200), 5, 20, 20, 100.0
TEACHERS = ("arbitrary", "weakly invariant", "strongly invariant")
_ROWS = ((-1, 0, 0, 0.5), (0.5, 1, 0, 1), (-0.5, 0.3, 1, 0), (0, -1, -0.5, 1), (0.7, -0.7, 0.5, 0.7))
_COORDINATES = ((1, 0), (0.5, 1), (-0.5, 0.3), (0, -1), (0.7, 0.7))  # in the orthonormal basis I/√2, P/√2
_SWAP = ((0.0, 1.0), (1.0, 0.0))
_UNIT = MatrixUnit(jax.nn.sigmoid)
_ROUNDING = 1e-33  # what is drawn of a distance 0
LOOKS = {
    "plain": {"color": INK, "marker": "o"},
    "sampled DA": {"color": PLUS, "marker": "s"},
    "full DA": {"color": MINUS, "marker": "D"},
    "FA": {"color": GREY, "marker": "^"},
    "EA": {"color": "#009E73", "marker": "v"},
}


class TeachersRecord(NamedTuple):
    """RMD², relative squared distances in [0, 1], of networks at the end, for every scheme by name.

    `fixed` to the nearest law on the fixed matrices, `architecture` to the network of the same seed that EA trained.
    """

    fixed: dict[str, Float[np.ndarray, "teachers widths seeds"]]
    architecture: dict[str, Float[np.ndarray, "teachers widths seeds"]]
    widths: tuple[int, ...] = WIDTHS


def swap_action() -> Action:
    """C₂ by P = [[0, 1], [1, 0]] on inputs, outputs and matrices."""
    group = generate(jnp.asarray(_SWAP))
    return action(_UNIT, group.standard, group.standard)


def teacher_clouds() -> Float[Array, "3 10 2 2"]:
    """The neurons of the three teachers, those of two of them twice: arrays of one shape."""
    rows = 0.5 * np.array(_ROWS).reshape(5, 2, 2)
    fixed = 0.5 * np.array(_COORDINATES)[:, :, None, None] * (np.stack([np.eye(2), np.array(_SWAP)]) / np.sqrt(2))[None]
    one = fixed.sum(axis=1)
    clouds = np.stack([[*rows, *rows], [*rows, *rows[:, ::-1, ::-1]], [*one, *one]])
    return jnp.asarray(clouds, jnp.result_type(float))


def schemes(swap: Action) -> dict[str, AbstractScheme | None]:
    """All of them by name."""
    return {
        "plain": None,
        "sampled DA": DataAugmentation(swap, sampled=True),
        "full DA": DataAugmentation(swap),
        "FA": FeatureAveraging(swap),
        "EA": EquivariantArchitecture(swap),
    }


def compute(key: PRNGKeyArray, widths: tuple[int, ...] = WIDTHS, seeds: int = SEEDS) -> TeachersRecord:
    """Train networks of these widths from so many seeds under every scheme, all teachers and seeds at once."""
    swap = swap_action()
    keys, table = jax.random.split(key, seeds), schemes(swap)
    cases = [(name, width) for width in widths[::-1] for name in table]
    ends = dict(zip(cases, run_each(lambda case: final_neurons(swap, table[case[0]], case[1], keys), cases), strict=True))
    nearest = {
        case: _each(lambda cloud: symmetry_defect(jnp.asarray(cloud), swap, space="fixed"), end)
        for case, end in ends.items()
    }
    apart = {case: _each(relative_distance, end, ends["EA", case[1]]) for case, end in ends.items()}
    return TeachersRecord(_by_name(nearest, table, widths), _by_name(apart, table, widths), widths)


def _each(distance: Callable[..., Any], *clouds: Float[np.ndarray, "teachers seeds m 2 2"]) -> np.ndarray:
    """A distance of every cloud, or pair of clouds, [teachers, seeds]."""
    rows = zip(*clouds, strict=True)
    return np.array([[float(distance(*each)) for each in zip(*row, strict=True)] for row in rows])


def _by_name(found: dict[tuple[str, int], np.ndarray], names: Any, widths: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {name: np.stack([found[name, width] for width in widths], axis=1) for name in names}


def final_neurons(
    swap: Action, scheme: AbstractScheme | None, width: int, keys: Array
) -> Float[np.ndarray, "teachers seeds m 2 2"]:
    """Those of every teacher and seed at the end of their runs."""
    training = Training(step=RATE / width, weight_decay=1e-4, temperature=5e-7, confine=swap)
    ts = RATE / width * np.array([0, TIME * width])

    def train(teacher: Array, key: PRNGKeyArray) -> Array:
        start_key, key = jax.random.split(key)
        problem = Problem(Gaussian(2, 4.0), Teacher(teacher, _UNIT), _UNIT)
        cloud = fixed_part(0.25 * jax.random.normal(start_key, (width, 2, 2), teacher.dtype), swap)
        options = {"samples": BATCH, "key": key, "derivative": "forward", "throw": False}
        return solve_particles(problem, cloud, ts, training=training, scheme=scheme, **options).final

    both = eqx.filter_vmap(eqx.filter_vmap(train, in_axes=(None, 0)), in_axes=(0, None))
    return np.asarray(eqx.filter_jit(both)(teacher_clouds(), keys))


def draw(record: TeachersRecord, axes: AxesLike | None = None) -> Figure:
    """A column for every teacher: distances to the fixed matrices above, to the equivariant architecture below."""
    rows = (("to fixed matrices", record.fixed), ("to EA", record.architecture))
    with style(axes):
        figure, grid = panels(axes, 2, len(TEACHERS), (10.2, 5.4))
        for line, (words, distances) in zip(grid, rows, strict=True):
            for column, ax in enumerate(line):
                for name, values in distances.items():
                    means = np.maximum(values[column].mean(axis=1), _ROUNDING)
                    ax.plot(record.widths, means, lw=1.0, ms=4, mfc="white", **LOOKS[name])
                ax.set_xscale("log")
                ax.set_xticks(record.widths, [str(width) for width in record.widths])
                ax.set_xticks([], minor=True)
                ax.set_yscale("log")
                ax.set_ylim(_ROUNDING / 10, 3)
            line[0].set_ylabel(f"RMD² {words}")
        for ax, teacher in zip(grid[0], TEACHERS, strict=True):
            ax.set_title(f"{teacher} teacher")
        for ax in grid[1]:
            ax.set_xlabel("number of neurons $N$")
        grid[0, 0].legend(handles=[look_key(name) for name in LOOKS], ncols=2, loc="center right")
        return finish(figure, axes)


def look_key(name: str) -> Artist:
    """The entry of a legend for a scheme."""
    return line_key(name, LOOKS[name]["color"], lw=1.0, ms=4, mfc="white", marker=LOOKS[name]["marker"])


EXPERIMENT = Experiment(
    "three teachers and five ways to train under a symmetry: distances to fixed neurons at several widths", compute, draw
)
