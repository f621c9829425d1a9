"""Scalings that are the same network, up to rounding: checks that no statistics can blur."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..errors import check_integer, check_key
from ..neurons import Particles
from ..particles.flow import solve_particles
from ..problem.empirical import Empirical
from ..problem.problem import Problem
from ..problem.training import Training
from ..problem.units import Neuron
from ..products import with_all_digits
from ..types import IntLike, KeyLike, RealFunction
from .activations import Activation, classify
from .balances import layer_laws
from .networks import Perceptron
from .optimisers import optimiser
from .runs import Data, Loss, mean_loss, trainer
from .scalings import ADAM, Scaling, ip, ip_llr, mup, ntk
from .tangent import kernel_parts

_DIM, _SAMPLES, _OUTPUTS = 5, 8, 3
_TINY = 1e-100  # Adam's ε, where signs of gradients are compared
_RATE = 0.2

Defects = dict[str, float]


class _Case(eqx.Module):
    """What all comparisons share: data, a width, an activation, and one key, so that all networks have the same U."""

    data: Data
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    activation: RealFunction = eqx.field(static=True)
    kind: Activation = eqx.field(static=True)
    key: Array

    def network(self, scaling: Scaling) -> Perceptron:
        """A network of a scaling, with the U of all."""
        return Perceptron(scaling, _DIM, self.width, _OUTPUTS, self.activation, key=self.key)

    def train(
        self, model: Perceptron, steps: int, loss: Loss, rate: float = _RATE, epsilon: float | None = None
    ) -> Perceptron:
        """The network after some steps in its own scaling."""
        rule = optimiser(model.scaling, self.width, rate, epsilon=epsilon)
        return _run(rule, model, self.data, steps, loss)[0]


def _square(f: Array, y: Array) -> Array:
    return jnp.sum((f - y) ** 2) / 2


def _linear(f: Array, y: Array) -> Array:
    return jnp.sum(f * y)


def _run(
    rule: Any, model: Perceptron, data: Data, steps: int, loss: Loss, state: PyTree = None
) -> tuple[Perceptron, PyTree]:
    loop, params = trainer(loss, model, rule, data)
    state = rule.init(params) if state is None else state
    params, state, _ = jax.jit(with_all_digits(loop.steps), static_argnums=2)(params, state, steps)
    return eqx.combine(params, loop.static), state


def equivalences(
    depth: IntLike, width: IntLike = 100, *, activation: RealFunction = jax.nn.relu, key: KeyLike | None = None
) -> Defects:
    """Statements about scalings that hold at every width, each as the largest relative difference between its two sides.

    They are at rounding where they hold. Those named "(degree 1)" need a homogeneous activation, the first update of ip_llr
    one of any degree; the last, for a single hidden layer, compares with `mf.solve_particles`. Take a width that is no power
    of 2, or some hold because rounding never happens.
    """
    depth, width = check_integer("depth", depth, 1), check_integer("width", width, 1)
    keys = jax.random.split(jax.random.key(0) if key is None else check_key(key), 3)
    x, y = jax.random.normal(keys[0], (_SAMPLES, _DIM)), jax.random.normal(keys[1], (_SAMPLES, _OUTPUTS))
    case = _Case(Data(x, y, x), width, depth, activation, classify(activation), keys[2])
    return {
        "a shift of exponents, SGD": _shift(case, mup(depth), None),
        "a shift of exponents, Adam": _shift(case, mup(depth, ADAM), _TINY),
        "first update of ip_llr = mup's (homogeneous)": _first_update(case),
        "rates of ip = mup's": _same_rates(case),
        "ip_llr = mup, hidden starts shrunk after a step (degree 1)": _shrunk(case),
        "ip_llr without first steps = ip": _no_first_step(case),
        "tangent kernel of mup = ntk's": _kernels(case, mup(depth), np.ones(depth + 1)),
        "tangent kernel of ip = powers of m times ntk's (degree 1)": _kernels(case, ip(depth), _kernel_powers(case)),
        "first update of ip = mup's, Adam (degree 1)": _first_update_of_adam(case),
        "laws of layers along ip_llr (degree 1)": _laws(case),
        **({"ip of one hidden layer = a cloud of neurons": _cloud(case)} if depth == 1 else {}),
    }


def _relative(one: Sequence[Array], other: Sequence[Array]) -> float:
    """The largest difference of two lists of arrays, each relative to the size of its array."""
    sizes = [max(float(jnp.max(jnp.abs(b))), float(jnp.finfo(b.dtype).tiny)) for b in other]
    pairs = zip(one, other, sizes, strict=True)
    return max(float(jnp.max(jnp.abs(a - b))) / size for a, b, size in pairs)


def _effective(model: Perceptron) -> list[Array]:
    """W = m^{−a} w."""
    return [factor * weight for factor, weight in zip(model.multipliers(), model.weights, strict=True)]


def _from_effective(model: Perceptron, weights: Sequence[Array]) -> Perceptron:
    """The network with these effective weights."""
    own = tuple(weight / factor for factor, weight in zip(model.multipliers(), weights, strict=True))
    return eqx.tree_at(lambda network: network.weights, model, own)


def _outputs(model: Perceptron, case: _Case) -> list[Array]:
    return [jax.vmap(model)(case.data.x)]


def _shift(case: _Case, scaling: Scaling, epsilon: float | None) -> float:
    """20 steps of a scaling and of itself, shifted by another number in each layer."""
    theta = tuple(0.3 - 0.17 * layer for layer in range(case.depth + 1))
    rate = _RATE if epsilon is None else 0.01
    ends = [case.train(case.network(each), 20, _square, rate, epsilon) for each in (scaling, scaling.shift(theta))]
    return _relative(_outputs(ends[1], case), _outputs(ends[0], case))


def _llr(case: _Case) -> Scaling:
    return ip_llr(case.depth, case.kind.degree if case.kind.kind == "homogeneous" else 1)


def _first_update(case: _Case) -> float:
    return _relative(_gradient_steps(case, _llr(case)), _gradient_steps(case, mup(case.depth)))


def _gradient_steps(case: _Case, scaling: Scaling) -> list[Array]:
    """The first effective update itself: a difference of weights would be one of large numbers."""
    model = case.network(scaling)
    params, _ = eqx.partition(model, eqx.is_inexact_array)
    rule = optimiser(scaling, case.width, _RATE, epsilon=_TINY)
    gradient = jax.grad(lambda network: mean_loss(_linear, network, case.data))(model)
    change: Any = rule.update(gradient, rule.init(params), params)[0]
    return _effective(eqx.tree_at(lambda network: network.weights, model, change.weights))


def _same_rates(case: _Case) -> float:
    start = case.network(ip(case.depth))
    other = _from_effective(case.network(mup(case.depth)), _effective(start))
    ends = [case.train(model, 30, _square) for model in (start, other)]
    return _relative(_effective(ends[1]), _effective(ends[0]))


def _shrunk(case: _Case) -> float:
    """One step of mup, then its hidden starts m^{−½}U replaced by m^{−1}U; against ip_llr, both for 5 more steps."""
    llr, large = case.network(_llr(case)), case.network(mup(case.depth))
    rule = optimiser(llr.scaling, case.width, _RATE)
    first, state = _run(rule, llr, case.data, 1, _linear)
    end, _ = _run(rule, first, case.data, 5, _square, state)
    moved = case.train(large, 1, _linear)
    changes = [after - before for after, before in zip(_effective(moved), _effective(large), strict=True)]
    small = [start + change for start, change in zip(_effective(llr), changes, strict=True)]
    other = case.train(_from_effective(large, small), 5, _square)
    return _relative(_effective(other), _effective(end))


def _no_first_step(case: _Case) -> float:
    ends = [case.train(case.network(each), 5, _square) for each in (ip_llr(case.depth, first_steps=0), ip(case.depth))]
    return _relative(_effective(ends[1]), _effective(ends[0]))


def _kernel_powers(case: _Case) -> np.ndarray:
    m, depth = float(case.width), case.depth
    hidden = [m ** -(depth - 2)] * (depth - 1)
    return np.array([m ** -(depth - 1), *hidden, m ** -(depth - 1)])


def _kernels(case: _Case, scaling: Scaling, factors: np.ndarray) -> float:
    """Layer by layer, relative to each part."""
    x, z = case.data.x[:2]
    own, other = (np.asarray(kernel_parts(case.network(each), x, z)) for each in (scaling, ntk(case.depth)))
    return float(np.max(np.abs(own / (factors * other) - 1)))


def _first_update_of_adam(case: _Case) -> float:
    steps = [_gradient_steps(case, each(case.depth, ADAM)) for each in (ip, mup)]
    return _relative(*steps)


def _laws(case: _Case) -> float:
    """The exact identity of every step, in the laws with the rates of that step, relative to their sizes."""
    model = case.network(_llr(case))
    rule = optimiser(model.scaling, case.width, _RATE)
    state, worst = None, 0.0
    for step in range(3):
        after, state = _run(rule, model, case.data, 1, _square, state)
        worst = max(worst, *(_broken(law, model, after) for law in _laws_of_step(model.scaling, case.width, step)))
        model = after
    return worst


def _laws_of_step(scaling: Scaling, width: int, step: int) -> list[Any]:
    if scaling.c_first is None or step >= scaling.first_steps:
        return layer_laws(scaling, width)
    first = Scaling(scaling.name, scaling.a, scaling.b, scaling.c_first)
    return layer_laws(first, width)


def _broken(law: Any, before: Perceptron, after: Perceptron) -> float:
    """|h(θ + u) − h(θ) − h(u)|, 0 for a step of gradient descent, over the size of what the law adds up."""
    change = jax.tree.map(jnp.subtract, after, before)
    return float(jnp.max(jnp.abs(law(after) - law(before) - law(change)) / law.size(after)))


def _cloud(case: _Case) -> float:
    """40 steps against those of the neurons a = m W², b = W¹, on the same data, one output."""
    rate, steps = 0.05, 40
    model = Perceptron(ip(1), _DIM, case.width, 1, case.activation, key=case.key)
    data = Data(case.data.x, case.data.y[:, 0], case.data.x)
    end, _ = _run(optimiser(model.scaling, case.width, rate), model, data, steps, lambda f, y: (f[0] - y) ** 2 / 2)
    problem = Problem(Empirical(data.x, data.y), unit=Neuron(case.activation, bias=False))
    cloud = Particles(model.weights[1][0], model.weights[0])
    ts = jnp.array([0.0, rate * steps])
    run = solve_particles(problem, cloud, ts, training=Training(step=rate), derivative="forward")
    return _relative([run.final.b, run.final.a], [end.weights[0], end.weights[1][0]])
