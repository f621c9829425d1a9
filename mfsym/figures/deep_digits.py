"""Networks of several scalings trained on digits: losses, accuracies, and what one step makes of their layers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from ..deep import Perceptron, calibrate, ip, ip_bias, ip_llr, ip_noncentred, mup, optimiser
from .digits import Images

UNITS = {"ReLU": jax.nn.relu, "GELU": jax.nn.gelu, "ELU": jax.nn.elu, "tanh": jnp.tanh}
SCALINGS = {"mup": mup, "ip_llr": ip_llr, "ip_bias": ip_bias, "ip_noncentred": ip_noncentred}
_RATE = 0.2


def train(model: Perceptron, rule: optax.GradientTransformation, data: Images, steps: int) -> tuple[Perceptron, Array]:
    """The network after some steps on all images, and the losses before each."""

    def mean_loss(network: Perceptron) -> Array:
        return jnp.mean(optax.softmax_cross_entropy(jax.vmap(network)(data.x), data.y))

    update: Any = rule.update  # a network is a pytree of arrays, which optax's own types do not say

    def step(carry: Any, _: None) -> tuple[Any, Array]:
        network, state = carry
        loss, gradient = jax.value_and_grad(mean_loss)(network)
        change, state = update(gradient, state, network)
        return (eqx.apply_updates(network, change), state), loss

    run = eqx.filter_jit(lambda carry: jax.lax.scan(step, carry, length=steps))
    (model, _), losses = run((model, rule.init(eqx.filter(model, eqx.is_array))))
    return model, losses


def losses_of_ip(depth: int, width: int, data: Images, steps: int, key: PRNGKeyArray) -> np.ndarray:
    """Of ReLU networks, before each step."""
    model = Perceptron(ip(depth), 64, width, 10, jax.nn.relu, key=key)
    return np.asarray(train(model, optimiser(model.scaling, width, _RATE), data, steps)[1])


def _first_rates(model: Perceptron, data: Images, rate: float = _RATE) -> tuple[float, ...]:
    """Those that move every layer, where the first step has rates of its own."""
    if model.scaling.c_first is None:
        return (rate,) * (model.scaling.depth + 1)
    half = data.x.shape[0] // 2
    return calibrate(model, optax.softmax_cross_entropy, (data.x[:half], data.y[:half]), data.x[half:])


def accuracy(scaling: Any, activation: Any, data: Images, width: int, steps: int, key: PRNGKeyArray) -> float:
    """On the images that were not trained on, of a network of five hidden layers."""
    model = Perceptron(scaling(5), 64, width, 10, activation, key=key)
    rule = optimiser(model.scaling, width, _RATE, first_rates=_first_rates(model, data))
    model, losses = train(model, rule, data, steps)
    if not np.all(np.isfinite(losses)):
        return float("nan")
    found = jnp.argmax(jax.vmap(model)(data.x_test), axis=1)
    return float(jnp.mean(found == jnp.argmax(data.y_test, axis=1)))


def stepped(scaling: Any, activation: Any, data: Images, width: int, key: PRNGKeyArray) -> Perceptron:
    """A network of five hidden layers after one step."""
    model = Perceptron(scaling(5), 64, width, 10, activation, key=key)
    rule = optimiser(model.scaling, width, 1.0, first_rates=_first_rates(model, data, 1.0))
    return train(model, rule, data, 1)[0]


def spectra(data: Images, width: int, key: PRNGKeyArray) -> dict[str, np.ndarray]:
    """Singular values of the last hidden layer [images, m] after one step, over the largest."""
    found = {}
    cases = {"mup, ReLU": (mup, jax.nn.relu)} | {f"ip_llr, {n}": (ip_llr, UNITS[n]) for n in ("ReLU", "GELU", "tanh")}
    for name, (scaling, activation) in cases.items():
        model = stepped(scaling, activation, data, width, key)
        last = jax.vmap(lambda x, network=model: network.preactivations(x)[-2])(data.x)
        values = np.linalg.svd(np.asarray(last), compute_uv=False)
        found[name] = values / values[0]
    return found
