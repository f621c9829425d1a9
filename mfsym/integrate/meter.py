"""The progress bar of a compiled loop: diffrax's, which works under jit and vmap and writes to stderr."""

import diffrax
from jaxtyping import Array, PyTree


def meter(shown: bool) -> diffrax.AbstractProgressMeter:
    """A bar on stderr, or nothing."""
    return diffrax.TqdmProgressMeter() if shown else diffrax.NoProgressMeter()


def open_meter(shown: bool) -> PyTree:
    """The state of a bar, to be carried through a loop."""
    return meter(shown).init()


def step_meter(shown: bool, state: PyTree, fraction: Array) -> PyTree:
    """Move a bar to a fraction of the whole."""
    return meter(shown).step(state, fraction)


def close_meter(shown: bool, state: PyTree) -> None:
    """Close a bar."""
    meter(shown).close(state)
