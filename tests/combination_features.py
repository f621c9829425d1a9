"""Inputs, targets, units and starts, each beside the same thing in numpy, which shares nothing with the library.

Inputs and neurons are drawn; risks and velocities of networks of them are means (`sampled_networks.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

import mfsym as mf

DIM = 4
ROTATION = np.linalg.qr(np.random.default_rng(4).standard_normal((DIM, DIM)))[0]
_TURN = np.array([[0.6, 0.8], [-0.8, 0.6]])
WITHIN = np.kron(np.eye(2), _TURN)  # turns the first two and the last two coordinates by themselves


class Inputs(NamedTuple):
    value: Any
    draw: Callable  # (generator, n) -> [n, dim]
    title: str
    dim: int = DIM  # of what is drawn; targets see the first DIM coordinates
    limit: bool = False  # whether the reduction is that of d → ∞


class Target(NamedTuple):
    value: Any
    function: Callable  # [n, DIM] -> [n]
    axes: np.ndarray | None  # rows: what the angle of a start is measured from
    title: str
    radial: bool = False


class Unit(NamedTuple):
    value: Any
    activation: Callable
    derivative: Callable
    biased: bool = False


class Start(NamedTuple):
    value: Any
    draw: Callable  # (generator, m, Target, dim) -> a [m], b [m, dim]
    bias: Callable = lambda generator, count: np.zeros(count)  # of units that have one: (generator, m) -> [m]


def _directions(generator, count, dim):
    b = generator.standard_normal((count, dim))
    return b / np.linalg.norm(b, axis=1, keepdims=True)


def _signed_sizes(count, plus, minus):
    """a of balanced neurons, half of them positive."""
    return np.repeat([np.sqrt(2 * plus), -np.sqrt(2 * minus)], count // 2)


def _sphere(plus, minus):
    def draw(generator, count, target, dim):
        a = _signed_sizes(count, plus, minus)
        return a, np.abs(a)[:, None] * _directions(generator, count, dim)

    return Start(mf.SphereStart(plus, minus), draw)


def _tilted(generator, count, target, dim):
    """Directions with density ∝ e^{cos θ}, by rejection."""
    kept = np.zeros((0, dim))
    while len(kept) < count:
        b = _directions(generator, 4 * count, dim)
        along = b @ target.axes.T
        cosine = np.linalg.norm(along, axis=1) if target.radial or len(target.axes) > 1 else along[:, 0]
        kept = np.concatenate([kept, b[generator.uniform(size=len(b)) < np.exp(cosine - 1)]])
    a = _signed_sizes(count, 0.6, 0.9)
    return a, np.abs(a)[:, None] * generator.permutation(kept)[:count]


def _unbalanced(generator, count, target, dim):
    return np.repeat([0.7, -0.7], count // 2), 1.4 * _directions(generator, count, dim)


def _gaussian(generator, count, target, dim):
    return 0.8 * generator.standard_normal(count), 1.2 / np.sqrt(dim) * generator.standard_normal((count, dim))


def _uniform_outer(generator, count, target, dim):
    b = 1.2 / np.sqrt(dim) * generator.standard_normal((count, dim))
    return 0.8 * np.sqrt(3) * generator.uniform(-1, 1, count), b


STARTS = {
    "SphereStart": _sphere(0.5, 0.5),
    "SphereStart of different masses": _sphere(0.8, 0.3),
    "AngularStart": Start(mf.AngularStart(lambda theta: jnp.exp(jnp.cos(theta)), 0.6, 0.9), _tilted),
    "UnbalancedStart": Start(mf.UnbalancedStart(0.7, 1.4), _unbalanced),
    "GaussianStart": Start(mf.GaussianStart(0.8, 1.2), _gaussian),
    "BiasedStart": Start(
        mf.BiasedStart(mf.IndependentStart("uniform", "normal", 0.8, 1.2), 0.4, 0.5, "uniform"),
        _uniform_outer,
        lambda generator, count: 0.4 + 0.5 * np.sqrt(3) * generator.uniform(-1, 1, count),
    ),
}

_generator = np.random.default_rng(7)
ROWS = _generator.standard_normal((12, DIM)) * np.array([1.0, 1.5, 0.7, 1.2]) + 0.3
WEIGHTS = np.arange(1.0, 13.0) / 78
FACTOR = _generator.standard_normal((DIM, DIM)) / 2
TEACHER_A, TEACHER_B = np.array([2.0, -1.0, 1.5]), _generator.standard_normal((3, DIM))


LABELS = _generator.standard_normal(12)
WIDE = 400  # a dimension that stands for ∞, from which all differs by O(1/d)


def _normal(scales, dim=DIM):
    return lambda generator, count: np.asarray(scales) * generator.standard_normal((count, dim))


def _rows(rows, weights=None):
    return lambda generator, count: rows[generator.choice(len(rows), size=count, p=weights)]


INPUTS = {
    "Gaussian": Inputs(mf.Gaussian(DIM, 1.3), _normal(1.3), "`Gaussian`"),
    "Sphere": Inputs(mf.Sphere(DIM, 1.6), lambda generator, count: 1.6 * _directions(generator, count, DIM), "`Sphere`"),
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
    "labelled Empirical": Inputs(mf.Empirical(ROWS, LABELS), _rows(ROWS), "`Empirical(x, y)`, with labels"),
    "Gaussian of d = ∞": Inputs(
        mf.Gaussian(DIM, 1.3), _normal(1.3, WIDE), "`Gaussian`, reduced with `dim=jnp.inf`", WIDE, True
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
    "labels": Target(
        None, lambda x: LABELS[np.argmin(np.sum(np.abs(x[:, None] - ROWS), axis=2), axis=1)], None, "left out: labels y"
    ),
}


def _normal_density(z):
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def _twice_delta(z, width=0.4):
    """The derivative of the sign, as a kernel of order four: means of smooth functions are off by O(width⁴)."""
    narrow, wide = (np.where(np.abs(z) < reach, 1 / reach, 0) for reach in (width, 2 * width))
    return (4 * narrow - wide) / 3


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
    "tanh with bias": Unit(mf.Neuron(jnp.tanh), np.tanh, lambda z: 1 - np.tanh(z) ** 2, True),
    "ReLU with bias": Unit(mf.Neuron(jax.nn.relu), lambda z: np.maximum(z, 0), lambda z: np.heaviside(z, 0.5), True),
    "erf": Unit(
        mf.Neuron(jax.scipy.special.erf, bias=False), scipy.special.erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-(z**2))
    ),
    "step": Unit(mf.Neuron(jnp.sign, bias=False), np.sign, _twice_delta),
    "FunctionUnit": Unit(
        mf.FunctionUnit(lambda z, x: z.a * jnp.tanh(jnp.sum(z.b * x))), np.tanh, lambda z: 1 - np.tanh(z) ** 2
    ),
}
