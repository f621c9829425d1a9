"""Wrong inputs end in an error that names the argument, before anything of the library is compiled: tables of them."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import wrong_inputs
from wrong_inputs import TABLE, cases, named

import mfsym as mf
from mfsym.__main__ import main

# Results are built by the library: nobody passes their fields.
RESULTS = {
    "Solution",
    "DetectionReport",
    "Sweep",
    "Twin",
    "Action",
    "EquivarianceReport",
    "DiscoveryReport",
    "TransversalRate",
    "GapReport",
    "Subspace",
    "ErrorBudget",
    "Stability",
    "Equilibrium",
    "Relaxation",
}
PACKAGE = Path(mf.__file__).parent


def public_callables():
    """Every public function and class, those of `plot` included; exceptions are raised, not called."""
    for prefix, module in (("", mf), ("plot.", mf.plot)):
        for name, thing in vars(module).items():
            is_error = inspect.isclass(thing) and issubclass(thing, Exception)
            if callable(thing) and not name.startswith("_") and not is_error and name not in RESULTS:
                yield prefix + name, thing


def missing_rows():
    for name, thing in public_callables():
        wanted = inspect.signature(thing).parameters
        rows = TABLE[name].wrong if name in TABLE else {}
        yield from (f"{name}({argument})" for argument in wanted if not rows.get(argument))


def test_every_argument_of_every_public_callable_has_rows():
    assert list(missing_rows()) == []
    assert len(cases()) > 1000


def test_a_missing_row_is_noticed(monkeypatch):
    monkeypatch.delitem(TABLE["Gaussian"].wrong, "scale")
    monkeypatch.delitem(TABLE, "moments_of")
    assert list(missing_rows()) == ["moments_of(cloud)", "Gaussian(scale)"]


@pytest.fixture(scope="module")
def outcomes():
    """What every row does in a process of its own, as users have it: under pytest beartype speaks first."""
    script = "import json, wrong_inputs; print(json.dumps(wrong_inputs.outcomes()))"
    options = {"cwd": Path(wrong_inputs.__file__).parent, "capture_output": True, "text": True}
    run = subprocess.run([sys.executable, "-c", script], **options)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", TABLE)
def test_wrong_inputs(name, outcomes):
    for title, case in cases().items():
        if case[0] != name:
            continue
        raised, message, _ = outcomes[title]
        assert raised in ("ArgumentError", "NoReductionError"), f"{title}: {raised}: {message}"
        argument = named(case)
        assert message.startswith((f"Argument `{argument}` must be ", f"Argument `{argument}.")), f"{title}: {message}"
        assert ", but is " in message and message.endswith("."), f"{title}: {message}"


def compiled_functions():
    """Names of all functions in the library that are a jit boundary."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and any("jit" in ast.unparse(each) for each in node.decorator_list):
                yield f"jit({node.name})"


def test_nothing_is_compiled_before_the_error(outcomes):
    ours = set(compiled_functions()) - {"jit(_defects)"}  # which measures what is refused: a unit under an action
    assert {"jit(_run)"} <= ours
    assert {title: names for title, (_, _, names) in outcomes.items() if ours & set(names)} == {}


SHELL = [
    ("", "required"),
    ("train", "train"),
    ("solve --colour", "--colour"),
    ("solve --dim", "--dim"),
    ("solve --dim x", "--dim"),
    ("solve --dim 3.5", "--dim"),
    ("solve --dim -1", "dim"),
    ("solve --dim 0", "dim"),
    ("solve --dim 100000000000000000000", "dim"),
    ("solve --dim-h 0", "dim_h"),
    ("solve --dim-h 31", "dim_h"),
    ("solve --dim-h 2 --single-index tanh", "--single-index"),
    ("solve --single-index cube", "--single-index"),
    ("solve --dim 1 --single-index tanh", "d = 1"),
    ("solve --inputs cauchy", "--inputs"),
    ("solve --scale 0", "scale"),
    ("solve --scale nan", "scale"),
    ("solve --scale -1", "scale"),
    ("solve --scale one", "--scale"),
    ("solve --inputs sphere --scale inf", "radius"),
    ("solve --until 0", "--until"),
    ("solve --until -1", "--until"),
    ("solve --until nan", "--until"),
    ("solve --until inf", "--until"),
    ("solve --until 1e-320", "--until"),
    ("solve --until soon", "--until"),
    ("solve --records 1", "--records"),
    ("solve --records -5", "--records"),
    ("solve --records many", "--records"),
    ("solve --records 99999999999999999999", "--records"),
    ("solve --method euler", "--method"),
    ("solve --cells 7", "cells"),
    ("solve --cells 1e3", "--cells"),
    ("solve --cells 99999999999999999999", "cells"),
    ("solve --nodes 8", "nodes"),
    ("solve --nodes -7", "nodes"),
    ("solve --modes 0", "modes"),
    ("solve --modes 99999999999999999999", "modes"),
    ("solve --rtol 0", "rtol"),
    ("solve --rtol nan", "rtol"),
    ("solve --rtol inf", "rtol"),
    ("solve --rtol -1", "rtol"),
    ("solve --width 7 --dim 2 --dim-h 2", "width"),
    ("solve --width 0 --dim 2 --dim-h 2", "width"),
    ("solve --width 99999999999999999999 --dim 2 --dim-h 2", "width"),
    ("solve --seed x", "--seed"),
    ("solve --seed 1.5", "--seed"),
    ("solve --seed -1", "--seed"),
    ("solve --seed 99999999999999999999", "--seed"),
    ("solve --dtype float16", "--dtype"),
    ("demo --out", "--out"),
    ("demo --out {file}", "{file}"),
    ("demo --out {file}/below", "{file}"),
    ("demo --seed -1", "--seed"),
    ("demo --dim 3", "--dim"),
    ("figures", "NAME"),
    ("figures nothing", "nothing"),
    ("figures masses --out {file}", "{file}"),
    ("figures masses --seed -1", "--seed"),
]


@pytest.mark.parametrize(("command", "word"), SHELL)
def test_wrong_commands_end_with_code_2_and_one_line(command, word, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("no folder")
    try:
        code = main(command.format(file=file).split())
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == 2 and captured.out == ""
    assert captured.err.startswith("mfsym: ") and captured.err.count("\n") == 1, captured.err
    assert word.format(file=file) in captured.err
