"""Nine training loops as one finds them, in numpy, optax with equinox, and PyTorch, none of which knows of this library.

Each is built at a width and a seed, and is `step`, one step on its own data, `outputs`, the network at inputs [n, d], and
the arguments of its twin.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import ndtri
from scipy.stats import qmc

import mfsym as mf
from mfsym.problem.losses import losses

DIM, BATCH, ALL = 8, 512, 2048


class Running(NamedTuple):
    """A loop at one width, ready to run."""

    step: Callable[[], None]
    outputs: Callable[[np.ndarray], np.ndarray]
    model: Any
    optimiser: Any
    options: dict[str, Any]


def absolute(x1):
    return abs(x1)


def wave(x1):
    return jnp.sin(1.5 * x1) if isinstance(x1, jax.Array) else np.sin(1.5 * x1)


def hump(x1):
    return jnp.cos(x1) if isinstance(x1, jax.Array) else np.cos(x1)


def odds(x1):
    return jnp.tanh(2 * x1) if isinstance(x1, jax.Array) else np.tanh(2 * x1)


def directions(rng, width, length=1.0):
    b = rng.standard_normal((width, DIM))
    return length * b / np.linalg.norm(b, axis=1, keepdims=True)


def signs(width):
    return np.where(np.arange(width) % 2, 1.0, -1.0)


def whole(seed):
    """A data set that stands for the normal law: scrambled Sobol points."""
    return ndtri(np.clip(qmc.Sobol(DIM, seed=seed).random(ALL), 1e-9, 1 - 1e-9))


def numpy_relu(width, seed):
    """ReLU without biases, f = (1/m) Σ, ½ square loss, gradient descent on all data, by hand."""
    rng = np.random.default_rng(seed)
    a, b, x = signs(width), directions(rng, width), whole(seed)
    y, rate, start = np.abs(x[:, 0]), 0.1 * width, (a.copy(), b.copy())

    def step():
        z = x @ b.T
        h = np.maximum(z, 0)
        error = (h @ a / width - y) / len(x)
        da, db = h.T @ error / width, ((error[:, None] * (z > 0)) * a / width).T @ x
        a[:], b[:] = a - rate * da, b - rate * db

    def outputs(x):
        return np.maximum(x @ b.T, 0) @ a / width

    options = {"loss": "half square", "scale": "1/m", "activation": jax.nn.relu}
    return Running(step, outputs, start, {"name": "sgd", "learning_rate": rate}, options)


def optax_loop(params, objective, forward, optimiser, batches):
    """step and outputs of a loop in optax."""
    box = [params, optimiser.init(eqx.filter(params, eqx.is_inexact_array))]

    @eqx.filter_jit
    def update(params, state, x, y):
        gradients = eqx.filter_grad(objective)(params, x, y)
        updates, state = optimiser.update(gradients, state, eqx.filter(params, eqx.is_inexact_array))
        return eqx.apply_updates(params, updates), state

    jitted = eqx.filter_jit(forward)

    def step():
        with jax.numpy_dtype_promotion("standard"):  # schedules of optax mix dtypes
            box[:] = update(*box, *batches())

    return step, lambda x: np.asarray(jitted(box[0], jnp.asarray(x)))


def fresh(rng, g):
    def batches():
        x = rng.standard_normal((BATCH, DIM))
        return jnp.asarray(x), jnp.asarray(g(x[:, 0]))

    return batches


def optax_relu_momentum(width, seed):
    """ReLU without biases, no factor before the sum, square loss without ½, two rates, momentum, minibatches."""
    rng = np.random.default_rng(seed)
    params = jnp.asarray(signs(width) / width), jnp.asarray(directions(rng, width))
    layers = {"out": optax.sgd(0.02 / width, momentum=0.7), "in": optax.sgd(0.02 * width, momentum=0.7)}
    optimiser = optax.multi_transform(layers, ("out", "in"))

    def forward(params, x):
        return jax.nn.relu(x @ params[1].T) @ params[0]

    def objective(params, x, y):
        return jnp.mean((forward(params, x) - y) ** 2)

    step, outputs = optax_loop(params, objective, forward, optimiser, fresh(rng, absolute))
    options = {"loss": lambda f, y: jnp.mean((f - y) ** 2), "batch": BATCH, "activation": jax.nn.relu}
    return Running(step, outputs, params, optimiser, options)


def perceptron(width, seed, activation, length, bias):
    """An equinox MLP with ±1/m and directions of one length, biases of one value."""
    net = eqx.nn.MLP(DIM, "scalar", width, 1, activation=activation, key=jax.random.key(seed))
    b = jnp.asarray(directions(np.random.default_rng(seed), width, length))
    places = lambda net: (net.layers[0].weight, net.layers[0].bias, net.layers[1].weight, net.layers[1].bias)  # noqa: E731
    values = b, jnp.full(width, bias), jnp.asarray(signs(width))[None], jnp.zeros(1)
    return eqx.tree_at(places, net, values)


def equinox_gelu(width, seed):
    """GELU with biases, f = net/m, momentum and coupled decay, minibatches."""
    net = perceptron(width, seed, jax.nn.gelu, 1.0, 0.0)
    optimiser = optax.chain(optax.add_decayed_weights(0.02 / width), optax.sgd(0.1 * width, momentum=0.5))

    def forward(net, x):
        return jax.vmap(net)(x) / width

    def objective(net, x, y):
        return jnp.mean(optax.l2_loss(forward(net, x), y))

    step, outputs = optax_loop(net, objective, forward, optimiser, fresh(np.random.default_rng(seed + 1), absolute))
    return Running(step, outputs, net, optimiser, {"loss": optax.l2_loss, "batch": BATCH, "scale": "1/m"})


def equinox_tanh(width, seed):
    """tanh with biases, f = net/m, cross entropy on noisy labels, plain descent, minibatches."""
    net = perceptron(width, seed, jnp.tanh, 1.0, 0.25)
    optimiser, rng = optax.sgd(0.3 * width), np.random.default_rng(seed + 1)

    def forward(net, x):
        return jax.vmap(net)(x) / width

    def objective(net, x, y):
        return jnp.mean(jnp.logaddexp(0.0, -y * forward(net, x)))

    def batches():
        x = rng.standard_normal((BATCH, DIM))
        labels = np.where(rng.uniform(-1, 1, BATCH) < odds(x[:, 0]), 1.0, -1.0)
        return jnp.asarray(x), jnp.asarray(labels)

    step, outputs = optax_loop(net, objective, forward, optimiser, batches)
    return Running(step, outputs, net, optimiser, {"loss": "logistic", "batch": BATCH, "scale": "1/m"})


def equinox_schedule(width, seed):
    """tanh with biases, f = net/m, momentum, minibatches, a rate that warms up from 0 and falls as a cosine."""
    net = perceptron(width, seed, jnp.tanh, 1.5, 0.25)
    schedule = optax.warmup_cosine_decay_schedule(0.0, 0.25 * width, 5, 30, 0.02 * width)
    optimiser = optax.sgd(schedule, momentum=0.5)

    def forward(net, x):
        return jax.vmap(net)(x) / width

    def objective(net, x, y):
        return jnp.mean(optax.l2_loss(forward(net, x), y))

    step, outputs = optax_loop(net, objective, forward, optimiser, fresh(np.random.default_rng(seed + 1), wave))
    return Running(step, outputs, net, optimiser, {"loss": optax.l2_loss, "batch": BATCH, "scale": "1/m"})


def optax_tanh_root(width, seed):
    """tanh with biases, f = (1/√m) Σ with weights of size 1/√m, Huber's loss, gradient descent on all data."""
    rng, x = np.random.default_rng(seed), jnp.asarray(whole(seed))
    a, b, bias = signs(width) / np.sqrt(width), directions(rng, width, 1.5), np.full(width, 0.25)
    params = tuple(map(jnp.asarray, (a, b, bias)))
    layers = {"out": optax.sgd(0.2), "in": optax.sgd(0.2 * width)}
    optimiser = optax.multi_transform(layers, ("out", "in", "in"))

    def forward(params, x):
        return jnp.tanh(x @ params[1].T + params[2][None]) @ params[0] / jnp.sqrt(width)

    def objective(params, x, y):
        return jnp.mean(optax.huber_loss(forward(params, x), y, delta=0.5))

    step, outputs = optax_loop(params, objective, forward, optimiser, lambda: (x, wave(x[:, 0])))
    options = {"loss": lambda f, y: optax.huber_loss(f, y, delta=0.5), "scale": "1/sqrt(m)", "activation": jnp.tanh}
    return Running(step, outputs, params, optimiser, options)


def torch_loop(net, optimiser, loss, scale, rng, g, direction=np.eye(DIM)[0]):
    """step and outputs of a loop in PyTorch, for y = g(direction·x)."""
    import torch

    def step():
        x = rng.standard_normal((BATCH, DIM))
        y, x = torch.as_tensor(g(x @ direction)), torch.as_tensor(x)
        value = loss(scale * net(x)[:, 0], y)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    def outputs(x):
        with torch.no_grad():
            return scale * net(torch.tensor(x))[:, 0].numpy()

    return step, outputs


def torch_net(width, seed, activation, bias=True):
    import torch

    torch.manual_seed(seed)
    layers = torch.nn.Linear(DIM, width, bias=bias), activation, torch.nn.Linear(width, 1, bias=bias)
    return torch.nn.Sequential(*layers).double()


def torch_gelu(width, seed):
    """GELU with biases, MSELoss, Gaussian weights, momentum, one rate for each layer."""
    import torch

    net, rng = torch_net(width, seed, torch.nn.GELU()), np.random.default_rng(seed)
    with torch.no_grad():
        net[0].weight.normal_(0, DIM**-0.5)
        net[0].bias.normal_(0, 0.3)
        net[2].weight.normal_(0, 1 / width)
        net[2].bias.zero_()
    groups = [{"params": net[0].parameters(), "lr": 0.03 * width}, {"params": net[2].parameters(), "lr": 0.03 / width}]
    optimiser, loss = torch.optim.SGD(groups, lr=1.0, momentum=0.5), torch.nn.MSELoss()
    step, outputs = torch_loop(net, optimiser, loss, 1.0, rng, hump)
    start = mf.BiasedStart(mf.GaussianStart(1.0, 1.0), 0.0, 0.3)
    return Running(step, outputs, net, optimiser, {"loss": loss, "batch": BATCH, "start": start})


def torch_relu_decay(width, seed):
    """ReLU without biases, net/m, MSELoss, weight decay of torch.optim.SGD."""
    import torch

    net, rng = torch_net(width, seed, torch.nn.ReLU(), bias=False), np.random.default_rng(seed)
    with torch.no_grad():
        net[0].weight.copy_(torch.as_tensor(directions(rng, width)))
        net[2].weight.copy_(torch.as_tensor(signs(width))[None])
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05 * width, weight_decay=0.04 / width)
    loss = torch.nn.MSELoss()
    step, outputs = torch_loop(net, optimiser, loss, 1 / width, rng, absolute)
    return Running(step, outputs, net, optimiser, {"loss": loss, "batch": BATCH, "scale": "1/m"})


def torch_default(width, seed):
    """tanh with biases, PyTorch's default initialisation, its output layer divided by √m; rates of "mup".

    What is learnt lies along a diagonal of the box that the weights of a neuron are uniform in.
    """
    import torch

    net, rng = torch_net(width, seed, torch.nn.Tanh()), np.random.default_rng(seed)
    with torch.no_grad():
        net[2].weight.div_(width**0.5)
        net[2].bias.div_(width**0.5)
    groups = [{"params": net[0].parameters(), "lr": 0.15 * width}, {"params": net[2].parameters(), "lr": 0.15 / width}]
    optimiser, loss = torch.optim.SGD(groups, lr=1.0), torch.nn.MSELoss()
    step, outputs = torch_loop(net, optimiser, loss, 1.0, rng, wave, DIAGONAL)
    size = 3**-0.5
    start = mf.IndependentStart("uniform", "normal", size, size)  # b in a box is taken for Gaussian
    start = mf.BiasedStart(start, 0.0, size / np.sqrt(DIM), "uniform")
    return Running(step, outputs, net, optimiser, {"loss": loss, "batch": BATCH, "start": start})


DIAGONAL = np.full(DIM, DIM**-0.5)
_AXIS = (DIAGONAL - np.eye(DIM)[0]) / np.linalg.norm(DIAGONAL - np.eye(DIM)[0])
MIRROR = np.eye(DIM) - 2 * np.outer(_AXIS, _AXIS)  # takes the first axis to the diagonal, and back

LOOPS = {
    "numpy ReLU": (numpy_relu, mf.SingleIndex(absolute)),
    "optax ReLU, momentum": (optax_relu_momentum, mf.SingleIndex(absolute)),
    "equinox GELU, momentum, decay": (equinox_gelu, mf.SingleIndex(absolute)),
    "equinox tanh, logistic": (equinox_tanh, mf.SingleIndex(odds, kinks=())),
    "equinox tanh, schedule": (equinox_schedule, mf.SingleIndex(wave, kinks=())),
    "optax tanh, 1/sqrt(m)": (optax_tanh_root, mf.SingleIndex(wave, kinks=())),
    "torch GELU, momentum": (torch_gelu, mf.SingleIndex(hump, kinks=())),
    "torch ReLU, decay": (torch_relu_decay, mf.SingleIndex(absolute)),
    "torch default tanh": (torch_default, mf.Rotated(mf.SingleIndex(wave, kinks=()), MIRROR)),
}


def losses_of(running, twin, x, y, at):
    """The loss of the loop at inputs x [n, d] after these numbers of steps, [T, n]."""
    rows, done = [], 0
    for step in at:
        for _ in range(step - done):
            running.step()
        done = step
        rows.append(twin.loop.loss.factor * losses(twin.problem.loss, jnp.asarray(running.outputs(np.asarray(x))), y))
    return np.stack(rows)
