"""One step of gradient descent on a cloud: mfsym's blocks beside plain `jax.value_and_grad` and PyTorch, in float32.

The step is z_j ← z_j − η m ∇_{z_j} F for F = (1/2n) Σ_i (f(x_i) − y_i)², f(x) = (1/m) Σ_j a_j max(b_j·x, 0), on n inputs
that stay. Its two matrix products take 4mnd floating-point operations; everything else is memory traffic, which is
what blocks of samples save: the residual of a sample needs only that sample, so that no work is repeated and no
m × n array is kept.

    python benchmarks/particle_step.py [--shapes 65536,512,20 ...] [--turns 15] [--json]
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
from measuring import Contender, Step, compiled, markdown, memory_text, take_turns

import mfsym as mf

SHAPES = ((65_536, 512, 20), (8_192, 4_096, 64), (8_192, 4_096, 256))
RATE = 0.1


def data(m: int, n: int, d: int) -> tuple[mf.Particles, jax.Array, jax.Array]:
    """A cloud, n inputs and their targets ‖x‖ of the first five coordinates, in float32."""
    keys = jax.random.split(jax.random.key(0), 3)
    directions = jax.random.normal(keys[0], (m, d), jnp.float32)
    cloud = mf.Particles(
        jax.random.rademacher(keys[1], (m,), jnp.float32),
        directions / jnp.linalg.norm(directions, axis=1, keepdims=True),
    )
    x = jax.random.normal(keys[2], (n, d), jnp.float32)
    return cloud, x, jnp.linalg.norm(x[:, :5], axis=1)


def plain_step(cloud: mf.Particles, x: jax.Array, y: jax.Array) -> mf.Particles:
    """The step as one would write it first."""

    def risk(cloud):
        outputs = jnp.maximum(x @ cloud.b.T, 0) @ cloud.a / cloud.a.size
        return jnp.mean((outputs - y) ** 2) / 2

    _, slope = jax.value_and_grad(risk)(cloud)
    rate = RATE * cloud.a.size
    return jax.tree.map(lambda z, s: z - rate * s, cloud, slope)


def blocked_step(cloud: mf.Particles, x: jax.Array, y: jax.Array) -> mf.Particles:
    """The step by the risk that every solver of clouds uses."""
    target = mf.FunctionTarget(lambda x: jnp.linalg.norm(x[:5]))
    risk = mf.risk_of(mf.Problem(mf.Empirical(x), target))
    del y  # the risk computes it; one norm per sample
    return jax.tree.map(lambda z, v: z + RATE * v, cloud, risk.velocity(cloud))


def products(cloud: mf.Particles, x: jax.Array, y: jax.Array) -> jax.Array:
    """Nothing but the two matrix products of a step: x bᵀ, and its transpose times x."""
    del y
    before = jnp.matmul(x, cloud.b.T, precision="highest")
    return jnp.matmul(jax.lax.optimization_barrier(before).T, x, precision="highest")


def torch_step(cloud: mf.Particles, x: jax.Array, y: jax.Array) -> tuple[Step, Callable[[], None]]:
    """The step in PyTorch, eager, on the same kind of device, and what waits for it."""
    import numpy as np

    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # its idle threads would keep the cores from whoever comes next
    import torch

    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    a, b, inputs, targets = (torch.tensor(np.asarray(v), device=device) for v in (cloud.a, cloud.b, x, y))
    a.requires_grad_(), b.requires_grad_()
    optimiser = torch.optim.SGD([a, b], lr=RATE * a.numel())

    def step():
        optimiser.zero_grad()
        outputs = torch.relu(inputs @ b.T) @ a / a.numel()
        (torch.mean((outputs - targets) ** 2) / 2).backward()
        optimiser.step()

    return step, torch.cuda.synchronize if on_gpu else lambda: None


def contenders(m: int, n: int, d: int) -> dict[str, Contender]:
    """Everything that can run here."""
    arguments = data(m, n, d)
    found = {
        "mfsym": compiled(blocked_step, arguments, "highest"),
        "jax.value_and_grad": compiled(plain_step, arguments, "highest"),
        "the two products alone": compiled(products, arguments, "highest"),
    }
    if jax.default_backend() != "cpu":  # there, products are rounded by default
        found["jax.value_and_grad, rounded products"] = compiled(plain_step, arguments, "default")
    if importlib.util.find_spec("torch") is not None:
        step, wait = torch_step(*arguments)
        found["PyTorch"] = Contender(step, lambda _: wait())
    return found


def measure(shapes=SHAPES, turns: int = 15) -> dict:
    """Every shape, every contender, in turns."""
    rows = []
    for m, n, d in shapes:
        runs = contenders(m, n, d)
        take_turns(runs.values(), turns)
        least = {name: run.least for name, run in runs.items()}
        for name, run in runs.items():
            rows.append(
                {
                    "m": m,
                    "n": n,
                    "d": d,
                    "name": name,
                    "seconds": least[name],
                    "seconds_median": statistics.median(run.seconds),
                    "times_mfsym": least[name] / least["mfsym"],
                    "gflops": 4e-9 * m * n * d / least[name],
                    "of_products": least["the two products alone"] / least[name],
                    "temporary_bytes": run.memory,
                }
            )
    return {"rows": rows, "turns": turns}


HEADER = ("m", "n", "d", "step", "time", "over mfsym", "Gflop/s", "of the products", "temporary memory")


def table(result: dict) -> str:
    """The rows as a Markdown table."""
    note = f"Float32, full precision where not said. Each time is the least of {result['turns']} turns."
    return markdown(HEADER, map(_cells, result["rows"]), [note])


def _cells(row: dict) -> tuple[str, ...]:
    return (
        f"{row['m']:,}",
        f"{row['n']:,}",
        f"{row['d']:,}",
        row["name"],
        f"{1e3 * row['seconds']:.3g} ms",
        f"{row['times_mfsym']:.2f}",
        f"{row['gflops']:.3g}",
        f"{100 * row['of_products']:.0f} %",
        memory_text(row["temporary_bytes"]),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--shapes", nargs="+", metavar="m,n,d", help="other shapes")
    parser.add_argument("--turns", type=int, default=15, help="timings of each (default 15)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()
    shapes = SHAPES if options.shapes is None else [tuple(map(int, text.split(","))) for text in options.shapes]
    result = measure(shapes, options.turns)
    sys.stdout.write((json.dumps(result, indent=2) if options.json else table(result)) + "\n")


if __name__ == "__main__":
    main()
