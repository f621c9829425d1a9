"""Writing a file so that its name always leads to a whole one: the old or the new."""

import contextlib
import os
import secrets
from collections.abc import Callable
from typing import BinaryIO

from ..errors import file_error

_TEMPORARY = ".tmp"


def replace_file(path: str, fill: Callable[[BinaryIO], None]) -> None:
    """Write a file by `fill` beside its final place, force it to the disk, and move it there in one step.

    What `path` held before stays whole until then. Raises FileError, with the reason of the system (a full disk, a
    missing folder, no permission), after the unfinished file has been removed.
    """
    path = os.path.realpath(path)  # a link keeps leading to the file
    folder, name = os.path.split(path)
    unfinished = os.path.join(folder, f".{name}.{secrets.token_hex(6)}{_TEMPORARY}")
    try:
        try:
            with open(unfinished, "x+b") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise
        _sync_folder(folder)
    except OSError as error:
        reason = f"could not be written: {error.strerror or error}"
        raise file_error(path, reason, "What it held before, if anything, is untouched.") from error


def _sync_folder(folder: str) -> None:
    """Force the new name to the disk as well."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: str) -> None:
    """Remove what writers that were killed have left in a folder, if there is one."""
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.startswith(".") and name.endswith(_TEMPORARY):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
