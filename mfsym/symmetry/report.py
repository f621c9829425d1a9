"""What detection found, as data and as a sentence."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ..problem.targets import AbstractTarget
from .evaluation import Evidence

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class DetectionReport(eqx.Module):
    """The structure of f* that `mf.detect` found. It prints as a sentence; `target` states it, to go on with.

    - `dim` d, `basis` [k, d]: orthonormal coordinates of H; the blocks below fill them in order.
    - `singular_values` [d] of the gradients and of the normals of jumps, their `threshold`, and the `gap` of the last one
      inside to the next.
    - `parity`: "even", "odd" or None. `radial`: whether f* is a function of ‖x_H‖.
    - `blocks`: dimensions of the parts of H that f* sees by their norms (`block_radial`), or of the parts that it can be
      rotated in and single coordinates; `weights`: β_i where f* = Σ β_i ‖x_{block i}‖, otherwise None.
    - `flips` (i, s), `swaps` (i, j, s): sign of f* when coordinate i changes sign, or i and j change places.
    - `noise`: standard deviation of the noise in f*, 0 where there is none above rounding.
    - `evidence`: every claim that was accepted, `rejected` the others, each with defect, standard error, threshold, the
      number of inputs that tested it and the share of them at which a violation would have been seen (`rarest`).
    - `verified`: False where no subspace passed the test on values; then `basis` spans everything, and nothing is reduced.
    """

    dim: int = eqx.field(static=True)
    basis: Float[np.ndarray, "k d"]
    singular_values: Float[np.ndarray, " n"]
    threshold: float = eqx.field(static=True)
    gap: float = eqx.field(static=True)
    parity: str | None = eqx.field(static=True)
    radial: bool = eqx.field(static=True)
    block_radial: bool = eqx.field(static=True)
    blocks: tuple[int, ...] = eqx.field(static=True)
    weights: tuple[float, ...] | None = eqx.field(static=True)
    flips: tuple[tuple[int, int], ...] = eqx.field(static=True)
    swaps: tuple[tuple[int, int, int], ...] = eqx.field(static=True)
    noise: float = eqx.field(static=True)
    evidence: tuple[Evidence, ...] = eqx.field(static=True)
    rejected: tuple[Evidence, ...] = eqx.field(static=True)
    verified: bool = eqx.field(static=True)
    target: AbstractTarget

    @property
    def dim_h(self) -> int:
        """Dimension k of H."""
        return len(self.basis)

    @property
    def angles(self) -> int:
        """How many angles the law of the neurons needs: one less than blocks and coordinates, the remainder included."""
        return max(0, len(self.blocks) + (self.dim_h < self.dim) - 1)

    @property
    def largest_defect(self) -> float:
        """The largest defect among the claims that were accepted."""
        return max((each.defect for each in self.evidence), default=0.0)

    @property
    def rarest(self) -> float:
        """The power of the report: violations of any of its claims on this share of the inputs would have been seen, in 95
        of 100 cases, where they change f* by its own spread; rarer ones may be there."""
        return max((each.rarest for each in self.evidence), default=1.0)

    def sentence(self) -> str:
        """The report as one sentence, with the power of the tests behind it."""
        if not self.dim_h:
            return f"f* is constant on the inputs ({self._tests()})."
        parity = f"is {self.parity}" if self.parity else "is neither even nor odd"
        noise = f"; noise of standard deviation {self.noise:.2g}" if self.noise > 0 else ""
        return f"f* {self._depends()}, {parity}, and {self._structure()}: {self._conclusion()} ({self._tests()}{noise})."

    def _tests(self) -> str:
        """How the claims did on inputs that did not serve to find them, and what would have been seen there."""
        if not self.evidence:
            return "no claim passed its test"
        worst = max(self.evidence, key=lambda each: each.defect)
        threshold = max(each.threshold for each in self.evidence)
        numbers = f"largest defect {worst.defect:.1g} ± {worst.error:.1g}, threshold {threshold:.1g}"
        return f"{numbers}; a violation on {100 * self.rarest:.2g} % of the inputs would have been seen"

    def _depends(self) -> str:
        if not self.verified:
            return f"depends on directions that could not be told apart among {self.dim}"
        if self.dim_h == self.dim:
            return f"depends on all {self.dim} directions"
        return f"depends on {self.dim_h} of {self.dim} directions"

    def _structure(self) -> str:
        if self.radial and self.dim_h > 1:
            return "is invariant under rotations of them"
        listed = ", ".join(map(str, self.blocks))
        if self.block_radial and len(self.blocks) > 1:
            return f"sees blocks of {listed} of them by their norms only"
        if max(self.blocks, default=1) > 1:
            return f"can be rotated within blocks of {listed} of them"
        if self.dim_h == 1:
            return "is a function of one coordinate"
        found = {verb: self._moves(sign) for verb, sign in (("keeps", 1), ("changes", -1))}
        words = [f"{verb} its sign under " + ", ".join(moves) for verb, moves in found.items() if moves]
        return " and ".join(words) or "shows no other symmetry"

    def _moves(self, sign: int) -> list[str]:
        """Flips and swaps with one sign in words; coordinates of which all pairs swap can be permuted."""
        flips = [i for i, s in self.flips if s == sign]
        moves = [f"flips of {_coordinates(flips)}"] if flips else []
        swaps = [(i, j) for i, j, s in self.swaps if s == sign]
        for group in _permuted(swaps) if sign > 0 else []:
            moves.append(f"permutations of {_coordinates(group)}")
            swaps = [pair for pair in swaps if not set(pair) <= set(group)]
        return moves + [f"swaps of {_coordinates(pair)}" for pair in swaps]

    def _conclusion(self) -> str:
        if self.parity == "odd":
            return "the network stays linear, no angle is needed"
        if self.angles == 0:
            return "no angle is left"
        count = _NUMBERS[self.angles] if self.angles < len(_NUMBERS) else str(self.angles)
        if self.angles == 1:
            return f"{count} angle suffices"
        return f"{count} angles suffice" if self.angles <= 3 else f"{count} angles would be needed"

    def __repr__(self) -> str:
        return self.sentence()


def _coordinates(indices: Sequence[int]) -> str:
    """Coordinates by their numbers from 1 on: coordinate 1; coordinates 1, 2 and 5."""
    *first, last = (str(i + 1) for i in indices)
    return f"coordinates {', '.join(first)} and {last}" if first else f"coordinate {last}"


def _permuted(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Sets of three or more coordinates of which every pair is listed, each coordinate in one set at most."""
    groups: list[list[int]] = []
    for i in sorted({i for pair in pairs for i in pair}):
        fitting = [group for group in groups if all((j, i) in pairs for j in group)]
        if fitting:
            fitting[0].append(i)
        else:
            groups.append([i])
    return [group for group in groups if len(group) > 2]
