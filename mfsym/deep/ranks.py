"""How many directions a layer uses: numbers of features [N, m] at N inputs."""

import numpy as np

from ..errors import float_array, positive_number
from ..types import RealArrayLike, RealLike


def _singular_values(h: RealArrayLike) -> np.ndarray:
    return np.linalg.svd(np.asarray(float_array("h", h, 2, "Pass features [N, m].")), compute_uv=False)


def numerical_rank(h: RealArrayLike, *, tolerance: RealLike = 1e-3) -> int:
    """The number of singular values of h [N, m] above `tolerance` times the largest."""
    level = float(positive_number("tolerance", tolerance, "It is a share of the largest singular value."))
    values = _singular_values(h)
    return int(np.sum(values > level * values[0]))


def trace_rank(h: RealArrayLike) -> float:
    """(Σ s²)²/Σ s⁴ of the singular values of h [N, m]: n if n of them are equal and the others 0."""
    squares = _singular_values(h) ** 2
    total = float(np.sum(squares**2))
    return float(np.sum(squares) ** 2 / total) if total > 0 else 0.0
