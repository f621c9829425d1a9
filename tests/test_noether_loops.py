"""`track` in loops that nobody adapted: minibatches, schedules, clipping, single precision, a loop that is interrupted."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import stored
from test_noether_laws import HIDDEN

import mfsym as mf

noether = mf.noether

SCHEDULE = optax.cosine_decay_schedule(1e-2, 40)
LOOPS = {  # and whether the laws are kept up to finite steps
    "sgd": (optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(optax.cosine_decay_schedule(5e-2, 40))), True),
    "momentum": (optax.sgd(1e-2, momentum=0.9), False),
    "adamw": (optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(SCHEDULE, weight_decay=1e-2)), False),
}


def loop(optimiser, dtype):
    """Parameters, and a compiled run over minibatches, one for each key, as it is written without the library.

    What is carried besides: Σ⟨∇h(θ), u⟩, by the derivative of the law itself.
    """
    model = eqx.nn.MLP(4, 3, 8, 2, key=jax.random.key(0), dtype=dtype)
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def step(carry, key):
        params, state, crossed = carry
        x = 2 * jax.random.normal(key, (16, 4), dtype)
        gradient = jax.grad(lambda p: jnp.mean((jax.vmap(eqx.combine(p, static))(x) - 1) ** 2))(params)
        updates, state = optimiser.update(gradient, state, params)
        crossed += jax.jvp(HIDDEN, (params,), (updates,))[1]
        return (optax.apply_updates(params, updates), state, crossed), None

    start = (params, optimiser.init(params), jnp.zeros_like(HIDDEN(params)))
    return start, jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys)[0])


KEYS = jax.random.split(jax.random.key(3), 40)


@pytest.mark.parametrize(
    "name", [pytest.param("sgd", marks=pytest.mark.slow), pytest.param("momentum", marks=pytest.mark.slow), "adamw"]
)
@pytest.mark.parametrize(("dtype", "bound"), [(jnp.float64, 1e-12), (jnp.float32, 1e-5)], ids=["double", "single"])
def test_what_was_broken_is_what_the_updates_did_beyond_their_gradient(name, dtype, bound, standard_promotion):
    """To rounding of the path."""
    optimiser, kept = LOOPS[name]
    start, run = loop(optax.chain(optimiser, noether.track(HIDDEN)), dtype)
    params, state, crossed = run(start, KEYS)
    found = noether.drift(state)
    print(found)
    assert found.kept == (kept,) and found.steps == len(KEYS)
    assert np.max(np.abs(found.broken[0] - crossed) / found.path[0]) < bound
    assert np.max(np.abs(found.value[0] - HIDDEN(params)) / found.path[0]) < bound
    if not kept:
        assert np.max(np.abs(crossed) / found.path[0]) > 1e-3


def test_a_loop_that_is_interrupted_goes_on(tmp_path, standard_promotion):
    """The state of the tracker is arrays beside those of the optimiser: files hold it, to the bit."""
    start, run = loop(optax.chain(optax.adam(1e-2), noether.track(HIDDEN)), jnp.float64)
    half = run(start, KEYS[:20])
    eqx.tree_serialise_leaves(tmp_path / "loop.eqx", half)
    again = eqx.tree_deserialise_leaves(tmp_path / "loop.eqx", start)
    assert stored.same(run(again, KEYS[20:]), run(half, KEYS[20:]))
    tracked = half[1][-1]
    mf.save(tmp_path / "tracked", tracked)
    assert stored.same(mf.load(tmp_path / "tracked"), tracked)
    assert noether.drift(run(again, KEYS[20:])[1]).steps == 40


@pytest.mark.slow
def test_saved_states_tell_the_same(standard_promotion):
    """Of a loop under Adam that kept its parameters after every update."""
    params = {"w": jax.random.normal(jax.random.key(0), (4, 3)), "u": jax.random.normal(jax.random.key(1), (2, 4))}
    x = jax.random.normal(jax.random.key(2), (20, 3))
    law = noether.unit_norms(lambda p: p["w"], lambda p: p["u"])
    optimiser = optax.chain(optax.adam(1e-2), noether.track(law))

    def step(carry, _):
        params, state = carry
        gradient = jax.grad(lambda p: jnp.mean((jax.nn.relu(x @ p["w"].T) @ p["u"].T - 1) ** 2))(params)
        updates, state = optimiser.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    (_, state), kept = jax.jit(lambda carry: jax.lax.scan(step, carry, length=30))((params, optimiser.init(params)))
    states = jax.tree.map(lambda first, rest: np.concatenate([first[None], rest]), params, kept)
    found, expected = noether.drift_along(law, states), noether.drift(state)
    assert found.steps == expected.steps == 30 and found.kept == expected.kept == (False,)
    for one, other in zip(
        (found.value, found.predicted, found.path), (expected.value, expected.predicted, expected.path), strict=True
    ):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-12)
    for wrong in (jax.tree.map(lambda leaf: leaf[:1], states), {"w": np.float64(3.0)}, {}):
        with pytest.raises(mf.ArgumentError, match="states"):
            noether.drift_along(law, wrong)
