"""Distances between finite clouds and a reduced solution: L² of the predictors, Wasserstein of the laws of directions."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .reduced.angles.angular import AbstractAngularReduction
from .reduced.angles.coordinates import to_point
from .reduced.base import Atoms
from .reduced.choose import form_of
from .solution import Solution
from .types import State

_FRAMES = 4  # orthonormal frames of directions, on which laws of several angles are projected
_Laws = list[np.ndarray]
_Distances = tuple[dict[str, _Laws], dict[str, float], dict[str, np.ndarray]]


def squared_distances(reference: Solution, theta: list[Array], weight: list[Array], energy: list[Array]) -> _Distances:
    """E(f_m − f)², and W2² of the laws of both signs, sliced in several angles; the size of each; the error of the
    reference [T].

    One entry per width: `theta` [S, T, m] (with an axis k more in several angles) and signed `weight` [S, T, m] of the
    clouds, `energy` = E f_m² [S, T]. Distances are [S, T].
    """
    reduction, steps = reference.model, len(reference.ts)
    moments = np.asarray(_networks_of_states(reduction, reference.states))
    angles, masses = map(np.asarray, _atoms_of_states(reduction, reference.states))
    laws = _of_the_angle if reduction.angles == 1 else _of_points
    distances, sizes, errors = laws(reduction, angles, masses, theta, weight)
    norm = np.sum(moments**2, axis=1)
    products = [
        np.einsum("tk,stk->st", moments, np.asarray(_networks(reduction, x, w))) for x, w in zip(theta, weight, strict=True)
    ]
    name = "predictor_distance"
    distances[name] = [np.asarray(e) - 2 * p + norm for e, p in zip(energy, products, strict=True)]
    sizes[name] = float(np.max(norm))
    # The risk's own error bounds that of the predictor.
    errors[name] = np.zeros(steps) if reference.error is None else 2 * np.asarray(reference.error["risk"])
    return distances, sizes, errors


def _of_the_angle(reduction, angles, masses, theta: list[Array], weight: list[Array]) -> _Distances:
    """W2² on the interval of the angle."""
    distances: dict[str, _Laws] = {}
    for i, name in enumerate(("w2_squared_plus", "w2_squared_minus")):
        rows = zip(theta, _shares(weight, i), strict=True)
        distances[name] = [_table(wasserstein_squared, np.asarray(x), p, angles[:, i, :, 0], masses[:, i]) for x, p in rows]
    # Atoms of the reference are a cell apart.
    cell, steps = reduction.end / reduction.cells, len(angles)
    sizes = {name: reduction.end**2 for name in distances}
    return distances, sizes, {name: np.full(steps, cell**2) for name in distances}


def _of_points(reduction, angles, masses, theta: list[Array], weight: list[Array]) -> _Distances:
    """Sliced W2² of the unit vectors with these angles."""
    points, clouds = np.asarray(to_point(jnp.asarray(angles))), [np.asarray(to_point(x)) for x in theta]
    distances: dict[str, _Laws] = {}
    for i, name in enumerate(("sliced_w2_squared_plus", "sliced_w2_squared_minus")):
        rows = zip(clouds, _shares(weight, i), strict=True)
        distances[name] = [_table(sliced_wasserstein_squared, x, p, points[:, i], masses[:, i]) for x, p in rows]
    cell, steps = max(reduction.end_of(axis) / n for axis, n in enumerate(reduction.cells)), len(points)
    return distances, {name: 4.0 for name in distances}, {name: np.full(steps, cell**2) for name in distances}


def _shares(weight: list[Array], sign: int) -> _Laws:
    """The masses of one sign, 0 for the neurons of the other."""
    return [np.maximum(np.asarray(w) * (1 - 2 * sign), 0) for w in weight]


@eqx.filter_jit
def _atoms_of_states(reduction: AbstractAngularReduction, states: State) -> Atoms:
    """Angles [T, 2, n, k] and weights [T, 2, n] of recorded states."""
    form = form_of(reduction, states)
    return jax.vmap(form.atoms)(states)


@eqx.filter_jit
def _networks_of_states(reduction: AbstractAngularReduction, states: State) -> Array:
    """Coefficients of the predictors of recorded states, [T, M]."""
    form = form_of(reduction, states).prepare()
    return jax.lax.map(form.network, states)


@eqx.filter_jit
def _networks(reduction: AbstractAngularReduction, theta: Array, weight: Array) -> Array:
    """Coefficients of the predictors of clouds with signed weights, [S, T, M]."""
    angles = theta.reshape(-1, weight.shape[-1], reduction.angles)
    found = jax.lax.map(lambda cloud: reduction.network(*cloud), (angles, weight.reshape(-1, weight.shape[-1])))
    return found.reshape(*weight.shape[:2], -1)


def _table(distance, places, share, atoms, weights) -> np.ndarray:
    """The distance of every run to the reference at every time, [S, T]."""
    times = range(len(atoms))
    return np.array(
        [[distance(x[t], p[t], atoms[t], weights[t]) for t in times] for x, p in zip(places, share, strict=True)]
    )


def wasserstein_squared(x: np.ndarray, p: np.ndarray, y: np.ndarray, q: np.ndarray) -> float:
    """W2² between two laws of atoms x [n], y [k] on the line, their weights normalised to mass 1 (host).

    It is ∫_0^1 (x(u) − y(u))² du over quantiles. NaN if one of the laws has no mass.
    """
    if not (np.sum(p) > 0 and np.sum(q) > 0):
        return float("nan")
    (x, p), (y, q) = ((z[np.argsort(z)], w[np.argsort(z)]) for z, w in ((x, p), (y, q)))
    levels_x, levels_y = np.cumsum(p) / np.sum(p), np.cumsum(q) / np.sum(q)
    levels = np.sort(np.concatenate([[0.0], levels_x, levels_y]))
    middle, width = (levels[1:] + levels[:-1]) / 2, np.diff(levels)
    at_x = x[np.minimum(np.searchsorted(levels_x, middle), len(x) - 1)]
    at_y = y[np.minimum(np.searchsorted(levels_y, middle), len(y) - 1)]
    return float(np.sum(width * (at_x - at_y) ** 2))


def sliced_wasserstein_squared(x: np.ndarray, p: np.ndarray, y: np.ndarray, q: np.ndarray) -> float:
    """K times the mean of W2² between projections on directions, of two laws of atoms x [n, K], y [k, K] (host).

    At most W2², and equal to it for a law and its translate, as the directions are orthonormal frames. Between a law and m
    of its draws it falls like 1/m in any K, where W2² falls like m^{−2/(K−1)} on a sphere. (Bonneel et al. 2015.)
    """
    kept, also = p > 0, q > 0
    directions = _directions(x.shape[1])
    slices = zip(directions @ x[kept].T, directions @ y[also].T, strict=True)
    return x.shape[1] * float(np.mean([wasserstein_squared(a, p[kept], b, q[also]) for a, b in slices]))


@functools.cache
def _directions(dim: int) -> np.ndarray:
    """Rows of random orthonormal frames of R^dim, always the same."""
    frames = np.random.default_rng(0).standard_normal((_FRAMES, dim, dim))
    return np.linalg.qr(frames)[0].reshape(-1, dim)
