"""`python -m mfsym demo`, `solve` and `figures`: the main job, one problem, the published experiments, from the shell.

With --json, stdout is one JSON object; progress and prose go to stderr.
"""

import argparse
import io
import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import mfsym as mf

from .errors import argument_error, check_integer
from .figures import FIGURES
from .types import Json

PROFILES = {
    "abs": jnp.abs,
    "relu": lambda z: jnp.maximum(z, jnp.zeros((), z.dtype)),
    "tanh": jnp.tanh,
    "sin": jnp.sin,
    "square": jnp.square,
}
_SHORTEST = 1e-30  # a time that single precision holds


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for a wrong argument, 1 for a run that ended early or out of memory."""
    _escape_what_a_console_lacks()
    options = _parser().parse_args(arguments)
    try:
        with jax.enable_x64(options.dtype == "float64"):
            record = options.run(options)
    except (mf.ArgumentError, OSError) as error:
        print(f"mfsym: {_one_line(error)}", file=sys.stderr)
        return 2
    except (mf.SolveError, MemoryError, jax.errors.JaxRuntimeError) as error:
        print(f"mfsym: {_one_line(error)}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(record, allow_nan=False))
    return 0


def _escape_what_a_console_lacks() -> None:
    """Letters that a console has no code for, such as ‖ in cp1252, are written as escapes instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _one_line(error: Exception) -> str:
    if isinstance(error, mf.SolveError):
        return f"{error.solution.sentence()} Nothing was written."
    return " ".join(str(error).split()) or f"{type(error).__name__}: make the problem smaller."


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as those of the library are."""

    def error(self, message):
        self.exit(2, f"mfsym: {' '.join(message.split())} (see {self.prog} --help)\n")


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**32:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to {2**32 - 1}, but is {text}")
    return seed


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m mfsym",
        description="Infinite-width dynamics of two-layer networks: reduced equation, clouds of neurons, verdict.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="{demo,solve,figures}")
    demo = commands.add_parser(
        "demo",
        help="the whole job on one problem, with figures",
        description="Learn f*(x) = ‖x_H‖ (d = 30, d_H = 5) by both routes, judge the difference, and draw it.",
    )
    demo.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the figures (default: demo_out)")
    demo.set_defaults(run=run_demo)
    solve = commands.add_parser(
        "solve",
        help="solve one problem",
        description="Solve the reduced equation of one problem and, with --width, a cloud of neurons beside it.",
        epilog="Example: python -m mfsym solve --dim 30 --dim-h 5 --until 100 --json",
    )
    _problem_options(solve)
    _solver_options(solve)
    solve.set_defaults(run=run_solve)
    figures = commands.add_parser(
        "figures",
        help="the published experiments as figures: finite networks beside their limit",
        description="Run experiments and draw them; `all` stands for every one.",
        epilog="Names: " + "; ".join(f"{name} ({experiment.sentence})" for name, experiment in FIGURES.items()) + ".",
    )
    figures.add_argument("names", nargs="+", choices=("all", *FIGURES), metavar="NAME", help="which, or `all`")
    figures.add_argument("--out", type=Path, default=Path("figures_out"), help="folder for them (default: figures_out)")
    figures.set_defaults(run=run_figures)
    for command in (demo, solve, figures):
        command.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        command.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="floating type")
        command.add_argument("--seed", type=_seed, default=0, help="seed of the random clouds (default: 0)")
    return parser


def _problem_options(solve: argparse.ArgumentParser) -> None:
    group = solve.add_argument_group("problem")
    group.add_argument("--dim", type=int, default=30, help="dimension d of the inputs (default: 30)")
    group.add_argument("--inputs", choices=("gaussian", "sphere"), default="gaussian", help="law of the inputs")
    group.add_argument("--scale", type=float, default=1.0, help="standard deviation, or radius of the sphere (default: 1)")
    target = group.add_mutually_exclusive_group()
    target.add_argument("--dim-h", type=int, default=5, help="f*(x) = ‖x_H‖ with H of this dimension (default: 5)")
    target.add_argument("--single-index", choices=tuple(PROFILES), help="f*(x) = g(x_1) with this g, instead of ‖x_H‖")


def _solver_options(solve: argparse.ArgumentParser) -> None:
    group = solve.add_argument_group("solver")
    group.add_argument("--until", type=float, default=10.0, help="last flow time (default: 10)")
    group.add_argument("--records", type=int, default=41, help="number of recorded times (default: 41)")
    group.add_argument("--method", choices=("grid", "characteristics", "upwind"), help="reduced method")
    group.add_argument("--cells", type=int, help="cells of the grid (default: 200, or 400 for --single-index)")
    group.add_argument("--nodes", type=int, help="labels of the characteristics, an odd number")
    group.add_argument("--modes", type=int, help="even harmonics in the dynamics")
    group.add_argument("--rtol", type=float, help="relative tolerance of a time step")
    group.add_argument("--error", action="store_true", help="also estimate the error of the reduced route")
    group.add_argument("--width", type=int, help="also move a cloud of this many neurons")
    group.add_argument("--progress", action="store_true", help="show a progress bar on stderr")


def run_solve(options: argparse.Namespace) -> dict[str, Json]:
    """One problem: the reduced route and, on request, one cloud."""
    problem = _problem(options)
    check_integer("--records", options.records, 2, "It is the number of recorded times.")
    if not _SHORTEST < options.until < np.inf:
        raise argument_error("--until", "a positive finite time", options.until, "It is the last recorded time.")
    ts = np.linspace(0.0, options.until, options.records)
    cloud = None  # drawn first, so that a wrong width is noticed before anything long is run
    if options.width is not None:
        cloud = mf.sphere_cloud(problem, width=options.width, key=jax.random.key(options.seed))
    started = time.perf_counter()
    reduced = mf.reduce(problem, cells=options.cells, nodes=options.nodes, modes=options.modes)
    method = reduced.choose_method(options.method, None, None)
    numerics = {"method": method, "rtol": options.rtol, "error": options.error, "progress": options.progress}
    pde = mf.solve_reduced(reduced, ts, derivative="forward", **numerics)  # the mode that compiles faster
    jax.block_until_ready(pde.final)
    record = _record(pde, time.perf_counter() - started)
    _say(f"Reduced route ({method}), {record['wall_s']:.2f} s with compilation\n{pde}")
    record |= {"particles": None, "report": None, "files": []}
    if cloud is not None:
        record["particles"], full = _timed_particles(problem, cloud, ts, options.progress)
        _say(f"Cloud of {options.width} neurons, {record['particles']['wall_s']:.2f} s with compilation\n{full}")
    return record


def run_demo(options: argparse.Namespace) -> dict[str, Json]:
    """The main job of the library on the reference problem, with its figures."""
    problem = mf.Problem(inputs=mf.Gaussian(30), target=mf.SubspaceNorm(5))
    options.out.mkdir(parents=True, exist_ok=True)
    ts = np.linspace(0.0, 10.0, 41)
    key_cloud, key_runs = jax.random.split(jax.random.key(options.seed))
    _say("f*(x) = ‖x_H‖, x ~ N(0, I_30), d_H = 5. Solving the reduced equation ...")
    started = time.perf_counter()
    pde = jax.block_until_ready(mf.solve_reduced(mf.reduce(problem, cells=200), ts, derivative="forward"))
    wall = time.perf_counter() - started
    _say(f"... {wall:.1f} s with compilation. Moving a cloud of 256 neurons ...")
    cloud = mf.sphere_cloud(problem, width=256, key=key_cloud)
    particles, full = _timed_particles(problem, cloud, ts, progress=False)
    _say(f"... {particles['wall_s']:.1f} s. Judging clouds of three widths against it ...")
    started = time.perf_counter()
    report = mf.cross_check(problem, ts, widths=(64, 128, 256), seeds=8, key=key_runs, cells=200)
    pde = report.references["grid"]  # the same run, with its error
    record = _record(pde, wall) | {"particles": particles}
    record["report"] = report.as_dict() | {"wall_s": time.perf_counter() - started}
    _say(f"... {record['report']['wall_s']:.1f} s. {report}")
    record["files"] = _draw(options.out, pde, full, report)
    _say(f"{_error_sentence(pde)}\n{pde}\nFigures: " + ", ".join(record["files"]))
    return record


def run_figures(options: argparse.Namespace) -> dict[str, Json]:
    """Run and draw experiments, one file each."""
    names = list(FIGURES) if "all" in options.names else list(dict.fromkeys(options.names))
    options.out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Json] = {"files": [], "wall_s": {}}
    for name in names:
        _say(f"{name}: {FIGURES[name].sentence} ...")
        started = time.perf_counter()
        drawn = FIGURES[name].draw(FIGURES[name].compute(jax.random.key(options.seed)))
        path = options.out / f"{name}.png"
        drawn.savefig(path, dpi=130)
        record["files"].append(str(path))
        record["wall_s"][name] = time.perf_counter() - started
        _say(f"... {record['wall_s'][name]:.0f} s, {path}")
    return record


def _error_sentence(pde: mf.Solution) -> str:
    errors = ", ".join(f"{name} {float(np.max(value)):.0e}" for name, value in (pde.error or {}).items())
    return f"Grid against characteristics with twice the modes, largest difference over time: {errors}."


def _draw(out: Path, pde, full, report) -> list[str]:
    figures = {
        "overview.png": mf.plot.overview(pde, full, report),
        "densities.png": mf.plot.densities(pde, full=full),
        "rates.png": mf.plot.rates(report),
    }
    for name, figure in figures.items():
        figure.savefig(out / name, dpi=130)
    mf.plot.film(pde, out / "film.gif", full=full)
    return [str(out / name) for name in (*figures, "film.gif")]


def _problem(options: argparse.Namespace) -> mf.Problem:
    inputs = {"gaussian": mf.Gaussian, "sphere": mf.Sphere}[options.inputs](options.dim, options.scale)
    if options.single_index is not None:
        return mf.Problem(inputs, mf.SingleIndex(PROFILES[options.single_index]))
    return mf.Problem(inputs, mf.SubspaceNorm(options.dim_h))


def _timed_particles(problem, cloud, ts, progress: bool) -> tuple[dict[str, Json], mf.Solution]:
    started = time.perf_counter()
    full = mf.solve_particles(problem, cloud, ts, derivative="forward", save_states=True, progress=progress)
    jax.block_until_ready(full.final)
    return _record(full, time.perf_counter() - started), full


def _record(solution: mf.Solution, wall: float) -> dict[str, Json]:
    return solution.as_dict() | {"wall_s": wall}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
