"""The sums over pairs in one kernel: run anywhere by interpretation, compiled for a GPU, and compared where there is one."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.lax import Precision

import mfsym as mf
from mfsym.particles.risk import fused, kernel

WIDTH, DIM = 150, 5  # neither whole tiles nor a power of two
interpreted = functools.partial(fused.fused_sums, precision=Precision.HIGHEST, interpret=True)


def arguments(width=WIDTH, dim=DIM):
    """Directions of which some coincide and some are opposite, the same, weights and sizes."""
    rng = np.random.default_rng(0)
    b = rng.normal(size=(width, dim))
    b[1], b[2], b[3] = b[0], -b[0], 2 * b[0]
    norms = np.linalg.norm(b, axis=1)
    a = rng.choice([-1.0, 1.0], width)
    directions = b / norms[:, None]
    return tuple(
        jnp.asarray(each, jnp.float32) for each in (directions, directions, a[:, None] * b / width, a * norms / width)
    )


def in_float64(directions, others, weights, sizes):
    """Σ_j [arcsin(q_ij) w_j + √(1−q_ij²) s_j u_i], with the matrix of all pairs."""
    u, v, w, s = (np.asarray(each, float) for each in (directions, others, weights, sizes))
    q = np.clip(u @ v.T, -1, 1)
    return np.arcsin(q) @ w + (np.sqrt(1 - q**2) @ s)[:, None] * u


def relative_error(found, expected):
    return np.linalg.norm(np.asarray(found, float) - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("programs", [1, 3 * 4])
def test_interpreted_sums(programs, monkeypatch):
    """With one program for a row, and with four."""
    monkeypatch.setattr(fused, "_PROGRAMS", programs)
    directions, others, weights, sizes = arguments()
    expected = in_float64(directions[:70], others, weights, sizes)
    errors = [
        relative_error(sums(directions[:70], others, weights, sizes), expected)
        for sums in (interpreted, kernel._sums_in_blocks)
    ]
    print(errors)
    assert errors[0] < 3 * errors[1] < 1e-5


def test_arcsine_polynomial():
    """Of the smallest degree that float32 does not tell from the function."""
    z = np.linspace(0, 0.25, 1001)[1:]
    exact = np.arcsin(np.sqrt(z)) / np.sqrt(z)
    errors = [np.abs(np.polynomial.Polynomial(fused.arcsine_polynomial(count))(z) / exact - 1).max() for count in (5, 6)]
    assert errors[1] < np.finfo(np.float32).eps / 4 < errors[0]


def test_the_field_of_a_cloud_and_its_derivative(monkeypatch):
    """In one kernel, which is interpreted here, and in blocks; the derivative runs in blocks."""
    one, zero = jnp.float32(1), jnp.float32(0)
    rng = np.random.default_rng(1)
    cloud = mf.Particles(jnp.asarray(rng.normal(size=66), jnp.float32), jnp.asarray(rng.normal(size=(66, 3)), jnp.float32))

    def field(b):
        return kernel.pair_field(b, cloud, zero, one)

    def both():
        return jax.jvp(field, (cloud.b,), (cloud.a[:, None] * cloud.b,))

    expected = field(cloud.b), *both()
    monkeypatch.setattr(kernel, "is_fused", lambda *sizes: True)
    monkeypatch.setattr(kernel, "fused_sums", interpreted)
    found = field(cloud.b), *both()
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, np.asarray(other, float)) < 2e-6
    assert np.any(found[0] != expected[0]) and np.all(found[1] == expected[1])


def beside_a_gpu():
    """From version 0.12 on JAX asks which device it lowers for."""
    if jax.__version_info__ < (0, 12):
        return contextlib.nullcontext()
    device = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((1,), ("x",), abstract_device=device))


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend")
@pytest.mark.parametrize("many", [False, True])
def test_lowered_for_a_gpu(many):
    """Alone, and for several clouds at a time; what is lowered was compiled and run on one."""
    shapes = [jax.ShapeDtypeStruct((2, *each.shape) if many else each.shape, each.dtype) for each in arguments()]
    sums = jax.vmap(fused.fused_sums) if many else fused.fused_sums
    with beside_a_gpu():
        text = jax.jit(sums).trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()
    assert "triton" in text


@pytest.mark.parametrize(("spoiled", "expected"), [(1.0, True), (1 + 3e-6, False)])
def test_a_device_is_asked_for_digits(spoiled, expected, monkeypatch):
    """One whose sums are off by more than rounding is not believed."""
    monkeypatch.setattr(fused, "fused_sums", lambda *arrays: spoiled * interpreted(*arrays))
    fused.runs.cache_clear()
    assert fused.runs(jax.local_devices()[0].device_kind) is expected
    fused.runs.cache_clear()


def test_not_on_a_processor():
    """Nor in float64, nor for small clouds."""
    assert not fused.is_fused(2**14, 2**14, 64, jnp.dtype("float64"))
    assert not fused.is_fused(100, 100, 10, jnp.dtype("float32"))
    if jax.default_backend() == "cpu":
        assert not fused.is_fused(2**14, 2**14, 64, jnp.dtype("float32"))
        assert not fused.runs(jax.local_devices()[0].device_kind)


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend")
@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU")
@pytest.mark.parametrize("dim", [3, 128])
def test_compiled_sums(dim):
    """On a GPU, at the smallest size where the kernel is used."""
    assert fused.is_fused(4096, 4096, dim, jnp.dtype("float32"))
    values = arguments(4096, dim)
    expected = in_float64(values[0][:200], *values[1:])
    errors = [relative_error(sums(*values)[:200], expected) for sums in (fused.fused_sums, kernel._sums_in_blocks)]
    print(errors)
    assert errors[0] < 10 * errors[1] < 1e-5
