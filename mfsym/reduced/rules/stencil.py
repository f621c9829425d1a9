"""Polynomials with given means in the cells of a grid, and their values at the Gauss–Lobatto points (host, float64)."""

import numpy as np

from .quadrature import grid

_LOBATTO = np.array([-0.5, -0.5 / np.sqrt(5), 0.5 / np.sqrt(5), 0.5])
LOBATTO_WEIGHTS = np.array([1, 5, 5, 1]) / 12


def reconstruction_stencil(half_width: int) -> np.ndarray:
    """Values [4, 2·half_width+1] at the Lobatto points of the polynomial with given means in the cells of the stencil."""
    return _LOBATTO[:, None] ** np.arange(2 * half_width + 1) @ stencil_polynomials(half_width)


def stencil_polynomials(half_width: int) -> np.ndarray:
    """Coefficients (power, cell of the stencil) of the polynomial with given means; the centre cell is [−½, ½]."""
    offsets = np.arange(-half_width, half_width + 1)
    powers = np.arange(2 * half_width + 1)
    upper, lower = ((offsets[:, None] + side) ** (powers + 1.0) / (powers + 1) for side in (0.5, -0.5))
    return np.linalg.inv(upper - lower)


def lobatto_points(cells: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Lobatto points [4, cells] of equal cells of [0, end] and their weights [4] (host)."""
    cell = end / cells
    return grid(cells, end)[0] + cell * _LOBATTO[:, None], cell * LOBATTO_WEIGHTS
