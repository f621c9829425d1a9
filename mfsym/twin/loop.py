"""What was read of a training loop."""

from typing import NamedTuple

from ..problem.training import Training
from .losses import Loss
from .network import OFFSET, Network
from .rules import Rule
from .scaling import Pace, Scaling


class Clock(NamedTuple):
    """t = per_step · step in the flow time of the problem, and why; of a schedule, step is that of the largest rate."""

    per_step: float
    why: str


class Loop(NamedTuple):
    """A network, what its optimiser does, its loss, its scaling, its pace, and its batch (None for all inputs)."""

    network: Network
    rule: Rule
    loss: Loss
    scaling: Scaling
    pace: Pace
    batch: int | None

    @property
    def offset(self) -> float:
        """s c at the start."""
        if self.network.offset is None or self.network.width is None:
            return 0.0
        return self.scaling.scale(self.network.width) * self.network.offset

    def reason_of_step(self, training: Training) -> str:
        """Where the length of a step in flow time comes from."""
        factor = "" if self.loss.factor == 1 else f"{self.loss.factor:g} (the loss) × "
        if self.network.width is None:
            return f"{factor}η, whose rates for the layers of {self.network.kind} keep it"
        inner = float(training.rate_b) > 0
        layer = "input weights move by η p²/m" if inner else "output weights move by η m s²"
        return f"{factor}one step of the loop: {layer} in units of their mean-field force"

    def assumed(self) -> tuple[str, ...]:
        """What the twin takes for granted of a loop of this kind."""
        words = ["the loss is a mean over the inputs of a step"] if "summed" not in self.loss.words else []
        if self.batch is None:
            words.append("all inputs: the twin descends the population risk; a data set stands for it while it is large")
        else:
            words.append(
                f"batches of {self.batch} fresh inputs: the twin follows the mean gradient. The noise of a batch is "
                "common to all neurons and does not fall with m; it is of order step/batch in the risk"
            )
        if OFFSET in self.network.layers:
            first = f"the output bias, {self.offset:.2g} at the start"
            words.append(f"{first}, moves like one of m neurons: it is 0 in the limit")
        return tuple(words)
