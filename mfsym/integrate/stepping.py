"""How to step."""

import math
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ..control import Control
from ..errors import check_choice, check_integer, is_traced, positive_number
from .methods import ADJOINTS, METHODS

MAX_STEPS = 65536


class Stepping(eqx.Module):
    """How to step: a Runge–Kutta method by name, tolerances or a fixed step, the mode of differentiation,
    and what accompanies the run (`control`)."""

    method: str = eqx.field(static=True)
    rtol: Float[Array, ""]
    atol: Float[Array, ""]
    step: Float[Array, ""] | None
    derivative: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    save_states: bool = eqx.field(static=True)
    control: Control

    def __init__(
        self, method, *, rtol, atol, step=None, derivative="reverse", max_steps=MAX_STEPS, save_states=True, control=None
    ):
        self.method = check_choice("method", method, tuple(METHODS))
        self.rtol = positive_number("rtol", rtol, "It is the relative tolerance of one step.")
        self.atol = positive_number("atol", atol, "It is the absolute tolerance of one step.")
        self.step = None if step is None else positive_number("step", step, "It is the fixed step in flow time.")
        self.derivative = check_choice("derivative", derivative, tuple(ADJOINTS))
        self.max_steps = check_integer("max_steps", max_steps, 1, "It bounds the number of steps of a run.")
        self.save_states, self.control = bool(save_states), Control() if control is None else control


def bound_on_steps(ts: Any, step: Any) -> int:
    """How many steps a run to ts[-1] may take: 65536, or for steps of one length a power of 4 that is enough.

    In reverse mode a run stores √(2 bound) of its states, which for large clouds must not be more than it needs. The
    bound is a constant of compiled code; powers of 4 let different runs share it. Both arguments are those of the
    caller: plain numbers are known inside of jax.jit too, where arrays made of them are not.
    """
    if step is None or is_traced(step) or is_traced(ts):
        return MAX_STEPS
    steps = 1.01 * float(np.asarray(ts)[-1]) / float(step) + 2
    return 4 ** max(2, math.ceil(math.log(steps, 4))) if 1 <= steps < 2**30 else MAX_STEPS
