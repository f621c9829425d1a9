"""From runs of plain training to the largest subspace of neurons that they keep."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, check_integer, check_key, positive_number
from ..neurons import neuron_of
from ..particles.flow import solve_particles
from ..particles.risk import risk_of
from ..problem.problem import Problem
from ..problem.training import Training
from ..problem.tree_units import example_neuron
from ..problem.units import has_bias, is_ridge
from ..types import Checked, Cloud, IntLike, KeyLike, Options, RealLike
from .agreement import Bases, Left
from .reports import DiscoveryReport, Stage
from .subspaces import cloud_of_rows, rows_of

_ROUNDING = 2 / 3  # of the digits: what exact gradients leave of a subspace that is kept, where κ·until is below 10


def discover(
    problem: Checked[Problem],
    *,
    width: IntLike,
    until: RealLike,
    key: KeyLike,
    start_scale: RealLike = 0.25,
    samples: IntLike | None = None,
    searches: IntLike = 16,
    training: Checked[Training | None] = None,
    factor: RealLike = 3.0,
) -> DiscoveryReport:
    """The smallest subspace of neurons, from {0} on, that plain training on these data keeps: E^G of their symmetries.

    Neurons at 0 move alike, by the mean gradient there, which spans E_1. Stage j then draws neurons N(0, start_scale²) in
    E_j and trains them freely to the flow time `until`; C is the second moment of what has left, (I − P_j) z. Eigenvectors
    of C with eigenvalues above `factor` times the floor join E_j, until there are none. The subspace is E^H for the largest
    group H of symmetries that the data have under training, which may be larger than the group in mind, and it need not
    contain the best network: compare risks.

    Arguments: `problem` on data, a cubature, or a law with an exact risk; the floor is then that of rounding, and `until`
    must be short of where rounding has grown, mf.transversal_rate · until < 10. With `samples` every step of `training.step`
    takes that many fresh inputs, and `searches` go side by side, with the same coordinates in subspaces of their own and on
    batches of their own. C is then the second moment of the mean of what has left. Noise, of batches and of the subspaces
    that came of them, has mean 0 across E^H at every width and step, also where E^H repels and it grows; the floor is what
    the spread of the searches gives to the mean. `training` may have a weight decay, and no momentum and no temperature.
    `width` is the number of neurons. Returns a `DiscoveryReport`, which says so where the last stage is undecided: take more
    samples, a smaller step, or more searches. Raises ArgumentError for a unit whose neurons have no known shapes.
    (The method: Maass & Fontbona 2024, who enlarge by other directions; second moments, searches side by side: derived.)
    """
    problem = check_instance("problem", problem, Problem, "Build one with mf.Problem(inputs, target, unit).")
    width = check_integer("width", width, 2, "It is the number of neurons.")
    searches = check_integer("searches", searches, 2, "Their spread measures the noise of their mean.")
    training = _checked_training(training, samples)
    for name, value in (("until", until), ("factor", factor)):
        positive_number(name, value, _POSITIVE)
    until, factor, scale = float(until), float(factor), positive_number("start_scale", start_scale, _POSITIVE)
    key, neuron = check_key(key), _neuron_shapes(problem)
    search = _Search(problem, neuron, width, until, scale, training, None if samples is None else int(samples), searches)
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(neuron))
    bases, stages, moved = Bases(np.zeros((search.count, 0, size))), [], True
    while moved and bases.dim < size:
        key, stage_key = jax.random.split(key)
        left, risk = search.from_subspaces(bases, stage_key) if bases.dim else search.at_rest(size, stage_key)
        values, directions = left.directions()
        floor, spectrum = left.floor(), np.zeros(size)
        signals = (values > factor * floor) & (values > left.weakest * values[0])
        spectrum[: len(values)] = values
        stages.append(Stage(bases.dim, risk, spectrum, floor, int(signals.sum())))
        moved = bool(signals.any())
        bases = bases.joined(directions[:, signals]) if moved else bases
    return DiscoveryReport(bases.agreed, tuple(stages))


_POSITIVE = "It is a positive number."


def _checked_training(training: Checked[Training | None], samples: IntLike | None) -> Training:
    how = Training() if training is None else check_instance("training", training, Training, "Leave it out for the flow.")
    if how.momentum is not None or how.schedule is not None or how.heated or not how.unit_rates:
        got = Words("one with momentum, a schedule, a temperature or rates of layers")
        raise argument_error("training", "plain, with at most a step and a weight decay", got, "Leave these out.")
    if samples is not None:
        check_integer("samples", samples, 1, "It is the number of fresh inputs per step.")
        if how.step is None:
            expected = "one with a step where there are `samples`"
            raise argument_error("training", expected, training, "Pass mf.Training(step=...).")
    return how


def _neuron_shapes(problem: Problem) -> Cloud:
    """One neuron of the unit, shapes alone."""
    number, vector = (jax.ShapeDtypeStruct(shape, jnp.result_type(float)) for shape in ((), (problem.dim,)))
    if is_ridge(problem.unit):
        return neuron_of(number, vector, number if has_bias(problem.unit) else None)
    example = example_neuron(problem.unit, problem.dim, problem.target_shape)
    if example is None:
        got = Words(f"a {type(problem.unit).__name__} without one")
        remedy = "Pass mf.FunctionUnit(function, neuron=example)."
        raise argument_error("problem", "one whose unit has an example of a neuron", got, remedy)
    return example


class _Search(NamedTuple):
    """What all stages have in common."""

    problem: Problem
    neuron: Cloud
    width: int
    until: float
    scale: Array
    training: Training
    samples: int | None
    searches: int

    @property
    def count(self) -> int:
        """How many searches go side by side."""
        return 1 if self.samples is None else self.searches

    def at_rest(self, size: int, key: Array) -> tuple[Left, float]:
        """The velocity of neurons at 0, of every search a mean over all batches, and the risk there."""
        cloud = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), self.neuron)
        if self.samples is None:
            risk, elsewhere = risk_of(self.problem).prepare(), self._start(np.eye(size), key)
            here, there = (np.asarray(rows_of(risk.velocity(each)), dtype=float) for each in (cloud, elsewhere))
            return Left(here[None], _rounding(there, cloud)), float(risk.value(cloud))
        options = self._steps()
        values, velocities = _mean_velocities(self.problem, cloud, jax.random.split(key, self.count), **options)
        return Left(np.asarray(velocities, dtype=float), 0.0), float(jnp.mean(values))

    def from_subspaces(self, bases: Bases, key: Array) -> tuple[Left, float]:
        """What plain training takes out of the subspaces, and the risk at its end."""
        start_key, key = jax.random.split(key)
        starts = [self._start(basis, start_key) for basis in bases.vectors]
        if self.samples is None:
            run = solve_particles(self.problem, starts[0], [0.0, self.until], training=self.training, derivative="forward")
            rows, risk = np.asarray(rows_of(run.final), dtype=float)[None], run.risk[-1]
            return Left(bases.outside(rows), _rounding(rows[0], starts[0])), float(risk)
        options = self._steps()
        clouds, keys = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts), jax.random.split(key, self.count)
        ends, risks = _trained(self.problem, self.training.weight_decay, clouds, keys, **options)
        return Left(bases.outside(np.asarray(ends, dtype=float)), 0.0), float(jnp.mean(risks))

    def _steps(self) -> Options:
        """What the steps on fresh inputs are."""
        assert self.training.step is not None  # checked with the samples
        return {"samples": self.samples, "step": float(self.training.step), "until": self.until}

    def _start(self, basis: Float[np.ndarray, "k p"], key: Array) -> Cloud:
        """Independent normal neurons in the span of a basis, with the same coordinates for the same key."""
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((self.width, *leaf.shape), leaf.dtype), self.neuron)
        coordinates = self.scale * jax.random.normal(key, (self.width, len(basis)), jnp.result_type(float))
        vectors = jnp.asarray(basis, coordinates.dtype)
        return cloud_of_rows(jnp.matmul(coordinates, vectors, precision=jax.lax.Precision.HIGHEST), like)


@eqx.filter_jit
def _mean_velocities(
    problem: Problem, cloud: Cloud, keys: Array, *, samples: int, step: float, until: float
) -> tuple[Float[Array, " r"], Float[Array, "r m p"]]:
    """Mean risks and velocities of a cloud over the batches of a run, for every key."""

    def at(key: Array, k: Array) -> tuple[Array, Array]:
        now = risk_of(problem, samples=samples, key=key, step=step).at_time(step * k)
        return now.value(cloud), rows_of(now.velocity(cloud))

    def mean(key: Array) -> tuple[Array, Array]:
        steps = jnp.arange(max(2, round(until / step)), dtype=jnp.result_type(float))
        return jax.tree.map(lambda all_of: jnp.mean(all_of, axis=0), jax.lax.map(lambda k: at(key, k), steps))

    return jax.lax.map(mean, keys)


@eqx.filter_jit
def _trained(
    problem: Problem, decay: Array, clouds: Cloud, keys: Array, *, samples: int, step: float, until: float
) -> tuple[Float[Array, "r m p"], Float[Array, " r"]]:
    """Neurons and risks at the end of plain training, of one cloud for every key."""

    def train(cloud: Cloud, key: Array) -> tuple[Array, Array]:
        options = {"samples": samples, "step": step, "key": key, "derivative": "forward", "throw": False}
        run = solve_particles(problem, cloud, [0.0, until], training=Training(weight_decay=decay), **options)
        return rows_of(run.final), run.risk[-1]

    return jax.vmap(train)(clouds, keys)


def _rounding(rows: Float[np.ndarray, "m p"], cloud: Cloud) -> float:
    """The floor of second moments of numbers of this size, in the floating type of a cloud."""
    digits = float(np.finfo(jax.tree.leaves(cloud)[0].dtype).eps) ** _ROUNDING
    return digits**2 * float(np.mean(np.sum(rows**2, axis=1)))
