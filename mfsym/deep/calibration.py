"""First learning rates that move every layer by a given size, layer by layer."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..errors import Words, argument_error, check_instance, check_sequence, positive_number
from ..types import Checked, RealArrayLike, RealLike
from .networks import Perceptron, powers
from .runs import Loss, check_data, check_loss, mean_loss

_CAP = 500.0


def calibrate(
    model: Checked[Perceptron],
    loss: Loss,
    first: Checked[tuple[RealArrayLike, RealArrayLike]],
    second: RealArrayLike,
    *,
    rate: RealLike = 1.0,
    target: RealLike = 1.0,
    target_out: RealLike = 0.1,
    cap: RealLike = _CAP,
) -> tuple[float, ...]:
    """First rates η_1, …, η_{L+1} for which each layer's step moves preactivations by `target`, outputs by `target_out`.

    With ΔW^l the step of rate 1 on the batch `first` = (x, y), and z⁰ the inputs `second` [n, d]: η_1 = `rate`,
        η_l = min(target / mean|ΔW^l z^{l−1}|, cap),   z^l = φ(W^l z^{l−1} + η_l ΔW^l z^{l−1}).
    (The procedure of the authors' code, arXiv:2110.15596; they pass on z with a rate that is not capped.) Calibrate at the
    smallest width, and use the rates at all widths: calibrated anew at each, they would hide a wrong exponent.
    """
    model = check_instance("model", model, Perceptron, "Pass a mf.deep.Perceptron.")
    batch = check_sequence("first", first, "a batch (inputs, targets)", "Pass (x, y).")
    if len(batch) != 2:
        raise argument_error("first", "a batch (inputs, targets)", Words(f"{len(batch)} entries"), "Pass (x, y).")
    data = check_data(batch[0], batch[1], second)
    check_loss(loss, model.weights[-1].shape[0], data.y)
    size, goal, goal_out, most = (
        positive_number(name, value, "A positive number.")
        for name, value in (("rate", rate), ("target", target), ("target_out", target_out), ("cap", cap))
    )
    gradient = jax.grad(lambda network: mean_loss(loss, network, data))(model)
    scaling = model.scaling
    c = scaling.c if scaling.c_first is None else scaling.c_first
    scales = [
        factor * power
        for factor, power in zip(model.multipliers(), powers(model.width, model.base_width, c, -1), strict=True)
    ]
    steps = [-scale * weight for scale, weight in zip(scales, gradient.weights, strict=True)]
    return _layer_by_layer(model, steps, data.probe, float(size), float(goal), float(goal_out), float(most))


def _layer_by_layer(
    model: Perceptron, steps: Sequence[Array], z: Array, rate: float, target: float, target_out: float, cap: float
) -> tuple[float, ...]:
    """Rates, given the steps ΔW^l of rate 1."""
    found = []
    for index, (weight, step, factor) in enumerate(zip(model.weights, steps, model.multipliers(), strict=True)):
        moved = z @ step.T
        goal = target_out if index == model.scaling.depth else target
        size = float(jnp.mean(jnp.abs(moved)))
        own = rate if index == 0 else (min(goal / size, cap) if size > 0 else cap)
        found.append(own)
        h = factor * z @ weight.T + own * moved
        z = jax.vmap(jax.vmap(model.activation))(h + (0 if model.biases is None else model.biases[index]))
    return tuple(found)
