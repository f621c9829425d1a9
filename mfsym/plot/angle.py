"""The densities of τ^± over the angle, beside clouds of neurons pushed forward to it."""

import dataclasses
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, float_array
from ..lift import project
from ..neurons import Particles
from ..reduced.angles.angular import AbstractAngularReduction
from ..reduced.choose import form_of
from ..reduced.fields import density
from ..solution import Solution
from ..types import Checked, RealLike, Times
from .artists import Artist, Axes, AxesLike, Figure
from .canvas import (
    ANGLE,
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
)

_FEWEST, _DOUBLINGS = 12, 5  # numbers of bars over the interval are 12·2^k: nested, so that those of a film stand still

Bars: TypeAlias = tuple[np.ndarray, np.ndarray]  # heights, mass per unit of angle, and edges of a histogram


def densities(
    pde: Checked[Solution],
    full: Checked[Solution | Particles | None] = None,
    *,
    times: Times | RealLike | None = None,
    axes: AxesLike | None = None,
) -> Figure:
    """Densities of τ⁺ (above) and τ⁻ (below) per unit of angle, one column per time, and clouds as weighted histograms.

    Arguments:
      pde: Solution of the reduced route on a grid.
      full: a Particles cloud at the last time, or a Solution of the particle route; of a run without
        `save_states=True` only the last cloud is known.
      times: recorded times; by default four spread evenly over what is valid of the record.
      axes: matplotlib axes [2, number of times] to draw on; by default those of a new figure.

    Returns the Figure. Raises ArgumentError for a time that was not recorded, and for a solution without an angle or a
    grid.
    """
    check_angle(pde)
    recorded = np.asarray(pde.ts, float)
    indices = spread_valid(pde, 4) if times is None else _indices(pde, times)
    clouds = clouds_of(full, float(recorded[spread_valid(pde, 2)[-1]]), pde.model.dim)
    with style(axes):
        figure, grid = panels(axes, 2, len(indices), (0.6 + 2.25 * len(indices), 3.8))
        theta, values = densities_at(pde, indices)
        for column, index, pair in zip(grid.T, indices, values, strict=True):
            histograms = bars_of(cloud_at(clouds, recorded[index]), pde.model)
            for sign, ax in enumerate(column):
                draw_density(ax, theta, pair[sign], histograms[sign], sign)
                angle_axis(ax, pde, labelled=sign == 1)
                ax.set_ylim(0, None)
            column[0].set_title(f"$t = {number(recorded[index])}$")
        for ax, (_, _, name) in zip(grid[:, 0], SIGNS, strict=True):
            ax.set_ylabel(f"density of {name}")
        grid[0, 0].legend(handles=keys(clouds), loc="upper left")
        return finish(figure, axes)


def check_angle(pde: Checked[Solution]) -> None:
    """A reduced run in one angle."""
    check_reduced(pde)
    if pde.model.angles != 1:
        remedy = "Only one angle has these curves; mf.plot.overview shows the masses of any run."
        raise argument_error("pde", "a reduced run in one angle", f"a run of {type(pde.model).__name__}", remedy)
    if not form_of(pde.model, pde.states).has_density:
        raise argument_error("pde", "a run on a grid", Words("a run by characteristics"), 'Solve with method="grid".')


def spread(recorded: np.ndarray, count: int) -> np.ndarray:
    """Indices of up to `count` entries, first and last included."""
    return np.unique(np.linspace(0, len(recorded) - 1, min(count, len(recorded))).round().astype(int))


def spread_valid(pde: Solution, count: int) -> np.ndarray:
    """Indices of up to `count` valid records, first and last included. Raises ArgumentError if there is none."""
    valid = np.flatnonzero(np.asarray(pde.valid))
    if valid.size == 0:
        raise argument_error("pde", "a run with a valid record", Words("one without"), "Print it: its status says why.")
    return valid[spread(valid, count)]


def _indices(pde: Solution, times: Any) -> list[int]:
    recorded = np.where(np.asarray(pde.valid), np.asarray(pde.ts, float), np.inf)
    remedy = "Record them with ts=, or leave them out. A run that ended early did not reach all of its times."
    wanted = np.asarray(float_array("times", [times] if np.ndim(times) == 0 else times, 1, remedy), float)
    for t in wanted:
        if not np.any(np.isclose(recorded, t)):
            raise argument_error("times", "among the valid recorded times of `pde`", float(t), remedy)
    return [int(np.argmin(np.abs(recorded - t))) for t in wanted]


class Clouds(NamedTuple):
    """Times [T], and clouds with a leading axis [T]."""

    ts: np.ndarray
    states: Particles


def clouds_of(full: Checked[Solution | Particles | None], last: float, dim: Array | int) -> Clouds | None:
    """All clouds of dimension `dim` that are known of a run, or of a cloud at the last time."""
    if full is None:
        return None
    if isinstance(full, Particles):
        if full.dim != round(float(dim)):
            expected = f"of dimension {round(float(dim))}, that of the reduced run"
            raise argument_error("full", expected, full.dim, "Pass clouds of the same problem.")
        return Clouds(np.array([last]), jax.tree.map(lambda leaf: leaf[None], full))
    check_solution("full", full, "Pass what mf.solve_particles returned, or a cloud at the last time.")
    check_instance("full.final", full.final, Particles, "Only Particles have angles and masses.")
    if full.states is None:
        return clouds_of(full.final, float(full.stats.get("stopped_at", full.ts[-1])), dim)
    clouds_of(full.final, last, dim)
    valid = np.asarray(full.valid)
    return Clouds(np.asarray(full.ts, float)[valid], jax.tree.map(lambda leaf: leaf[valid], full.states))


def cloud_at(clouds: Clouds | None, t: RealLike) -> Particles | None:
    """The cloud at a time, if it is known."""
    found = np.flatnonzero(np.isclose([] if clouds is None else clouds.ts, float(t)))
    if clouds is None or found.size == 0:
        return None
    return jax.tree.map(lambda leaf: leaf[int(found[0])], clouds.states)


def densities_at(pde: Solution, indices: np.ndarray | list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Angles, four per cell, and the densities of τ⁺ and τ⁻ at some of the times, [times, 2, angles]."""
    theta = jnp.linspace(0.0, pde.model.end, 4 * pde.model.cells + 1, dtype=pde.model.dtype)
    rows = [dataclasses.replace(pde, states=jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], pde.states)) for i in indices]
    return np.asarray(theta), np.stack([np.asarray(_first_density(row, theta)) for row in rows])


@eqx.filter_jit
def _first_density(pde: Solution, theta: Float[Array, " n"]) -> Array:
    return density(pde, theta, 0)


_project = eqx.filter_jit(project)


def bars_of(cloud: Particles | None, reduction: AbstractAngularReduction) -> list[Bars | None]:
    """For τ⁺ and τ⁻ the heights (mass per unit of angle) and edges of a histogram, or None without a cloud."""
    if cloud is None:
        return [None, None]
    theta, weight = (np.asarray(array, float) for array in _project(cloud, reduction))
    bars = []
    for own in (weight > 0, weight < 0):
        masses, angles = np.abs(weight[own]), theta[own]
        borders = _edges(angles, masses, reduction.end_of(0))
        bars.append((np.histogram(angles, borders, weights=masses)[0] / np.diff(borders), borders))
    return bars


def _edges(theta: np.ndarray, weight: np.ndarray, end: float) -> np.ndarray:
    """Equal bars by the rule of Freedman & Diaconis: twice the weighted interquartile range over the cube root of m."""
    doublings = 0
    if theta.size > 1:
        order = np.argsort(theta)
        low, high = np.interp((0.25, 0.75), np.cumsum(weight[order]) / weight.sum(), theta[order])
        width = max(2 * (high - low) / np.cbrt(theta.size), 1e-9)
        doublings = int(np.clip(round(np.log2(end / width / _FEWEST)), 0, _DOUBLINGS))
    return np.linspace(0.0, end, _FEWEST * 2**doublings + 1)


def draw_density(ax: Axes, theta: np.ndarray, values: np.ndarray, bars: Bars | None, sign: int) -> list[Artist]:
    """The curve and the bars of one sign."""
    name, colour, _ = SIGNS[sign]
    drawn: list[Artist] = [*ax.plot(theta, values, color=colour, lw=1.5, gid=f"reduced:{name}")]
    if bars is not None:
        drawn.append(ax.stairs(*bars, fill=True, color=colour, alpha=SHADE, lw=0, gid=f"cloud:{name}"))
    return drawn


def angle_axis(ax: Axes, pde: Solution, labelled: bool = True) -> None:
    """The whole interval of angles, with round multiples of π."""
    names = ("0", r"\pi/2", r"\pi") if pde.model.signed else ("0", r"\pi/4", r"\pi/2")
    ax.set_xlim(0, pde.model.end)
    ax.set_xticks(np.linspace(0, pde.model.end, 3), [f"${name}$" if labelled else "" for name in names])
    if labelled:
        ax.set_xlabel(ANGLE)


def keys(clouds: Clouds | None) -> list[Artist]:
    """Entries of the legend."""
    bars = [] if clouds is None else [shade_key(f"cloud, $m={clouds.states.a.shape[-1]}$")]
    return [line_key(REDUCED), *bars]
