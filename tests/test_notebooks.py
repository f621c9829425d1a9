"""The notebooks as they are stored: outputs that belong to their code, and sizes that continuous integration can shrink."""

import ast
import json
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
sys.path.append(str(NOTEBOOKS))

import execute  # noqa: E402


def assigned(code: str) -> set[str]:
    """The names that a cell of sizes sets."""
    targets = [target for statement in ast.parse(code).body for target in getattr(statement, "targets", [])]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


@pytest.fixture(params=sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
def name(request):
    return request.param


def read(name: str):
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())


def test_outputs_belong_to_the_code(name):
    """`make notebooks-full` stores the fingerprint of the cells that made the outputs."""
    notebook = read(name)
    assert notebook["metadata"].get("code_fingerprint") == execute.fingerprint(notebook), "run `make notebooks-full`"
    assert all(cell["outputs"] or cell["execution_count"] for cell in execute.code_cells(notebook))
    changed = json.loads(json.dumps(notebook))
    execute.code_cells(changed)[-1]["source"].append(" ")
    assert execute.fingerprint(changed) != execute.fingerprint(notebook)


def test_small_sizes_replace_all_sizes(name):
    """A name that only one of both sets would be missing, or keep its full size unseen."""
    assert assigned(execute.source(execute.parameters(read(name)))) == assigned(execute.SMALL[name])


def test_every_notebook_has_small_sizes():
    assert set(execute.SMALL) == {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
