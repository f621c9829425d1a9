"""A readable basis of a space of laws: few terms in each, with small rational coefficients."""

import numpy as np
from jaxtyping import Float

_STEPS, _LAST_STEPS = 30, 6
_DENOMINATOR = 12


def sparse_basis(space: Float[np.ndarray, "k p"], free: Float[np.ndarray, "q p"]) -> Float[np.ndarray, "k p"]:
    """k vectors that span `space` beside `free`, with few entries each; what is free may be added to any of them.

    Of what is left of the space a direction d is taken that no free vector sees, and the vector with d·v = 1 and the least
    sum of |v|, by least squares with weights 1/√(v² + ε²) and ε falling to rounding (iteratively reweighted). Where two sums
    nearly tie that is slow, and a few steps with the weights 1/(v² + ε²) settle it.
    """
    together = np.concatenate([space, free])
    found: list[np.ndarray] = []
    left = space - (space @ free.T) @ free
    left = np.linalg.svd(left, full_matrices=False)[2] if len(left) else left
    while len(left):
        place = int(np.argmax(np.linalg.norm(left, axis=0)))
        vector = _readable(together, left[:, place] @ left)
        found.append(vector)
        explained = left @ vector
        left = np.linalg.svd(explained[None])[2][1:] @ left
    return np.array(found).reshape(len(found), space.shape[1])


def _readable(rows: Float[np.ndarray, "k p"], direction: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """The combination of rows with the least sum of |v| and a part along a direction, in small fractions if it can be."""
    target = rows @ direction
    found = rows.T @ target / (target @ target)
    for step in range(_STEPS):
        found = _lighter(rows, target, found, max(10.0 ** (-step / 2), 1e-10), 1)
    settled = found
    for _ in range(_LAST_STEPS):
        settled = _lighter(rows, target, settled, 1e-5, 2)
    fractions = (_fractions(vector / np.max(np.abs(vector))) for vector in (found, settled))
    return next((vector for vector in fractions if vector is not None), _cleaned(found / np.max(np.abs(found))))


def _lighter(
    rows: Float[np.ndarray, "k p"],
    target: Float[np.ndarray, " k"],
    vector: Float[np.ndarray, " p"],
    least: float,
    power: int,
) -> Float[np.ndarray, " p"]:
    """The combination with the least sum of squares over (v² + ε²)^(power/2), of the vector v before."""
    epsilon = least * np.max(np.abs(vector))
    weighted = (rows / np.sqrt(vector**2 + epsilon**2) ** power) @ rows.T
    y = np.linalg.solve(weighted + 1e-14 * np.trace(weighted) * np.eye(len(rows)), target)
    return rows.T @ (y / (target @ y))


def _cleaned(vector: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    return np.where(np.abs(vector) < 1e-7, 0.0, vector)


def _fractions(vector: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"] | None:
    """Small fractions in place of what rounding made of them, None where an entry is none."""
    near = np.round(vector * _DENOMINATOR) / _DENOMINATOR
    return near if np.max(np.abs(near - vector)) < 1e-5 else None
