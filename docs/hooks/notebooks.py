"""Committed notebooks as pages of Markdown, with the outputs that were stored in them. Nothing is executed."""

import base64
import itertools
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

_EXPERIMENT = re.compile(r'(?:FIGURES\["(\w+)"\]|\b(\w+))\.draw\(')
_PLOT = re.compile(r"mf\.plot\.(\w+)\(")
_TERMINAL = re.compile(r"\x1b\[[0-9;]*m")  # colours


class Picture(NamedTuple):
    """A figure that a cell drew: its file, a title, its code if that is short, and the experiment it shows, if it is one."""

    name: str
    png: bytes
    title: str
    code: str
    experiment: str | None


class Notebook(NamedTuple):
    """A notebook as text, and its pictures, whose links are relative to the text."""

    name: str
    title: str
    text: str
    pictures: list[Picture]


def read(path: Path, experiments: set[str]) -> Notebook:
    """One notebook; `experiments` are the names that `mfsym figures` knows."""
    parts, pictures, heading, title = [], [], "", path.stem
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            headings = re.findall(r"^#+ (.+)$", source, re.M)
            heading, title = (headings or [heading])[-1], title if pictures or parts else (headings or [title])[0]
            parts.append(source)
            continue
        parts.append(_fenced(source, "python"))
        for png, outputs in itertools.groupby(cell["outputs"], lambda output: output.get("data", {}).get("image/png")):
            if png is None:
                parts.append(_fenced("".join(map(_words, outputs)), "text"))
                continue
            code = _drawing(source)
            caption = _caption(heading, code)
            picture = Picture(f"{path.stem}-{number}.png", base64.b64decode(png), caption, code, _known(code, experiments))
            pictures.append(picture)
            parts.append(f"![{plain(caption)}]({picture.name})")
    return Notebook(path.stem, title, "\n\n".join(parts), pictures)


def plain(title: str) -> str:
    """A title as the text that stands for a picture."""
    return re.sub(r"[^\w ,]", "", title)


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```" if text.strip() else ""


def _words(output: dict[str, Any]) -> str:
    """What a cell printed or returned."""
    return _TERMINAL.sub("", "".join(output.get("text") or output.get("data", {}).get("text/plain", "")))


def _caption(heading: str, code: str) -> str:
    """The name of a plot of the library, else the heading above the cell without its number."""
    plot = _PLOT.search(code)
    return plot[1].capitalize() if plot else re.sub(r"^\d+\. ", "", heading)


def _drawing(source: str) -> str:
    """The code of a cell if it is short, else nothing: the notebook has it."""
    return source if source.count("\n") < 6 else ""


def _known(code: str, experiments: set[str]) -> str | None:
    """The experiment that a cell draws."""
    return next((name for pair in _EXPERIMENT.findall(code) for name in pair if name in experiments), None)
