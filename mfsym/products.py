"""Products of matrices that keep all digits of their floating type.

Accelerators round float32 products by default. `HIGHEST` does not, but leaves the units for matrices idle. Products split
into six of bfloat16 use them, and lost less on an H200: 0.8e-7 relative to float64, against 1.1e-7. Other presets differ:
one with nine products was rounded like one there (3e-4). So a device is asked before it is believed.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import DotAlgorithmPreset, Precision
from jax.sharding import SingleDeviceSharding
from jaxtyping import Array, Float

SPLIT = DotAlgorithmPreset.BF16_BF16_F32_X6
_LOSS = 2.0  # times the error of HIGHEST


def product(a: Float[Array, "n k"], b: Float[Array, "k m"]) -> Float[Array, "n m"]:
    """a b, with the digits of its floating type."""
    return jnp.matmul(a, b, precision=precision_for(a.dtype))


def with_all_digits(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, in which products that name no precision keep all digits: for what others wrote and we judge by digits.

    An accelerator would round them: to about 1e-3 in float32.
    """

    def exact(*arguments: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return function(*arguments)

    return exact


def precision_for(dtype: jnp.dtype) -> Precision | DotAlgorithmPreset:
    """How products of this type are computed on the kind of device that runs by default; on a processor as ever."""
    if jax.default_backend() == "cpu" or dtype != jnp.float32:
        return Precision.HIGHEST
    return SPLIT if keeps_digits(jax.local_devices()[0].device_kind) else Precision.HIGHEST


@functools.cache
def keeps_digits(kind: str) -> bool:
    """Whether split products are as near to those in float64 as unsplit ones, on a device of this kind; tried once."""
    return product_error(kind, SPLIT) <= _LOSS * product_error(kind, Precision.HIGHEST)


def product_error(kind: str, precision: Precision | DotAlgorithmPreset) -> float:
    """Root mean square of a b − (a b in float64), relative to that of a b; infinite where the device has no such product."""
    device = next(device for device in jax.local_devices() if device.device_kind == kind)
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((64, 256), (256, 128)))
    expected = a.astype(float) @ b.astype(float)
    arguments = [jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=SingleDeviceSharding(device)) for each in (a, b)]
    try:  # compiled apart, so that it can be asked while something else is traced
        compiled = jax.jit(functools.partial(jnp.matmul, precision=precision)).lower(*arguments).compile()
    except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError):
        return float("inf")
    found = np.asarray(compiled(a, b), float)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
