"""The predictor of a cloud, f(x) = (1/m) Σ_j σ*(x; z_j)."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from ..chunks import map_blocks, rows_per_block
from ..errors import argument_error, float_array
from ..integrate import cast_floats
from ..neurons import dim_of
from ..problem.units import AbstractUnit
from ..risks.outputs import cloud_outputs
from ..types import Cloud, RealArrayLike
from .arguments import check_cloud


def predict_cloud(cloud: Cloud, unit: AbstractUnit, x: RealArrayLike) -> Float[Array, "n *out"]:
    """f(x_i) = (1/m) Σ_j σ*(x_i; z_j) for every row of x [n, d], [n, *out], in the floating type of the cloud.

    Blocks of rows bound the memory. Raises ArgumentError if the cloud and x differ in dimension.
    """
    x = float_array("x", x, 2, "One row per input.")
    dtype = check_cloud(cloud, unit)
    dim = dim_of(cloud)
    if dim is not None and x.shape[1] != dim:
        raise argument_error("x", f"of shape [n, {dim}], as the cloud has this dimension", x.shape, "Match them.")
    return _predict(cloud, cast_floats(unit, dtype), x.astype(dtype))


@eqx.filter_jit
def _predict(cloud: PyTree, unit: AbstractUnit, x: Float[Array, "n d"]) -> Float[Array, "n *out"]:
    width = jax.tree.leaves(cloud)[0].shape[0]
    return map_blocks(lambda rows: cloud_outputs(cloud, unit, rows), x, rows_per_block(width))
