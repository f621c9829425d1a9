"""Targets whose gradients do not tell what they depend on: jumps, floors, gates, parities, pooling, rare events, integers.

Each is a function of the coordinates z [k] of H with what detection must say of it. `contradicted` tests the claims of a
report by a route of its own: plain evaluation of f* on draws of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import mfsym as mf

DRAWS = 40_000


class Jumping(NamedTuple):
    """A function of z [k], the number of directions that it depends on (k, unless it is said), its parity, its blocks."""

    name: str
    function: Callable
    coordinates: int
    parity: str | None
    blocks: tuple[int, ...] | None = None  # where it has more symmetry than single coordinates
    span: tuple[tuple[float, ...], ...] | None = None  # of H in these coordinates, where it is smaller


def step(condition):
    return jnp.where(condition, 1.0, 0.0)


def _tree(z):
    return jnp.where(z[0] > 0.3, jnp.where(z[1] > 0, 1.0, 2.0), jnp.where(z[2] > -0.5, 3.0, 5.0))


SUM, SUM_AND_THIRD = ((1.0, 1.0),), ((1.0, 1.0, 0.0), (0.0, 0.0, 1.0))
DIFFERENCES = ((1.0, -1.0, 0.0), (0.0, 1.0, -1.0))
POOLS = ((1.0, 1.0, 1.0, 1.0), (1.0, -1.0, 0.0, 0.0), (0.0, 0.0, 1.0, -1.0))  # max(a, b) = (a + b + |a − b|)/2
TABLE = [
    Jumping("step beside a square", lambda z: step(z[0] > 0) + z[1] ** 2, 2, None),
    Jumping("sign beside a square", lambda z: jnp.sign(z[0]) + z[1] ** 2, 2, None),
    Jumping("parity of two beside a modulus", lambda z: jnp.sign(z[0] * z[1]) + jnp.abs(z[2]), 3, "even"),
    Jumping("gate between two powers", lambda z: jnp.where(z[0] > 0, z[1] ** 2, jnp.abs(z[1])), 2, None),
    Jumping("sign times modulus", lambda z: jnp.sign(z[0]) * jnp.abs(z[1]), 2, "odd"),
    Jumping("gate between two signs", lambda z: jnp.where(z[0] > 0, z[1] ** 2, -(z[1] ** 2)), 2, "odd"),
    Jumping("sign of a sum", lambda z: jnp.sign(z[0] + z[1]), 2, "odd", span=SUM),
    Jumping("step of a sum", lambda z: jnp.sign(z[0] + z[1] - 0.5), 2, None, span=SUM),
    Jumping("parity of two", lambda z: jnp.sign(z[0] * z[1]), 2, "even"),
    Jumping("parity of three", lambda z: jnp.sign(z[0] * z[1] * z[2]), 3, "odd"),
    Jumping("parity of five", lambda z: jnp.sign(jnp.prod(z)), 5, "odd"),
    Jumping("majority of three", lambda z: jnp.sign(jnp.sum(jnp.sign(z))), 3, "odd"),
    Jumping("count of positive ones", lambda z: jnp.sum(step(z > 0)), 4, None),
    Jumping("floor", lambda z: jnp.floor(z[0]), 1, None),
    Jumping("sum of floors", lambda z: jnp.floor(2 * z[0]) + jnp.floor(z[1]), 2, None),
    Jumping("rounded times plain", lambda z: jnp.round(z[0]) * z[1], 2, "even"),
    Jumping("quantised ramp", lambda z: jnp.round(3 * z[0]) / 3, 1, "odd"),
    Jumping("sawtooth", lambda z: z[0] - jnp.floor(z[0]), 1, None),
    Jumping("hard threshold", lambda z: jnp.where(jnp.abs(z[0]) > 1, z[0], 0.0), 1, "odd"),
    Jumping("gated line", lambda z: jnp.where(z[0] > 0, z[1], 0.0), 2, None),
    Jumping("gate by a sum", lambda z: jnp.where(z[0] + z[1] > 0, jnp.tanh(z[2]), 0.0), 3, None, span=SUM_AND_THIRD),
    Jumping("decision tree", _tree, 3, None),
    Jumping("integer class", lambda z: (z[0] > 0.2).astype(jnp.int32), 1, None),
    Jumping("integer exclusive or", lambda z: ((z[0] > 0) ^ (z[1] > 0)).astype(jnp.int32), 2, "even"),
    Jumping("integer count", lambda z: jnp.sum(z > 0.5), 3, None),
    Jumping("index of the largest", jnp.argmax, 3, None, span=DIFFERENCES),
    Jumping("largest of three", jnp.max, 3, None),
    Jumping("pools of two", lambda z: jnp.max(z[:2]) + jnp.max(z[2:]), 4, None, span=POOLS),
    Jumping("sign of the largest", lambda z: jnp.sign(jnp.max(z)), 2, None),
    Jumping("median of three", lambda z: jnp.sort(z)[1], 3, "odd"),
    Jumping("outside of a disc", lambda z: step(jnp.sum(z**2) > 1), 2, "even", (2,)),
    Jumping("disc beside a line", lambda z: step(jnp.sum(z[:2] ** 2) > 1) + z[2], 3, None, (1, 2)),
    Jumping("gate by a ball", lambda z: jnp.where(jnp.sum(z[:3] ** 2) > 2, z[3], 0.0), 4, "odd", (1, 3)),
    Jumping("sign times a norm", lambda z: jnp.sign(z[0]) * jnp.linalg.norm(z[1:]), 3, "odd", (1, 2)),
    Jumping("floor of a norm", lambda z: jnp.floor(2 * jnp.linalg.norm(z)), 3, "even", (3,)),
    Jumping("box", lambda z: step(jnp.max(jnp.abs(z)) < 1), 2, "even"),
    Jumping("between hyperbolas", lambda z: step(z[0] * z[1] > 0.3), 2, "even"),
    Jumping("above a parabola", lambda z: step(z[0] ** 2 > z[1]), 2, None),
    Jumping("checkerboard", lambda z: jnp.sign(jnp.sin(3 * z[0]) * jnp.sin(3 * z[1])), 2, "even"),
    Jumping("rare event", lambda z: step(z[0] > 3), 1, None),
    Jumping("rare event beside a square", lambda z: step(z[0] > 3) + z[1] ** 2, 2, None),
    Jumping("rare slope", lambda z: jax.nn.relu(z[0] - 3) + jnp.abs(z[1]), 2, None),
    Jumping("rare corner", lambda z: step((z[0] > 1.8) & (z[1] > 1.8)), 2, None),
    Jumping("small jump", lambda z: 1e-4 * jnp.sign(z[0]) + z[1] ** 2, 2, None),
    Jumping("steep slope", lambda z: jnp.tanh(1e8 * z[0]) + z[1] ** 2, 2, None),
    Jumping("many levels", lambda z: jnp.floor(1e6 * z[0]) * 1e-6 + z[1] ** 2, 2, None),
]


class Placed(NamedTuple):
    """A target in R^d: f*(x) = function(first rows of `rotation` times x)."""

    kind: Jumping
    rotation: np.ndarray
    fn: Callable
    inputs: mf.Gaussian | mf.Sphere

    @property
    def hidden(self) -> np.ndarray:
        """Orthonormal basis [k, d] of the true H."""
        rows = np.eye(self.kind.coordinates) if self.kind.span is None else np.asarray(self.kind.span)
        return np.linalg.qr((rows @ self.rotation[: self.kind.coordinates]).T)[0].T


def place(kind: Jumping, seed: int, turned: bool, dim: int = 8, spherical: bool = False) -> Placed:
    """The target along random axes, or along random directions; Gaussian inputs, or a sphere of the same variance."""
    generator = np.random.default_rng((seed, *map(ord, kind.name)))
    rotation = np.linalg.qr(generator.standard_normal((dim, dim)))[0] if turned else np.eye(dim)[generator.permutation(dim)]
    frame = jnp.asarray(rotation[: kind.coordinates], jnp.result_type(float))
    inputs = mf.Sphere(dim, np.sqrt(dim)) if spherical else mf.Gaussian(dim)
    return Placed(kind, rotation, lambda x: kind.function(jnp.matmul(frame, x, precision="highest")), inputs)


def mistakes(found: mf.DetectionReport, placed: Placed) -> list[str]:
    """Where a report differs from the truth; empty if it is right, or says that it cannot tell and claims nothing."""
    kind, hidden = placed.kind, placed.hidden
    wrong = [] if found.parity == kind.parity else [f"parity {found.parity}"]
    if not found.verified:
        structured = found.parity != "odd" and not isinstance(found.target, mf.FunctionTarget)
        return wrong + (["structure without a test"] if structured or found.flips or found.swaps else [])
    if found.dim_h != len(hidden):
        return [*wrong, f"dim_h {found.dim_h}"]
    eps = float(jnp.finfo(jnp.result_type(float)).eps)
    angle = np.linalg.norm(found.basis - found.basis @ hidden.T @ hidden, 2)
    blocks = (1,) * len(hidden) if kind.blocks is None else kind.blocks
    return (
        wrong
        + ([f"angle {angle:.1e}"] if angle > 8 * np.sqrt(eps) and not found.noise else [])
        + ([f"blocks {found.blocks}"] if tuple(sorted(found.blocks)) != blocks else [])
        + contradicted(found, placed)
    )


def contradicted(found: mf.DetectionReport, placed: Placed) -> list[str]:
    """The claims of a report that plain evaluation refutes on more than a share of 10⁻⁴ of some draws."""
    generator = np.random.default_rng(99)
    x, other = (np.asarray(_law(placed, generator)) for _ in range(2))
    value = jax.jit(jax.vmap(placed.fn))
    at = lambda points: np.asarray(value(jnp.asarray(points, jnp.result_type(float))), float)  # noqa: E731
    here, z = at(x), x @ found.basis.T
    images = [("H", 1, _resampled(x, other, found.basis, isinstance(placed.inputs, mf.Sphere)))]
    images += [(f"flip {i}", sign, x - 2 * z[:, [i]] * found.basis[i]) for i, sign in found.flips]
    for i, j, sign in found.swaps:
        mirror = (found.basis[i] - found.basis[j]) / np.sqrt(2)
        images.append((f"swap {i} {j}", sign, x - 2 * (x @ mirror)[:, None] * mirror))
    for block, size in zip(np.split(found.basis, np.cumsum(found.blocks)[:-1]), found.blocks, strict=True):
        if size > 1:
            turn = np.linalg.qr(generator.standard_normal((size, size)))[0]
            images.append((f"block {size}", 1, x + x @ block.T @ (turn - np.eye(size)) @ block))
    tolerance = float(jnp.finfo(jnp.result_type(float)).eps) ** 0.4 * np.std(here)
    shares = [(name, np.mean(np.abs(at(image) - sign * here) > tolerance)) for name, sign, image in images]
    allowed = max(1e-4, 1.0 if found.noise else 0.0)
    return [f"{name} on a share {share:.1e}" for name, share in shares if share > allowed]


def _law(placed: Placed, generator: np.random.Generator) -> np.ndarray:
    x = generator.standard_normal((DRAWS, placed.inputs.dim))
    if isinstance(placed.inputs, mf.Sphere):
        return x * np.sqrt(placed.inputs.dim) / np.linalg.norm(x, axis=1, keepdims=True)
    return x


def _resampled(x: np.ndarray, other: np.ndarray, basis: np.ndarray, spherical: bool) -> np.ndarray:
    along, across = x @ basis.T @ basis, other - other @ basis.T @ basis
    if spherical:
        across = across * (np.linalg.norm(x - along, axis=1) / np.linalg.norm(across, axis=1))[:, None]
    return along + across
