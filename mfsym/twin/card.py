"""The card of conventions: every constant of a loop, and what it is here."""

import dataclasses
import textwrap
from typing import Any

from ..problem.problem import Problem
from ..problem.start import AbstractStart
from ..problem.training import Training
from .loop import Clock, Loop
from .network import BIAS
from .rules import of_layers
from .scaling import rates_at

_WIDTH = 118


def card(loop: Loop, problem: Problem, training: Training, clock: Clock, assumed: tuple[str, ...]) -> str:
    """The card as text."""
    network, unit = loop.network, type(problem.unit).__name__
    width = "any width" if network.width is None else f"width {network.width}"
    rows = {
        "network": f"{network.kind} of {width}: {_formula(loop)}",
        "here": "a = m s A, b = p B: f = (1/m) Σ a σ(b·x" + (" + β)" if BIAS in network.layers else ")"),
        "unit": f"{unit}, with hidden biases" if BIAS in network.layers else unit,
        "start": in_numbers(problem.start),
        "inputs": f"{type(problem.inputs).__name__}, d = {problem.dim}, E‖x‖² = {float(problem.inputs.second_moment):.6g}",
        "loss": f"{loop.loss.words}; risks are shown in it",
        "optimiser": str(loop.rule),
        "training": _training(training),
        "clock": f"t = {clock.per_step:.6g} · {_steps(training)}: {clock.why}",
        "to infinity": "m" + _at_other_widths(loop) + ("" if loop.batch is None else "; the batch, at a given step"),
        "assumed": ". ".join(words[0].upper() + words[1:] for words in assumed) + ".",
    }
    return "\n".join(["Twin of infinite width", *(_row(name, text) for name, text in rows.items())])


def in_numbers(start: AbstractStart) -> str:
    """A start with its numbers."""
    values = {field.name: getattr(start, field.name) for field in dataclasses.fields(start) if field.name != "random"}
    words = {name: _in_words(value) for name, value in values.items()}
    return f"{type(start).__name__}({', '.join(f'{name}={word}' for name, word in words.items())})"


def _in_words(value: Any) -> str:
    if isinstance(value, AbstractStart):
        return in_numbers(value)
    return repr(value) if isinstance(value, str) else f"{float(value):.6g}"


def _steps(training: Training) -> str:
    """What the clock counts."""
    if training.schedule is None:
        return "step"
    return f"(sum of the learning rates so far)/(the largest), {training.times([len(training.schedule)])[0]:.6g} at the end"


def _row(name: str, text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=f"  {name:<12} ", subsequent_indent=" " * 15)


def _formula(loop: Loop) -> str:
    scale, inside = loop.scaling.rule, "B·x" if loop.scaling.preactivation == 1 else f"{loop.scaling.preactivation:.4g} B·x"
    factor = "" if scale == 1 else f"({scale}) " if isinstance(scale, str) else f"{scale:.4g} "
    return f"f = {factor}Σ A σ({inside}{' + β' if BIAS in loop.network.layers else ''})"


def _training(training: Training) -> str:
    names = {"rate_a": training.rate_a, "rate_b": training.rate_b, "weight_decay": training.weight_decay}
    defaults = {"rate_a": 1.0, "rate_b": 1.0, "weight_decay": 0.0}
    words = [f"{name}={float(value):.6g}" for name, value in names.items() if float(value) != defaults[name]]
    assert training.step is not None
    words.append(f"step={float(training.step):.6g}")
    words += [] if training.schedule is None else [f"schedule=[{len(training.schedule)} factors]"]
    if training.momentum is not None:
        words.append(f"momentum={float(training.momentum):.6g}")
    return f"Training({', '.join(words)})"


def _at_other_widths(loop: Loop) -> str:
    """How the rates of the loop go with the width, told at four times the width."""
    width = loop.network.width
    if width is None:
        return ", at the rates of the law"
    rates = rates_at(4 * width, loop.pace, loop.scaling, loop.network.layers, loop.loss.factor)
    told = of_layers({layer: rate for layer, (rate, _) in rates.items()})
    size = loop.scaling.scale(width) / (4 * loop.scaling.scale(4 * width))
    return f", with the same a, b and pace: at width {4 * width} that is A times {size:.4g} and learning rate {told}"
