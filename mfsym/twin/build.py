"""`mf.twin`: a training loop as its limit of infinite width, or the sentence why it has none."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from ..errors import Words, argument_error, check_flags, check_instance, check_integer
from ..particles.initial import initial_cloud
from ..problem.inputs import AbstractInputs
from ..problem.problem import Problem
from ..problem.start import AbstractStart
from ..problem.targets import AbstractTarget
from ..problem.training import Training
from ..reduce import reduce
from ..reduced.base import AbstractReduction
from ..reduced.flow import solve_reduced
from ..solution import Solution
from ..types import Checked, IntLike, KeyLike, RealFunction, RealLike
from .card import card
from .check import TwinCheck, check
from .laws import Law, Neurons, neurons_of, recognised, stated
from .loop import Clock, Loop
from .losses import read_loss
from .network import read_network
from .refusals import no_twin
from .rules import Rule, read_rule
from .scaling import Pace, check_scaling, pace_of

_LOUD = 0.05  # E f² of the network at its start relative to E f*², from which on its width is not large
_SEEN = 512  # inputs at which that is looked at, and neurons that are drawn from a stated start
_RECORDS = 100


@dataclasses.dataclass(frozen=True)
class Twin:
    """A training loop in the limit of infinite width: `problem`, `training`, `clock`, and the reduced equation, `reduced`.

    `print` it for the card of conventions: what every constant of the loop is here, what is taken to infinity, what was
    assumed. `loop` is what was read; `steps` its length. `at` below are numbers of steps, and risks are the user's own loss.
    """

    problem: Problem
    training: Training
    clock: Clock
    steps: int
    loop: Loop
    assumed: tuple[str, ...]
    reduced: AbstractReduction

    def solve(
        self, *, at: Checked[tuple[int, ...]] | None = None, nodes: Checked[int] | None = None, error: bool = False
    ) -> Solution:
        """The reduced run on the axis of the loop: `ts` are steps, and `risk` is the loss of the loop.

        Arguments: `at` numbers of steps to record, increasing from 0 (default about 100 up to the last); `nodes` that of
        `mf.reduce`; `error` that of `mf.solve_reduced`. Returns its Solution, whose `clock` is "steps".
        """
        at = self._record(at)
        check_flags(error=error)
        reduced = self.reduced if nodes is None else reduce(self.problem, structure="orbits", nodes=nodes)
        run = solve_reduced(reduced, self.training.times(at), training=self.training, error=error)
        return self._in_steps(run, at)

    def check(
        self,
        widths: Checked[tuple[int, ...]] = (128, 512, 2048),
        seeds: IntLike = 4,
        *,
        at: Checked[tuple[int, ...]] | None = None,
        nodes: Checked[int] | None = None,
        key: KeyLike | None = None,
    ) -> TwinCheck:
        """Networks of finite width in the conventions of the loop, trained step by step, beside the twin.

        Each is drawn from the start of the problem in the loop's own scaling, and trained with the loop's own update on
        fresh inputs (`batch` a step, 1024 where the loop has none), `seeds` networks of every width. `at` (default: five
        numbers of steps) is when risks are compared: E ℓ of network minus twin on common inputs, added to the twin's.
        Returns a `TwinCheck`; print it.
        """
        at = self._record(self._spread(6) if at is None else at)
        return check(self.loop, self.problem, self.solve(at=at, nodes=nodes), at, widths, seeds, key)

    def _record(self, at: Checked[tuple[int, ...]] | None) -> tuple[int, ...]:
        """Numbers of steps, increasing from 0."""
        if at is None:
            return self._spread(_RECORDS + 1)
        remedy = "Pass for example at=(0, 100, 200)."
        numbers = tuple(check_integer("at", number, 0, remedy) for number in at)
        if len(numbers) < 2 or numbers[0] != 0 or any(np.diff(numbers) <= 0):
            raise argument_error("at", "numbers of steps that increase from 0", at, remedy)
        if self.training.schedule is None:
            return numbers
        if numbers[-1] > self.steps:
            raise argument_error("at", f"at most {self.steps}, where the schedule ends", at, "Tell the twin more steps.")
        still = np.setdiff1d(numbers, self._moving())
        if len(still):
            remedy = "It changed nothing: leave it out, or take the number before."
            raise argument_error("at", "after steps whose learning rate is not 0", Words(f"{still[0]}"), remedy)
        return numbers

    def _moving(self) -> Int[np.ndarray, " n"]:
        """0, and the numbers of steps of which the last moved: rates of a schedule may be 0."""
        schedule = self.training.schedule
        every = np.ones(self.steps) if schedule is None else np.asarray(schedule)
        return np.append(0, 1 + np.flatnonzero(every))

    def _spread(self, count: int) -> tuple[int, ...]:
        """So many of these numbers, from 0 to the last, or all."""
        steps = self._moving()
        rows = np.linspace(0, len(steps) - 1, min(len(steps), count)).round().astype(int)
        return tuple(steps[np.unique(rows)].tolist())

    def _in_steps(self, solution: Solution, at: tuple[int, ...]) -> Solution:
        """The same run with its times in steps and its risk in the loss of the loop."""
        factor, ts = self.loop.loss.factor, jnp.asarray(at, solution.ts.dtype)
        risks = {"risk": factor * solution.risk}
        error = None if solution.error is None else solution.error | {"risk": factor * solution.error["risk"]}
        observables = solution.observables | risks
        return dataclasses.replace(solution, ts=ts, observables=observables, error=error, clock="steps")

    def __str__(self) -> str:
        return card(self.loop, self.problem, self.training, self.clock, self.assumed)

    __repr__ = __str__


def twin(
    model: Any,
    optimiser: Any,
    inputs: AbstractInputs,
    target: AbstractTarget,
    *,
    loss: Any,
    steps: IntLike,
    batch: IntLike | None = None,
    scale: Checked[str | RealLike] = 1.0,
    preactivation: RealLike = 1.0,
    activation: RealFunction | None = None,
    start: Checked[AbstractStart] | None = None,
) -> Twin:
    """The infinite-width twin of a loop that trains f(x) = s (Σ_j A_j σ(p B_j·x + β_j) + c).

    With a = m s A, b = p B the network is (1/m) Σ a_j σ(b_j·x + β_j), and one step at the rate η moves a by η m s² times
    its mean-field force, b by η p²/m, β by η/m: these are what the twin keeps while m → ∞. (Derived.)

    Arguments:
      model: the network at its start, as arrays (a, b) or (a, b, bias) of shapes [m], [m, d], [m]; an eqx.nn.MLP of depth
        1; a torch nn.Sequential(Linear, activation, Linear); or a law, "mean field" (s = 1/m, rates m η) or "mup" (s = 1,
        rates η/m and η m). An output bias must be small at the start, and moves like 1/m, so that it is none in the limit.
      optimiser: an optax transformation, recognised by its responses; torch.optim.SGD; or a dictionary with "name": "sgd",
        "learning_rate", "momentum", "weight_decay". Decay is coupled; a learning rate may follow a schedule, in a dictionary
        a function of the number of the step.
      inputs, target: those of the `Problem`.
      loss: "half square", "square", "logistic"; a function of predictions and values, or a loss of torch.nn.
      steps, batch: how long the loop is, and how many fresh inputs it takes for a step; None for all of them.
      scale, preactivation: s ("1/m", "1/sqrt(m)" or a number) and p.
      activation: σ, where the model is arrays or a law.
      start: the law of (a, b, β) that the weights were drawn from; default: recognised from the weights.

    Returns a `Twin`. Raises NoTwinError where there is none, saying why and what comes closest; NoReductionError where no
    symmetry is left; ArgumentError for wrong arguments.
    """
    steps = check_integer("steps", steps, 1, "It is how many steps the loop makes.")
    batch = None if batch is None else check_integer("batch", batch, 1, "It is the number of fresh inputs for a step.")
    check_instance("inputs", inputs, AbstractInputs, "Use mf.Gaussian or mf.Sphere.")
    network = read_network(model, activation)
    scaling, rule = check_scaling(network, scale, preactivation), read_rule(optimiser, network, steps)
    found = read_loss(loss, batch)
    neurons = neurons_of(network, scaling)
    if neurons is not None and neurons.b.shape[1] != inputs.dim:
        got = Words(f"one of {neurons.b.shape[1]}")
        raise argument_error("model", f"of {inputs.dim} coordinates of x", got, "Match it with `inputs`.")
    law = recognised(neurons, network.kind) if start is None else Law(start, ())
    problem = Problem(inputs, target, network.unit, found.loss, law.start)
    if start is not None and neurons is not None:
        law = stated(start, neurons, _drawn(problem))
    loop = Loop(network, rule, found, scaling, pace_of(network, rule, scaling, found.factor), batch)
    _check_regime(loop, problem, neurons)
    training = _training(loop.pace, rule)
    reduced = reduce(problem, structure="orbits")
    return Twin(problem, training, _clock(loop, training), steps, loop, law.assumed + loop.assumed(), reduced)


def _drawn(problem: Problem) -> Neurons:
    """Some neurons of the start."""
    cloud = initial_cloud(problem, width=8 * _SEEN, key=jax.random.key(0))
    bias = np.zeros(1) if cloud.bias is None else cloud.bias
    return Neurons(*(np.asarray(leaf, float) for leaf in (cloud.a, cloud.b, bias)))


def _training(pace: Pace, rule: Rule) -> Training:
    step = pace.inner if pace.inner else pace.outer
    rate_a, rate_b = pace.outer / step, pace.inner / step
    rate_a = 1.0 if abs(rate_a - 1) < 1e-9 else rate_a
    return Training(rate_a, rate_b, pace.decay, step, rule.momentum, rule.schedule)


def _clock(loop: Loop, training: Training) -> Clock:
    """t = c·step, or for a schedule c times the sum of its factors so far."""
    assert training.step is not None
    why = loop.reason_of_step(training)
    momentum = loop.rule.momentum
    if momentum:
        ahead = 1 / (1 - momentum)
        why += f"; with momentum {momentum:g} no flow time: for small steps the flow is there at t/(1 − β) = {ahead:.4g} t"
    return Clock(float(training.step), why)


def _check_regime(loop: Loop, problem: Problem, neurons: Neurons | None) -> None:
    """At its start a network of large width is nearly 0 beside its target, as its limit is."""
    if neurons is None:
        return
    x, values = problem.sample(jax.random.key(0), _SEEN)
    before = np.asarray(x, float) @ neurons.b.T + (0 if neurons.bias is None else neurons.bias)
    unit = loop.network.unit
    outputs = np.asarray(jax.jit(unit.activation)(jnp.asarray(before, x.dtype)), float) @ neurons.a / len(neurons.a)
    size, scale = float(np.mean(outputs**2)), float(np.mean(np.asarray(values, float) ** 2))
    if size > _LOUD * scale:
        own = float(np.sqrt(np.mean(neurons.a**2)))
        raise no_twin(
            f"at its start the network is a random function, E f² = {size:.3g} beside E f*² = {scale:.3g}: its output "
            f"weights are {own:.3g} in units in which f is a mean over neurons, and should be about 1. Its limit is the "
            "lazy one of the NTK, not that of this library",
            "output weights divided by √m (or scale= told, where the loop divides the output), with rates as in the law "
            '"mup"; or a wider network',
        )
    shift = abs(loop.offset)
    if shift**2 > max(size, scale / len(neurons.a)):
        raise no_twin(
            f"its output starts from a bias of {shift:.3g}, which stays in the limit as a constant",
            "an output bias of 0 at the start, or one that is subtracted from the target",
        )
