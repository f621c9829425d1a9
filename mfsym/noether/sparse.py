"""A readable basis of a space of laws: few terms in each, with small rational coefficients."""

import numpy as np
from jaxtyping import Float

_STEPS = 30
_DENOMINATOR = 12


def sparse_basis(space: Float[np.ndarray, "k p"], free: Float[np.ndarray, "q p"]) -> Float[np.ndarray, "k p"]:
    """k vectors that span `space` beside `free`, with few entries each; what is free may be added to any of them.

    Of what is left of the space a direction d is taken that no free vector sees, and the vector with d·v = 1 and the least
    sum of |v|, by least squares with weights 1/√(v² + ε²) and ε falling to rounding (iteratively reweighted).
    """
    together = np.concatenate([space, free])
    found: list[np.ndarray] = []
    left = space - (space @ free.T) @ free
    left = np.linalg.svd(left, full_matrices=False)[2] if len(left) else left
    while len(left):
        place = int(np.argmax(np.linalg.norm(left, axis=0)))
        vector = _rational(_sparsest(together, left[:, place] @ left))
        found.append(vector)
        explained = left @ vector
        left = np.linalg.svd(explained[None])[2][1:] @ left
    return np.array(found).reshape(len(found), space.shape[1])


def _sparsest(rows: Float[np.ndarray, "k p"], direction: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """The combination of rows with the least sum of |v| and a part along a direction, its largest entry 1."""
    target = rows @ direction
    vector = rows.T @ target / (target @ target)
    for step in range(_STEPS):
        epsilon = max(10.0 ** (-step / 2), 1e-10) * np.max(np.abs(vector))
        weighted = (rows / np.sqrt(vector**2 + epsilon**2)) @ rows.T
        y = np.linalg.solve(weighted + 1e-14 * np.trace(weighted) * np.eye(len(rows)), target)
        vector = rows.T @ (y / (target @ y))
    vector /= np.max(np.abs(vector))
    return np.where(np.abs(vector) < 1e-7, 0.0, vector)


def _rational(vector: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """Small fractions in place of what rounding made of them, where all entries are such."""
    near = np.round(vector * _DENOMINATOR) / _DENOMINATOR
    return near if np.max(np.abs(near - vector)) < 1e-5 else vector
