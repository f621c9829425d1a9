"""What `mf.noether.track` costs in a training loop: `python benchmarks/tracking.py [width] [--json]`.

A step of Adam on an `eqx.nn.MLP` with two hidden layers of ReLU units, about 10⁶ parameters, in float32, compiled; beside it
the same step with the laws of all hidden units, and with those of 32 units of each layer.
"""

import argparse
import json
import statistics
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from measuring import compiled, markdown, take_turns, time_text

import mfsym as mf

INPUTS, OUTPUTS, SOME = 256, 10, 32
BATCHES = (64, 256, 1024)


def laws(units: int | None = None) -> list[mf.noether.Law]:
    """k‖w_out‖² − ‖w_in‖² − b² of the units of both hidden layers, or of the first of them."""
    return [
        mf.noether.unit_norms(
            lambda p, i=i: p.layers[i].weight[:units],
            lambda p, i=i: p.layers[i + 1].weight[:, :units],
            bias=lambda p, i=i: p.layers[i].bias[:units],
        )
        for i in range(2)
    ]


def contender(optimiser: optax.GradientTransformation, width: int, batch: int):
    """One step, and the number of parameters."""
    model = eqx.nn.MLP(INPUTS, OUTPUTS, width, 2, key=jax.random.key(0), dtype=jnp.float32)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    x = jax.random.normal(jax.random.key(1), (batch, INPUTS), jnp.float32)

    def step(params, state, x):
        gradient = jax.grad(lambda p: jnp.mean(jax.vmap(eqx.combine(p, static))(x) ** 2))(params)
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    return compiled(step, (params, optimiser.init(params), x)), sum(leaf.size for leaf in jax.tree.leaves(params))


def measure(width: int = 832, batches: tuple[int, ...] = BATCHES, turns: int = 30) -> dict:
    """Seconds of a step, and the ratios of the steps that are watched, turn by turn."""
    rows = []
    for batch in batches:
        optimisers = [optax.adam(1e-3), *(optax.chain(optax.adam(1e-3), mf.noether.track(laws(n))) for n in (None, SOME))]
        made = [contender(optimiser, width, batch) for optimiser in optimisers]
        contenders = [each for each, _ in made]
        take_turns(contenders, turns)
        plain, *watched = contenders
        ratios = [[a / b for a, b in zip(each.seconds, plain.seconds, strict=True)] for each in watched]
        rows.append({"batch": batch, "parameters": made[0][1], "seconds": plain.least, "ratios": ratios})
    return {"rows": rows, "width": width}


HEADER = ("batch", "a step of Adam", f"with the laws of {SOME} units of each layer", "of all units")


def table(result: dict) -> str:
    """The rows as a Markdown table."""
    note = (
        f"{result['rows'][0]['parameters']:,} parameters, {2 * result['width']:,} units, float32. Medians of "
        f"{len(result['rows'][0]['ratios'][0])} turns, with quartiles; the step alone is the least of them."
    )
    return markdown(HEADER, map(_cells, result["rows"]), [note])


def _cells(row: dict) -> tuple[str, ...]:
    return str(row["batch"]), time_text(row["seconds"]), *(_more(ratios) for ratios in reversed(row["ratios"]))


def _more(ratios: list[float]) -> str:
    low, middle, high = (100 * (x - 1) for x in (statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3))
    return f"{middle:+.0f} % ({low:+.0f} to {high:+.0f})"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("width", type=int, nargs="?", default=832, help="units of a hidden layer (default 832)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    result = measure(options.width)
    sys.stdout.write((json.dumps(result, indent=2) if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
