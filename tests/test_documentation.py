"""What the pages say about the repository: public names, commands, links, versions. `make docs` checks their references."""

import re
import tomllib
from pathlib import Path

import pytest

import mfsym as mf
from mfsym.figures import FIGURES

REPOSITORY = Path(__file__).resolve().parent.parent
ROOMS = sorted((REPOSITORY / "docs" / "rooms").glob("*.md"))
LATE = ("deep", "noether")  # rooms with names of their own
SKIPPED = {"plot", "__version__"}  # a room; a string


def read(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def shown():
    """The objects whose docstrings the pages of the rooms show, as often as they do."""
    return [name for page in ROOMS for name in re.findall(r"^::: mfsym\.(\S+)$", page.read_text(encoding="utf-8"), re.M)]


def test_every_public_name_is_on_one_page():
    exported = set(re.findall(r"^from \.\S* import (\w+) as \1$", read("mfsym/__init__.py"), re.M)) - SKIPPED
    assert len(exported) > 60 and all(hasattr(mf, name) for name in exported)
    own = {room: [name for name in shown() if name.startswith(f"{room}.")] for room in LATE}
    last = [name.rpartition(".")[2] for name in shown() if name.partition(".")[0] not in LATE]
    assert {name: last.count(name) for name in exported} == dict.fromkeys(exported, 1)
    for room, names in own.items():
        exported = re.findall(r"^from \.\S* import (\w+) as \1$", read(f"mfsym/{room}/__init__.py"), re.M)
        assert sorted(names) == sorted(f"{room}.{name}" for name in exported)


def test_every_experiment_has_an_entry():
    assert {name.removeprefix("figures.") for name in shown() if name.startswith("figures.")} == set(FIGURES)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"])
def test_links_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", read(page)) if not link.startswith(("http", "#"))]
    missing = [link for link in links if not ((REPOSITORY / page).parent / link.partition("#")[0]).exists()]
    assert not missing


def test_the_readme_is_short_and_has_the_commands_of_the_makefile():
    readme = read("README.md")
    assert readme.count("\n") <= 150
    recipe = re.search(r"^test:.*\n((?:\t.*\n)+)", read("Makefile"), re.M)
    assert recipe is not None
    for line in recipe[1].splitlines():
        assert line.strip().replace("$(BIN)", ".venv/bin").replace("$(WORKERS)", "2") in readme


def test_the_version_is_the_same_everywhere():
    assert tomllib.loads(read("pyproject.toml"))["project"]["version"] == mf.__version__
    assert f"\nversion: {mf.__version__}\n" in read("CITATION.cff")
    assert re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.M)[0] == mf.__version__


SAID = {"groups": "25 7", "schemes": "EA", "invariance": "subspace of dimension 2 of 4"}


@pytest.mark.slow
@pytest.mark.parametrize("page", SAID)
def test_the_example_of_a_page_runs(page, capsys, standard_promotion):
    text = (REPOSITORY / "docs" / "rooms" / f"{page}.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.S)), {})
    assert SAID[page] in capsys.readouterr().out
