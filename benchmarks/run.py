"""Run the benchmarks, write `results-PLATFORM.json` and renew the tables in README.md.

    python benchmarks/run.py [NAME ...]

PLATFORM is the kind of device that jax finds: "cpu", "gpu" or "tpu". README.md keeps one table of each for every kind.
"""

import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
from pathlib import Path

os.environ.setdefault("JAX_ENABLE_X64", "1")  # before jax is imported: some benchmarks make their problems at import

import conserved
import cost
import deep
import detection
import gradients
import jax
import jax.numpy as jnp
import labels
import large
import particle_step
import published_step
import schemes
import sweep
import tracking
import training

FOLDER = Path(__file__).resolve().parent
BENCHMARKS = {
    "published_step": published_step,
    "particle_step": particle_step,
    "sweep": sweep,
    "cost": cost,
    "gradients": gradients,
    "large": large,
    "training": training,
    "detection": detection,
    "labels": labels,
    "conserved": conserved,
    "tracking": tracking,
    "schemes": schemes,
    "deep": deep,
}
PACKAGES = ("mfsym", "jax", "jaxlib", "equinox", "diffrax", "numpy")


def environment() -> dict:
    """Device, versions and date."""
    device = jax.devices()[0]
    name = _processor() if device.platform == "cpu" else device.device_kind
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "platform": device.platform,
        "device": name,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "default_dtype": str(jnp.result_type(float)),
        "versions": {package: _version(package) for package in PACKAGES} | _if_installed("torch"),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # on the path, not installed
        return "of the source tree"


def _if_installed(package: str) -> dict[str, str]:
    """A package that only some comparisons use."""
    return {package: _version(package)} if importlib.util.find_spec(package) else {}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.M) if information.exists() else None
    return found.group(1) if found else platform.processor() or platform.machine()


def described(where: dict) -> str:
    """The environment as a sentence."""
    versions = ", ".join(f"{package} {version}" for package, version in where["versions"].items())
    device = f"{where['platform']} ({where['device']}, {where['cores']} cores)"
    return f"{where['date']}, {device}, Python {where['python']}, {versions}."


def renewed(readme: str, name: str, text: str) -> str:
    """The page with what stands between the two markers of a benchmark replaced."""
    start, end = f"<!-- {name}: written by run.py -->", f"<!-- end of {name} -->"
    before, _, rest = readme.partition(start)
    _, marker, after = rest.partition(end)
    if not marker:
        raise ValueError(f"README.md must contain {start!r} and, below it, {end!r}.")
    return f"{before}{start}\n{text}\n{end}{after}"


def main() -> None:
    """Run, print, write."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"No benchmark is called {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}.")
    jax.config.update("jax_enable_x64", True)
    where = environment()
    file = FOLDER / f"results-{where['platform']}.json"
    results: dict = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    page = FOLDER / "README.md"
    text = page.read_text(encoding="utf-8")
    for name in names:
        benchmark = BENCHMARKS[name]
        results[name] = {"environment": where} | benchmark.measure()
        table = f"{benchmark.table(results[name])}\n- Measured {described(where)}"
        sys.stdout.write(f"== {name}\n{table}\n")
        sys.stdout.flush()
        if hasattr(benchmark, "save_figure"):
            figure = benchmark.save_figure(results[name], where["platform"], FOLDER)
            table = f"![{benchmark.FIGURE}]({figure.name})\n\n{table}"
        text = renewed(text, f"{name} on {where['platform']}", table)
        file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")  # now: a later benchmark may fail
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
