"""Total masses of τ⁺ and τ⁻ against d_H at one time: exact, of networks, and of the published Monte Carlo scheme.

f*(x) = ‖x_H‖ with d = 40, x ~ N(0, I), t = 10: the table of the notebook 1d-simulation-jax of the authors, who took 2000
steps of length 5e-3. At that time τ⁺ is above α(d_H), the mass of the optimum, which is the overshoot after t* and no error.
`PUBLISHED` holds their values; their signs were drawn at random, 521 positive and 503 negative, so all three start from
the masses 521/1024 and 503/1024. The limit is the gradient flow. Our networks follow the same flow with m = 1024 neurons,
and what is left of their difference is their width: it falls like 1/m. The published values come from explicit steps
in (|a|‖b‖, θ) and from samples, which make τ⁻ smaller by 3 to 7 %.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..particles.flow import solve_particles
from ..particles.initial import sphere_cloud
from ..plot.artists import Axes, AxesLike, Figure, Row
from ..plot.canvas import GREY, INK, MINUS, PLUS, finish, line_key, panels, style
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.start import SphereStart
from ..problem.targets import SubspaceNorm
from ..reduce import reduce
from ..reduced.build import stack
from ..reduced.flow import solve_reduced
from ..reduced.rules.harmonics import norm_constant
from ..types import Options
from .base import Experiment, run_each

DIM, END, WIDTH, SEEDS, CELLS, MODES = 40, 10.0, 1024, 2, 200, 32
MASSES = (521 / 1024, 503 / 1024)
EXACT = (2, 3, 4, 5, 7, 10, 12, 15, 18, 20, 22, 25, 28, 30, 33, 35)
NETWORKS = (2, 5, 10, 20, 35)
PUBLISHED = {  # d_H: mass of τ⁺, mass of τ⁻
    2: (3.40828, 0.11263815),
    5: (5.478126, 0.06297577),
    10: (7.823118, 0.040315896),
    15: (9.622843, 0.030962486),
    18: (10.558362, 0.02744631),
    20: (11.13857, 0.025575727),
    25: (12.472371, 0.021753054),
    30: (13.677326, 0.018809617),
    33: (14.353262, 0.017320968),
    35: (14.790969, 0.016472705),
}


class MassesRecord(NamedTuple):
    """Masses of τ⁺ and τ⁻ (last axis) of the limit at each of `dims`, and of some networks at each of `network_dims`."""

    dims: tuple[int, ...]
    exact: Float[np.ndarray, "dims 2"]
    network_dims: tuple[int, ...]
    networks: Float[np.ndarray, "network_dims seeds 2"]
    width: int


def problem_of(dim_h: int) -> Problem:
    """f* = ‖x_H‖ in d = 40 from the masses of the published runs."""
    return Problem(Gaussian(DIM), SubspaceNorm(dim_h), start=SphereStart(*MASSES))


def compute(
    key: PRNGKeyArray,
    dims: tuple[int, ...] = EXACT,
    network_dims: tuple[int, ...] = NETWORKS,
    width: int = WIDTH,
    seeds: int = SEEDS,
    end: float = END,
) -> MassesRecord:
    """All limits in one vectorised run, then the clouds, at the time `end`; `network_dims` are among `dims`."""
    ts = jnp.array([0.0, end])
    reductions = stack([reduce(problem_of(k), cells=CELLS, modes=MODES) for k in dims])
    limits = jax.vmap(lambda one: solve_reduced(one, ts, derivative="forward"))(reductions)
    exact = np.stack([limits.mass_plus[:, -1], limits.mass_minus[:, -1]], axis=1)

    def row(dim_h: int) -> list[list[float]]:
        return [_network(dim_h, ts, width, jax.random.fold_in(key, dim_h * seeds + i)) for i in range(seeds)]

    return MassesRecord(dims, exact, network_dims, np.array(run_each(row, network_dims)), width)


def _network(dim_h: int, ts: Array, width: int, key: PRNGKeyArray) -> list[float]:
    problem = problem_of(dim_h)
    cloud = sphere_cloud(problem, width=width, key=key, dtype=jnp.float32)
    run = solve_particles(problem, cloud, ts, derivative="forward")
    return [float(run.mass_plus[-1]), float(run.mass_minus[-1])]


_NETWORK = {"ls": "none", "marker": "o", "ms": 4.5, "mfc": "white", "mew": 1.0}
_PUBLISHED = {"ls": "none", "marker": "x", "ms": 4.5, "mew": 1.1}


def draw(record: MassesRecord, axes: AxesLike | None = None) -> Figure:
    """The masses of τ⁺ with α, those of τ⁻, and the relative difference of everything sampled from the limit."""
    with style(axes):
        figure, grid = panels(axes, 1, 3, (10.2, 3.2))
        *signs, difference = grid.ravel()
        every = np.arange(min(record.dims), max(record.dims) + 1)
        signs[0].plot(every, [norm_constant(int(k)) for k in every], color=GREY, lw=1.0, ls=":")
        difference.axhline(0.0, color=INK, lw=1.5)
        for sign, (ax, colour) in enumerate(zip(signs, (PLUS, MINUS), strict=True)):
            ax.plot(record.dims, record.exact[:, sign], color=colour)
            for dims, values, look in _sampled(record, sign):
                ax.plot(dims, values, color=colour, **look)
                exact = dict(zip(record.dims, record.exact[:, sign], strict=True))
                relative = [100 * (v / exact[k] - 1) for k, v in zip(dims, values, strict=True)]
                difference.plot(dims, relative, color=colour, **look)
        signs[1].set_yscale("log")
        for ax, label in zip(
            grid.ravel(), (r"mass of $\tau^{+}$", r"mass of $\tau^{-}$", "difference from exact, %"), strict=True
        ):
            ax.set(xlabel="$d_H$", ylabel=f"{label}")
        _legends(record, signs, difference)
        return finish(figure, axes)


def _sampled(record: MassesRecord, sign: int) -> list[tuple[list[int], list[float], Options]]:
    """d_H, masses and markers of our networks and of the published runs that have a limit to compare with."""
    seeds = record.networks.shape[1]
    published = [k for k in PUBLISHED if k in record.dims]
    return [
        ([k for k in record.network_dims for _ in range(seeds)], list(record.networks[..., sign].ravel()), _NETWORK),
        (published, [PUBLISHED[k][sign] for k in published], _PUBLISHED),
    ]


def _legends(record: MassesRecord, signs: Row, difference: Axes) -> None:
    networks = line_key(f"networks, $m={record.width}$", INK, **_NETWORK)
    published = line_key("Hajjar & Chizat, sampled", INK, **_PUBLISHED)
    alpha = line_key(r"$\alpha(d_H)$, the optimum", GREY, lw=1.0, ls=":")
    signs[0].legend(handles=[line_key(r"$m=\infty$ (exact)", PLUS), alpha, networks, published], loc="lower right")
    signs[1].legend(handles=[line_key(r"$m=\infty$ (exact)", MINUS), networks, published])
    difference.legend(
        handles=[line_key(r"of $\tau^{+}$", PLUS, lw=4), line_key(r"of $\tau^{-}$", MINUS, lw=4)], loc="lower left"
    )


EXPERIMENT = Experiment("total masses against the dimension of H at t = 10, with the published values", compute, draw)
