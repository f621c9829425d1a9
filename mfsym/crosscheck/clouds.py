"""Finite clouds of several widths and seeds on one problem, beside its reduced equation."""

from collections.abc import Iterator

import equinox as eqx
import jax
import tqdm
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ..errors import (
    SolveError,
    Words,
    argument_error,
    check_flags,
    check_instance,
    check_integer,
    check_key,
    check_times,
    positive_number,
)
from ..lift import project
from ..particles.ensemble import solve_ensemble
from ..particles.flow import check_sampling
from ..particles.initial import check_widths, initial_cloud
from ..particles.risk import risk_of
from ..problem.problem import Problem
from ..problem.training import Training
from ..reduced.base import AbstractReduction
from ..sharding import check_mesh_of_lanes, stack_lanes
from ..solution import Solution, early_ends, lane, with_masks, words_of_early_ends
from ..types import Checked, IntLike, KeyLike, RealLike, Times


class Runs(eqx.Module):
    """Finite clouds of several widths and seeds on one problem, recorded at `ts` [T].

    `observables[name][k]` is [seeds, T] for `widths[k]`: what every cloud shows by itself. `theta[k]` and `weight[k]`
    [seeds, T, width] are the clouds pushed forward to the angle, with signed weights (`theta[k]` with one more axis where
    there are several angles); `energy[k]` [seeds, T] is E f_m². These three are empty where no angle is compared.
    """

    ts: Float[Array, " T"]
    widths: tuple[int, ...] = eqx.field(static=True)
    observables: dict[str, list[Float[Array, "seeds T"]]]
    theta: list[Float[Array, "seeds T _ *k"]]
    weight: list[Float[Array, "seeds T _"]]
    energy: list[Float[Array, "seeds T"]]

    @property
    def seeds(self) -> int:
        """Clouds of every width."""
        return self.observables["risk"][0].shape[0]


@with_masks
def run_clouds(
    problem: Problem,
    ts: Times,
    reduced: AbstractReduction,
    *,
    widths: tuple[int, ...],
    seeds: int,
    key: KeyLike | None = None,
    samples: IntLike | None = None,
    step: RealLike | None = None,
    mesh: Checked[Mesh | None] = None,
    progress: bool = False,
) -> Runs:
    """Independent clouds from the start of a problem, for every width and seed, moved by the exact flow; with `step` by
    gradient descent in steps of that length, with `samples` on so many fresh inputs for each, other ones for every cloud.

    `progress` shows a bar on stderr, in which every neuron counts as much; `mesh` spreads the clouds over all its devices.
    Raises SolveError if one of them ended early; it says which, when and why, and has all Runs in its `.solution`.
    """
    check_instance("problem", problem, Problem, "Build it with mf.Problem(inputs, target).")
    check_instance("reduced", reduced, AbstractReduction, "Build it with mf.reduce(problem).")
    check_comparable(reduced, "reduced")
    ts, training = check_times(ts), training_of(samples, step)
    widths = check_widths([problem], widths, 2, "Pass even integers such as (64, 256, 1024).")
    if len(set(widths)) < 2 or list(widths) != sorted(widths):
        raise argument_error("widths", "at least two increasing widths", widths, "One width cannot be extrapolated.")
    seeds = check_integer("seeds", seeds, 3, "The scatter over seeds is the yardstick of the comparison.")
    check_flags(progress=progress)
    mesh = check_mesh_of_lanes(mesh)
    keys = jax.random.split(jax.random.key(0) if key is None else check_key(key), len(widths))
    if samples is None:
        risk_of(problem)  # refuses a problem whose risk has no closed form
    shared = {"training": training, "samples": samples, "save_states": bool(reduced.angles), "mesh": mesh}
    with tqdm.tqdm(total=seeds * sum(widths), unit="neuron", disable=not progress) as bar:
        records = []
        for width, k in zip(widths, keys, strict=True):
            drawn = jax.random.split(k, 2 * seeds)
            clouds = stack_lanes([initial_cloud(problem, width=width, key=start) for start in drawn[:seeds]])
            options = {"keys": None if samples is None else drawn[seeds:], "done": lambda n, w=width: bar.update(n * w)}
            records.append(solve_ensemble(problem, clouds, ts, **shared, **options))
    found = _recorded(problem, reduced, ts, widths, records)
    early = early_ends(_by_name(widths, records))
    if early:
        raise SolveError(words_of_early_ends(early, "All clouds are in `.solution` of this error."), found)
    return found


def check_comparable(reduced: AbstractReduction, argument: str) -> None:
    """Clouds are compared with what follows neurons."""
    if "characteristics" not in reduced.methods:
        remedy = (
            "Compare runs of mf.solve_particles with one of mf.solve_reduced; for odd targets also mf.moments_of(cloud)."
        )
        got = Words(f"one whose equation keeps none: {type(reduced).__name__}")
        raise argument_error(argument, "one with an angle, or labels of neurons, for cross_check", got, remedy)


def training_of(samples: IntLike | None, step: RealLike | None) -> Training | None:
    """How clouds and reference are trained; None for the flow."""
    check_sampling(samples, step)
    return None if step is None else Training(step=positive_number("step", step, "It is the step in flow time."))


def _recorded(problem, reduced, ts, widths: tuple[int, ...], records: list[Solution]) -> Runs:
    """What the clouds show, and their projections to the angles where there are any."""
    observables = {name: [batch.observables[name] for batch in records] for name in records[0].observables}
    if not reduced.angles:
        return Runs(ts, widths, observables, [], [], [])
    projected = [_projected(problem, reduced, batch.states) for batch in records]
    return Runs(ts, widths, observables, *(list(column) for column in zip(*projected, strict=True)))


def _by_name(widths: tuple[int, ...], runs: list[Solution]) -> Iterator[tuple[str, Solution]]:
    """Every cloud as a run by itself."""
    for width, batch in zip(widths, runs, strict=True):
        yield from ((f"{width} neurons, seed {seed}", lane(batch, seed)) for seed in range(len(batch.valid)))


@eqx.filter_jit
def _projected(problem, reduced, states):
    """θ and signed weights [S, T, width], and E f_m² [S, T], of stacked clouds."""
    shape = states.a.shape[:2]
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), states)
    energy = jax.lax.map(risk_of(problem).energy, flat).reshape(shape)
    theta, weight = jax.vmap(lambda cloud: project(cloud, reduced))(flat)
    return theta.reshape(*shape, *theta.shape[1:]), weight.reshape(*shape, -1), energy
