"""Reverse differentiation through many steps: the same numbers, and memory that grows as the root of their number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.iterate import scan_in_parts


@pytest.mark.float32
@pytest.mark.parametrize("length", [1, 3, 4, 12, 23, 25])  # 23 has no divisor near its root
def test_a_scan_in_parts_is_the_scan(length):
    def body(carry, _):
        return {"z": jnp.cos(carry["z"]), "k": carry["k"] + 1}, (carry["k"], carry["z"] ** 2)

    def run(scan):
        def last(z):
            carry, rows = scan({"z": z, "k": jnp.asarray(0)})
            return jnp.sum(carry["z"]) + jnp.sum(rows[1]), (carry, rows)

        return jax.jit(jax.value_and_grad(last, has_aux=True))(jnp.array([0.3, 1.1]))

    plain = run(lambda start: jax.lax.scan(body, start, None, length=length))
    parts = run(lambda start: scan_in_parts(body, start, length, False))
    assert parts[0][1][1][0].tolist() == list(range(length))
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6 if one.dtype == jnp.float32 else 1e-14)


@pytest.mark.slow
def test_reverse_differentiation_of_descent_keeps_few_states():
    """Temporary memory of the gradient for sixteen times as many steps: less than five times as much."""
    cloud = mf.sphere_cloud(mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2)), width=128, key=jax.random.key(0))

    def last_risk(scale, steps, record_every):
        problem = mf.Problem(mf.Gaussian(4), mf.SubspaceNorm(2, scale))
        return mf.descend(problem, cloud, steps, learning_rate=0.05, record_every=record_every).risk[-1]

    def gradient(steps, record_every):
        run = jax.jit(jax.grad(last_risk), static_argnums=(1, 2)).lower(jnp.asarray(1.3), steps, record_every).compile()
        return run(jnp.asarray(1.3)), run.memory_analysis().temp_size_in_bytes

    found = {(steps, every): gradient(steps, every) for steps, every in ((64, 64), (1024, 1024), (1024, 1))}
    for every in (1024, 1):
        assert found[1024, every][1] < 5 * found[64, 64][1]
    np.testing.assert_allclose(found[1024, 1][0], found[1024, 1024][0], rtol=1e-9)
    length = 1e-5
    difference = (last_risk(1.3 + length, 64, 64) - last_risk(1.3 - length, 64, 64)) / (2 * length)
    np.testing.assert_allclose(found[64, 64][0], difference, rtol=1e-7)
