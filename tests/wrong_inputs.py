"""One table of wrong inputs: for every public callable, arguments that are right, and wrong values of each.

`TABLE[name]` is an `Entry`: `good()` builds arguments with which the callable works, and `wrong[argument]` lists
values that must be refused, one at a time, with a message that names the argument. A value may be a function without
arguments (`later`), built only when it is used, and may expect another name in the message (`named`).
"""

import dataclasses
import functools
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from budgets import constant_budget
from jax.sharding import AxisType, Mesh

import mfsym as mf
from mfsym.crosscheck import CrossCheckReport, Judgement, Runs
from mfsym.langevin.stationary import Gibbs
from mfsym.reduced.angles.directions import CharacteristicState
from mfsym.solution import Status


class Value(NamedTuple):
    """A wrong value that is built when it is used, other arguments that go with it, and the name in the message."""

    build: Callable[[], Any]
    beside: dict[str, Any]
    named: str | None


class Entry(NamedTuple):
    good: Callable[[], dict[str, Any]]
    wrong: dict[str, list[Any]]


def later(build: Callable[[], Any], named: str | None = None, **beside: Any) -> Value:
    return Value(build, beside, named)


def given(value: Any, named: str | None = None, **beside: Any) -> Value:
    return Value(lambda: value, beside, named)


TRACED = object()  # stands for a traced integer where a plain one is needed


# ---- what is right: tiny problems, built once ----


def loop() -> tuple[np.ndarray, np.ndarray]:
    """Weights of a network in a training loop: ±1 and directions."""
    b = np.random.default_rng(0).standard_normal((64, 4))
    return np.where(np.arange(64) % 2, 1.0, -1.0), b / np.linalg.norm(b, axis=1, keepdims=True)


@functools.cache
def problem(start: str = "sphere") -> mf.Problem:
    starts = {"sphere": mf.SphereStart, "gaussian": mf.GaussianStart, "unequal": lambda: mf.SphereStart(1.0, 2.0)}
    return mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2), start=starts[start]())


SWAP = mf.generate([[0.0, 1.0], [1.0, 0.0]])
TURN = np.array([[[0.0, -1.0], [1.0, 0.0]]])


@functools.cache
def action() -> mf.Action:
    return mf.action(mf.MatrixUnit(jnp.tanh), SWAP.standard, SWAP.standard)


def _sorting(x):
    """The swap where the second coordinate is the larger one."""
    return jnp.where(x[1] > x[0], jnp.asarray(SWAP.elements[1], x.dtype), jnp.eye(2, dtype=x.dtype))


def _fixing_only_zero() -> mf.Action:
    turns = mf.SO(3).standard
    return mf.action(mf.VectorUnit(jnp.tanh), turns, turns)


def turning() -> mf.Action:
    """Of an infinite group."""
    return mf.action(mf.VectorUnit(jnp.tanh), mf.SO(2).standard, mf.SO(2).standard)


def minus() -> mf.Action:
    """That fixes z = 0 only, with an odd activation."""
    both = mf.generate(-np.eye(2))
    return mf.action(mf.MatrixUnit(jnp.tanh), both.trivial(2), both.standard)


def fourth_powers(prediction, value):
    return jnp.sum((prediction - value) ** 4)


def matrix_problem(loss: Any = None) -> mf.Problem:
    target = mf.FunctionTarget(lambda x: jnp.tanh(x))
    return mf.Problem(mf.Gaussian(2), target, mf.MatrixUnit(jnp.tanh), loss)


@functools.cache
def labelled() -> mf.Problem:
    return mf.Problem(mf.Empirical(np.eye(2), np.eye(2)), unit=mf.MatrixUnit(jnp.tanh))


@functools.cache
def one_device() -> Mesh:
    return jax.make_mesh((1,), ("neurons",), axis_types=(AxisType.Auto,))


@functools.cache
def cloud(dim: int = 4) -> mf.Particles:
    rng = np.random.default_rng(0)
    return mf.Particles(jnp.asarray([1.0, -1.0]), jnp.asarray(rng.standard_normal((2, dim))))


@functools.cache
def reduced() -> Any:
    return mf.reduce(problem(), cells=8, nodes=7, modes=4)


@functools.cache
def odd() -> Any:
    return mf.reduce(mf.Problem(mf.Gaussian(3), mf.FunctionTarget(jnp.sum, "odd")))


@functools.cache
def point() -> Any:
    return mf.reduce(mf.Problem(mf.Gaussian(2), mf.SubspaceNorm(2)))


def record(model: Any, states: Any, times: tuple[float, ...] = (0.0, 0.1)) -> mf.Solution:
    """A run that was not run: what is wrong with an argument is found out before its numbers matter."""
    last = jax.tree.map(lambda leaf: leaf[-1], states)
    risk, valid = jnp.ones(len(times)), jnp.ones(len(times), bool)
    return mf.Solution(jnp.asarray(times), {"risk": risk}, last, states, Status.complete, valid, {}, None, model)


@functools.cache
def pde() -> mf.Solution:
    return record(reduced(), jnp.stack([reduced().cell_masses] * 2))


@functools.cache
def by_labels() -> mf.Solution:
    angles = jnp.ones((2, 2, 7))
    return record(reduced(), CharacteristicState(angles, angles))


@functools.cache
def watched() -> mf.Solution:
    """One panel of a run by labels."""
    angles = jnp.ones((8, 2, 7))
    return record(reduced(), CharacteristicState(angles, angles), tuple(np.asarray(mf.budget_times(0.5))))


@functools.cache
def settled() -> mf.Equilibrium:
    """An equilibrium that was not solved for."""
    one, few = jnp.ones(()), jnp.ones(3)
    gibbs = Gibbs(few, few, jnp.ones((3, 3)), few, jnp.ones(2), one)
    return mf.Equilibrium(reduced(), gibbs, few, one, one, one, one, one, (2, 2))


@functools.cache
def full() -> mf.Solution:
    return record(mf.ReLU(), jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), cloud()))


@functools.cache
def matrices() -> mf.Problem:
    """Units σ(zx) on symmetric data: a square and its labels."""
    corners = np.array([[1.0, 0.5], [0.5, 1.0], [-1.0, 0.5], [0.5, -1.0]])
    return mf.Problem(mf.Empirical(corners, np.tanh(corners)), unit=mf.MatrixUnit(jnp.tanh), start=mf.NormalStart())


@functools.cache
def group() -> mf.FiniteGroup:
    return mf.generate(mf.Symmetry(1, np.diag([-1.0, 1.0, 1.0, 1.0])))


@functools.cache
def runs() -> Runs:
    nothing = [jnp.ones((3, 2)), jnp.ones((3, 2))]
    empty = [jnp.ones((3, 2, 0)), jnp.ones((3, 2, 0))]
    return Runs(jnp.array([0.0, 0.1]), (2, 4), {"risk": nothing}, empty, empty, nothing)


@functools.cache
def report() -> CrossCheckReport:
    return CrossCheckReport(runs(), {}, {"grid": Judgement("agree", "agree", {}, np.ones((2, 2)))}, "agree")


@functools.cache
def sizes() -> mf.deep.CoordinateCheck:
    values = {"change": np.arange(1.0, 9.0).reshape(2, 2, 2)}
    return mf.deep.CoordinateCheck((4, 8), values, {"change": (0.0, 0.0)}, {"change": ("", "")})


@functools.cache
def losses() -> mf.deep.TransferCheck:
    return mf.deep.TransferCheck((4, 8), np.array([0.5, 1.0, 2.0]), np.ones((2, 3, 2)), 5)


def drifted(steps: int, name: str = "h") -> mf.noether.Drift:
    one = (np.ones(2),)
    return mf.noether.Drift((name,), one, one, one, one, steps)


def key() -> jax.Array:
    return jax.random.key(0)


# ---- what is wrong everywhere ----

NO_NUMBER = ["1.0", None, 1j, float("nan"), float("inf"), True, [1.0, 2.0], object()]
POSITIVE = [*NO_NUMBER, 0.0, -1.0]
NOT_NEGATIVE = [*NO_NUMBER, -1e-9]
INTEGER = [TRACED, 0, -1, 3.0, "3", None, True, float("nan"), [3], 10**20]
OPTIONAL = [TRACED, 0, -1, 3.0, "3", True, float("nan"), 10**20]
TIMES = ["now", None, 3.0, [0.0], [], [0.5, 1.0], [0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, np.nan], [0.0, np.inf], [0.0, 1j]]
DTYPE = ["int32", "complex128", "float16", "f77", 3, object, "float128"]
KEY = [3, "key", np.zeros(2), later(lambda: jnp.zeros(2)), later(lambda: jax.random.split(key(), 3))]
FLAG = ["no", None, 2, 0.0, np.zeros(2)]
PROBLEM = [None, 3, "problem", later(lambda: mf.Gaussian(4))]
MESH = [3, "cpu", later(lambda: jax.make_mesh((1,), ("neurons",), axis_types=(AxisType.Explicit,)))]
NO_FUNCTION = [None, 3.0, "tanh"]
NO_PARTICLES = [None, 3, "cloud", later(lambda: cloud().b)]
VECTORS = ["x", None, 3.0, [1j], [[np.nan]], np.array([None, 1.0]), [[1.0], [2.0, 3.0]]]
CLOUD = [
    *NO_PARTICLES,
    later(lambda: cloud(3)),
    later(lambda: (cloud().a, cloud().b)),
    later(lambda: jax.tree.map(lambda leaf: leaf * jnp.nan, cloud())),
    later(lambda: jax.tree.map(lambda leaf: leaf.astype(int), cloud())),
    later(lambda: jax.tree.map(lambda leaf: leaf[:0], cloud())),
]
SCALAR_FUNCTION = [*NO_FUNCTION, lambda x, y: x, lambda x: (x, x), lambda x: "text", lambda x: 1 / 0, lambda x: x + 1j]
STATES = ["x", 3, later(lambda: jnp.ones((2, 9))), later(lambda: -jnp.ones((2, 8))), later(lambda: np.ones((2, 8), object))]

STOP = [1e-3, "risk", later(lambda: mf.Stop)]
CHECKPOINT = ["folder", 3, later(lambda: mf.Checkpoints)]
CONTROL = {"progress": FLAG, "stop": STOP, "checkpoint": CHECKPOINT}
_NO_ARRAYS = (lambda state: "word", lambda state: (state, state), lambda state: state.missing)
OBSERVE = [3, [jnp.sum], {3: jnp.sum}, {"no name": jnp.sum}, {"new": 3}, {"risk": jnp.sum}, {"final": jnp.sum}]
OBSERVE += [{"new": function} for function in _NO_ARRAYS]
SCHEME = [3, "DA", mf.DataAugmentation, later(action), later(lambda: mf.EquivariantArchitecture(action()))]
BARE = mf.FunctionUnit(lambda z, x: z @ x)  # of neurons whose shapes nobody knows
BEYOND_DECAY = ({"rate_a": 2.0}, {"step": 0.1, "momentum": 0.5}, {"step": 0.1, "temperature": 1.0})
NO_ACTION = [None, 3, later(lambda: SWAP), group]
NO_UNIT = [None, 3, jnp.tanh, mf.MatrixUnit]
RISK = [3, "risk", mf.SquareLoss, later(lambda: mf.SquareLoss())]

NO_MASS = given(0.0, "mass_plus", mass_plus=0)

_SOLVE = {
    "max_steps": OPTIONAL,
    "derivative": ["both", None, 3],
    "throw": FLAG,
    "dtype": DTYPE,
    **CONTROL,
}

TABLE = {
    "Gaussian": Entry(lambda: {"dim": 3}, {"dim": INTEGER, "scale": POSITIVE}),
    "Sphere": Entry(lambda: {"dim": 3}, {"dim": INTEGER, "radius": POSITIVE}),
    "GaussianBlocks": Entry(
        lambda: {"dims": (1, 2), "scales": (1.0, 2.0)},
        {
            "dims": [3, None, "12", (3,), (1, 0), (1, 2.0), (1, True), [[1], [2]]],
            "scales": [1.0, None, "ab", (1.0,), (1.0, -1.0), (1.0, np.nan), (1.0, 0.0), ((1.0, 2.0),), (1.0, 2j)],
        },
    ),
    "GaussianCovariance": Entry(
        lambda: {"cov": np.eye(2)},
        {"cov": [1.0, "I", None, np.ones(2), np.ones((2, 3)), -np.eye(2), np.zeros((2, 2)), [[1.0, 2.0], [0.0, 1.0]],
                 np.full((2, 2), np.nan), np.zeros((0, 0)), np.eye(2) * 1j]},
    ),
    "Empirical": Entry(
        lambda: {"x": np.eye(2)},
        {"x": [*VECTORS, np.zeros((0, 2)), np.zeros((2, 0)), np.zeros((1, 2, 3))],
         "y": ["ab", 3.0, np.ones(3), [1.0, np.nan], np.ones(2) * 1j, later(lambda: np.ones(2, bool))],
         "weights": ["x", 3.0, [1j], [[np.nan]], np.ones(2), [-1.0, 2.0], np.ones(3) / 3, np.ones((2, 1)) / 2, [0.5, 0.6]],
         "symmetrise": [*FLAG, given(True, y=np.ones(2))],
         "degree": [v for v in INTEGER if v not in (None, 0)], "replicates": [*INTEGER, 3]},
    ),
    "cubature": Entry(
        lambda: {"inputs": mf.Gaussian(2)},
        {"inputs": [None, 2, mf.Gaussian, later(lambda: mf.Empirical(np.eye(2)))],
         "nodes": [v for v in INTEGER if v is not None] + [10**6, given(4, inputs=mf.Gaussian(10))],
         "frames": [v for v in INTEGER if v is not None] + [12, given(8, "key")],
         "key": [3, "key", given(later(lambda: jax.random.key(0)), "key")],
         "action": [3, group, later(lambda: SWAP), later(turning),
                    later(lambda: mf.action(mf.ReLU(), mf.cyclic(4).regular, mf.cyclic(4).trivial())),
                    later(action, inputs=mf.GaussianCovariance(np.diag([1.0, 2.0])))]},
    ),
    "SubspaceNorm": Entry(
        lambda: {"dim_h": 2}, {"dim_h": INTEGER, "scale": NO_NUMBER}
    ),
    "SingleIndex": Entry(
        lambda: {"g": jnp.tanh},
        {"g": SCALAR_FUNCTION, "kinks": [0.0, None, "a", (np.nan,), (1j,), ("0",), ((0.0, 1.0),), (True,)]},
    ),
    "RadialIndex": Entry(
        lambda: {"g": jnp.tanh, "dim_h": 2},
        {"g": SCALAR_FUNCTION, "dim_h": INTEGER,
         "kinks": [1.0, None, "a", (np.nan,), (1j,), ("0",), ((0.0, 1.0),), (True,)]},
    ),
    "MultiIndex": Entry(
        lambda: {"g": jnp.sum, "dim_h": 2}, {"g": [*SCALAR_FUNCTION, jnp.abs], "dim_h": INTEGER}
    ),
    "BlockNorms": Entry(
        lambda: {"dims": (1, 2)},
        {"dims": [3, None, (), (1, 0), (1.0, 2), "12"], "weights": [1.0, "ab", (1.0,), (1.0, np.nan), (1.0, 1j)]},
    ),
    "LinearTarget": Entry(lambda: {"w": [1.0, 2.0]}, {"w": [*VECTORS, [0.0, 0.0], [], [[1.0, 2.0]]]}),
    "Teacher": Entry(
        lambda: {"cloud": cloud()}, {"cloud": NO_PARTICLES, "unit": ["relu", mf.ReLU, later(lambda: mf.Neuron(jnp.tanh)), 3]}
    ),
    "FunctionTarget": Entry(
        lambda: {"fn": jnp.sum}, {"fn": NO_FUNCTION, "parity": ["none", 1, True, ["odd"]]}
    ),
    "Rotated": Entry(
        lambda: {"target": mf.SubspaceNorm(1), "rotation": np.eye(2)},
        {"target": [*NO_FUNCTION, jnp.sum],
         "rotation": [*VECTORS, np.ones((2, 2)), np.eye(2, 3), np.eye(2) * 2, np.zeros((0, 0))]},
    ),
    "LeakyReLU": Entry(lambda: {"slope": 0.1}, {"slope": NO_NUMBER}),
    "Particles": Entry(
        lambda: {"a": np.ones(2), "b": np.ones((2, 3))},
        {"a": [*VECTORS, given(np.ones(3), "b"), np.ones((2, 1))],
         "b": [*VECTORS, np.ones(2), np.ones((2, 0)), np.ones((3, 3)), later(lambda: jnp.ones((2, 3), jnp.float16))]},
    ),
    "BiasedParticles": Entry(
        lambda: {"a": np.ones(2), "b": np.ones((2, 3)), "bias": np.ones(2)},
        {"a": [*VECTORS, given(np.ones(3), "b"), np.ones((2, 1))],
         "b": [*VECTORS, np.ones(2), np.ones((2, 0)), np.ones((3, 3)), later(lambda: jnp.ones((2, 3), jnp.float16))],
         "bias": [*VECTORS, np.ones(3), np.ones((2, 1)), 1.0, later(lambda: jnp.ones(2, jnp.float16))]},
    ),
    "Neuron": Entry(lambda: {"activation": jnp.tanh}, {"activation": SCALAR_FUNCTION, "bias": FLAG}),
    "Huber": Entry(dict, {"width": POSITIVE}),
    "FunctionLoss": Entry(
        lambda: {"fn": jnp.subtract},
        {"fn": [*NO_FUNCTION, jnp.tanh, lambda f, y: jnp.stack([f, y]), lambda f, y: f > y,
                given(jnp.subtract, "fn", shape=(3,))],
         "shape": [3, None, "12", (0,), (2.0,), (True,)]},
    ),
    "FunctionUnit": Entry(
        lambda: {"function": lambda z, x: z},
        {"function": NO_FUNCTION, "neuron": ["x", 3.0, later(dict), later(lambda: {"a": "word"})]},
    ),
    "ModuleUnit": Entry(
        lambda: {"module": eqx.nn.MLP(2, 2, 2, 1, key=jax.random.key(0))},
        {"module": [*NO_FUNCTION, jnp.tanh, eqx.nn.MLP, later(mf.SquareLoss), later(eqx.nn.Identity)]},
    ),
    "MatrixUnit": Entry(lambda: {"activation": jnp.tanh}, {"activation": SCALAR_FUNCTION}),
    "VectorUnit": Entry(lambda: {"activation": jnp.tanh}, {"activation": SCALAR_FUNCTION, "scale": NO_NUMBER}),
    "MLPUnit": Entry(
        lambda: {"widths": (3,), "activation": jnp.tanh},
        {"widths": [3, None, "12", (), (0,), (2.0,), (True,)], "activation": SCALAR_FUNCTION},
    ),
    "NormalStart": Entry(dict, {"scale": POSITIVE, "fixed_by": [3, "swap", later(lambda: SWAP), later(_fixing_only_zero)]}),
    "AveragedUnit": Entry(
        lambda: {"unit": mf.MatrixUnit(jnp.tanh), "action": action()},
        {"unit": NO_UNIT, "action": NO_ACTION, "degree": [v for v in INTEGER if v not in (None, 0)]},
    ),
    "FixedUnit": Entry(
        lambda: {"unit": mf.MatrixUnit(jnp.tanh), "action": action()}, {"unit": NO_UNIT, "action": NO_ACTION}
    ),
    "CanonicalUnit": Entry(
        lambda: {"unit": mf.MatrixUnit(jnp.tanh), "action": action(), "frame": lambda x: jnp.eye(2)},
        {"unit": NO_UNIT, "action": NO_ACTION, "frame": [*NO_FUNCTION, jnp.sum, lambda x: jnp.eye(3)]},
    ),
    "canonical": Entry(
        lambda: {"data": mf.Empirical(np.eye(2), np.eye(2)), "action": action(), "frame": _sorting},
        {"data": [None, 3, np.eye(2), later(lambda: mf.Gaussian(2)), later(lambda: mf.Empirical(np.eye(2)))],
         "action": NO_ACTION, "frame": [*NO_FUNCTION, jnp.sum, lambda x: jnp.eye(2)]},
    ),
    "DataAugmentation": Entry(
        lambda: {"action": action()},
        {"action": NO_ACTION, "degree": [*(v for v in INTEGER if v not in (None, 0)), given(3, sampled=True)],
         "sampled": FLAG},
    ),
    "FeatureAveraging": Entry(
        lambda: {"action": action()}, {"action": NO_ACTION, "degree": [v for v in INTEGER if v not in (None, 0)]}
    ),
    "EquivariantArchitecture": Entry(lambda: {"action": action()}, {"action": NO_ACTION}),
    "BiasedStart": Entry(
        lambda: {"start": mf.SphereStart()},
        {"start": ["sphere", mf.SphereStart, None, later(lambda: mf.BiasedStart(mf.SphereStart()))],
         "mean": NO_NUMBER, "scale": NOT_NEGATIVE, "law": [None, 3, "signs"]},
    ),
    "SphereStart": Entry(dict, {"mass_plus": NOT_NEGATIVE, "mass_minus": [*NOT_NEGATIVE, NO_MASS]}),
    "AngularStart": Entry(
        lambda: {"density_of_angle": jnp.ones_like},
        {"density_of_angle": SCALAR_FUNCTION, "mass_plus": NOT_NEGATIVE, "mass_minus": NOT_NEGATIVE},
    ),
    "UnbalancedStart": Entry(
        lambda: {"norm_a": 1.0, "norm_b": 1.0}, {"norm_a": NOT_NEGATIVE, "norm_b": POSITIVE}
    ),
    "IndependentStart": Entry(
        lambda: {"outer": "signs", "inner": "normal"},
        {"outer": [None, 3, "sphere"], "inner": [None, 3, "signs"], "scale_a": POSITIVE, "scale_b": POSITIVE},
    ),
    "GaussianStart": Entry(dict, {"scale_a": POSITIVE, "scale_b": POSITIVE}),
    "Training": Entry(
        dict,
        {
            "rate_a": [*NOT_NEGATIVE, given(0.0, rate_b=0.0)],
            "rate_b": NOT_NEGATIVE,
            "weight_decay": NOT_NEGATIVE,
            "step": [v for v in POSITIVE if v is not None],
            "momentum": [0.9, *(given(v, step=0.1) for v in (1.0, -0.1, "a", np.nan, True, None))],
            "schedule": [[1.0], *(given(v, step=0.1) for v in (0.5, "a", [], [[1.0]], [1, -0.1], [0, 0], [np.nan]))],
            "temperature": [*NOT_NEGATIVE, given(0.1, step=0.1, momentum=0.9), given(0.1, step=0.1, schedule=[1.0])],
            "confine": [3, "fixed", jnp.tanh],
        },
    ),
    "Problem": Entry(
        lambda: {"inputs": mf.Gaussian(4), "target": mf.SubspaceNorm(2)},
        {
            "inputs": [None, 4, mf.Gaussian, np.eye(4), later(lambda: mf.Gaussian(1), "target.dim_h")],
            "target": [
                None,
                jnp.sum,
                mf.SubspaceNorm,
                later(lambda: mf.SubspaceNorm(5), "target.dim_h"),
                later(lambda: mf.MultiIndex(jnp.sum, 5), "target.dim_h"),
                later(lambda: mf.BlockNorms((2, 3)), "target.dims"),
                later(lambda: mf.LinearTarget([1.0]), "target.w"),
                later(lambda: mf.Teacher(cloud(3)), "target.cloud"),
                later(lambda: mf.Rotated(mf.SubspaceNorm(1), np.eye(3)), "target.rotation"),
                later(lambda: mf.FunctionTarget(lambda x: x), "unit"),
                later(lambda: mf.FunctionTarget(lambda x: x[9] if len(x) > 9 else 1 / 0), "fn"),
            ],
            "noise": [*NOT_NEGATIVE, later(lambda: 0.1, loss=mf.Huber())],
            "unit": ["relu", mf.ReLU, jnp.tanh],
            "loss": ["square", mf.SquareLoss, jnp.square],
            "start": ["sphere", mf.SphereStart, 1.0],
        },
    ),
    "Symmetry": Entry(
        lambda: {"sign": 1, "matrix": np.eye(2)},
        {"sign": [0, 2, "1", None, np.nan, True, [1.0]],
         "matrix": [*VECTORS, np.ones((2, 2)), np.eye(2, 3), np.zeros((2, 2)), np.zeros((0, 0))]},
    ),
    "FiniteGroup": Entry(
        lambda: {"signs": np.ones(1), "matrices": np.eye(2)[None]},
        {"signs": [*VECTORS, [], [2.0], given([1.0, 1.0], "matrices"), [0.0]],
         "matrices": [*VECTORS, np.eye(2), np.ones((1, 2, 2)), np.zeros((1, 2, 3)), np.zeros((0, 2, 2))]},
    ),
    "BlockOrthogonal": Entry(
        lambda: {"dims": (1, 2)},
        {"dims": [3, None, (), (0,), (1.0,), "12"], "kept": [0, None, (2,), (-1,), (0.0,), "0"],
         "basis": ["I", 1.0, np.eye(2), np.ones((3, 3)), np.full((3, 3), np.nan)]},
    ),
    "generate": Entry(
        lambda: {"generators": (mf.Symmetry(1, np.eye(2)),)},
        {
            "generators": [
                (), (None,), (np.ones((2, 2)),), ([[0.6, -0.8], [0.8, 0.6]],), (np.eye(2), np.eye(3)), (np.eye(2), None),
                later(lambda: (np.eye(2), mf.Symmetry(1, np.eye(2)))),
                later(lambda: (mf.Symmetry(1, np.eye(2)), mf.Symmetry(1, np.eye(3)))),
                later(lambda: (mf.Symmetry(1, [[0.0, -1.0], [1.0, 0.0]]),), largest=2),
            ],
            "largest": INTEGER,
        },
    ),
    "cyclic": Entry(lambda: {"order": 3}, {"order": [*INTEGER, given(5000, "generators")]}),
    "dihedral": Entry(lambda: {"order": 3}, {"order": [*INTEGER, given(3000, "generators")]}),
    "symmetric": Entry(lambda: {"size": 3}, {"size": [*INTEGER, given(7, "generators")]}),
    "signed_permutations": Entry(lambda: {"size": 2}, {"size": [*INTEGER, given(6, "generators")]}),
    "SO": Entry(lambda: {"size": 3}, {"size": INTEGER}),
    "O": Entry(lambda: {"size": 3}, {"size": INTEGER}),
    "product": Entry(
        lambda: {"groups": (mf.cyclic(2), mf.SO(2))}, {"groups": [(), (None,), (np.eye(2),), later(lambda: (group(),))]}
    ),
    "representation": Entry(
        lambda: {"group": mf.SO(2), "images": np.zeros((0, 2, 2)), "algebra": TURN},
        {
            "group": [None, np.eye(2), group, later(group), later(lambda: mf.SO(4), images=np.zeros((0, 4, 4)))],
            "images": [*VECTORS, np.eye(2), np.eye(2)[None], given(-np.eye(2)[None], group=mf.cyclic(3), algebra=None),
                       given(2 * np.eye(2)[None], group=mf.cyclic(3))],
            "algebra": [*VECTORS, TURN[0], np.eye(2)[None], 0.5 * TURN,
                        given(TURN, group=mf.cyclic(2), images=-np.eye(2)[None])],
        },
    ),
    "action": Entry(
        lambda: {"unit": mf.MatrixUnit(jnp.tanh), "inputs": SWAP.standard, "outputs": SWAP.standard},
        {
            "unit": [None, 3, jnp.tanh, mf.MatrixUnit, later(lambda: mf.FunctionUnit(jnp.matmul), "axes")],
            "inputs": [None, 3, np.eye(2), mf.cyclic, later(lambda: SWAP), later(lambda: mf.cyclic(3).standard, "outputs")],
            "outputs": [None, 3, np.eye(2), later(lambda: SWAP), later(lambda: mf.cyclic(3).standard)],
            "hidden": [3, "permutations", later(lambda: SWAP), later(lambda: mf.cyclic(3).standard),
                       later(lambda: SWAP.standard, axes=(SWAP.standard, SWAP.standard))],
            "axes": [3, "both", (), later(lambda: (SWAP.standard,)), later(lambda: (None, None, None)),
                     later(lambda: (SWAP.standard, SWAP.trivial(3))), later(lambda: {"z": (SWAP.standard,) * 2})],
        },
    ),
    "fixed_part": Entry(
        lambda: {"cloud": np.zeros((3, 2, 2)), "action": action()},
        {"cloud": [None, 3, "cloud", np.zeros((3, 2)), np.zeros((1, 3, 2)), later(cloud)],
         "action": [None, 3, later(lambda: SWAP), group]},
    ),
    "fixed_basis": Entry(lambda: {"action": action()}, {"action": [None, 3, later(lambda: SWAP), group]}),
    "relative_distance": Entry(
        lambda: {"cloud": np.ones((2, 3)), "other": np.ones((4, 3))},
        {"cloud": [None, 3, "cloud", np.ones(()), given({"z": np.ones((2, 3))}, "other")],
         "other": [None, 3, "cloud", np.ones(()), np.ones((4, 2)), later(cloud), given(np.ones((8193, 3)))]},
    ),
    "symmetrised": Entry(
        lambda: {"target": mf.Teacher(np.ones((2, 2, 2)), mf.MatrixUnit(jnp.tanh)), "action": action()},
        {
            "target": [None, 3, jnp.tanh, mf.Teacher, later(lambda: labelled().target),
                       later(lambda: mf.FunctionTarget(jnp.sum)), later(lambda: mf.FunctionTarget(lambda x: x[:1]))],
            "action": [None, 3, group, later(lambda: SWAP), later(turning, "degree")],
            "degree": [v for v in OPTIONAL if v != 0],
        },
    ),
    "symmetric_floor": Entry(
        lambda: {"problem": matrix_problem(), "action": action()},
        {
            "problem": [
                *PROBLEM,
                later(lambda: labelled(), "target"),
                later(lambda: matrix_problem(mf.FunctionLoss(fourth_powers, (2,)))),
            ],
            "action": [None, 3, group, later(lambda: SWAP), later(turning, "degree")],
            "degree": [v for v in OPTIONAL if v != 0],
            "samples": INTEGER,
        },
    ),
    "restrict": Entry(
        lambda: {"problem": matrix_problem(), "action": action()},
        {"problem": PROBLEM, "action": [None, 3, group, later(lambda: SWAP), later(minus)]},
    ),
    "to_coordinates": Entry(
        lambda: {"cloud": np.zeros((3, 2, 2)), "action": action()},
        {"cloud": [None, 3, "cloud", np.zeros((3, 2)), later(cloud)], "action": [None, 3, group, later(lambda: SWAP)]},
    ),
    "from_coordinates": Entry(
        lambda: {"coordinates": np.zeros((3, 2)), "action": action()},
        {"coordinates": [None, "c", 3.0, np.zeros((3, 4)), np.full(2, np.nan)],
         "action": [None, 3, group, later(lambda: SWAP)]},
    ),
    "fundamental_domain": Entry(
        lambda: {"data": mf.Empirical(np.eye(2)), "action": action()},
        {"data": [None, 3, np.eye(2), later(lambda: mf.Gaussian(2)), later(lambda: mf.Empirical(np.eye(3)), "action")],
         "action": [None, 3, group, later(lambda: SWAP), later(turning)]},
    ),
    "equivariance_defect": Entry(
        lambda: {"unit": mf.MatrixUnit(jnp.tanh), "action": action()},
        {
            "unit": [None, 3, jnp.tanh, mf.MatrixUnit],
            "action": [None, 3, later(lambda: SWAP), group],
            "samples": INTEGER,
            "elements": [v for v in INTEGER if v != 0],
            "scale": POSITIVE,
        },
    ),
    "complete_basis": Entry(
        lambda: {"rows": np.eye(1, 2)}, {"rows": [*VECTORS, np.ones((1, 2)), np.eye(3, 2), np.ones((2, 2))]}
    ),
    "act": Entry(
        lambda: {"symmetry": mf.Symmetry(1, np.eye(4)), "thing": cloud()},
        {"symmetry": [None, np.eye(4), group, later(lambda: mf.Symmetry(1, np.eye(3)))],
         "thing": [None, "cloud", 3.0, np.ones(3), np.ones((1, 1, 4)), np.full(4, np.nan),
                   later(lambda: np.ones((1, 1, 1, 2)), action=action(), symmetry=np.eye(2))],
         "action": [3, group, later(lambda: SWAP), later(action, "symmetry"),
                    later(action, "symmetry", symmetry=np.eye(3))]},
    ),
    "discover": Entry(
        lambda: {"problem": matrices(), "width": 2, "until": 0.1, "key": key()},
        {
            "problem": [*PROBLEM, later(lambda: mf.Problem(mf.Gaussian(2), mf.FunctionTarget(jnp.sum), BARE))],
            "width": [*INTEGER, 1],
            "until": POSITIVE,
            "key": [*KEY, None],
            "start_scale": POSITIVE,
            "samples": [*OPTIONAL, given(2, "training")],
            "searches": [*INTEGER, 1],
            "training": [3, "flow", *(mf.Training(**each) for each in BEYOND_DECAY)],
            "factor": POSITIVE,
        },
    ),
    "transversal_rate": Entry(
        lambda: {"problem": matrices(), "cloud": jnp.ones((2, 2, 2)), "action": action()},
        {
            "problem": PROBLEM,
            "cloud": [None, 3, later(lambda: jnp.ones((0, 2, 2))), later(lambda: jnp.ones((2, 3, 3))),
                      later(lambda: jnp.arange(8.0).reshape(2, 2, 2))],
            "action": NO_ACTION,
            "training": [3, "flow", *(mf.Training(**each) for each in BEYOND_DECAY)],
        },
    ),
    "invariance_gap": Entry(
        lambda: {"problem": matrices(), "action": action(), "width": 2, "until": 0.1, "key": key()},
        {
            "problem": [*PROBLEM, later(lambda: mf.Problem(mf.Gaussian(2), mf.FunctionTarget(jnp.tanh), matrices().unit))],
            "action": NO_ACTION,
            "width": INTEGER,
            "until": POSITIVE,
            "key": [*KEY, None],
            "training": [3, "flow", {}],
            "searches": [*INTEGER, 15],
        },
    ),
    "orbit_cloud": Entry(
        lambda: {"cloud": cloud(), "group": group()},
        {
            "cloud": [*NO_PARTICLES, later(lambda: cloud(3), "group")],
            "group": [None, 3, np.eye(4), later(lambda: group()[0]), later(action, "cloud"),
                      later(lambda: mf.action(mf.ReLU(), mf.SO(4).standard, mf.SO(4).trivial()))],
        },
    ),
    "moments_of": Entry(lambda: {"cloud": cloud()}, {"cloud": NO_PARTICLES}),
    "project_cloud": Entry(
        lambda: {"cloud": cloud(), "group": mf.BlockOrthogonal((2, 2))},
        {"cloud": [*NO_PARTICLES, later(lambda: cloud(3), "group")],
         "group": [None, group, later(lambda: mf.BlockOrthogonal((3,)))]},
    ),
    "detect": Entry(
        lambda: {"fn": jnp.sum, "inputs": mf.Gaussian(2)},
        {
            "fn": [*NO_FUNCTION, lambda x: x, lambda x: 1 / 0, lambda x: jnp.sum(x) * jnp.nan,
                   later(lambda: mf.LinearTarget([1.0]), "target.w")],
            "inputs": [None, 2, np.eye(2), later(lambda: mf.Empirical(np.eye(2)))],
        },
    ),
    "symmetry_defect": Entry(
        lambda: {"network": cloud(), "group": group(), "inputs": mf.Gaussian(4)},
        {
            "network": [None, 3, "cloud", later(lambda: cloud().b), later(lambda: cloud(3), "group"), later(pde)],
            "group": [None, 3, [], [np.eye(4)], later(lambda: mf.Symmetry(1, np.eye(3)), "inputs"),
                      later(lambda: mf.Symmetry(1, np.eye(3)), space="parameter"),
                      later(lambda: [mf.Symmetry(1, np.eye(4)), mf.Symmetry(1, np.eye(3))])],
            "space": ["both", None, 3, given("fixed", "group"), later(lambda: "fixed", "network", group=action())],
            "inputs": [None, 4, "gaussian", later(lambda: mf.Gaussian(3))],
            "unit": ["relu", 3, mf.ReLU],
            "samples": INTEGER,
            "elements": INTEGER,
        },
    ),
    "reduce": Entry(
        lambda: {"problem": problem(), "cells": 8, "nodes": 7, "modes": 4},
        {
            "problem": PROBLEM,
            "cells": [*OPTIONAL, 7, (8, 8)],
            "nodes": [*OPTIONAL, 5, 8, (7, 7)],
            "modes": OPTIONAL,
            "structure": ["even", 3, True, given("odd", dim=jnp.inf)],
            "dtype": DTYPE,
            "dim": [3, 4.0, -np.inf, np.nan, "inf", True, TRACED],
        },
    ),
    "stack": Entry(
        lambda: {"reductions": [reduced(), reduced()]},
        {"reductions": [None, 3, [], [3], later(reduced),
                        later(lambda: [reduced(), odd()]), later(lambda: [reduced(), problem()])]},
    ),
    "budget_times": Entry(lambda: {"until": 1.0}, {"until": POSITIVE, "first": POSITIVE}),
    "error_budget": Entry(
        lambda: {"run": watched(), "degree": 2},
        {
            "run": [None, 3, "run", later(pde), later(by_labels), later(full), later(lambda: record(point(), jnp.ones(2)))],
            "degree": [*INTEGER, 3, 1, 8],
            "signs": [None, 3, "even", True],
            "bias": FLAG,
            "problem": [3, "problem", later(reduced), later(lambda: mf.Problem(mf.Gaussian(7), mf.SubspaceNorm(2)))],
        },
    ),
    "stability": Entry(
        lambda: {"run": watched(), "degree": 2},
        {"run": [None, 3, later(pde), later(by_labels), later(full)], "degree": [*INTEGER, 3, 1, 8]},
    ),
    "fluctuation": Entry(
        lambda: {"run": watched(), "cloud": cloud(), "degree": 2},
        {
            "run": [None, 3, later(pde), later(by_labels), later(full)],
            "cloud": [None, 3, "cloud", later(lambda: cloud(5)), later(cloud)],
            "degree": [*INTEGER, 3, 1, 8],
        },
    ),
    "equilibrium": Entry(
        lambda: {"problem": problem()},
        {
            "problem": PROBLEM,
            "temperature": POSITIVE,
            "masses": [None, 3.0, "11", (1.0,), (1.0, 2.0, 3.0), (0.0, 0.0), (-1.0, 1.0), (1.0, "2"), (np.nan, 1.0)],
        },
    ),
    "relaxation": Entry(
        lambda: {"equilibrium": settled()},
        {
            "equilibrium": [None, 3, "equilibrium", later(problem)],
            "blocks": [None, 3, (), (0, 1), ((0,),), ((0, 1, 2),), ((0, -1),), ((0, 0.5),), (("0", "1"),)],
        },
    ),
    "solve_reduced": Entry(
        lambda: {"reduced": reduced(), "ts": np.array([0.0, 0.1])},
        {
            "reduced": [None, 3, later(problem), later(cloud)],
            "ts": [*TIMES, later(lambda: jnp.array([0, 1j]))],
            "training": [{}, 3, "adam", mf.Training],
            "method": ["euler", 3, later(lambda: "closed")],
            "rtol": [v for v in POSITIVE if v is not None],
            "atol": [v for v in POSITIVE if v is not None],
            "initial": [*STATES, given(np.ones((2, 8)), method="characteristics")],
            "error": [*FLAG, given(True, initial=np.ones((2, 8)))],
            "observe": OBSERVE,
            **_SOLVE,
        },
    ),
    # The same arguments where no step is taken, because the solution is in closed form.
    "solve_reduced ": Entry(
        lambda: {"reduced": odd(), "ts": np.array([0.0, 0.1])},
        {
            name: [given(value, reduced=kind) for kind in (odd, point) for value in values]
            for name, values in {
                "ts": TIMES, "rtol": [-1.0], "atol": ["0"], "max_steps": [0], "derivative": ["both"], "throw": FLAG,
                **CONTROL, "observe": OBSERVE, "error": FLAG, "initial": [np.ones(2)], "dtype": DTYPE, "method": ["euler"],
            }.items()
        },
    ),
    "Stop": Entry(
        lambda: {"risk": 0.1},
        {
            "risk": [*(v for v in POSITIVE if v is not None), given(None, "stop")],
            "steady": [v for v in POSITIVE if v is not None],
            "seconds": [v for v in POSITIVE if v is not None],
        },
    ),
    "Checkpoints": Entry(
        lambda: {"folder": "run-1"},
        {"folder": [None, 3, "", Path(__file__)], "every": NOT_NEGATIVE, "keep": INTEGER},
    ),
    "save": Entry(
        lambda: {"path": "missing/problem.mfsym", "thing": problem()},
        {
            "path": [None, 3, "", Path(__file__).parent],
            "thing": [
                object(), lambda x: x, Path,
                later(lambda: mf.Problem(mf.Gaussian(4), mf.FunctionTarget(lambda x: jnp.sum(x) ** 2))),
            ],
        },
    ),
    "load": Entry(
        lambda: {"path": Path(__file__)},
        {
            "path": [None, 3, "", Path(__file__).parent],
            "expect": ["Problem", 3, later(problem)],
            "functions": [3, [jnp.abs], {3: jnp.abs}],
        },
    ),
    "shard": Entry(
        lambda: {"cloud": cloud()},
        {
            "cloud": [None, 3, "cloud", later(lambda: {"a": jnp.ones(3), "b": jnp.ones((4, 2))})],
            "mesh": [*MESH, later(lambda: jax.make_mesh((1,), ("samples",), axis_types=(AxisType.Auto,)), "axis")],
            "axis": [3, None, given("samples", mesh=one_device)],
        },
    ),
    "sweep": Entry(
        lambda: {"problems": {"a": problem()}, "ts": np.array([0.0, 0.1]), "cells": 8, "nodes": 7, "modes": 4},
        {
            "problems": [None, 3, {}, [], "ab", {3: problem()},
                         later(lambda: {"a": mf.Gaussian(4)})],
            "ts": TIMES,
            "widths": [None, 4, (4, 6), (4, 4), (2.0,), "24", (0,), (3,)],
            "seeds": INTEGER,
            "key": KEY,
            "cells": [*OPTIONAL, 7],
            "nodes": [*OPTIONAL, 8],
            "modes": OPTIONAL,
            "method": ["euler", 3],
            "training": [{}, 3, "adam", mf.Training],
            "rtol": [v for v in POSITIVE if v is not None],
            "atol": [v for v in POSITIVE if v is not None],
            "max_steps": OPTIONAL,
            "stop": STOP,
            "observe": OBSERVE,
            "mesh": MESH,
            "throw": FLAG,
        },
    ),
    "descend_moments": Entry(
        lambda: {"reduced": odd(), "steps": 2, "rate": 0.1},
        {
            "reduced": [None, 3, later(reduced)],
            "steps": INTEGER,
            "rate": POSITIVE,
            "initial": ["x", 3.0, np.ones(3), np.ones((4, 4, 1)), -np.eye(4), np.full(4, np.nan), np.zeros(4)],
            "record_every": [*INTEGER, 3],
            "throw": FLAG,
            **CONTROL,
            "observe": OBSERVE,
        },
    ),
    "initial_cloud": Entry(
        lambda: {"problem": problem(), "width": 2, "key": key()},
        {"problem": PROBLEM, "width": [*INTEGER, 3], "key": [*KEY, None], "dtype": DTYPE},
    ),
    "gaussian_cloud": Entry(
        lambda: {"problem": problem("gaussian"), "width": 2, "key": key()},
        {
            "problem": [*PROBLEM, later(problem, "problem.start")],
            "width": INTEGER,
            "key": [*KEY, None],
            "dtype": DTYPE,
        },
    ),
    "sphere_cloud": Entry(
        lambda: {"problem": problem(), "width": 2, "key": key()},
        {
            "problem": [*PROBLEM, later(lambda: problem("gaussian"), "problem.start"),
                        later(lambda: problem("unequal"), "problem.start", signs="paired")],
            "width": [*INTEGER, 3],
            "key": [*KEY, None, given("key", directions="quasi")],
            "signs": ["equal", None, 1, given("random", directions="deterministic")],
            "directions": ["sobol", None, 1],
            "dtype": DTYPE,
        },
    ),
    "risk_of": Entry(
        lambda: {"problem": problem()},
        {
            "problem": [
                *PROBLEM,
                later(lambda: mf.Problem(mf.GaussianCovariance(np.eye(4)), mf.SubspaceNorm(2)), "problem.inputs"),
                later(lambda: mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2), unit=mf.GELU()), "problem.unit"),
                later(lambda: mf.Problem(mf.Gaussian(4), mf.FunctionTarget(jnp.sum)), "problem.target"),
            ],
            "scheme": SCHEME,
            "samples": OPTIONAL,
            "block_size": OPTIONAL,
            "key": [*KEY, *(given(k, samples=2) for k in (None, 3, "key"))],
            "step": [*(given(v, samples=2, key=np.array([0, 0], np.uint32)) for v in (0.0, -1.0, "1", np.nan, True)), 0.0],
        },
    ),
    "measure_cloud": Entry(
        lambda: {"problem": problem(), "cloud": cloud()},
        {"problem": PROBLEM, "cloud": [*NO_PARTICLES, later(lambda: cloud(3))]},
    ),
    "solve_particles": Entry(
        lambda: {"problem": problem(), "cloud": cloud(), "ts": np.array([0.0, 0.1])},
        {
            "problem": PROBLEM,
            "cloud": CLOUD,
            "ts": [
                *TIMES,
                later(lambda: np.array([0.0, 0.15]), training=mf.Training(step=0.1)),
                later(lambda: np.array([0.0, 0.15]), training=mf.Training(step=0.1, schedule=[1.0, 2.0])),
            ],
            "training": [{}, 3, later(lambda: optax.sgd(0.1)), mf.Training],
            "samples": [
                *OPTIONAL,
                given(2, "step"),
                given(2, "key", step=0.1),
                given(2, training=mf.Training(step=0.1, schedule=[1.0])),
            ],
            "step": [*(v for v in POSITIVE if v is not None), given(0.1, training=mf.Training(step=0.1))],
            "key": [*KEY, *(given(k, samples=2, step=0.1) for k in (3, "key", np.zeros(2)))],
            "rtol": [v for v in POSITIVE if v is not None],
            "atol": [v for v in POSITIVE if v is not None],
            "save_states": FLAG,
            "block_size": OPTIONAL,
            "risk": RISK,
            "scheme": SCHEME,
            "observe": OBSERVE,
            **_SOLVE,
        },
    ),
    "descend": Entry(
        lambda: {"problem": problem(), "cloud": cloud(), "steps": 2, "learning_rate": 0.1},
        {
            "problem": PROBLEM,
            "cloud": CLOUD,
            "steps": INTEGER,
            "optimiser": [*(given(v, learning_rate=None) for v in (3, "adam", optax.adam, None)),
                          later(lambda: optax.sgd(0.1))],
            "learning_rate": [*(v for v in POSITIVE if v is not None), given(None, "optimiser")],
            "samples": [*OPTIONAL, given(2, "key")],
            "key": [*KEY, *(given(k, samples=2) for k in (3, "key"))],
            "record_every": [*INTEGER, 3],
            "throw": FLAG,
            "save_states": FLAG,
            "block_size": OPTIONAL,
            "risk": RISK,
            "scheme": SCHEME,
            "observe": OBSERVE,
            **CONTROL,
            "dtype": DTYPE,
        },
    ),
    "twin": Entry(
        lambda: {
            "model": loop(), "optimiser": {"name": "sgd", "learning_rate": 0.8}, "inputs": mf.Gaussian(4),
            "target": mf.SubspaceNorm(2), "loss": "half square", "steps": 2, "scale": "1/m", "activation": jax.nn.relu,
        },
        {
            "model": [None, 3, "mine", (np.ones(4),), (np.ones(4), np.ones((3, 4))), (np.ones((4, 1)), np.ones((4, 4))),
                      later(lambda: optax.sgd(0.1)), given("mup", named="activation", activation=None)],
            "optimiser": [None, 3, "adam", optax.adam, {}, {"name": "sgd"}, {"name": "sgd", "rate": 1.0},
                          {"name": "sgd", "learning_rate": -1.0}, {"name": "sgd", "learning_rate": 0.0},
                          {"name": "sgd", "learning_rate": 1.0, "momentum": "a"}],
            "inputs": [None, 4, mf.Gaussian, later(lambda: mf.Gaussian(3), "model")],
            "target": [None, jnp.sum, mf.SubspaceNorm, later(lambda: mf.SubspaceNorm(5), "target.dim_h")],
            "loss": [None, 3, "mse", mf.SquareLoss, lambda f: f, lambda f, y: "large"],
            "steps": INTEGER,
            "batch": OPTIONAL,
            "scale": [*POSITIVE, "1/d"],
            "preactivation": POSITIVE,
            "activation": SCALAR_FUNCTION,
            "start": [3, "sphere", mf.SphereStart],
        },
    ),
    "predict": Entry(
        lambda: {"network": cloud(), "x": np.ones((1, 4))},
        {
            "network": [None, 3, "cloud", later(lambda: cloud().b), later(reduced)],
            "x": [*VECTORS, np.ones(4), np.ones((1, 3)), np.ones((1, 1, 4)), given(np.ones((1, 3)), network=pde)],
            "unit": ["relu", 3, mf.ReLU, later(mf.ReLU, network=pde)],
        },
    ),
    **{
        name: Entry(
            lambda: {"solution": pde(), "theta": np.array([0.1])},
            {
                "solution": [None, 3, later(full, "solution.model"), later(reduced),
                             *([later(by_labels)] if name == "density" else [])],
                "theta": ["x", None, 0.1, [[0.1]], [np.nan], [1j], [-1.0], [9.0]],
                "index": [2, -3, 0.0, "0", None, True, 10**20],
            },
        )
        for name in ("density", "drift", "potential")
    },
    "project": Entry(
        lambda: {"cloud": cloud(), "reduced": reduced()},
        {"cloud": [*NO_PARTICLES, later(lambda: cloud(3))], "reduced": [None, 3, later(pde), later(odd)]},
    ),
    "sample_cloud": Entry(
        lambda: {"solution": pde(), "t": 0.1, "width": 2, "key": key()},
        {
            "solution": [None, 3, later(reduced), later(full, "solution.model")],
            "t": [0.05, "0", None, np.nan, [0.0, 0.1], 1j],
            "width": [*INTEGER, 1, 3],
            "key": [*KEY, None],
        },
    ),
    "run_clouds": Entry(
        lambda: {"problem": problem(), "ts": np.array([0.0, 0.1]), "reduced": reduced(), "widths": (2, 4), "seeds": 3},
        {
            "problem": PROBLEM,
            "ts": TIMES,
            "reduced": [None, 3, later(problem), later(odd)],
            "widths": [None, 4, (2,), (4, 2), (2, 2), (2.0, 4.0), (2, 3), "24", (0, 2)],
            "samples": [*OPTIONAL, given(2, "step")],
            "step": [v for v in POSITIVE if v is not None],
            "seeds": [*INTEGER, 2],
            "key": KEY,
            "mesh": MESH,
            "progress": FLAG,
        },
    ),
    "cross_check": Entry(
        lambda: {"problem": problem(), "ts": np.array([0.0, 0.1]), "widths": (2, 4), "seeds": 3, "cells": 8, "nodes": 7,
                 "modes": 4},
        {
            "problem": [*PROBLEM, later(lambda: mf.Problem(mf.Gaussian(3), mf.FunctionTarget(jnp.sum, "odd")), cells=None,
                                        nodes=None, modes=None)],
            "ts": TIMES,
            "widths": [None, 4, (2,), (4, 2), (2, 2), (2.0, 4.0), (2, 3), "24"],
            "samples": [*OPTIONAL, given(2, "step")],
            "step": [v for v in POSITIVE if v is not None],
            "seeds": [*INTEGER, 2],
            "key": KEY,
            "mesh": MESH,
            "progress": FLAG,
            "cells": [*OPTIONAL, 7],
            "nodes": [*OPTIONAL, 8],
            "modes": OPTIONAL,
        },
    ),
    "judge": Entry(
        lambda: {"reference": pde(), "runs": runs()},
        {
            "reference": [None, 3, later(reduced), later(report),
                          later(lambda: record(reduced(), pde().states, (0.0, 0.2)))],
            "runs": [None, 3, later(full)],
        },
    ),
    "plot.overview": Entry(
        lambda: {"pde": pde()},
        {
            "pde": [None, 3, later(full), later(reduced)],
            "full": [3, "full", later(lambda: dataclasses.replace(full(), clock="steps"))],
            "report": [3, "report", later(pde)],
            "axes": [3, "ax", [None, None, None]],
        },
    ),
    "plot.densities": Entry(
        lambda: {"pde": pde()},
        {
            "pde": [None, 3, later(full), later(reduced), later(by_labels)],
            "full": [3, "full", later(pde), later(lambda: cloud(3))],
            "times": [0.05, [0.0, 0.05], "0", np.nan, [[0.0]]],
            "axes": [3, "ax", [None, None]],
        },
    ),
    "plot.film": Entry(
        lambda: {"pde": pde(), "path": "film.gif"},
        {
            "pde": [None, 3, later(full)],
            "path": [None, 3, "film.mp4", "nowhere/film.gif"],
            "full": [3, "full", later(cloud), later(lambda: dataclasses.replace(full(), states=None))],
            "frames": INTEGER,
            "fps": [*POSITIVE, 1e6],
        },
    ),
    "plot.rates": Entry(
        lambda: {"report": report()}, {"report": [None, 3, later(runs)], "axes": [3, "ax", [None, None, None]]}
    ),
    "plot.budget": Entry(
        lambda: {"budget": constant_budget(samples=False)},
        {"budget": [None, 3, later(watched)], "axes": [3, "ax", [None, None]]},
    ),
    "plot.coordinates": Entry(lambda: {"check": sizes()}, {"check": [None, 3, later(losses)], "axes": [3, "ax", [None]]}),
    "plot.slopes": Entry(
        lambda: {"checks": {"mup": sizes()}},
        {"checks": [None, 3, {}, later(sizes), {"mup": 3}, {3: None}], "axes": [3, "ax", [None]]},
    ),
    "plot.charges": Entry(
        lambda: {"drifts": drifted(2)},
        {
            "drifts": [
                None, 3, "drift", [], [3], later(losses), later(lambda: [drifted(2), drifted(2)]),
                later(lambda: [drifted(4), drifted(2)]), later(lambda: drifted(0)),
                later(lambda: [drifted(2), drifted(4, "g")]),
            ],
            "axes": [3, "ax", [None], [None, None]],
        },
    ),
    "plot.transfer": Entry(lambda: {"check": losses()}, {"check": [None, 3, later(sizes)], "axes": [3, "ax", [None]]}),
}  # fmt: skip


def fresh(value: Any) -> Any:
    """A value of the table: functions of this module are built when they are used."""
    return value() if getattr(value, "__module__", None) == __name__ and hasattr(value, "cache_info") else value


def cases() -> dict[str, tuple[str, str, Any]]:
    """Every wrong call by its name: the callable, the argument, the value."""
    found = {}
    for name, entry in TABLE.items():
        for argument, values in entry.wrong.items():
            for number, value in enumerate(values):
                found[f"{name}({argument}) {number}"] = (name, argument, value)
    return found


def named(case: tuple[str, str, Any]) -> str:
    """The argument that the message must name."""
    _, argument, value = case
    return value.named or argument if isinstance(value, Value) else argument


def public(name: str) -> Callable[..., Any]:
    return functools.reduce(getattr, name.strip().split("."), mf)


def call(case: tuple[str, str, Any], wrong: bool = True) -> None:
    """The callable with right arguments but one; with all of them right if not `wrong`."""
    name, argument, value = case
    arguments = TABLE[name].good()
    if isinstance(value, Value):
        arguments |= {other: fresh(beside) for other, beside in value.beside.items()}
        value = value.build()
    if value is TRACED:
        return jax.eval_shape(lambda traced: _run(name, arguments | {argument: traced}), jnp.asarray(8))
    return _run(name, arguments | ({argument: fresh(value)} if wrong else {}))


def _run(name: str, arguments: dict[str, Any]) -> None:
    function = public(name)
    positional = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.VAR_POSITIONAL]
    several = arguments.pop(positional[0]) if positional else ()
    function(*several, **arguments)


class Compiled(logging.Handler):
    """What jax compiles, by the names that it logs."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().split()
        if words[:1] == ["Compiling"]:
            self.names.append(words[1])


# Calls that only check and arrange, so that their right arguments can be tried in a second.
QUICK = (
    "Gaussian",
    "Sphere",
    "GaussianBlocks",
    "GaussianCovariance",
    "Empirical",
    "cubature",
    "SubspaceNorm",
    "SingleIndex",
    "RadialIndex",
    "MultiIndex",
    "BlockNorms",
    "LinearTarget",
    "Teacher",
    "FunctionTarget",
    "Rotated",
    "LeakyReLU",
    "Particles",
    "BiasedParticles",
    "Neuron",
    "Huber",
    "FunctionLoss",
    "FunctionUnit",
    "ModuleUnit",
    "MatrixUnit",
    "VectorUnit",
    "MLPUnit",
    "NormalStart",
    "AveragedUnit",
    "FixedUnit",
    "CanonicalUnit",
    "canonical",
    "DataAugmentation",
    "FeatureAveraging",
    "EquivariantArchitecture",
    "BiasedStart",
    "SphereStart",
    "AngularStart",
    "UnbalancedStart",
    "GaussianStart",
    "IndependentStart",
    "Training",
    "Problem",
    "Symmetry",
    "FiniteGroup",
    "BlockOrthogonal",
    "generate",
    "complete_basis",
    "cyclic",
    "dihedral",
    "symmetric",
    "signed_permutations",
    "SO",
    "O",
    "product",
    "representation",
    "action",
    "fixed_part",
    "fixed_basis",
    "relative_distance",
    "symmetrised",
    "symmetric_floor",
    "restrict",
    "to_coordinates",
    "from_coordinates",
    "fundamental_domain",
    "act",
    "orbit_cloud",
    "moments_of",
    "project_cloud",
    "reduce",
    "stack",
    "gaussian_cloud",
    "risk_of",
    "measure_cloud",
    "project",
    "sample_cloud",
)


def outcomes() -> dict[str, tuple[str, str, list[str]]]:
    """What every wrong call raises, its message, and what was compiled on the way, once the right values exist."""
    for name in QUICK:
        call((name, "", None), wrong=False)
    for build in (odd, point, pde, by_labels, full, report):
        build()
    compiled = Compiled()
    logging.getLogger("jax").addHandler(compiled)
    logging.getLogger("jax").propagate = False
    seen = {}
    with jax.log_compiles():
        for title, case in cases().items():
            before = len(compiled.names)
            try:
                call(case)
                kind, message = "nothing", ""
            except Exception as error:
                kind, message = type(error).__name__, str(error)
            seen[title] = (kind, message, compiled.names[before:])
    return seen
