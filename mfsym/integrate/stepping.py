"""How to step."""

import dataclasses

import equinox as eqx
from jaxtyping import Array, Float

from ..control import Control
from ..errors import check_choice, check_integer, positive_number
from .methods import ADJOINTS, METHODS

MAX_STEPS = 65536


class Stepping(eqx.Module):
    """How to step: a Runge–Kutta method by name, tolerances, a bound on the steps, the mode of differentiation,
    and what accompanies the run (`control`).

    It is built once, of what the caller gave; the solver then fills in what was left out, by `with_defaults`.
    """

    method: str | None = eqx.field(static=True)
    rtol: Float[Array, ""] | None
    atol: Float[Array, ""] | None
    derivative: str = eqx.field(static=True)
    max_steps: int | None = eqx.field(static=True)
    save_states: bool = eqx.field(static=True)
    control: Control

    def __init__(
        self, method=None, *, rtol=None, atol=None, derivative="reverse", max_steps=None, save_states=True, control=None
    ):
        self.method = None if method is None else check_choice("method", method, tuple(METHODS))
        remedy = "It is the {} tolerance of one step."
        self.rtol = None if rtol is None else positive_number("rtol", rtol, remedy.format("relative"))
        self.atol = None if atol is None else positive_number("atol", atol, remedy.format("absolute"))
        self.derivative = check_choice("derivative", derivative, tuple(ADJOINTS))
        remedy = "It bounds the number of steps of a run."
        self.max_steps = None if max_steps is None else check_integer("max_steps", max_steps, 1, remedy)
        self.save_states, self.control = bool(save_states), Control() if control is None else control

    @property
    def bound(self) -> int:
        """The most steps of a run whose steps nobody can count before."""
        return MAX_STEPS if self.max_steps is None else self.max_steps

    def with_defaults(self, method: str, rtol: float, atol: Float[Array, ""] | float) -> "Stepping":
        """The same with a method, and with these tolerances where the caller gave none."""
        relative, absolute = (usual if own is None else own for own, usual in ((self.rtol, rtol), (self.atol, atol)))
        return dataclasses.replace(self, method=method, rtol=relative, atol=absolute)

    def tighter(self, factor: float) -> "Stepping":
        """The same with tolerances that many times as small."""
        assert self.rtol is not None and self.atol is not None
        return dataclasses.replace(self, rtol=self.rtol / factor, atol=self.atol / factor)

    def quiet(self) -> "Stepping":
        """The same steps with nothing beside them: no stop, no files, no bar."""
        return dataclasses.replace(self, control=Control())
