"""What a caller wants to see of every state besides what a solver records by itself."""

import dataclasses
from collections.abc import Callable, Collection
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree

from ..errors import Words, argument_error, check_names
from ..solution import USUAL_NAMES, Solution
from ..types import Observables, Observe

_REMEDY = 'Pass for example observe={"largest": lambda state: jnp.max(state.a)}.'
_TAKEN = {*(field.name for field in dataclasses.fields(Solution)), *dir(Solution), *USUAL_NAMES, "t"}


@runtime_checkable
class System(Protocol):
    """What is integrated or iterated, as far as it is observed."""

    def prepare(self) -> "System":
        """The same system, with its tables."""
        ...

    def observe(self, clock: Array, state: PyTree, /) -> Observables:
        """What the system records of a state by itself."""
        ...


class Observers(eqx.Module):
    """Functions of a state by name, each returning one array of real numbers. Arrays in them are leaves.

    What they return is recorded in the floating type of the state, so that what was not reached can be NaN.
    """

    functions: dict[str, Callable[[PyTree], Array]]

    def __init__(self, functions: Observe | None = None):
        given = {} if functions is None else functions
        given = check_names("observe", given, "a dict from names to functions of the state", _REMEDY)
        for name, function in given.items():
            if not name.isidentifier() or name.startswith("_"):
                raise argument_error("observe", "made of names that can be attributes", name, _REMEDY)
            if name in _TAKEN:
                raise _taken(name)
            if not callable(function):
                got = Words(f"{type(function).__name__} at {name!r}")
                raise argument_error("observe", "made of functions of the state", got, _REMEDY)
        self.functions = dict(given)

    def __call__(self, state: PyTree) -> Observables:
        """What is seen of one state."""
        return {name: _as_floats(function(state), state) for name, function in self.functions.items()}

    def of_all(self, states: PyTree) -> Observables:
        """What is seen of states [T, …], [T, …]."""
        return jax.vmap(self)(states) if self.functions else {}

    def check_record(self, record: Callable[[Array], tuple[PyTree, Observables]], ts: Array) -> None:
        """As `check`, of a solution that is known: `record(ts)` are its states and observables [T, …]."""
        if self.functions:
            states, own = eqx.filter_eval_shape(record, ts)
            self._check(own, jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), states))

    def check(self, system: System, clock: Array, state: PyTree) -> None:
        """Refuse, without running anything, names that the system records itself and results that are no arrays."""
        if self.functions:
            observe = lambda system, state: system.prepare().observe(clock, state)  # noqa: E731
            self._check(eqx.filter_eval_shape(observe, system, state), state)

    def _check(self, own: Collection[str], state: PyTree) -> None:
        for name, function in self.functions.items():
            if name in own:
                raise _taken(name)
            self._check_result(name, function, state)

    def _check_result(self, name: str, function: Callable[[PyTree], Array], state: PyTree) -> None:
        expected = "made of functions of the state that return one array of real numbers"
        try:
            found = eqx.filter_eval_shape(lambda function, state: function(state), function, state)
        except Exception as error:
            got = Words(f"one at {name!r} that fails with {type(error).__name__}: {error}")
            raise argument_error("observe", expected, got, _REMEDY) from error
        kind = getattr(found, "dtype", np.dtype(type(found)) if isinstance(found, (bool, int, float)) else None)
        if kind is None or kind.kind not in "fiub":
            got = Words(f"one at {name!r} that returns {_shape(found)}")
            raise argument_error("observe", expected, got, _REMEDY)


def _as_floats(found: ArrayLike, state: PyTree) -> Array:
    return jnp.asarray(found).astype(jnp.result_type(*jax.tree.leaves(state)))


def _shape(found: PyTree) -> str:
    return str(jax.tree.map(lambda leaf: getattr(leaf, "shape", leaf), found))


def _taken(name: str) -> Exception:
    return argument_error("observe", "made of names that the solution does not have already", name, "Choose another name.")
