"""The arc-cosine kernel of 1-homogeneous units and sums of it over clouds, with hand-written derivatives.

For σ(z) = o z + e |z| and inputs with a rotation-invariant law (derived; ReLU, o = e = ½, is Cho & Saul 2009):
    E[σ(b·x) σ(b'·x)] = (E‖x‖²/d) ‖b‖‖b'‖ (o² q + e² (2/π) κ(q)),    κ(q) = √(1−q²) + q arcsin q,    κ' = arcsin,
with q the cosine of the angle between b and b'. Nothing here carries the factor E‖x‖²/d.

The series of arcsin is our own: it is several times faster than the compiled arcsin on a CPU.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...chunks import map_blocks, rows_per_block
from ...neurons import Particles
from ...products import product
from ...safe import safe_norm, safe_ratio, safe_root
from ..angles import safe_direction
from .chebyshev import chebyshev_points, coefficient_matrix
from .fused import fused_sums, is_fused

_EXACT = jax.lax.Precision.HIGHEST


def _arcsine_series(z: np.ndarray) -> np.ndarray:
    root = np.sqrt(np.maximum(z, 1e-6))
    return np.where(z < 1e-6, 1 + z / 6 + 3 * z**2 / 40, np.arcsin(root) / root)


# arcsin(√z)/√z on [0, ¼] as a Chebyshev series in 8z − 1, to rounding
_ARCSINE = tuple((coefficient_matrix(14) @ _arcsine_series((chebyshev_points(14) + 1) / 8)).tolist())


# JAX forgets rules like those below where it differentiates a `jax.checkpoint` twice. So each function, differentiated as
# it is written, has the derivative that its rule states; the rules take fewer operations and round less.
@jax.custom_jvp
def sine(q: Float[Array, "..."]) -> Float[Array, "..."]:
    """√(1−q²) for |q| ≤ 1, with derivative 0 in place of the infinite one at |q| = 1."""
    return safe_root((1 - q) * (1 + q))


@sine.defjvp
def _sine_jvp(primals, tangents):
    (q,), (change,) = primals, tangents
    s = sine(q)
    return s, safe_ratio(-q * change, s, 0.0)


@jax.custom_jvp
def arcsine(q: Float[Array, "..."]) -> Float[Array, "..."]:
    """arcsin q for |q| ≤ 1, with derivative 0 in place of the infinite one at |q| = 1.

    Where two neurons coincide the derivative of the kernel's gradient is 0 times infinity with limit 0: the
    derivative of q vanishes there. (Derived.)
    """
    size = jnp.abs(q)
    outer = size > 0.5
    z = jnp.where(outer, (1 - size) * 0.5, q * q)
    y, first, second = 8 * z - 1, jnp.zeros_like(q), jnp.zeros_like(q)
    for coefficient in _ARCSINE[:0:-1]:
        first, second = 2 * y * first - second + coefficient, first
    ratio = y * first - second + _ARCSINE[0]
    return jnp.where(outer, jnp.copysign(np.pi / 2 - 2 * safe_root(z) * ratio, q), q * ratio)


@arcsine.defjvp
def _arcsine_jvp(primals, tangents):
    (q,), (change,) = primals, tangents
    return arcsine(q), safe_ratio(change, sine(q), 0.0)


@jax.custom_jvp
def arc_cosine(q: Float[Array, "..."]) -> Float[Array, "..."]:
    """κ(q) = √(1−q²) + q arcsin q; its derivative is arcsin q, also at |q| = 1."""
    return sine(q) + q * arcsine(q)


@arc_cosine.defjvp
def _arc_cosine_jvp(primals, tangents):
    (q,), (change,) = primals, tangents
    return arc_cosine(q), arcsine(q) * change


def _cosines(directions: Float[Array, "n d"], others: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """Cosines in [−1, 1]; the derivative of what rounding puts beyond is that of the product, not 0 or a half of it."""
    q = product(directions, others.T)
    return q - jax.lax.stop_gradient(q - jnp.clip(q, -1, 1))


def pair_field(
    b: Float[Array, "n d"],
    source: Particles,
    odd: Float[Array, ""],
    even: Float[Array, ""],
    block_size: int | None = None,
) -> Float[Array, "n d"]:
    """Gradient in b of (1/M) Σ_j a_j k(b, b_j) at every row of b, [n, d], in blocks of rows.

    k(b, b') = ‖b‖‖b'‖ (odd q + even (2/π) κ(q)), so that with ψ_j = arcsin q_j and u = b/‖b‖ the gradient is
    (1/M) Σ_j a_j [odd b_j + even (2/π) (ψ_j b_j + √(1−q_j²) ‖b_j‖ u)]. The sine and ψ come from the same rounded
    cosine: their errors cancel where directions coincide (derived). At b = 0 it is the mean over directions.
    """
    weights = source.a[:, None] * source.b / source.width
    sizes = source.a * safe_norm(source.b) / source.width
    fused = block_size is None and is_fused(b.shape[0], source.width, source.dim, source.dtype)
    sums = _fused_sums if fused else functools.partial(_sums_in_blocks, block_size=block_size)
    curved = sums(safe_direction(b), safe_direction(source.b), weights, sizes)
    return odd * jnp.sum(weights, axis=0)[None, :] + even * (2 / np.pi) * curved


def _sums_in_blocks(
    directions: Float[Array, "n d"],
    others: Float[Array, "m d"],
    weights: Float[Array, "m d"],
    sizes: Float[Array, " m"],
    block_size: int | None = None,
) -> Float[Array, "n d"]:
    """Σ_j (ψ_ij w_j + √(1−q_ij²) s_j u_i) at every direction u_i, [n, d]."""

    def block(directions):
        q = _cosines(directions, others)
        rows = product(arcsine(q), weights)
        return rows + jnp.matmul(sine(q), sizes, precision=_EXACT)[:, None] * directions

    return map_blocks(block, directions, rows_per_block(others.shape[0], block_size))


@jax.custom_jvp
def _fused_sums(directions, others, weights, sizes):
    """The same in one kernel, whose derivative is that of the blocks."""
    return fused_sums(directions, others, weights, sizes)


@_fused_sums.defjvp
def _fused_sums_jvp(primals, tangents):
    return jax.jvp(_sums_in_blocks, primals, tangents)


def pair_energy(
    cloud: Particles,
    source: Particles,
    odd: Float[Array, ""],
    even: Float[Array, ""],
    block_size: int | None = None,
) -> Float[Array, ""]:
    """(1/mM) Σ_ij a_i a'_j k(b_i, b'_j) for two clouds, in blocks of rows; its gradient is that of `pair_field`."""
    others = safe_direction(source.b)
    sizes = source.a * safe_norm(source.b) / source.width
    own_sizes = cloud.a * safe_norm(cloud.b) / cloud.width

    def block(directions):
        return jnp.matmul(arc_cosine(_cosines(directions, others)), sizes, precision=_EXACT)

    curved = jnp.sum(own_sizes * map_blocks(block, safe_direction(cloud.b), rows_per_block(source.width, block_size)))
    straight = jnp.sum(mean_feature(cloud) * mean_feature(source))
    return odd * straight + even * (2 / np.pi) * curved


def mean_feature(cloud: Particles) -> Float[Array, " d"]:
    """(1/m) Σ_j a_j b_j, [d]."""
    return jnp.sum(cloud.a[:, None] * cloud.b, axis=0) / cloud.width
