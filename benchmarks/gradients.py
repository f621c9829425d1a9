"""The cost of derivatives: one forward-mode parameter and one reverse pass, over the plain solve, in float64.

The parameter is the scale of the target f* = s ‖x_H‖, d = 30, d_H = 5, and the derivative is that of the last risk. Runs of
one, two and four times as many steps show how time and memory grow: for `solve_reduced` (grid) the end of the run is
doubled, for `solve_particles` (exact risk, Euler steps) too, for `descend` (data) the number of steps. The last row is
one velocity of the grid: its vector-Jacobian product beside the velocity.

    python benchmarks/gradients.py [--cells 200] [--width 256] [--samples 512] [--turns 5] [--json]
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from measuring import Contender, compiled, markdown, memory_text, take_turns, time_text

import mfsym as mf
from mfsym.reduced.choose import dynamics_of

DIM, DIM_H = 30, 5
DOUBLINGS = (1, 2, 4)
END, STEP, STEPS = 20.0, 0.05, 100  # of the grid; of the clouds
_SCALE = 1.3

Solve = Callable[..., Any]  # (scale, derivative) to a Solution


def grid_solve(cells: int, end: float) -> Solve:
    """`solve_reduced` to `end`."""

    def solve(scale, derivative):
        reduced = mf.reduce(mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H, scale)), cells=cells)
        return mf.solve_reduced(reduced, jnp.array([0.0, end]), derivative=derivative)

    return solve


def particle_solve(width: int, steps: int) -> Solve:
    """`solve_particles` on the exact risk, in Euler steps of one length."""
    cloud = mf.sphere_cloud(mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H)), width=width, key=jax.random.key(0))

    def solve(scale, derivative):
        problem = mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H, scale))
        # Plain numbers as times: the number of steps, and so that of the checkpoints, is known inside of jit.
        return mf.solve_particles(problem, cloud, [0.0, STEP * steps], step=STEP, derivative=derivative)

    return solve


def descent_solve(width: int, samples: int, steps: int) -> Solve:
    """`descend` on a data set, recorded at both ends; one code serves both modes."""
    x = jax.random.normal(jax.random.key(1), (samples, DIM))
    cloud = mf.sphere_cloud(mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H)), width=width, key=jax.random.key(0))

    def solve(scale, derivative):
        del derivative
        problem = mf.Problem(mf.Empirical(x), mf.SubspaceNorm(DIM_H, scale))
        return mf.descend(problem, cloud, steps, learning_rate=STEP, record_every=steps)

    return solve


def contenders(solve: Solve) -> dict[str, Contender]:
    """The plain solve, one tangent through it, and one reverse pass."""
    scale = jnp.asarray(_SCALE)

    def last_risk(derivative):
        return lambda scale: solve(scale, derivative).risk[-1]

    forward = lambda scale: jax.jvp(last_risk("forward"), (scale,), (jnp.ones_like(scale),))  # noqa: E731
    return {
        "plain": compiled(last_risk("forward"), (scale,)),
        "forward": compiled(forward, (scale,)),
        "reverse": compiled(jax.value_and_grad(last_risk("reverse")), (scale,)),
    }


def velocity_contenders(cells: int) -> dict[str, Contender]:
    """One velocity of the grid, its tangent and its vector-Jacobian product, in the state and in every table."""
    reduced = mf.reduce(mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H, _SCALE)), cells=cells)
    dynamics = dynamics_of(reduced, "grid", None, 1e-6).prepare()
    arrays, static = eqx.partition(dynamics, eqx.is_inexact_array)
    point = arrays, dynamics.initial_state()

    def velocity(point):
        return eqx.combine(point[0], static).velocity(0.0, point[1])

    ones = jax.tree.map(jnp.ones_like, point)
    return {
        "plain": compiled(velocity, (point,)),
        "forward": compiled(lambda point: jax.jvp(velocity, (point,), (ones,)), (point,)),
        "reverse": compiled(lambda point, w: jax.vjp(velocity, point)[1](w), (point, jnp.ones_like(point[1]))),
    }


def rows_of(name: str, runs: dict[int, tuple[int, dict[str, Contender]]]) -> list[dict]:
    """A row for every number of steps; `growth` is by what factor reverse memory grew for each doubling of the steps."""
    rows: list[dict] = []
    for factor, (steps, ways) in runs.items():
        plain, memory = ways["plain"].least, {way: run.memory for way, run in ways.items()}
        row = {"name": name, "times_the_steps": factor, "steps": steps, "seconds": plain, "memory": memory, "growth": None}
        row |= {f"{way}_over_plain": ways[way].least / plain for way in ("forward", "reverse")}
        row["compile_seconds"] = {way: run.compile_seconds for way, run in ways.items()}
        if rows and memory["reverse"] and rows[-1]["memory"]["reverse"]:
            doublings = math.log2(steps / rows[-1]["steps"])
            row["growth"] = (memory["reverse"] / rows[-1]["memory"]["reverse"]) ** (1 / doublings)
        rows.append(row)
    return rows


def measure(cells: int = 200, width: int = 256, samples: int = 512, turns: int = 5, base: int = STEPS) -> dict:
    """Every solver at every length; `base` is the number of steps of the shortest runs of clouds."""
    kinds: dict[str, Callable[[int], Solve]] = {
        "solve_reduced, grid": lambda factor: grid_solve(cells, END * factor),
        "solve_particles, exact risk": lambda factor: particle_solve(width, base * factor),
        "descend, data": lambda factor: descent_solve(width, samples, base * factor),
    }
    rows = []
    for name, kind in kinds.items():
        runs = {}
        for factor in DOUBLINGS:
            solve = kind(factor)
            runs[factor] = int(solve(_SCALE, "forward").stats["steps"]), contenders(solve)
        take_turns([run for _, ways in runs.values() for run in ways.values()], turns)
        rows += rows_of(name, runs)
    velocity = velocity_contenders(cells)
    take_turns(velocity.values(), turns)
    rows += rows_of("velocity of the grid", {1: (1, velocity)})
    return {"rows": rows, "turns": turns, "cells": cells, "width": width, "samples": samples}


HEADER = ("solver", "steps", "plain", "forward", "reverse", "memory plain", "forward", "reverse", "for each doubling")


def table(result: dict) -> str:
    """The rows as a Markdown table."""
    notes = [
        f"Float64, {result['cells']} cells; {result['width']} neurons, {result['samples']} samples. Forward and reverse: "
        "times over the plain solve, for one parameter and for one output. Memory is temporary; the last column is by "
        "what factor that of reverse mode grew for twice the steps.",
        f"Each time is the least of {result['turns']} turns, compilation apart.",
    ]
    return markdown(HEADER, map(_cells, result["rows"]), notes)


def _cells(row: dict) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['steps']:,}",
        time_text(row["seconds"]),
        f"{row['forward_over_plain']:.1f}",
        f"{row['reverse_over_plain']:.1f}",
        *(memory_text(row["memory"][way]) for way in ("plain", "forward", "reverse")),
        "" if row["growth"] is None else f"{row['growth']:.2f}",
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cells", type=int, default=200, help="cells of the grid (default 200)")
    parser.add_argument("--width", type=int, default=256, help="neurons of a cloud (default 256)")
    parser.add_argument("--samples", type=int, default=512, help="samples of the data set (default 512)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of the shortest runs of clouds (default {STEPS})")
    parser.add_argument("--turns", type=int, default=5, help="timings of each (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    result = measure(options.cells, options.width, options.samples, options.turns, options.steps)
    sys.stdout.write((json.dumps(result, indent=2) if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
