"""`mf.predict`: the network's output, from a solution of either route or from a cloud."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .errors import argument_error, check_instance, float_array, is_traced
from .neurons import Particles
from .particles.predictor import predict_cloud
from .problem.units import AbstractUnit, ReLU
from .reduced.blocks.predictor import predict_blocks
from .reduced.blocks.quotient import BlockReduction
from .reduced.moments import OddReduction
from .reduced.point import PointReduction
from .reduced.predictor import predict_reduced
from .reduced.quotient import AngleReduction
from .solution import Solution

_HIGHEST = jax.lax.Precision.HIGHEST


def predict(network: Solution | Particles, x: Any, *, unit: AbstractUnit | None = None) -> Float[Array, " n"]:
    """f(x) for inputs x [n, d]: of a solution at its last time, or of a cloud, (1/m) Σ_j a_j σ(b_j·x).

    A reduced solution is the network of infinite width, f(x) = ∫ φ̃(θ; x) d(τ⁺ − τ⁻), or w·x for an odd target, with no
    sampling. `unit` is that of a bare cloud (default ReLU); a solution knows its own. Returns [n].
    """
    x = float_array("x", x, 2, "Pass one input per row, [n, d].")
    check_instance("network", network, (Solution, Particles), "Pass a Solution or mf.Particles(a, b).")
    if isinstance(network, Particles):
        _check_dimension(x, network.dim)
        unit = ReLU() if unit is None else unit
        return predict_cloud(network, check_instance("unit", unit, AbstractUnit, "Pass for example mf.ReLU()."), x)
    if unit is not None:
        raise argument_error("unit", "left out for a Solution", unit, "A solution knows its unit.")
    if isinstance(network.model, BlockReduction):
        _check_dimension(x, sum(network.model.blocks.dims))
        return predict_blocks(network.model, network.final, x.astype(network.model.dtype))
    if isinstance(network.model, OddReduction):
        _check_dimension(x, network.model.dim)
        return jnp.matmul(x.astype(network.model.dtype), network.model.predictor(network.final), precision=_HIGHEST)
    if isinstance(network.model, (AngleReduction, PointReduction)):
        if isinstance(network.model, AngleReduction) and not is_traced(network.model.dim):
            _check_dimension(x, round(float(network.model.dim)))
        return predict_reduced(network, x)
    if isinstance(network.final, Particles):
        _check_dimension(x, network.final.dim)
    return predict_cloud(network.final, network.model, x)


def _check_dimension(x: Float[Array, "n d"], dim: int) -> None:
    if x.shape[1] != dim:
        raise argument_error("x", f"an array [n, {dim}]", x.shape, "One input per row.")
