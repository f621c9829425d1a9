"""The sums over pairs of neurons in one kernel for GPUs, in which no matrix of pairs leaves the chip.

Unfused, a matrix of m × m cosines is written to memory and read again for each function of it, and that takes most of the
time. Here a program keeps a tile of rows on the chip, and goes through the others tile by tile: cosines, their arcsine and
sine, and the sums of both. Products are split into six of bfloat16 with all digits of float32 (see `mfsym.products`). On an
H200 the sums took 0.41 to 0.63 of the time without it, for 4096 to 65 536 neurons of 10 to 128 dimensions.

The kernel is compiled by Pallas through Triton, which JAX calls experimental and, since 0.11, deprecated. So a device is
asked once whether it runs and is right; where it does not, the blocks of `kernel` do the work.
"""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding
from jaxtyping import Array, Float

from ...products import SPLIT

Precision = jax.lax.DotAlgorithmPreset | jax.lax.Precision

_TILE = 64  # rows, and others, that meet at a time
_FEWEST = 4096  # neurons: with fewer, the unfused products are as fast
_LARGEST = 128  # dimensions: with more, a tile no longer fits on the chip beside the others
_PROGRAMS = 4096  # keep a device busy; where there are fewer tiles of rows, up to eight programs share each
_LOSS = 8.0  # times the rounding of one number, in the sums on which a device is asked


def is_fused(rows: int, others: int, dim: int, dtype: jnp.dtype) -> bool:
    """Whether the kernel runs here and is the faster one: one GPU, float32, many neurons of few dimensions.

    With several devices the cloud may be spread over them, which the kernel does not know of.
    """
    if jax.default_backend() != "gpu" or jax.device_count() > 1 or dtype != jnp.float32:
        return False
    return min(rows, others) >= _FEWEST and dim <= _LARGEST and runs(jax.local_devices()[0].device_kind)


@functools.cache
def runs(kind: str) -> bool:
    """Whether the kernel compiles for a device of this kind and is right to float32 there; tried once."""
    device = next(device for device in jax.local_devices() if device.device_kind == kind)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2 * _TILE, 16))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    sizes = rng.normal(size=2 * _TILE)
    values = [np.asarray(each, np.float32) for each in (directions, directions, sizes[:, None] * directions, sizes)]
    u, _, weights, sizes = (each.astype(float) for each in values)
    q = np.clip(u @ u.T, -1, 1)
    expected = np.arcsin(q) @ weights + (np.sqrt(1 - q**2) @ sizes)[:, None] * u
    shapes = [jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=SingleDeviceSharding(device)) for each in values]
    try:  # compiled apart, so that it can be asked while something else is traced
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = jax.jit(fused_sums).lower(*shapes).compile()(*values)
    except (ImportError, ValueError, NotImplementedError, jax.errors.JaxRuntimeError):
        return False
    error = np.linalg.norm(np.asarray(found, float) - expected) / np.linalg.norm(expected)
    return bool(error <= _LOSS * np.finfo(np.float32).eps)


def arcsine_polynomial(count: int) -> tuple[float, ...]:
    """Coefficients of arcsin(√z)/√z in powers of z on [0, ¼], by interpolation at Chebyshev points.

    Six are off by 5e-9 at most, which float32 does not see.
    """
    z = (np.polynomial.chebyshev.chebpts1(count) + 1) / 8
    root = np.sqrt(z)
    fit = np.polynomial.Polynomial.fit(z, np.arcsin(root) / root, count - 1, domain=[0, 0.25])
    return tuple(fit.convert().coef.tolist())


_POLYNOMIAL = arcsine_polynomial(6)


def _arcsine(q: Float[Array, "..."]) -> Float[Array, "..."]:
    """arcsin q for |q| ≤ 1, in operations that every kernel has."""
    size = jnp.abs(q)
    outer = size > 0.5
    z = jnp.where(outer, (1 - size) * 0.5, q * q)
    ratio = jnp.full_like(q, _POLYNOMIAL[-1])
    for coefficient in _POLYNOMIAL[-2::-1]:
        ratio = ratio * z + coefficient
    far = np.pi / 2 - 2 * jnp.sqrt(z) * ratio
    return jnp.where(outer, jnp.where(q < 0, -far, far), q * ratio)


def fused_sums(
    directions: Float[Array, "n d"],
    others: Float[Array, "m d"],
    weights: Float[Array, "m d"],
    sizes: Float[Array, " m"],
    *,
    precision: Precision = SPLIT,
    interpret: bool = False,
) -> Float[Array, "n d"]:
    """Σ_j [arcsin(q_ij) w_j + √(1−q_ij²) s_j u_i] with q_ij = u_i·u_j, for unit vectors u_i, u_j: [n, d], float32.

    Arrays are padded with zeros to whole tiles and to a power of two of dimensions: what is added is 0. `interpret` runs it
    anywhere, slowly, with a precision that the device has.
    """
    from jax.experimental import pallas  # experimental, and a sixth of a second to import: only where it runs
    from jax.experimental.pallas import triton

    count, dim = directions.shape
    tiles = -(-count // _TILE)
    splits = max(1, min(8, _PROGRAMS // tiles))
    dims = max(16, pallas.next_power_of_2(dim))
    rows = _padded(directions, _TILE, dims)
    others, weights = (_padded(each, _TILE * splits, dims) for each in (others, weights))
    sizes = _padded(sizes, _TILE * splits)
    program = functools.partial(_program, turns=sizes.size // (_TILE * splits), precision=precision)
    whole = [
        pallas.BlockSpec(each.shape, lambda row, part, each=each: (0,) * each.ndim) for each in (others, weights, sizes)
    ]
    sums, sines = pallas.pallas_call(
        program,
        grid=(tiles, splits),
        in_specs=[pallas.BlockSpec((_TILE, dims), lambda row, part: (row, 0)), *whole],
        out_specs=[
            pallas.BlockSpec((None, _TILE, dims), lambda row, part: (part, row, 0)),
            pallas.BlockSpec((None, _TILE), lambda row, part: (part, row)),
        ],
        out_shape=[jax.ShapeDtypeStruct((splits, *shape), rows.dtype) for shape in (rows.shape, rows.shape[:1])],
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=1),
        interpret=interpret,
    )(rows, others, weights, sizes)
    return jnp.sum(sums, axis=0)[:count, :dim] + jnp.sum(sines, axis=0)[:count, None] * directions


def _padded(array: Array, rows: int, columns: int = 0) -> Array:
    """Zeros after the last row, up to a multiple of `rows`, and after the last of `columns` columns."""
    sizes = (-array.shape[0] % rows, columns - array.shape[-1])
    return jnp.pad(array, [(0, size) for size in sizes[: array.ndim]])


def _program(directions, others, weights, sizes, sums, sines, *, turns: int, precision: Precision) -> None:
    """One tile of rows, and its sums over one part of the others, tile by tile."""
    from jax.experimental import pallas

    u = directions[:, :]
    first = pallas.program_id(1) * turns
    multiply = functools.partial(jnp.dot, precision=precision, preferred_element_type=u.dtype)

    def add(turn, totals):
        here = pallas.ds((first + turn) * _TILE, _TILE)
        q = jnp.clip(multiply(u, others[here, :].T), -1, 1)
        sine = jnp.sum(jnp.sqrt((1 - q) * (1 + q)) * sizes[here][None, :], axis=1)
        return totals[0] + multiply(_arcsine(q), weights[here, :]), totals[1] + sine

    start = jnp.zeros(u.shape, u.dtype), jnp.zeros(u.shape[:1], u.dtype)
    sums[:, :], sines[:] = jax.lax.fori_loop(0, turns, add, start)
