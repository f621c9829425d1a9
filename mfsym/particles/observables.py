"""What is measured on a cloud besides its risk: masses, alignments, distances to the limit angles."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import argument_error, check_instance
from ..integrate import cast_floats
from ..neurons import Particles
from ..problem.losses import has_margin, smallest_margin
from ..problem.problem import Problem, check_cloud_dimension
from ..problem.units import homogeneous_neurons, is_ridge
from ..risks import EmpiricalRisk
from ..safe import safe_norm, safe_ratio, safe_root
from ..solution import with_masks
from .angles import angle_to_subspace, split_by_subspace
from .arguments import check_problem
from .predictor import predict_cloud
from .risk import risk_on_data

_MASSES = ("mass_plus", "mass_minus")
_ALIGNMENTS = ("alignment_plus", "alignment_minus")
_DISTANCES = ("distance_plus", "distance_minus")


class Measurement(eqx.Module):
    """Which observables of a cloud have a meaning, and what they need.

    `mass_±` = (1/m) Σ |a_j|‖b_j‖ over the neurons with a_j ≷ 0; `alignment_±` the mean of ‖b_H‖²/‖b‖² and
    `distance_±` the 2-Wasserstein distance of the angles to δ_0 (+) and δ_{π/2} (−), both weighted by the mass.
    A sign without mass has alignment and distance nan. Neurons a σ(b·x + β) of any other unit have `a_squared`, and
    `b_h_squared`, `b_perp_squared`, `bias_mean` and `bias_squared`: means of a², ‖b_H‖², ‖b_⊥‖², β and β².
    With a logistic loss there are `variation_norm` = (1/m) Σ |a_j| ‖(b_j, β_j)‖, which grows like log t where the labels can
    be separated, and on a data set `margin`, the smallest Y f over this norm (Chizat & Bach 2020).
    """

    basis: Float[Array, "dim_h d"] | None
    masses: bool = eqx.field(static=True)
    distances: bool = eqx.field(static=True)
    ridge: bool = eqx.field(static=True, default=False)
    classes: bool = eqx.field(static=True, default=False)
    data: EmpiricalRisk | None = None

    def __call__(self, cloud: PyTree) -> dict[str, Array]:
        """Observables of one cloud, scalars."""
        return self._sizes(cloud) | self._margins(cloud)

    def _sizes(self, cloud: PyTree) -> dict[str, Array]:
        if self.ridge:
            return self._squares(cloud)
        if not self.masses:
            return {}
        masses = jnp.abs(cloud.a) * safe_norm(cloud.b)
        shares = jnp.where(cloud.a > 0, masses, 0), jnp.where(cloud.a < 0, masses, 0)
        found: dict[str, Array] = {name: jnp.mean(share) for name, share in zip(_MASSES, shares, strict=True)}
        if self.basis is not None:
            along, _ = split_by_subspace(cloud.b, self.basis)
            aligned = safe_ratio(safe_norm(along) ** 2, safe_norm(cloud.b) ** 2, 0.0)
            found |= {name: _mean(aligned, share) for name, share in zip(_ALIGNMENTS, shares, strict=True)}
        if self.distances and self.basis is not None:
            theta = angle_to_subspace(cloud.b, self.basis)
            squares = theta**2, (np.pi / 2 - theta) ** 2
            for name, square, share in zip(_DISTANCES, squares, shares, strict=True):
                found[name] = safe_root(_mean(square, share))
        return found

    def _squares(self, cloud: PyTree) -> dict[str, Array]:
        found = {"a_squared": jnp.mean(cloud.a**2)}
        if self.basis is not None:
            sides = zip(("b_h_squared", "b_perp_squared"), split_by_subspace(cloud.b, self.basis), strict=True)
            found |= {name: jnp.mean(jnp.sum(side**2, axis=1)) for name, side in sides}
        if cloud.bias is not None:
            found |= {"bias_mean": jnp.mean(cloud.bias), "bias_squared": jnp.mean(cloud.bias**2)}
        return found

    def _margins(self, cloud: PyTree) -> dict[str, Array]:
        if not self.classes:
            return {}
        squares = jnp.sum(cloud.b**2, axis=1) + (0 if cloud.bias is None else cloud.bias**2)
        norm = jnp.mean(jnp.abs(cloud.a) * safe_root(squares))
        if self.data is None:
            return {"variation_norm": norm}
        data = cast_floats(self.data, cloud.dtype)
        outputs = predict_cloud(cloud, data.unit, data.x)
        return {"variation_norm": norm, "margin": safe_ratio(smallest_margin(outputs, data.y), norm, jnp.nan)}

    def absent(self) -> tuple[tuple[str, str], ...]:
        """Names of the observables without a meaning here, with the reason."""
        reasons = []
        if self.classes and self.data is None:
            reasons.append(("margin", "inputs that are drawn afresh have no smallest one"))
        if not self.masses:
            reason = "only a 1-homogeneous unit on Particles gives its neurons a mass and a sign"
            reasons += [(name, reason) for name in (*_MASSES, *_ALIGNMENTS, *_DISTANCES)]
            return tuple(reasons)
        if self.basis is None:
            reasons += [(name, "its target declares no subspace") for name in _ALIGNMENTS]
        if not self.distances:
            reasons += [(name, "positions are measured for radial targets only") for name in _DISTANCES]
        return tuple(reasons)


def measurement(problem: Problem | None, cloud: PyTree) -> Measurement:
    """The observables that have a meaning for a problem and a cloud; none without a problem."""
    if problem is None:
        return Measurement(None, False, False)
    masses = homogeneous_neurons(problem.unit, cloud) is not None
    ridge = not masses and is_ridge(problem.unit)
    basis = problem.subspace() if masses or ridge else None
    classes = (masses or ridge) and has_margin(problem.loss)
    data = risk_on_data(problem) if classes else None
    data = None if data is None else data.prepare()
    return Measurement(basis, masses, masses and problem.radial_subspace(), ridge, classes, data)


@with_masks
def measure_cloud(problem: Problem, cloud: Particles) -> dict[str, Array]:
    """Masses, alignments and distances of one cloud, scalars; what has no meaning for the problem is left out.

    Raises ArgumentError for a cloud or a unit without masses.
    """
    check_problem(problem)
    check_instance("cloud", cloud, Particles, "Build one with mf.Particles(a, b).")
    check_cloud_dimension(problem, cloud.dim)
    found = measurement(problem, cloud)
    if not found.masses:
        raise argument_error("cloud", "Particles of a 1-homogeneous unit", cloud, "Other neurons have no mass.")
    return eqx.filter_jit(found)(cloud)


def _mean(values: Float[Array, " m"], weights: Float[Array, " m"]) -> Float[Array, ""]:
    return safe_ratio(jnp.sum(weights * values), jnp.sum(weights), jnp.nan)
