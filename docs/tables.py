"""`python docs/tables.py` writes docs/what_reduces.md: the library's answers for the catalogue of tests/combinations.py."""

import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import combinations as catalogue
from combinations import Combination

import mfsym as mf
from mfsym.reduced.build import Equation

FILE = HERE / "what_reduces.md"
SMALL = {Equation.SEVERAL_ANGLES: {"cells": 8, "nodes": 7, "modes": 2}, Equation.MOMENTS: {}, Equation.POINT: {}}
EXAMPLES = {  # one problem for every equation, and for the starts that only labels can hold
    "one angle, |a| = ‖b‖": Combination(),
    "one angle, other starts": Combination(start="UnbalancedStart"),
    "two or three angles": Combination(target="MultiIndex"),
    "no angle": Combination(target="SubspaceNorm of everything"),
    "moments, Σ = v I": Combination(target="odd FunctionTarget"),
    "moments, any Σ": Combination(inputs="GaussianCovariance", target="LinearTarget"),
}


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def targets_and_inputs() -> Iterator[str]:
    """One row for a target and its rotations where they are answered alike; reasons are numbered below."""
    reasons: list[str] = []

    def cell(combination: Combination) -> str:
        if not combination.stands:
            return ""
        found = catalogue.answer(combination)
        if isinstance(found, Equation):
            return found.value
        reason = catalogue.reason_of(found)
        if reason not in reasons:
            reasons.append(reason)
        return f"– ({reasons.index(reason) + 1})"

    yield row(["f*", *(law.title for law in catalogue.INPUTS.values())])
    yield row(["---"] * (len(catalogue.INPUTS) + 1))
    cells = {name: [cell(Combination(inputs=law, target=name)) for law in catalogue.INPUTS] for name in catalogue.TARGETS}
    for name, target in catalogue.TARGETS.items():
        plain = name.removeprefix("Rotated ")
        if name != plain and cells[name] == cells[plain]:
            continue
        same = cells[name] == cells.get(f"Rotated {name}")
        yield row([target.title + (", also `Rotated`" if same else ""), *cells[name]])
    yield ""
    yield from (f"{number}. {reason}" for number, reason in enumerate(reasons, 1))


def units_and_starts() -> Iterator[str]:
    """Which units and starts some combination of an equation takes."""
    yield row(["equation", *(f"`{name}`" for name in catalogue.UNITS), *catalogue.STARTS])
    yield row(["---"] * (1 + len(catalogue.UNITS) + len(catalogue.STARTS)))
    for equation in Equation:
        taking = [c for c in catalogue.solvable() if catalogue.answer(c) is equation]
        units = {name: {c.unit for c in taking if c.start == name} for name in catalogue.STARTS}
        own = ["yes" if any(name in each for each in units.values()) else "–" for name in catalogue.UNITS]
        own += ["–" if not each else "`Identity` only" if each == {"Identity"} else "yes" for each in units.values()]
        yield row([equation.value, *own])


def methods_and_trainings() -> Iterator[str]:
    """The trainings that every method takes."""
    yield row(["equation", *(f'`"{method}"`' for method in catalogue.METHODS)])
    yield row(["---"] * (1 + len(catalogue.METHODS)))
    for title, combination in EXAMPLES.items():
        sizes = SMALL.get(catalogue.answer(combination), {"cells": 16, "nodes": 15, "modes": 4})
        found = catalogue.choices(mf.reduce(combination.problem, **sizes))
        cells = [", ".join(name for taken, name in found if taken == method) or "–" for method in catalogue.METHODS]
        yield row([title, *cells])


def text() -> str:
    lines = [
        "<!-- Written by `python docs/tables.py` from what the library answers; a test compares the two. -->",
        "",
        "With ReLU units and the start on the sphere, `mf.reduce` gives, where labels are not given beside a target:",
        "",
        *targets_and_inputs(),
        "",
        "Units and starts that some target and law of each equation take; a two-layer linear network (`Identity`)",
        "that starts on the sphere has an equation for every target and law of finite dimension:",
        "",
        *units_and_starts(),
        "",
        "Trainings that each `method` of `solve_reduced` takes (rates of the layers that differ, weight decay, steps of",
        "gradient descent, momentum):",
        "",
        *methods_and_trainings(),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
