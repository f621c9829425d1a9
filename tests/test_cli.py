"""The command line: one JSON object on stdout, prose on stderr, exit codes."""

import io
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from mfsym.__main__ import main

KEYS = {"t", "risk", "mass_plus", "mass_minus", "alignment_plus", "alignment_minus"}


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_solve_prints_one_json_object(capsys):
    command = ("solve", "--dim", "10", "--dim-h", "2", "--until", "2", "--records", "5", "--width", "32", "--json")
    code, out, err = run(capsys, *command)
    record = json.loads(out)
    assert code == 0 and out.count("\n") == 1 and "Reduced route" in err
    for part in (record, record["particles"]):
        assert set(part) >= KEYS | {"wall_s"}
        assert all(len(part[key]) == 5 for key in KEYS)
    assert record["report"] is None and record["files"] == []
    np.testing.assert_allclose(record["risk"][0], 1.0, rtol=1e-8)


def test_without_json_stdout_stays_empty(capsys):
    code, out, err = run(capsys, "solve", "--dim", "3", "--dim-h", "3", "--records", "3")
    assert code == 0 and out == "" and "The run reached its last time" in err


@pytest.mark.slow
def test_what_has_no_meaning_is_null(capsys):
    command = ("solve", "--dim", "4", "--single-index", "tanh", "--until", "0.5", "--records", "2", "--json")
    record = json.loads(run(capsys, *command)[1])
    assert record["distance_plus"] is None and record["particles"] is None


def test_precision_is_left_as_it_was(capsys):
    before = jax.config.jax_enable_x64
    run(capsys, "solve", "--dim", "3", "--dim-h", "3", "--dtype", "float32", "--records", "3")
    assert jax.config.jax_enable_x64 == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--dim-h", "31"), "dim_h"),
        (("--dim", "0"), "dim"),
        (("--cells", "3"), "cells"),
        (("--nodes", "20"), "nodes"),
        (("--until", "-1"), "until"),
        (("--records", "1"), "records"),
        (("--width", "7"), "width"),
        (("--scale", "nan"), "scale"),
        (("--rtol", "-1"), "rtol"),
    ],
)
def test_wrong_arguments_end_with_code_2_and_one_line(capsys, arguments, words):
    code, out, err = run(capsys, "solve", *arguments, "--json")
    assert code == 2 and out == ""
    assert words in err.splitlines()[-1] and err.splitlines()[-1].startswith("mfsym: ")


def test_help_and_unknown_options_in_a_shell():
    def shell(*arguments):
        return subprocess.run([sys.executable, "-m", "mfsym", *arguments], capture_output=True, text=True, check=False)

    helped, unknown = shell("solve", "--help"), shell("solve", "--colour")
    assert helped.returncode == 0 and "--dim-h" in helped.stdout and "Example" in helped.stdout
    assert unknown.returncode == 2 and "--colour" in unknown.stderr


@pytest.mark.slow
def test_a_second_start_compiles_nothing(tmp_path):
    """Every program of the first start is found again by the second, the loop of diffrax included."""
    ours = ("EQX_ON_ERROR", "JAX_COMPILATION_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in ours} | {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "mfsym", "solve", "--cells", "16", "--modes", "8", "--until", "1", "--records", "3"]
    kept = []
    for _ in range(2):
        subprocess.run(command, env=environment, check=True, capture_output=True)
        kept.append({path.name for path in (tmp_path / "mfsym").iterdir() if path.name.endswith("-cache")})
    assert kept[0] == kept[1] and any("run" in name for name in kept[0])


def test_importing_sets_no_environment():
    """Who imports mfsym owns the process."""
    script = "import os; before = dict(os.environ); import mfsym; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_without_our_letters_shows_escapes(encoding, monkeypatch):
    def run(*arguments):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = end.code
        for stream in streams:
            stream.flush()
        return code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)

    code, out, _ = run("demo", "--help")
    assert code == 0 and "Learn f*(x) = \\u2016x_H\\u2016" in out
    code, out, err = run("solve", "--cells", "7\u2016")
    assert code == 2 and out == "" and "'7\\u2016'" in err
    code, out, err = run("solve", "--dim", "3", "--dim-h", "3", "--records", "2")
    assert code == 0 and "The run reached its last time" in err


def test_a_shell_without_our_letters():
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    command = [sys.executable, "-m", "mfsym", "demo", "--help"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0 and "\\u2016x_H\\u2016" in run.stdout, run.stderr
