"""What training cannot change, and what changes it all the same: finite steps, optimisers, data that is nearly symmetric.

Four panels. The largest drift of the laws of a layer at one time against the length of the step, for three methods: on a
linear network it falls with their order, on ReLU units, with kinks, with the first. One law of a network under three
optimisers: its value, what finite steps alone would have made of it, and the part that the optimiser broke. The angular
momentum of the first layer on data closed under rotations by 2π/m, for units that are powers and for others; squares
below say where a rule makes it exactly 0. And the law q = ‖b‖² − a² of the neurons of a cloud, as a distribution: the flow
keeps it, finite steps and decay do not. (Experiment of our own, after Głuch & Urbanke, arXiv:2104.05508.)
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..groups import cyclic
from ..neurons import Particles
from ..noether import angular_momentum, balance, cloud_law, drift, drift_order, exact_for, track, unit_norms
from ..particles.flow import solve_particles
from ..plot.artists import Axes, AxesLike, Figure
from ..plot.canvas import GREY, INK, MINUS, PLUS, SHADE, finish, line_key, panels, style
from ..problem.inputs import Gaussian
from ..problem.problem import Problem
from ..problem.targets import LinearTarget
from ..problem.training import Training
from ..problem.units import ReLU
from ..types import Options
from .base import Experiment

TIME, STEPS = 2.0, (20, 40, 80, 160, 320)
METHODS = {"euler": ("gradient descent", INK), "heun": ("Heun", MINUS), "rk4": ("RK4", PLUS)}
OPTIMISERS = {
    "SGD": optax.sgd(0.05),
    "momentum": optax.sgd(0.01, momentum=0.9),
    "Adam": optax.adam(1e-2),
}
UNITS = {  # and the degrees of those that are powers
    "$z$": (lambda z: z, (1,)),
    "$z^2$": (lambda z: z**2, (2,)),
    "$z^3$": (lambda z: z**3, (3,)),
    "tanh": (jnp.tanh, None),
    "ReLU": (jax.nn.relu, None),
}
LOSSES = {"squares": lambda r: r**2, "logistic": lambda r: jnp.logaddexp(0.0, r)}
CLOUDS = {
    "flow": Training(),
    r"steps $\eta=1/4$": Training(step=0.25),
    r"decay $\lambda=0.1$": Training(weight_decay=0.1),
}


class NoetherRecord(NamedTuple):
    """What the panels show.

    - `errors` [networks, methods, lengths]: the largest drift, linear and ReLU; `steps`, their numbers.
    - `values`, `predicted` [optimisers, times]: one law of a network.
    - `orders` m, and `momenta` [losses, units, orders]; `start` [m] and `ends` [trainings, m] of q.
    """

    steps: tuple[int, ...]
    errors: Float[np.ndarray, "networks methods lengths"]
    values: Float[np.ndarray, "optimisers times"]
    predicted: Float[np.ndarray, "optimisers times"]
    orders: tuple[int, ...]
    momenta: Float[np.ndarray, "losses units orders"]
    start: Float[np.ndarray, " m"]
    ends: Float[np.ndarray, "trainings m"]


def compute(
    key: PRNGKeyArray,
    steps: tuple[int, ...] = STEPS,
    updates: int = 150,
    orders: tuple[int, ...] = tuple(range(2, 13)),
    width: int = 800,
) -> NoetherRecord:
    """All four, with numbers of steps to the time 2, of updates, orders of rotations and neurons of the cloud."""
    keys = jax.random.split(key, 4)
    errors = np.array(
        [
            [drift_order(law, gradient, params, TIME, steps, method=method)[0] for method in METHODS]
            for law, gradient, params in _layers(keys[0])
        ]
    )
    loops = [_loop(optimiser, updates, keys[1]) for optimiser in OPTIMISERS.values()]
    values, predicted = (np.array(column) for column in zip(*loops, strict=True))
    momenta = np.array(
        [[[_turning(unit, loss, m, keys[2]) for m in orders] for unit, _ in UNITS.values()] for loss in LOSSES.values()]
    )
    return NoetherRecord(steps, errors, values, predicted, orders, momenta, *_clouds(width, keys[3]))


def _layers(key: PRNGKeyArray):
    """A law, the gradient of a loss, and parameters, of a linear network 3-4-2 and of one of ReLU units."""
    keys = jax.random.split(key, 4)
    params = {"in": jax.random.normal(keys[0], (4, 3)) / 2, "out": jax.random.normal(keys[1], (2, 4)) / 2}
    x, y = jax.random.normal(keys[2], (12, 3)), jax.random.normal(keys[3], (12, 2))

    def into(p):
        return p["in"]

    def out(p):
        return p["out"]

    for unit, law in ((lambda z: z, balance(into, out)), (jax.nn.relu, unit_norms(into, out))):
        yield law, jax.grad(lambda p, unit=unit: jnp.mean((unit(x @ p["in"].T) @ p["out"].T - y) ** 2)), params


def _loop(optimiser: optax.GradientTransformation, updates: int, key: PRNGKeyArray) -> tuple[np.ndarray, np.ndarray]:
    """The law of the unit that drifts most, and what finite steps make of it, after every update."""
    model = eqx.nn.MLP(4, 3, 8, 2, key=key)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    x = 2 * jax.random.normal(jax.random.fold_in(key, 1), (400, 4))
    law = unit_norms(lambda p: p.layers[0].weight, lambda p: p.layers[1].weight, bias=lambda p: p.layers[0].bias)
    watched = optax.chain(optimiser, track(law))

    def step(carry, _):
        params, state = carry
        gradient = jax.grad(lambda p: jnp.mean((jax.vmap(eqx.combine(p, static))(x) - 1) ** 2))(params)
        change, state = watched.update(gradient, state, params)
        seen: PyTree = state
        return (optax.apply_updates(params, change), state), (seen[-1].value[0], seen[-1].predicted[0])

    start = watched.init(params)
    run = jax.jit(lambda carry: jax.lax.scan(step, carry, length=updates))
    (_, last), (values, predicted) = run((params, start))
    seen = drift(last)
    unit = int(np.argmax(np.abs(seen.value[0] - seen.start[0])))
    value, prediction = (np.asarray(each)[:, unit] - seen.start[0][unit] for each in (values, predicted))
    return np.concatenate([[0.0], value]), np.concatenate([[0.0], prediction])


def _turning(unit, loss, m: int, key: PRNGKeyArray) -> float:
    """ρ of 24 neurons on 6 points turned by C_m, with labels that depend on the orbit alone."""
    keys = jax.random.split(key, 4)
    points, labels = jax.random.normal(keys[0], (6, 2)), jax.random.normal(keys[1], (6,))
    x = jnp.einsum("gij,nj->gni", cyclic(m).elements.astype(points.dtype), points).reshape(-1, 2)
    y = jnp.tile(labels, m)
    params = {"a": jax.random.normal(keys[2], (24,)), "w": jax.random.normal(keys[3], (24, 2))}
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])

    def risk(p):
        return jnp.mean(loss(unit(x @ p["w"].T) @ p["a"] / 24 - y))

    return float(angular_momentum(risk, params, lambda p: p["w"], turn))


def _clouds(width: int, key: PRNGKeyArray) -> tuple[np.ndarray, np.ndarray]:
    """q at the start and at t = 2, of neurons with ‖b‖ > |a|."""
    keys = jax.random.split(key)
    cloud = Particles(0.3 * jax.random.normal(keys[0], (width,)), jax.random.normal(keys[1], (width, 3)))
    problem, law = Problem(Gaussian(3), LinearTarget([1.0, 0.0, -1.0])), cloud_law(ReLU())

    def end(training: Training) -> Array:
        ts = jnp.array([0.0, TIME])
        run = solve_particles(problem, cloud, ts, training=training, observe={"q": law}, derivative="forward")
        return run.q[-1]

    return np.asarray(law(cloud)), np.array([end(training) for training in CLOUDS.values()])


_COLOURS = (INK, MINUS, PLUS, "#009E73", "#CC79A7")
_LEAST = 1e-17  # what is drawn of a rounding that is exactly 0


def draw(record: NoetherRecord, axes: AxesLike | None = None) -> Figure:
    """Drift against step, laws in a loop, angular momenta, distributions of q."""
    with style(axes):
        figure, grid = panels(axes, 2, 2, (9.6, 6.6))
        (steps, loops), (turning, clouds) = grid.reshape(2, 2)
        _draw_steps(steps, record)
        _draw_loops(loops, record)
        _draw_turning(turning, record)
        _draw_clouds(clouds, record)
        return finish(figure, axes)


def _draw_steps(ax: Axes, record: NoetherRecord) -> None:
    lengths = TIME / np.array(record.steps)
    looks: tuple[Options, ...] = ({"ls": "-", "marker": "o"}, {"ls": "--", "marker": "s", "mfc": "white"})
    for network, look in enumerate(looks):
        for errors, (_, colour) in zip(record.errors[network], METHODS.values(), strict=True):
            ax.plot(lengths, errors, color=colour, ms=3.4, **look)
    ax.set(xscale="log", yscale="log", xlabel=r"step $\tau$", ylabel="largest drift at $t=2$")
    linear, kinks = line_key("linear", GREY, marker="o", ms=3.4), line_key("ReLU", GREY, ls="--", marker="s", ms=3.4)
    ax.legend(handles=[*(line_key(*method) for method in METHODS.values()), linear, kinks])


def _draw_loops(ax: Axes, record: NoetherRecord) -> None:
    for colour, values, predicted in zip(_COLOURS, record.values, record.predicted, strict=False):
        ax.plot(values, color=colour)
        ax.plot(predicted, color=colour, ls="--", lw=1.0)
        ax.fill_between(np.arange(len(values)), predicted, values, color=colour, alpha=SHADE, lw=0)
    ax.set(xlabel="update", ylabel=r"$h-h(0)$ of one unit")
    names = [line_key(name, colour) for name, colour in zip(OPTIMISERS, _COLOURS, strict=False)]
    ax.legend(handles=[*names, line_key("by finite steps alone", GREY, ls="--", lw=1.0)])


def _draw_turning(ax: Axes, record: NoetherRecord) -> None:
    squares, logistic = record.momenta
    for row, (colour, (_, degrees), mean, other) in enumerate(zip(_COLOURS, UNITS.values(), squares, logistic, strict=True)):
        ax.plot(record.orders, np.maximum(mean, _LEAST), color=colour, marker="o", ms=3.4)
        ax.plot(record.orders, np.maximum(other, _LEAST), color=colour, ls=":", lw=1.0)
        if degrees is not None:
            exact = [m for m in record.orders if exact_for(cyclic(m), degrees)]
            ax.plot(exact, [_LEAST / 10 ** (1 + row)] * len(exact), color=colour, ls="none", marker="s", ms=3.4)
    ax.set(yscale="log", ylim=(_LEAST / 1e11, None), xlabel="order $m$ of the rotations", ylabel=r"angular momentum $\rho$")
    names = [line_key(name, colour, marker="o", ms=3.4) for name, colour in zip(UNITS, _COLOURS, strict=True)]
    rule = line_key("exactly 0 by the rule", GREY, ls="none", marker="s", ms=3.4)
    ax.legend(handles=[*names, line_key("logistic loss", GREY, ls=":", lw=1.0), rule], ncols=3, loc="lower center")


def _draw_clouds(ax: Axes, record: NoetherRecord) -> None:
    bins = np.linspace(min(record.start.min(), record.ends.min()), np.quantile(record.start, 0.99), 36)
    ax.hist(record.start, bins, density=True, color=GREY, alpha=SHADE)
    for colour, end in zip(_COLOURS, record.ends, strict=False):
        ax.hist(end, bins, density=True, color=colour, histtype="step", lw=1.3)
    ax.set(xlabel=r"$q=\|b\|^2-a^2$ of the neurons", ylabel="density")
    names = [line_key(f"$t=2$, {name}", colour) for name, colour in zip(CLOUDS, _COLOURS, strict=False)]
    ax.legend(handles=[line_key("start", GREY, lw=4, alpha=SHADE), *names])


EXPERIMENT = Experiment("laws of training: finite steps, optimisers, data with symmetries, clouds", compute, draw)
