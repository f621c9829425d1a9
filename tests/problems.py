"""One table of problems with known answers, and the runs of them that several test files share.

A case says how to build a problem and what is known about it from `references.py`: the energy E f*², the
target term g*(theta), and the kind of angle. Cases of one kind are reduced with equal numbers of cells, nodes
and modes, so that they share compiled code.
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import references
import scipy.integrate

import mfsym as mf


def gaussian_mean(function, kinks=()) -> float:
    """E function(z), z ~ N(0, 1)."""
    cuts = sorted({-13.0, *kinks, 13.0})
    pieces = [
        scipy.integrate.quad(lambda z: function(z) * np.exp(-(z**2) / 2), lo, hi, epsabs=1e-14, epsrel=1e-12, limit=200)
        for lo, hi in itertools.pairwise(cuts)
    ]
    return sum(value for value, _ in pieces) / np.sqrt(2 * np.pi)


class Case(NamedTuple):
    """f*(x) = g(x_1), or f*(x) = ‖x_H‖ where g is None; x ~ N(0, I_d), ReLU."""

    name: str
    dim: int
    dim_h: int
    g: Callable | None = None  # for JAX
    g_numpy: Callable | None = None  # the same for the references
    kinks: tuple[float, ...] = (0.0,)

    @property
    def kind(self) -> str:
        return "radial" if self.g is None else "single-index"

    @property
    def end(self) -> float:
        return np.pi / 2 if self.g is None else np.pi

    @property
    def energy(self) -> float:
        """E f*²."""
        if self.g is None:
            return float(self.dim_h)
        return gaussian_mean(lambda z: self.g_numpy(z) ** 2, self.kinks)

    def problem(self, **options) -> mf.Problem:
        target = mf.SubspaceNorm(self.dim_h) if self.g is None else mf.SingleIndex(self.g, self.kinks)
        return mf.Problem(mf.Gaussian(self.dim), target, **options)

    def target_term(self, theta):
        """g*(theta) by the reference formulas."""
        if self.g is None:
            return references.target_term_norm(theta, self.dim_h)
        values = [references.target_term_single_index(self.g_numpy, np.cos(t), self.kinks) for t in np.ravel(theta)]
        return np.array(values).reshape(np.shape(theta))


def _softplus(z):
    return np.logaddexp(0, z)


RADIAL = [
    Case("norm 5 in 30", 30, 5),
    Case("norm 2 in 40", 40, 2),
    Case("norm 10 in 60", 60, 10),
    Case("norm 2 in 4", 4, 2),
]
SINGLE_INDEX = [
    Case("absolute value in 20", 20, 1, jnp.abs, np.abs),
    Case("softplus in 8", 8, 1, jax.nn.softplus, _softplus, ()),
]
SIX = RADIAL + SINGLE_INDEX

# Targets for the coefficients only.
MORE_TARGETS = [
    Case("relu in 2", 2, 1, jax.nn.relu, lambda z: np.maximum(z, 0)),
    Case("square in 8", 8, 1, jnp.square, np.square, ()),
    Case("sine in 5", 5, 1, jnp.sin, np.sin, ()),
    Case("shifted relu in 6", 6, 1, lambda z: jax.nn.relu(z - 0.7), lambda z: np.maximum(z - 0.7, 0), (0.7,)),
    Case("cosine in 1000", 1000, 1, jnp.cos, np.cos, ()),
]

TIMES = (0.0, 1.0, 10.0, 20.0, 100.0)
SIZES = {
    "radial": {"cells": 400, "nodes": 255, "modes": 96},
    "single-index": {"cells": 400, "nodes": 511, "modes": 128},
}
_TOLERANCES = {"grid": (1e-9, 1e-9), "characteristics": (1e-11, 1e-12)}


@functools.cache
def reduction(case: Case):
    return mf.reduce(case.problem(), **SIZES[case.kind])


@functools.cache
def tight_run(case: Case, method: str):
    """The solution at `TIMES` with errors of time stepping far below 1e-8."""
    rtol, atol = _TOLERANCES[method]
    options = {"method": method, "rtol": rtol, "atol": atol}
    return mf.solve_reduced(reduction(case), jnp.asarray(TIMES), derivative="forward", **options)


# Times that contain those of references.REFERENCE_RUN, and more than 200 of them.
REFERENCE_TIMES = (*np.round(np.linspace(0, 10, 201), 3), 30.0, 100.0)


@functools.cache
def reference_run(method: str = "grid"):
    """d = 30, d_H = 5, 200 cells, everything else by default."""
    reduced = mf.reduce(RADIAL[0].problem(), cells=200)
    return mf.solve_reduced(reduced, jnp.asarray(REFERENCE_TIMES), method=method, derivative="forward")


def small_reduction(cells: int, problem: mf.Problem | None = None):
    """A radial reduction; those with equal `cells` share compiled code."""
    return mf.reduce(problem or RADIAL[0].problem(), cells=cells, nodes=63, modes=48)


@functools.cache
def small_run(cells: int, method: str = "grid"):
    """d = 30, d_H = 5 at t = 0, 1, with errors of time stepping far below those of space."""
    options = {"method": method, "rtol": 1e-10, "atol": 1e-10}
    return mf.solve_reduced(small_reduction(cells), jnp.array([0.0, 1.0]), derivative="forward", **options)


def atoms(solution, index: int):
    """Angles and signed weights of a run by characteristics at one of its times (numpy)."""
    state = jax.tree.map(lambda leaf: np.asarray(leaf[index]), solution.states)
    return state.theta.ravel(), (np.exp(state.log_weight) * np.array([[1.0], [-1.0]])).ravel()
