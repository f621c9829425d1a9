"""Random streams beside that of fresh inputs, from the one key of a run."""

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from ..types import KeyLike

_LAST = 2**32 - 1  # the inputs of step k come from the key folded with k, and no step has a number from 2³¹ on
_PLACES = {"noise": _LAST, "elements": _LAST - 1}


def stream(key: KeyLike, name: str) -> PRNGKeyArray:
    """The key of what is drawn besides inputs: the "noise" of every step, the "elements" of a group that move inputs."""
    return jax.random.fold_in(key, np.uint32(_PLACES[name]))
