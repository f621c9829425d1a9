"""From runs of plain training to the largest subspace of neurons that they keep."""

import math
from typing import NamedTuple

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
from ..risks import SampledRisk
from ..types import Checked, Cloud, IntLike, KeyLike, RealLike
from .reports import DiscoveryReport, Stage
from .splitting import Noisy, SplitRisk
from .subspaces import Subspace, cloud_of_rows, rows_of

_ROUNDING = 2 / 3  # of the digits: what exact gradients leave of a subspace that is kept, where κ·until is below 10
_WEAKEST = 1e-8  # of the largest eigenvalue: weaker directions are left to the next stage, where they are sharper


class _Left(NamedTuple):
    """What has left a subspace, neuron by neuron, the risk then, and the floor of eigenvalues from noise."""

    rows: Float[np.ndarray, "m p"]
    risk: float
    floor: float


def discover(
    problem: Checked[Problem],
    *,
    width: IntLike,
    until: RealLike,
    key: KeyLike,
    start_scale: RealLike = 0.25,
    samples: IntLike | None = None,
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
    must be short of where rounding has grown, mf.transversal_rate · until < 10. With `samples`, an even number, every step
    of `training.step` takes that many fresh inputs; the floor is the noise of the steps, measured by the two halves of each
    batch. `training` may have a weight decay, and no momentum and no temperature. `width` neurons, the more the lower is
    the floor. Returns a `DiscoveryReport`. Raises ArgumentError for a unit whose neurons have no known shapes.
    (The method: Maass & Fontbona 2024, who enlarge by other directions; second moments, the floor: derived.)
    """
    problem = check_instance("problem", problem, Problem, "Build one with mf.Problem(inputs, target, unit).")
    width = check_integer("width", width, 2, "It is the number of neurons.")
    training = _checked_training(training, samples)
    for name, value in (("until", until), ("factor", factor)):
        positive_number(name, value, _POSITIVE)
    until, factor, scale = float(until), float(factor), positive_number("start_scale", start_scale, _POSITIVE)
    key, neuron = check_key(key), _neuron_shapes(problem)
    count = None if samples is None else int(samples)
    search = _Search(problem, neuron, width, until, scale, training, count)
    whole, stages, moved = _everything(neuron), [], True
    subspace, size = Subspace(whole.basis[:0]), whole.dim
    while moved and subspace.dim < size:
        key, stage_key = jax.random.split(key)
        left = search.at_rest(stage_key) if subspace.dim == 0 else search.from_subspace(subspace, stage_key)
        _, roots, vectors = np.linalg.svd(left.rows / np.sqrt(len(left.rows)), full_matrices=False)
        signals = (roots**2 > factor * left.floor) & (roots**2 > _WEAKEST * roots[0] ** 2)
        spectrum = np.zeros(size)
        spectrum[: len(roots)] = roots**2
        stages.append(Stage(subspace.dim, left.risk, spectrum, left.floor, int(signals.sum())))
        moved = bool(signals.any())
        subspace = subspace.joined(vectors[signals]) if moved else subspace
    return DiscoveryReport(subspace, tuple(stages))


_POSITIVE = "It is a positive number."


def _checked_training(training: Checked[Training | None], samples: IntLike | None) -> Training:
    how = Training() if training is None else check_instance("training", training, Training, "Leave it out for the flow.")
    if how.momentum is not None or how.schedule is not None or how.heated or not how.unit_rates:
        got = Words("one with momentum, a schedule, a temperature or rates of layers")
        raise argument_error("training", "plain, with at most a step and a weight decay", got, "Leave these out.")
    if samples is not None:
        remedy = "Every batch is split in two, which measures its noise."
        if check_integer("samples", samples, 2, remedy) % 2:
            raise argument_error("samples", "even", samples, remedy)
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

    def at_rest(self, key: Array) -> _Left:
        """The velocity of neurons at 0, and of its square what noise alone would have made: a mean over all batches."""
        cloud = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), leaf.dtype), self.neuron)
        if self.samples is None:
            risk, elsewhere = risk_of(self.problem).prepare(), self._start(_everything(self.neuron), key)
            here, there = (np.asarray(rows_of(risk.velocity(each)), dtype=float) for each in (cloud, elsewhere))
            return _Left(here, float(risk.value(cloud)), _rounding(there, cloud))
        risk = self._sampled(key)
        step = risk.step
        times = jnp.arange(max(2, round(self.until / float(step))), dtype=step.dtype) * step
        values, velocities = jax.lax.map(lambda t: _now(risk, t, cloud), times)
        mean = np.mean(np.asarray(velocities, dtype=float), axis=0)
        spread = np.sum(np.var(np.asarray(velocities, dtype=float), axis=0, ddof=1)) / len(times)
        return _Left(mean, float(jnp.mean(values)), float(spread))

    def from_subspace(self, subspace: Subspace, key: Array) -> _Left:
        """What plain training takes out of the subspace."""
        start_key, key = jax.random.split(key)
        start = self._start(subspace, start_key)
        if self.samples is None:
            run = solve_particles(self.problem, start, [0.0, self.until], training=self.training, derivative="forward")
            rows = np.asarray(rows_of(run.final), dtype=float)
            return _Left(_outside(rows, subspace), float(run.risk[-1]), _rounding(rows, start))
        size = subspace.basis.shape[1]
        state = Noisy(start, jnp.zeros((size, size), subspace.basis.dtype))
        risk = SplitRisk(self._sampled(key), subspace, self.training.weight_decay)
        run = solve_particles(None, state, [0.0, self.until], risk=risk, step=self.training.step)
        floor = float(np.linalg.eigvalsh(np.asarray(run.final.noise, dtype=float))[-1])
        rows = np.asarray(rows_of(run.final.cloud), dtype=float)
        return _Left(_outside(rows, subspace), float(run.risk[-1]), floor)

    def _start(self, subspace: Subspace, key: Array) -> Cloud:
        """Independent normal neurons in the subspace."""
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((self.width, *leaf.shape), leaf.dtype), self.neuron)
        rows = self.scale * jax.random.normal(key, (self.width, subspace.dim), subspace.basis.dtype)
        return cloud_of_rows(jnp.matmul(rows, subspace.basis, precision=jax.lax.Precision.HIGHEST), like)

    def _sampled(self, key: Array) -> SampledRisk:
        risk = risk_of(self.problem, samples=self.samples, key=key, step=self.training.step)
        assert isinstance(risk, SampledRisk)
        return risk


def _now(risk: SampledRisk, t: Array, cloud: Cloud) -> tuple[Array, Array]:
    now = risk.at_time(t)
    return now.value(cloud), rows_of(now.velocity(cloud))


def _rounding(rows: Float[np.ndarray, "m p"], cloud: Cloud) -> float:
    """The floor of second moments of numbers of this size, in the floating type of a cloud."""
    digits = float(np.finfo(jax.tree.leaves(cloud)[0].dtype).eps) ** _ROUNDING
    return digits**2 * float(np.mean(np.sum(rows**2, axis=1)))


def _everything(neuron: Cloud) -> Subspace:
    """The whole space of neurons."""
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(neuron))
    return Subspace(jnp.eye(size, dtype=jnp.result_type(float)))


def _outside(rows: Float[np.ndarray, "m p"], subspace: Subspace) -> Float[np.ndarray, "m p"]:
    basis = np.asarray(subspace.basis, dtype=float)
    return rows - rows @ basis.T @ basis
