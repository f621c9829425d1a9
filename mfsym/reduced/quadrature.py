"""Rules on the interval of one angle: quadrature nodes of labels, and equal cells (host, float64)."""

import numpy as np


def interval_end(signed: bool) -> float:
    """π for the angle to an axis, π/2 for the angle to a subspace."""
    return float(np.pi if signed else np.pi / 2)


def node_rule(count: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Fejér's second rule on (0, end): `count` interior nodes, nested in the rule with 2·count + 1 (host, float64).

    The initial density is smooth and known in closed form, so its integrals against the smooth flow map converge
    spectrally; log-densities keep neurons that are exponentially rare.
    """
    angles = np.arange(1, count + 1) * np.pi / (count + 1)
    orders = np.arange(1, (count + 1) // 2 + 1)
    series = np.sin(np.outer(angles, 2 * orders - 1)) / (2 * orders - 1)
    weights = 4 * np.sin(angles) / (count + 1) * series.sum(axis=1)
    return end * (1 - np.cos(angles)) / 2, end * weights / 2


def grid(cells: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres [cells] and faces [cells + 1] of equal cells of [0, end] (host, float64)."""
    faces = np.linspace(0.0, end, cells + 1)
    return (faces[1:] + faces[:-1]) / 2, faces
