"""Starts in several angles whose density depends on the angle to H, the space of all blocks of the target."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..angles.coordinates import Blocks
from ..angles.law import Tilt, log_density
from ..rules.quadrature import composite_rule, grid

_POINTS = 4  # Gauss points per cell and angle


def tilted_labels(tilt: Tilt, blocks: Blocks, remainder: bool, counts: tuple[int, ...]) -> Float[Array, " N"]:
    """Log-density of the start at the labels, per unit of the variables of their rule, [N]."""
    log_law, log_rule = (jnp.asarray(part) for part in (blocks.log_law(counts), blocks.log_rule(counts)))
    relative = tilt(jnp.asarray(_angle_to_blocks(blocks.nodes(counts).T, remainder)))
    return log_law + jnp.log(relative / jnp.sum(jnp.exp(log_law + log_rule) * relative))


def tilted_cells(tilt: Tilt, blocks: Blocks, remainder: bool, cells: tuple[int, ...]) -> Float[Array, "..."]:
    """Probability of every cell [n_1, …, n_k]: that of the uniform law times the mean density in the cell."""
    rules = [_conditional(blocks, axis, n) for axis, n in enumerate(cells)]
    theta = np.stack(np.meshgrid(*(angle for angle, _ in rules), indexing="ij"))
    relative = tilt(jnp.asarray(_angle_to_blocks(theta.reshape(blocks.angles, -1), remainder))).reshape(theta.shape[1:])
    share = functools.reduce(np.multiply.outer, [weight for _, weight in rules])
    by_cell = (relative * share).reshape([size for n in cells for size in (n, _POINTS)])
    found = jnp.asarray(blocks.probabilities(cells)) * jnp.sum(by_cell, axis=tuple(range(1, by_cell.ndim, 2)))
    return found / jnp.sum(found)


def _conditional(blocks: Blocks, axis: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss points in every cell of an angle, and the law of that angle there, of sum 1 in every cell."""
    theta, weight = composite_rule(grid(cells, blocks.end(axis))[1], _POINTS)
    law = log_density(theta, blocks.dims[axis], blocks.rest(axis), blocks.signed[axis]).reshape(cells, _POINTS)
    share = weight.reshape(cells, _POINTS) * np.exp(law - law.max(axis=1, keepdims=True))  # small laws do not underflow
    return theta, (share / share.sum(axis=1, keepdims=True)).ravel()


def _angle_to_blocks(angles: np.ndarray, remainder: bool) -> np.ndarray:
    """The angle to H of unit vectors with these angles [k, n]: 0 where H is the whole space, and signed where H is one
    coordinate."""
    if len(angles) == 1 or not remainder:
        return angles[0] if remainder else np.zeros_like(angles[0])
    return np.arcsin(np.minimum(np.prod(np.sin(angles), axis=0), 1.0))
