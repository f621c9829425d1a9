"""Training deep networks of many seeds and widths: `python benchmarks/deep.py [--json]`.

200 steps of full-batch gradient descent in mup, 3 hidden layers, inputs and labels of the shapes of the digits of
scikit-learn (512 × 64, ten classes). All seeds of a width are one program; its compilation counts.
"""

import argparse
import json
import sys
import time

import jax
import jax.numpy as jnp
import optax
from measuring import markdown, time_text

import mfsym as mf

SAMPLES, PIXELS, CLASSES, DEPTH = 512, 64, 10, 3
WIDTHS = (32, 64, 128, 256, 512)
NEVER = -1.0  # a level that no cross-entropy reaches, so that all steps are made


def data() -> tuple[jax.Array, jax.Array]:
    """Inputs, and labels of a random linear map."""
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (SAMPLES, PIXELS))
    labels = jnp.argmax(x @ jax.random.normal(keys[1], (PIXELS, CLASSES)), axis=1)
    return x, jax.nn.one_hot(labels, CLASSES, dtype=float)


def measure(widths: tuple[int, ...] = WIDTHS, seeds: int = 4, steps: int = 200) -> dict:
    """Seconds of a sweep over all widths, of the first call."""
    scaling, (x, y) = mf.deep.mup(DEPTH), data()
    options = {"activation": jax.nn.relu, "loss": optax.softmax_cross_entropy, "rate": 0.1, "level": NEVER}
    started = time.perf_counter()
    found = mf.deep.escape_times(scaling, widths, x, y, seeds=seeds, max_steps=steps, **options)
    seconds = time.perf_counter() - started
    made = int(jnp.sum(jnp.isinf(jnp.asarray(found.steps))))  # networks that made all steps
    return {"widths": list(widths), "seeds": seeds, "steps": steps, "networks": made, "seconds": seconds}


HEADER = ("widths", "networks", "steps of each", "seconds")


def table(result: dict) -> str:
    """The row as a Markdown table."""
    widths = ", ".join(map(str, result["widths"]))
    row = (widths, str(result["networks"]), str(result["steps"]), time_text(result["seconds"]))
    note = f"{SAMPLES} samples in every step, {DEPTH} hidden layers of ReLU units; one program for each width."
    return markdown(HEADER, [row], [note])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    result = measure()
    sys.stdout.write((json.dumps(result, indent=2) if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
