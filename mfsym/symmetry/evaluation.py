"""Values and gradients of a bare function at host points, its noise, and the comparison of it with its image."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..errors import Words, argument_error, is_traced, no_reduction
from ..problem.inputs import AbstractIsotropicInputs
from ..products import with_all_digits
from .points import coordinate_scale, law_draws, law_points

ROWS = 1024  # every evaluation has this many rows, so that one compilation serves all
_SEED = 20221117
_DRAWS = 16 * ROWS  # on which a claim is tested: what 2 of 10⁴ inputs violate is seen
_FEWEST_DRAWS = 4 * ROWS
_MOST_NUMBERS = 2**22  # in one set of draws
_NOISE_MARGIN = 1.5  # above the defect that noise alone has; calibrated on seeds of its own
_SHAKEN = 1 / 8  # of the inputs: fewer that a tiny step changes lie at jumps, and are no noise
_MISSED, _ONE_SIDED = 0.05, 1.645  # probability of not seeing a violation, and the normal quantile of the rest
_UNDER_A_TRACE = (
    "State the structure (mf.SingleIndex, mf.SubspaceNorm, mf.Rotated, parity=), "
    "or run mf.detect once outside of jit, grad and vmap and go on with report.target."
)


class Evidence(NamedTuple):
    """One claim: the defect that was measured (relative mean square), its standard error, what it may be at most, and
    the number of independent inputs on which it was measured, none of which served to find the claim."""

    claim: str
    defect: float
    error: float
    threshold: float
    draws: int

    @property
    def holds(self) -> bool:
        """Whether the defect is below the threshold."""
        return self.defect <= self.threshold

    @property
    def rarest(self) -> float:
        """The power of the test: the smallest share p of the inputs on which a violation would have been seen in 95 of 100
        cases, where it changes f* by its own spread.

        One violation is enough without noise, 1 − (1 − p)ⁿ = 0.95; with it the defect p must stand out of the noise.
        """
        return max(1 - _MISSED ** (1 / self.draws), self.threshold + _ONE_SIDED * self.error)


def check_concrete(*trees: PyTree) -> None:
    """Raise NoReductionError under a trace: detection must see numbers."""
    staged = jnp.ones(()) + 1  # a tracer inside of jit, even of constants
    if any(is_traced(leaf) for leaf in (staged, *jax.tree.leaves(trees))):
        raise no_reduction("detection evaluates the target, which a trace does not allow", _UNDER_A_TRACE)


class Sampled:
    """A function f* on a law of inputs: the one place where detection calls it.

    - `points` [n, d], `values` [n]: quasi-random, where structure is looked for.
    - `draws` [N, d], `drawn` [N]: independent inputs and f* there, where what was found is tested.
    - `mean_square` = E f*², `variance` of f*.
    - `eps` of the floating type: a defect below it, √eps in f*, is rounding.
    - `noise`: variance of the part of f* that a step of eps^0.4 already changes, from second differences; `noisy`
      where it is above rounding.
    """

    def __init__(self, function: Callable[[Array], Array], inputs: AbstractIsotropicInputs):
        self.inputs, self.dim = inputs, inputs.dim
        self.dtype = jnp.result_type(float)
        self.eps = float(jnp.finfo(self.dtype).eps)
        self.scale = coordinate_scale(inputs)
        function = with_all_digits(function)
        self._values, self._gradients = jax.jit(jax.vmap(function)), jax.jit(jax.vmap(jax.grad(function)))
        self.differentiable = True
        self.points = law_points(inputs, max(2 * ROWS, ROWS * -(-4 * self.dim // ROWS)))
        self.values = self.at(self.points)
        self._generator = np.random.default_rng(_SEED)
        self.draw_again()
        self.noise = self._noise_variance()
        self.noisy = self.noise > self.eps * self.variance > 0

    def draw_again(self) -> None:
        """New draws to test on, after the old ones have served to find something."""
        self.draws = self.fresh()
        self.drawn = self.at(self.draws)
        everywhere = np.concatenate([self.values, self.drawn])
        self.mean_square, self.variance = float(np.mean(everywhere**2)), float(np.var(everywhere))

    def fresh(self) -> np.ndarray:
        """Inputs [N, d] independent of all others."""
        count = min(_DRAWS, max(_FEWEST_DRAWS, ROWS * (_MOST_NUMBERS // (ROWS * self.dim))))
        return law_draws(self.inputs, count, self._generator)

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
        return self._differences(x, space)

    def _differences(self, x: np.ndarray, space: np.ndarray) -> np.ndarray:
        """Central differences [n, k]; none where f* jumps in between."""
        step, here = self.eps ** (1 / 3) * self.scale, self.at(x)
        after, before = (np.stack([self.at(x + s * step * row) for row in space], axis=1) for s in (1, -1))
        whole = np.all(np.abs(after - 2 * here[:, None] + before) <= np.sqrt(self.eps * self.variance), axis=1)
        return np.where(whole[:, None], (after - before) / (2 * step), 0.0)

    def _in_chunks(self, function: Callable[[Array], Array], x: np.ndarray) -> np.ndarray:
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
        second = (self.at(x + move) - 2 * self.values[:ROWS] + self.at(x - move)) ** 2 / 6
        shaken = np.quantile(second, 1 - _SHAKEN) > self.eps * self.variance
        return float(np.mean(second)) if shaken else 0.0

    def compare(self, claim: str, images: np.ndarray, sign: float = 1.0, allowance: float = 0.0) -> Evidence:
        """Evidence for f*(image) = sign f*(x), the images [N, d] being those of the draws."""
        return self.evidence(claim, self.at(images) - sign * self.drawn, sign, allowance)

    def evidence(self, claim: str, gaps: np.ndarray, sign: float = 1.0, allowance: float = 0.0) -> Evidence:
        """E(f*(Tx) − s f*(x))², from its gaps [N], over twice the variance (s = 1) or E f*² (s = −1).

        The standard error is that of a ratio: squares and scale come from the same draws. `allowance` is the part that the
        error of an estimated subspace may have in the defect.
        """
        whole = self.whole(sign)
        squares = gaps**2 / (whole or 1.0)
        sizes = 2 * (self.drawn - (np.mean(self.drawn) if sign > 0 else 0.0)) ** 2 / (whole or 1.0)
        defect = float(np.mean(squares))
        error = float(np.std(squares - defect * sizes) / np.sqrt(len(squares)))
        return Evidence(claim, defect, error, self.threshold(whole, allowance), len(squares))

    def whole(self, sign: float) -> float:
        """What the gaps of unrelated values would have: the scale of every defect."""
        return 2 * (self.variance if sign > 0 else self.mean_square)

    def threshold(self, whole: float, allowance: float) -> float:
        """The largest defect that counts as none: rounding, or half as much again as noise gives, 2·noise/whole."""
        return _NOISE_MARGIN * (2 * self.noise / whole + allowance) if self.noisy else self.eps + allowance
