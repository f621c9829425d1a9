"""Networks of finite width in the conventions of a loop, beside its twin."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, check_integer, check_key, check_sequence
from ..extrapolation import Comparison, compare
from ..particles.initial import check_widths, initial_cloud
from ..predict import predict
from ..problem.losses import losses
from ..problem.problem import Problem
from ..solution import Solution, lane
from ..types import Checked, IntLike, KeyLike
from .loop import Loop
from .network import BIAS, INNER, OFFSET, OUTER
from .scaling import rates_at

_BATCH = 1024
_TESTED = 4096  # common inputs of networks and twin
_VERDICTS = {"agree": "agree", "disagree": "disagree", "undecided": "cannot be told apart yet: take more seeds or widths"}
_REMEDY = "Pass for example widths=(128, 512, 2048)."

Weights = dict[str, Array]


class TwinCheck(NamedTuple):
    """Risks of finite networks beside their twin's: `at` [T] steps, `reference` [T], `means` and `errors` [W, T].

    `trend` and `trend_error` [T] are c of the difference c/m that fits all widths, and its standard error. `comparison` is
    the judgement on the risk extrapolated to infinite width.
    """

    at: tuple[int, ...]
    widths: tuple[int, ...]
    reference: Float[np.ndarray, " T"]
    means: Float[np.ndarray, "W T"]
    errors: Float[np.ndarray, "W T"]
    trend: Float[np.ndarray, " T"]
    trend_error: Float[np.ndarray, " T"]
    comparison: Comparison

    @property
    def relative(self) -> Float[np.ndarray, "W T"]:
        """(risk of the networks − risk of the twin) / risk of the twin."""
        return self.means / self.reference - 1

    def __str__(self) -> str:
        rows = ["steps        " + "".join(f"{step:>18}" for step in self.at)]
        rows.append("twin         " + "".join(f"{risk:18.6g}" for risk in self.reference))
        for width, mean, error in zip(self.widths, self.relative, self.errors / self.reference, strict=True):
            cells = [f"{100 * one:+.2f} ± {100 * two:.2f} %" for one, two in zip(mean, error, strict=True)]
            rows.append(f"m = {width:<9}" + "".join(f"{cell:>18}" for cell in cells))
        trend = zip(self.trend, self.trend_error, strict=True)
        rows.append("c of c/m     " + "".join(f"{f'{one:+.3g} ± {two:.2g}':>18}" for one, two in trend))
        rows.append(f"Extrapolated to m = ∞ networks and twin {_VERDICTS[self.comparison.verdict]}.")
        return "\n".join(rows)


class FiniteLoop(eqx.Module):
    """The loop itself: z ← z − η u, u ← β u + ∇L + λ z for every layer, on fresh inputs for every step; η times the factor
    of the step in a `schedule`."""

    problem: Problem
    scale: Float[Array, ""]
    preactivation: Float[Array, ""]
    rates: dict[str, tuple[Array, Array]]
    momentum: Float[Array, ""]
    factor: Float[Array, ""]
    schedule: Float[Array, " K"]
    batch: int = eqx.field(static=True)

    def outputs(self, weights: Weights, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """s (Σ A σ(p B·x + β) + c)."""
        before = self.preactivation * jnp.matmul(x, weights[INNER].T)
        if BIAS in weights:
            before = before + weights[BIAS][None]
        sums = jnp.matmul(self.problem.unit.activation(before), weights[OUTER])  # pyright: ignore[reportAttributeAccessIssue]
        return self.scale * (sums + weights[OFFSET] if OFFSET in weights else sums)

    @eqx.filter_jit
    def advance(self, weights: Weights, memory: Weights, key: Array, first: Array, last: Array) -> tuple[Weights, Weights]:
        """Steps first, …, last − 1."""

        def risk(weights: Weights, x: Array, y: Array) -> Array:
            return self.factor * jnp.mean(losses(self.problem.loss, self.outputs(weights, x), y))

        def step(index: Array, carry: tuple[Weights, Weights]) -> tuple[Weights, Weights]:
            weights, memory = carry
            x, y = self.problem.sample(jax.random.fold_in(key, index), self.batch, self.scale.dtype)
            found = jax.grad(risk)(weights, x, y)
            memory = {k: self.momentum * memory[k] + found[k] + self.rates[k][1] * weights[k] for k in weights}
            here = self.schedule[index]  # of one factor where the rate is constant: an index beyond it means the last
            return {k: weights[k] - here * self.rates[k][0] * memory[k] for k in weights}, memory

        return jax.lax.fori_loop(first, last, step, (weights, memory))

    @eqx.filter_jit
    def losses_at(self, weights: Weights, x: Float[Array, "n d"], y: Float[Array, " n"]) -> Float[Array, " n"]:
        """The loss at every input."""
        return self.factor * losses(self.problem.loss, self.outputs(weights, x), y)


def finite_loop(loop: Loop, problem: Problem, width: int) -> FiniteLoop:
    """The loop at a width."""
    factor, scaling = loop.loss.factor, loop.scaling
    rates = rates_at(width, loop.pace, scaling, loop.network.layers, factor)
    schedule = np.ones(1) if loop.rule.schedule is None else loop.rule.schedule
    numbers = scaling.scale(width), scaling.preactivation, rates, loop.rule.momentum, factor, schedule
    floats = jax.tree.map(lambda number: jnp.asarray(number, float), numbers)
    return FiniteLoop(problem, *floats, batch=_BATCH if loop.batch is None else loop.batch)


def weights_of(finite: FiniteLoop, layers: tuple[str, ...], width: int, key: Array) -> Weights:
    """Weights from the start of the problem in the scaling of the loop, A = a/(m s) and B = b/p; an output bias of 0."""
    cloud = initial_cloud(finite.problem, width=width, key=key)
    weights = {OUTER: cloud.a / (width * finite.scale), INNER: cloud.b / finite.preactivation}
    weights |= {BIAS: cloud.bias} if BIAS in layers else {}  # pyright: ignore[reportAttributeAccessIssue]
    return weights | ({OFFSET: jnp.zeros(())} if OFFSET in layers else {})


def check(
    loop: Loop,
    problem: Problem,
    solution: Solution,
    at: tuple[int, ...],
    widths: Checked[tuple[int, ...]],
    seeds: IntLike,
    key: KeyLike | None,
) -> TwinCheck:
    """See `Twin.check`; `solution` is the twin's, recorded `at` these steps."""
    widths = check_widths([problem], widths, 1, _REMEDY)
    if len(check_sequence("widths", widths, "at least two widths", _REMEDY)) < 2 or any(np.diff(widths) <= 0):
        raise argument_error("widths", "at least two, increasing", widths, _REMEDY)
    seeds = check_integer("seeds", seeds, 2, "Networks of one width scatter: several seeds tell by how much.")
    key = jax.random.key(0) if key is None else check_key(key)
    x, y = problem.sample(jax.random.fold_in(key, 0), _TESTED)
    theirs = [loop.loss.factor * losses(problem.loss, outputs, y) for outputs in _predictions(solution, x)]
    reference = np.asarray(solution.risk, float)
    found = []
    for number, width in enumerate(widths):
        finite, keys = finite_loop(loop, problem, width), jax.random.split(jax.random.fold_in(key, 1 + number), seeds)
        runs = [_run(finite, loop.network.layers, width, each, at, x, y) for each in keys]
        found.append(reference + np.mean(np.stack(runs) - np.stack(theirs), axis=2))
    scale, error = float(reference[0]), solution.error
    error = np.zeros_like(reference) if error is None else error["risk"]
    comparison = compare("risk", reference, error, found, widths, scale, total=len(at))
    means, spreads = comparison.means, comparison.spreads / np.sqrt(seeds)
    return TwinCheck(at, widths, reference, means, spreads, *_trend(widths, means - reference, spreads), comparison)


def _predictions(solution: Solution, x: Float[Array, "n d"]) -> list[Float[Array, " n"]]:
    """The outputs of the twin at every record."""
    states = [lane(solution.states, row) for row in range(len(solution.ts))]
    return [predict(dataclasses.replace(solution, final=state), x) for state in states]


def _run(finite: FiniteLoop, layers, width: int, key: Array, at: tuple[int, ...], x: Array, y: Array) -> np.ndarray:
    """Losses [T, n] of one network."""
    key, data = jax.random.split(key)
    weights = weights_of(finite, layers, width, key)
    memory, rows = jax.tree.map(jnp.zeros_like, weights), []
    for first, last in zip((0, *at), at, strict=False):
        weights, memory = finite.advance(weights, memory, data, jnp.asarray(first), jnp.asarray(last))
        rows.append(np.asarray(finite.losses_at(weights, x, y), float))
    return np.stack(rows)


def _trend(
    widths: tuple[int, ...], difference: Float[np.ndarray, "W T"], errors: Float[np.ndarray, "W T"]
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """c of a difference c/m by least squares, and its standard error."""
    inverse, weights = 1 / np.array(widths, float)[:, None], 1 / errors**2
    power = np.sum(weights * inverse**2, axis=0)
    return np.sum(weights * inverse * difference, axis=0) / power, power**-0.5
