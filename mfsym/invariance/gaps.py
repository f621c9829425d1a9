"""What strong invariance costs: the least risk of strongly invariant laws, bounded from both sides."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance, check_integer, check_key, positive_number
from ..groups import Action
from ..particles.arguments import check_problem
from ..particles.flow import solve_particles
from ..particles.initial import initial_cloud
from ..particles.risk import risk_on_data
from ..particles.risk.schemes import EquivariantArchitecture, FeatureAveraging
from ..problem.losses import residuals
from ..problem.problem import Problem
from ..problem.training import Training
from ..risks import EmpiricalRisk, cloud_outputs
from ..types import Checked, Cloud, IntLike, KeyLike, RealLike

_RADII = (-4.0, 10.0)  # powers of 2 between which the sizes of neurons that are tried lie
_REFINED = 16  # of those that are tried, the best are moved to the nearest minimum
_GROWTH = 1.5  # of the outputs of a unit from neurons of size 2⁵ to 2¹⁰, beyond which it counts as unbounded


class GapReport(eqx.Module):
    """Bounds on the least risk of strongly invariant laws, and a weakly invariant law beside them. It prints as a sentence.

    - `upper`: F of `cloud`, trained on E^G. `lower`: no strongly invariant law has less (as far as the search for the
      lowest neuron of E^G went).
    - `averaged`: F of as many neurons, trained by feature averaging: the least risk of weakly invariant laws is no more.
    - `cloud`: the neurons on E^G. `lowest`: the neuron of E^G that would lower F fastest.
    """

    upper: float = eqx.field(static=True)
    lower: float = eqx.field(static=True)
    averaged: float = eqx.field(static=True)
    cloud: Cloud
    lowest: Cloud

    @property
    def least(self) -> float:
        """A gap that is certain: strong invariance costs at least that much, max(0, lower − averaged)."""
        return max(0.0, self.lower - self.averaged)

    def sentence(self) -> str:
        """What was found, in one sentence."""
        between = f"The least risk of strongly invariant laws lies between {self.lower:.6g} and {self.upper:.6g}"
        if self.least > 0:
            cost = f"strong invariance costs at least {self.least:.3g}"
            return f"{between}; a weakly invariant one has {self.averaged:.6g}: {cost}."
        return f"{between}; no gap is certain, as a weakly invariant one found has {self.averaged:.6g}."

    def __repr__(self) -> str:
        return self.sentence()


def invariance_gap(
    problem: Checked[Problem],
    action: Checked[Action],
    *,
    width: IntLike,
    until: RealLike,
    key: KeyLike,
    training: Checked[Training | None] = None,
    searches: IntLike = 4096,
) -> GapReport:
    """How much risk it costs that neurons lie on E^G, the ones that a group fixes: an interval, with its certificate.

    Strongly invariant networks are the closed convex hull of {σ*(·; z), z ∈ E^G}, and J(f) = E ℓ(f, y) is convex, so that

        inf J ≥ J(f) − mean_j V(z_j) + min_{z ∈ E^G} V(z),    V(z) = E ∂₁ℓ(f, y)·σ*(x; z),

    for the network f of any cloud on E^G (the duality gap of Frank & Wolfe): the nearer f is to the best one, the closer are
    the bounds. f is trained as an equivariant architecture; the lowest neuron is searched for in dim E^G numbers.

    Arguments: `problem` on data or a cubature, with a convex loss and a unit of bounded outputs; its start is projected on
    E^G. `width` neurons are trained to the flow time `until`, as `training` says, also by feature averaging; `searches`
    neurons of E^G in random directions and of sizes from 2⁻⁴ to 2¹⁰ are tried, the best of them refined.
    Returns a `GapReport`. Raises ArgumentError for other inputs, and for a unit that grows with its neuron, where the
    hull is a linear space. (Gaps: Maass & Fontbona 2024 have an example; the certificate: derived.)
    """
    check_problem(problem)
    check_instance("action", action, Action, "Build it with mf.action(unit, inputs, outputs).")
    risk = risk_on_data(problem)
    if risk is None:
        remedy = "Pass mf.cubature(inputs) as inputs of the problem."
        raise argument_error("problem", "one on data or a cubature", Words(f"one on {problem.inputs!r}"), remedy)
    width = check_integer("width", width, 1, "It is the number of neurons.")
    searches = check_integer("searches", searches, _REFINED, "It is how many neurons are tried.")
    positive_number("until", until, "It is the flow time of both runs.")
    start_key, key = jax.random.split(check_key(key))
    start, risk = initial_cloud(problem, width=width, key=start_key), risk.prepare()
    _check_bounded(Potential(risk, action.project(start), action), key)
    options = {"training": training, "derivative": "forward"}
    runs = [
        solve_particles(problem, start, [0.0, float(until)], scheme=scheme, **options)
        for scheme in (EquivariantArchitecture(action), FeatureAveraging(action))
    ]
    cloud, averaged = action.project(runs[0].final), float(runs[1].risk[-1])
    potential = Potential(risk, cloud, action)
    upper, own = float(potential.risk.value(cloud)), jax.vmap(potential)(action.coordinates(cloud))
    least, place = _lowest(potential, searches, key)
    return GapReport(upper, upper - float(jnp.mean(own)) + least, averaged, cloud, action.combination(place))


class Potential(eqx.Module):
    """V(z) = E ∂₁ℓ(f, y)·σ*(x; z) of neurons of E^G, by their coordinates there; f is the network of a cloud."""

    risk: EmpiricalRisk
    forces: Float[Array, "n *out"]
    action: Action

    def __init__(self, risk: EmpiricalRisk, cloud: Cloud, action: Action):
        assert risk.y is not None
        weights = jnp.full(risk.x.shape[:1], 1 / len(risk.x)) if risk.weights is None else risk.weights
        outputs = cloud_outputs(cloud, risk.unit, risk.x)
        self.risk, self.action = risk, action
        self.forces = -jax.vmap(jnp.multiply)(weights, residuals(risk.loss, outputs, risk.y))

    def __call__(self, coordinates: Float[Array, " f"]) -> Float[Array, ""]:
        """V at the neuron with these coordinates."""
        return jnp.sum(self.forces * self.outputs(coordinates))

    def outputs(self, coordinates: Float[Array, " f"]) -> Float[Array, "n *out"]:
        """σ*(x; z) at all inputs."""
        return jax.vmap(self.risk.unit, (None, 0))(self.action.combination(coordinates), self.risk.x)


def _directions(potential: Potential, count: int, key: Array) -> Float[Array, "count f"]:
    normal = jax.random.normal(key, (count, potential.action.dim_fixed), potential.risk.x.dtype)
    return normal / jnp.linalg.norm(normal, axis=1, keepdims=True)


@eqx.filter_jit
def _tried(potential: Potential, count: int, key: Array) -> tuple[Array, Array]:
    """V at neurons in random directions, of sizes between powers of 2."""
    direction_key, size_key = jax.random.split(key)
    sizes = 2.0 ** jax.random.uniform(size_key, (count, 1), potential.risk.x.dtype, *_RADII)
    places = sizes * _directions(potential, count, direction_key)
    return jax.lax.map(potential, places, batch_size=64), places


def _lowest(potential: Potential, searches: int, key: Array) -> tuple[float, Float[Array, " f"]]:
    """The least value of V that a search finds, and where."""
    if potential.action.dim_fixed == 0:
        nowhere = jnp.zeros(0, potential.risk.x.dtype)
        return float(potential(nowhere)), nowhere
    values, places = _tried(potential, searches, key)
    best, place = np.inf, places[0]
    for index in np.argsort(np.asarray(values))[:_REFINED]:
        found = scipy.optimize.minimize(
            lambda c: tuple(np.asarray(each, dtype=float) for each in _slope(potential, jnp.asarray(c, places.dtype))),
            np.asarray(places[index], dtype=float),
            jac=True,
            method="L-BFGS-B",
        )
        if found.fun < best:
            best, place = float(found.fun), jnp.asarray(found.x, places.dtype)
    return best, place


@eqx.filter_jit
def _slope(potential: Potential, place: Float[Array, " f"]) -> tuple[Array, Array]:
    return jax.value_and_grad(lambda c: potential(c))(place)


def _check_bounded(potential: Potential, key: Array) -> None:
    directions = _directions(potential, 64, key)
    sizes = [float(jnp.max(jnp.abs(jax.vmap(potential.outputs)(2.0**power * directions)))) for power in (5, 10)]
    if sizes[1] > _GROWTH * sizes[0]:
        got = Words(f"a {type(potential.risk.unit).__name__}, whose outputs grow with its neuron")
        remedy = "Without a bound on the amplitude every multiple is in the hull: solve the linear problem on E^G instead."
        raise argument_error("problem", "one with a unit of bounded outputs", got, remedy)
