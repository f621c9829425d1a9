"""How long training stays at the stationary point where an integrable network starts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, check_integer, float_array
from ..types import Checked, IntLike, Json, KeyLike, RealArrayLike, RealFunction, RealLike
from .optimisers import Rate
from .runs import (
    Data,
    Loss,
    Maker,
    check_data,
    check_loss,
    check_seeds,
    check_widths,
    for_every_width,
    of_scaling,
    outputs_of,
    trainer,
)
from .scalings import Scaling, check_scaling, ip
from .tables import aligned, power


class EscapeTimes(NamedTuple):
    """`steps` [W, seeds] until the loss is below `level`, infinite where it never was. It prints as a table.

    `exponent`: the prediction for ip under SGD, steps ~ m^exponent, 0 meaning a constant for two hidden layers and log m
    for three; None for other scalings. `depth`: L.
    """

    widths: tuple[int, ...]
    steps: Float[np.ndarray, "W seeds"]
    level: float
    depth: int
    exponent: float | None

    @property
    def slope(self) -> float:
        """d log steps/d log m, by least squares; no number where a network never escaped."""
        return float(np.mean(self._slopes()))

    @property
    def error(self) -> float:
        """Its standard error over seeds."""
        return float(np.std(self._slopes(), ddof=1) / np.sqrt(self.steps.shape[1]))

    @property
    def local(self) -> float:
        """The slope of the last pair of widths."""
        if not np.all(np.isfinite(self.steps)):
            return float("nan")
        logs = np.log(self.steps.mean(axis=1))
        return float((logs[-1] - logs[-2]) / np.log(self.widths[-1] / self.widths[-2]))

    def _slopes(self) -> np.ndarray:
        if not np.all(np.isfinite(self.steps)):
            return np.full(self.steps.shape[1], np.nan)
        return np.polyfit(np.log(self.widths), np.log(self.steps), 1)[0]

    @property
    def prediction(self) -> str:
        """In words."""
        if self.exponent is None:
            return "Nothing is predicted: the first step of this scaling leaves the stationary point, or it has none."
        if self.depth <= 2:
            return "Predicted: a number of steps that does not depend on the width."
        return f"Predicted: steps that grow like {'log m' if self.depth == 3 else power(self.exponent)}."

    def as_dict(self) -> dict[str, Json]:
        """Plain numbers for JSON."""
        steps = [[float(value) if np.isfinite(value) else None for value in row] for row in self.steps]
        numbers = {
            name: value if np.isfinite(value) else None for name, value in (("slope", self.slope), ("error", self.error))
        }
        return {"widths": list(self.widths), "steps": steps, "level": self.level, "exponent": self.exponent, **numbers}

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("m", "steps", "spread")]
        for width, row in zip(self.widths, self.steps, strict=True):
            missing = int(np.sum(~np.isfinite(row)))
            cells = (f"{row.mean():.1f}", f"± {row.std(ddof=1):.1f}") if not missing else (f"{missing} never", "")
            rows.append((str(width), *cells))
        known = np.all(np.isfinite(self.steps))
        fitted = f"Slope {self.slope:+.2f} ± {self.error:.2f}, at the last pair of widths {self.local:+.2f}."
        slope = fitted if known else "No slope: take more steps, or a higher level."
        return "\n".join([*aligned(rows), slope, self.prediction])


def escape_times(
    scaling: Checked[Scaling],
    widths: Checked[tuple[int, ...]],
    inputs: RealArrayLike,
    targets: RealArrayLike,
    *,
    activation: RealFunction,
    loss: Loss,
    level: RealLike,
    gain: RealLike | None = None,
    rate: Rate = 1.0,
    seeds: IntLike = 3,
    max_steps: IntLike = 10_000,
    key: KeyLike | None = None,
) -> EscapeTimes:
    """Steps of SGD on all samples until the loss is below `level`, at every width.

    Under ip a step changes h^l by a share ~ m^{−(L−3)/2} of itself (l ≥ 2), so that escape takes O(1) steps for L = 2,
    log m for L = 3 and m^{(L−3)/2} for L ≥ 4 hidden layers (derived).
    Arguments as in `coordinate_check`; networks that are not below after `max_steps` count as infinite.
    Raises ArgumentError for a level that the loss starts below.
    """
    scaling, data = check_scaling("scaling", scaling), check_data(inputs, targets)
    (seeds, key), widths = check_seeds(seeds, key), check_widths(widths)
    loss, most = check_loss(loss, outputs_of(data.y), data.y), check_integer("max_steps", max_steps, 1)
    threshold = float(float_array("level", level, 0, "Pass a loss between the first and the last."))
    maker = of_scaling(scaling, data, activation, gain, None)

    def measure(width: int, keys: Array, data: Data) -> Float[Array, " seeds"]:
        return jax.vmap(lambda key: _steps(maker, width, key, data, loss, rate, threshold, most))(keys)

    steps = np.stack(for_every_width(measure, widths, seeds, key, data))
    if np.any(steps == 0):
        raise argument_error(
            "level", "below the loss at the start", threshold, "Networks are below before they are trained."
        )
    predicted = max(0.0, (scaling.depth - 3) / 2) if scaling.same_first_step(ip(scaling.depth)) else None
    return EscapeTimes(widths, steps, threshold, scaling.depth, predicted)


def _steps(
    maker: Maker, width: int, key: Array, data: Data, loss: Loss, rate: Any, level: float, most: int
) -> Float[Array, ""]:
    """Steps of one network; under vmap all go on, and are not looked at, until the last has escaped."""
    model, rule = maker(width, key, rate)
    loop, params = trainer(loss, model, rule, data)

    def going(carry: Any) -> Array:
        return (carry[3] >= level) & (carry[2] < most)

    def step(carry: Any) -> Any:
        params, state, count, _, gradient = carry
        params, state, _ = loop.moved(gradient, params, state)
        return params, state, count + 1, *jax.value_and_grad(loop.mean)(params)

    start = (params, rule.init(params), jnp.zeros((), int), *jax.value_and_grad(loop.mean)(params))
    _, _, count, value, _ = jax.lax.while_loop(going, step, start)
    return jnp.where(value < level, count.astype(value.dtype), jnp.inf)
