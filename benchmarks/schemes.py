"""What training under a symmetry costs: one step of every scheme, and runs of many seeds at once.

    python benchmarks/schemes.py

Neurons are matrices of R^{2×2}, the group is that of the eight signed permutations of the plane, the unit tanh(zx).
"""

import argparse
import os

os.environ.setdefault("JAX_ENABLE_X64", "1")

import jax
import jax.numpy as jnp
from measuring import Contender, compiled, markdown, memory_text, take_turns, time_text

import mfsym as mf

UNIT = mf.MatrixUnit(jnp.tanh)


def squares() -> mf.Action:
    """The eight signed permutations of two coordinates."""
    group = mf.signed_permutations(2)
    return mf.action(UNIT, group.standard, group.standard)


def teacher() -> mf.Teacher:
    return mf.Teacher(jnp.array([[[1.0, 0.5], [-0.5, 0.2]], [[0.3, -1.0], [0.1, 0.8]]]), UNIT)


def one_step(neurons: int, samples: int, turns: int) -> list[dict]:
    """The velocity of a cloud on a batch, of plain training and of every scheme."""
    action, key = squares(), jax.random.key(0)
    x = jax.random.normal(key, (samples, 2))
    problem = mf.Problem(mf.Empirical(x), teacher(), UNIT)
    cloud = jax.random.normal(key, (neurons, 2, 2))
    ways = {
        "plain": None,
        "full data augmentation": mf.DataAugmentation(action),
        "feature averaging": mf.FeatureAveraging(action),
        "equivariant architecture": mf.EquivariantArchitecture(action),
    }
    risks = {name: mf.risk_of(problem, scheme=how) for name, how in ways.items()}
    contenders = {name: compiled(lambda z, risk=risk: risk.velocity(z), (cloud,)) for name, risk in risks.items()}
    take_turns(contenders.values(), turns)
    plain = contenders["plain"].least
    return [
        {"what": f"one step, {name}", "seconds": each.least, "ratio": each.least / plain, "memory": each.memory}
        for name, each in contenders.items()
    ]


def fewer(neurons: int, samples: int, turns: int) -> list[dict]:
    """What |G| times fewer neurons, data or coordinates save, each beside the same gradient without: closed clouds on closed
    data beside feature averaging of representatives on one row of every orbit, full augmentation of fixed neurons beside the
    restricted problem.
    """
    action, key = squares(), jax.random.key(0)
    order = action.group.order
    x = jax.vmap(action.move_input, in_axes=(0, None))(action.group.elements, jax.random.normal(key, (samples // order, 2)))
    closed = mf.Problem(mf.Empirical(x.reshape(-1, 2)), mf.symmetrised(teacher(), action), UNIT)
    few = mf.Problem(mf.fundamental_domain(closed.inputs, action), closed.target, UNIT)
    cloud = jax.random.normal(key, (neurons // order, 2, 2))
    fixed = mf.fixed_part(jax.random.normal(key, (neurons, 2, 2)), action)
    ways = {
        "closed cloud on closed data, plain": (closed, None, mf.orbit_cloud(cloud, action)),
        "its representatives on one row of every orbit, feature averaging": (few, mf.FeatureAveraging(action), cloud),
        "fixed neurons on one row of every orbit, full data augmentation": (few, mf.DataAugmentation(action), fixed),
        "the same, restricted": (mf.restrict(few, action), None, mf.to_coordinates(fixed, action)),
    }
    risks = {name: (mf.risk_of(problem, scheme=how).prepare(), z) for name, (problem, how, z) in ways.items()}
    contenders = {name: compiled(lambda z, risk=risk: risk.velocity(z), (z,)) for name, (risk, z) in risks.items()}
    take_turns(contenders.values(), turns)
    first = [list(contenders.values())[2 * (i // 2)].least for i in range(len(contenders))]
    return [
        {"what": f"one step, {name}", "seconds": each.least, "ratio": each.least / base, "memory": each.memory}
        for (name, each), base in zip(contenders.items(), first, strict=True)
    ]


def many_seeds(width: int, steps: int, seeds: int, turns: int) -> list[dict]:
    """Runs on fresh inputs from so many seeds, vmapped and one after the other."""
    problem = mf.Problem(mf.Gaussian(2), teacher(), UNIT, start=mf.NormalStart(0.25))
    keys = jax.random.split(jax.random.key(1), seeds)

    def run(key):
        cloud = mf.initial_cloud(problem, width=width, key=key)
        options = {"samples": 20, "key": key, "derivative": "forward", "throw": False}
        return mf.solve_particles(problem, cloud, [0.0, 0.1 * steps], training=mf.Training(step=0.1), **options).final

    single, batch = jax.jit(run), jax.jit(jax.vmap(run))
    contenders = {
        "vmapped": Contender(lambda: batch(keys)),
        "one after the other, compiled whole": Contender(lambda: [single(key) for key in keys]),
        "one after the other, as calls": Contender(lambda: [run(key) for key in keys]),
    }
    take_turns(contenders.values(), turns)
    first = contenders["vmapped"].least
    what = f"{steps} steps of {seeds} seeds"
    return [
        {"what": f"{what}, {name}", "seconds": each.least, "ratio": each.least / first, "memory": None}
        for name, each in contenders.items()
    ]


def measure(
    neurons: int = 10_000, samples: int = 64, width: int = 10, steps: int = 1000, seeds: int = 20, turns: int = 15
) -> dict:
    """One step of every scheme, and runs of many seeds."""
    load = [os.getloadavg()[0]]
    rows = one_step(neurons, samples, turns) + fewer(neurons, samples, turns)
    rows += many_seeds(width, steps, seeds, turns)
    load.append(os.getloadavg()[0])
    return {"rows": rows, "neurons": neurons, "samples": samples, "width": width, "turns": turns, "load": load}


HEADER = ("what", "time", "times the first of its kind", "temporary memory")


def table(result: dict) -> str:
    """The rows as a Markdown table."""
    lines = [
        (row["what"], time_text(row["seconds"]), f"{row['ratio']:.2f}", memory_text(row["memory"])) for row in result["rows"]
    ]
    notes = [
        f"One step: {result['neurons']:,} matrices on {result['samples']} inputs, a group of 8 elements.",
        f"Runs: {result['width']} matrices on 20 fresh inputs a step. Each time is the least of {result['turns']} turns.",
        f"Load average at the start and at the end: {result['load'][0]:.1f}, {result['load'][1]:.1f}.",
    ]
    return markdown(HEADER, lines, notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    print(table(measure(options.neurons, turns=options.turns)))


if __name__ == "__main__":
    main()
