"""Whether training comes back to the neurons that a group fixes, or leaves them: the rate of what is perpendicular."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from jaxtyping import Array, Float

from ..errors import Words, argument_error, check_instance
from ..groups import Action
from ..integrate import cast_floats
from ..neurons import check_neurons
from ..particles.arguments import check_problem
from ..particles.rates import trained
from ..particles.risk import risk_of
from ..problem.problem import Problem
from ..problem.training import Training
from ..risks import AbstractRisk
from ..types import Checked, Cloud
from .subspaces import cloud_of_rows, fixed_subspace, rows_of

_KEPT = 2 / 3  # of the digits, to which the velocity on E^G must lie in E^G


class TransversalRate(eqx.Module):
    """The largest rate κ at which neurons leave E^G, and how.

    - `rate` κ: perturbations of the law out of E^G grow like e^{κ t} near this cloud, as long as it is nearly at rest;
      negative where E^G attracts.
    - `direction`: the perturbation of the cloud that grows so, perpendicular to E^G, of norm 1 in all its numbers together.
    - `residual`: norm of what the linearised flow does to it beyond κ times itself, relative to |κ|.
    """

    rate: float = eqx.field(static=True)
    direction: Cloud
    residual: float = eqx.field(static=True)

    @property
    def repels(self) -> bool:
        """Whether E^G is unstable there: an exact run stays on it in exact arithmetic only."""
        return self.rate > 0


def transversal_rate(
    problem: Checked[Problem], cloud: Checked[Cloud], action: Checked[Action], *, training: Checked[Training | None] = None
) -> TransversalRate:
    """κ, the largest eigenvalue of the flow's linearisation at a cloud on E^G, on perturbations that leave E^G.

    The flow z' = v(z) of plain training keeps E^G where the data are symmetric. Its derivative at z is symmetric, and so is
    (I − P) v'(z) (I − P); the largest eigenvalue is found by Lanczos iterations on products of v' with vectors. Rounding,
    and the noise of batches, grow across E^G like e^{κ t}: a statement that schemes coincide holds to rounding times that.

    Arguments: `cloud`, neurons that the group fixes, at rest in E^G for κ to be the rate over a long time; `training` may
    have a weight decay, which subtracts from κ, and equal rates. Returns a `TransversalRate`.
    Raises ArgumentError for neurons off E^G, data that are not symmetric (then neurons leave at once), and a group that
    fixes all neurons. (Invariance is no stability: cf. Nordenfors, Ohlsson & Flinth 2023; the formula: derived.)
    """
    check_problem(problem)
    check_instance("action", action, Action, "Build it with mf.action(unit, inputs, outputs).")
    how = Training() if training is None else check_instance("training", training, Training, "Leave it out for the flow.")
    if how.momentum is not None or how.heated or not how.same_rates:
        got = Words("one with momentum, a temperature or unequal rates")
        raise argument_error("training", "a flow of equal rates", got, "Leave these out.")
    if action.dim_fixed == action.dim:
        remedy = "Nothing is perpendicular to E^G."
        raise argument_error("action", "one that moves some neurons", Words("one that fixes all"), remedy)
    check_neurons(cloud)
    _check_fixed(cloud, action)
    risk = cast_floats(risk_of(problem), jax.tree.leaves(cloud)[0].dtype).prepare()
    _check_kept(risk, how, cloud, action)
    value, vector = _largest(risk, how, cloud, action)
    image = _linearised(risk, how, cloud, action, vector)
    size = max(abs(value), float(np.finfo(vector.dtype).tiny))
    residual = float(np.linalg.norm(np.asarray(image) - value * np.asarray(vector))) / size
    return TransversalRate(value, cloud_of_rows(vector, cloud), residual)


def _largest(risk: AbstractRisk, training: Training, cloud: Cloud, action: Action) -> tuple[float, Float[Array, "m p"]]:
    """The largest eigenvalue and its vector, as rows; an orthonormal basis of (E^G)^⊥ leaves no others to be found."""
    fixed = np.asarray(fixed_subspace(action).basis, dtype=float)
    across = np.linalg.svd(fixed, full_matrices=True)[2][len(fixed) :] if len(fixed) else np.eye(action.dim)
    rows = rows_of(cloud)
    shape = (rows.shape[0], len(across))

    def product(coordinates: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        vector = jnp.asarray(coordinates.reshape(shape) @ across, rows.dtype)
        return (np.asarray(_linearised(risk, training, cloud, action, vector), float) @ across.T).ravel()

    count = shape[0] * shape[1]
    if count <= 2:  # too few for Lanczos
        values, vectors = np.linalg.eigh(np.stack([product(row) for row in np.eye(count)]))
    else:
        operator = scipy.sparse.linalg.LinearOperator((count, count), product, dtype=float)  # pyright: ignore[reportCallIssue]
        first = np.random.default_rng(0).standard_normal(count)
        values, vectors = scipy.sparse.linalg.eigsh(operator, k=1, which="LA", v0=first)
    return float(values[-1]), jnp.asarray(vectors[:, -1].reshape(shape) @ across, rows.dtype)


@eqx.filter_jit
def _linearised(
    risk: AbstractRisk, training: Training, cloud: Cloud, action: Action, rows: Float[Array, "m p"]
) -> Float[Array, "m p"]:
    """(I − P) v'(z) applied to a perturbation, as rows."""
    _, image = jax.jvp(lambda z: _velocity(risk, training, z), (cloud,), (cloud_of_rows(rows, cloud),))
    return rows_of(image) - rows_of(action.project(image))


@eqx.filter_jit
def _velocity(risk: AbstractRisk, training: Training, cloud: Cloud) -> Cloud:
    return trained(training, risk.velocity(cloud), cloud)


def _outside(cloud: Cloud, action: Action) -> tuple[float, float]:
    """Norms of what is perpendicular to E^G, and of everything."""
    rows = rows_of(cloud)
    return float(jnp.linalg.norm(rows - rows_of(action.project(cloud)))), float(jnp.linalg.norm(rows))


def _check_fixed(cloud: Cloud, action: Action) -> None:
    outside, size = _outside(cloud, action)
    if outside > _digits(cloud) * size:
        got = Words(f"neurons {outside / size:.2g} of their size away from it")
        raise argument_error("cloud", "of neurons that the group fixes", got, "Pass mf.fixed_part(cloud, action).")


def _check_kept(risk: AbstractRisk, training: Training, cloud: Cloud, action: Action) -> None:
    velocity = _velocity(risk, training, cloud)
    outside, _ = _outside(velocity, action)
    scale = float(jnp.linalg.norm(rows_of(cloud))) + float(jnp.linalg.norm(rows_of(velocity)))
    if outside > _digits(cloud) * scale:
        got = Words(f"data under which neurons leave it at the speed {outside:.2g}")
        remedy = "Symmetrise the data, or the target: κ is about symmetric data."
        raise argument_error("problem", "one whose data are symmetric, so that training keeps E^G", got, remedy)


def _digits(cloud: Cloud) -> float:
    return float(np.finfo(jax.tree.leaves(cloud)[0].dtype).eps) ** _KEPT
