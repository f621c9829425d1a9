"""Arrays between the devices and the host, and several processes that write one file."""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from ..errors import FileError


def to_host(array: jax.Array) -> np.ndarray:
    """The whole array in the memory of this process, wherever its shards are.

    An array with shards that only other processes can see is gathered: every process must then call this.
    """
    if not array.is_fully_addressable:
        array = multihost_utils.process_allgather(array, tiled=True)
    return np.asarray(array)


def on_first_process(action: Callable[[], None]) -> None:
    """Run an action on process 0 while the others wait for it; if it fails, every process raises."""
    if jax.process_count() == 1:
        action()
        return
    failure = None
    if jax.process_index() == 0:
        try:
            action()
        except Exception as error:
            failure = error
    succeeded = multihost_utils.broadcast_one_to_all(np.asarray(failure is None))
    if failure is not None:
        raise failure
    if not succeeded:
        raise FileError("Process 0 could not write the file: its own error says why.")


def wait_for_all() -> None:
    """Return when every process has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("mfsym")
