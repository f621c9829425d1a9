"""Distances between laws of neurons of any shape, exact: Wasserstein's by assignment."""

import math

import jax
import numpy as np
import scipy.optimize
from jaxtyping import Float

from ..errors import Words, argument_error
from ..neurons import check_neurons
from ..types import Checked, Cloud

_MOST = 8192  # atoms whose assignment is solved: a table of 512 MB, and minutes


def relative_distance(cloud: Checked[Cloud], other: Checked[Cloud]) -> float:
    """The relative distance RMD² = W₂²(μ, ν) / (2 E|Z_μ|² + 2 E|Z_ν|²) ∈ [0, 1] of the laws of two clouds.

    W₂² is the least mean of |z − z'|² over all ways to pair the neurons, exactly, by the assignment problem; of clouds of
    different widths every neuron is repeated until both have as many. Between a law and m of its draws it falls slowly, like
    m^{−2/p} for neurons of p numbers, so that it does not show that a law is invariant; `symmetry_defect` does. For the
    distance to the fixed neurons, W₂²(ν, P#ν) = mean|z − Pz|², `symmetry_defect(cloud, action, space="fixed")` needs no
    transport.

    Returns a float, 0 for two clouds of z = 0. Raises ArgumentError if the neurons differ in their arrays, or more than 8192
    of them would have to be paired. Computed on the host, in double precision. (Relative measure distance: Maass & Fontbona
    2024.)
    """
    left, right = (_rows(name, each) for name, each in (("cloud", cloud), ("other", other)))
    if jax.tree.structure(cloud) != jax.tree.structure(other) or left.shape[1] != right.shape[1]:
        expected = f"a cloud of neurons like those of the first, {jax.tree.structure(cloud)} of {left.shape[1]} numbers"
        got = Words(f"one of {jax.tree.structure(other)} of {right.shape[1]} numbers")
        raise argument_error("other", expected, got, "Compare clouds of one unit.")
    size = 2 * (np.sum(left**2) / len(left) + np.sum(right**2) / len(right))
    return float(_squared_wasserstein(left, right) / size) if size > 0 else 0.0


def _rows(name: str, cloud: Cloud) -> Float[np.ndarray, "m p"]:
    """One row of numbers for every neuron."""
    try:
        width = check_neurons(cloud)
    except ValueError as error:
        raise argument_error(name, "a cloud of neurons", cloud, "Every array has the neurons as its first axis.") from error
    return np.concatenate([np.asarray(leaf, dtype=float).reshape(width, -1) for leaf in jax.tree.leaves(cloud)], axis=1)


def _squared_wasserstein(left: Float[np.ndarray, "m p"], right: Float[np.ndarray, "n p"]) -> float:
    count = math.lcm(len(left), len(right))
    if count > _MOST:
        expected = f"of a width that can be paired with that of the first by {_MOST} atoms at most"
        got = Words(f"of width {len(right)} beside {len(left)}, which are {count}")
        raise argument_error("other", expected, got, "Take equal widths, or one that divides the other.")
    left, right = (np.repeat(rows, count // len(rows), axis=0) for rows in (left, right))
    squares = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1)[None] - 2 * left @ right.T
    pairs = scipy.optimize.linear_sum_assignment(squares)
    return float(np.mean(np.sum((left[pairs[0]] - right[pairs[1]]) ** 2, axis=1)))
