"""One catalogue of inputs, targets, units, starts, trainings and methods, each beside the same thing in numpy.

`test_all_combinations.py` goes through their combinations, and `docs/tables.py` writes the table of what reduces from them:
a combination that is in neither is not supported. The numpy twins share nothing with the library: inputs and neurons are
drawn, risks and velocities are means.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.special

import mfsym as mf
from mfsym.reduced.build import Equation, equation_of
from mfsym.reduced.choose import dynamics_of

DIM = 4
ROTATION = np.linalg.qr(np.random.default_rng(4).standard_normal((DIM, DIM)))[0]
_TURN = np.array([[0.6, 0.8], [-0.8, 0.6]])
WITHIN = np.kron(np.eye(2), _TURN)  # turns the first two and the last two coordinates by themselves


class Inputs(NamedTuple):
    value: Any
    draw: Callable  # (generator, n) -> [n, d]
    title: str


class Target(NamedTuple):
    value: Any
    function: Callable  # [n, d] -> [n]
    axes: np.ndarray | None  # rows: what the angle of a start is measured from
    title: str
    radial: bool = False


class Unit(NamedTuple):
    value: Any
    activation: Callable
    derivative: Callable


class Start(NamedTuple):
    value: Any
    draw: Callable  # (generator, m, Target) -> a [m], b [m, d]


def _directions(generator, count):
    b = generator.standard_normal((count, DIM))
    return b / np.linalg.norm(b, axis=1, keepdims=True)


def _signed_sizes(count, plus, minus):
    """a of balanced neurons, half of them positive."""
    return np.repeat([np.sqrt(2 * plus), -np.sqrt(2 * minus)], count // 2)


def _sphere(plus, minus):
    def draw(generator, count, target):
        a = _signed_sizes(count, plus, minus)
        return a, np.abs(a)[:, None] * _directions(generator, count)

    return Start(mf.SphereStart(plus, minus), draw)


def _tilted(generator, count, target):
    """Directions with density ∝ e^{cos θ}, by rejection."""
    kept = np.zeros((0, DIM))
    while len(kept) < count:
        b = _directions(generator, 4 * count)
        along = b @ target.axes.T
        cosine = np.linalg.norm(along, axis=1) if target.radial or len(target.axes) > 1 else along[:, 0]
        kept = np.concatenate([kept, b[generator.uniform(size=len(b)) < np.exp(cosine - 1)]])
    a = _signed_sizes(count, 0.6, 0.9)
    return a, np.abs(a)[:, None] * generator.permutation(kept)[:count]


def _unbalanced(generator, count, target):
    return np.repeat([0.7, -0.7], count // 2), 1.4 * _directions(generator, count)


def _gaussian(generator, count, target):
    return 0.8 * generator.standard_normal(count), 1.2 / np.sqrt(DIM) * generator.standard_normal((count, DIM))


STARTS = {
    "SphereStart": _sphere(0.5, 0.5),
    "SphereStart of different masses": _sphere(0.8, 0.3),
    "AngularStart": Start(mf.AngularStart(lambda theta: jnp.exp(jnp.cos(theta)), 0.6, 0.9), _tilted),
    "UnbalancedStart": Start(mf.UnbalancedStart(0.7, 1.4), _unbalanced),
    "GaussianStart": Start(mf.GaussianStart(0.8, 1.2), _gaussian),
}

_generator = np.random.default_rng(7)
ROWS = _generator.standard_normal((12, DIM)) * np.array([1.0, 1.5, 0.7, 1.2]) + 0.3
WEIGHTS = np.arange(1.0, 13.0) / 78
FACTOR = _generator.standard_normal((DIM, DIM)) / 2
TEACHER_A, TEACHER_B = np.array([2.0, -1.0, 1.5]), _generator.standard_normal((3, DIM))


def _normal(scales):
    return lambda generator, count: np.asarray(scales) * generator.standard_normal((count, DIM))


def _rows(rows, weights=None):
    return lambda generator, count: rows[generator.choice(len(rows), size=count, p=weights)]


INPUTS = {
    "Gaussian": Inputs(mf.Gaussian(DIM, 1.3), _normal(1.3), "`Gaussian`"),
    "Sphere": Inputs(mf.Sphere(DIM, 1.6), lambda generator, count: 1.6 * _directions(generator, count), "`Sphere`"),
    "GaussianBlocks of 2 and 2": Inputs(
        mf.GaussianBlocks((2, 2), (1.4, 0.6)), _normal([1.4, 1.4, 0.6, 0.6]), "`GaussianBlocks`, the first of dimension 2"
    ),
    "GaussianBlocks of 1 and 3": Inputs(
        mf.GaussianBlocks((1, 3), (1.4, 0.6)), _normal([1.4, 0.6, 0.6, 0.6]), "`GaussianBlocks`, the first of dimension 1"
    ),
    "GaussianCovariance": Inputs(
        mf.GaussianCovariance(FACTOR @ FACTOR.T + 0.2 * np.eye(DIM)),
        lambda generator, count: (
            generator.standard_normal((count, DIM)) @ FACTOR.T + np.sqrt(0.2) * generator.standard_normal((count, DIM))
        ),
        "`GaussianCovariance`",
    ),
    "Empirical": Inputs(mf.Empirical(ROWS), _rows(ROWS), "`Empirical`"),
    "symmetric Empirical": Inputs(
        mf.Empirical(ROWS, symmetrise=True), _rows(np.concatenate([ROWS, -ROWS])), "`Empirical`, symmetrised"
    ),
    "weighted Empirical": Inputs(
        mf.Empirical(ROWS, weights=WEIGHTS, symmetrise=True),
        _rows(np.concatenate([ROWS, -ROWS]), np.tile(WEIGHTS, 2) / 2),
        "`Empirical`, weighted and symmetrised",
    ),
}

W = np.array([0.8, -0.3, 0.5, 0.2])
_AXES = np.eye(DIM)
_PLAIN = {
    "SubspaceNorm": Target(
        mf.SubspaceNorm(2, 1.3),
        lambda x: 1.3 * np.linalg.norm(x[:, :2], axis=1),
        _AXES[:2],
        "`SubspaceNorm(2)`: ‖x_H‖",
        True,
    ),
    "RadialIndex": Target(
        mf.RadialIndex(lambda r: r**2 / 2 - jnp.tanh(2 * r), 2),
        lambda x: np.sum(x[:, :2] ** 2, axis=1) / 2 - np.tanh(2 * np.linalg.norm(x[:, :2], axis=1)),
        _AXES[:2],
        "`RadialIndex(g, 2)`: g(‖x_H‖)",
        True,
    ),
    "RadialIndex of everything": Target(
        mf.RadialIndex(jnp.tanh, DIM),
        lambda x: np.tanh(np.linalg.norm(x, axis=1)),
        _AXES,
        "`RadialIndex(g, d)`: g(‖x‖)",
        True,
    ),
    "SubspaceNorm of everything": Target(
        mf.SubspaceNorm(DIM), lambda x: np.linalg.norm(x, axis=1), _AXES, "`SubspaceNorm(d)`: ‖x‖", True
    ),
    "SingleIndex": Target(
        mf.SingleIndex(lambda z: jnp.tanh(z) + jnp.abs(z)),
        lambda x: np.tanh(x[:, 0]) + np.abs(x[:, 0]),
        _AXES[:1],
        "`SingleIndex(g)`: g(x_1)",
    ),
    "LinearTarget": Target(mf.LinearTarget(W), lambda x: x @ W, W[None] / np.linalg.norm(W), "`LinearTarget(w)`: w·x"),
    "MultiIndex": Target(
        mf.MultiIndex(lambda z: jnp.abs(z[0]) + jnp.tanh(z[1]), 2),
        lambda x: np.abs(x[:, 0]) + np.tanh(x[:, 1]),
        _AXES[:2],
        "`MultiIndex(g, 2)`: g(x_1, x_2)",
    ),
    "BlockNorms": Target(
        mf.BlockNorms((1, 2), (1.0, 0.7)),
        lambda x: np.abs(x[:, 0]) + 0.7 * np.linalg.norm(x[:, 1:3], axis=1),
        _AXES[:3],
        "`BlockNorms((1, 2))`: Σ β_i‖x_i‖",
    ),
    "BlockNorms of everything": Target(
        mf.BlockNorms((1, 3), (1.0, 0.7)),
        lambda x: np.abs(x[:, 0]) + 0.7 * np.linalg.norm(x[:, 1:], axis=1),
        _AXES,
        "`BlockNorms((1, d − 1))`: blocks that fill R^d",
        True,
    ),
    "odd FunctionTarget": Target(
        mf.FunctionTarget(lambda x: x[0] ** 3 / 4 - 0.4 * x[1] * x[2] ** 2 + x[3], parity="odd"),
        lambda x: x[:, 0] ** 3 / 4 - 0.4 * x[:, 1] * x[:, 2] ** 2 + x[:, 3],
        None,
        '`FunctionTarget(f, parity="odd")`',
    ),
    "FunctionTarget": Target(
        mf.FunctionTarget(lambda x: x[0] * x[1] + jnp.abs(x[2] + x[3])),
        lambda x: x[:, 0] * x[:, 1] + np.abs(x[:, 2] + x[:, 3]),
        None,
        "`FunctionTarget(f)`, without structure",
    ),
    "Teacher": Target(
        mf.Teacher(mf.Particles(TEACHER_A, TEACHER_B)),
        lambda x: np.maximum(x @ TEACHER_B.T, 0) @ TEACHER_A / 3,
        None,
        "`Teacher(cloud)`",
    ),
}


def _rotated(target: Target, rotation: np.ndarray, title: str) -> Target:
    axes = None if target.axes is None else target.axes @ rotation
    function = target.function
    return Target(mf.Rotated(target.value, rotation), lambda x: function(x @ rotation.T), axes, title, target.radial)


TARGETS = {
    **_PLAIN,
    **{f"Rotated {name}": _rotated(target, ROTATION, f"Rotated: {target.title}") for name, target in _PLAIN.items()},
    "SubspaceNorm rotated within the blocks": _rotated(
        _PLAIN["SubspaceNorm"], WITHIN, "Rotated within the blocks of x: `SubspaceNorm(2)`"
    ),
}


def _normal_density(z):
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


UNITS = {
    "ReLU": Unit(mf.ReLU(), lambda z: np.maximum(z, 0), lambda z: np.heaviside(z, 0.5)),
    "LeakyReLU": Unit(mf.LeakyReLU(0.3), lambda z: np.where(z > 0, z, 0.3 * z), lambda z: np.where(z > 0, 1.0, 0.3)),
    "Identity": Unit(mf.Identity(), lambda z: z, np.ones_like),
    "GELU": Unit(mf.GELU(), lambda z: z * scipy.special.ndtr(z), lambda z: scipy.special.ndtr(z) + z * _normal_density(z)),
    "SiLU": Unit(
        mf.SiLU(),
        lambda z: z * scipy.special.expit(z),
        lambda z: scipy.special.expit(z) * (1 + z * (1 - scipy.special.expit(z))),
    ),
    "tanh": Unit(mf.Neuron(jnp.tanh, bias=False), np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "FunctionUnit": Unit(
        mf.FunctionUnit(lambda z, x: z.a * jnp.tanh(jnp.sum(z.b * x))), np.tanh, lambda z: 1 - np.tanh(z) ** 2
    ),
}

TRAININGS = {
    "flow": mf.Training(),
    "rates": mf.Training(2.0, 0.5),
    "decay": mf.Training(weight_decay=0.2),
    "step": mf.Training(step=0.05),
    "momentum": mf.Training(step=0.05, momentum=0.5),
}
METHODS = ("grid", "upwind", "characteristics", "closed", "hyperboloid", "moments")
DEFAULTS = {"inputs": "Gaussian", "target": "SubspaceNorm", "unit": "ReLU", "start": "SphereStart"}
FEATURES = {"inputs": INPUTS, "target": TARGETS, "unit": UNITS, "start": STARTS}


class Combination(NamedTuple):
    """Names of one entry of every table. Those of DEFAULTS together have an equation."""

    inputs: str = DEFAULTS["inputs"]
    target: str = DEFAULTS["target"]
    unit: str = DEFAULTS["unit"]
    start: str = DEFAULTS["start"]

    @property
    def problem(self) -> mf.Problem:
        return mf.Problem(**{kind: FEATURES[kind][name].value for kind, name in self._asdict().items()})

    def twins(self) -> tuple[Inputs, Target, Unit, Start]:
        return INPUTS[self.inputs], TARGETS[self.target], UNITS[self.unit], STARTS[self.start]


def triples() -> list[Combination]:
    """All triples of features, the fourth as in DEFAULTS, and with them all pairs."""
    names = map(Combination._make, itertools.product(INPUTS, TARGETS, UNITS, STARTS))
    return [one for one in names if any(getattr(one, feature) == name for feature, name in DEFAULTS.items())]


ALL = triples()


@functools.cache
def answers() -> dict[Combination, Equation | str]:
    """The equation of every combination, or the reason why it has none."""
    found = {}
    for combination in ALL:
        try:
            found[combination] = equation_of(combination.problem)
        except mf.NoReductionError as error:
            found[combination] = str(error)
    return found


@functools.cache
def solvable() -> list[Combination]:
    return [combination for combination, answer in answers().items() if isinstance(answer, Equation)]


def choices(reduced: Any) -> list[tuple[str, str]]:
    """The methods and trainings that a reduction takes, by the refusals of the library."""
    found = []
    for method, name in itertools.product(METHODS, TRAININGS):
        try:
            _check_choice(reduced, method, None if name == "flow" else TRAININGS[name])
            found.append((method, name))
        except mf.ArgumentError:
            pass
    return found


def _check_choice(reduced: Any, method: str, training: mf.Training | None) -> None:
    """Raise ArgumentError where `solve_reduced` would, before anything is compiled."""
    dynamics_of(reduced, reduced.choose_method(method, training, None), training, 1e-10)


class Means(NamedTuple):
    """Two numbers with their standard errors: F(0) and dF/dt(0)."""

    risk: float
    slope: float
    risk_error: float
    slope_error: float


def _residual(target: Target, unit: Unit, cloud: Any, x: np.ndarray) -> np.ndarray:
    a, b = cloud
    return target.function(x) - unit.activation(x @ b.T) @ a / len(a)


def _velocity(unit: Unit, cloud: Any, x: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E[R σ(b·x)], a E[R σ'(b·x) x]) for every neuron, over the rows of x."""
    a, b = cloud
    z = x @ b.T
    inner = (residual[:, None] * unit.derivative(z)).T @ x / len(x)
    return residual @ unit.activation(z) / len(x), a[:, None] * inner


def sampled_start(combination: Combination, training: mf.Training, batches=48, neurons=128, inputs=320) -> Means:
    """F(0) and dF/dt(0) = −E v·(rate (v − λz)), v = (E[R σ(b·x)], a E[R σ'(b·x) x]), without bias: both factors of every
    product come from inputs and neurons of their own."""
    law, target, unit, start = combination.twins()
    rate_a, rate_b, decay = (float(each) for each in (training.rate_a, training.rate_b, training.weight_decay))
    generator, risks, slopes = np.random.default_rng(0), [], []
    for _ in range(batches):
        x, other = law.draw(generator, inputs), law.draw(generator, inputs)
        first, second, moved = (start.draw(generator, neurons, target) for _ in range(3))
        here = _residual(target, unit, first, x)
        risks.append(np.mean(here * _residual(target, unit, second, x)) / 2)
        one = _velocity(unit, moved, x, here)
        two = _velocity(unit, moved, other, _residual(target, unit, second, other))
        pull = rate_a * np.mean(one[0] * (two[0] - decay * moved[0]))
        slopes.append(-pull - rate_b * np.mean(np.sum(one[1] * (two[1] - decay * moved[1]), axis=1)))
    root = np.sqrt(batches)
    return Means(np.mean(risks), np.mean(slopes), np.std(risks, ddof=1) / root, np.std(slopes, ddof=1) / root)


def trained_risk(combination: Combination, training: mf.Training, steps: int, runs=8, neurons=512, inputs=2048) -> Any:
    """F after `steps` of length 0.05 of networks in numpy: gradient descent, the heavy ball, or the flow by midpoints.

    Mean and standard error over the runs; width and data are finite, which costs O(1/neurons + 1/inputs).
    """
    law, target, unit, start = combination.twins()
    rate_a, rate_b, decay = (float(each) for each in (training.rate_a, training.rate_b, training.weight_decay))
    momentum, length, risks = 0.0 if training.momentum is None else float(training.momentum), 0.05, []
    for seed in range(runs):
        generator = np.random.default_rng(seed)
        x, (a, b) = law.draw(generator, inputs), start.draw(generator, neurons, target)

        def force(a, b, x=x):
            outer, inner = _velocity(unit, (a, b), x, _residual(target, unit, (a, b), x))
            return rate_a * (outer - decay * a), rate_b * (inner - decay * b)

        u, v = np.zeros_like(a), np.zeros_like(b)
        for _ in range(steps):
            outer, inner = force(a, b)
            if training.step is None:
                outer, inner = force(a + length / 2 * outer, b + length / 2 * inner)
            u, v = momentum * u + outer, momentum * v + inner
            a, b = a + length * u, b + length * v
        risks.append(np.mean(_residual(target, unit, (a, b), law.draw(generator, 8192)) ** 2) / 2)
    return np.mean(risks), np.std(risks, ddof=1) / np.sqrt(runs)


def half_energy(combination: Combination) -> float:
    """½E f*², roughly: the scale of the risk."""
    law, target, _, _ = combination.twins()
    return float(np.mean(target.function(law.draw(np.random.default_rng(1), 4000)) ** 2) / 2)
