"""Execute the notebooks: `execute.py small` in a hurry and without keeping anything, `execute.py full [NAME …]` in place.

Every notebook has one cell tagged `parameters` that holds its sizes. `small` replaces it by the line of `SMALL`, so that
every other cell runs as it stands, on smaller networks; that is what continuous integration does. `full` runs the notebook
with the sizes that a reader sees and writes its outputs, with a fingerprint of the code cells that made them:
`tests/test_notebooks.py` fails on outputs that do not belong to their code.
"""

import hashlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mfsym.startup import keep_compiled_programs

HERE = Path(__file__).parent
SMALL = {
    "01_first_hour": "WIDTH, WIDTHS, SEEDS = 64, (16, 32, 64), 3",
    "02_odd_targets": "WIDTHS, NETWORK_STEPS, STEPS = (8, 16), 1000, 400",
    "03_alignment": (
        "HISTOGRAMS = {'steps': (0, 20, 200), 'width': 32}\n"
        "DISTANCES = {'widths': (16, 32), 'seeds': 1, 'end': 20.0, 'limit_end': 60.0}\n"
        "MASSES = {'dims': (5, 20), 'network_dims': (5,), 'width': 64, 'seeds': 1}\n"
        "PERPENDICULAR = {'steps': perpendicular.STEPS, 'width': 64, 'seeds': 2}"
    ),
    "04_several_directions": "WIDTH, STAIRCASE = 64, {'most': 2, 'solved': 1, 'width': 16, 'steps': 40}",
    "05_dimension_and_training": (
        "DIMENSION = {'curves': {2: (10, 40), 5: (10, 40)}, 'networks': {2: (10,)}, 'large': (200, 1000), 'width': 16}\n"
        "WIDTH, DECAY_WIDTH = 64, 64"
    ),
    "06_long_time": (
        "SIZES = {'fine': (100, 32), 'coarse': (50, 16)}\n"
        "LONG_TIME = {'cases': ((30, 5), (10, 2)), 'end': 1000.0, 'labels_end': 10.0, **SIZES}\n"
        "LABELS = {'nodes': 63, 'cells': 100, 'end': 1000.0}"
    ),
    "07_gradients": "LAWS, SEEDS, WIDTHS, CLOUDS, NEURONS = 3, 2, (64, 128), 3, 128",
    "08_training_loops": "WIDTHS, STEPS, SEEDS, CHECKED = (16, 32, 64), 12, 2, (16, 32)",
    "09_conserved": ("DIM, HEADS, HIDDEN, UPDATES = 2, 1, 2, 10\nSTEPS, BATCHES, ORDERS, CLOUD = (10, 20), 10, (3, 4), 12"),
    "10_symmetric_training": "WIDTHS, SEEDS, STEPS = (5, 10), 2, 20",
    "11_fixed_neurons": (
        "WIDTH, SEARCH = 5, {'width': 4, 'until': 10.0, 'batch': 20}\n"
        "IMAGES = {'images': 16, 'steps': 20, 'width': 2, 'widths': (2, 4)}"
    ),
    "12_deep": (
        "WIDTHS, SEEDS = (16, 32), 2\n"
        "FIGURE = {'widths': (8, 16), 'depths': (2, 4), 'images': 32, 'steps': 20, 'width': 16, 'units': ('ReLU',)}"
    ),
}


def paths(names: list[str]) -> list[Path]:
    """The notebooks of these names, or all of them."""
    return [HERE / f"{name}.ipynb" for name in names or sorted(SMALL)]


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of a notebook that hold code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    """The code of a cell; files store it line by line."""
    return "".join(cell["source"])


def fingerprint(notebook: dict[str, Any]) -> str:
    """SHA-256 of the code cells, in order."""
    return hashlib.sha256("\0".join(map(source, code_cells(notebook))).encode()).hexdigest()


def parameters(notebook: dict[str, Any]) -> dict[str, Any]:
    """The one cell that holds the sizes."""
    (cell,) = (cell for cell in code_cells(notebook) if "parameters" in cell["metadata"].get("tags", ()))
    return cell


def run(path: Path, small: bool) -> str:
    """Execute one notebook; raises where a cell does."""
    import nbformat  # not at the top: the tests read the tables of this file without a kernel at hand
    from nbclient import NotebookClient

    notebook, started = nbformat.read(path, as_version=4), time.perf_counter()
    if small:
        parameters(notebook)["source"] = SMALL[path.stem]
    NotebookClient(notebook, timeout=3000, record_timing=False, resources={"metadata": {"path": str(HERE)}}).execute()
    if not small:
        notebook.metadata["code_fingerprint"] = fingerprint(notebook)
        nbformat.write(notebook, path)
    return f"{path.name}: {time.perf_counter() - started:.0f} s"


def main(mode: str, *names: str) -> None:
    """`small` runs two notebooks at a time; `full` one after the other, since notebooks print timings."""
    if mode == "small":
        keep_compiled_programs("mfsym-tests")  # of the kernels, which inherit the environment
    with ThreadPoolExecutor(2 if mode == "small" else 1) as pool:
        for line in pool.map(lambda path: run(path, mode == "small"), paths(list(names))):
            print(line, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] not in (["small"], ["full"]):
        sys.exit("usage: python notebooks/execute.py small|full [NAME …]")
    main(*sys.argv[1:])
