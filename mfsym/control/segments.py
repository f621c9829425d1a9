"""Runs in segments: a host loop around compiled stretches, which writes checkpoints and watches the clock."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import jax
import tqdm
from jaxtyping import Array, PyTree

from ..solution import Status
from ..storage.checkpoints import fingerprint, latest, write
from .control import Control

_GOAL = 0.5  # seconds of wall time between two looks at the clock
_LARGEST = 2**20


@runtime_checkable
class Place(Protocol):
    """Where a run is: a pytree of arrays, from which it goes on."""

    @property
    def running(self) -> Array:
        """Whether there is more to do."""
        ...

    @property
    def steps(self) -> Array:
        """How many steps were tried."""
        ...


_Place = TypeVar("_Place", bound=Place)


class Bar:
    """A progress bar from 0 to 1 on stderr; silent unless asked for."""

    def __init__(self, shown: bool):
        self.bar = tqdm.tqdm(total=100, unit="%", bar_format=_FORMAT, disable=not shown)

    def show(self, fraction: float) -> None:
        """Move to a fraction of the whole."""
        self.bar.n = round(100 * min(1.0, fraction), 2)
        self.bar.refresh()

    def close(self) -> None:
        """Leave the bar where it is."""
        self.bar.close()


_FORMAT = "{percentage:.2f}%|{bar}| [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


def run_segments(
    control: Control,
    mark: PyTree,
    start: _Place,
    advance: Callable[[_Place, int], _Place],
    fraction: Callable[[_Place], Array],
    max_steps: int | None = None,
) -> tuple[_Place, Status | None]:
    """Advance from `start`, or from the newest checkpoint, until the run has ended, by segments of about half a second.

    `advance(place, most)` goes at most that many steps further; `mark` is all that the run depends on. Returns the last
    place, and the reason of an end that the place does not know: out of steps, or out of wall time.
    """
    checkpoint, own = control.checkpoint, "" if control.checkpoint is None else fingerprint(mark)
    saved = None if checkpoint is None else latest(checkpoint, own, start)
    place, reason, most = start if saved is None else saved, None, 1
    goal = _GOAL if checkpoint is None else min(_GOAL, checkpoint.every)
    written, bar = time.monotonic(), Bar(control.progress)
    try:
        while bool(place.running):
            left = _LARGEST if max_steps is None else max_steps - int(place.steps)
            reason = _reason(control, left)
            if reason is not None:
                break
            began = time.monotonic()
            place = jax.block_until_ready(advance(place, min(most, left)))
            bar.show(float(fraction(place)))
            now = time.monotonic()
            if now - began < goal / 2:
                most = min(2 * most, _LARGEST)
            elif now - began > 2 * goal:
                most = max(most // 2, 1)
            if checkpoint is not None and now - written >= checkpoint.every:
                write(checkpoint, int(place.steps), place, own)
                written = time.monotonic()
    finally:
        bar.close()
    if checkpoint is not None and (saved is None or int(place.steps) > int(saved.steps)):
        write(checkpoint, int(place.steps), place, own)
    return place, reason


def _reason(control: Control, left: int) -> Status | None:
    """Why a run that could go on ends here."""
    if left <= 0:
        return Status.max_steps
    if control.started is not None and control.stop is not None and control.stop.seconds is not None:
        return Status.out_of_time if time.monotonic() - control.started >= control.stop.seconds else None
    return None
