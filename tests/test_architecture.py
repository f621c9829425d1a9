"""The rooms of the house: who may import whom, and the habits that a syntax tree can show.

`ROOMS` is the table of CONTRIBUTING.md as data. Every import counts, those inside functions too.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "mfsym"

GROUND = {"types", "errors"}  # every room may import these, but they only what the table says

# room: the rooms that it may import besides itself and the ground. None: all of them.
ROOMS: dict[str, set[str] | None] = {
    "types": set(),
    "errors": {"types"},
    "groups": set(),
    "neurons": {"groups"},
    "problem": {"groups", "neurons"},
    "sharding": {"neurons"},
    "solution": {"neurons"},
    "version": set(),
    "startup": set(),
    "storage": {"solution", "version"},
    "control": {"storage", "solution"},
    "integrate": {"control", "solution"},
    "iterate": {"control", "integrate", "solution"},
    "chunks": set(),
    "products": set(),
    "safe": set(),
    "risks": {"groups", "problem", "neurons", "chunks", "products", "integrate"},
    "particles": {
        "risks",
        "symmetry",
        "groups",
        "chunks",
        "products",
        "safe",
        "sharding",
        "problem",
        "neurons",
        "control",
        "integrate",
        "iterate",
        "solution",
    },
    "reduced": {"chunks", "safe", "problem", "groups", "control", "integrate", "iterate", "solution"},
    "symmetry": {"problem", "groups", "neurons", "safe", "products", "solution"},
    "invariance": {"particles", "risks", "problem", "neurons", "groups", "integrate"},
    "noether": {"problem", "groups", "products"},
    "deep": {"noether", "particles", "problem", "neurons", "products"},
    "fluctuations": {"reduced", "problem", "neurons", "solution"},
    "langevin": {"reduced", "problem"},
    "reduce": {"reduced", "symmetry", "problem"},
    "lift": {"reduced", "neurons", "solution"},
    "predict": {"particles", "reduced", "problem", "neurons", "solution"},
    "extrapolation": set(),
    "distances": {"reduced", "solution"},
    "crosscheck": {
        "particles",
        "reduced",
        "reduce",
        "lift",
        "distances",
        "extrapolation",
        "sharding",
        "problem",
        "solution",
    },
    "sweep": {"particles", "reduced", "reduce", "sharding", "control", "iterate", "problem", "neurons", "solution"},
    "twin": {"particles", "reduced", "reduce", "predict", "extrapolation", "problem", "solution"},
    "figures": {
        "safe",
        "plot",
        "particles",
        "reduced",
        "reduce",
        "lift",
        "predict",
        "problem",
        "symmetry",
        "groups",
        "neurons",
        "noether",
        "deep",
        "invariance",
        "solution",
    },
    "plot": {"reduced", "lift", "neurons", "solution", "crosscheck", "extrapolation", "noether", "deep", "fluctuations"},
    "__main__": None,
    "__init__": None,
}
# Inside `reduced`, folder: the folders that it may import besides itself and `COMMON`. Files beside them import any.
FLOORS: dict[str, set[str]] = {
    "rules": set(),
    "angles": {"rules"},
    "line": {"angles", "rules"},
    "several": {"angles", "rules"},
    "odd": {"rules"},
    "orbits": set(),
}
COMMON = {"base", "closed", "stepped"}  # what every folder of `reduced` may import
NEVER_REACH = [("particles", "reduced"), ("reduced", "particles")]  # not even through other rooms
ONLY_IN = {"diffrax": "integrate", "matplotlib": "plot"}  # outside package: the one room that may import it
FORBIDDEN = ("jax._src", "equinox.internal")

Tree = dict[str, ast.Module]  # dotted name below the package ("problem.inputs", "problem.__init__"): its syntax


def read(package: Path) -> Tree:
    files = sorted(package.rglob("*.py"))
    return {".".join(f.relative_to(package).with_suffix("").parts): ast.parse(f.read_text(), str(f)) for f in files}


def room_of(module: str) -> str:
    return module.split(".")[0]


def imported_names(module: str, tree: ast.Module) -> Iterator[str]:
    """Absolute dotted names that a file imports, `from a import b` as `a.b`, relative ones resolved."""
    here = ["mfsym", *module.split(".")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            yield from (".".join([*base, alias.name]) for alias in node.names)


def imported_rooms(module: str, tree: ast.Module, rooms: set[str]) -> set[str]:
    """Our own rooms that a file imports; `__init__` where it imports the whole package."""
    found = set()
    for name in imported_names(module, tree):
        first, *rest = name.split(".")
        if first == "mfsym":
            found.add(rest[0] if rest and rest[0] in rooms else "__init__")
    return found - {room_of(module)}


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a name, an attribute, or a subscript of these; otherwise empty."""
    if isinstance(node, ast.Subscript):
        return dotted(node.value)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def room_violations(tree: Tree) -> Iterator[str]:
    present = {room_of(module) for module in tree}
    for module, syntax in tree.items():
        room = room_of(module)
        if room not in ROOMS:
            yield f"{module}: the room {room} is not in the table"
            continue
        allowed = ROOMS[room]
        if allowed is None:
            continue
        free = set() if room in GROUND else GROUND
        for other in sorted(imported_rooms(module, syntax, present) - allowed - free):
            yield f"{module} imports {other}"


def reach_violations(tree: Tree) -> Iterator[str]:
    present = {room_of(module) for module in tree}
    edges: dict[str, set[str]] = {room: set() for room in present}
    for module, syntax in tree.items():
        edges[room_of(module)] |= imported_rooms(module, syntax, present)
    for start, goal in NEVER_REACH:
        paths = [[start]]
        seen = {start}
        for path in paths:  # grows while it is walked: breadth first
            if path[-1] == goal:
                yield " -> ".join(path)
            following = edges.get(path[-1], set()) - seen
            seen |= following
            paths += [[*path, room] for room in sorted(following)]


def floor_violations(tree: Tree) -> Iterator[str]:
    for module, syntax in tree.items():
        room, *inside = module.split(".")
        if room != "reduced" or len(inside) < 2:
            continue
        allowed = FLOORS.get(inside[0], set()) | {inside[0]} | COMMON
        for name in imported_names(module, syntax):
            if name.startswith("mfsym.reduced.") and name.split(".")[2] not in allowed:
                yield f"{module} imports {name.removeprefix('mfsym.')}"


def outside_violations(tree: Tree) -> Iterator[str]:
    for module, syntax in tree.items():
        names = set(imported_names(module, syntax))
        for package, owner in ONLY_IN.items():
            if room_of(module) != owner and any(room_of(name) == package for name in names):
                yield f"{module} imports {package}"
        names |= {dotted(node).replace("eqx.", "equinox.") for node in ast.walk(syntax) if isinstance(node, ast.Attribute)}
        for private in FORBIDDEN:
            if any(name == private or name.startswith(private + ".") for name in names):
                yield f"{module} uses {private}"
        calls = {dotted(node.func).split(".")[-1] for node in ast.walk(syntax) if isinstance(node, ast.Call)}
        if calls & {"import_module", "__import__"}:
            yield f"{module} imports by name, where this test cannot see it"


def future_violations(tree: Tree) -> Iterator[str]:
    """Annotations as strings would silently switch the shape checks off."""
    for module, syntax in tree.items():
        if "__future__.annotations" in imported_names(module, syntax):
            yield f"{module}: from __future__ import annotations"


def super_violations(tree: Tree) -> Iterator[str]:
    for module, syntax in tree.items():
        if any(isinstance(node, ast.Call) and dotted(node.func) == "super" for node in ast.walk(syntax)):
            yield f"{module} calls super()"


def final_violations(tree: Tree) -> Iterator[str]:
    """Abstract or final. Exceptions and enumerations have no fields to override and may be extended."""
    bases: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for module, syntax in tree.items():
        original = {
            alias.asname: alias.name
            for node in ast.walk(syntax)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.asname
        }
        for node in ast.walk(syntax):
            if isinstance(node, ast.ClassDef):
                names = [dotted(base).split(".")[-1] for base in node.bases]
                bases[node.name] = [original.get(name, name) for name in names]
                places[node.name] = module

    def exempt(name: str) -> bool:
        if name in bases:
            return any(exempt(base) for base in bases[name])
        return name == "Enumeration" or name.endswith(("Error", "Exception", "Warning"))

    for name, its_bases in bases.items():
        for base in its_bases:
            if base in bases and not re.match("_?Abstract", base) and not exempt(base):
                yield f"{places[name]}: {name} extends the concrete class {base}"


MOST_QUESTIONS = 4.5  # calls of isinstance in 1000 lines


def question_violations(tree: Tree) -> Iterator[str]:
    """Who asks for a class, instead of asking the object, forgets the class that is written next year."""
    nodes = [node for syntax in tree.values() for node in ast.walk(syntax)]
    calls = sum(isinstance(node, ast.Call) and dotted(node.func) == "isinstance" for node in nodes)
    lines = sum(syntax.body[-1].end_lineno or 0 for syntax in tree.values() if syntax.body)
    if 1000 * calls > MOST_QUESTIONS * lines:
        yield f"{calls} calls of isinstance in {lines} lines"


RULES: list[Callable[[Tree], Iterator[str]]] = [
    room_violations,
    reach_violations,
    floor_violations,
    outside_violations,
    future_violations,
    super_violations,
    final_violations,
    question_violations,
]


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps(rule):
    assert list(rule(read(PACKAGE))) == []


@pytest.mark.parametrize(
    ("rule", "file", "source", "complaint"),
    [
        (room_violations, "groups.py", "from .problem.inputs import Gaussian", "groups imports problem"),
        (room_violations, "groups.py", "import mfsym.problem.inputs", "groups imports problem"),
        (room_violations, "groups.py", "from mfsym import problem", "groups imports problem"),
        (room_violations, "groups.py", "import mfsym as mf", "groups imports __init__"),
        (room_violations, "groups.py", "def f():\n    from . import problem", "groups imports problem"),
        (
            room_violations,
            "reduced/flow.py",
            "from ..neurons import Particles",
            "reduced.flow imports neurons",
        ),
        (
            room_violations,
            "reduced/__init__.py",
            "from .. import neurons",
            "reduced.__init__ imports neurons",
        ),
        (room_violations, "types.py", "from .errors import Refusal", "types imports errors"),
        (room_violations, "errors.py", "from .neurons import Particles", "errors imports neurons"),
        (room_violations, "attic.py", "", "attic: the room attic is not in the table"),
        (reach_violations, "particles/flow.py", "from ..reduced import flow", "particles -> reduced"),
        (reach_violations, "integrate.py", "from .reduced import flow", "particles -> integrate -> reduced"),
        (
            floor_violations,
            "reduced/rules/quadrature.py",
            "from ..line.features import AngleFeatures",
            "reduced.rules.quadrature imports reduced.line.features.AngleFeatures",
        ),
        (
            outside_violations,
            "problem/inputs.py",
            "def f():\n    import diffrax",
            "problem.inputs imports diffrax",
        ),
        (outside_violations, "reduce.py", "from matplotlib import pyplot", "reduce imports matplotlib"),
        (outside_violations, "errors.py", "from jax._src.core import Tracer", "errors uses jax._src"),
        (outside_violations, "errors.py", "from jax import _src", "errors uses jax._src"),
        (
            outside_violations,
            "errors.py",
            "import equinox as eqx\neqx.internal.nondiff",
            "errors uses equinox.internal",
        ),
        (
            outside_violations,
            "errors.py",
            "import importlib\nimportlib.import_module('diffrax')",
            "errors imports by name, where this test cannot see it",
        ),
        (
            future_violations,
            "errors.py",
            "from __future__ import annotations",
            "errors: from __future__ import annotations",
        ),
        (
            super_violations,
            "errors.py",
            "class A:\n    def f(self):\n        return super().f()",
            "errors calls super()",
        ),
        (
            final_violations,
            "reduce.py",
            "from .problem.inputs import Gaussian as G\nclass H(G): ...",
            "reduce: H extends the concrete class Gaussian",
        ),
        (question_violations, "sharding.py", "isinstance(1, int)", "1 calls of isinstance in 26 lines"),
    ],
)
def test_a_violation_is_caught(tmp_path, rule, file, source, complaint):
    innocent = {
        "types.py": "from typing import Any\nScalar = Any",
        "errors.py": "from .types import Scalar\nclass Refusal(ValueError): ...\nclass NoReduction(Refusal): ...",
        "problem/__init__.py": "",
        "problem/inputs.py": "from .base import AbstractInputs\nclass Gaussian(AbstractInputs[int]): ...",
        "problem/base.py": "from ..errors import Refusal\nclass AbstractInputs: ...",
        "neurons.py": "from . import errors\nfrom .types import Scalar",
        "integrate.py": "import diffrax\nfrom mfsym.errors import Refusal",
        "reduced/flow.py": "from .. import integrate\nfrom ..problem.inputs import Gaussian",
        "reduced/rules/quadrature.py": "from ..base import Atoms",
        "reduced/line/features.py": "from ..rules.quadrature import grid",
        "particles/flow.py": "from ..integrate import solve\nfrom .risk import exact",
        "particles/risk/__init__.py": "from . import exact",
        "particles/risk/exact.py": "from ...problem import inputs",
        "plot.py": "def overview():\n    import matplotlib.pyplot as plt",
        "__init__.py": "from . import plot as plot\nfrom .reduced.flow import solve_reduced as solve_reduced",
    }
    for name, text in innocent.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [complaint for each in RULES for complaint in each(read(tmp_path))] == []
    (tmp_path / file).write_text(source)
    assert complaint in list(rule(read(tmp_path)))


def test_importing_changes_no_global_state():
    script = """
import os, sys
import diffrax, equinox, jax, jaxtyping, numpy, optax, scipy
def state():
    return dict(jax.config.values), dict(os.environ), str(numpy.random.get_state())
before = state()
import mfsym
assert state() == before, "importing mfsym changed jax.config, os.environ or the seed of numpy"
assert "matplotlib" not in sys.modules, "importing mfsym imported matplotlib"
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_oldest_requirements_are_the_declared_lower_bounds():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    pinned = (REPOSITORY / "requirements" / "oldest.txt").read_text().splitlines()
    assert {bound.replace(">=", "==") for bound in declared} <= {line.split("#")[0].strip() for line in pinned}


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert f'__version__ = "{project["version"]}"' in (PACKAGE / "version.py").read_text()


def test_costly_tests_are_there():
    """Names in tests/costly.txt are those of tests: one that was renamed would be fast again, and nobody would see it."""
    lines = (REPOSITORY / "tests" / "costly.txt").read_text(encoding="utf-8").splitlines()
    named = {tuple(line.partition("[")[0].split("::")) for line in lines if not line.startswith("#")}
    files = {file: ast.parse((REPOSITORY / file).read_text(encoding="utf-8")) for file, *_ in named}
    found = {
        (file, node.name) for file, tree in files.items() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }
    assert len(named) > 50 and named <= found, sorted(named - found)
