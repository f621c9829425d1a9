"""Checkpoints of a run: files from which the same call goes on where it was ended."""

import os
import re
import warnings

import equinox as eqx
import jax
import numpy as np
from jaxtyping import ArrayLike, PyTree

from ..errors import (
    DamagedFileError,
    Words,
    argument_error,
    check_integer,
    check_path,
    file_error,
    is_traced,
    positive_number,
)
from ..types import IntLike, Json, PathLike, RealLike
from .atomic import remove_unfinished
from .container import read_container, write_container
from .describe import describe
from .fingerprint import fingerprint as fingerprint
from .host import on_first_process, wait_for_all
from .rebuild import rebuild

_NAME = re.compile(r"checkpoint-(\d{8,})\.mfsym")
_PARTS = {"fingerprint", "index", "leaves"}


class Checkpoints(eqx.Module):
    """Where a run keeps files from which the same call can go on, and how often it writes them.

    Arguments: `folder`, created when the first file is written, for one run at a time; `every` seconds of wall time
    between two files, 0 for one at every opportunity; `keep` files at most stay, the newest.
    Raises ArgumentError if one of them does not fit.
    """

    folder: str = eqx.field(static=True)
    every: float = eqx.field(static=True)
    keep: int = eqx.field(static=True)

    def __init__(self, folder: PathLike, every: RealLike = 60.0, keep: IntLike = 2):
        remedy = "Pass for example mf.Checkpoints('run-1')."
        path = check_path("folder", folder, "the path of a folder", remedy)
        if os.path.exists(path) and not os.path.isdir(path):
            raise argument_error("folder", "the path of a folder, not of a file", path, remedy)
        self.folder = os.path.abspath(path)
        if is_traced(every):
            raise argument_error("every", "a plain number", every, "Files are written between compiled stretches of a run.")
        positive_number("every", every, "It is a time in seconds; 0 writes at every opportunity.", strict=False)
        self.every = float(every)
        self.keep = check_integer("keep", keep, 1, "It is the number of files that stay; 2 survive a damaged one.")


def write(checkpoints: Checkpoints, index: int, tree: PyTree, fingerprint: str) -> None:
    """Write a checkpoint with the number `index`, and only then delete those that are no longer kept.

    `tree` is a pytree of arrays; `fingerprint` tells the run that it belongs to. Files with a higher number, which
    `latest` could not read, are deleted too. With several processes every one calls this, and the first one writes.
    Raises FileError if the file cannot be written; the files before it are untouched.
    """
    leaves = jax.tree.leaves(tree)
    content, arrays = describe({"fingerprint": fingerprint, "index": index, "leaves": leaves})
    on_first_process(lambda: _write(checkpoints, index, content, arrays))


def _write(checkpoints: Checkpoints, index: int, content: Json, arrays: list[np.ndarray]) -> None:
    try:
        os.makedirs(checkpoints.folder, exist_ok=True)
    except OSError as error:
        raise file_error(checkpoints.folder, f"could not be created: {error.strerror}", "Name another folder.") from error
    write_container(os.path.join(checkpoints.folder, f"checkpoint-{index:08d}.mfsym"), content, arrays)
    older = [number for number in _numbers(checkpoints.folder) if number < index][: checkpoints.keep - 1]
    for number, name in _numbers(checkpoints.folder).items():
        if number != index and number not in older:
            os.unlink(os.path.join(checkpoints.folder, name))


def _numbers(folder: str) -> dict[int, str]:
    """The files of a folder by their number, the newest first; none where there is no folder yet."""
    names = os.listdir(folder) if os.path.isdir(folder) else ()
    found = {int(match[1]): match[0] for name in names if (match := _NAME.fullmatch(name))}
    return dict(sorted(found.items(), reverse=True))


def latest(checkpoints: Checkpoints, fingerprint: str, like: PyTree) -> PyTree:
    """The newest checkpoint of a run in the structure, and on the devices, of `like`; None where there is none.

    A file that was cut short or changed is passed over with a warning that names it, and the one before is taken; if
    none is left, the run starts anew, which costs time and nothing else. Unfinished files are removed.
    Raises ArgumentError if the folder holds the checkpoints of a run with another fingerprint, FileError if one comes
    from another version of the library or does not have the arrays of `like`.
    """
    on_first_process(lambda: remove_unfinished(checkpoints.folder))
    leaves, path = _newest(checkpoints.folder, fingerprint)
    wait_for_all()  # no process goes on, and writes, while another still looks
    return None if leaves is None else _placed(path, leaves, like)


def _newest(folder: str, fingerprint: str) -> tuple[list[ArrayLike] | None, str]:
    for name in _numbers(folder).values():
        path = os.path.join(folder, name)
        try:
            header, arrays = read_container(path)
        except DamagedFileError as error:
            warnings.warn(f"{error} The run goes on from the checkpoint before it, if there is one.", stacklevel=3)
            continue
        content = rebuild(path, header["tree"], arrays, {})
        if not isinstance(content, dict) or set(content) != _PARTS:
            raise file_error(path, "is not a checkpoint", "Delete it, or pass another folder.")
        if content["fingerprint"] != fingerprint:
            got = Words(f"{folder}, which holds another run")
            remedy = "Pass another folder, or delete this one: every argument, and the code of a target, must be the same."
            raise argument_error("checkpoint", "a folder for this very run", got, remedy)
        return content["leaves"], path
    return None, folder


def _placed(path: str, leaves: list[ArrayLike], like: PyTree) -> PyTree:
    patterns, structure = jax.tree.flatten(like)
    if [_kind(leaf) for leaf in leaves] != [_kind(pattern) for pattern in patterns]:
        raise file_error(path, "does not hold the arrays of this run", "Delete it, or pass another folder.")
    return jax.tree.unflatten(structure, [_on_devices(leaf, like) for leaf, like in zip(leaves, patterns, strict=True)])


def _kind(leaf: ArrayLike) -> tuple[tuple[int, ...], object]:
    return np.shape(leaf), getattr(leaf, "dtype", type(leaf))


def _on_devices(leaf: ArrayLike, like: PyTree) -> PyTree:
    """A leaf with the sharding of another; one that JAX was free to place stays so, or equal runs would compile twice."""
    if not isinstance(like, jax.Array) or (like.is_fully_addressable and not like.committed):
        return leaf
    return jax.device_put(leaf, like.sharding)
