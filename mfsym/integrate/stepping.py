"""How to step."""

import math

import equinox as eqx
from jaxtyping import Array, Float

from ..control import Control
from ..errors import check_choice, check_integer, positive_number
from .methods import ADJOINTS, METHODS


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
        self, method, *, rtol, atol, step=None, derivative="reverse", max_steps=65536, save_states=True, control=None
    ):
        self.method = check_choice("method", method, tuple(METHODS))
        self.rtol = positive_number("rtol", rtol, "It is the relative tolerance of one step.")
        self.atol = positive_number("atol", atol, "It is the absolute tolerance of one step.")
        self.step = None if step is None else positive_number("step", step, "It is the fixed step in flow time.")
        self.derivative = check_choice("derivative", derivative, tuple(ADJOINTS))
        self.max_steps = check_integer("max_steps", max_steps, 1, "It bounds the number of steps of a run.")
        self.save_states, self.control = bool(save_states), Control() if control is None else control


def enough_steps(known: float, records: int) -> int:
    """A bound for a run of about `known` steps of one size and `records` times to land on: a power of 4 from 16 on.

    In reverse mode a run stores √(2 bound) of its states, which for large clouds must not be more than it needs; it
    is a constant of compiled code, so that few values serve all runs.
    """
    needed = math.ceil(1.01 * known) + records + 2  # 1 %: the sum of many rounded steps
    return 4 ** max(2, math.ceil(math.log(needed, 4)))
