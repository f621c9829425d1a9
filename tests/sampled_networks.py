"""Networks in numpy, of any combination of the catalogue: what the library's reduced equations must agree with."""

from typing import Any, NamedTuple

import numpy as np
from combination_features import DIM, Inputs, Target, Unit
from combinations import Combination

import mfsym as mf


class Means(NamedTuple):
    """Two numbers with their standard errors: F(0) and dF/dt(0)."""

    risk: float
    slope: float
    risk_error: float
    slope_error: float


def _draw_inputs(law: Inputs, unit: Unit, generator: np.random.Generator, count: int) -> np.ndarray:
    """Inputs, with a last coordinate 1 for the bias of units that have one."""
    x = law.draw(generator, count)
    return np.concatenate([x, np.ones((count, 1))], axis=1) if unit.biased else x


def _draw_neurons(combination: Combination, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """a [m] and b, or (b, β), [m, d]."""
    law, target, unit, start = combination.twins()
    a, b = start.draw(generator, count, target, law.dim)
    return a, np.concatenate([b, start.bias(generator, count)[:, None]], axis=1) if unit.biased else b


def _residual(target: Target, unit: Unit, cloud: Any, x: np.ndarray) -> np.ndarray:
    a, b = cloud
    return target.function(x[:, :DIM]) - unit.activation(x @ b.T) @ a / len(a)


def _velocity(unit: Unit, cloud: Any, x: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E[R σ(b·x)], a E[R σ'(b·x) x]) for every neuron, over the rows of x."""
    a, b = cloud
    z = x @ b.T
    inner = (residual[:, None] * unit.derivative(z)).T @ x / len(x)
    return residual @ unit.activation(z) / len(x), a[:, None] * inner


def sampled_start(combination: Combination, training: mf.Training, batches=48, neurons=128, inputs=320) -> Means:
    """F(0) and dF/dt(0) = −E v·(rate (v − λz)), v = (E[R σ(b·x)], a E[R σ'(b·x) x]), without bias: both factors of every
    product come from inputs and neurons of their own."""
    law, target, unit, _ = combination.twins()
    rate_a, rate_b, decay = (float(each) for each in (training.rate_a, training.rate_b, training.weight_decay))
    generator, risks, slopes = np.random.default_rng(0), [], []
    for _ in range(batches):
        x, other = (_draw_inputs(law, unit, generator, inputs) for _ in range(2))
        first, second, moved = (_draw_neurons(combination, generator, neurons) for _ in range(3))
        here = _residual(target, unit, first, x)
        risks.append(np.mean(here * _residual(target, unit, second, x)) / 2)
        one = _velocity(unit, moved, x, here)
        two = _velocity(unit, moved, other, _residual(target, unit, second, other))
        pull = rate_a * np.mean(one[0] * (two[0] - decay * moved[0]))
        slopes.append(-pull - rate_b * np.mean(np.sum(one[1] * (two[1] - decay * moved[1]), axis=1)))
    root = np.sqrt(batches)
    return Means(np.mean(risks), np.mean(slopes), np.std(risks, ddof=1) / root, np.std(slopes, ddof=1) / root)


def trained_risk(combination: Combination, training: mf.Training, steps: int, runs=8, neurons=512, inputs=2048) -> Any:
    """F after `steps` of length 0.05 of networks in numpy: gradient descent, the heavy ball, or the flow by midpoints.

    Mean and standard error over the runs; the width is finite and inputs are fresh at every step, which costs
    O(1/neurons + step/inputs).
    """
    law, target, unit, _ = combination.twins()
    rate_a, rate_b, decay = (float(each) for each in (training.rate_a, training.rate_b, training.weight_decay))
    momentum, length, risks = 0.0 if training.momentum is None else float(training.momentum), 0.05, []
    for seed in range(runs):
        generator = np.random.default_rng(seed)
        a, b = _draw_neurons(combination, generator, neurons)

        def force(a, b, x):
            outer, inner = _velocity(unit, (a, b), x, _residual(target, unit, (a, b), x))
            return rate_a * (outer - decay * a), rate_b * (inner - decay * b)

        u, v = np.zeros_like(a), np.zeros_like(b)
        for _ in range(steps):
            x = _draw_inputs(law, unit, generator, inputs)
            outer, inner = force(a, b, x)
            if training.step is None:
                outer, inner = force(a + length / 2 * outer, b + length / 2 * inner, x)
            u, v = momentum * u + outer, momentum * v + inner
            a, b = a + length * u, b + length * v
        risks.append(np.mean(_residual(target, unit, (a, b), _draw_inputs(law, unit, generator, 8192)) ** 2) / 2)
    return np.mean(risks), np.std(risks, ddof=1) / np.sqrt(runs)


def half_energy(combination: Combination) -> float:
    """½E f*², roughly: the scale of the risk."""
    law, target, _, _ = combination.twins()
    return float(np.mean(target.function(law.draw(np.random.default_rng(1), 4000)[:, :DIM]) ** 2) / 2)
