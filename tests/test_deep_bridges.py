"""Deep networks and the rest of the library: the laws that are found, the infinite-width twin of one hidden layer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mfsym as mf

deep = mf.deep
DIM, RATE, STEPS, BATCH = 5, 0.4, 20, 512


@pytest.mark.slow
@pytest.mark.parametrize("scaling", [deep.mup(2), deep.ip(2)], ids=["mup", "ip"])
def test_the_laws_of_layers_are_those_that_are_found(scaling):
    """With rates η_l m^{−c_l}, w/√rate moves by a plain gradient flow, whose laws are those of the layers, 2 m of them."""
    width, rates = 2, (1.0, 0.3, 2.0)
    model = deep.Perceptron(scaling, 2, width, 1, jax.nn.relu, key=jax.random.key(0))
    roots = [np.sqrt(rate * width ** (-c)) for rate, c in zip(rates, scaling.c, strict=True)]

    def network(params):
        return eqx.tree_at(lambda each: each.weights, model, tuple(root * w for root, w in zip(roots, params, strict=True)))

    def apply(params, x):
        return network(params)(x)

    params = tuple(weight / root for weight, root in zip(model.weights, roots, strict=True))
    x = jax.random.normal(jax.random.key(1), (16, 2))
    found = mf.noether.discover(apply, params, x)
    print(found)
    assert found.complete and found.count.generic == 2 * width
    for law in deep.layer_laws(scaling, width, rates=rates):
        moved = mf.noether.Law(law.name, lambda params, law=law: law(network(params)))
        check = mf.noether.check_law(moved, apply, params, x)
        assert check.holds and check.rank == width
    wrong = deep.layer_laws(scaling, width, rates=(1.0, 1.0, 1.0))[0]
    assert not mf.noether.check_law(mf.noether.Law("", lambda p: wrong(network(p))), apply, params, x).holds


def outputs(width, seed, test):
    """Of a network in mup after its steps on fresh Gaussian inputs."""
    keys = jax.random.split(jax.random.key(seed), 2)
    scaling = deep.mup(1)
    model = deep.Perceptron(scaling, DIM, width, 1, jax.nn.relu, key=keys[0], gain=1.0)
    rule = deep.optimiser(scaling, width, RATE)

    def loss(network, x):
        return jnp.mean((jax.vmap(network)(x)[:, 0] - jnp.sin(x[:, 0])) ** 2) / 2

    def step(carry, key):
        network, state = carry
        gradient = jax.grad(loss)(network, jax.random.normal(key, (BATCH, DIM)))
        change, state = rule.update(gradient, state, network)
        return (eqx.apply_updates(network, change), state), None

    (model, _), _ = jax.lax.scan(step, (model, rule.init(model)), jax.random.split(keys[1], STEPS))
    return jax.vmap(model)(test)[:, 0]


@pytest.mark.slow
def test_one_hidden_layer_tends_to_its_twin(standard_promotion):
    """The risk of mup networks after 20 steps on fresh batches lies above the twin's by an amount ~ 1/m."""
    layers = optax.multi_transform({"a": optax.sgd(RATE), "b": optax.sgd(RATE)}, ("a", "b"))
    options = {"loss": "half square", "steps": STEPS, "batch": BATCH, "activation": jax.nn.relu}
    target, start = mf.SingleIndex(jnp.sin, kinks=()), mf.GaussianStart(1.0, 1.0)
    run = mf.twin("mup", layers, mf.Gaussian(DIM), target, start=start, **options).solve(at=(0, STEPS))
    test = jax.random.normal(jax.random.key(7), (2048, DIM))
    y, limit = jnp.sin(test[:, 0]), mf.predict(run, test)
    gaps = []
    for width in (16, 64, 256):
        found = jax.jit(jax.vmap(lambda seed, width=width: outputs(width, seed, test)))(jnp.arange(64))
        gaps.append(float(jnp.mean((found - y[None]) ** 2) - jnp.mean((limit - y) ** 2)) / 2)  # on common inputs
    print(float(run.risk[0]), float(run.risk[-1]), gaps)
    assert abs(gaps[-1]) < 0.02 * float(run.risk[-1])
    assert -1.3 < np.polyfit(np.log([16, 64, 256]), np.log(gaps), 1)[0] < -0.7
