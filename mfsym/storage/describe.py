"""From a tree to its description in JSON and a list of arrays."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import Words, argument_error, check_is, is_traced
from ..solution import Status
from ..types import Json
from .host import to_host
from .kinds import Ways, way_of
from .registry import name_of_class, name_of_function

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DTYPES = ("bool", *_INTEGERS, "float16", "float32", "float64", "complex64", "complex128")
BFLOAT16 = np.dtype(jnp.bfloat16)
PARTIALS = {"jax": jax.tree_util.Partial, "functools": functools.partial}
STATUS = jax.tree.structure(Status.complete)
_DEEPEST = 100  # what is saved can also be read within Python's limit of recursion
_NAMED = "Write it as `def name(x): ...`, and pass functions={'name': name} to mf.load."


class _Parts(NamedTuple):
    """What the description counts on: arrays, and the user's functions and classes by name."""

    arrays: list[np.ndarray]
    given: dict[str, object]
    depth: int = 0


def describe(thing: object, argument: str = "thing") -> tuple[Json, list[np.ndarray]]:
    """The description of a tree, of JSON types only, and the arrays that it refers to by number.

    Raises ArgumentError, saying where in the tree, for what cannot be stored.
    """
    parts = _Parts([], {})
    return _describe(thing, argument, parts), parts.arrays


def _describe(value: Any, place: str, parts: _Parts) -> Json:
    parts = parts._replace(depth=parts.depth + 1)
    if parts.depth > _DEEPEST:
        got = Words("deeper, or contains itself")
        raise argument_error(place[:80], f"nested at most {_DEEPEST} deep", got, "Store its parts in one list.")
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    way = way_of(value, _WAYS)
    if way is not None:
        return way(value, place, parts)
    if type(value) in (tuple, list):
        items = [_describe(item, f"{place}[{index}]", parts) for index, item in enumerate(value)]
        return {type(value).__name__: items}
    if type(value) is dict:
        pairs = [(_describe(key, f"{place} key", parts), _describe(value[key], f"{place}[{key!r}]", parts)) for key in value]
        return {"dict": [list(pair) for pair in pairs]}
    if type(value) is type(Status.complete) and jax.tree.structure(value) == STATUS:
        return _status(value, place, parts)
    names = field_names(type(value))
    if names is not None:
        fields = {name: _describe(getattr(value, name), f"{place}.{name}", parts) for name in names}
        return {**_class(type(value), place, parts), "fields": fields}
    if callable(value) and not isinstance(value, type):
        return _function(value, place, parts)
    expected = "made of arrays, numbers, strings, tuples, lists, dicts, dataclasses and functions"
    raise argument_error(place, expected, Words(f"of type {type(value).__name__}"), "Store what it is made of.")


def field_names(kind: type) -> tuple[str, ...] | None:
    """The fields of a class that is a dataclass (every Module is) or a named tuple; None for other classes."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return getattr(kind, "_fields", None) if issubclass(kind, tuple) else None


def _device_array(value: jax.Array, place: str, parts: _Parts) -> Json:
    if is_traced(value):
        raise argument_error(place, "known", value, "Save outside of jax.jit, jax.vmap and jax.grad.")
    if not jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return _array({"kind": "jax", "weak": value.weak_type}, to_host(value), place, parts)
    implementation = jax.random.key_impl(value)
    check_is(place, implementation, str, "keys of a named generator", "Use jax.random.key.", Words(repr(implementation)))
    return _array({"kind": "key", "generator": implementation}, to_host(jax.random.key_data(value)), place, parts)


def _host_array(value: np.ndarray, place: str, parts: _Parts) -> Json:
    if type(value) is not np.ndarray:
        raise argument_error(place, "a plain array", Words(f"of type {type(value).__name__}"), "Use numpy.asarray.")
    return _array({"kind": "numpy"}, value, place, parts)


def _host_scalar(value: np.generic, place: str, parts: _Parts) -> Json:
    return _array({"kind": "scalar"}, np.asarray(value), place, parts)


def _array(entry: dict[str, Json], array: np.ndarray, place: str, parts: _Parts) -> Json:
    """The description of an array, which `entry` begins, once the array is among the parts."""
    entry = {"array": len(parts.arrays), **entry}
    if array.dtype != BFLOAT16 and (array.dtype.name not in _DTYPES or not array.dtype.isnative):
        raise argument_error(place, "of a dtype that files hold", Words(str(array.dtype)), "Use float64, int64 or alike.")
    parts.arrays.append(array.view(np.uint16) if array.dtype == BFLOAT16 else array)
    return {**entry, "dtype": array.dtype.name, "shape": list(array.shape)}


def _status(value: object, place: str, parts: _Parts) -> Json:
    """By the names of the members, as their numbers may change from version to version."""
    (codes,) = jax.tree.leaves(value)
    return {"status": _describe(codes, place, parts), "names": status_names()}


def status_names() -> list[str]:
    """The members of Status in the order of their numbers."""
    names = [name for name in vars(Status)["_name_to_item"]]
    return sorted(names, key=lambda name: int(jax.tree.leaves(getattr(Status, name))[0]))


def _partial(value: functools.partial, place: str, parts: _Parts) -> Json:
    kind = next((name for name, each in PARTIALS.items() if each is type(value)), None)
    if kind is None:
        raise argument_error(place, "a plain partial", Words(f"of type {type(value).__name__}"), _NAMED)
    inside = {"func": value.func, "args": value.args, "keywords": value.keywords}
    return {"partial": kind, "inside": [_describe(part, f"{place}.{name}", parts) for name, part in inside.items()]}


_WAYS: Ways = (  # kinds whose subclasses are described as they are; all others are told by their very class
    ((jax.Array,), _device_array),
    ((np.ndarray,), _host_array),
    ((np.generic,), _host_scalar),
    ((functools.partial,), _partial),
)


def _class(kind: type, place: str, parts: _Parts) -> dict[str, Json]:
    known = name_of_class(kind)
    return {"class": known} if known is not None else {"given class": _given(kind, kind.__name__, place, parts)}


def _function(function: Callable, place: str, parts: _Parts) -> dict[str, Json]:
    known = name_of_function(function)
    if known is not None:
        return {"function": known}
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or not name.isidentifier():
        got = Words("a lambda" if name == "<lambda>" else f"one without a name ({type(function).__name__})")
        raise argument_error(place, "a function with a name: a file holds names, never code", got, _NAMED)
    return {"given": _given(function, name, place, parts)}


def _given(thing: object, name: str, place: str, parts: _Parts) -> str:
    if parts.given.setdefault(name, thing) is not thing:
        expected = "the only function or class of its name in the file"
        raise argument_error(place, expected, Words(f"a second one named {name}"), "Rename one of them.")
    return name
