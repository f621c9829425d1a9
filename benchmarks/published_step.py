"""The reduced equation of f* = ‖x_H‖ to t = 100: the published Monte Carlo scheme beside `mf.solve_reduced`.

d = 30, d_H = 5. Both advance the pair τ^± of Hajjar & Chizat (arXiv:2211.08771) on the angle θ ∈ [0, π/2] to H:

    c' = 2 ε c G(θ),   θ' = ε V(θ),   G(θ) = d·E[(cos φ − f̃(φ)) σ(cos θ cos φ r + sin θ sin φ s)],   V = ∂_θ G,

with ε the sign of the neuron, φ the angle of an input to H, r ~ γ_{d_H}, s ~ γ_{d_⊥}; γ_n is the law of one coordinate
of a uniform direction in R^n. The scheme that accompanies the paper carries 1024 angles with signed weights c and
replaces the expectation, in every Euler step of length 5e-3, by 1000 fresh samples of (φ, r, s, r', s'). The primed
copies are for f̃ alone, so that the estimate is unbiased. It runs as a jitted step in a Python loop that keeps every
state. In its favour, the estimates of the risk at every step are left out here and the signs at the start are balanced.

Two writings of the scheme are timed, equal in law. "published form" draws r and s through Beta variates and forms the
matrices of features and of slopes, as one would write it. "rewritten" is the fastest form found: coordinates of
Gaussian vectors over their lengths give r and s, and both fields come from one product with the 0-1 matrix of active
pairs.

    python benchmarks/published_step.py [--steps 300] [--json] [--out results.json]
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from measuring import markdown

import mfsym as mf

DIM, DIM_H = 30, 5
WIDTH, BATCH, STEP_LENGTH = 1024, 1000, 5e-3
END, CHECKED = 100.0, 1.5
STEPS = round(END / STEP_LENGTH)
CHECKED_STEP = round(CHECKED / STEP_LENGTH)
BLOCK = 10  # steps between two looks at the clock, so that a block lasts about as long as a run of the solver
SINGLE = jnp.float32


class Sample(NamedTuple):
    """Inputs as (cos φ, sin φ), pairs (r, s) for the features and independent (r', s') for the predictor, each [N]."""

    cos: jax.Array
    sin: jax.Array
    r: jax.Array
    s: jax.Array
    r_copy: jax.Array
    s_copy: jax.Array


class Cloud(NamedTuple):
    """Angles [m] and signed weights [m]: τ⁺ − τ⁻ = (1/m) Σ_j c_j δ_{θ_j}."""

    theta: jax.Array
    weight: jax.Array


def squared_cosine(key: jax.Array, dim: int, dim_h: int, shape: tuple[int, ...]) -> jax.Array:
    """‖u_H‖² ~ Beta(d_H/2, d_⊥/2) for u uniform on the sphere of R^d."""
    return random.beta(key, SINGLE(dim_h / 2), SINGLE((dim - dim_h) / 2), shape, SINGLE)


def beta_coordinate(key: jax.Array, dim: int, shape: tuple[int, ...]) -> jax.Array:
    """One coordinate of a uniform direction in R^dim: a random sign and the root of a Beta variate."""
    sign_key, key = random.split(key)
    sign = random.rademacher(sign_key, shape, SINGLE)
    return sign if dim == 1 else sign * jnp.sqrt(squared_cosine(key, dim, 1, shape))


def published_sample(key: jax.Array, dim: int, dim_h: int, count: int) -> Sample:
    """`count` samples of (φ, r, s, r', s') by Beta variates."""
    input_key, along_key, across_key = random.split(key, 3)
    square = squared_cosine(input_key, dim, dim_h, (count,))
    r, r_copy = beta_coordinate(along_key, dim_h, (2, count))
    s, s_copy = beta_coordinate(across_key, dim - dim_h, (2, count))
    return Sample(jnp.sqrt(square), jnp.sqrt(1 - square), r, s, r_copy, s_copy)


def rewritten_sample(key: jax.Array, dim: int, dim_h: int, count: int) -> Sample:
    """`count` samples of (φ, r, s, r', s') from Gaussian vectors of R^d: coordinates over lengths of their blocks."""
    inputs, pairs, copies = random.normal(key, (3, count, dim), SINGLE)
    along, across = (jnp.sum(block**2, axis=1) for block in (inputs[:, :dim_h], inputs[:, dim_h:]))
    (r, s), (r_copy, s_copy) = (
        tuple(block[:, 0] / jnp.linalg.norm(block, axis=1) for block in (vectors[:, :dim_h], vectors[:, dim_h:]))
        for vectors in (pairs, copies)
    )
    total = along + across
    return Sample(jnp.sqrt(along / total), jnp.sqrt(across / total), r, s, r_copy, s_copy)


def published_fields(cloud: Cloud, sample: Sample, dim: int) -> tuple[jax.Array, jax.Array]:
    """Estimates of G and V at the angles of the cloud, [m] each: (d/N) Ψ (cos Φ − Ψ̃ᵀc/m), and with ∂_θΨ."""
    cos, sin = jnp.cos(cloud.theta)[:, None], jnp.sin(cloud.theta)[:, None]
    x, y = (sample.cos * sample.r)[None, :], (sample.sin * sample.s)[None, :]
    x_copy, y_copy = (sample.cos * sample.r_copy)[None, :], (sample.sin * sample.s_copy)[None, :]
    inner = cos * x + sin * y
    features = jnp.maximum(inner, 0)
    slopes = jnp.where(inner > 0, cos * y - sin * x, 0)
    predictor = jnp.maximum(cos * x_copy + sin * y_copy, 0).T @ cloud.weight / cloud.weight.size
    residual = (sample.cos - predictor) * (dim / sample.cos.size)
    return features @ residual, slopes @ residual


def rewritten_fields(cloud: Cloud, sample: Sample, dim: int) -> tuple[jax.Array, jax.Array]:
    """The same estimates with σ(z) = 1[z > 0] z, so that (x, y) and (cos θ, sin θ) leave the double sums."""
    direction = jnp.stack([jnp.cos(cloud.theta), jnp.sin(cloud.theta)])
    point = jnp.stack([sample.cos * sample.r, sample.sin * sample.s])
    copy = jnp.stack([sample.cos * sample.r_copy, sample.sin * sample.s_copy])
    active_copy = (direction.T @ copy > 0).astype(SINGLE)
    predictor = jnp.sum((direction * cloud.weight[None, :] @ active_copy) * copy, axis=0) / cloud.weight.size
    residual = (sample.cos - predictor) * (dim / sample.cos.size)
    force = (direction.T @ point > 0).astype(SINGLE) @ (point * residual[None, :]).T
    cos, sin = direction
    return cos * force[:, 0] + sin * force[:, 1], cos * force[:, 1] - sin * force[:, 0]


FORMS = {"published form": (published_sample, published_fields), "rewritten": (rewritten_sample, rewritten_fields)}


def start_cloud(key: jax.Array, dim: int, dim_h: int, width: int) -> Cloud:
    """Angles of uniform directions and weights ±1, as many of each sign (even width)."""
    theta = jnp.arccos(jnp.sqrt(squared_cosine(key, dim, dim_h, (width,))))
    return Cloud(theta, jnp.where(jnp.arange(width) % 2 == 0, SINGLE(1), SINGLE(-1)))


@partial(jax.jit, static_argnames=("dim", "dim_h", "batch", "length", "form"))
def scheme_step(
    cloud: Cloud, key: jax.Array, *, dim: int, dim_h: int, batch: int, length: float, form: str
) -> tuple[Cloud, jax.Array]:
    """One Euler step with a fresh sample: c ← (1 + 2ηεG)c, θ ← θ + ηεV. Returns the cloud and the next key."""
    draw, fields = FORMS[form]
    key, sample_key = random.split(key)
    reaction, drift = fields(cloud, draw(sample_key, dim, dim_h, batch), dim)
    sign = jnp.sign(cloud.weight)
    theta = cloud.theta + length * sign * drift
    return Cloud(theta, (1 + 2 * length * sign * reaction) * cloud.weight), key


class TimedScheme:
    """The scheme as it is run: a Python loop over the jitted step that keeps every state."""

    def __init__(self, form: str, seed: int):
        self.step = partial(scheme_step, dim=DIM, dim_h=DIM_H, batch=BATCH, length=STEP_LENGTH, form=form)
        start_key, self.key = random.split(random.key(seed))
        self.states = [start_cloud(start_key, DIM, DIM_H, WIDTH)]
        started = time.perf_counter()
        for _ in range(BLOCK):  # compiles, warms up; the results are dropped
            jax.block_until_ready(self.step(self.states[0], self.key))
        self.first = time.perf_counter() - started
        self.seconds: list[float] = []  # of one step, mean over a block

    def advance(self) -> None:
        """One block of steps, timed."""
        started = time.perf_counter()
        for _ in range(BLOCK):
            cloud, self.key = self.step(self.states[-1], self.key)
            self.states.append(cloud)
        jax.block_until_ready(self.states[-1])
        self.seconds.append((time.perf_counter() - started) / BLOCK)

    def row(self, name: str, fine, reference: dict) -> dict:
        """Time to t = 100, extrapolated, and errors at the checked time."""
        seconds = [STEPS * value for value in self.seconds]
        found = observe(self.states[CHECKED_STEP], fine)
        return row(name, "float32", seconds, self.first, found, reference) | {"step_ms": 1e3 * min(self.seconds)}


class TimedSolver:
    """`mf.solve_reduced` to t = 100, again and again."""

    def __init__(self, reduced, method: str):
        self.solve = partial(mf.solve_reduced, reduced, jnp.array([0.0, CHECKED, END]), method=method)
        self.seconds: list[float] = []
        self.first = self._timed()
        self._timed()

    def advance(self) -> None:
        """One run, timed."""
        self.seconds.append(self._timed())

    def row(self, name: str, fine, reference: dict) -> dict:
        """Time to t = 100 and errors at the checked time."""
        del fine
        found = recorded(self.solution, 1)
        steps = {"solver_steps": int(self.solution.stats["steps"])}
        return row(name, str(self.solution.ts.dtype), self.seconds, self.first, found, reference) | steps

    def _timed(self) -> float:
        started = time.perf_counter()
        self.solution = self.solve()
        jax.block_until_ready((self.solution.final, self.solution.observables))
        return time.perf_counter() - started


def observe(cloud: Cloud, reduced) -> dict[str, float]:
    """Masses of a cloud and its exact risk (the features of the reduction are even about both ends)."""
    theta, weight = (leaf.astype(reduced.dtype) / scale for leaf, scale in zip(cloud, (1, WIDTH), strict=True))
    risk = reduced.risk(reduced.features(theta)[0] @ weight)
    plus, minus = jnp.sum(jnp.maximum(weight, 0)), jnp.sum(jnp.maximum(-weight, 0))
    return {"mass_plus": float(plus), "mass_minus": float(minus), "risk": float(risk)}


def recorded(solution, index: int) -> dict[str, float]:
    """The same three numbers of a Solution at `ts[index]`."""
    return {name: float(getattr(solution, name)[index]) for name in ("mass_plus", "mass_minus", "risk")}


def row(name: str, dtype: str, seconds: list[float], first: float, found: dict, reference: dict) -> dict:
    """One line of the table; `first` is the time of the first call, which compiles."""
    errors = {key: abs(found[key] - reference[key]) for key in reference}
    times = {"seconds": min(seconds), "seconds_median": statistics.median(seconds), "first_call_seconds": first}
    return {"name": name, "dtype": dtype, **times, "found": found, "errors": errors}


def measure(steps: int = 300, seed: int = 0) -> dict:
    """Everything in one run, in turns, so that whatever else the machine does falls on all alike."""
    if steps < CHECKED_STEP:
        raise ValueError(f"steps must be at least {CHECKED_STEP} (t = {CHECKED}), got {steps}.")
    load = os.getloadavg()[0]
    problem = mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(DIM_H))
    reduced = mf.reduce(problem)
    fine = mf.reduce(problem, cells=1600, nodes=2 * reduced.nodes + 1, modes=2 * reduced.modes)
    exact = mf.solve_reduced(fine, jnp.array([0.0, CHECKED]), method="characteristics", rtol=1e-12, atol=1e-12)
    second = mf.solve_reduced(fine, jnp.array([0.0, CHECKED]), rtol=1e-10, atol=1e-10)
    reference, other = recorded(exact, 1), recorded(second, 1)
    runs: dict[str, TimedScheme | TimedSolver] = {
        "Monte Carlo, published form": TimedScheme("published form", seed),
        "Monte Carlo, rewritten": TimedScheme("rewritten", seed),
        "mf.solve_reduced, grid": TimedSolver(reduced, "grid"),
        "mf.solve_reduced, characteristics": TimedSolver(reduced, "characteristics"),
    }
    for _ in range(-(-steps // BLOCK)):
        for run in runs.values():
            run.advance()
    rows = [run.row(name, fine, reference) for name, run in runs.items()]
    for line in rows:
        line["times_faster"] = rows[0]["seconds"] / line["seconds"]
        line["times_faster_median"] = rows[0]["seconds_median"] / line["seconds_median"]
    setting = {"d": DIM, "d_H": DIM_H, "m": WIDTH, "N_b": BATCH, "step": STEP_LENGTH, "steps": STEPS, "seed": seed}
    setting |= {"cells": reduced.cells, "labels": reduced.nodes, "modes": reduced.modes, "timed_steps": steps}
    return {
        "setting": setting,
        "rows": rows,
        "reference": reference,
        "reference_difference": {name: abs(reference[name] - other[name]) for name in reference},
        "load_average": [load, os.getloadavg()[0]],
    }


HEADER = ("method", "dtype", "time to t = 100", "times faster", "first call", "error τ⁺", "error τ⁻", "error F")


def table(result: dict) -> str:
    """The rows as a Markdown table, aligned for the terminal, and what they were measured against."""
    reference, difference = result["reference"], max(result["reference_difference"].values())
    setting, first = result["setting"], result["rows"][0]
    medians = " / ".join(f"{line['times_faster_median']:,.0f}" for line in result["rows"])
    notes = [
        f"Monte Carlo: {setting['timed_steps']} steps timed, {first['step_ms']:.1f} ms each in the published form "
        f"({result['rows'][1]['step_ms']:.1f} ms rewritten), times {setting['steps']:,}.",
        f"Each time is the least of {-(-setting['timed_steps'] // BLOCK)} turns; with medians the column of ratios reads "
        f"{medians}.",
        f"Errors are against τ⁺ = {reference['mass_plus']:.7f}, τ⁻ = {reference['mass_minus']:.7f}, "
        f"F = {reference['risk']:.7f}; two fine runs, by characteristics and on a grid, differ by {difference:.0e} at most.",
        f"Load average at the start and at the end: {result['load_average'][0]:.1f}, {result['load_average'][1]:.1f}.",
    ]
    return markdown(HEADER, map(_cells, result["rows"]), notes)


def _cells(line: dict) -> tuple[str, ...]:
    seconds, errors = line["seconds"], line["errors"]
    spent = f"{seconds:.0f} s" if seconds >= 10 else f"{1e3 * seconds:.0f} ms"
    times = (spent, f"{line['times_faster']:,.0f}", f"{line['first_call_seconds']:.1f} s")
    return line["name"], line["dtype"], *times, *(f"{error:.1e}" for error in errors.values())


def main(run: Callable[[int], dict] = measure) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=300, help="Monte Carlo steps to time, at least 300 (default 300)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--out", metavar="FILE", help="also write the JSON to FILE")
    options = parser.parse_args()
    if options.steps < CHECKED_STEP:
        parser.error(f"--steps must be at least {CHECKED_STEP}, got {options.steps}")
    jax.config.update("jax_enable_x64", True)
    result = run(options.steps)
    text = json.dumps(result, indent=2)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    sys.stdout.write((text if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
