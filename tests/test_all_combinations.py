"""No combination has a wrong answer: it agrees with samples, or it is refused for what is in it.

All pairs and triples of inputs, target, unit and start are asked for their equation, which computes nothing. Covering sets
of those that have one are compared with means over inputs and neurons drawn in numpy, within four standard errors: F(0)
and dF/dt(0), and F later with networks trained in numpy. Methods and trainings take turns.
"""

import functools
import itertools
import re
import runpy
from pathlib import Path

import combinations as catalogue
import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from combinations import ALL, PAIRS, TRAININGS, Combination, answer, choices, reason_of, solvable
from sampled_networks import half_energy, sampled_start, trained_risk

import mfsym as mf
from mfsym.reduced.build import Equation
from mfsym.reduced.choose import dynamics_of
from mfsym.reduced.closed import AbstractClosedForm
from mfsym.reduced.odd.moment_flow import MomentDynamics
from mfsym.reduced.odd.moments import OddReduction

DOCS = Path(__file__).parents[1] / "docs"
SIZES = {
    Equation.ANGLE: {"cells": 32, "nodes": 31, "modes": 16},
    Equation.SIGNED_ANGLE: {"cells": 64, "nodes": 63, "modes": 16},
    Equation.SEVERAL_ANGLES: {"cells": 32, "nodes": 31, "modes": 6},
}
RESOLUTION = 0.005  # of ½E f*²: what grids of this size may miss, far below the standard errors of most combinations
FIRST_ORDER = 0.3  # of dF/dt(0), for upwind differences


def cover(keys, among):
    """The fewest combinations, chosen greedily, that have every key of any of them."""
    wanted, rows = set().union(*map(keys, among)), []
    while wanted:
        rows.append(max(among, key=lambda combination: len(keys(combination) & wanted)))
        wanted -= keys(rows[-1])
    return rows


def by_inputs(combination):
    """Every equation with all inputs that it takes."""
    return {(answer(combination), combination.inputs)}


def by_equation(combination):
    """Every equation on angles with every input, unit and start that it takes, plain and rotated, and every target of it."""
    equation, rotated = answer(combination), isinstance(combination.problem.target, mf.Rotated)
    if equation is Equation.MOMENTS:
        return by_inputs(combination)
    found = {(equation, name) for name in (combination.unit, combination.start, combination.target)}
    return found | {(equation, combination.inputs, rotated)}


def subsets(size):
    """All pairs, or triples, of features."""
    return lambda combination: set(itertools.combinations(combination._asdict().items(), size))


# What in a refusal's own words is to blame, by the name of the feature.
WORDS = {
    "inputs": r"inputs|data set|the data|{kind}",
    "target": r"target|rotation|H the whole space|blocks|{kind}",
    "unit": r"unit|{kind}",
    "start": r"start|signs|{kind}",
}


def blamed(combination, reason):
    """The features that a refusal names."""
    sentence = reason_of(reason).split(". ")[0]
    names = combination._asdict()
    kinds = {feature: type(catalogue.FEATURES[feature][name].value).__name__ for feature, name in names.items()}
    return {feature for feature, words in WORDS.items() if re.search(words.format(kind=kinds[feature]), sentence)}


@pytest.mark.parametrize("among", [PAIRS, pytest.param(ALL, marks=pytest.mark.slow)], ids=["pairs", "triples"])
def test_a_refusal_names_what_is_to_blame(among):
    """Gaussian inputs, ‖x_H‖, a ReLU and the start on the sphere have an equation: one of what differs must be named."""
    refused = {combination: answer(combination) for combination in among if not isinstance(answer(combination), Equation)}
    assert len(among) / 5 < len(among) - len(refused) < len(among) / 2
    for combination, reason in refused.items():
        assert blamed(combination, reason) & (set(catalogue.FEATURES) - combination.usual), f"{combination}: {reason}"


@pytest.mark.slow
def test_linear_networks_have_an_equation_for_everything():
    """In finite dimension, and labels take no target beside them."""
    problems = {(c.inputs, c.target) for c in ALL if (c.inputs == "labelled Empirical") == (c.target == "labels")}
    solved = {(c.inputs, c.target) for c in solvable() if c.unit == "Identity" and c.start == "SphereStart"}
    assert {inputs for inputs, _ in problems - solved} == {"Gaussian of d = ∞"}


PAGE, SCRIPT = DOCS / "what_reduces.md", DOCS / "tables.py"


def test_the_table_of_targets_is_what_the_library_answers():
    """docs/what_reduces.md: run `python docs/tables.py` after a change."""
    answered = runpy.run_path(str(SCRIPT))["targets_and_inputs"]()
    assert "\n".join(answered) in PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_is_what_the_library_answers():
    assert PAGE.read_text(encoding="utf-8") == runpy.run_path(str(SCRIPT))["text"]()


@functools.cache
def reduction(combination):
    return combination.reduce(**SIZES.get(answer(combination), {}))


def at_start(reduced, method, training):
    """F(0) and dF/dt(0) of a reduced equation by a method and training that it takes."""
    if isinstance(reduced, OddReduction) and method != "closed":
        start = reduced.start()
        return along_velocity(MomentDynamics(reduced), reduced.moments(start) if method == "moments" else start)
    form = dynamics_of(reduced, method, training, 1e-10)
    return along_record(form) if isinstance(form, AbstractClosedForm) else along_velocity(form, form.initial_state())


@eqx.filter_jit
def along_velocity(dynamics, state):
    dynamics, zero = dynamics.prepare(), jnp.zeros(())
    return jax.jvp(lambda z: dynamics.observe(zero, z)["risk"], (state,), (dynamics.velocity(zero, state),))


@eqx.filter_jit
def along_record(form):
    return jax.jvp(lambda t: form.record(t[None])[1]["risk"][0], (jnp.zeros(()),), (jnp.ones(()),))


def without_axes(reduced):
    """The reduction in the coordinates of its angles: the same numbers, and the compiled code of other axes."""
    return (
        reduced
        if not hasattr(reduced, "basis")
        else eqx.tree_at(lambda r: r.basis, reduced, None, is_leaf=lambda x: x is None)
    )


def disagreements(combination, method, name):
    """What is further from the samples than four standard errors, in words."""
    training = None if name == "flow" else TRAININGS[name]
    risk, slope = at_start(without_axes(reduction(combination)), method, training)
    sampled = sampled_start(combination, training or mf.Training())
    slack = RESOLUTION * half_energy(combination)
    first_order = FIRST_ORDER * abs(sampled.slope) if method == "upwind" else 0
    print(*combination, method, name, f"{risk:.4f} {sampled.risk:.4f} {slope:.4f} {sampled.slope:.4f}", sep=" | ")
    where = f"of {combination} by {method}, {name}"
    if not abs(risk - sampled.risk) <= 4 * sampled.risk_error + slack:
        yield f"F(0) {where}: {risk} against {sampled.risk} ± {sampled.risk_error}"
    if not abs(slope - sampled.slope) <= 4 * sampled.slope_error + slack + first_order:
        yield f"dF/dt(0) {where}: {slope} against {sampled.slope} ± {sampled.slope_error}"


def compare_rows(rows):
    """Every row by one method and training, another for every row, until all have had their turn."""
    used, wrong = {}, []
    for combination in rows:
        possible = choices(reduction(combination))
        assert possible, combination
        turn = min(possible, key=lambda choice: used.get((answer(combination), choice), 0))
        used[answer(combination), turn] = used.get((answer(combination), turn), 0) + 1
        wrong += disagreements(combination, *turn)
    assert not wrong, "\n".join(wrong)


@functools.cache
def first_rows():
    simple = (Equation.POINT, Equation.ANGLE, Equation.SIGNED_ANGLE, Equation.ORBITS)
    return cover(by_inputs, [combination for combination in solvable() if answer(combination) in simple])


@pytest.mark.slow
def test_equations_of_one_angle_with_their_inputs():
    compare_rows(first_rows())


@pytest.mark.slow
def test_labels_of_units_without_a_kernel():
    """A step, erf and biases, drawn or 0; blocks that the inputs stretch, and infinitely many dimensions."""
    compare_rows(
        [
            Combination("GaussianBlocks of 1 and 3", "SingleIndex", "step"),
            Combination("Gaussian of d = ∞", "SingleIndex", "erf"),
            Combination("Sphere", "SubspaceNorm", "tanh with bias", "BiasedStart"),
            Combination("Gaussian of d = ∞", "SubspaceNorm", "ReLU with bias"),
            Combination("labelled Empirical", "labels", "Identity"),
        ]
    )


@pytest.mark.study
def test_every_equation_with_what_it_takes():
    compare_rows([combination for combination in cover(by_equation, solvable()) if combination not in first_rows()])


@pytest.mark.study
def test_all_pairs_and_triples():
    rows = cover(subsets(3), solvable())
    compare_rows(rows)
    print(f"{len(rows)} combinations cover all triples of {len(solvable())} with an equation, out of {len(ALL)}")


LATER = [
    (Combination("GaussianBlocks of 2 and 2", start="GaussianStart"), "characteristics", "momentum"),
    (Combination("Sphere", "Rotated SingleIndex", "LeakyReLU", "SphereStart of different masses"), "grid", "decay"),
    (Combination("symmetric Empirical", "Rotated odd FunctionTarget", "GELU", "UnbalancedStart"), "moments", "step"),
    (Combination("GaussianCovariance", "Teacher", "Identity", "GaussianStart"), "hyperboloid", "flow"),
    (Combination(start="AngularStart"), "characteristics", "rates"),
    (Combination("Sphere", "Rotated MultiIndex", "tanh", "SphereStart of different masses"), "characteristics", "decay"),
    (Combination("GaussianBlocks of 1 and 3", "SingleIndex", "GELU", "GaussianStart"), "characteristics", "momentum"),
    (Combination("GaussianBlocks of 1 and 3", "SingleIndex", "ReLU", "UnbalancedStart"), "characteristics", "step"),
    (Combination("Sphere", "BlockNorms", "LeakyReLU", "SphereStart of different masses"), "characteristics", "flow"),
    (Combination("Gaussian", "MultiIndex"), "grid", "flow"),
    (Combination("Gaussian", "SubspaceNorm of everything", "ReLU", "SphereStart of different masses"), None, "flow"),
    (Combination("Gaussian", "SingleIndex", "step", "GaussianStart"), "characteristics", "decay"),
    (Combination("Sphere", "SubspaceNorm", "tanh with bias", "BiasedStart"), "characteristics", "momentum"),
    (Combination("GaussianBlocks of 1 and 3", "MultiIndex", "erf", "GaussianStart"), "characteristics", "flow"),
    (Combination("labelled Empirical", "labels", "Identity", "UnbalancedStart"), "moments", "step"),
    (Combination("Gaussian of d = ∞", "SingleIndex", "erf", "UnbalancedStart"), "characteristics", "rates"),
    (Combination("Gaussian of d = ∞", "RadialIndex", "ReLU", "GaussianStart"), "characteristics", "flow"),
]


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if i < 2 else pytest.mark.study) for i, case in enumerate(LATER)]
)
def test_later_risks_are_those_of_networks(case):
    """At t = 0.5, ten steps of 0.05. The slack is twice that of the start: networks and data are finite."""
    combination, method, name = case
    training, ts = TRAININGS[name], jnp.array([0.0, 0.25, 0.5])
    options = {} if name == "flow" else {"training": training}
    run = mf.solve_reduced(reduction(combination), ts, method=method, derivative="forward", **options)
    mean, error = trained_risk(combination, training, 10)
    print(
        *combination, method, name, f"{float(run.risk[0]):.4f} {float(run.risk[-1]):.4f} {mean:.4f} ± {error:.4f}", sep=" | "
    )
    assert abs(float(run.risk[-1]) - mean) < 4 * error + 2 * RESOLUTION * half_energy(combination)
    assert abs(float(run.risk[-1] - run.risk[0])) > 8 * error
