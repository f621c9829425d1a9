"""One number for everything that a run depends on."""

import dataclasses
import functools
import hashlib
import re
import types
from collections.abc import Collection
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..errors import argument_error, is_traced
from ..version import __version__
from .host import to_host
from .kinds import Ways, way_of

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_BY_NAME = ("jax", "jaxlib", "numpy")  # packages whose functions and objects are told apart by their names


def fingerprint(tree: object) -> str:
    """SHA-256 (64 hexadecimal digits) of a tree and of the version of the library.

    It covers the structure, the dtype, shape and bytes of every array (wherever its shards are), static fields, and
    functions: their names, code and defaults, what they close over, and what they use of the module they stand in.
    Equal calls have equal fingerprints in every process; comments and the lines where code stands do not matter.
    Raises ArgumentError where an array is traced.
    """
    digest = hashlib.sha256()
    _Walk(digest.update).visit((__version__, tree))
    return digest.hexdigest()


class _Walk:
    """Feeds a tree to `update` in one order. Functions and plain objects met again are given by their number."""

    def __init__(self, update):
        self.update = update
        self.met: dict[int, tuple[int, object]] = {}  # the object is kept, so that its id stays taken
        self.plain: Ways = (
            ((type(None), bool, int, float, complex, str, bytes), lambda value: self.say(type(value).__name__, repr(value))),
            ((jax.Array,), self._device_array),
            ((np.ndarray, np.generic), self._array),
            ((dict,), self._dict),
            ((tuple, list), lambda value: self._items(_name(type(value)), value)),
            ((set, frozenset), lambda value: self._items(type(value).__name__, sorted(value, key=repr))),
            ((type, types.ModuleType, np.dtype), lambda value: self.say("name", _name(value))),
            ((types.CodeType,), self._code),
            ((eqx.Module,), self._fields),
        )
        self.objects: Ways = (
            ((functools.partial,), lambda value: self._items(_name(type(value)), (value.func, value.args, value.keywords))),
            ((types.FunctionType,), self._function),
            ((types.MethodType,), lambda value: self._items("method", (value.__func__, value.__self__))),
        )

    def say(self, *words: object) -> None:
        self.update(("\x1f".join(str(word) for word in words) + "\x1e").encode())

    def visit(self, value: object) -> None:
        if is_traced(value):
            remedy = "A run that writes checkpoints cannot be inside jax.jit, jax.vmap or jax.grad."
            raise argument_error("checkpoint", "None where arrays are traced", value, remedy)
        (way_of(value, self.plain) or self._object)(value)

    def _items(self, kind: str, items: Collection) -> None:
        self.say(kind, len(items))
        for item in items:
            self.visit(item)

    def _dict(self, value: dict) -> None:
        self._items("dict", [item for key in sorted(value, key=repr) for item in (key, value[key])])

    def _device_array(self, array: jax.Array) -> None:
        keys = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
        self.say("key" if keys else "jax", array.dtype, not keys and array.weak_type)
        self._array(to_host(jax.random.key_data(array) if keys else array))

    def _array(self, array: np.ndarray | np.generic) -> None:
        if array.dtype.hasobject:
            self._items("objects", [array.shape, *array.ravel().tolist()])
            return
        self.say("array", array.dtype, array.shape)
        self.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def _fields(self, value: Any) -> None:
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        self._items(_name(type(value)), (fields,))

    def _object(self, value: Any) -> None:
        if id(value) in self.met:
            self.say("again", self.met[id(value)][0])
            return
        self.met[id(value)] = (len(self.met), value)
        wrapped, way = getattr(value, "__wrapped__", None), way_of(value, self.objects)
        if _name(value).split(".")[0] in _BY_NAME and hasattr(value, "__name__"):
            self.say("name", _name(value))
        elif way is not None:
            way(value)
        elif dataclasses.is_dataclass(value):
            self._fields(value)
        elif wrapped is not None:
            self._items(_name(type(value)), (wrapped,))
        else:
            attributes = getattr(value, "__dict__", None)
            words = (_name(value) if attributes is None and callable(value) else _ADDRESS.sub("", repr(value)),)
            self._items(_name(type(value)), words if attributes is None else (attributes,))

    def _function(self, function: types.FunctionType) -> None:
        self.say("function", _name(function))
        self._code(function.__code__)
        cells = [_contents(cell) for cell in function.__closure__ or ()]
        around = {name: function.__globals__.get(name) for name in _names(function.__code__)}
        used = {name: value for name, value in around.items() if _belongs(value, function.__module__)}
        self._items("around", (function.__defaults__, function.__kwdefaults__, cells, used))

    def _code(self, code: types.CodeType) -> None:
        self.say("code", code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars)
        for constant in code.co_consts:
            self.visit(constant)


def _names(code: types.CodeType) -> set[str]:
    """Names that a code looks up outside itself, those of the functions inside it too."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _belongs(value: object, module: str | None) -> bool:
    """Whether a global is data, or a function or class of the same module; others are told by the code that names them."""
    return not isinstance(value, types.ModuleType) and (not callable(value) or getattr(value, "__module__", None) == module)


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _name(value: object) -> str:
    own = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or str(value)
    module = getattr(value, "__module__", None)
    return _ADDRESS.sub("", f"{module}.{own}" if module else str(own))
