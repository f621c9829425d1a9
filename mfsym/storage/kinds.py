"""What is done with a value, by a table of kinds."""

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

_Way = TypeVar("_Way", bound=Callable)
Ways: TypeAlias = Sequence[tuple[tuple[type, ...], _Way]]


def way_of(value: object, ways: Ways[_Way]) -> _Way | None:
    """What stands beside the first of the kinds that a value is of; None where it is of none."""
    return next((way for kinds, way in ways if isinstance(value, kinds)), None)
