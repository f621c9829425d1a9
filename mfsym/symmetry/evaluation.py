"""Values and gradients of a bare function at host points, its noise, and the comparison of it with its image."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import Words, argument_error, is_traced, no_reduction
from ..problem.inputs import Gaussian, Sphere
from .points import coordinate_scale, law_points

ROWS = 1024  # every evaluation has this many rows, so that one compilation serves all
_NOISE_MARGIN = 1.5  # above the defect that noise alone has; calibrated on seeds of its own
_UNDER_A_TRACE = (
    "State the structure (mf.SingleIndex, mf.SubspaceNorm, mf.Rotated, parity=), "
    "or run mf.detect once outside of jit, grad and vmap and go on with report.target."
)


class Evidence(NamedTuple):
    """One claim: the defect that was measured (relative mean square), its sampling error, and what it may be at most."""

    claim: str
    defect: float
    error: float
    threshold: float

    @property
    def holds(self) -> bool:
        """Whether the defect is below the threshold."""
        return self.defect <= self.threshold


def check_concrete(*trees: Any) -> None:
    """Raise NoReductionError under a trace: detection must see numbers."""
    staged = jnp.ones(()) + 1  # a tracer inside of jit, even of constants
    if any(is_traced(leaf) for leaf in (staged, *jax.tree.leaves(trees))):
        raise no_reduction("detection evaluates the target, which a trace does not allow", _UNDER_A_TRACE)


class Sampled:
    """A function f* on the fixed points of a law: the one place where detection calls it.

    - `points` [n, d], `values` [n]; `mean_square` = E f*², `variance` of f*.
    - `eps` of the floating type: a defect below it, √eps in f*, is rounding.
    - `noise`: variance of the part of f* that a step of eps^0.4 already changes, from second differences; `noisy`
      where it is above rounding.
    """

    def __init__(self, function: Callable[..., Any], inputs: Gaussian | Sphere):
        self.inputs, self.dim = inputs, inputs.dim
        self.dtype = jnp.result_type(float)
        self.eps = float(jnp.finfo(self.dtype).eps)
        self.scale = coordinate_scale(inputs)
        self._values, self._gradients = jax.jit(jax.vmap(function)), jax.jit(jax.vmap(jax.grad(function)))
        self.differentiable = True
        self.points = self.fresh(0)
        self.values = self.at(self.points)
        self.mean_square, self.variance = float(np.mean(self.values**2)), float(np.var(self.values))
        self.noise = self._noise_variance()
        self.noisy = self.noise > self.eps * self.variance > 0

    def fresh(self, stream: int) -> np.ndarray:
        """Another fixed set of points of the law, [n, d]; more of them in very high dimension."""
        count = ROWS * -(-4 * self.dim // ROWS)
        return law_points(self.inputs, max(2 * ROWS, count), stream)

    def at(self, x: np.ndarray) -> np.ndarray:
        """f* at every row, [n] (host, float64)."""
        return self._in_chunks(self._values, x)

    def slopes(self, x: np.ndarray, space: np.ndarray) -> np.ndarray:
        """Derivatives of f* along the orthonormal rows of `space` [k, d] at every row of x, [n, k].

        By automatic differentiation, or by central differences where f* has none.
        """
        if self.differentiable:
            try:
                found = self._in_chunks(self._gradients, x)
                if np.all(np.isfinite(found)):
                    return found @ space.T
            except Exception:  # whatever a foreign function raises: it has no derivative
                pass
            self.differentiable = False
        step = self.eps ** (1 / 3) * self.scale
        moves = step * space
        return np.stack([(self.at(x + move) - self.at(x - move)) / (2 * step) for move in moves], axis=1)

    def _in_chunks(self, function: Callable[..., Any], x: np.ndarray) -> np.ndarray:
        rows = []
        for start in range(0, len(x), ROWS):
            chunk = x[start : start + ROWS]
            padded = np.concatenate([chunk, np.repeat(chunk[:1], ROWS - len(chunk), axis=0)])
            rows.append(np.asarray(function(jnp.asarray(padded, self.dtype)), dtype=float)[: len(chunk)])
        found = np.concatenate(rows)
        if function is self._values and not np.all(np.isfinite(found)):
            raise argument_error(
                "fn", "finite on the inputs", Words("infinite or nan at some of them"), "Check its formula."
            )
        return found

    def _noise_variance(self) -> float:
        """A smooth f* has second differences of order step²; those of noise do not shrink and have variance 6 times it."""
        x = self.points[:ROWS]
        directions = np.random.default_rng(1).standard_normal(x.shape) / np.sqrt(self.dim)
        move = self.eps**0.4 * self.scale * directions
        second = self.at(x + move) - 2 * self.values[:ROWS] + self.at(x - move)
        return float(np.mean(second**2)) / 6

    def compare(self, claim: str, images: np.ndarray, sign: float = 1.0, allowance: float = 0.0) -> Evidence:
        """Evidence for f*(image) = sign f*(x): E(f*(Tx) − s f*(x))² over twice the variance (s = 1) or E f*² (s = −1).

        `allowance` is the part that the error of an estimated subspace may have in the defect of a noisy function.
        """
        whole = 2 * (self.variance if sign > 0 else self.mean_square)
        squares = (self.at(images) - sign * self.values) ** 2 / (whole or 1.0)
        error = float(np.std(squares) / np.sqrt(len(squares)))
        return Evidence(claim, float(np.mean(squares)), error, self.threshold(whole, allowance))

    def threshold(self, whole: float, allowance: float) -> float:
        """The largest defect that counts as none: rounding, or half as much again as noise gives, 2·noise/whole."""
        return _NOISE_MARGIN * (2 * self.noise / whole + allowance) if self.noisy else self.eps
