"""Sizes of every layer at the start and in a step, against the width: should this line be flat?"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_flags, check_integer
from ..types import Checked, IntLike, Json, KeyLike, RealArrayLike, RealFunction, RealLike
from .activations import check_predictable, classify
from .optimisers import Rate, is_adaptive
from .readers import AbstractReader, Probe, reader_of
from .runs import (
    Data,
    Loss,
    Make,
    Maker,
    Trainer,
    check_absent,
    check_data,
    check_loss,
    check_seeds,
    check_widths,
    for_every_width,
    maker_of,
    outputs_of,
    trainer,
)
from .scalings import Scaling, check_scaling
from .slopes import AGREE, DISAGREE, UNDECIDED, Slopes, fit, judge
from .spoiled import Notes, Sizes, spoiled
from .tables import aligned, exponent, layer_names

_TITLES = {
    "forward": "size of h at the start",
    "gradient": "gradient in W at the start",
    "update": "update of W, on inputs",
    "change": "change of h",
}
_SCALE = 1024.0  # gradients so many times larger must not make steps of Adam longer


class CoordinateCheck(NamedTuple):
    """Sizes of layers against the width, beside what the scaling predicts. It prints as a table.

    - `widths` [W]; `values`, by name: root mean squares [W, seeds, L + 1] over coordinates and inputs. "forward": h at the
      start; "gradient": that of the loss in W; "update": what the steps added to W, on the inputs that it acts on after
      them; "change": of h. A network of another kind has the first and the last alone.
    - `predicted`, by name: exponents, where they are known. `spoiled`, by name: what makes numbers of a layer worthless,
      rounding, Adam's ε, or a layer below whose step and start are not yet as far apart as exponents assume; or "".
    """

    widths: tuple[int, ...]
    values: Sizes
    predicted: Mapping[str, tuple[float, ...]]
    spoiled: Notes

    @property
    def fits(self) -> dict[str, Slopes]:
        """Slopes, their standard errors and slopes of the last pair of widths, by name."""
        return {name: fit(self.widths, values) for name, values in self.values.items()}

    @property
    def judgements(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """(verdict, reason) of every layer, for all that is predicted."""
        return {
            name: judge(name, found, self.predicted[name], self.spoiled[name])
            for name, found in self.fits.items()
            if name in self.predicted
        }

    @property
    def verdict(self) -> str:
        """ "disagree" if a layer does, "agree" if all do, otherwise "undecided"."""
        found = {verdict for layers in self.judgements.values() for verdict, _ in layers}
        if DISAGREE in found:
            return DISAGREE
        return AGREE if found == {AGREE} else UNDECIDED

    def as_dict(self) -> dict[str, Json]:
        """Plain numbers for JSON."""
        judged, record = self.judgements, dict[str, Json]()
        for name, found in self.fits.items():
            own: dict[str, Json] = {key: _plain(getattr(found, key)) for key in ("slope", "error", "local")}
            if name in judged:
                own["predicted"] = _plain(np.asarray(self.predicted[name]))
                own["verdicts"] = [verdict for verdict, _ in judged[name]]
                own["reasons"] = [reason for _, reason in judged[name]]
            record[name] = own
        return {"widths": list(self.widths), "verdict": self.verdict, **record}

    def __str__(self) -> str:
        judged, lines = self.judgements, []
        for name, found in self.fits.items():
            rows = [("layer", "predicted", "slope", "last pair", f"size at {self.widths[-1]}", "spread", "")]
            for index, layer in enumerate(layer_names(found.slope.size)):
                last = self.values[name][-1, :, index]
                verdict = ": ".join(part for part in judged[name][index] if part) if name in judged else ""
                expected = exponent(self.predicted[name][index]) if name in self.predicted else "none"
                slope = f"{found.slope[index]:+.2f} ± {found.error[index]:.2f}"
                ratio = np.max(last) / np.min(last) if np.min(last) > 0 else np.inf
                size = f"{np.sqrt(np.mean(last**2)):.3g}"
                rows.append((layer, expected, slope, f"{found.local[index]:+.2f}", size, f"× {ratio:.2f}", verdict))
            lines += [_TITLES[name], *("  " + line for line in _left_last(rows))]
        return "\n".join([*lines, self._sentence()])

    def _sentence(self) -> str:
        widths = f"widths {self.widths[0]} to {self.widths[-1]}"
        if not self.predicted:
            return f"Slopes over {widths}; nothing was predicted: pass scaling=, and an activation with φ(0) = 0."
        counts = [verdict for layers in self.judgements.values() for verdict, _ in layers]
        parts = [f"{counts.count(each)} {each}" for each in (AGREE, DISAGREE, UNDECIDED) if each in counts]
        return f"Over {widths} predicted and measured slopes {self.verdict}: {', '.join(parts)}."


def _left_last(rows: list[tuple[str, ...]]) -> list[str]:
    """Aligned rows with the last column, of words, to the left."""
    head = aligned([row[:-1] for row in rows])
    return [f"{line}  {row[-1]}".rstrip() for line, row in zip(head, rows, strict=True)]


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def coordinate_check(
    make: Make,
    widths: Checked[tuple[int, ...]],
    inputs: RealArrayLike,
    targets: RealArrayLike,
    *,
    loss: Loss,
    scaling: Checked[Scaling | None] = None,
    activation: RealFunction | None = None,
    gain: RealLike | None = None,
    bias: Checked[bool] = False,
    rate: Rate | None = None,
    first_rates: Rate | None = None,
    epsilon: RealLike | None = None,
    steps: IntLike = 1,
    seeds: IntLike = 4,
    probe: RealArrayLike | None = None,
    probe_fn: Probe = None,
    key: KeyLike | None = None,
) -> CoordinateCheck:
    """How sizes of layers depend on the width, at the start and in the first step on all samples, judged where predicted.

    Arguments: `make`, a Scaling, for which Perceptrons are trained with the given `activation`, `gain`, `bias`, `rate` (1),
    `first_rates` and `epsilon`, as `Perceptron` and `optimiser` take them; or a function make(width, key) ->
    (model, optimiser) of your own, whose model is called on one input and is an `eqx.nn.MLP`, a `Perceptron`, has a method
    preactivations(x) -> [h^1, …, f], or is read by `probe_fn(model, x)`; then `scaling` and `activation` say what to
    compare with. `widths`, increasing; `inputs` [n, d], `targets` [n] or [n, k]; `loss(f, y)` of one sample, averaged over
    them; `probe` [p, d], where layers are looked at (the inputs). `seeds` networks for every width, all in one program.
    `steps` of training: predictions are those of the first, and hold for several where that moves the output by m⁰.

    Raises ArgumentError for widths that do not increase, a loss of another shape, and what Perceptron and optimiser refuse.
    """
    data, (seeds, key) = check_data(inputs, targets, probe), check_seeds(seeds, key)
    widths, steps = check_widths(widths), check_integer("steps", steps, 1)
    check_flags(bias=bias)
    loss = check_loss(loss, outputs_of(data.y) if isinstance(make, Scaling) else None, data.y)
    options: Any = {
        "activation": activation,
        "gain": gain,
        "bias": bool(bias),
        "first_rates": first_rates,
        "epsilon": epsilon,
    }
    maker = maker_of(make, ("width", "key"), data, **options)
    if isinstance(make, Scaling):
        check_absent(scaling=scaling)
        scaling = make
    else:
        check_absent(rate=rate)
    rate = 1.0 if rate is None else rate

    def measure(width: int, keys: Array, data: Data) -> dict[str, Array]:
        return jax.vmap(lambda key: _one(maker, width, key, data, loss, rate, steps, probe_fn))(keys)

    found = for_every_width(measure, widths, seeds, key, data)
    values = {name: np.stack([sizes[name] for sizes in found]) for name in _TITLES if name in found[0]}
    predicted = _predicted(scaling, activation, bias, steps, outputs_of(data.y), values)
    return CoordinateCheck(widths, values, predicted, spoiled(found, values, predicted, _bounded(activation)))


def _bounded(activation: RealFunction | None) -> bool:
    return activation is not None and classify(activation).growth == 0


def _predicted(
    scaling: Scaling | None, activation: RealFunction | None, bias: bool, steps: int, outputs: int, values: Sizes
) -> dict[str, tuple[float, ...]]:
    """Exponents of what was measured; none where they are not known."""
    if scaling is None or activation is None:
        return {}
    scaling, kind = check_scaling("scaling", scaling), classify(activation)
    if kind.kind in ("shifted", "flat") or (scaling.means is not None and outputs > 1):
        return {}  # the derivative of a loss in several outputs can cancel in a readout of one mean
    found = scaling.predict(check_predictable("activation", kind), bias=bias)
    layers = next(iter(values.values())).shape[-1]
    if layers != scaling.depth + 1:
        got = Words(f"of {scaling.depth} hidden layers for networks of {layers - 1}")
        raise argument_error("scaling", "one of the depth of the networks", got, "depth counts hidden layers.")
    lasting = steps == 1 or (found["change"][-1] == 0 and max(found["forward"]) <= 0)
    names = values if lasting else set(values) & {"forward", "gradient"}
    return {name: found[name] for name in values if name in names}


def _one(
    maker: Maker, width: int, key: Array, data: Data, loss: Loss, rate: Any, steps: int, probe_fn: Probe
) -> dict[str, Array]:
    """Sizes [layers] of one network."""
    model, rule = maker(width, key, rate)
    reader = reader_of(model, probe_fn)
    loop, params = trainer(loss, model, rule, data)
    start = rule.init(params)
    before = jax.vmap(lambda x: reader.preactivations(model, x))(data.probe)
    params, _, added = loop.steps(params, start, steps)
    after = eqx.combine(params, loop.static)
    now = jax.vmap(lambda x: reader.preactivations(after, x))(data.probe)
    found = {
        "forward": _rms_of(before),
        "change": _rms_of([one - other for one, other in zip(now, before, strict=True)]),
    }
    return found | _of_weights(reader, model, after, added, now, loop, start)


def _of_weights(
    reader: AbstractReader, model: PyTree, after: PyTree, added: PyTree, now: Sequence[Array], loop: Trainer, start: PyTree
) -> dict[str, Array]:
    """Gradients and updates of weights, where they are known; how much a normalised step depends on the gradient's size."""
    inputs = jax.vmap(lambda x, *h: reader.inputs(after, x, h))(loop.data.probe, *now)
    if inputs is None:
        return {}
    params = eqx.filter(model, eqx.is_inexact_array)
    gradient = jax.grad(loop.mean)(params)
    moved = reader.effective(model, reader.weights(added), 1)
    acting = [each @ weight.T for each, weight in zip(inputs, moved, strict=True)]
    found = {"gradient": _rms_of(reader.effective(model, reader.weights(gradient), -1)), "update": _rms_of(acting)}
    if is_adaptive(start):
        larger = jax.tree.map(lambda leaf: _SCALE * leaf, gradient)
        one, other = (_rms_of(reader.weights(loop.rule.update(each, start, params)[0])) for each in (gradient, larger))
        found["dependence"] = other / one
    return found


def _rms_of(arrays: Any) -> Float[Array, " layers"]:
    return jnp.stack([jnp.sqrt(jnp.mean(array**2)) for array in arrays])
