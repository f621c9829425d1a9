"""An extension of griffe: docstrings of this library as Markdown, with their parts as paragraphs and lists."""

import re

import griffe

_PART = re.compile(r"(?<!\n)\n(?=(?:Arguments:|Returns?|Raises) )")
_LIST = re.compile(r"^Arguments:\n((?:  .*(?:\n|$))+)", re.M)
_FORMULA = re.compile(r"^((?!- |\s).+)\n(?=    \S)", re.M)
_NAME = re.compile(r"^  ([\w, ]+): ", re.M)


def markdown(docstring: str) -> str:
    """What begins with Arguments, Returns or Raises is a paragraph; arguments below are a list, formulas code."""
    docstring = _LIST.sub(lambda found: f"Arguments:\n\n{_NAME.sub(_item, found[1])}", docstring)
    return _FORMULA.sub(r"\1\n\n", _PART.sub("\n\n", docstring))


def _item(found: re.Match) -> str:
    return f"- {', '.join(f'`{name}`' for name in found[1].split(', '))}: "


class Paragraphs(griffe.Extension):
    """Rewrites every docstring before it is rendered."""

    def on_object(self, *, obj, **_) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
