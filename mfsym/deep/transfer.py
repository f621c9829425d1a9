"""Does the best learning rate of a narrow network serve a wide one?"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, check_flags, check_integer, float_array
from ..types import Checked, IntLike, Json, KeyLike, RealArrayLike, RealFunction, RealLike
from .optimisers import Rate
from .runs import (
    Data,
    Loss,
    Make,
    Maker,
    check_absent,
    check_data,
    check_loss,
    check_seeds,
    check_widths,
    for_every_width,
    maker_of,
    outputs_of,
    trainer,
)
from .scalings import Scaling
from .tables import aligned


class TransferCheck(NamedTuple):
    """Losses after training [W, R, seeds] at `widths` [W] and `rates` [R]. It prints as a table with the minima marked.

    A run that diverged counts as infinite.
    """

    widths: tuple[int, ...]
    rates: Float[np.ndarray, " R"]
    losses: Float[np.ndarray, "W R seeds"]
    steps: int

    @property
    def mean(self) -> Float[np.ndarray, "W R"]:
        """Means over seeds."""
        return np.mean(self.losses, axis=2)

    @property
    def best(self) -> Float[np.ndarray, " W"]:
        """The best rate of every width: the minimum of a parabola through the best and its neighbours, in log rate."""
        return 2.0 ** np.array([_minimum(np.log2(self.rates), row) for row in self.mean])

    @property
    def at_edge(self) -> tuple[bool, ...]:
        """Whether the best rate of a width is the smallest or the largest that was tried, so that it may lie beyond."""
        return tuple(int(np.argmin(row)) in (0, len(row) - 1) for row in self.mean)

    @property
    def shift(self) -> float:
        """Octaves by which the best rate moves for every doubling of the width, by least squares."""
        return float(self._shift_of(self.mean))

    @property
    def shift_error(self) -> float:
        """Standard error of the shift, from seeds one by one."""
        each = [self._shift_of(self.losses[:, :, seed]) for seed in range(self.losses.shape[2])]
        return float(np.std(each, ddof=1) / np.sqrt(len(each)))

    def _shift_of(self, losses: Float[np.ndarray, "W R"]) -> float:
        best = [_minimum(np.log2(self.rates), row) for row in losses]
        return float(np.polyfit(np.log2(self.widths), best, 1)[0])

    @property
    def cost(self) -> float:
        """Loss of the widest networks at the best rate of the narrowest, over their loss at the best of their own."""
        mean = self.mean
        own, least = float(mean[-1, np.argmin(mean[0])]), float(np.min(mean[-1]))
        return own / least if least > 0 else (1.0 if own == least else float("inf"))

    def as_dict(self) -> dict[str, Json]:
        """Plain numbers for JSON."""
        mean = [[float(value) if np.isfinite(value) else None for value in row] for row in self.mean]
        found = {"widths": list(self.widths), "rates": self.rates.tolist(), "steps": self.steps, "mean": mean}
        cost = self.cost if np.isfinite(self.cost) else None
        numbers = {"shift": self.shift, "shift_error": self.shift_error, "cost": cost}
        return {**found, "best": self.best.tolist(), "at_edge": list(self.at_edge), **numbers}

    def __str__(self) -> str:
        mean, best = self.mean, np.argmin(self.mean, axis=1)
        rows = [("rate", *(f"m = {width} " for width in self.widths))]
        for index, rate in enumerate(self.rates):
            cells = [f"{row[index]:.4g}" if np.isfinite(row[index]) else "diverged" for row in mean]
            rows.append((f"{rate:.4g}", *(f"{cell}{'*' if best[w] == index else ' '}" for w, cell in enumerate(cells))))
        lines = aligned(rows)
        lines.append(
            f"The best rate (*) moves by {self.shift:+.2f} ± {self.shift_error:.2f} octaves per doubling of the width."
        )
        narrow, wide = self.widths[0], self.widths[-1]
        price = f"{self.cost:.3g} times its smallest" if np.isfinite(self.cost) else "infinite"
        lines.append(f"At the best rate of m = {narrow} the loss of m = {wide} is {price}.")
        if any(self.at_edge):
            edges = ", ".join(str(width) for width, edge in zip(self.widths, self.at_edge, strict=True) if edge)
            lines.append(f"At the edge of the rates, so that more are needed: m = {edges}.")
        return "\n".join(lines)


def _minimum(logs: Float[np.ndarray, " R"], losses: Float[np.ndarray, " R"]) -> float:
    """log₂ of the best rate, refined where both neighbours are finite."""
    index = int(np.argmin(losses))
    if index in (0, len(losses) - 1) or not np.all(np.isfinite(losses[index - 1 : index + 2])):
        return float(logs[index])
    x, y = logs[index - 1 : index + 2], losses[index - 1 : index + 2]
    square, slope, _ = np.polyfit(x - x[1], y, 2)
    inside = -slope / (2 * square) if square > 0 else 0.0
    return float(x[1] + np.clip(inside, x[0] - x[1], x[2] - x[1]))


def transfer_check(
    make: Make,
    widths: Checked[tuple[int, ...]],
    rates: RealArrayLike,
    inputs: RealArrayLike,
    targets: RealArrayLike,
    *,
    loss: Loss,
    steps: IntLike,
    activation: RealFunction | None = None,
    gain: RealLike | None = None,
    bias: Checked[bool] = False,
    first_rates: Rate | None = None,
    base_width: IntLike | None = None,
    seeds: IntLike = 2,
    key: KeyLike | None = None,
) -> TransferCheck:
    """Losses after `steps` steps on all samples at every width and learning rate: whether the best rate stays where it is.

    Arguments: `make`, a Scaling, as in `coordinate_check`, with the width `base_width` at which all scalings are the same
    network (1); or a function make(width, key, rate) -> (model, optimiser); `rates` [R], positive and increasing. All of
    a width run in one program. The loss is the mean over samples after the last step.
    Raises ArgumentError for rates and widths that do not increase, and what Perceptron and optimiser refuse.
    """
    check_flags(bias=bias)
    data, (seeds, key) = check_data(inputs, targets), check_seeds(seeds, key)
    widths, steps = check_widths(widths), check_integer("steps", steps, 1)
    found = np.asarray(float_array("rates", rates, 1), float)
    if len(found) < 3 or found[0] <= 0 or np.any(np.diff(found) <= 0):
        raise argument_error(
            "rates", "at least three positive numbers, increasing", rates, "Such as 2.0 ** jnp.arange(-4, 3)."
        )
    loss = check_loss(loss, outputs_of(data.y) if isinstance(make, Scaling) else None, data.y)
    if not isinstance(make, Scaling):
        check_absent(activation=activation, bias=bias)
    options: Any = {"gain": gain, "bias": bool(bias), "first_rates": first_rates, "base_width": base_width}
    maker = maker_of(make, ("width", "key", "rate"), data, activation=activation, **options)

    def measure(width: int, keys: Array, data: Data) -> Float[Array, "R seeds"]:
        one = lambda rate, key: _last_loss(maker, width, key, rate, data, loss, steps)  # noqa: E731
        return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(jnp.asarray(found, float), keys)

    losses = np.stack(for_every_width(measure, widths, seeds, key, data))
    return TransferCheck(widths, found, np.where(np.isfinite(losses), losses, np.inf), steps)


def _last_loss(maker: Maker, width: int, key: Array, rate: Array, data: Data, loss: Loss, steps: int) -> Float[Array, ""]:
    """The loss of one network after its steps."""
    model, rule = maker(width, key, rate)
    loop, params = trainer(loss, model, rule, data)
    return loop.mean(loop.steps(params, rule.init(params), steps)[0])
