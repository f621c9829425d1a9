"""Complete lists of laws for the usual architectures, in the ways of equinox and of dictionaries with transposed kernels.

Those of `benchmarks/conserved.py` are looked at beside it; here is each of them in the other way. Sizes are small, since
symmetries do not depend on widths.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from test_benchmarks import load
from test_noether_counts import check_discovery

block = load("conserved").block


def drawn(**shapes):
    """Normal leaves of these shapes."""
    keys = jax.random.split(jax.random.key(3), len(shapes))
    return {name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items(), strict=True)}


def points(count, *shape):
    return 2 * jax.random.normal(jax.random.key(1), (count, *shape))


def split(*modules):
    """Arrays of modules of equinox, with weights of norms that are not all 1, and what puts them together."""
    params, static = eqx.partition(modules, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(4), len(leaves))
    leaves = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, leaves), lambda params: eqx.combine(params, static)


def linear(key, before, after):
    return eqx.nn.Linear(before, after, use_bias=False, key=jax.random.key(key))


def rms(x):
    return x / jnp.sqrt(jnp.mean(x**2) + 1e-6)


def dense_layers():
    """x @ kernel + bias."""
    params = drawn(k0=(3, 4), b0=(4,), k1=(4, 2), b1=(2,))
    return params, lambda p, x: jax.nn.relu(x @ p["k0"] + p["b0"]) @ p["k1"] + p["b1"], points(60, 3)


def kernels_with_channels_last():
    """Kernels [height, width, in, out], mean pooling, and a dense layer."""
    params = drawn(k0=(2, 2, 1, 2), b0=(2,), k1=(2, 2, 2, 2), b1=(2,), k2=(2, 2), b2=(2,))

    def convolve(x, kernel, bias):
        found = jax.lax.conv_general_dilated(x[None], kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(found[0] + bias[None, None])

    def apply(p, x):
        h = convolve(convolve(x, p["k0"], p["b0"]), p["k1"], p["b1"])
        return jnp.mean(h, axis=(0, 1)) @ p["k2"] + p["b2"]

    return params, apply, points(60, 4, 4, 1)


def heads_of_dense_kernels():
    """Kernels [model, heads, head] of queries, keys and values, and [heads, head, model] of what they give."""
    params = drawn(q=(2, 2, 1), k=(2, 2, 1), v=(2, 2, 1), o=(2, 1, 2))

    def apply(p, x):
        q, k, v = (jnp.einsum("nd,dhs->hns", x, p[name]) for name in "qkv")
        return jnp.einsum("hns,hsd->nd", jax.nn.softmax(jnp.einsum("hns,hms->hnm", q, k)) @ v, p["o"])

    return params, apply, points(12, 3, 2)


def rms_norm_of_equinox():
    params, whole = split(eqx.nn.RMSNorm(4, use_bias=False), linear(0, 4, 6), linear(1, 4, 6), linear(2, 6, 4))

    def apply(p, x):
        norm, gate, up, down = whole(p)
        h = norm(x)
        return x + down(jax.nn.silu(gate(h)) * up(h))

    return params, apply, points(80, 4)


def rms_norm_of_dense_layers():
    params = drawn(scale=(4,), gate=(4, 6), up=(4, 6), down=(6, 4))

    def apply(p, x):
        h = p["scale"] * rms(x)
        return x + (jax.nn.silu(h @ p["gate"]) * (h @ p["up"])) @ p["down"]

    return params, apply, points(80, 4)


def layer_norm_of_dense_layers():
    params = drawn(scale=(4,), shift=(4,), k0=(4, 6), b0=(6,), k1=(6, 4), b1=(4,))

    def apply(p, x):
        h = p["scale"] * rms(x - jnp.mean(x)) + p["shift"]
        return x + jax.nn.gelu(h @ p["k0"] + p["b0"]) @ p["k1"] + p["b1"]

    return params, apply, points(100, 4)


def gated_of_equinox():
    params, whole = split(linear(0, 2, 3), linear(1, 2, 3), linear(2, 3, 2))

    def apply(p, x):
        gate, up, down = whole(p)
        return down(jax.nn.silu(gate(x)) * up(x))

    return params, apply, points(40, 2)


def gated_of_dense_layers():
    params = drawn(gate=(2, 3), up=(2, 3), down=(3, 2))
    return params, lambda p, x: (jax.nn.silu(x @ p["gate"]) * (x @ p["up"])) @ p["down"], points(40, 2)


def residual_of_equinox():
    params, whole = split(linear(0, 2, 2), linear(1, 2, 2), linear(2, 2, 3), linear(3, 3, 2))

    def apply(p, x):
        into, out, later, last = whole(p)
        x = x + out(jax.nn.relu(into(x)))
        return x + last(jax.nn.relu(later(x)))

    return params, apply, points(80, 2)


def residual_of_dense_layers():
    params = drawn(k0=(2, 2), k1=(2, 2), k2=(2, 3), k3=(3, 2))

    def apply(p, x):
        x = x + jax.nn.relu(x @ p["k0"]) @ p["k1"]
        return x + jax.nn.relu(x @ p["k2"]) @ p["k3"]

    return params, apply, points(80, 2)


ARCHITECTURES = {  # and the number of laws
    "dense layers with biases": (dense_layers, 4),
    "convolutions, channels last": (kernels_with_channels_last, 4),
    "attention, dense kernels": (heads_of_dense_kernels, 4),
    "RMSNorm and SwiGLU, equinox": (rms_norm_of_equinox, 10),
    "RMSNorm and SwiGLU, dense": (rms_norm_of_dense_layers, 10),
    "LayerNorm and GELU, dense": (layer_norm_of_dense_layers, 4),
    "SwiGLU, equinox": (gated_of_equinox, 3),
    "SwiGLU, dense": (gated_of_dense_layers, 3),
    "ResNet, equinox": (residual_of_equinox, 5),
    "ResNet, dense": (residual_of_dense_layers, 5),
    "Llama block of 300, stacked heads": (lambda: block(6, 2, 8, stacked=True), 44),
}
SOME = ("convolutions, channels last", "attention, dense kernels", "SwiGLU, dense", "ResNet, dense")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SOME else pytest.mark.study) for name in ARCHITECTURES],
)
def test_all_laws_are_listed(name):
    make, laws = ARCHITECTURES[name]
    params, apply, x = make()
    found = check_discovery(apply, params, x, laws)
    print(found.sentence())
    assert found.count.gap > 1e6 and found.symmetries.gap > 1e6
