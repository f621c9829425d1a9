"""Panels of time: where a run is recorded for the equations of fluctuations, and integrals along it.

Every panel has eight Chebyshev–Lobatto points, the ends among them, on which polynomials of degree 7 are integrated and
interpolated exactly.
"""

import itertools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..errors import argument_error, is_traced, positive_number
from ..types import RealLike

POINTS = 8
_NODES = (1 - np.cos(np.pi * np.arange(POINTS) / (POINTS - 1))) / 2  # of a panel [0, 1]
_TOLERANCE = 1e-5  # of the length of a panel, by which recorded times may miss its points
_REMEDY = "Record the run at mf.budget_times(until)."


def budget_times(until: RealLike, first: RealLike = 0.5) -> Float[Array, " T"]:
    """Times [T] from 0 to `until` at which a run is recorded so that `mf.error_budget` can follow its fluctuations.

    They are the Chebyshev–Lobatto points of panels of length `first`, twice that from 2·first on and, from 10·first on, a
    quarter of the time or less. The default suits targets whose energy E f*² is of order 1 to 10; a target c times as
    large is learnt c times as fast and needs panels as much shorter. A budget says how well its run was resolved.
    """
    end = _known("until", until, "It is the last time, in flow time.")
    length = min(_known("first", first, "It is the length of the first panels, in flow time."), end)
    edges = np.asarray(_edges(end / length)) * length
    inside = [start + (stop - start) * _NODES[1:] for start, stop in itertools.pairwise(edges)]
    return jnp.asarray(np.concatenate([[0.0], *inside]))


def _known(argument: str, value: RealLike, remedy: str) -> float:
    number = positive_number(argument, value, remedy)
    if is_traced(number):
        raise argument_error(argument, "known outside of jit", value, "It decides how many times there are.")
    return float(number)


def _edges(end: float) -> list[float]:
    """Ends of panels up to `end`, in units of the first length."""
    edges = [0.0]
    while edges[-1] < end * (1 - 1e-9):
        now = edges[-1]
        length = 1.0 if now < 2 else 2.0 if now < 10 else 2.5 * 2 ** np.floor(np.log2(now / 10))
        edges.append(min(now + length, end))
    return edges


def integration_matrix() -> np.ndarray:
    """A [8, 8] with ∫_0^{x_i} f = Σ_j A_ij f(x_j) on the points of a panel [0, 1] (host)."""
    x = 2 * _NODES - 1
    basis = np.polynomial.chebyshev.chebvander(x, POINTS - 1)
    integrals = [np.polynomial.chebyshev.chebint(row, lbnd=-1) for row in np.eye(POINTS)]
    return np.stack([np.polynomial.chebyshev.chebval(x, row) for row in integrals], axis=1) @ np.linalg.inv(basis) / 2


def interpolation_matrix(known: tuple[int, ...]) -> np.ndarray:
    """L [8, k]: values at the points of a panel of the polynomial through the `known` ones of them (host)."""
    x = 2 * _NODES - 1
    basis = np.polynomial.chebyshev.chebvander(x, len(known) - 1)
    return basis @ np.linalg.inv(basis[list(known)])


class Panels(eqx.Module):
    """The panels of a record, by their lengths [P]."""

    lengths: Float[Array, " P"]

    def split(self, record: Float[Array, "T ..."]) -> Float[Array, "P p ..."]:
        """A record at all times, panel by panel; where two of them meet it belongs to both."""
        starts = (POINTS - 1) * np.arange(len(self.lengths))
        return record[starts[:, None] + np.arange(POINTS)[None]]

    def join(self, values: Float[Array, "P p ..."]) -> Float[Array, "T ..."]:
        """The record at all times of values in panels."""
        rest = values[:, 1:]
        return jnp.concatenate([values[0, :1], rest.reshape(-1, *rest.shape[2:])])

    def integrate(self, values: Float[Array, "P p ..."]) -> Float[Array, "P p ..."]:
        """∫_0^t at all points of all panels."""
        matrix = jnp.asarray(integration_matrix(), values.dtype)
        inside = jnp.einsum("ij,kj...->ki...", matrix, values, precision="highest")
        inside = inside * self.lengths.astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))
        before = jnp.cumsum(inside[:, -1], axis=0) - inside[:, -1]
        return before[:, None] + inside


def panels_of(ts: Float[Array, " T"]) -> Panels:
    """The panels whose points the times [T] are; raises ArgumentError where they are of none."""
    if (len(ts) - 1) % (POINTS - 1):
        raise argument_error("run", f"recorded at 1 + {POINTS - 1} n times", len(ts), _REMEDY)
    edges = ts[:: POINTS - 1]
    if not is_traced(ts):
        times = np.asarray(ts, float)  # on the host: inside jit a part of a constant would be traced
        begin, length = times[:: POINTS - 1][:-1, None], np.diff(times[:: POINTS - 1])[:, None]
        points = (begin + length * _NODES[None])[:, :-1].ravel()
        if np.any(np.abs(points - times[:-1]) > _TOLERANCE * np.repeat(length, POINTS - 1)):
            raise argument_error("run", "recorded at the points of panels", ts, _REMEDY)
    return Panels(edges[1:] - edges[:-1])


def value_at(ts: Float[Array, " T"], record: Float[Array, " T"], t: float) -> float:
    """A record at any time of its panels, by the polynomial through the points of that panel (host)."""
    times, values = np.asarray(ts, float), np.asarray(record, float)
    start = (POINTS - 1) * int(
        np.clip(np.searchsorted(times[:: POINTS - 1], t) - 1, 0, (len(times) - 1) // (POINTS - 1) - 1)
    )
    rows = slice(start, start + POINTS)
    place = 2 * (t - times[rows][0]) / (times[rows][-1] - times[rows][0]) - 1
    basis = np.polynomial.chebyshev.chebvander(2 * _NODES - 1, POINTS - 1)
    return float(np.polynomial.chebyshev.chebvander([place], POINTS - 1)[0] @ np.linalg.solve(basis, values[rows]))
