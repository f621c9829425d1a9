"""`mf.save` and `mf.load`: problems, clouds, reductions, solutions and reports in files."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Words, argument_error, check_is, check_names, check_path
from ..types import Checked, PathLike
from .container import read_container, write_container
from .describe import describe
from .host import on_first_process
from .rebuild import rebuild

_PATH = "Pass for example 'run.mfsym'."


def save(path: PathLike, thing: object) -> None:
    """Save a problem, a cloud, a reduction, a solution or a report, so that `load` gives back the same.

    Arguments: `path` of the file, whose folder exists; a file of that name is replaced once the new one is safe on the
    disk. `thing`: objects of this library, and tuples, lists, dicts, dataclasses, arrays, keys and numbers. Functions
    of jax.numpy and jax.nn are saved by their names; so are functions and classes of your own, which must be given to
    `load`. Sharded arrays are gathered; with several processes every one calls this, and the first one writes.
    Raises ArgumentError, saying where, for what a file cannot hold: a lambda, an unknown kind of object, a traced
    array. Raises FileError if the file cannot be written.
    """
    tree, arrays = describe(thing)
    path = _check_path(path)
    on_first_process(lambda: write_container(path, tree, arrays))


def load(
    path: PathLike, *, expect: Checked[type | None] = None, functions: Checked[Mapping[str, Callable] | None] = None
) -> Any:
    """What `save` has put into a file, bit for bit; arrays are on the default device.

    Arguments: `path`; `expect`, the class that the file must hold; `functions`, your own functions and classes that
    the file names, for example {"teacher": teacher}. They must be those of the saved object: a file holds no code, and
    loading runs none.
    Raises FileError if the file is damaged, of another kind, of another format version or does not fit this version of
    the library, or holds float64 where JAX is set up for float32; ArgumentError if a function is missing or the file
    holds another class; FileNotFoundError if there is no such file.
    """
    path = _check_path(path)
    kind = object if expect is None else check_is("expect", expect, type, "a class", "Pass for example mf.Solution.")
    given = {} if functions is None else functions
    given = check_names("functions", given, "a dict from names to functions", "Pass {'name': name}.")
    header, arrays = read_container(path)
    thing = rebuild(path, header["tree"], arrays, given)
    got = Words(f"{path}, which holds one of type {type(thing).__name__}")
    return check_is("path", thing, kind, f"a file with an object of type {kind.__name__}", "Choose another file.", got)


def _check_path(path: PathLike) -> str:
    text = check_path("path", path, "the path of a file", _PATH)
    if os.path.isdir(text):
        raise argument_error("path", "the path of a file", Words(f"the folder {text}"), _PATH)
    return text
