"""Cost against size: time and temporary memory of the library's inner loops, and the exponents with which they grow.

A gradient step on data (m neurons, n samples, d dimensions), the exact velocity (m, d), the velocity of the grid and a
solve to t = 10 (cells, modes), and the same by characteristics (labels), in float64. One size at a time is changed, in
factors of two around a base point. An exponent is the slope of a straight line through the larger half of the sizes, log
against log: what holds for large problems, not for the overhead of small ones.

    python benchmarks/cost.py [--shrink 1] [--turns 3] [--figure cost.png] [--json]
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from measuring import compiled, markdown, memory_text, take_turns, time_text

import mfsym as mf
from mfsym.reduced.choose import dynamics_of

DIM, DIM_H, END = 30, 5, 10.0  # of the reduced equation
_SHORTEST = 0.05  # seconds of one timing

# What is measured, its base point, and the factors by which each size is changed.
SWEEPS = {
    "gradient step": ({"m": 4096, "n": 1024, "d": 64}, {"m": (1 / 4, 1 / 2, 1, 2, 4), "n": (1 / 4, 1 / 2, 1, 2, 4)}),
    "exact velocity": ({"m": 2048, "d": 64}, {"m": (1 / 4, 1 / 2, 1, 2, 4)}),
    "grid, one velocity": ({"cells": 400, "modes": 64}, {}),
    "grid, solve to t = 10": ({"cells": 200, "modes": 64}, {"modes": (1 / 4, 1 / 2, 1, 2)}),
    "characteristics, one velocity": ({"nodes": 256, "modes": 64}, {}),
    "characteristics, solve to t = 10": ({"nodes": 256, "modes": 64}, {}),
}
_FACTORS = (1 / 4, 1 / 2, 1, 2)  # where the table has no others
_FEWEST = {"m": 32, "n": 32, "d": 20, "cells": 64, "modes": 16, "nodes": 64}  # base points are not shrunk below


def problem_of(m: int, d: int, inputs: mf.Gaussian | mf.Empirical) -> tuple[mf.Problem, mf.Particles]:
    """f* = ‖x_H‖ and a cloud of m neurons."""
    problem = mf.Problem(inputs, mf.SubspaceNorm(DIM_H))
    return problem, mf.sphere_cloud(problem, width=m, key=jax.random.key(0))


def gradient_step(m: int, n: int, d: int) -> tuple[Callable, tuple]:
    """z + η v on a data set."""
    problem, cloud = problem_of(m, d, mf.Empirical(jax.random.normal(jax.random.key(1), (n, d))))
    risk = mf.risk_of(problem).prepare()
    return lambda cloud: jax.tree.map(lambda z, v: z + 0.1 * v, cloud, risk.velocity(cloud)), (cloud,)


def exact_velocity(m: int, d: int) -> tuple[Callable, tuple]:
    """v of the population risk."""
    problem, cloud = problem_of(m, d, mf.Gaussian(d))
    risk = mf.risk_of(problem).prepare()
    return lambda cloud: risk.velocity(cloud), (cloud,)


def reduced_velocity(method: str, **sizes: int) -> tuple[Callable, tuple]:
    """One velocity of the reduced equation, its tables apart."""
    reduced = mf.reduce(mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H)), **sizes)
    arrays, static = eqx.partition(dynamics_of(reduced, method, None, 1e-6).prepare(), eqx.is_array)
    state = eqx.combine(arrays, static).initial_state()
    return lambda arrays, state: eqx.combine(arrays, static).velocity(0.0, state), (arrays, state)


def reduced_solve(method: str, **sizes: int) -> tuple[Callable, tuple]:
    """A run to t = 10, tables and record included."""
    reduced = mf.reduce(mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H)), **sizes)
    times = jnp.array([0.0, END])
    return lambda r: mf.solve_reduced(r, times, method=method, derivative="forward").observables, (reduced,)


WORK: dict[str, Callable[..., tuple[Callable, tuple]]] = {
    "gradient step": gradient_step,
    "exact velocity": exact_velocity,
    "grid, one velocity": lambda **sizes: reduced_velocity("grid", **sizes),
    "grid, solve to t = 10": lambda **sizes: reduced_solve("grid", **sizes),
    "characteristics, one velocity": lambda **sizes: reduced_velocity("characteristics", **sizes),
    "characteristics, solve to t = 10": lambda **sizes: reduced_solve("characteristics", **sizes),
}


def sizes_of(name: str, shrink: int) -> Iterator[tuple[str, list[dict[str, int]]]]:
    """Every size that is changed, with the points of its sweep; `shrink` divides the base point."""
    base, factors = SWEEPS[name]
    base = {size: max(_FEWEST[size], value // shrink) for size, value in base.items()}
    for size, value in base.items():
        if size == "modes" and "nodes" in base:
            continue  # for labels, modes cost what they cost on the grid
        yield size, [base | {size: _whole(size, factor * value)} for factor in factors.get(size, _FACTORS)]


def _whole(size: str, value: float) -> int:
    """A number of labels must be odd."""
    return round(value) + (size == "nodes")


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of log(value) against log(size), least squares over the larger half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def measure(shrink: int = 1, turns: int = 3, names: tuple[str, ...] = tuple(SWEEPS)) -> dict:
    """Every sweep; a point that belongs to several sweeps is measured once."""
    rows = []
    for name in names:
        sweeps = dict(sizes_of(name, shrink))
        points = {tuple(point.items()): point for sweep in sweeps.values() for point in sweep}
        runs = {}
        for key, point in points.items():
            function, arguments = WORK[name](**point)
            runs[key] = compiled(function, arguments, shortest=_SHORTEST)
        take_turns(runs.values(), turns)
        for size, sweep in sweeps.items():
            found = [runs[tuple(point.items())] for point in sweep]
            rows.append(_row(name, size, sweep, found))
    return {"rows": rows, "turns": turns, "dim": DIM, "dim_h": DIM_H}


def _row(name: str, size: str, sweep: list[dict[str, int]], found: list) -> dict:
    sizes, seconds = [point[size] for point in sweep], [run.least for run in found]
    memory = [run.memory for run in found]
    known = all(memory)  # not for every backend, and some code needs none
    return {
        "name": name,
        "size": size,
        "fixed": {other: value for other, value in sweep[0].items() if other != size},
        "sizes": sizes,
        "seconds": seconds,
        "temporary_bytes": memory,
        "compile_seconds": max(run.compile_seconds for run in found),
        "time_exponent": exponent(sizes, seconds),
        "memory_exponent": exponent(sizes, memory) if known else None,
    }


HEADER = ("work", "against", "at", "time", "exponent", "temporary memory", "exponent", "compilation")


def table(result: dict) -> str:
    """The rows as a Markdown table."""
    notes = [
        f"Float64. The reduced equation is that of ‖x_H‖, d = {result['dim']}, d_H = {result['dim_h']}.",
        "Exponents are fitted to the larger half of the sizes; times and memory are those of the smallest and the largest.",
        f"Each time is the least of {result['turns']} turns, compilation apart: its column is the longest of a sweep.",
    ]
    return markdown(HEADER, map(_cells, result["rows"]), notes)


def _cells(row: dict) -> tuple[str, ...]:
    sizes, seconds, memory = row["sizes"], row["seconds"], row["temporary_bytes"]
    fixed = ", ".join(f"{name} = {value:,}" for name, value in row["fixed"].items())
    slope = row["memory_exponent"]
    return (
        row["name"],
        f"{row['size']} = {sizes[0]:,} to {sizes[-1]:,}",
        fixed,
        f"{time_text(seconds[0])} to {time_text(seconds[-1])}",
        f"{row['time_exponent']:.2f}",
        f"{memory_text(memory[0])} to {memory_text(memory[-1])}",
        "" if slope is None else f"{slope:.2f}",
        time_text(row["compile_seconds"]),
    )


def draw(result: dict):
    """Time above, temporary memory below, against every size over its smallest; the figure."""
    from mfsym.plot.canvas import GREY, INK, MINUS, PLUS, finish, panels, style

    names = list(dict.fromkeys(row["name"] for row in result["rows"]))
    with style(None):
        figure, axes = panels(None, 2, len(names), (2.4 * len(names), 5.0))
        for column, name in zip(axes.T, names, strict=True):
            rows = [row for row in result["rows"] if row["name"] == name]
            for row, colour, marker in zip(rows, (INK, PLUS, MINUS), "os^", strict=False):
                _lines(column, row, color=colour, marker=marker, ms=3.5, lw=1.2)
            column[0].set_title(name.replace(", ", "\n"), color=GREY)
            column[1].set_xlabel("size / smallest")
            for ax in column:
                _scales(ax)
                ax.legend(title_fontsize=8.5)
        axes[0, 0].set_ylabel("milliseconds")
        axes[1, 0].set_ylabel("temporary memory, MiB")
        return finish(figure, None)


def _lines(column, row: dict, **look) -> None:
    factors = np.asarray(row["sizes"]) / row["sizes"][0]
    column[0].plot(factors, 1e3 * np.asarray(row["seconds"]), label=f"{row['size']}: {row['time_exponent']:.2f}", **look)
    if row["memory_exponent"] is not None:
        memory = np.asarray(row["temporary_bytes"]) / 2**20
        column[1].plot(factors, memory, label=f"{row['size']}: {row['memory_exponent']:.2f}", **look)


def _scales(ax) -> None:
    """Logarithms; ticks at the factors on one axis, and at decades alone on the other where there are some."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    low, high = ax.get_ylim()
    subs = (1.0,) if math.log10(high / low) > 1.5 else (1.0, 2.0, 5.0)
    ax.yaxis.set_major_locator(LogLocator(subs=subs))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.minorticks_off()


FIGURE = "Time and temporary memory against size, log against log"


def save_figure(result: dict, platform: str, folder: Path) -> Path:
    """Draw the figure beside the page that shows it; its file."""
    file = folder / f"cost-{platform}.png"
    draw(result).savefig(file, dpi=130)
    return file


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--shrink", type=int, default=1, help="divide every size by this number (default 1)")
    parser.add_argument("--turns", type=int, default=3, help="timings of each (default 3)")
    parser.add_argument("--only", nargs="+", choices=SWEEPS, default=tuple(SWEEPS), help="some of the sweeps")
    parser.add_argument("--figure", type=Path, help="also draw the figure, to this file")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    result = measure(options.shrink, options.turns, tuple(options.only))
    if options.figure:
        draw(result).savefig(options.figure, dpi=130)
    sys.stdout.write((json.dumps(result, indent=2) if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
