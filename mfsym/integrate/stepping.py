"""How to step."""

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
