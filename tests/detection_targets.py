"""Random targets with a known structure, for the tests and the study of detection.

A kind draws, from a numpy generator, a function of the coordinates z of H, what is true of it, and how it is evaluated.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import mfsym as mf

NOISE = 0.05  # of the standard deviation of f*, where it is evaluated with noise


class Truth(NamedTuple):
    """A function of z [k] and what detection must say of it; None where more than one answer is right."""

    function: Callable
    dim_h: int
    parity: str | None = None
    blocks: tuple[int, ...] | None = None
    block_radial: bool = False
    weights: tuple[float, ...] | None = None
    flips: int | None = None  # number of sign flips of coordinates
    stated: str = "MultiIndex"  # the class of targets to go on with


class Draw(NamedTuple):
    truth: Truth
    rotation: np.ndarray  # [d, d], H spanned by its first rows
    fn: Callable
    inputs: mf.Gaussian | mf.Sphere
    noisy: bool

    def lost(self, basis: np.ndarray) -> float:
        """The share of f* that is lost where x_H is replaced by its projection on another H, without noise."""
        z = np.random.default_rng(3).standard_normal((2048, len(self.rotation)))
        exact = self.rotation[: self.truth.dim_h]
        function = jax.vmap(self.truth.function)
        whole, part = (np.asarray(function(jnp.asarray(points @ exact.T))) for points in (z, z @ basis.T @ basis))
        return float(np.mean((whole - part) ** 2) / np.var(whole))


def norm(generator):
    k, scale = int(generator.integers(1, 4)), float(generator.uniform(0.5, 2))
    return Truth(lambda z: scale * jnp.linalg.norm(z), k, "even", (k,), True, (scale,), stated="SubspaceNorm")


def radial(generator):
    k, a = int(generator.integers(2, 4)), float(generator.uniform(0.5, 2))
    profile = [lambda s: jnp.log1p(a * s), lambda s: jnp.exp(-a * s), lambda s: s * (s - a)][generator.integers(3)]
    return Truth(lambda z: profile(jnp.sum(z**2)), k, "even", (k,), True, stated="RadialIndex")


def single_index(generator):
    a, b = generator.uniform(0.5, 2, 2)
    g = [lambda z: jnp.tanh(a * z + b), lambda z: jax.nn.softplus(a * z - b), lambda z: jax.nn.relu(z - b)]
    index = generator.integers(3)
    return Truth(lambda z: g[index](z[0]), 1, None, (1,), False, flips=0, stated="SingleIndex")


def odd_single_index(generator):
    a = float(generator.uniform(0.5, 2))
    g = [lambda z: jnp.sin(a * z), lambda z: z**3 - a * z, lambda z: a * z][generator.integers(3)]
    return Truth(lambda z: g(z[0]), 1, "odd", (1,), False, flips=1, stated="SingleIndex")


def two_index(generator):
    a, b, c = generator.uniform(0.5, 1.5, 3)
    return Truth(lambda z: jnp.tanh(a * z[0] + b) + c * z[0] * z[1] + jnp.sin(z[1]), 2, None, (1, 1), flips=0)


def three_index(generator):
    return Truth(_tanh_network(generator, 3, 8), 3, None, (1, 1, 1), flips=0)


def block_norms(generator):
    sizes = [(1, 1), (1, 2), (1, 1, 1)][generator.integers(3)]
    weights = tuple(float(w) for w in generator.uniform(0.5, 2, len(sizes)) * generator.choice([-1, 1], len(sizes)))
    return Truth(_sum_of_norms(sizes, weights), sum(sizes), "even", sizes, True, weights, stated="BlockNorms")


def equal_block_norms(generator):
    sizes = (1,) * int(generator.integers(2, 4))
    return Truth(
        _sum_of_norms(sizes, (1.0,) * len(sizes)), len(sizes), "even", sizes, True, (1.0,) * len(sizes), stated="BlockNorms"
    )


def block_product(generator):
    a = float(generator.uniform(0.5, 2))
    return Truth(lambda z: jnp.log1p(a * jnp.abs(z[0]) * jnp.linalg.norm(z[1:])), 3, "even", (1, 2), True)


def turning_block(generator):
    """Rotations of two of three directions, the third without symmetry."""
    a, b = generator.uniform(0.5, 1.5, 2)
    return Truth(lambda z: jnp.tanh(a * z[0] + b) * jnp.linalg.norm(z[1:]), 3, None, (1, 2), False, flips=0)


def odd_polynomial(generator):
    k = int(generator.integers(2, 4))
    cubic, linear = generator.standard_normal((k, k, k)), generator.standard_normal(k)
    return Truth(lambda z: jnp.einsum("ijk,i,j,k", cubic, z, z, z) + linear @ z, k, "odd", (1,) * k, False, stated="odd")


def even_polynomial(generator):
    k = int(generator.integers(2, 4))
    quartic, square = generator.standard_normal((k, k, k, k)), generator.standard_normal((k, k))
    return Truth(lambda z: jnp.einsum("ijkl,i,j,k,l", quartic, z, z, z, z) + z @ square @ z, k, "even", (1,) * k, flips=0)


def staircase(generator):
    a, b = generator.uniform(0.5, 1.5, 2)
    return Truth(lambda z: z[0] + a * z[0] * z[1] + b * z[0] * z[1] * z[2], 3, None, (1, 1, 1), flips=1)


def product(generator):
    """Two directions with all the symmetries of a square: z_1 z_2 = (u_1² − u_2²)/2."""
    a = float(generator.uniform(0.5, 2))
    return Truth(lambda z: a * z[0] * z[1], 2, "even", (1, 1), True, flips=2)


def maximum(generator):
    """Of two moduli it is (|z_1 + z_2| + |z_1 − z_2|)/2, a sum of norms; of three it is none."""
    k = int(generator.integers(2, 4))
    weights, stated = ((np.sqrt(0.5),) * 2, "BlockNorms") if k == 2 else (None, "MultiIndex")
    return Truth(lambda z: jnp.max(jnp.abs(z)), k, "even", (1,) * k, True, weights, stated=stated)


def teacher(generator):
    k = int(generator.integers(1, 4))
    a, b = generator.uniform(0.5, 2, k) * generator.choice([-1, 1], k), generator.standard_normal((k, k))
    stated = "SingleIndex" if k == 1 else "MultiIndex"
    return Truth(lambda z: a @ jax.nn.relu(b @ z), k, None, (1,) * k, False, flips=None if k == 2 else 0, stated=stated)


def _sum_of_norms(sizes, weights):
    ends = np.cumsum((0, *sizes))
    return lambda z: sum(w * jnp.linalg.norm(z[i:j]) for w, i, j in zip(weights, ends[:-1], ends[1:], strict=True))


def _tanh_network(generator, dim, width):
    a, b, c = generator.standard_normal(width), generator.standard_normal((width, dim)), generator.standard_normal(width)
    return lambda z: a @ jnp.tanh(b @ z + c)


KINDS = [norm, radial, single_index, odd_single_index, two_index, three_index, block_norms, equal_block_norms]
KINDS += [block_product, turning_block, odd_polynomial, even_polynomial, staircase, product, maximum, teacher]
EVALUATIONS = ["plain", "axes", "noisy", "callback"]


def draw(kind, seed: int, evaluation: str = "plain", largest: int = 100) -> Draw:
    """A random target of a kind: d up to `largest`, H turned at random (or spanned by axes), Gaussian or sphere."""
    generator = np.random.default_rng((seed, *map(ord, kind.__name__ + evaluation)))
    truth = kind(generator)
    dim = int(generator.integers(truth.dim_h + 1, largest + 1))
    rotation = np.linalg.qr(generator.standard_normal((dim, dim)))[0]
    if evaluation == "axes":
        rotation = np.eye(dim)[generator.permutation(dim)]
    inputs = mf.Gaussian(dim) if generator.random() < 0.5 else mf.Sphere(dim, np.sqrt(dim))
    basis = rotation[: truth.dim_h]
    return Draw(truth, rotation, _evaluated(truth.function, basis, evaluation), inputs, evaluation == "noisy")


def noise(x):
    """A function of the bits of x that varies as independent draws of mean 0 and variance 1."""
    phase = jnp.sin(jnp.sum(x * jnp.arange(1, x.shape[0] + 1, dtype=x.dtype)) * 12.9898 + 1.3) * 43758.5453
    return np.sqrt(12) * (phase - jnp.floor(phase) - 0.5)


def _evaluated(function, basis, evaluation):
    def plain(x):
        return function(jnp.asarray(basis, x.dtype) @ x)

    def noisy(x):
        return plain(x) + size * noise(x)

    sample = jnp.asarray(np.random.default_rng(0).standard_normal((512, len(basis))))
    size = NOISE * float(jnp.std(jax.vmap(function)(sample)))

    def callback(x):
        shape = jax.ShapeDtypeStruct((), x.dtype)
        return jax.pure_callback(_on_host, shape, x, vmap_method="expand_dims")

    batched = jax.jit(jax.vmap(plain))

    def _on_host(x):
        return np.asarray(batched(jnp.reshape(x, (-1, x.shape[-1])))).reshape(x.shape[:-1])

    return {"plain": plain, "axes": plain, "noisy": noisy, "callback": callback}[evaluation]


def mistakes(found: mf.DetectionReport, drawn: Draw) -> list[str]:
    """What a report says wrongly; empty if it is right."""
    truth, wrong = drawn.truth, []
    if found.dim_h != truth.dim_h:
        return [f"dim_h {found.dim_h}"]
    basis = drawn.rotation[: truth.dim_h]
    angle = np.linalg.norm(found.basis - found.basis @ basis.T @ basis, 2)
    lost = drawn.lost(found.basis) if drawn.noisy else 0.0
    checks = {
        f"angle {angle:.1e}, lost {lost:.1e}": lost < NOISE**2 if drawn.noisy else angle < 1e-7,
        f"parity {found.parity}": found.parity == truth.parity,
        f"stated {stated_name(found)}": stated_name(found)
        in (truth.stated, "odd" if truth.parity == "odd" else truth.stated),
    }
    if not drawn.noisy or len(truth.blocks) == 1 or truth.weights is not None:  # others are not looked for under noise
        checks[f"blocks {found.blocks}"] = tuple(sorted(found.blocks)) == truth.blocks
        checks[f"block radial {found.block_radial}"] = found.block_radial == truth.block_radial
        if truth.weights is not None:
            size = None if found.weights is None else sorted(found.weights)
            tolerance = 0.02 if drawn.noisy else 1e-8
            checks[f"weights {size}"] = size is not None and np.allclose(size, sorted(truth.weights), atol=tolerance)
        if truth.flips is not None and not drawn.noisy:
            checks[f"flips {found.flips}"] = len({i for i, _ in found.flips}) == truth.flips
    wrong = [text for text, right in checks.items() if not right]
    return wrong


def stated_name(found: mf.DetectionReport) -> str:
    """Name of the class that the report states, without its rotation; "odd" for a declared parity."""
    target = found.target.target if isinstance(found.target, mf.Rotated) else found.target
    if isinstance(target, mf.FunctionTarget) and target.parity == "odd":
        return "odd"
    return type(target).__name__


def generic(seed: int, largest: int = 100):
    """A two-layer tanh network without symmetry and a law of inputs."""
    generator = np.random.default_rng((seed, 77))
    dim = int(generator.integers(2, largest + 1))
    b, c = generator.standard_normal((2 * dim, dim)) / np.sqrt(dim), generator.standard_normal(2 * dim)
    a = generator.standard_normal(2 * dim)
    return (lambda x: jnp.asarray(a) @ jnp.tanh(jnp.asarray(b) @ x + jnp.asarray(c))), mf.Gaussian(dim)


def false_symmetries(found: mf.DetectionReport) -> list[str]:
    """Every symmetry that a report claims of a function that has none."""
    depends = [f"dim_h {found.dim_h}"] if found.dim_h < found.dim else []
    moves = [f"{name} {value}" for name, value in (("flips", found.flips), ("swaps", found.swaps)) if value]
    parity = [f"parity {found.parity}"] if found.parity else []
    return depends + parity + moves + ([f"blocks {found.blocks}"] if max(found.blocks) > 1 else [])
