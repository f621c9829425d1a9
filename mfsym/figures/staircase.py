"""Staircases: targets with one more direction, or one more block of directions, at every step.

f* = Σ_{j≤k} ‖x_{1:j}‖ (basic) and f* = Σ_{j≤k} ‖x_{block j}‖ with blocks of 1, 2, …, k coordinates (orthogonal), k ≤ 5,
x ~ N(0, I), d = 20: networks of 1024 neurons, 1500 steps of 256 fresh samples, rate 5e-2/F(0), as in the notebook
staircase-target of the authors of Hajjar & Chizat (arXiv:2211.08771). The limit leaves k angles, signed for the basic
staircase, and is solved up to three. The risk of a network is exact: every ‖x_S‖ has a closed form against a neuron.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..neurons import Particles
from ..particles.angles import polar_angle
from ..particles.risk.kernel import pair_energy
from ..particles.risk.norm_table import norm_profile
from ..particles.risk.targets import chi_mean
from ..plot.artists import AxesLike, Figure, Row
from ..plot.canvas import INK, finish, line_key, panels, style
from ..problem.block_targets import BlockNorms, MultiIndex
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.targets import AbstractTarget, SubspaceNorm
from ..reduce import reduce
from ..reduced.flow import solve_reduced
from ..safe import safe_norm
from ..types import Options
from .base import Experiment, network_marks, run_each
from .fresh_samples import BATCH, CLOCK, RATE, STEPS, WIDTH, exact_clock, recorded_steps, train

DIM, MOST, SOLVED = 20, 5, 3
KINDS = {"basic": r"basic: $f^*=\sum_{j\leq k}\|x_{1:j}\|$", "orthogonal": r"orthogonal: $f^*=\sum_{j\leq k}\|x_{(j)}\|$"}
# Cells and even degrees by kind and number of angles: other sizes than these moved F by about 1 % of itself, or less.
SIZES: dict[tuple[str, int], Options] = {
    ("basic", 2): {"cells": (32, 40), "modes": 20},
    ("basic", 3): {"cells": (14, 18, 18), "modes": 8},
    ("orthogonal", 2): {"cells": 24, "modes": 20},
    ("orthogonal", 3): {"cells": 14, "modes": 8},
}
_COLOURS = ("#440154", "#355e8d", "#21a585", "#9bbf1c", "#e08a1e")  # k = 1, …, 5


class StaircaseRecord(NamedTuple):
    """F/F(0) of limits at F(0) t = `clock` and of networks after `steps`, by kind and k."""

    clock: Float[np.ndarray, " T"]
    exact: dict[tuple[str, int], Float[np.ndarray, " T"]]
    steps: Int[np.ndarray, " K"]
    networks: dict[tuple[str, int], Float[np.ndarray, " K"]]
    width: int = WIDTH


def compute(
    key: PRNGKeyArray,
    most: int = MOST,
    solved: int = SOLVED,
    width: int = WIDTH,
    steps: int = STEPS,
    dim: int = DIM,
    sizes: dict[tuple[str, int], Options] = SIZES,
    kinds: tuple[str, ...] = tuple(KINDS),
) -> StaircaseRecord:
    """Train a network for every kind and k ≤ `most`, and solve the limit for k ≤ `solved`."""
    clock, marks = exact_clock(steps), recorded_steps(steps)
    cases = [(kind, k) for kind in kinds for k in range(1, most + 1)]
    known = [case for case in cases if case[1] <= solved]

    def limit(case):
        reduced = reduce(Problem(Gaussian(dim), limit_target(*case)), **sizes.get(case, {}))
        start = initial_risk(coordinate_sets(*case))
        return np.asarray(solve_reduced(reduced, jnp.asarray(clock / start), derivative="forward").risk) / start

    def network(case):
        sets = coordinate_sets(*case)
        problem = Problem(Gaussian(dim), network_target(sets, most))
        states = train(problem, initial_risk(sets), marks, width, jax.random.fold_in(key, cases.index(case)))
        return risk_share(states, sets, dim)

    exact = dict(zip(known, run_each(limit, known), strict=True))
    return StaircaseRecord(clock, exact, marks, dict(zip(cases, run_each(network, cases), strict=True)), width)


class SumOfNorms(eqx.Module):
    """Σ_S ‖x_S‖ with the sets as rows of zeros and ones: targets that differ in them share compiled code."""

    masks: Float[Array, "sets dim_h"]

    def __call__(self, z):
        """Of the coordinates of H."""
        return jnp.sum(jnp.linalg.norm(self.masks.astype(z.dtype) * z[None, :], axis=1))


def coordinate_sets(kind: str, k: int) -> list[tuple[int, int]]:
    """First coordinate and number of coordinates of every term."""
    if kind == "basic":
        return [(0, j) for j in range(1, k + 1)]
    return [(j * (j - 1) // 2, j) for j in range(1, k + 1)]


def limit_target(kind: str, k: int) -> AbstractTarget:
    """The target in the class that has a reduced equation in k angles."""
    if k == 1:
        return SubspaceNorm(1)
    if kind == "orthogonal":
        return BlockNorms(tuple(range(1, k + 1)))
    return MultiIndex(SumOfNorms(_masks(coordinate_sets(kind, k), k, k)), k)


def network_target(sets: list[tuple[int, int]], most: int) -> MultiIndex:
    """The same target with masks as arrays: one compiled network for all kinds and all k up to `most`."""
    used = most * (most + 1) // 2
    return MultiIndex(SumOfNorms(_masks(sets, most, used)), used)


def _masks(sets: list[tuple[int, int]], count: int, dim: int) -> Float[Array, "count dim"]:
    masks = np.zeros((count, dim))
    for row, (first, size) in zip(masks, sets, strict=False):
        row[first : first + size] = 1.0
    return jnp.asarray(masks)


def initial_risk(sets: list[tuple[int, int]]) -> float:
    """½E f*², from E‖x_S‖‖x_T‖ = E‖x_S‖ E‖x_T‖ of disjoint sets and |T| E‖x_S‖/E‖x_T‖ of S ⊂ T (derived)."""
    total = 0.0
    for first, size in sets:
        for other, larger in sets:
            small, large = sorted((size, larger))
            nested = large * chi_mean(small) / chi_mean(large)
            total += nested if first == other else chi_mean(small) * chi_mean(large)
    return total / 2


def risk_share(states: Particles, sets: list[tuple[int, int]], dim: int) -> Float[np.ndarray, " K"]:
    """F/F(0) of networks, with F = ½E f*² − Σ_S (1/m) Σ_j a_j E[‖x_S‖ σ(b_j·x)] + ½E f²."""
    masks = _masks(sets, len(sets), dim).astype(states.dtype)
    fit = sum(_fit(states, mask, size) for mask, (_, size) in zip(masks, sets, strict=True))
    return np.asarray(1 + (_energy(states) - fit) / initial_risk(sets))


@functools.partial(jax.jit, static_argnames="size")
def _fit(states: Particles, mask: Array, size: int) -> Array:
    def fit(cloud):
        along, across = cloud.b * mask[None, :], cloud.b * (1 - mask)[None, :]
        value, _ = norm_profile(size, polar_angle(safe_norm(across), safe_norm(along)))
        return jnp.mean(cloud.a * safe_norm(cloud.b) * value)

    return jax.vmap(fit)(states)


@jax.jit
def _energy(states: Particles) -> Array:
    quarter = jnp.full((), 0.25, states.dtype)
    return jax.lax.map(lambda cloud: pair_energy(cloud, cloud, quarter, quarter) / 2, states)


def draw(record: StaircaseRecord, axes: AxesLike | None = None) -> Figure:
    """F/F(0) against F(0) t for both kinds: limits as lines where there are at most three angles, networks as markers."""
    with style(axes):
        kinds = list(dict.fromkeys(kind for kind, _ in record.networks))
        figure, grid = panels(axes, 1, len(kinds), (4.5 * len(kinds), 3.7))
        for kind, ax in zip(kinds, grid.ravel(), strict=True):
            for case, values in record.exact.items():
                if case[0] == kind:
                    ax.plot(record.clock[1:], values[1:], color=_COLOURS[case[1] - 1], lw=1.5, gid=f"exact:{case[1]}")
            for case, values in record.networks.items():
                if case[0] == kind:
                    look = network_marks(case[1] - 1, _COLOURS[case[1] - 1])
                    ax.plot(RATE * record.steps[1:], values[1:], gid=f"network:{case[1]}", zorder=3, **look)
            ax.set(xscale="log", yscale="log", xlabel=CLOCK, title=KINDS[kind])
        grid.ravel()[0].set_ylabel("risk $F(t)/F(0)$")
        lowest = min(ax.get_ylim()[0] for ax in grid.ravel())
        for ax in grid.ravel():
            ax.set_ylim(lowest, 1.5)
        _legends(record, grid.ravel())
        return finish(figure, axes)


def _legends(record: StaircaseRecord, row: Row) -> None:
    networks = network_marks(0, INK)
    kinds = [line_key(r"exact limit, $m=\infty$"), line_key(f"network, $m={record.width}$,\nSGD, batch {BATCH}", **networks)]
    first = row[0].legend(handles=kinds, loc="lower left")
    keys = []
    for k in sorted({k for _, k in record.networks}):
        known = any(case[1] == k for case in record.exact)
        look = network_marks(k - 1, _COLOURS[k - 1]) | ({"ls": "-", "lw": 1.5} if known else {})
        keys.append(line_key(f"$k={k}$" if known else f"$k={k}$ (network only)", **look))
    if len(row) == 1:
        row[0].add_artist(first)  # which a second one would replace
    row[-1].legend(handles=keys, loc=("lower left", "center left")[len(row) == 1])


EXPERIMENT = Experiment("staircase targets, basic and orthogonal blocks, up to five steps", compute, draw)
