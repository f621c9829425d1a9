"""Rotations inside H that leave f* as it is: the Lie algebra of its symmetry group, and the blocks that it rotates.

f* is invariant under the rotations exp(tA), A antisymmetric, if and only if ∇f*(x)·A x = 0 for all x: linear equations in A.
Their solutions are the Lie algebra of all rotations of H that f* does not see. If it is ⊕ so(V_i), then f* is a function
of the norms in the blocks V_i, dim V_i ≥ 2, and of the coordinates in what is left. (Derived.)
"""

from typing import NamedTuple

import numpy as np

from .evaluation import Evidence, Sampled
from .jumps import Derivative

LARGEST = 32  # dimension of H up to which partial rotations are looked for: 496 unknowns


class Blocks(NamedTuple):
    """Blocks V_i that f* sees by their norms only, each [d_i, d], the rest [k_0, d] of H, and the evidence of each."""

    rotated: tuple[np.ndarray, ...]
    rest: np.ndarray
    evidence: tuple[Evidence, ...]


def whole_rotation(sampled: Sampled, basis: np.ndarray, allowance: float) -> Evidence:
    """Evidence that f* is a function of ‖x_H‖: every point against one with a new direction of x_H."""
    return _turn(sampled, basis, "f* is a function of the norm of x_H", allowance)


def _turn(sampled: Sampled, block: np.ndarray, claim: str, allowance: float) -> Evidence:
    x = sampled.draws
    inside = x @ block.T
    if len(block) == 1:
        turned = -inside
    else:
        direction = sampled.fresh() @ block.T
        length = np.linalg.norm(inside, axis=1, keepdims=True)
        turned = length * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return sampled.compare(claim, x + (turned - inside) @ block, allowance=allowance)


def seen_by_norm(sampled: Sampled, block: np.ndarray, allowance: float) -> Evidence:
    """Evidence that rotations inside one block [n, d] of H leave f* as it is."""
    return _turn(sampled, block, f"f* sees {len(block)} directions of H by their norm only", allowance)


def find_blocks(sampled: Sampled, basis: np.ndarray, derivative: Derivative, allowance: float) -> Blocks:
    """The finest blocks of H whose rotations leave f* as it is; none where f* is noisy or H is large."""
    count = len(basis)
    nothing = Blocks((), basis, ())
    if sampled.noisy or not 2 <= count <= LARGEST:
        return nothing
    generators = _lie_algebra(sampled, basis, derivative)
    if not len(generators):
        return nothing
    casimir = -np.sum(generators @ generators, axis=0)
    weights, vectors = np.linalg.eigh(casimir)
    moved = vectors[:, weights > 1e-6].T
    parts = _irreducible(generators, moved)
    if sum(len(part) * (len(part) - 1) // 2 for part in parts) != len(generators):
        return nothing  # rotations that tie blocks together: not a product of O(d_i)
    blocks = [part @ basis for part in parts]
    evidence = [seen_by_norm(sampled, block, allowance) for block in blocks]
    held = [each.holds for each in evidence]  # jumps that were not met may forbid some of the rotations
    rest = [block for block, holds in zip(blocks, held, strict=True) if not holds]
    rotated = [block for block, holds in zip(blocks, held, strict=True) if holds]
    fixed = np.concatenate([vectors[:, weights <= 1e-6].T @ basis, *rest])
    return Blocks(tuple(rotated), fixed, tuple(each for each in evidence if each.holds))


def _lie_algebra(sampled: Sampled, basis: np.ndarray, derivative: Derivative) -> np.ndarray:
    """An orthonormal basis [r, k, k] of the antisymmetric A with ∇f*(x)·A x = 0, or n·A x = 0 at a jump, at every point."""
    count = len(basis)
    z, slopes = derivative.points @ basis.T, derivative.rows @ basis.T
    i, j = np.triu_indices(count, 1)
    equations = slopes[:, i] * z[:, j] - slopes[:, j] * z[:, i]
    size = np.linalg.norm(slopes) * sampled.scale
    triangle = np.linalg.qr(equations, mode="r")  # more points than unknowns: a small matrix with the same null space
    _, singular, solutions = np.linalg.svd(triangle)
    free = solutions[singular <= np.sqrt(sampled.eps) * size]
    generators = np.zeros((len(free), count, count))
    generators[:, i, j] = free / np.sqrt(2)
    return generators - generators.transpose(0, 2, 1)


def _irreducible(generators: np.ndarray, moved: np.ndarray) -> list[np.ndarray]:
    """Split the space [n, k] that the generators move into the eigenspaces of one matrix that commutes with them all."""
    inner = moved @ generators @ moved.T
    count, draws = len(moved), np.random.default_rng(2)
    mixed = [np.tensordot(draws.standard_normal(len(inner)), inner, 1) for _ in range(3)]  # these three generate the rest
    i, j = np.triu_indices(count)
    units = np.zeros((len(i), count, count))
    units[np.arange(len(i)), i, j] = units[np.arange(len(i)), j, i] = 1.0
    equations = np.concatenate([(units @ each - each @ units).reshape(len(i), -1) for each in mixed], axis=1)
    values, vectors = np.linalg.eigh(equations @ equations.T)
    commuting = vectors[:, values <= 1e-10 * values[-1]] if values[-1] > 0 else vectors
    generic = np.tensordot(commuting @ draws.standard_normal(commuting.shape[1]), units, 1)
    levels, axes = np.linalg.eigh(generic)
    cuts = np.flatnonzero(np.diff(levels) > 1e-6 * np.ptp(levels)) + 1 if np.ptp(levels) > 1e-8 * abs(levels).max() else []
    return [axes[:, group].T @ moved for group in np.split(np.arange(count), cuts)]
