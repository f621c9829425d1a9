"""What holds at every width, or in the limit in closed form: equivalences of scalings, kernels, the first step."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf

deep = mf.deep
KEY = jax.random.key(0)
X, Z = jnp.array([1.0, -0.5, 0.3, 0.8]), jnp.array([0.2, 1.0, -0.7, 0.4])
CHI = jnp.array([0.5, -0.7, 0.2])
DEGREE_ONE = "(degree 1)"


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "activation"), [(1, jax.nn.relu), (3, jax.nn.relu), (4, jax.nn.leaky_relu)])
def test_equivalences_are_exact(depth, activation, standard_promotion):
    found = deep.equivalences(depth, 90, activation=activation, key=jax.random.key(depth))
    assert len(found) == 10 + (depth == 1)
    assert max(found.values()) < 1e-10, found
    assert {name: value for name, value in found.items() if value > 2e-13 and "after a step" not in name} == {}


@pytest.mark.slow
def test_equivalences_of_a_smooth_activation(standard_promotion):
    """What needs no degree holds for tanh; what needs one fails there, by more than rounding."""
    found = deep.equivalences(3, 100, activation=jax.nn.gelu, key=KEY)
    needs = {name for name in found if DEGREE_ONE in name or "(homogeneous)" in name}
    assert all(found[name] < 2e-12 for name in found if name not in needs), found
    assert all(found[name] > 1e-3 for name in needs), found


@pytest.mark.slow
def test_the_first_update_of_other_degrees(standard_promotion):
    found = deep.equivalences(3, 90, activation=lambda z: jax.nn.relu(z) ** 2, key=KEY)
    assert found["first update of ip_llr = mup's (homogeneous)"] < 1e-12
    assert found["tangent kernel of ip = powers of m times ntk's (degree 1)"] > 1e-3


@pytest.mark.parametrize(
    ("depth", "activation", "expected"),
    [
        (1, jax.nn.relu, (-0.0443534446, 0.1226039847)),
        (2, jax.nn.relu, (-0.0260085979, 0.0359471261, 0.2121334253)),
        (3, jax.nn.relu, (-0.0169976154, 0.0234928245, 0.0693186615, 0.2675967972)),
        (2, jnp.tanh, (-0.0704463721709, -0.0176000318385, -0.0175943766287)),
        (2, functools.partial(jax.nn.gelu, approximate=False), (-0.0493357708253, 0.0401385486724, 0.5610377397751)),
    ],
)
def test_limits_of_the_tangent_kernel(depth, activation, expected):
    found = deep.limit_kernels(depth, activation, X, Z)
    np.testing.assert_allclose(found.parts, expected, atol=1e-10)
    assert found.covariances.shape == (depth, 3)


def test_a_homogeneous_kernel_by_another_route():
    """Leaky ReLU in closed form, against its two halves on a fine grid of angles."""
    slope, depth, count = 0.2, 2, 200_000
    found = deep.limit_kernels(depth, lambda z: jnp.where(z > 0, z, slope * z), X, Z)
    angles = 2 * np.pi * (np.arange(count) + 0.5) / count
    gain2, q = 2 / (1 + slope**2), np.array([X @ X, X @ Z, Z @ Z]) / 4
    parts = []
    for layer in range(depth):
        q = q * gain2 if layer == 0 else q
        root = np.sqrt(q[0])
        u, v = root * np.cos(angles), q[1] / root * np.cos(angles) + np.sqrt(q[2] - q[1] ** 2 / q[0]) * np.sin(angles)
        leaky, steep = (lambda z: np.where(z > 0, z, slope * z)), (lambda z: np.where(z > 0, 1, slope))
        kernel = [2 * np.mean(leaky(a) * leaky(b)) for a, b in ((u, u), (u, v), (v, v))]  # E r² = 2
        parts.append((kernel[1], np.mean(steep(u) * steep(v))))
        q = gain2 * np.array(kernel)
    (first, s1), (second, s2) = parts
    np.testing.assert_allclose(found.parts, [s1 * s2 * gain2 * float(X @ Z), s2 * first, second], rtol=1e-5)


@pytest.mark.slow
def test_kernels_of_networks_tend_to_the_limit():
    parts = [
        deep.kernel_parts(deep.Perceptron(deep.ntk(2), 4, 1024, 1, jax.nn.relu, key=key), X, Z)
        for key in jax.random.split(KEY, 24)
    ]
    mean, error = np.mean(parts, axis=0), np.std(parts, axis=0) / np.sqrt(24)
    limit = deep.limit_kernels(2, jax.nn.relu, X, Z).parts
    assert np.all(np.abs(mean - limit) < 4 * error)


FIRST_STEPS = {
    "mup 1": (deep.mup(1), (1, 1.5), -0.783452988237, -0.071545135016),
    "mup 2": (deep.mup(2), (1, 2, 1.5), -1.003310601733, -0.185841137399),
    "mup 3": (deep.mup(3), (1, 2, 3, 1.5), -1.476548877460, -0.342594276983),
    "ip_llr 1": (deep.ip_llr(1), (1, 1.5), -0.783452988237, -0.071545135016),
    "ip_llr 2": (deep.ip_llr(2), (1, 2, 1.5), -0.278596195981, -0.057471718953),
    "ip_llr 3": (deep.ip_llr(3), (1, 2, 3, 1.5), -0.116891105815, -0.024113512239),
    "ip 2": (deep.ip(2), (1, 2, 1.5), -0.12375, -0.030650996177),
}


@pytest.mark.parametrize("name", FIRST_STEPS)
def test_the_network_after_its_first_step(name):
    scaling, rates, at_x, at_z = FIRST_STEPS[name]
    found = deep.first_step_limit(scaling, X, CHI, jnp.stack([X, Z]), rates=rates)
    np.testing.assert_allclose(found[:, 0], [at_x, at_z], atol=1e-10)
    np.testing.assert_allclose(found[0] / found[0, 0], CHI / CHI[0], rtol=1e-12)


def test_the_first_step_is_differentiable():
    """In a rate of a layer, against a central difference."""

    def output(rate):
        return deep.first_step_limit(deep.mup(3), X, CHI, jnp.stack([X, Z]), rates=(1.0, rate, 3.0, 1.5))[1, 0]

    central = (output(2.0 + 1e-5) - output(2.0 - 1e-5)) / 2e-5
    assert float(jax.grad(output)(2.0)) == pytest.approx(float(central), rel=1e-7)


def _after_a_step(scaling, rates, width, key):
    """A network under the loss χ·f, whose derivative at any output is χ, after its first step."""
    model = deep.Perceptron(scaling, 4, width, 3, jax.nn.relu, key=key)
    rule = (
        deep.optimiser(scaling, width, rates[0], first_rates=rates)
        if scaling.c_first
        else deep.optimiser(scaling, width, rates)
    )
    gradient = eqx.filter_grad(lambda network: network(X) @ CHI)(model)
    model = eqx.apply_updates(model, rule.update(gradient, rule.init(model))[0])
    return jax.vmap(model)(jnp.stack([X, Z]))


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_networks_tend_to_their_first_step(depth):
    """Deviations of mup fall like m^(−½), and the mean of 64 networks lies at the limit within three standard errors."""
    rates, scaling = (1.0, *(2.0,) * (depth - 1), 1.5), deep.mup(depth)
    limit = deep.first_step_limit(scaling, X, CHI, jnp.stack([X, Z]), rates=rates)
    widths, keys = (128, 256, 512, 1024), jax.random.split(jax.random.key(depth), (8, 8))
    found = [
        jax.jit(lambda keys, m=m: jax.lax.map(jax.vmap(lambda key: _after_a_step(scaling, rates, m, key)), keys))(keys)
        for m in widths
    ]
    found = [each.reshape(64, 2, 3) for each in found]
    sizes = [float(jnp.sqrt(jnp.mean((each - limit[None]) ** 2))) for each in found]
    slope = np.polyfit(np.log(widths), np.log(sizes), 1)[0]
    print(f"depth {depth}: slope {slope:.3f}, deviations {sizes}")
    assert -0.65 <= slope <= -0.35
    error = jnp.std(found[-1], axis=0, ddof=1) / 8
    assert jnp.all(jnp.abs(jnp.mean(found[-1], axis=0) - limit) <= 3 * error)


@pytest.mark.parametrize(
    ("scaling", "words"),
    [
        (deep.standard(2), "standard for sgd"),
        (deep.ip(3), "where the limit stays 0"),
        (deep.ip(1), "pass that"),
        (deep.mup(2, "adam"), "mup for adam"),
        (deep.ip_llr(2, first_steps=0), "ip_llr for sgd"),
    ],
    ids=["standard", "ip 3", "ip 1", "adam", "no first step"],
)
def test_first_steps_without_a_limit_are_refused(scaling, words):
    with pytest.raises(mf.ArgumentError, match=words):
        deep.first_step_limit(scaling, X, CHI, X[None], rates=(1.0,) * (scaling.depth + 1))


def test_a_limit_is_not_that_of_another_scaling_of_the_same_name():
    other = deep.Scaling("mup", (0, 0, 0), (0, 0.5, 0.5), (0, 0, 0))
    with pytest.raises(mf.ArgumentError, match="one of other exponents with the name mup"):
        deep.first_step_limit(other, X, CHI, X[None], rates=(1, 2, 1.5))
    found = deep.first_step_limit(deep.mup(2).normalised(), X, CHI, X[None], rates=(1, 2, 1.5))
    np.testing.assert_allclose(found[0, 0], FIRST_STEPS["mup 2"][2], atol=1e-10)


def test_kernels_without_a_closed_form_are_refused():
    for activation in (lambda z: jax.nn.relu(z) ** 2, jax.nn.selu):
        with pytest.raises(mf.ArgumentError, match="smooth, or homogeneous of degree 1"):
            deep.limit_kernels(2, activation, X, Z)


def test_laws_hold_with_the_rates_of_a_scaling_only():
    """‖w_out‖² and ‖w_in‖² in the rates of ip; those of ntk are other ones, and no law of ip."""
    model = deep.Perceptron(deep.ip(2), 4, 30, 3, jax.nn.relu, key=KEY)
    rule = deep.optimiser(deep.ip(2), 30, 0.1)
    gradient = jax.grad(lambda network: jnp.sum((network(X) - CHI) ** 2))(model)
    after = eqx.apply_updates(model, rule.update(gradient, rule.init(model))[0])
    change = jax.tree.map(jnp.subtract, after, model)

    def defects(scaling):
        return [
            float(jnp.max(jnp.abs(law(after) - law(model) - law(change))) / jnp.max(law.size(change)))
            for law in deep.layer_laws(scaling, 30)
        ]

    assert max(defects(deep.ip(2))) < 1e-6
    assert max(defects(deep.ntk(2))) > 1e-3


def test_large_first_rates_break_the_laws_of_the_outer_layers_alone():
    """Rates of hidden layers move together in the first step of ip_llr, so that the law between two of them holds."""
    scaling = deep.ip_llr(3)
    model = deep.Perceptron(scaling, 4, 30, 3, jax.nn.relu, key=KEY)
    rule = deep.optimiser(scaling, 30, 0.1)
    gradient = jax.grad(lambda network: jnp.sum((network(X) - CHI) ** 2))(model)
    after = eqx.apply_updates(model, rule.update(gradient, rule.init(model))[0])
    change = jax.tree.map(jnp.subtract, after, model)
    broken = [
        float(jnp.max(jnp.abs(law(after) - law(model) - law(change))) / jnp.max(law.size(change)))
        for law in deep.layer_laws(scaling, 30)
    ]
    assert broken[1] < 1e-6 and min(broken[0], broken[2]) > 1e-3, broken


def test_ranks():
    h = jax.random.normal(KEY, (20, 3)) @ jax.random.normal(jax.random.key(1), (3, 40))
    assert deep.numerical_rank(h) == 3
    assert deep.trace_rank(jnp.eye(5)) == pytest.approx(5)
    assert deep.trace_rank(h) <= 3
