"""What has misled people who count symmetries: each as a test."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_noether_laws import UNITS, network

import mfsym as mf

noether = mf.noether


def identity(z):
    return z


ALGEBRAS = {  # network, family: dimension, symmetric, antisymmetric, independent laws, as derived
    "2-2-2, axes": ((2, 2, 2), "axes", (4, 3, 1, 3)),
    "1-3-1, full": ((1, 3, 1), "full", (15, 9, 6, 5)),  # so(3, 3): nine charges, of which five are independent
}


@pytest.mark.parametrize("name", ALGEBRAS)
def test_fields_are_counted_and_not_coefficients(name):
    """The identity on one axis minus that on another is no field; fifteen fields of six parameters take several points."""
    sizes, family, expected = ALGEBRAS[name]
    params, apply = network(sizes, identity, False)
    x = jax.random.normal(jax.random.key(1), (20, sizes[0]))
    found = noether.symmetries(apply, params, x, family=family)
    assert (found.dim, found.symmetric, found.antisymmetric, found.independent_laws) == expected and found.gap > 1e6


def test_inputs_are_batches_and_what_no_output_sees_is_kept():
    """BatchNorm over an input that is a batch: ‖w‖² of every unit, and biases that stand still."""
    keys = jax.random.split(jax.random.key(0), 3)
    params = {"w": jax.random.normal(keys[0], (2, 3)), "b": jax.random.normal(keys[1], (2,))}

    def apply(params, batch):
        z = batch @ params["w"].T + params["b"][None]
        z = z - jnp.mean(z, axis=0, keepdims=True)
        return jnp.tanh(z / jnp.sqrt(jnp.mean(z**2, axis=0, keepdims=True)))

    found = noether.symmetries(apply, params, jax.random.normal(keys[2], (30, 5, 3)), family="diagonal")
    assert [line.strip() for line in str(found).splitlines()[1:]] == ["['b'][i], i = 0, 1", "‖['w'][i, :]‖², i = 0, 1"]


def test_inputs_are_tokens_in_a_pytree():
    """An embedding before a linear map: EᵀE − WᵀW, three numbers for two dimensions."""
    params = {"table": jax.random.normal(jax.random.key(0), (5, 2)), "w": jax.random.normal(jax.random.key(1), (3, 2))}
    inputs = {"tokens": jax.random.randint(jax.random.key(2), (20, 4), 0, 5)}
    found = noether.symmetries(lambda p, x: p["table"][x["tokens"]] @ p["w"].T, params, inputs)
    assert found.independent_laws == 3


def test_tied_weights_have_laws_that_no_quadratic_form_shows():
    """x ↦ WᵀWx with W [3, 2]: θ' = W S with S symmetric; four of six directions are reached, and two laws are kept."""
    params = jax.random.normal(jax.random.key(0), (3, 2))
    x = jax.random.normal(jax.random.key(1), (10, 2))

    def apply(w, x):
        return w.T @ (w @ x)

    assert noether.symmetries(apply, params, x).independent_laws == 0
    count = noether.count_laws(apply, params, x, points=1)
    assert count.decided and count.laws == 2 and count.levels[0] == 3  # level 0 alone would say three


def test_units_that_are_dropped_change_nothing():
    """A mask is a loss like any other."""
    params, _ = network((3, 4, 2), jax.nn.relu, True)
    x, keep = jax.random.normal(jax.random.key(1), (12, 3)), jnp.array([1.0, 0.0, 1.0, 1.0])

    def dropped(params, x):
        hidden = jax.nn.relu(params[0]["w"] @ x + params[0]["b"]) * keep
        return params[1]["w"] @ hidden + params[1]["b"]

    gradient = jax.grad(lambda p: jnp.mean(jax.vmap(lambda row: dropped(p, row))(x) ** 2))
    assert noether.step_defect(UNITS, gradient, params, 0.1).defect < 1e-13


@pytest.mark.slow
def test_a_spectrum_without_a_gap_decides_nothing():
    """tanh on two inputs: the gradients seem to span 286 of 354 dimensions; with their brackets, all."""
    params, apply = network((2, 16, 16, 2), jnp.tanh, True)
    params = jax.tree.map(lambda leaf: leaf / 2, params)
    x = 2 * jax.random.normal(jax.random.key(1), (200, 2))
    found = noether.count_laws(apply, params, x, points=1)
    print(found)
    assert found.levels[0] < found.parameters == found.levels[-1] and found.laws == 0 and found.decided
    early = noether.count_laws(apply, params, x, points=1, max_level=0)
    assert not early.decided and early.gap < 1e3 and "undecided" in str(early)
    assert np.isinf(found.gap)
