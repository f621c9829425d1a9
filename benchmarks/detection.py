"""How often detection is right: random targets of every kind, targets with jumps, and generic networks without symmetry.

    python benchmarks/detection.py --draws 100

The thresholds were set on seeds below 1000; this study draws from 2000 on. Prints one row for each kind and evaluation.
"""

import argparse
import itertools
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("JAX_ENABLE_X64", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import detection_targets as targets
import jump_targets as jumps
from measuring import markdown, time_text

import mfsym as mf

EVALUATIONS = ("plain", "axes", "noisy", "callback")


def study(kinds, evaluations, seeds) -> dict:
    rows: dict = {}
    for seed in seeds:
        for kind, evaluation in itertools.product(kinds, evaluations):
            drawn = targets.draw(kind, seed, evaluation)
            row = rows.setdefault((kind.__name__, evaluation), {"draws": 0, "right": 0, "slowest_s": 0.0, "wrong": []})
            record(row, lambda drawn=drawn: targets.mistakes(mf.detect(drawn.fn, drawn.inputs), drawn), seed)
    return rows


def jumping_targets(kinds, evaluations, seeds) -> dict:
    """Along random directions ("plain") or axes; Gaussian in d = 8 and on a sphere in d = 30 in turns."""
    rows: dict = {}
    for seed in seeds:
        for kind, evaluation in itertools.product(kinds, [each for each in evaluations if each in ("plain", "axes")]):
            placed = jumps.place(kind, seed, evaluation == "plain", (8, 30)[seed % 2], bool(seed % 2))
            row = rows.setdefault((kind.name, evaluation), {"draws": 0, "right": 0, "slowest_s": 0.0, "wrong": []})
            record(row, lambda placed=placed: jump_mistakes(mf.detect(placed.fn, placed.inputs), placed), seed)
    return rows


def jump_mistakes(found, placed) -> list[str]:
    return jumps.mistakes(found, placed) + ([] if found.verified else ["cannot tell"])


def record(row, detection, seed) -> None:
    start = time.process_time()
    wrong = detection()
    row["slowest_s"] = max(row["slowest_s"], time.process_time() - start)
    row["draws"] += 1
    row["right"] += not wrong
    if wrong:
        row["wrong"].append((seed, wrong))


def generic_networks(seeds) -> dict:
    row = {"draws": 0, "right": 0, "slowest_s": 0.0, "wrong": []}
    for seed in seeds:
        fn, inputs = targets.generic(seed)
        record(row, lambda fn=fn, inputs=inputs: targets.false_symmetries(mf.detect(fn, inputs)), seed)
    return {("generic network", "plain"): row}


def measure(
    draws: int = 3, first_seed: int = 2000, kinds=targets.KINDS, evaluations=EVALUATIONS, jumping=jumps.TABLE
) -> dict:
    """Every kind and evaluation, the targets with jumps, and the generic networks."""
    seeds = range(first_seed, first_seed + draws)
    rows = study(kinds, evaluations, seeds) | jumping_targets(jumping, evaluations, seeds) | generic_networks(seeds)
    listed = [{"kind": kind, "evaluation": evaluation, **row} for (kind, evaluation), row in rows.items()]
    return {"rows": listed, "draws": draws, "first_seed": first_seed}


HEADER = ("kind", "evaluation", "right", "of", "slowest, CPU time", "seeds that went wrong")


def table(result: dict) -> str:
    """The rows as a Markdown table."""
    note = f"Seeds {result['first_seed']} to {result['first_seed'] + result['draws'] - 1}."
    return markdown(HEADER, map(_cells, result["rows"]), [note])


def _cells(row: dict) -> tuple[str, ...]:
    wrong = ", ".join(str(seed) for seed, _ in row["wrong"])
    return row["kind"], row["evaluation"], str(row["right"]), str(row["draws"]), time_text(row["slowest_s"]), wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=2000)
    parser.add_argument("--kinds", default="", help="comma-separated, default all; `jumping` for the targets with jumps")
    parser.add_argument("--evaluations", default=",".join(EVALUATIONS))
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    wanted = options.kinds.split(",") if options.kinds else [kind.__name__ for kind in targets.KINDS]
    kinds = [kind for kind in targets.KINDS if kind.__name__ in wanted]
    seeds = range(options.first_seed, options.first_seed + options.draws)
    rows = study(kinds, options.evaluations.split(","), seeds)
    if not options.kinds or "jumping" in wanted:
        rows |= jumping_targets(jumps.TABLE, options.evaluations.split(","), seeds)
    if "plain" in options.evaluations and not options.kinds:
        rows |= generic_networks(seeds)
    for (kind, evaluation), row in rows.items():
        share = f"{row['right']:4d}/{row['draws']:<4d}"
        print(f"{kind:>32} {evaluation:>9} {share} slowest {row['slowest_s']:5.1f} s of CPU", row["wrong"][:6])
    if options.json:
        options.json.write_text(json.dumps([{"kind": k, "evaluation": e, **row} for (k, e), row in rows.items()], indent=1))


if __name__ == "__main__":
    main()
