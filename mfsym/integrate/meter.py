"""The progress bar of a compiled loop: diffrax's, which works under jit and vmap and writes to stderr."""

from typing import Any

import diffrax
from jaxtyping import Array


def meter(shown: bool) -> diffrax.AbstractProgressMeter:
    """A bar on stderr, or nothing."""
    return diffrax.TqdmProgressMeter() if shown else diffrax.NoProgressMeter()


def open_meter(shown: bool) -> Any:
    """The state of a bar, to be carried through a loop."""
    return meter(shown).init()


def step_meter(shown: bool, state: Any, fraction: Array) -> Any:
    """Move a bar to a fraction of the whole."""
    return meter(shown).step(state, fraction)


def close_meter(shown: bool, state: Any) -> None:
    """Close a bar."""
    meter(shown).close(state)
