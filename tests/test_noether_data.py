"""Laws of one data set, of populations, of networks with skips; decay with momentum as an oscillator; clouds that decay."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_noether_laws import CASES, gradient_of

import mfsym as mf

noether = mf.noether
TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


def test_decay_with_momentum_is_an_oscillator(standard_promotion):
    """Sums over classes q under decay λ and momentum β: q'' + 2γq' + ω²q = 0 with γ = (1 − β)/(η(1 + β)),
    ω² = 2λ/(η(1 + β)) in t = η·step (Kunin et al. 2021), beside a loop of optax.
    """
    eta, beta, decay, count = 0.1, 0.9, 5e-3, 2000
    (params, apply), law = CASES["classes"]
    gradient = gradient_of(apply, 2, 3)
    optimiser = optax.chain(optax.add_decayed_weights(decay), optax.sgd(eta, momentum=beta))

    def step(carry, _):
        params, state = carry
        updates, state = optimiser.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), law(params)

    sums = jax.jit(lambda carry: jax.lax.scan(step, carry, length=count)[1])((params, optimiser.init(params)))
    gamma, frequency = (1 - beta) / (eta * (1 + beta)), 2 * decay / (eta * (1 + beta))
    slow, fast = (-gamma + sign * np.sqrt(gamma**2 - frequency) for sign in (1, -1))
    t = eta * np.arange(1, count + 1)
    oscillator = (fast * np.exp(slow * t) - slow * np.exp(fast * t)) / (fast - slow)
    error = np.max(np.abs(np.asarray(sums) / np.asarray(law(params)) - oscillator[:, None]))
    print(error)
    assert 1e-4 < error < 5e-3


@pytest.mark.slow
def test_skips_leave_the_laws_inside_of_blocks():
    """Two blocks x + U_i relu(V_i x) with two and three units, of 20 numbers: one law for each unit."""
    keys = jax.random.split(jax.random.key(3), 4)
    shapes = {"u1": (2, 2), "v1": (2, 2), "u2": (2, 3), "v2": (3, 2)}
    params = {name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items(), strict=True)}

    def apply(p, x):
        x = x + p["u1"] @ jax.nn.relu(p["v1"] @ x)
        return x + p["u2"] @ jax.nn.relu(p["v2"] @ x)

    found = noether.count_laws(apply, params, 2 * jax.random.normal(jax.random.key(1), (60, 2)))
    print(found)
    assert found.parameters == 20 and found.decided and found.gap > 1e6 and found.generic == 5


@pytest.mark.parametrize(
    ("signs", "laws"), [((1.0, 1.0, 1.0, 1.0), 3), ((1.0, 1.0, -1.0, -1.0), 2), ((-1.0, -1.0, -1.0, -1.0), 3)]
)
def test_a_law_more_where_all_signs_are_equal(signs, laws):
    """x + u relu(vx), and then s relu(t·) on it: on one side it is (1 + uv)(1 + st) x, on the other side x."""
    params = np.array(signs) * jnp.array([0.7, 1.1, 0.6, 0.9])

    def apply(p, x):
        x = x + p[0] * jax.nn.relu(p[1] * x)
        return x + p[2] * jax.nn.relu(p[3] * x)

    found = noether.count_laws(apply, params, jnp.linspace(-2.0, 2.0, 9), points=1)
    assert found.decided and found.laws == laws


def test_a_population_that_rotations_keep_has_no_angular_momentum():
    """ReLU, Gaussian inputs and a radial target: 0 to rounding; 10⁴ of the inputs: little."""
    keys = jax.random.split(jax.random.key(0), 3)
    params = {"a": jax.random.normal(keys[0], (24,)), "w": jax.random.normal(keys[1], (24, 2))}
    population = mf.Problem(mf.Gaussian(2), mf.SubspaceNorm(2))
    sample = mf.Problem(mf.Empirical(jax.random.normal(keys[2], (10_000, 2))), mf.SubspaceNorm(2))
    found = []
    for problem in (population, sample):
        value = mf.risk_of(problem).value
        loss = lambda p, value=value: value(mf.Particles(p["a"], p["w"]))  # noqa: E731
        found.append(float(noether.angular_momentum(loss, params, lambda p: p["w"], TURN)))
    print(found)
    assert found[0] < 1e-13 and 1e-6 < found[1] < 2e-2


def identity(z):
    return z


DATA_LAWS = [  # of m = 1, …, 5 for the square loss: what C_m leaves of a vector, and of a form
    ("z", identity, (1, 1, 2, 2, 2)),
    ("z²", jnp.square, (1, 1, 2, 1, 2)),
    ("ReLU", jax.nn.relu, (1, 1, 1, 1, 1)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "laws"), [case[1:] for case in DATA_LAWS], ids=[case[0] for case in DATA_LAWS])
def test_laws_of_one_symmetric_data_set(activation, laws):
    """u σ(v·x) on points that C_m turns, weights and labels free on orbits: ∇L spans the sums of f ∇f and ∇f over them."""
    points = jax.random.normal(jax.random.key(4), (6, 2))
    params = {"u": jnp.array(0.8), "v": jnp.array([1.1, -0.4])}
    for m, expected in zip(range(1, 6), laws, strict=True):
        x = jnp.einsum("gij,nj->gni", mf.cyclic(m).elements, points)

        def fields(c, params, x=x):
            def value(p):
                outputs = p["u"] * activation(x @ p["v"])
                return jnp.sum(c[:6] * jnp.sum(outputs**2, axis=0)) / 2 + jnp.sum(c[6:] * jnp.sum(outputs, axis=0))

            return jax.grad(value)(params)

        found = noether.count_fields(fields, params, 12)
        print(m, found)
        assert found.decided and found.generic == expected


@pytest.mark.slow
def test_decay_with_unequal_rates_keeps_no_closed_law():
    """q' = −2λ(‖b‖² − a²), whose right side is not q: the integral along the run, and no exponential."""
    training = mf.Training(2.0, 0.5, weight_decay=0.1)
    problem = mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 0.0, -1.0]))
    keys = jax.random.split(jax.random.key(2))
    cloud = mf.Particles(0.3 * jax.random.normal(keys[0], (6,)), jax.random.normal(keys[1], (6, 3)))
    law = noether.cloud_law(problem.unit, mf.Training(2.0, 0.5))
    observe = {"q": law, "source": lambda cloud: jnp.sum(cloud.b**2, axis=1) - cloud.a**2}
    nodes, weights = np.polynomial.legendre.leggauss(12)
    ts = np.concatenate([[0.0], 1 + nodes, [2.0]])
    run = mf.solve_particles(problem, cloud, ts, training=training, observe=observe, rtol=1e-10, atol=1e-11)
    change = -0.2 * np.tensordot(weights, np.asarray(run.source)[1:-1], 1)
    np.testing.assert_allclose(run.q[-1] - run.q[0], change, atol=2e-8)
    for rate in (2.0, 0.5):
        assert np.max(np.abs(run.q[-1] - run.q[0] * np.exp(-2 * rate * 0.1 * 2.0))) > 0.1


def test_a_step_moves_the_law_of_a_neuron_by_the_squares_of_its_forces():
    """q ← q + η²(rate_b ‖v_b‖² − rate_a v_a²) for gradient descent, v the forces before rates."""
    problem = mf.Problem(mf.Gaussian(3), mf.LinearTarget([1.0, 0.0, -1.0]))
    keys = jax.random.split(jax.random.key(2))
    cloud = mf.Particles(0.3 * jax.random.normal(keys[0], (6,)), jax.random.normal(keys[1], (6, 3)))
    training, step = mf.Training(2.0, 0.5, step=0.25), 0.25
    law, force = noether.cloud_law(problem.unit, training), mf.risk_of(problem).velocity(cloud)
    end = mf.solve_particles(problem, cloud, [0.0, step], training=training, derivative="forward").final
    expected = step**2 * (0.5 * jnp.sum(force.b**2, axis=1) - 2.0 * force.a**2)
    np.testing.assert_allclose(law(end) - law(cloud), expected, atol=1e-14)
    assert np.max(np.abs(expected)) > 1e-3
