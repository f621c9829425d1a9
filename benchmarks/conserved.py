"""Conserved quantities of ordinary modules: how many, in how many seconds: `python benchmarks/conserved.py [--json]`.

`mf.noether.discover` on modules in the ways of equinox and of dictionaries with transposed kernels; and `count_laws` on
small linear networks whose laws were counted with symbolic algebra (Marcotte, Gribonval & Peyré, arXiv:2307.00144,
2506.06194), which took 34 minutes on 64 processes for 50 networks.
"""

import argparse
import itertools
import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
from measuring import markdown, time_text

import mfsym as mf

# sizes of the layers of linear networks, and their laws as tabulated
LINEAR = {
    (1, 1, 1): 1,
    (2, 1, 3): 1,
    (2, 2, 2): 3,
    (3, 2, 2): 3,
    (1, 2, 1): 3,
    (1, 3, 1): 5,
    (1, 4, 1): 7,
    (2, 3, 1): 6,
    (2, 4, 1): 9,
    (2, 3, 2): 6,
    (3, 3, 3): 6,
    (2, 4, 2): 10,
    (4, 5, 3): 15,
    (1, 1, 1, 1): 2,
    (2, 2, 2, 2): 6,
    (2, 3, 2, 2): 9,
    (1, 2, 2, 1): 7,
    (1, 1, 2, 2, 1): 8,
}


def rms_norm(gain, x):
    return gain[None] * x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)


def block(dim, heads, hidden, stacked=False):
    """A block as in Llama: RMSNorm gains, causal heads, SwiGLU, no biases.

    `stacked` has its heads on an axis of their own, and the kernels of the other layers transposed, as dictionaries often
    do.
    """
    size = dim // heads
    shapes = {
        "gain1": (dim,),
        "q": (heads, size, dim),
        "k": (heads, size, dim),
        "v": (heads, size, dim),
        "o": (heads, dim, size),
        "gain2": (dim,),
        "gate": (hidden, dim),
        "up": (hidden, dim),
        "down": (dim, hidden),
    }
    if not stacked:
        shapes |= {"q": (dim, dim), "k": (dim, dim), "v": (dim, dim), "o": (dim, dim)}
    keys = jax.random.split(jax.random.key(4), len(shapes))
    params = {name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items(), strict=True)}
    turn = ("gate", "up", "down") if stacked else ()
    params |= {name: params[name].T for name in turn}

    def apply(params, x):
        p = params | {name: params[name].T for name in turn}
        p |= {name: p[name].reshape(heads, size, dim) for name in "qkv"}
        p["o"] = p["o"] if stacked else jnp.moveaxis(p["o"].reshape(dim, heads, size), 1, 0)
        h = rms_norm(p["gain1"], x)
        q, k, v = (jnp.einsum("hsd,nd->hns", p[name], h) for name in ("q", "k", "v"))
        scores = jnp.where(jnp.tril(jnp.ones((len(x), len(x)), bool)), jnp.einsum("hns,hms->hnm", q, k), -jnp.inf)
        x = x + jnp.einsum("hds,hns->nd", p["o"], jax.nn.softmax(scores) @ v)
        h = rms_norm(p["gain2"], x)
        return x + (jax.nn.silu(h @ p["gate"].T) * (h @ p["up"].T)) @ p["down"].T

    return params, apply, jax.random.normal(jax.random.key(5), (12, 3, dim))


def perceptron():
    params, static = eqx.partition(eqx.nn.MLP(4, 3, 8, 2, key=jax.random.key(0)), eqx.is_inexact_array)
    return params, lambda p, x: eqx.combine(p, static)(x), 2 * jax.random.normal(jax.random.key(1), (400, 4))


def convolution():
    keys = jax.random.split(jax.random.key(0), 3)
    layers = (eqx.nn.Conv2d(1, 3, 3, key=keys[0]), eqx.nn.Conv2d(3, 4, 3, key=keys[1]), eqx.nn.Linear(4, 3, key=keys[2]))
    params, static = eqx.partition(layers, eqx.is_inexact_array)

    def apply(params, x):
        first, second, last = eqx.combine(params, static)
        return last(jnp.mean(jax.nn.relu(second(jax.nn.relu(first(x)))), axis=(1, 2)))

    return params, apply, 2 * jax.random.normal(jax.random.key(1), (80, 1, 6, 6))


def attention():
    params, static = eqx.partition(eqx.nn.MultiheadAttention(2, 4, key=jax.random.key(0)), eqx.is_inexact_array)

    def apply(params, x):
        return eqx.combine(params, static)(x, x, x)

    return params, apply, 2 * jax.random.normal(jax.random.key(1), (20, 3, 4))


def layer_norm():
    """LayerNorm, an MLP of GELU units with biases, and a skip: the gradients alone seem to keep ten more."""
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "gain": jax.random.normal(keys[0], (4,)),
        "shift": jax.random.normal(keys[1], (4,)),
        "first": eqx.filter(eqx.nn.Linear(4, 6, key=keys[2]), eqx.is_inexact_array),
        "second": eqx.filter(eqx.nn.Linear(6, 4, key=keys[3]), eqx.is_inexact_array),
    }

    def apply(p, x):
        centred = x - jnp.mean(x)
        h = p["gain"] * centred / jnp.sqrt(jnp.mean(centred**2) + 1e-6) + p["shift"]
        return x + p["second"](jax.nn.gelu(p["first"](h)))

    return params, apply, 2 * jax.random.normal(jax.random.key(1), (100, 4))


MODULES = {  # and the number of laws
    "equinox MLP": (perceptron, 16),
    "convolutions": (convolution, 7),
    "attention": (attention, 12),
    "LayerNorm and GELU MLP": (layer_norm, 4),
    "Llama block, d = 4": (lambda: block(4, 2, 6), 26),
    "the same with stacked heads": (lambda: block(4, 2, 6, stacked=True), 26),
    "Llama block, d = 6": (lambda: block(6, 2, 8), 44),
}


def linear(sizes: tuple[int, ...]):
    """A linear network: parameters, apply, inputs."""
    keys = jax.random.split(jax.random.key(3), len(sizes))
    shapes = [(after, before) for before, after in itertools.pairwise(sizes)]
    params = [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=False)]

    def apply(params, x):
        for weight in params:
            x = weight @ x
        return x

    return params, apply, jax.random.normal(jax.random.key(1), (40, sizes[0]))


def timed(function):
    """Seconds, compilation included, and the result."""
    start = time.perf_counter()
    found = function()
    return time.perf_counter() - start, found


def measure(modules: tuple[str, ...] = tuple(MODULES), networks: tuple[tuple[int, ...], ...] = tuple(LINEAR)) -> dict:
    """Every module, and the linear networks together."""
    rows = []
    for name in modules:
        make, laws = MODULES[name]
        params, apply, x = make()
        seconds, found = timed(lambda: mf.noether.discover(apply, params, x))  # noqa: B023
        rows.append(
            {
                "name": name,
                "parameters": found.count.parameters,
                "laws": found.count.generic,
                "expected": laws,
                "complete": found.complete,
                "seconds": seconds,
            }
        )
    seconds, counts = timed(lambda: [mf.noether.count_laws(apply, *rest) for apply, *rest in map(_arguments, networks)])
    right = sum(found.generic == LINEAR[sizes] for sizes, found in zip(networks, counts, strict=True))
    return {"rows": rows, "linear": {"seconds": seconds, "networks": len(networks), "right": right}}


def _arguments(sizes: tuple[int, ...]) -> tuple:
    params, apply, x = linear(sizes)
    return apply, params, x


HEADER = ("network", "parameters", "laws", "all of them found", "with compilation")


def table(result: dict) -> str:
    """The rows as a Markdown table."""
    few = result["linear"]
    notes = [
        f"The laws of {few['networks']} small linear networks, {few['right']} of them as published: "
        f"{time_text(few['seconds'])} here; published 34 minutes on 64 processes for 50 networks.",
    ]
    return markdown(HEADER, map(_cells, result["rows"]), notes)


def _cells(row: dict) -> tuple[str, ...]:
    laws = str(row["laws"]) if row["laws"] == row["expected"] else f"{row['laws']}, not {row['expected']}"
    verdict = {True: "yes", False: "no", None: "undecided"}[row["complete"]]
    return row["name"], str(row["parameters"]), laws, verdict, time_text(row["seconds"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    result = measure()
    sys.stdout.write((json.dumps(result, indent=2) if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
