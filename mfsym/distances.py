"""Distances between finite clouds and a reduced solution: L² of the predictors, Wasserstein of the laws of the angle."""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from .reduced.angles.angular import AbstractAngularReduction
from .reduced.base import Atoms
from .reduced.choose import form_of
from .solution import Solution
from .types import State


def squared_distances(
    reference: Solution, theta: list[Array], weight: list[Array], energy: list[Array]
) -> tuple[dict[str, list[np.ndarray]], dict[str, float], dict[str, np.ndarray]]:
    """E(f_m − f)² and, in one angle, W2² of the laws of both signs; the size of each; the error of the reference [T].

    One entry per width: `theta` [S, T, m] (with an axis k more in several angles) and signed `weight` [S, T, m] of the
    clouds, `energy` = E f_m² [S, T]. Distances are [S, T].
    """
    reduction, steps = reference.model, len(reference.ts)
    distances: dict[str, list[np.ndarray]] = {}
    sizes: dict[str, float] = {}
    errors: dict[str, np.ndarray] = {}
    moments = np.asarray(_networks_of_states(reduction, reference.states))
    if reduction.angles == 1:
        angles, masses = _atoms_of_states(reduction, reference.states)
        for i, name in enumerate(("w2_squared_plus", "w2_squared_minus")):
            shares = [np.maximum(np.asarray(w) * (1 - 2 * i), 0) for w in weight]
            law = np.asarray(angles)[:, i, :, 0], np.asarray(masses)[:, i]
            distances[name] = [_wasserstein_table(np.asarray(x), p, *law) for x, p in zip(theta, shares, strict=True)]
            # Atoms of the reference are a cell apart.
            sizes[name], errors[name] = reduction.end**2, np.full(steps, (reduction.end / reduction.cells) ** 2)
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


def _wasserstein_table(theta, share, atoms, weights) -> np.ndarray:
    """W2² of every run to the reference at every time, [S, T]."""
    times = range(len(atoms))
    return np.array(
        [[wasserstein_squared(x[t], p[t], atoms[t], weights[t]) for t in times] for x, p in zip(theta, share, strict=True)]
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
