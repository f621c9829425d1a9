"""Lists of laws as one would print them: those that differ in indices alone are one line."""

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

_INDICES = re.compile(r"\[([^\[\]']*)\](?![.\[])")  # the last bracket of a name: places in an array, not a path to it
_NUMBER = re.compile(r"\d+")
_LETTERS = "ijklmn"

Places = tuple[int, ...]


class Line(NamedTuple):
    """What stands for several names, and which of them: "‖w[:, i]‖² − ‖v[i, :]‖², i = 0…7"."""

    text: str
    members: tuple[int, ...]


def lines_of(names: Sequence[str]) -> list[Line]:
    """Names in the order of the first of each line. Letters stand for what differs; putting in their values gives the
    names back."""
    groups: dict[str, list[tuple[int, Places]]] = {}
    for place, name in enumerate(names):
        numbers = tuple(int(n) for inside in _INDICES.findall(name) for n in _NUMBER.findall(inside))
        groups.setdefault(_INDICES.sub(lambda found: f"[{_NUMBER.sub('#', found[1])}]", name), []).append((place, numbers))
    found = [line for skeleton, members in groups.items() for line in _lines(skeleton, members, names)]
    return sorted(found, key=lambda line: line.members)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The same, where one that was there before is numbered: "h", "h (2)"."""
    found: list[str] = []
    for name in names:
        free = itertools.chain([name], (f"{name} ({count})" for count in itertools.count(2)))
        found.append(next(each for each in free if each not in found))
    return tuple(found)


def _lines(skeleton: str, members: list[tuple[int, Places]], names: Sequence[str]) -> list[Line]:
    places = tuple(place for place, _ in members)
    columns = list(zip(*(numbers for _, numbers in members), strict=True))
    varied = list(dict.fromkeys(column for column in columns if len(set(column)) > 1))
    if not 0 < len(varied) <= len(_LETTERS):
        return [Line(names[place], (place,)) for place in places]
    letters = dict(zip(varied, _LETTERS, strict=False))
    texts = iter([letters.get(column, str(column[0])) for column in columns])
    pattern = _INDICES.sub(lambda found: "[" + re.sub("#", lambda _: next(texts), found[1]) + "]", skeleton)
    return [Line(f"{pattern}, {_ranges(list(letters.values()), list(zip(*varied, strict=True)))}", places)]


def _ranges(letters: list[str], values: list[Places]) -> str:
    """Which values the letters take: independently, or in order, or one by one."""
    own = [sorted(set(column)) for column in zip(*values, strict=True)]
    pairs = itertools.permutations(range(len(letters)), 2)
    ordered = [(i, j) for i, j in pairs if all(value[i] > value[j] for value in values) and own[i][0] <= own[j][-1]]
    every = {value for value in itertools.product(*own) if all(value[i] > value[j] for i, j in ordered)}
    if every == set(values):
        parts = [f"{letter} = {_run(numbers)}" for letter, numbers in zip(letters, own, strict=True)]
        return ", ".join([*parts, *(f"{letters[i]} > {letters[j]}" for i, j in ordered)])
    return f"({', '.join(letters)}) = {', '.join(map(str, values))}"


def _run(numbers: list[int]) -> str:
    consecutive = numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]}…{numbers[-1]}" if consecutive and len(numbers) > 2 else ", ".join(map(str, numbers))
