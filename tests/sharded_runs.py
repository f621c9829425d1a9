"""Runs in a process of its own, started by test_sharding.py: cases on one device and on all, their greatest difference.

Prints one JSON object: for every case the greatest relative difference of any array, and the layout of every cloud.
"""

import re
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from processes import print_report

import mfsym as mf

DIM, WIDTH, WIDE = 5, 256, 1024
# Nothing is computed on import: a process joins the others before it has devices.


def problems():
    """The same target under its law, with an exact risk, and one on a data set."""
    data = jax.random.normal(jax.random.key(3), (301, DIM))
    on_data = mf.Problem(mf.Empirical(data), mf.FunctionTarget(lambda x: x[0] * jnp.abs(x[1])))
    return mf.Problem(mf.Gaussian(DIM), mf.SubspaceNorm(2)), on_data, data


def swaps():
    """The action of the exchange of two coordinates."""
    group = mf.generate(np.eye(DIM)[[1, 0, 2, 3, 4]])
    return mf.action(mf.ReLU(), group.standard, group.trivial())


def risks():
    problem, on_data, _ = problems()
    fresh = mf.risk_of(problem, samples=100, key=jax.random.key(1))
    return {"exact": mf.risk_of(problem), "data": mf.risk_of(on_data), "fresh samples": fresh}


def cases():
    """Name: a function of a cloud."""
    problem, on_data, data = problems()
    ts, fresh = jnp.array([0.0, 0.1, 0.3]), {"samples": 100, "key": jax.random.key(1)}

    def flow(problem, **options):
        return lambda cloud: mf.solve_particles(problem, cloud, ts, save_states=True, **options)

    def gradient(problem):
        return jax.grad(lambda cloud: jnp.sum(mf.solve_particles(problem, cloud, ts, step=0.1).risk))

    def of_risk(name):
        return lambda cloud: (risks()[name].value(cloud), risks()[name].velocity(cloud))

    def resumed(cloud):
        """Uninterrupted on one device; out of steps, and taken up again from its file, on several."""
        if len(cloud.a.sharding.device_set) == 1:
            return flow(problem)(cloud)
        with tempfile.TemporaryDirectory() as folder:
            files = {"checkpoint": mf.Checkpoints(folder, every=0)}
            first = flow(problem, max_steps=2, throw=False, **files)(cloud)
            assert int(first.stats["steps"]) == 2 and not bool(first.succeeded) and list(Path(folder).iterdir())
            return flow(problem, **files)(cloud)

    return {
        "resumed": resumed,
        "values, exact": of_risk("exact"),
        "values, data": of_risk("data"),
        "values, fresh samples": of_risk("fresh samples"),
        "flow, exact": flow(problem),
        "flow, data": flow(on_data),
        "flow, fresh samples": flow(problem, step=0.05, **fresh),
        "heavy ball": flow(on_data, training=mf.Training(1.0, 0.5, weight_decay=0.1, step=0.1, momentum=0.5)),
        "gradient descent": lambda cloud: mf.descend(on_data, cloud, 4, learning_rate=0.1, save_states=True),
        "adam": lambda cloud: mf.descend(problem, cloud, 3, optimiser=optax.adam(1e-2), save_states=True),
        "observables": lambda cloud: mf.measure_cloud(problem, cloud),
        "predictor": lambda cloud: mf.predict(cloud, data),
        "orbits": lambda cloud: mf.orbit_cloud(cloud, swaps()),
        "fixed neurons": lambda cloud: mf.fixed_part(cloud, swaps()),
        "gradient, exact": gradient(problem),
        "gradient, data": gradient(on_data),
    }


def arrays(result):
    """What is compared of a result: name and array."""
    if isinstance(result, mf.Solution):
        result = {"observables": result.observables, "final": result.final, "states": result.states, "valid": result.valid}
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(result)}


def difference(found, expected):
    """The greatest difference on this process's devices, relative to the largest expected entry."""
    expected = np.asarray(expected, dtype=float)
    parts = [np.max(np.abs(np.asarray(part.data, dtype=float) - expected[part.index])) for part in found.addressable_shards]
    return float(max(parts) / max(np.max(np.abs(expected)), 1e-300))


def compare(case, cloud, sharded):
    expected, found = arrays(case(cloud)), arrays(case(sharded))
    layouts = {name: list(leaf.sharding.spec) for name, leaf in found.items() if leaf.size >= WIDTH and "valid" not in name}
    small = all(leaf.is_fully_replicated for leaf in found.values() if leaf.size < WIDTH)
    differences = [difference(leaf, expected[name]) for name, leaf in found.items()]
    return {"difference": max(differences), "layouts": layouts, "observables everywhere": small}


def communicated(risk, sharded):
    """The collective operations of a compiled velocity: kind and size of what is moved."""
    text = jax.jit(lambda cloud: risk.velocity(cloud)).lower(sharded).compile().as_text()
    pattern = r"= (.*?) (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
    return [[kind, max(map(size, re.findall(r"\[([\d,]*)\]", shapes)))] for shapes, kind in re.findall(pattern, text)]


def size(shape):
    return int(np.prod([int(n) for n in shape.split(",") if n]))


def report(options):
    problem, key = problems()[0], jax.random.key(0)
    cloud = mf.sphere_cloud(problem, width=WIDTH, key=key)
    found = {name: compare(cases()[name], cloud, mf.shard(cloud)) for name in options.names}
    if options.communication:
        wide = mf.shard(mf.sphere_cloud(problem, width=WIDE, key=key))
        found["communication"] = {name: communicated(risk, wide) for name, risk in risks().items()}
    return found


if __name__ == "__main__":
    print_report(report)
