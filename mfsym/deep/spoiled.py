"""Why sizes of a layer mean nothing: rounding, Adam's ε, or a start and a step that are not yet far apart."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

Sizes = Mapping[str, Float[np.ndarray, "W seeds layers"]]
Notes = Mapping[str, tuple[str, ...]]

_APART = 3.0  # one of two sizes is the larger where it is so many times the other
_ROUNDING = 100.0  # a change must be so many roundings of what changes
_INVARIANT = 1.05  # a step of Adam may be longer by this factor where gradients are


def spoiled(
    found: list[dict[str, np.ndarray]], values: Sizes, predicted: Mapping[str, tuple[float, ...]], bounded: bool
) -> Notes:
    """Reasons, by name and layer, why sizes mean nothing; `bounded`, whether the activation is."""
    layers = values["change"].shape[-1]
    notes = {name: [""] * layers for name in values}
    _note_regimes(notes, values, predicted, bounded)
    kind = jnp.finfo(jnp.result_type(float))
    rounding = values["change"] < _ROUNDING * float(kind.eps) * values["forward"]
    for index in range(layers):
        if np.any(rounding[..., index]):
            notes["change"][index] = f"changes are roundings of {kind.dtype}"
        for name in values:
            if np.any((values[name][..., index] < kind.tiny) & (values[name][..., index] > 0)):
                notes[name][index] = f"sizes underflow in {kind.dtype}"
        dependence = [sizes["dependence"][:, index] for sizes in found if "dependence" in sizes]
        if dependence and np.max(dependence) > _INVARIANT:
            for name in set(notes) & {"update", "change"}:
                notes[name][index] = "Adam's epsilon is not small beside its gradients"
    return {name: tuple(reasons) for name, reasons in notes.items()}


def _note_regimes(
    notes: dict[str, list[str]], values: Sizes, predicted: Mapping[str, tuple[float, ...]], bounded: bool
) -> None:
    """Exponents of a layer and of those above assume that of its start and its step one is much larger; that is looked at.

    Where the step will be larger by a power of m and is not yet, or smaller and is not, what lies above still bends. A step
    many times the start at every width saturates a bounded activation: little is left of what gradients above had seen.
    """
    if "change" not in predicted:
        return
    ratios = np.sqrt(np.mean(values["change"][-1] ** 2, axis=0) / np.mean(values["forward"][-1] ** 2, axis=0))
    for index, ratio in enumerate(ratios[:-1]):
        power = predicted["change"][index] - predicted["forward"][index]
        if (power > 0 and ratio < _APART) or (power < 0 and ratio > 1 / _APART):
            reason = f"layer {index + 1} still bends: its step is {ratio:.2g} of its start, on the way to m^{power:g}"
        elif bounded and power == 0 and ratio > _APART:
            reason = f"layer {index + 1} is saturated by a step of {ratio:.2g} times its start: take a smaller rate"
        else:
            continue
        if power > 0:  # its own change: a part is carried up from below, as large as the start
            notes["change"][index] = reason
        for name in set(notes) & {"update", "change"}:
            notes[name][index + 1 :] = [reason] * (len(ratios) - index - 1)
        return
