"""Scrambled Sobol points, for clouds and for the comparison of functions (host, float64)."""

import numpy as np
from scipy.special import ndtri


def unit_points(count: int, dim: int, generator: np.random.Generator) -> np.ndarray:
    """Points of the unit cube, [count, dim]."""
    from scipy.stats import qmc  # scipy.stats takes as long to import as everything else together

    sequence = qmc.Sobol(dim, seed=generator)  # pyright: ignore[reportCallIssue]  # rng= from scipy 1.15 on
    return sequence.random_base2(max(0, (count - 1).bit_length()))[:count]


def to_normal(points: np.ndarray) -> np.ndarray:
    """Points of the unit cube mapped to the normal law; a scrambled point may be 0, and stays finite."""
    return ndtri(np.clip(points, 2.0**-33, 1 - 2.0**-33))
