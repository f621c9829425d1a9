"""From a description and its arrays back to the tree. Nothing here imports, evaluates or unpickles anything."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..errors import ArgumentError, FileError, Words, argument_error, file_error
from ..types import Json
from .describe import BFLOAT16, PARTIALS, STATUS, field_names, status_names
from .registry import known_classes, known_functions

Given: TypeAlias = Mapping[str, object]  # functions and classes of the user, by name
_Known = TypeVar("_Known")


def rebuild(path: str, tree: Json, arrays: list[np.ndarray], given: Given) -> Any:
    """The tree of a file, with the user's functions and classes from `given`.

    Raises ArgumentError if one of these is missing, FileError if the description does not fit the arrays, the classes
    of this version, or the precision that JAX is set up for.
    """
    try:
        _check_given(path, _given_names(tree), given)
        rebuilder = _Rebuilder(path, arrays, given)
        found = rebuilder.tree(tree)
        if rebuilder.unused:
            raise _Misfit(f"{len(rebuilder.unused)} arrays are left over")
    except (ArgumentError, FileError):
        raise
    except _Misfit as error:
        raise _misfit(path, str(error)) from error
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise _misfit(path, f"{type(error).__name__}: {error}") from error
    return found


def _misfit(path: str, words: str) -> FileError:
    return file_error(path, f"does not fit this version of mfsym: {words}", "Load it where it was written.")


class _Misfit(ValueError):
    """What in a description does not fit."""


def _check_given(path: str, names: set[str], given: Given) -> None:
    """Everything that is missing at once, not one after the other."""
    missing = sorted(names - set(given))
    if missing:
        call = ", ".join(f"{name!r}: {name}" for name in missing)
        expected = f"a dict with the functions or classes {', '.join(missing)} that `{path}` names"
        remedy = f"A file holds no code: pass functions={{{call}}}."
        raise argument_error("functions", expected, Words(f"one with {sorted(given) or 'none'}"), remedy)


def _given_names(tree: Json) -> set[str]:
    """The names of the user's functions and classes in a description."""
    if isinstance(tree, list):
        return set().union(*map(_given_names, tree))
    if not isinstance(tree, dict):
        return set()
    here = {tree[tag] for tag in ("given", "given class") if tag in tree}
    inside = tree["fields"].values() if "fields" in tree else tree.values()  # a field may have any name
    return here.union(*map(_given_names, inside))


class _Rebuilder:
    """Turns descriptions into values, and keeps count of the arrays that were used."""

    def __init__(self, path: str, arrays: list[np.ndarray], given: Given):
        self.path, self.arrays, self.given = path, arrays, given
        self.unused = set(range(len(arrays)))
        self.classes, self.functions = known_classes(), known_functions()
        self.kinds: dict[str, Callable[[dict], object]] = {
            "float": lambda entry: float(entry["float"]),
            "tuple": lambda entry: tuple(self.tree(item) for item in entry["tuple"]),
            "list": lambda entry: [self.tree(item) for item in entry["list"]],
            "dict": lambda entry: {self.tree(key): self.tree(item) for key, item in entry["dict"]},
            "array": self.array,
            "status": self.status,
            "partial": self.partial,
            "function": lambda entry: _look_up(self.functions, entry["function"]),
            "given": self.given_function,
            "class": self.known_class,
            "given class": self.given_class,
        }

    def tree(self, entry: Json) -> Any:
        if not isinstance(entry, dict):
            return entry
        return _look_up(self.kinds, next(iter(entry), ""))(entry)

    def array(self, entry: dict) -> jax.Array | np.ndarray | np.generic:
        self.unused.remove(entry["array"])
        array = self.arrays[entry["array"]]
        if entry["dtype"] == BFLOAT16.name and array.dtype == np.uint16:
            array = array.view(BFLOAT16)
        if array.dtype.name != entry["dtype"] or list(array.shape) != entry["shape"]:
            got = f"{array.dtype.name}{list(array.shape)}"
            raise _Misfit(f"array {entry['array']} is {got}, not {entry['dtype']}{entry['shape']}")
        if entry["kind"] in ("numpy", "scalar"):
            return array if entry["kind"] == "numpy" else array[()]
        if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
            reason = f"holds {array.dtype.name} arrays, which JAX is not set up for"
            raise file_error(self.path, reason, 'Run jax.config.update("jax_enable_x64", True) first.')
        if entry["kind"] == "key":
            return jax.random.wrap_key_data(jnp.asarray(array), impl=entry["generator"])
        return _weak(array) if entry["weak"] else jnp.asarray(array)

    def status(self, entry: dict) -> object:
        codes, known = self.array(entry["status"]), status_names()
        numbers = [known.index(entry["names"][code]) for code in np.ravel(codes)]
        found = np.asarray(numbers, codes.dtype).reshape(codes.shape)
        return jax.tree.unflatten(STATUS, [jnp.asarray(found) if entry["status"]["kind"] == "jax" else found])

    def partial(self, entry: dict) -> object:
        function, arguments, keywords = (self.tree(part) for part in entry["inside"])
        return PARTIALS[entry["partial"]](function, *arguments, **keywords)

    def given_function(self, entry: dict) -> Callable:
        found = self.given[entry["given"]]
        if not callable(found):
            raise argument_error("functions", f"a dict with a function {entry['given']}", found, "Pass the function itself.")
        return found

    def known_class(self, entry: dict) -> object:
        return self.instance(_look_up(self.classes, entry["class"]), entry["fields"])

    def given_class(self, entry: dict) -> object:
        name = entry["given class"]
        found = self.given[name]
        if not isinstance(found, type) or field_names(found) is None:
            remedy = f"Pass functions={{{name!r}: {name}}}, the class itself."
            raise argument_error("functions", f"a dict with the class {name} of the saved object", found, remedy)
        return self.instance(found, entry["fields"])

    def instance(self, kind: type, described: dict[str, Json]) -> object:
        """An object of a class, field by field: its constructor would cast, check and derive a second time."""
        names = field_names(kind) or ()
        if set(names) != set(described):
            raise _Misfit(f"{kind.__name__} has the fields {', '.join(names)}, but in the file {', '.join(described)}")
        values = {name: self.tree(described[name]) for name in names}
        if issubclass(kind, tuple):
            return kind(**values)
        new = object.__new__(kind)
        for field in dataclasses.fields(kind):
            _check_field(kind, field, values[field.name])
            object.__setattr__(new, field.name, values[field.name])
        return new


def _check_field(kind: type, field: dataclasses.Field, value: object) -> None:
    """A field that is declared to hold some Module holds one of that class, or None."""
    declared = field.type
    if isinstance(declared, type) and issubclass(declared, eqx.Module) and not isinstance(value, (declared, type(None))):
        raise _Misfit(f"{kind.__name__}.{field.name} is a {type(value).__name__}, not a {declared.__name__}")


def _look_up(known: Mapping[str, _Known], name: str) -> _Known:
    if name not in known:
        raise _Misfit(f"it has no {name}")
    return known[name]


def _weak(array: np.ndarray) -> jax.Array:
    """A weakly typed array, where JAX is set up to have one of this dtype: it starts from a Python number."""
    number = jnp.asarray(array.item() if array.ndim == 0 else array.dtype.type(0).item())
    if number.dtype != array.dtype:
        return jnp.asarray(array)
    return number if array.ndim == 0 else jnp.broadcast_to(number, array.shape).at[...].set(jnp.asarray(array))
