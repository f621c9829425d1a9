"""What finite steps do to laws, exactly or at a known rate, in cases of their own."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_noether_laws import CASES, gradient_of, network

import mfsym as mf

noether = mf.noether


def half(params):
    return jax.tree.map(lambda leaf: leaf / 2, params)


def test_the_implicit_midpoint_rule_keeps_quadratic_laws():
    """θ' = θ − τ∇L((θ + θ')/2), solved by iteration, to the time 4."""
    (params, apply), law = CASES["linear"]
    gradient, tau = gradient_of(apply, 2, 3), 0.1

    def step(_, params):
        def again(_, end):
            middle = jax.tree.map(lambda a, b: (a + b) / 2, params, end)
            return jax.tree.map(lambda a, g: a - tau * g, params, gradient(middle))

        return jax.lax.fori_loop(0, 60, again, params)

    last = jax.jit(lambda params: jax.lax.fori_loop(0, 40, step, params))(half(params))
    assert np.max(np.abs(law(last) - law(half(params)))) < 1e-12
    assert np.max(np.abs(last[0]["w"] - half(params)[0]["w"])) > 0.1


@pytest.mark.slow
def test_kinks_leave_a_first_order():
    """RK4 on ReLU units and finite data: below gradient descent, but no fourth order."""
    (params, apply), law = CASES["ReLU"]
    gradient = gradient_of(apply, 2, 3)
    errors, slopes = noether.drift_order(law, gradient, half(params), 4.0, (40, 80, 160, 320), method="rk4")
    plain, _ = noether.drift_order(law, gradient, half(params), 4.0, (160, 320), method="euler")
    print(errors, slopes, plain)
    assert abs(np.mean(slopes) - 1) < 0.25 and errors[-1] < plain[-1] / 4


def test_a_weight_that_is_normalised_grows_by_its_gradients_and_shrinks_by_decay():
    """‖W‖² ← (1 − s)²‖W‖² + τ²‖∇L‖², 100 times; with no decay it never falls."""
    weight = jax.random.normal(jax.random.key(0), (4, 3))
    x, y = jax.random.normal(jax.random.key(1), (12, 3)), jax.random.normal(jax.random.key(2), (12, 4))
    gradient = jax.grad(lambda w: jnp.mean((x @ w.T / jnp.sqrt(jnp.sum(w**2)) - y) ** 2))
    law = noether.squared_norm(lambda w: w)
    for shrink in (0.0, 0.01):

        def step(weight, _, shrink=shrink):
            found = noether.step_defect(law, gradient, weight, 0.5, shrink=shrink)
            return found.params, (found.defect, law(found.params))

        defects, norms = jax.jit(lambda w, step=step: jax.lax.scan(step, w, length=100))(weight)[1]
        assert np.max(defects) < 1e-13
        assert np.all(np.diff(norms) > 0) == (shrink == 0.0)


@pytest.mark.parametrize("name", ["ReLU", "linear"])
def test_the_drift_of_sgd_is_bounded_by_the_squares_of_its_steps(name):
    """|h_k − h_0| ≤ Σ ‖τ_i g_i‖², since |h(g)| ≤ ‖g‖²."""
    (params, apply), law = CASES[name]
    gradient = gradient_of(apply, 2, 3)

    def step(carry, _):
        params, total = carry
        moves = jax.tree.map(lambda g: 0.05 * g, gradient(params))
        total += sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(moves))
        params = jax.tree.map(jnp.subtract, params, moves)
        return (params, total), (jnp.max(jnp.abs(law(params) - start)), total)

    start = law(params)
    drifts, bounds = jax.jit(lambda p: jax.lax.scan(step, (p, jnp.zeros(())), length=60))(params)[1]
    print(np.max(drifts / bounds))
    assert np.all(drifts <= bounds) and np.max(drifts / bounds) > 0.01


@pytest.mark.slow
def test_norms_of_deep_layers_stay_apart_as_they_were():
    """Four layers of ReLU: the differences of ‖W_l‖² + ‖b_l‖² drift half as far with half the step."""
    params, apply = network((3, 5, 4, 4, 2), jax.nn.relu, False)
    law = noether.Law("‖W_{l+1}‖² − ‖W_l‖²", lambda p: jnp.diff(jnp.stack([jnp.sum(layer["w"] ** 2) for layer in p])), 2)
    gradient = gradient_of(apply, 2, 3)
    errors, _ = noether.drift_order(law, gradient, half(params), 1.0, (100, 200, 400), method="euler")
    print(errors)
    assert np.all(np.abs(errors[:-1] / errors[1:] - 2.1) < 0.4)
    assert noether.step_defect(law, gradient, params, 0.1).defect < 1e-12


@pytest.mark.parametrize(("turned", "kept"), [(False, True), (True, False)], ids=["identity", "orthogonal"])
def test_a_law_of_one_data_set_is_none_of_the_network(turned, kept):
    """tanh on X = I keeps ½‖u_k‖² − ½Σ_j cosh²(v_kj); on another orthogonal X it does not."""
    keys = jax.random.split(jax.random.key(0), 4)
    params = {"u": jax.random.normal(keys[0], (2, 3)), "v": jax.random.normal(keys[1], (3, 3))}
    x = jnp.linalg.qr(jax.random.normal(keys[2], (3, 3)))[0] if turned else jnp.eye(3)
    y = jax.random.normal(keys[3], (3, 2))
    gradient = jax.grad(lambda p: jnp.mean((jnp.tanh(x @ p["v"].T) @ p["u"].T - y) ** 2))

    # u·u' = −Σ_j (c_j·u) tanh(v_j) and v_j' = −(c_j·u) tanh'(v_j): tanh/tanh' = sinh cosh is the slope of ½cosh²
    def conserved(p):
        return jnp.sum(p["u"] ** 2, axis=0) / 2 - jnp.sum(jnp.cosh(p["v"]) ** 2, axis=1) / 2

    errors, _ = noether.drift_order(noether.Law("h", conserved), gradient, params, 4.0, (800, 1600), method="rk4")
    print(errors)
    assert (errors[-1] < 1e-8) if kept else (errors[-1] > 1e-2)


def test_neurons_that_are_closed_under_a_rotation_stay_so():
    """C_5 on data closed under it, any loss and unit: 500 steps."""
    elements = mf.cyclic(5).elements
    keys = jax.random.split(jax.random.key(0), 4)
    points, labels = jax.random.normal(keys[0], (4, 2)), jax.random.normal(keys[1], (4,))
    x, y = jnp.einsum("gij,nj->gni", elements, points).reshape(-1, 2), jnp.tile(labels, 5)
    a, w = jax.random.normal(keys[2], (3,)), jax.random.normal(keys[3], (3, 2))
    params = {"a": jnp.tile(a, 5), "w": jnp.einsum("gij,nj->gni", elements, w).reshape(-1, 2)}
    gradient = jax.grad(lambda p: jnp.mean(jnp.logaddexp(0.0, jnp.tanh(x @ p["w"].T) @ p["a"] - y)))

    def step(_, params):
        return jax.tree.map(lambda leaf, g: leaf - 0.05 * g, params, gradient(params))

    last = jax.jit(lambda params: jax.lax.fori_loop(0, 500, step, params))(params)
    orbit = last["w"].reshape(5, 3, 2)
    np.testing.assert_allclose(orbit, jnp.einsum("gij,nj->gni", elements, orbit[0]), atol=1e-12)
    assert np.max(np.abs(last["w"] - params["w"])) > 1e-2


# ---- clouds, under finite steps and with linear units ----
def cloud_run(unit, observe, training=None):
    problem = mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 0.0, -1.0]), unit)
    keys = jax.random.split(jax.random.key(2))
    cloud = mf.Particles(0.3 * jax.random.normal(keys[0], (6,)), jax.random.normal(keys[1], (6, 3)))
    ts = jnp.array([0.0, 2.0])
    return mf.solve_particles(problem, cloud, ts, training=training, observe={"h": observe}, rtol=1e-9, atol=1e-9).h


@pytest.mark.slow
def test_finite_steps_move_the_distribution_of_a_law_by_their_length():
    """The Wasserstein distance of q to its start halves with η; a momentum has no such law."""
    law = noether.cloud_law(mf.ReLU())
    moved = []
    for step in (1 / 8, 1 / 16, 1 / 32):
        q = np.sort(cloud_run(mf.ReLU(), law, mf.Training(step=step)), axis=1)
        moved.append(np.sqrt(np.mean((q[-1] - q[0]) ** 2)))
    print(moved)
    assert all(1.7 < a / b < 2.5 for a, b in itertools.pairwise(moved))
    q = cloud_run(mf.ReLU(), law, mf.Training(step=1 / 32, momentum=0.9))
    assert np.max(np.abs(q[-1] - q[0])) > 10 * moved[-1]


@pytest.mark.slow
def test_linear_units_keep_a_law_of_every_pair():
    """b_i·b_j − a_i a_j."""
    pairs = cloud_run(mf.Identity(), lambda cloud: cloud.b @ cloud.b.T - cloud.a[:, None] * cloud.a[None, :])
    np.testing.assert_allclose(pairs[-1], pairs[0], atol=1e-7)
    crossed = cloud_run(mf.ReLU(), lambda cloud: cloud.b @ cloud.b.T - cloud.a[:, None] * cloud.a[None, :])
    assert np.max(np.abs(crossed[-1] - crossed[0])) > 1e-3
