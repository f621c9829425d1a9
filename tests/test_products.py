"""What accelerators compute otherwise: no loop of one block, split products. On a processor, their code is read."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.lax import DotAlgorithmPreset, Precision

import mfsym as mf
from mfsym import chunks, products

DIM = 4


def risks(samples):
    data = jax.random.normal(jax.random.key(3), (samples, DIM), jnp.float32)
    on_data = mf.Problem(mf.Empirical(data), mf.FunctionTarget(lambda x: x[0] * jnp.abs(x[1])))
    return {"exact": mf.risk_of(problem()), "data": mf.risk_of(on_data)}


def problem():
    """Without a loop in the closed form of its target."""
    return mf.Problem(mf.Gaussian(DIM), mf.LinearTarget(jnp.arange(1.0, 1.0 + DIM)))


def cloud(width):
    return mf.sphere_cloud(problem(), width=width, key=jax.random.key(0), dtype=jnp.float32)


def on_an_accelerator(monkeypatch):
    """Sizes of blocks and products as on one."""
    monkeypatch.setattr(chunks, "block_limits", lambda: chunks._ACCELERATOR)
    monkeypatch.setattr(products, "precision_for", lambda dtype: products.SPLIT)


def code(function, argument):
    """The loops of a function, and the precisions of its products of two matrices."""
    text = str(jax.make_jaxpr(function)(argument))
    shapes = re.findall(r"dot_general\[(.*?)\]\s+\w+ \w+", text, re.DOTALL)
    found = {match.group(1) for match in (re.search(r"precision=(\S+)", each) for each in shapes) if match}
    return len(re.findall(r"\b(?:scan|while)\[", text)), found


def test_what_others_wrote_is_judged_with_all_digits():
    """The products of a function, and those of its derivatives."""
    a = jnp.ones((DIM, DIM))
    judged = products.with_all_digits(lambda x: jnp.sum(a @ x))
    for function in (judged, jax.grad(judged), jax.vmap(judged)):
        _, precisions = code(function, jnp.ones((DIM, DIM)))
        assert precisions and all("HIGHEST" in each for each in precisions), precisions


@pytest.mark.processor
@pytest.mark.parametrize("name", ["exact", "data"])
def test_one_block_is_no_loop_on_an_accelerator(name, monkeypatch):
    """The widths differ, as what was traced is kept."""
    both = {}
    for place, width in (("processor", 10), ("accelerator", 12)):
        if place == "accelerator":
            on_an_accelerator(monkeypatch)
        risk = risks(30 + width)[name].prepare()
        both[place] = [code(function, cloud(width)) for function in (risk.velocity, risk.value)]
    print(both)
    assert all(loops >= 1 for loops, _ in both["processor"])
    assert all(loops == 0 for loops, _ in both["accelerator"])


@pytest.mark.parametrize("name", ["exact", "data"])
def test_several_blocks_are_a_loop(name, monkeypatch):
    on_an_accelerator(monkeypatch)
    monkeypatch.setattr(chunks, "_ACCELERATOR", chunks.BlockLimits(rows=4, entries=2**25, fewest=1, together=2**27))
    risk = risks(47)[name].prepare()
    assert code(risk.velocity, cloud(14))[0] >= 1


@pytest.mark.parametrize("name", [pytest.param("exact", marks=pytest.mark.slow), "data"])
def test_the_numbers_and_their_derivatives_stay(name, monkeypatch):
    def found(width, extra):
        risk = risks(30 + extra)[name].prepare()
        start = cloud(width)
        gradient = jax.grad(lambda cloud: jnp.sum(risk.velocity(cloud).b ** 2))(start)
        return jax.tree.leaves((risk.value(start), risk.velocity(start), gradient))

    expected = found(16, 20)
    jax.clear_caches()
    on_an_accelerator(monkeypatch)
    for one, other in zip(found(16, 20), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-6 * np.max(np.abs(other)))
    jax.clear_caches()


@pytest.mark.processor
def test_a_processor_is_never_asked(monkeypatch):
    monkeypatch.setattr(products, "keeps_digits", None)
    assert products.precision_for(jnp.dtype(jnp.float32)) is Precision.HIGHEST
    risk = risks(48)["exact"]
    assert code(risk.velocity, cloud(18))[1] == {"(Precision.HIGHEST,"}


@pytest.mark.parametrize(
    ("error", "expected"), [(3.2e-7, products.SPLIT), (4.7e-3, Precision.HIGHEST), (np.inf, Precision.HIGHEST)]
)
def test_a_device_that_loses_digits_is_not_believed(error, expected, monkeypatch):
    """The errors are those of an H200 for six products, and for nine, which were rounded like one."""
    errors = {products.SPLIT: error, Precision.HIGHEST: 3.6e-7}
    monkeypatch.setattr(products, "product_error", lambda kind, precision: errors[precision])
    monkeypatch.setattr(products, "keeps_digits", products.keeps_digits.__wrapped__)
    monkeypatch.setattr(products.jax, "default_backend", lambda: "gpu")
    assert products.precision_for(jnp.dtype(jnp.float32)) is expected
    assert products.precision_for(jnp.dtype(jnp.float64)) is Precision.HIGHEST


@pytest.mark.processor
def test_the_error_of_a_product_is_measured_also_while_something_is_traced():
    kind, seen = jax.local_devices()[0].device_kind, []

    def ask(x):
        seen.append(products.product_error(kind, Precision.HIGHEST))
        return x

    jax.jit(jax.vmap(ask))(jnp.ones(3))
    assert 1e-8 < seen[0] < 1e-6 and seen[0] == products.product_error(kind, Precision.HIGHEST)
    assert products.product_error(kind, DotAlgorithmPreset.TF32_TF32_F32_X3) == np.inf  # which a processor does not have
