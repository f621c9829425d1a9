"""User functions as pytrees: arrays inside them are leaves, everything else is static."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..errors import ArgumentError, Words, argument_error, is_traced
from ..types import Checked, RealFunction


class Function(eqx.Module):
    """A callable whose arrays are leaves and whose rest is static, so that problems jit, vmap and differentiate.

    A plain function is all static; an `eqx.Module` keeps its arrays as leaves, and new values in them compile nothing
    again. A `jax.tree_util.Partial` has leaves as well, but is compared by identity: every new one compiles again.
    Integers that it returns become numbers of the floating type of its input.
    """

    arrays: PyTree
    rest: PyTree = eqx.field(static=True)

    def __init__(self, name: str, function: Checked[Callable[..., Array]]):
        if not callable(function):
            raise argument_error(name, "a function of one input", function, "Pass for example jnp.tanh.")
        self.arrays, self.rest = eqx.partition(function, eqx.is_array)

    def __call__(self, x: PyTree, *more: Array) -> Checked[Array]:
        value = eqx.combine(self.arrays, self.rest)(x, *more)
        counted = getattr(getattr(value, "dtype", None), "kind", "") in tuple("iu")
        return value.astype(jax.tree.leaves(x)[0].dtype) if counted else value


def check_scalar_function(name: str, function: Callable[[Array], Array], example: jax.ShapeDtypeStruct) -> None:
    """A function that maps one input of the given shape to a real scalar; found out without running it."""
    _checked_output(name, function, example, "a real scalar", lambda out: getattr(out, "shape", None) == ())


def check_real_function(name: str, function: Callable[[Array], Array], example: jax.ShapeDtypeStruct) -> None:
    """The same for a function that returns a real array [*out] of any shape."""
    _checked_output(name, function, example, "a real array", lambda out: hasattr(out, "shape"))


def _checked_output(
    name: str,
    function: Callable[[Array], Array],
    example: jax.ShapeDtypeStruct,
    what: str,
    fits: Callable[[PyTree], bool],
) -> None:
    shape = "a scalar" if not example.shape else f"an input of shape {example.shape}"
    expected = f"a function of {shape} that returns {what}"
    remedy = "Functions are written for one input and vmapped by the library."
    try:
        out = jax.eval_shape(lambda x: function(x), example)  # a module with traced leaves cannot be compared
    except Exception as error:
        raise _failure(name, expected, error, remedy) from error
    if not fits(out) or out.dtype.kind not in "fiu":
        raise argument_error(name, expected, Words(f"one that returns {out}"), remedy)


# What JAX says where a function does with its input what only numbers allow, and what we say; the first kind that fits.
_NOT_TRACEABLE: tuple[tuple[type[Exception], str, str], ...] = (
    (jax.errors.TracerArrayConversionError, "one that calls numpy on its input", "Write jnp.tanh for np.tanh."),
    (jax.errors.TracerBoolConversionError, "one that decides by its input", "Write jnp.where for if, jnp.maximum for max."),
    (jax.errors.ConcretizationTypeError, "one that makes its input a Python number", "Write jnp.tanh for math.tanh."),
)


def _failure(name: str, expected: str, error: Exception, remedy: str) -> ArgumentError:
    for kind, got, way_out in _NOT_TRACEABLE:
        if isinstance(error, kind):
            return argument_error(name, expected, Words(f"{got}, which JAX traces without its value"), way_out)
    return argument_error(name, expected, Words(f"one that fails with {type(error).__name__}: {error}"), remedy)


def values_on_host(function: RealFunction, points: np.ndarray) -> np.ndarray | None:
    """A scalar function at `points` [n, ...], evaluated at once even while something else is traced, [n].

    None where its values are traced themselves, which cannot be looked at.
    """
    with jax.ensure_compile_time_eval():
        values = jax.vmap(function, axis_size=len(points))(jnp.asarray(points, jnp.result_type(float)))
    return None if is_traced(values) else np.asarray(values)


def check_finite_function(function: RealFunction, points: np.ndarray) -> None:
    """f* = g(x_H) must be a number at `points` [n] or [n, d_H], wherever its values are known."""
    values = values_on_host(function, points)
    if values is None or np.all(np.isfinite(values)):
        return
    wrong = np.flatnonzero(~np.isfinite(values))
    first = wrong[np.argmin(np.abs(points[wrong]).reshape(len(wrong), -1).max(axis=1))]
    name = "NaN" if np.isnan(values[first]) else "infinite"
    place = ", ".join(f"x_{i + 1} = {x:.4g}" for i, x in enumerate(np.atleast_1d(points[first])))
    remedy = "Give it a value there, for example with jnp.where, or take inputs that do not come there."
    raise argument_error("target", "finite wherever the inputs come", Words(f"not: f* is {name} at {place}"), remedy)
