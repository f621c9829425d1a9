"""What the grid needs of the features: their moments against cell means, and sums of them at faces and Lobatto points.

The even features are polynomials of cos 2θ of degree below M, whatever the dimensions, so that they are known from their
values at M Chebyshev nodes: ψ_n(θ) = Σ_j ψ_n(θ_j) ℓ_j(θ). Only the small matrix ψ_n(θ_j) belongs to a problem; the large
tables of ℓ_j belong to the grid. In a batch of problems they are shared, and products with them are products of
matrices. Interpolation at Chebyshev nodes loses no more than round-off times √K(θ, θ), the bound of the features.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..rules.quadrature import grid
from ..rules.stencil import lobatto_points, reconstruction_stencil
from .angle_reduction import AngleReduction

_HIGHEST = jax.lax.Precision.HIGHEST


class FeatureMoments(eqx.Module):
    """∫ψ_n dτ as a linear function of the cell means, ghost cells included: `own` [M, N] times `shared` [N, ghosted].

    Without `own` the shared functions are the features themselves.
    """

    own: Float[Array, "M N"] | None
    shared: Float[Array, "N ghosted"]

    def __call__(self, means: Float[Array, " ghosted"]) -> Float[Array, " M"]:
        """The moments of one density."""
        moments = jnp.matmul(self.shared, means, precision=_HIGHEST)
        return moments if self.own is None else jnp.matmul(self.own, moments, precision=_HIGHEST)


class GridTables(eqx.Module):
    """Everything that is fixed during a run.

    `points` [N, ·]: the shared functions at the faces, their slopes there, and the functions at the two inner Lobatto
    points of every cell. `averages` [3, ghosted]: the integrals of cos²θ, θ² and (end − θ)².
    """

    moments: FeatureMoments
    all_moments: FeatureMoments
    points: Float[Array, "N points"]
    averages: Float[Array, "3 ghosted"]

    def synthesise(self, forces: Float[Array, " M"]) -> Float[Array, " points"]:
        """Σ_n forces_n ψ_n at all points, and its slope at the faces."""
        own = self.moments.own
        forces = forces if own is None else jnp.matmul(forces, own, precision=_HIGHEST)
        return jnp.matmul(forces, self.points, precision=_HIGHEST)


def grid_tables(reduction: AngleReduction, half_width: int) -> GridTables:
    """The tables of a reduction for a reconstruction from 2·half_width + 1 cells."""
    cells, end = reduction.cells, reduction.end
    lobatto, _ = lobatto_points(cells, end)
    own, functions = _functions(reduction.resolved())
    own_all, functions_all = _functions(reduction)
    values, slopes = functions(np.concatenate([grid(cells, end)[1], lobatto[1], lobatto[2]]))
    faces, inner = values[:, : cells + 1], values[:, cells + 1 :]
    inside = np.r_[0.0, np.ones(cells - 1), 0.0].astype(slopes.dtype)  # V = 0 at both ends by symmetry: no flux
    points = _join([faces, slopes[:, : cells + 1] * inside[None], inner])
    squares = np.stack([np.cos(lobatto) ** 2, lobatto**2, (end - lobatto) ** 2])

    def cast(table):
        return jnp.asarray(table, reduction.dtype)

    def moments(at_points):
        return _functionals(at_points.reshape(-1, 4, cells), end, half_width)

    return GridTables(
        moments=FeatureMoments(own, cast(moments(functions(lobatto.ravel())[0]))),
        all_moments=FeatureMoments(own_all, cast(moments(functions_all(lobatto.ravel())[0]))),
        points=cast(points),
        averages=cast(moments(squares)),
    )


def _functions(reduction: AngleReduction) -> tuple[Array | None, Callable[[Any], tuple[Any, Any]]]:
    """The matrix of a reduction's own [M, N], and the shared functions with their slopes, θ ↦ [N, ...] twice."""
    features = reduction.features
    if features.stretch is not None:  # then the features are not polynomials of cos 2θ
        return None, lambda theta: features(jnp.asarray(theta, reduction.dtype))
    count = len(features.even)
    angles = (2 * np.arange(count) + 1) * np.pi / (4 * count)
    own, _ = features.even(jnp.asarray(angles, reduction.dtype))
    if features.linear is not None:
        own = jax.scipy.linalg.block_diag(own, features.linear[None, None])
    return own, lambda theta: _interpolation(angles, theta, signed=features.linear is not None)


def _interpolation(angles: np.ndarray, theta: np.ndarray, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """ℓ_j(θ), polynomials of cos 2θ that are 1 at one of the Chebyshev nodes `angles` and 0 at the others, and ∂_θ ℓ_j.

    On a signed angle cos θ comes last.
    """
    orders = np.arange(len(angles))
    at_nodes = np.cos(2 * np.outer(angles, orders)) * np.where(orders == 0, 1, 2) / len(angles)
    phases = 2 * np.outer(orders, theta)
    values, slopes = at_nodes @ np.cos(phases), at_nodes @ (-2 * orders[:, None] * np.sin(phases))
    if not signed:
        return values, slopes
    return np.concatenate([values, np.cos(theta)[None]]), np.concatenate([slopes, -np.sin(theta)[None]])


def _functionals(weights: Any, end: float, half_width: int) -> Any:
    """∫ w dτ for functions w given at the Lobatto points [K, 4, cells], as a linear function of means with ghosts."""
    cells = weights.shape[-1]
    _, rule = lobatto_points(cells, end)
    stencil = (rule[:, None] * reconstruction_stencil(half_width)).astype(weights.dtype)
    xp = weights.__array_namespace__()
    parts = [xp.sum(weights * column[None, :, None], axis=1) for column in stencil.T]
    pads = [((0, 0), (shift, 2 * half_width - shift)) for shift in range(len(parts))]
    return sum(xp.pad(part, pad) for part, pad in zip(parts, pads, strict=True))


def _join(tables: list) -> Any:
    return tables[0].__array_namespace__().concatenate(tables, axis=1)
