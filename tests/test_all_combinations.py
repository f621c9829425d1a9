"""No combination has a wrong answer: it agrees with samples, or it is refused for what is in it.

All of inputs × target × unit × start are asked for their equation, which computes nothing. Those that have one are solved on
a covering set: F(0) and dF/dt(0) against means over inputs and neurons drawn in numpy, within four standard errors.
"""

import functools
import itertools
import re

import combinations as catalogue
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from combinations import INPUTS, METHODS, STARTS, TARGETS, TRAININGS, UNITS, Combination

import mfsym as mf
from mfsym.reduced.build import Equation, equation_of
from mfsym.reduced.choose import dynamics_of, step_of_moments
from mfsym.reduced.moments import MomentDynamics, OddReduction, closed_state
from mfsym.reduced.point import PointReduction

ALL = [Combination(*names) for names in itertools.product(INPUTS, TARGETS, UNITS, STARTS)]
SIZES = {
    Equation.ANGLE: {"cells": 32, "nodes": 31, "modes": 16},
    Equation.SIGNED_ANGLE: {"cells": 64, "nodes": 63, "modes": 16},
    Equation.SEVERAL_ANGLES: {"cells": 32, "nodes": 31, "modes": 6},
}
RESOLUTION = 0.005  # of ½E f*²: what grids of this size may miss, far below the standard errors of most combinations
FIRST_ORDER = 0.3  # of dF/dt(0), for upwind differences


@functools.cache
def answers():
    """The equation of every combination, or the reason why it has none."""
    found = {}
    for combination in ALL:
        try:
            found[combination] = equation_of(combination.problem)
        except mf.NoReductionError as error:
            found[combination] = str(error)
    return found


@functools.cache
def solvable():
    return [combination for combination, answer in answers().items() if isinstance(answer, Equation)]


def cover(keys, among):
    """The fewest combinations, chosen greedily, that have every key of any of them."""
    wanted, rows = set().union(*map(keys, among)), []
    while wanted:
        rows.append(max(among, key=lambda combination: len(keys(combination) & wanted)))
        wanted -= keys(rows[-1])
    return rows


def by_inputs(combination):
    """Every equation with all inputs that it takes."""
    return {(answers()[combination], combination.inputs)}


def by_equation(combination):
    """Every equation with every input, unit and start that it takes, plain and rotated, and every target."""
    equation, rotated = answers()[combination], isinstance(combination.problem.target, mf.Rotated)
    found = {(equation, name) for name in (combination.inputs, combination.unit, combination.start)}
    return found | {combination.target, (equation, equation is Equation.MOMENTS or (combination.inputs, rotated))}


def subsets(size):
    """All pairs, or triples, of features."""
    return lambda combination: set(itertools.combinations(combination._asdict().items(), size))


# What in a refusal's own words is to blame, by the name of the feature.
WORDS = {
    "inputs": r"inputs|data set|{kind}",
    "target": r"target|rotation|H the whole space|blocks|{kind}",
    "unit": r"unit|{kind}",
    "start": r"start|signs|{kind}",
}


def blamed(combination, reason):
    """The features that a refusal names."""
    sentence = reason.split("here: ")[1].split(". ")[0]
    names = combination._asdict()
    kinds = {feature: type(catalogue.FEATURES[feature][name].value).__name__ for feature, name in names.items()}
    return {feature for feature, words in WORDS.items() if re.search(words.format(kind=kinds[feature]), sentence)}


def test_a_refusal_names_what_is_to_blame():
    """Gaussian inputs, ‖x_H‖, a ReLU and the start on the sphere have an equation: one of what differs must be named."""
    found = answers()
    assert len(found) == len(ALL) and len(ALL) / 5 < len(solvable()) < len(ALL) / 2
    for combination, answer in found.items():
        if not isinstance(answer, Equation):
            differing = {kind for kind, name in combination._asdict().items() if name != catalogue.DEFAULTS[kind]}
            assert blamed(combination, answer) & differing, f"{combination}: {answer}"


@functools.cache
def reduction(combination):
    return mf.reduce(combination.problem, **SIZES.get(answers()[combination], {}))


def choices(reduced):
    """The (method, training) that a reduction takes, by its own refusals."""
    found = []
    for method, (name, training) in itertools.product(METHODS, TRAININGS.items()):
        try:
            if at_start(reduced, method, None if name == "flow" else training, only_check=True):
                found.append((method, name))
        except mf.ArgumentError as error:
            assert "method" in str(error) or "equation" in str(error), error
    return found


def at_start(reduced, method, training, only_check=False):
    """F(0) and dF/dt(0) of a reduced equation; raises ArgumentError for what it does not take."""
    angular = method in ("grid", "upwind", "characteristics")
    if angular == isinstance(reduced, OddReduction):
        return None  # another equation's method
    if isinstance(reduced, OddReduction):
        step_of_moments(training or mf.Training(), 0.05 * np.arange(3.0), method)
        if method == "closed" and not reduced.isotropic:
            return None
        state = reduced.moments(reduced.start()) if method == "moments" else reduced.start()
        dynamics = MomentDynamics(reduced)
    elif isinstance(reduced, PointReduction):
        if training is not None:
            return None
        method = "closed"
    else:
        dynamics = dynamics_of(reduced, method, training, 1e-10)
        state = None
    if only_check:
        return True
    if method == "closed":
        return along_solution(reduced, isinstance(reduced, OddReduction))
    return along_velocity(dynamics, dynamics.initial_state() if state is None else state)


@eqx.filter_jit
def along_velocity(dynamics, state):
    dynamics, zero = dynamics.prepare(), jnp.zeros(())
    return jax.jvp(lambda z: dynamics.observe(zero, z)["risk"], (state,), (dynamics.velocity(zero, state),))


@eqx.filter_jit
def along_solution(reduced, odd):
    def risk(t):
        return reduced.observe(closed_state(reduced, t))["risk"] if odd else reduced.observe(t[None])["risk"][0]

    return jax.jvp(risk, (jnp.zeros(()),), (jnp.ones(()),))


def without_axes(reduced):
    """The reduction in the coordinates of its angles: the same numbers, and the compiled code of other axes."""
    return reduced if not hasattr(reduced, "basis") else eqx.tree_at(lambda r: r.basis, reduced, None, is_leaf=lambda x: x is None)


def disagreements(combination, method, name):
    """What is further from the samples than four standard errors, in words."""
    training = None if name == "flow" else TRAININGS[name]
    risk, slope = at_start(without_axes(reduction(combination)), method, training)
    sampled = catalogue.sampled_start(combination, training or mf.Training())
    slack = RESOLUTION * catalogue.half_energy(combination)
    first_order = FIRST_ORDER * abs(sampled.slope) if method == "upwind" else 0
    print(*combination, method, name, f"{risk:.4f} {sampled.risk:.4f} {slope:.4f} {sampled.slope:.4f}", sep=" | ")
    where = f"of {combination} by {method}, {name}"
    if abs(risk - sampled.risk) > 4 * sampled.risk_error + slack:
        yield f"F(0) {where}: {risk} against {sampled.risk} ± {sampled.risk_error}"
    if abs(slope - sampled.slope) > 4 * sampled.slope_error + slack + first_order:
        yield f"dF/dt(0) {where}: {slope} against {sampled.slope} ± {sampled.slope_error}"


def compare_rows(rows):
    """Every row by one method and training, another for every row, until all have had their turn."""
    used, wrong = {}, []
    for combination in rows:
        possible = choices(reduction(combination))
        assert possible, combination
        turn = min(possible, key=lambda choice: used.get((answers()[combination], choice), 0))
        used[answers()[combination], turn] = used.get((answers()[combination], turn), 0) + 1
        wrong += disagreements(combination, *turn)
    assert not wrong, "\n".join(wrong)


def on_angles():
    return [combination for combination in solvable() if answers()[combination] is not Equation.MOMENTS]


def test_every_equation_of_angles_with_its_inputs():
    compare_rows(cover(by_inputs, on_angles()))


@pytest.mark.slow
def test_every_equation_with_all_that_it_takes():
    compare_rows(cover(by_equation, solvable()))


@pytest.mark.study
def test_all_pairs_and_triples():
    rows = cover(subsets(3), solvable())
    compare_rows(rows)
    print(f"{len(rows)} combinations cover all triples of {len(solvable())} with an equation, out of {len(ALL)}")
