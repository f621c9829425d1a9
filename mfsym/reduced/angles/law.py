"""The law of the angle between a uniform direction and a subspace or an axis, and the start on it (host, float64)."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import betainc, betaincc, betaln

from ...errors import argument_error, is_traced
from ...integrate import cast_floats
from ...problem.start import AbstractBalancedStart, AbstractStart, SphereStart
from ..rules.quadrature import composite_rule, crowded, grid, interval_end, node_rule
from .label_law import LabelLaw, label_law

_SPREAD = 2.0  # times 1/√d, the standard deviation of the angle or nearly so: how far labels are equally close


def log_density(theta: np.ndarray, dim_h: int, dim_perp: int, signed: bool) -> np.ndarray:
    """Log-density of the angle: 2 cos^{d_H−1}θ sin^{d_⊥−1}θ / B(d_H/2, d_⊥/2) on [0, π/2], and half of it, mirrored,
    on [0, π]."""
    with np.errstate(divide="ignore"):
        cosine = np.zeros_like(theta) if dim_h == 1 else (dim_h - 1) * np.log(np.abs(np.cos(theta)))
        sine = np.zeros_like(theta) if dim_perp == 1 else (dim_perp - 1) * np.log(np.sin(theta))
    return cosine + sine + np.log(1.0 if signed else 2.0) - betaln(dim_h / 2, dim_perp / 2)


def label_angles(count: int, dim_h: int, dim_perp: int, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Angles [count] at which labels start, crowded where the law of the angle is, and the log-density of that law there
    per unit of the variable of `node_rule`."""
    return crowded_angles(node_rule(count, interval_end(signed))[0], dim_h, dim_perp, signed)


def crowded_angles(nodes: np.ndarray, dim_h: int, dim_perp: int, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """The same for any nodes of the interval; on a signed angle its middle stays where it is."""
    end, centre = interval_end(signed), np.pi / 2 if signed else np.arctan2(np.sqrt(dim_perp), np.sqrt(dim_h))
    theta, log_slope = crowded(nodes, end, centre, _SPREAD / np.sqrt(dim_h + dim_perp))
    return theta, log_density(theta, dim_h, dim_perp, signed) + log_slope


def cell_probabilities(cells: int, dim_h: int, dim_perp: int, signed: bool) -> np.ndarray:
    """Probability of every cell, [cells], small ones to full relative accuracy: cos²θ ~ Beta(d_H/2, d_⊥/2)."""
    faces = grid(cells, interval_end(signed))[1]
    folded = np.where(faces > np.pi / 2, np.pi - faces, faces)
    below = betaincc(dim_h / 2, dim_perp / 2, np.cos(folded) ** 2)  # law of the folded angle, from 0
    above = betainc(dim_h / 2, dim_perp / 2, np.cos(folded) ** 2)  # and from π/2
    if signed:
        lower, upper = (np.where(faces > np.pi / 2, one, other) for one, other in ((above + 1, below), (below, above + 1)))
        lower, upper = lower / 2, upper / 2
    else:
        lower, upper = below, above
    return np.where(lower[1:] < 0.5, np.diff(lower), -np.diff(upper))


Tilt = Callable[[Array], Array]  # from angles to the density relative to the uniform law, not normalised


@functools.singledispatch
def tilt_of(start: AbstractStart) -> Tilt | None:
    """The density of the angle relative to the uniform law of directions; None where it is uniform."""
    return None


@tilt_of.register
def _(start: AbstractBalancedStart):
    return start.density


@tilt_of.register
def _(start: SphereStart):
    return None


def check_tilt(tilt: Tilt, end: float) -> None:
    """A density of the angle on [0, end] must be positive somewhere; raises where it is negative or not finite, too."""
    values = tilt(jnp.linspace(0.0, end, 257))
    if not is_traced(values) and not bool(jnp.any(values > 0)):
        raise argument_error("density_of_angle", "positive somewhere", values, "A start without neurons learns nothing.")


def initial_measures(
    start: AbstractStart, dim_h: int, dim_perp: int, signed: bool, cells: int, nodes: int, dtype
) -> tuple[Float[Array, "2 cells"], Float[Array, "2 nodes"], LabelLaw]:
    """Masses of τ⁺, τ⁻ in the cells [2, cells], their log-densities at the labels [2, nodes] as `label_angles` gives them,
    and the law of the labels."""
    end = interval_end(signed)
    (theta, log_law), weights = label_angles(nodes, dim_h, dim_perp, signed), node_rule(nodes, end)[1]
    node_density = jnp.asarray(log_law, dtype)
    probabilities = jnp.asarray(cell_probabilities(cells, dim_h, dim_perp, signed), dtype)
    tilt = tilt_of(start)
    if tilt is not None:
        relative = tilt(jnp.asarray(theta, dtype)).astype(dtype)
        total = jnp.sum(jnp.asarray(weights, dtype) * relative * jnp.exp(node_density))
        node_density = node_density + jnp.log(relative / total)
        tilted = _cell_integrals(tilt, cells, dim_h, dim_perp, signed, dtype)
        probabilities = tilted / jnp.sum(tilted)
    labels = label_law(cast_floats(start, dtype), dim_h + dim_perp, node_density)
    masses = jnp.sum(labels.share * labels.outer * labels.inner, axis=1).astype(dtype)[:, None]
    return masses * probabilities[None], jnp.log(masses) + node_density[None], labels


def _cell_integrals(tilt: Tilt, cells: int, dim_h: int, dim_perp: int, signed: bool, dtype):
    """∫ over each cell of the start's density times the law of the angle, [cells]."""
    theta, weight = composite_rule(grid(cells, interval_end(signed))[1])
    weighted_law = jnp.asarray(weight * np.exp(log_density(theta, dim_h, dim_perp, signed)), dtype)
    values = tilt(jnp.asarray(theta, dtype)).astype(dtype)
    return jnp.sum((weighted_law * values).reshape(cells, -1), axis=1)
