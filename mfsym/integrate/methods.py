"""Runge–Kutta methods by name, with the steps that keep a state admissible, and the modes of differentiation."""

from collections.abc import Callable
from typing import ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

# SSPRK104 as a recurrence. An Euler step takes the stage q to p = q + h/6 f(q). The next stage is A p + B y + C r, with the
# start y of the step and a register r, which becomes D p + E y + F r. A row for every stage: A … F, the time of the stage,
# and the weight in the error of the Euler step before.
_EULER = [1, 0, 0, 0, 0, 1]
_COMBINATIONS = [_EULER] * 5 + [[2 / 5, 3 / 5, 0, 9 / 25, 1 / 25, 0]] + [_EULER] * 4
_TIMES = np.array([0, 1, 2, 3, 4, 2, 3, 4, 5, 6]) / 6
_ERRORS = 1 / 10 - np.array([1 / 5, 0, 0, 3 / 10, 0, 0, 1 / 5, 0, 3 / 10, 0])
_STAGES = np.column_stack([_COMBINATIONS, _TIMES, np.concatenate([[0], _ERRORS[:-1]])])


class SSPRK104(diffrax.AbstractAdaptiveSolver):
    """Ten-stage fourth-order strong-stability-preserving Runge–Kutta method (Ketcheson 2008), coefficient 6.

    Every stage is a convex combination of Euler steps of a sixth of the step, so what Euler steps keep (positivity) is
    kept with steps six times as long. It is written with two registers, as it was published, instead of a tableau: in
    a batch of problems ten stored stages would be moved through memory ten times in each step. The embedded third-order
    weights are those of Conde, Fekete & Shadid (2018).
    """

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., diffrax.AbstractLocalInterpolation]] = diffrax.LocalLinearInterpolation

    def order(self, terms):
        """4."""
        return 4

    def init(self, terms, t0, t1, y0, args):
        """Nothing is kept from step to step."""

    def func(self, terms, t0, y0, args):
        """The velocity."""
        return terms.vf(t0, y0, args)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        """y1 and the estimated error of a step from t0 to t1."""
        step = terms.contr(t0, t1)

        def combine(a, b, c, euler, register):
            def one(p, y, r):
                here_a, here_b, here_c = (jnp.asarray(weight, p.dtype) for weight in (a, b, c))
                return here_a * p + here_b * y + here_c * r

            return jax.tree.map(one, euler, y0, register)

        def add(error, weight, euler, place):  # h f(q) = 6 (p − q)
            return jax.tree.map(lambda e, p, q: e + jnp.asarray(6 * weight, p.dtype) * (p - q), error, euler, place)

        def stage(carry, row):
            # Only `euler` needs the velocity: XLA would compute it anew for each result that does.
            place, euler, register, error = carry
            error = add(error, row[7], euler, place)
            following = combine(row[0], row[1], row[2], euler, register)
            place, register = following, combine(row[3], row[4], row[5], euler, register)
            moves = terms.vf_prod(t0 + row[6] * step, place, args, step)
            return (place, jax.tree.map(lambda q, move: q + move / 6, place, moves), register, error), None

        start = (y0, y0, y0, jax.tree.map(jnp.zeros_like, y0))
        (place, euler, register, error), _ = jax.lax.scan(stage, start, jnp.asarray(_STAGES, jnp.result_type(step)))
        y1 = combine(3 / 5, 0, 1, euler, register)
        error = add(error, _ERRORS[-1], euler, place)
        return y1, error, {"y0": y0, "y1": y1}, None, diffrax.RESULTS.successful


METHODS = {"ssprk104": SSPRK104, "tsit5": diffrax.Tsit5, "dopri8": diffrax.Dopri8}
SSP_COEFFICIENT = {"ssprk104": 6.0}
ADJOINTS = {"reverse": diffrax.RecursiveCheckpointAdjoint, "forward": diffrax.ForwardMode}
