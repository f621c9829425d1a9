"""Rules in one variable: labels and equal cells on the interval of an angle (host, float64), and Gauss–Legendre on panels,
with what a target's integrals ask of them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_Vector = Float[Array, "_"] | Float[np.ndarray, "_"]
_POINTS = 16  # of the Gauss–Legendre rule on a panel
USUAL_REACH = 13  # standard deviations of x_1, beyond which the square of most f* counts for nothing
FARTHEST = 38.0  # standard deviations, beyond which the density is below the smallest float


def interval_end(signed: bool) -> float:
    """π for the angle to an axis, π/2 for the angle to a subspace."""
    return float(np.pi if signed else np.pi / 2)


def node_rule(count: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Fejér's second rule on (0, end): `count` interior nodes, nested in the rule with 2·count + 1 (host, float64).

    The initial density is smooth and known in closed form, so its integrals against the smooth flow map converge
    spectrally; log-densities keep neurons that are exponentially rare.
    """
    angles = np.arange(1, count + 1) * np.pi / (count + 1)
    orders = np.arange(1, (count + 1) // 2 + 1)
    series = np.sin(np.outer(angles, 2 * orders - 1)) / (2 * orders - 1)
    weights = 4 * np.sin(angles) / (count + 1) * series.sum(axis=1)
    return end * (1 - np.cos(angles)) / 2, end * weights / 2


def crowded(nodes: np.ndarray, end: float, centre: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Angles θ(x) at nodes x of [0, end], closer by a factor that falls from `centre` on over `width`, and log dθ/dx (host).

    θ = centre + width sinh(β x/end − α), with α, β such that both ends stay where they are: the map is analytic and one for
    every number of nodes, so that a rule keeps its order and its nesting, while of N nodes a share 1/log(end/width) lies
    where the law of the angle is, in however many dimensions.
    """
    below, above = np.arcsinh(centre / width), np.arcsinh((end - centre) / width)
    place = (below + above) * nodes / end - below
    return centre + width * np.sinh(place), np.log(width * (below + above) / end * np.cosh(place))


def grid(cells: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres [cells] and faces [cells + 1] of equal cells of [0, end] (host, float64)."""
    faces = np.linspace(0.0, end, cells + 1)
    return (faces[1:] + faces[:-1]) / 2, faces


def composite_rule(edges: _Vector, points: int = _POINTS) -> tuple[Any, Any]:
    """Nodes and weights of Gauss–Legendre rules on consecutive panels; edges may be traced and may coincide.

    Edges in numpy give a rule in numpy, whose values are known while a function is traced.
    """
    half, middle = (edges[1:] - edges[:-1])[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    nodes, weights = (rule[None].astype(edges.dtype) for rule in np.polynomial.legendre.leggauss(points))
    return (middle + half * nodes).ravel(), (half * weights).ravel()


class Quadrature(eqx.Module):
    """A rule for the integrals of f* = g(x_1).

    - `breaks` [n]: values of x_1 where panels end; 0 for those not needed.
    - `nodes`, `weights` [16]: of the rule on each panel, for [−1, 1].
    - `extent`: how far ‖x‖ counts on either side of its mean, in standard deviations of x_1.
    - `reach`: how far |x_1| counts for E f*², in the same unit.
    """

    breaks: Float[Array, "... n"]
    nodes: Float[Array, "... 16"]
    weights: Float[Array, "... 16"]
    extent: Float[Array, "..."]
    reach: int = eqx.field(static=True)

    def on_panels(self, edges: Float[Array, " n"]) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
        """Nodes and weights on consecutive panels, whose edges may coincide."""
        half, middle = (edges[1:] - edges[:-1])[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
        nodes, weights = (rule[None].astype(edges.dtype) for rule in (self.nodes, self.weights))
        return (middle + half * nodes).ravel(), (half * weights).ravel()


def two_rules(breaks: np.ndarray, reach: int = USUAL_REACH) -> Quadrature:
    """A rule and, second along the leading axis, another one, whose difference shows the error of both.

    That one has a point less on each panel, so that its nodes lie between those of the first, and ends farther out. A
    point without weight gives it the same shape.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    others = np.polynomial.legendre.leggauss(_POINTS - 1)
    both = [np.stack([one, np.append(other, 0.0)]) for one, other in zip((nodes, weights), others, strict=True)]
    dtype = jnp.result_type(float)
    breaks, extent = np.stack([breaks, breaks]), np.array([9.0, 12.0])
    return Quadrature(*(jnp.asarray(leaf, dtype) for leaf in (breaks, *both, extent)), reach=reach)
