"""Every message a user can meet: the argument, what was expected, what came, and the way out."""

import numbers
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from .types import DTypeLike, IntLike, KeyLike, PathLike, RealArrayLike, RealLike, Times

_WITHOUT_SYMMETRY = "Use `solve_particles`, which needs no symmetry."
_Kind = TypeVar("_Kind")


class ArgumentError(ValueError):
    """A wrong argument, reported before anything is compiled."""


class NoReductionError(ArgumentError):
    """The problem has no reduced equation that the library can solve; the message says why."""


class NoTwinError(ArgumentError):
    """A training loop that has no exact limit of infinite width here; the message says why, and what comes closest."""


class SolveError(RuntimeError):
    """A run that ended early. `solution` holds what was computed up to there."""

    def __init__(self, message: str, solution: PyTree):
        RuntimeError.__init__(self, message)
        self.solution = solution


class FileError(OSError, ValueError):
    """A file that cannot be written, or cannot be read back; the message names it and the reason."""


class DamagedFileError(FileError):
    """A file that is not one of this library, or was cut short or changed since it was written."""


class Words(str):
    """What came, in words: it stands in a message as it is, without quotation marks."""


def argument_error(argument: str, expected: str, got: object, remedy: str) -> ArgumentError:
    """The one form of every message about a wrong argument."""
    return ArgumentError(_sentence(argument, expected, got, remedy))


def no_reduction(reason: str, remedy: str = _WITHOUT_SYMMETRY) -> NoReductionError:
    """The one form of every refusal to reduce."""
    return NoReductionError(f"This problem has no reduced equation here: {reason}. {remedy}")


def file_error(path: PathLike, reason: str, remedy: str, kind: type[FileError] = FileError) -> FileError:
    """The one form of every message about a file."""
    return kind(f"File `{path}` {reason}. {remedy}")


def _sentence(argument: str, expected: str, got: object, remedy: str) -> str:
    return f"Argument `{argument}` must be {expected}, but is {describe(got)}. {remedy}"


def describe(value: Any) -> str:
    """A value as a reader wants to see it: small ones whole, arrays by shape and dtype."""
    if isinstance(value, Words):
        return str(value)
    if is_traced(value):
        return f"a traced array of shape {value.shape}"
    if hasattr(value, "shape") and hasattr(value, "dtype") and np.size(value) > 8:
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    if hasattr(value, "tolist"):
        return repr(value.tolist())
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_is(
    argument: str,
    value: object,
    kinds: type[_Kind] | tuple[type[_Kind], ...],
    expected: str,
    remedy: str,
    got: object = None,
) -> _Kind:
    """A value of one of a few kinds; `got` are words for any other, where its own do not say what matters."""
    if not isinstance(value, kinds):
        raise argument_error(argument, expected, value if got is None else got, remedy)
    return value


def check_instance(argument: str, value: object, kinds: type[_Kind] | tuple[type[_Kind], ...], remedy: str) -> _Kind:
    """The same in words about classes."""
    names = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
    return check_is(argument, value, kinds, f"of type {names}", remedy, Words(f"of type {type(value).__name__}"))


def is_traced(value: object) -> bool:
    """Whether a value is known only inside a JAX transformation, so that it cannot be inspected."""
    return isinstance(value, Tracer)


_FLAGS = (bool, np.bool_)
_LARGEST = 2**31 - 1  # indices and counters are 32-bit integers where double precision is off


def check_integer(argument: str, value: IntLike, minimum: int, remedy: str = "Pass a plain integer.") -> int:
    """A static integer of at least `minimum`, and less than 2³¹."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, _FLAGS)
    dtype = getattr(value, "dtype", None)
    if dtype is not None and not is_integer and getattr(value, "shape", None) == ():
        got = Words(f"an array of dtype {dtype} that holds {describe(value)}")
        raise argument_error(argument, f"a plain integer of at least {minimum}", got, f"Pass int(...) of it. {remedy}")
    if not is_integer or int(value) < minimum:
        raise argument_error(argument, f"an integer of at least {minimum}", value, remedy)
    if int(value) > _LARGEST:
        raise argument_error(argument, f"an integer of at most {_LARGEST}", value, remedy)
    return int(value)


def check_flags(**flags: object) -> None:
    """True or False, and nothing that merely counts as one of them: "no" would count as True."""
    for argument, value in flags.items():
        check_is(argument, value, _FLAGS, "True or False", "Pass a plain bool.")


def check_sequence(argument: str, value: object, expected: str, remedy: str) -> tuple[Any, ...]:
    """A tuple or a list, as a tuple; its entries are checked by themselves."""
    return tuple(check_is(argument, value, (tuple, list), expected, remedy))


def check_names(argument: str, value: object, expected: str, remedy: str) -> Mapping[str, Any]:
    """A dict from names to anything; what the names stand for is checked by itself."""
    table = check_is(argument, value, Mapping, expected, remedy)
    for name in table:
        check_is(argument, name, str, "made of names", remedy)
    return table


def check_path(argument: str, value: PathLike, expected: str, remedy: str) -> str:
    """A path that is not empty, as text."""
    path = os.fsdecode(check_is(argument, value, (str, os.PathLike), expected, remedy))
    if not path:
        raise argument_error(argument, expected, value, remedy)
    return path


def check_choice(argument: str, value: object, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    expected, remedy = f"one of {', '.join(repr(choice) for choice in choices)}", "Choose one of these."
    word = check_is(argument, value, str, expected, remedy)
    if word not in choices:
        raise argument_error(argument, expected, value, remedy)
    return word


def check_reducible(
    value: object, kind: type[_Kind] | tuple[type[_Kind], ...], reason: str, remedy: str = _WITHOUT_SYMMETRY
) -> _Kind:
    """An object of one of a few types, without which there is no reduced equation, for this reason."""
    if not isinstance(value, kind):
        raise no_reduction(reason, remedy)
    return value


def float_array(
    argument: str, value: RealArrayLike | RealLike, ndim: int | None, remedy: str = "Pass finite real numbers."
) -> jax.Array:
    """A real floating array with `ndim` axes; entries are checked where they are concrete."""
    expected = "a real array" if ndim is None else ("a real number" if ndim == 0 else f"a real array with {ndim} axes")
    try:
        array = value if isinstance(value, jax.Array) else np.asarray(value)
    except Exception:
        raise argument_error(argument, expected, value, remedy) from None
    if array.dtype.kind not in "fiub" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise argument_error(argument, expected, value, remedy)
    if array.dtype.kind == "b" or (ndim is not None and array.ndim != ndim):
        raise argument_error(argument, expected, value, remedy)
    if not is_traced(array) and not is_finite(array):
        raise argument_error(argument, f"{expected} with finite entries", value, remedy)
    dtype = jnp.result_type(float)
    if isinstance(array, jax.Array):
        return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(dtype)
    with np.errstate(over="ignore"):  # on the host: inside jit a constant of jnp could not be looked at
        converted = array.astype(dtype)
    if not np.all(np.isfinite(converted)):
        raise argument_error(argument, f"{expected} within the range of {dtype}", value, remedy)
    return jnp.asarray(converted)


def is_spread_out(array: jax.Array | np.ndarray) -> bool:
    """Whether parts of an array lie on several devices, where they stay: this process may not even see all of them."""
    return isinstance(array, jax.Array) and len(array.sharding.device_set) > 1


def is_finite(array: jax.Array | np.ndarray) -> bool:
    """Whether all entries of a concrete array are finite."""
    if is_spread_out(array):
        return bool(_all_finite(array))
    return bool(np.all(np.isfinite(np.asarray(array, dtype=float))))


@jax.jit
def _all_finite(array: jax.Array) -> jax.Array:
    return jnp.all(jnp.isfinite(array))


def positive_number(argument: str, value: RealLike, remedy: str, strict: bool = True) -> jax.Array:
    """A real number, positive (or non-negative), as a floating array."""
    number = float_array(argument, value, 0, remedy)
    known = 1.0 if is_traced(number) else float(number)  # inside jit a comparison of arrays would be traced
    if known < 0 or (strict and known == 0):
        expected = "a positive number" if strict else "a non-negative number"
        raise argument_error(argument, expected, value, remedy)
    return number


def check_times(ts: Times) -> jax.Array:
    """Flow times [T]: they start at 0 and increase."""
    remedy = "Pass for example jnp.linspace(0.0, 10.0, 101)."
    times = float_array("ts", ts, 1, remedy)
    if times.shape[0] < 2:
        raise argument_error("ts", "at least two times", ts, remedy)
    if not is_traced(times):
        values = np.asarray(times)
        if values[0] != 0.0 or np.any(np.diff(values) <= 0.0):
            raise argument_error("ts", "strictly increasing times that start at 0", ts, remedy)
    return times


def check_increasing(ts: jax.Array) -> None:
    """Times that are different numbers in the floating type of a run; the smallest numbers count as 0 there."""
    if is_traced(ts):
        return
    values, kind = np.asarray(ts), jnp.finfo(ts.dtype)
    if not np.all(np.isfinite(values)) or np.any(np.diff(values) <= 0.0) or abs(values[1]) < kind.tiny / kind.eps:
        remedy = "Take fewer times, or scale the problem so that time runs in ordinary numbers."
        raise argument_error("ts", f"different numbers in {ts.dtype}", ts, remedy)


FLOATING = (jnp.dtype("float32"), jnp.dtype("float64"))  # what a run can be done in


def check_floating(dtype: DTypeLike | None) -> np.dtype:
    """A floating dtype that this JAX configuration can hold."""
    expected, remedy = "float32 or float64", "Pass for example jnp.float32, or leave it out."
    try:
        found = jnp.dtype(jnp.result_type(float)) if dtype is None else jnp.dtype(dtype)
    except TypeError:
        raise argument_error("dtype", expected, dtype, remedy) from None
    if found not in FLOATING:
        raise argument_error("dtype", expected, Words(found), remedy)
    if jax.dtypes.canonicalize_dtype(found) != found:
        remedy = 'For float64 run jax.config.update("jax_enable_x64", True) first.'
        raise argument_error("dtype", "a floating type that JAX is set up for", Words(found), remedy)
    return found


def check_key(key: KeyLike | None) -> jax.Array:
    """A single JAX random key, new style or old."""
    expected, remedy = "a JAX random key", "Pass for example jax.random.key(0)."
    key = check_is("key", key, jax.Array, expected, remedy)
    is_new = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if not (is_new and key.ndim == 0) and not (key.dtype == jnp.uint32 and key.shape in ((2,), (4,))):
        raise argument_error("key", expected, Words(f"an array of shape {key.shape} and dtype {key.dtype}"), remedy)
    return key
