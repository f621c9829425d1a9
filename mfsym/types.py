"""Types of arguments, named as what they are. The ground under every room: it imports none.

A function that a user calls looks at its arguments itself, and refuses a wrong one in the words of `errors`. Its annotations
tell readers and type checkers what is meant. Nobody checks them while a program runs: in the tests, where jaxtyping does
check annotations, it would speak before the library does. `Checked[...]` marks such an argument, and the aliases below are
made of it. What is handed on inside of the library keeps the ordinary types, with shapes, and these are checked.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Array, Float, PyTree

_Meant = TypeVar("_Meant")

if TYPE_CHECKING:
    Checked: TypeAlias = Annotated[_Meant, "by the function itself"]
else:

    class Checked:
        """`Checked[int]` is what is meant to be an int: anything, until the function that takes it has looked."""

        def __class_getitem__(cls, meant):
            return Annotated[object, meant]


# What a user writes.
RealLike: TypeAlias = Checked[float | Array | np.ndarray | np.generic]  # one real number, traced or not
IntLike: TypeAlias = Checked[int | np.integer]  # a plain integer: it decides shapes
RealArrayLike: TypeAlias = Checked[Array | np.ndarray | Sequence[float] | Sequence[Sequence[float]] | Sequence[Array]]
Sizes: TypeAlias = Checked[int | tuple[int, ...]]  # of a grid: one number, or one for every angle
Times: TypeAlias = Checked[Array | np.ndarray | Sequence[float]]  # [T], increasing from 0
KeyLike: TypeAlias = Checked[Array]  # one random key of JAX, new style or old
DTypeLike: TypeAlias = Checked[type | np.dtype | str]  # float32 or float64
PathLike: TypeAlias = Checked[str | os.PathLike[str]]
RealFunction: TypeAlias = Checked[Callable[[Array], Array]]  # of a real number, or of a point [d], to a real number
Observe: TypeAlias = Checked[Mapping[str, Callable[[PyTree], Array]]]  # names, and functions of the state

# What is handed around.
Scalar: TypeAlias = Float[Array, ""]  # one real number as an array
Cloud: TypeAlias = PyTree  # of floating arrays with one first axis, that of the neurons
State: TypeAlias = PyTree  # of floating arrays: all that the next step needs
Options: TypeAlias = dict[str, Any]  # keyword arguments of a function
Json: TypeAlias = Any  # what JSON can say: numbers, words, None, lists and dicts of these
Observables: TypeAlias = dict[str, Array]  # by name: one value each at a time, or [T] along a run
