"""From symmetries to charges, and where there are none: generators, momentum, symmetric data, time, polynomials."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_noether_laws import LAYERS, gradient_of, network

import mfsym as mf

noether = mf.noether


def identity(z):
    return z


def pair(seed=0):
    keys = jax.random.split(jax.random.key(seed))
    return {"u": jax.random.normal(keys[0], (2, 3)), "v": jax.random.normal(keys[1], (3, 2))}


def product(params, x):
    return params["u"] @ (params["v"] @ x)


RESCALING = noether.from_action(lambda e, p: {"u": jnp.exp(-e) * p["u"], "v": jnp.exp(e) * p["v"]})
SKEW = np.array([[0.0, 1.0, -0.5], [-1.0, 0.0, 2.0], [0.5, -2.0, 0.0]])
ROTATION = noether.Generator(lambda p: {"u": -p["u"] @ SKEW, "v": SKEW @ p["v"]})
SQUEEZE = noether.Generator(lambda p: {"u": (1 + jnp.sum(p["u"] ** 2)) * p["u"], "v": -(1 + jnp.sum(p["u"] ** 2)) * p["v"]})
INPUTS = jax.random.normal(jax.random.key(7), (5, 2))
GENERATORS = {  # closed, antisymmetric, integrable after a factor
    "rescaling": (RESCALING, True, False, True),
    "rotation": (ROTATION, False, True, False),
    "rescaling with a factor": (SQUEEZE, False, False, True),
}


def loss(params):
    return jnp.mean((jax.vmap(lambda x: product(params, x))(INPUTS) - INPUTS[:, ::-1]) ** 2)


@pytest.mark.parametrize("name", GENERATORS)
def test_what_a_symmetry_gives(name):
    """Every one restricts the path and obeys the identity of second order; one of them has a charge."""
    generator, closed, skew, factor = GENERATORS[name]
    params = pair()
    assert generator.invariance_defect(product, params, INPUTS) < 1e-12
    assert abs(generator.path_restriction(params, jax.grad(loss)(params))) < 1e-12
    assert generator.hessian_defect(loss, params) < 1e-12
    for value, zero in ((generator.closedness(params), closed), (generator.skewness(params), skew)):
        assert (value < 1e-12) if zero else (value > 0.1)
    assert (generator.frobenius(params) < 1e-12) if factor else (generator.frobenius(params) > 0.1)
    if closed:
        expected = (jnp.sum(params["v"] ** 2) - jnp.sum(params["u"] ** 2)) / 2
        np.testing.assert_allclose(generator.charge(params), expected, rtol=1e-12)
        law = generator.law("charge", params)
        assert law.degree == 2 and noether.step_defect(law, jax.grad(loss), params, 0.1).defect < 1e-13
    else:
        with pytest.raises(mf.ArgumentError, match="restricts the path" if not factor else "multiple of a gradient"):
            generator.charge(params)


def test_what_is_no_symmetry_shows():
    stretch = noether.Generator(lambda p: {"u": p["u"], "v": p["v"]})
    params = pair()
    assert stretch.invariance_defect(product, params, INPUTS) > 0.1
    assert abs(stretch.path_restriction(params, jax.grad(loss)(params))) > 0.1
    assert stretch.hessian_defect(loss, params) > 0.1


def test_charges_that_are_no_polynomials():
    """ξ = ∇(sin(u) exp(v)), and one with a pole on the way."""
    field = jax.grad(lambda p: jnp.sin(p[0]) * jnp.exp(p[1]) + p[0])
    point = jnp.array([0.7, -0.3])
    generator = noether.Generator(field)
    np.testing.assert_allclose(generator.charge(point), jnp.sin(0.7) * jnp.exp(-0.3) + 0.7, rtol=1e-12)
    assert generator.law("wave", point).degree is None
    with pytest.raises(mf.ArgumentError, match="smooth"):
        noether.Generator(jax.grad(lambda p: jnp.sum(jnp.log(jnp.abs(p))))).charge(point)


def test_the_heavy_ball_keeps_what_rotates():
    """J_k = βᵏJ_0 for 300 steps, while the balance of the layers moves."""
    beta, tau = 0.98, 0.01
    first = pair()
    second = jax.tree.map(lambda leaf, g: leaf - 0.3 * g, first, pair(1))

    def step(carry, _):
        params, previous = carry
        gradient = jax.grad(loss)(params)
        new = jax.tree.map(lambda p, q, g: p + beta * (p - q) - tau * g, params, previous, gradient)
        return (new, params), noether.heavy_ball_charge(ROTATION, new, params)

    (last, _), charges = jax.jit(lambda carry: jax.lax.scan(step, carry, length=300))((second, first))
    start = noether.heavy_ball_charge(ROTATION, second, first)
    np.testing.assert_allclose(charges, start * beta ** np.arange(1, 301), rtol=0, atol=1e-12)
    np.testing.assert_allclose(charges / beta ** np.arange(1, 301), np.full(300, start), rtol=1e-10)
    balance = noether.balance(lambda p: p["v"], lambda p: p["u"])
    assert np.max(np.abs(balance(last) - balance(second))) > 0.1


def test_the_motion_with_friction_keeps_the_skew_products():
    """θ'' + γθ' = −∇L by Runge–Kutta: the defect falls by 16 when the step is halved. The balance is not kept."""
    gamma, time = 0.5, 2.0
    law = noether.momentum_skew(lambda p: p["v"], lambda p: p["u"], friction=gamma)
    start = (pair(), jax.tree.map(lambda leaf: 0.5 * leaf, pair(1)))

    def velocity(state):
        params, speed = state
        return speed, jax.tree.map(lambda v, g: -gamma * v - g, speed, jax.grad(loss)(params))

    def end(count):
        step = time / count

        def moved(state, slope, factor):
            return jax.tree.map(lambda a, b: a + factor * b, state, slope)

        def advance(_, state):
            first = velocity(state)
            second = velocity(moved(state, first, step / 2))
            third = velocity(moved(state, second, step / 2))
            fourth = velocity(moved(state, third, step))
            mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, first, second, third, fourth)
            return moved(state, mean, step)

        return jax.jit(lambda state: jax.lax.fori_loop(0, count, advance, state))(start)

    before = law((*start, 0.0))
    defects = [float(np.max(np.abs(law((*end(count), time)) - before))) for count in (160, 320)]
    print(defects)
    assert defects[0] < 1e-2 * np.max(np.abs(before)) and defects[0] / defects[1] > 12
    balance = noether.balance(lambda p: p["v"], lambda p: p["u"])
    assert np.max(np.abs(balance(end(160)[0]) - balance(start[0]))) > 0.1


# ---- counts by the second route, and of motion with momentum ----
ORBITS = [((2, 2, 2), 3), ((1, 2, 2, 1), 7), ((3, 2, 2, 3), 6)]


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "laws"), ORBITS, ids=["2-2-2", "1-2-2-1", "3-2-2-3"])
def test_two_routes_count_alike(sizes, laws):
    params, apply = network(sizes, identity, False)
    x = 2 * jax.random.normal(jax.random.key(1), (12, sizes[0]))
    found = [noether.count_laws(apply, params, x, method=method, points=1) for method in ("orbits", "brackets")]
    print(*found, sep="\n")
    assert [count.laws for count in found] == [laws, laws]
    assert all(count.decided and count.gap > 1e6 for count in found)


MOMENTUM = [((1, 2, 1), identity, 2), ((2, 1, 2), identity, 0), ((2, 2, 1), identity, 1), ((2, 1, 1), jax.nn.relu, 0)]


@pytest.mark.slow
@pytest.mark.parametrize("friction", [0.0, 1.0])
@pytest.mark.parametrize(("sizes", "activation", "laws"), MOMENTUM, ids=["1-2-1", "2-1-2", "2-2-1", "ReLU 2-1-1"])
def test_laws_of_motion_with_momentum(sizes, activation, laws, friction):
    """Fewer than those of the flow: r(r − 1)/2 for narrow linear networks, none for ReLU."""
    params, apply = network(sizes, activation, False)
    x = 2 * jax.random.normal(jax.random.key(1), (12, sizes[0]))
    found = noether.count_laws(apply, params, x, friction=friction, method="orbits", points=1)
    print(found)
    assert found.parameters == 2 * sum(leaf.size for leaf in jax.tree.leaves(params)) + 1
    assert found.decided and found.laws == laws


@pytest.mark.parametrize(
    ("sizes", "laws"),
    [((1, 1, 1), 1), pytest.param((1, 2, 1), 3, marks=pytest.mark.slow), pytest.param((2, 2, 2), 0, marks=pytest.mark.slow)],
    ids=["1-1-1", "1-2-1", "2-2-2"],
)
def test_signs_of_gradients_keep_little(sizes, laws):
    """θ' = −sign ∇L: nothing, but for one input and one output, where 2r − 1 are kept."""
    params, apply = network(sizes, identity, False)
    n, _, m = sizes
    probes = jax.random.normal(jax.random.key(3), (40, m, n))

    def fields(c, params):
        def signs(probe):
            value = lambda p: jnp.sum(probe * jax.vmap(lambda x: apply(p, x))(jnp.eye(n)).T)  # noqa: E731
            return jax.tree.map(jnp.sign, jax.grad(value)(params))

        return jax.tree.map(lambda leaf: jnp.tensordot(c, leaf, 1), jax.vmap(signs)(probes))

    found = noether.count_fields(fields, params, 40)
    assert found.decided and found.laws == found.generic == laws


@pytest.mark.slow
@pytest.mark.parametrize("method", ["brackets", "orbits"])
def test_a_convex_network_keeps_its_own(method):
    """u > 0 by a mirror, θ' = −u ⊙ ∇_u L, v and b as ever: Σ_i u_ik − ½(‖v_k‖² + b_k²)."""
    keys = jax.random.split(jax.random.key(4), 3)
    params = {
        "u": 1 + jax.random.uniform(keys[0], (2, 2)),
        "v": jax.random.normal(keys[1], (2, 2)),
        "b": jax.random.normal(keys[2], (2,)),
    }

    def apply(params, x):
        return params["u"] @ jax.nn.relu(params["v"] @ x + params["b"])

    def metric(params, gradient):
        return gradient | {"u": params["u"] * gradient["u"]}

    x = 3 * jax.random.normal(jax.random.key(1), (30, 2))
    found = noether.count_laws(apply, params, x, metric=metric, method=method, points=1)
    assert found.decided and found.laws == 2

    def law(p):
        return jnp.sum(p["u"], axis=0) - (jnp.sum(p["v"] ** 2, axis=1) + p["b"] ** 2) / 2

    velocity = metric(params, jax.grad(lambda p: jnp.sum(jax.vmap(lambda one: apply(p, one))(x) ** 3))(params))
    change = jax.jvp(law, (params,), (velocity,))[1]
    assert np.max(np.abs(change)) < 1e-12 * float(jnp.max(jnp.abs(velocity["v"])))


def test_multiplicative_steps_keep_their_sums_exactly():
    """θ ← θ ⊙ (1 − τ∇L), 300 times, to rounding; θ ⊙ exp(−τ∇L) does not."""
    params = jax.tree.map(lambda leaf: jnp.abs(leaf) + 0.5, pair())
    law = noether.positive_sums(lambda p: p["u"], lambda p: p["v"].T)

    def after(rule):
        def step(_, params):
            return jax.tree.map(rule, params, jax.grad(loss)(params))

        return jax.jit(lambda params: jax.lax.fori_loop(0, 300, step, params))(params)

    assert np.max(np.abs(law(after(lambda p, g: p * (1 - 1e-3 * g))) - law(params))) < 1e-13
    assert np.max(np.abs(law(after(lambda p, g: p * jnp.exp(-1e-3 * g))) - law(params))) > 1e-3


# ---- symmetric data ----
def test_degrees_of_invariants():
    """C_m has them where m divides, O(2) nowhere, signed permutations of R³ from degree 4 on."""
    assert noether.invariant_degrees(mf.cyclic(3), 9) == (3, 6, 9)
    assert noether.invariant_degrees(mf.dihedral(4), 9) == (4, 8)
    assert noether.invariant_degrees(mf.cyclic(1), 3) == (1, 2, 3)
    assert noether.invariant_degrees(mf.signed_permutations(3), 6) == (4, 6)
    assert noether.invariant_degrees(mf.O(2), 4) == ()


TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


def momentum_of(m, activation, seed=0, error=lambda r: r**2):
    """ρ of 24 neurons on 6 points, turned by all of C_m, with labels that depend on the orbit."""
    keys = jax.random.split(jax.random.key(seed), 4)
    points, labels = jax.random.normal(keys[0], (6, 2)), jax.random.normal(keys[1], (6,))
    x = jnp.einsum("gij,nj->gni", mf.cyclic(m).elements, points).reshape(-1, 2)
    y = jnp.tile(labels, m)
    params = {"a": jax.random.normal(keys[2], (24,)), "w": jax.random.normal(keys[3], (24, 2))}
    return float(
        noether.angular_momentum(
            lambda p: jnp.mean(error(activation(x @ p["w"].T) @ p["a"] / 24 - y)), params, lambda p: p["w"], TURN
        )
    )


@pytest.mark.parametrize(
    ("power", "orders"),
    [(2, (3, 4, 5)), *(pytest.param(p, range(2, 8), marks=pytest.mark.slow) for p in (1, 2, 3))],
    ids=["squares, few", "z", "squares", "cubes"],
)
def test_the_rule_says_where_the_angular_momentum_vanishes(power, orders):
    """It is rounding where the rule says exact, and not where it says otherwise."""
    for m in orders:
        found, exact = momentum_of(m, lambda z: z**power), noether.exact_for(mf.cyclic(m), (power,))
        print(power, m, exact, found)
        assert (found < 1e-13) if exact else (found > 1e-4)


def test_other_losses_and_units_have_a_small_angular_momentum_only():
    assert momentum_of(3, lambda z: z**2, error=lambda r: jnp.logaddexp(0.0, r)) > 1e-4
    assert 1e-13 < momentum_of(32, jnp.tanh) < 1e-3
    assert noether.exact_for(mf.cyclic(5), (1, 2)) and not noether.exact_for(mf.cyclic(3), (1, 2))
    assert noether.exact_for(mf.O(2), (1, 2, 3))


# ---- time ----
def test_the_loss_falls_at_the_rate_of_the_tangent_kernel():
    params, apply = network((3, 4, 2), jnp.tanh, True)
    x, y = jax.random.normal(jax.random.key(1), (6, 3)), jax.random.normal(jax.random.key(2), (6, 2))
    error = lambda out, label: jnp.sum((out - label) ** 4)  # noqa: E731
    assert noether.rate_defect(apply, error, params, x, y) < 1e-12


@pytest.mark.slow
def test_tangent_kernels_of_layers_add_up():
    params, apply = network((3, 4, 2), jnp.tanh, True)
    x = jax.random.normal(jax.random.key(1), (6, 3))
    kernel = noether.tangent_kernel(apply, params, x, x[:2], rates=jax.tree.map(lambda leaf: 1.0, params))
    assert kernel.shape == (6, 2, 2, 2)
    layers = [noether.tangent_kernel(apply, params, x, x[:2], rates=rates) for rates in _one_layer_each(params)]
    np.testing.assert_allclose(sum(layers), kernel, atol=1e-12)


def _one_layer_each(params):
    for i in range(len(params)):
        yield [jax.tree.map(lambda leaf, on=float(i == j): on, layer) for j, layer in enumerate(params)]


def test_the_energy_of_the_flow():
    """Simpson's rule along Runge–Kutta steps: by 16 when the step is halved."""
    params, apply = network((3, 4, 2), jnp.tanh, False)
    gradient = gradient_of(apply, 2, 3)
    value = _value(apply)

    def states(count):
        step = 2.0 / count

        def advance(params, _):
            return noether.step_defect(LAW, gradient, params, step, method="rk4").params, params

        last, kept = jax.jit(lambda params: jax.lax.scan(advance, params, length=count))(params)
        return jax.tree.map(lambda many, one: jnp.concatenate([many, one[None]]), kept, last)

    defects = [float(noether.energy_defect(value, states(count), 2.0 / count)) for count in (20, 40)]
    print(defects)
    assert defects[0] < 1e-3 and defects[0] / defects[1] > 12
    with pytest.raises(mf.ArgumentError, match="odd"):
        noether.energy_defect(value, jax.tree.map(lambda leaf: leaf[:4], states(20)), 0.1)


LAW = noether.balance(*LAYERS)


def _value(apply):
    keys = jax.random.split(jax.random.key(5))
    x, y = jax.random.normal(keys[0], (12, 3)), jax.random.normal(keys[1], (12, 2))
    return lambda params: jnp.mean((jax.vmap(lambda row: apply(params, row))(x) - y) ** 2)


# ---- polynomials ----
@pytest.mark.parametrize(
    ("sizes", "activation", "bias", "degree", "homogeneous", "expected"),
    [
        ((2, 2, 2), identity, False, 2, True, (3, 3)),
        pytest.param((2, 2, 2), identity, False, 4, True, (6, 3), marks=pytest.mark.slow),
        pytest.param((1, 3, 1), identity, False, 2, True, (9, 5), marks=pytest.mark.slow),
        pytest.param((2, 3, 1), jax.nn.relu, False, 2, True, (3, 3), marks=pytest.mark.slow),
        pytest.param((1, 2, 1), jnp.exp, "hidden", 2, False, (2, 2), marks=pytest.mark.slow),
    ],
    ids=["2-2-2", "2-2-2 of degree 4", "1-3-1", "ReLU 2-3-1", "exp with bias"],
)
def test_polynomial_laws(sizes, activation, bias, degree, homogeneous, expected):
    params, apply = network(sizes, activation, bool(bias))
    if bias:  # an output bias has no law of its own
        params = [params[0], {"w": params[1]["w"]}]
    x = (0.7 if activation is jnp.exp else 2.0) * jax.random.normal(jax.random.key(1), (40, sizes[0]))
    found = noether.polynomial_laws(apply, params, x, degree, homogeneous=homogeneous)
    print(found)
    assert (found.linear, found.functional) == expected and found.gap > 1e6
    assert noether.check_law(found.laws[-1], apply, params, x, key=jax.random.key(9)).defect < 1e-9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: noether.Generator(3), "field"),
        (lambda: noether.from_action(None), "action"),
        (lambda: noether.exact_for(3, (1,)), "group"),
        (lambda: noether.exact_for(mf.cyclic(3), ()), "degrees"),
        (lambda: noether.invariant_degrees(mf.cyclic(3), 0), "maximum"),
        (lambda: noether.angular_momentum(jnp.sum, jnp.ones((3, 2)), lambda p: p, np.eye(2)), "antisymmetric"),
        (lambda: noether.momentum_skew(*LAYERS, friction=-1.0), "friction"),
        (lambda: noether.polynomial_laws(product, pair(), INPUTS, 9), "monomials"),
        (lambda: noether.count_laws(product, pair(), INPUTS, method="signs"), "method"),
        (lambda: noether.count_laws(product, pair(), INPUTS, friction=-1.0), "friction"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(mf.ArgumentError, match=words):
        call()
