"""What accompanies a run, in one object."""

import time

import equinox as eqx
import jax
from jaxtyping import PyTree

from ..errors import argument_error, check_flags, check_instance, is_traced
from ..storage.checkpoints import Checkpoints
from ..types import Checked, Observe
from .observers import Observers
from .stop import Stop

_TRACED = "left out under jit, vmap and grad"


class Control(eqx.Module):
    """Where a run stops, the checkpoints it writes, its progress bar, what else is seen of it, and when the call began.

    The levels of `stop` are arrays, and `observers` act inside of compiled code; all the rest belongs to the host.
    """

    stop: Stop | None
    checkpoint: Checkpoints | None = eqx.field(static=True)
    progress: bool = eqx.field(static=True)
    observers: Observers
    started: float | None = eqx.field(static=True)  # only where wall time counts, so that equal calls compile once

    def __init__(
        self,
        stop: Checked[Stop | None] = None,
        checkpoint: Checked[Checkpoints | None] = None,
        progress: Checked[bool] = False,
        observe: Observe | None = None,
    ):
        check_flags(progress=progress)
        if stop is not None:
            check_instance("stop", stop, Stop, "Pass for example mf.Stop(risk=1e-3).")
        if checkpoint is not None:
            check_instance("checkpoint", checkpoint, Checkpoints, 'Pass for example mf.Checkpoints("folder").')
        self.stop, self.checkpoint, self.progress = stop, checkpoint, bool(progress)
        self.observers = Observers(observe)
        self.started = time.monotonic() if stop is not None and stop.seconds is not None else None

    @property
    def levels(self) -> Stop | None:
        """What compiled loops decide."""
        return None if self.stop is None else self.stop.levels()

    @property
    def in_segments(self) -> bool:
        """Whether the host has something to do during the run."""
        return self.checkpoint is not None or self.started is not None

    def bare(self) -> "Control":
        """The part that compiled code needs."""
        return Control(self.levels, observe=self.observers.functions)

    def check_concrete(self, tree: PyTree) -> None:
        """Refuse what the host does during a run where the run is traced."""
        if not self.in_segments or not any(is_traced(leaf) for leaf in jax.tree.leaves(tree)):
            return
        reason = "The host acts between compiled stretches of the run, which a traced run does not have."
        if self.checkpoint is not None:
            raise argument_error("checkpoint", _TRACED, self.checkpoint.folder, reason)
        assert self.stop is not None
        raise argument_error("stop", f"without `seconds`, which is {_TRACED}", self.stop, reason)

    def check_stepped(self) -> None:
        """Refuse what the host does during a run where nothing is stepped."""
        if self.in_segments:
            argument = "checkpoint" if self.checkpoint is not None else "stop"
            expected = "left out" if self.checkpoint is not None else "without `seconds`"
            remedy = "All of a closed solution is computed at once."
            raise argument_error(argument, f"{expected} for a closed solution", getattr(self, argument), remedy)
