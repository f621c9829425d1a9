"""Build the wheel and the sdist, and use the wheel as a stranger would: in a bare environment, outside of the tree.

    python .ci/package.py

From there import every module, run a command, and run the first cells of a notebook. Needs `build`.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
IMPORTS = """
import importlib, pkgutil, mfsym
for module in pkgutil.walk_packages(mfsym.__path__, "mfsym."):
    if module.name != "mfsym.__main__":
        importlib.import_module(module.name)
print(mfsym.__file__, mfsym.__version__)
"""
SOLVE = ("-m", "mfsym", "solve", "--dim", "8", "--dim-h", "2", "--until", "1", "--records", "3", "--cells", "40", "--json")
NOTEBOOK, CELLS = "notebooks/01_first_hour.ipynb", 4


def main() -> None:
    """Build, look, install, run."""
    with tempfile.TemporaryDirectory() as folder:
        dist, away = Path(folder, "dist"), Path(folder, "away")
        away.mkdir()
        run(sys.executable, "-m", "build", "--outdir", dist, REPOSITORY)
        (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
        check_wheel(wheel)
        check_source(source)
        venv.create(away / "env", with_pip=True)
        python = away / "env" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", wheel)
        place = output(python, "-c", IMPORTS, cwd=away)
        assert str(away) in place and wheel.name.split("-")[1] in place, f"another mfsym was imported: {place}"
        risk = json.loads(output(python, *SOLVE, cwd=away))["risk"]
        assert risk[0] > risk[-1] > 0, f"the risk does not fall: {risk}"
        output(python, "-c", first_cells(), cwd=away)
        print(f"{wheel.name} and {source.name}: built, installed in a bare environment, used from there.")


def check_wheel(wheel: Path) -> None:
    """The library, its mark for type checkers and its licence; nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    package = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "mfsym").rglob("*.py")}
    kept = {name for name in names if ".dist-info/" not in name}
    assert kept == package | {"mfsym/py.typed"}, f"the wheel differs from the package: {kept ^ package}"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "the wheel has no licence"


def check_source(source: Path) -> None:
    """What is needed to test, to document and to cite."""
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "tests/conftest.py", "mkdocs.yml", NOTEBOOK}
    assert needed <= names, f"the sdist lacks {sorted(needed - names)}"


def first_cells() -> str:
    """The first code cells of a notebook as they are, without magics."""
    cells = json.loads((REPOSITORY / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"][:CELLS]
    return re.sub(r"^%.*$", "", "\n".join(code), flags=re.M)


def run(*command: object, cwd: Path | None = None) -> None:
    """Run a command that must succeed."""
    output(*command, cwd=cwd)


def output(*command: object, cwd: Path | None = None) -> str:
    """Standard output of a command that must succeed; what it says is shown when it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=own | {"MPLBACKEND": "Agg"}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)[:200]}\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
