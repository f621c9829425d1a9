"""`track`: what a training loop does to its laws, split into what finite steps must do and what the optimiser broke.

It goes at the end of a chain of optax and changes nothing. For an update u = −τ∇L, with any step, batch, dropout mask or
clipping by the global norm, ⟨∇h(θ), u⟩ = 0 and h(θ + u) = h(θ) + h(u) for a law of degree 2: the sum of h(u) is what finite
steps must do, exactly, and everything beyond it was broken by the optimiser (derived).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from ..errors import Words, argument_error, check_instance
from ..types import Checked, RealLike
from .laws import Law, check_laws, gradient_norms, plain_number
from .lists import distinct, lines_of

_SIZES = ("drift", "broken")
_BROKEN = {"float64": 1e-6, "float32": 1e-3}  # of what could have been broken


class Tracked(eqx.Module):
    """The state of `track`: a pytree of arrays, which checkpoints hold as any other part of the optimiser's state."""

    names: tuple[str, ...] = eqx.field(static=True)
    start: tuple[Array, ...]
    value: tuple[Array, ...]
    predicted: tuple[Array, ...]
    path: tuple[Array, ...]
    steepness: tuple[Array, ...]
    steps: Array


class Drift(NamedTuple):
    """What happened to laws: value − start = (predicted − start) + broken, part by part, exactly. It prints as a table.

    - `names`, of which equal ones are numbered; `start`, `value`, `predicted`: one array for each law.
    - `path`: what could have been broken.
    - `steps`: how many updates were seen.
    """

    names: tuple[str, ...]
    start: tuple[Float[np.ndarray, "..."], ...]
    value: tuple[Float[np.ndarray, "..."], ...]
    predicted: tuple[Float[np.ndarray, "..."], ...]
    path: tuple[Float[np.ndarray, "..."], ...]
    steps: int

    @property
    def broken(self) -> tuple[Float[np.ndarray, "..."], ...]:
        """What the optimiser did beyond the steps of plain gradient descent."""
        return _differences(self.value, self.predicted)

    @property
    def kept(self) -> tuple[bool, ...]:
        """Whether each law was kept up to finite steps: |broken| ≤ 1e-6 of the path in float64, 1e-3 in float32."""
        limits = [_BROKEN[str(path.dtype)] * path for path in self.path]
        return tuple(bool(np.all(np.abs(each) <= limit)) for each, limit in zip(self.broken, limits, strict=True))

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """By the names of the laws: largest drift and part that was broken, and the verdict."""
        return {
            name: {"drift": _largest(drift), "broken": _largest(broken), "kept": kept, "parts": drift.size}
            for name, drift, broken, kept in zip(
                self.names, _differences(self.value, self.start), self.broken, self.kept, strict=True
            )
        }

    def __str__(self) -> str:
        found = list(self.as_dict().values())
        rows = [("law", "parts", "largest drift", "of it broken", "verdict")]
        for line in lines_of(self.names):
            these = [found[place] for place in line.members]
            parts, drift, broken = (sum(row["parts"] for row in these), *(max(row[k] for row in these) for k in _SIZES))
            rows.append((line.text, str(parts), f"{drift:.2e}", f"{broken:.2e}", _verdict([row["kept"] for row in these])))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, f"after {self.steps} steps"])


def track(
    laws: Checked[Law | Sequence[Law]], *, shrink: Checked[RealLike | Callable[[Array], Array]] = 0.0
) -> optax.GradientTransformationExtraArgs:
    """A transformation of optax that leaves updates alone and watches laws: the last of a chain, after the learning rate.

    Arguments: `laws`, one or several; `shrink` s = τλ where the loop has a weight decay λ that shrinks all parameters alike,
    coupled or decoupled, as a number or a schedule of the step: with u the update and u' = u + sθ,
        predicted ← (1 − s)² predicted + h(u')   for degree 2,   (1 − s) predicted   for degree 1.
    A law of no degree needs s = 0; what is predicted for it is h(θ + u) − h(θ) − ⟨∇h(θ), u⟩. Read it with `drift(state)`.
    Works in float32, under jit and scan. A law is read twice at every step, at u and at θ + u. Where that is too dear, watch
    some units of a wide layer, `lambda p: p.layers[0].weight[:32]`: an optimiser that breaks the others breaks theirs.
    Raises ArgumentError where an update comes without parameters.
    """
    laws = check_laws(laws)
    schedule = shrink if callable(shrink) else None
    constant = 0.0 if callable(shrink) else plain_number("shrink", shrink, "It is τλ, or a schedule.")
    shrinks = schedule is not None or constant != 0
    for law in laws:
        if law.degree is None and shrinks:
            remedy = "What decay does to it is not known; leave shrink out to measure all that happens to it."
            raise argument_error("shrink", "0 with a law of no degree", Words(f"not, and {law.name} has none"), remedy)

    def init(params: PyTree) -> PyTree:
        values = tuple(jnp.asarray(law(params)) for law in laws)
        names, zeros = distinct([law.name for law in laws]), tuple(map(jnp.zeros_like, values))
        steep = tuple(_steepness(law, params) for law in laws)
        return Tracked(names, values, values, values, zeros, steep, jnp.zeros((), jnp.int32))

    def update(updates: PyTree, state: PyTree, params: PyTree | None = None, **extra: object) -> tuple[PyTree, PyTree]:
        del extra
        seen = check_instance("state", state, Tracked, "Pass what init returned, or the last update.")
        if params is None:
            remedy = "Call optimiser.update(gradient, state, params): a law is a function of the parameters."
            raise argument_error("params", "the parameters", None, remedy)
        s = constant if schedule is None else schedule(seen.steps)
        after = jax.tree.map(jnp.add, params, updates)
        straight = (
            jax.tree.map(lambda u, leaf: u + jnp.asarray(s, leaf.dtype) * leaf, updates, params) if shrinks else updates
        )
        seen_of = zip(laws, seen.predicted, seen.path, seen.steepness, strict=True)
        steps = [_watched(law, params, straight, after, s, *before) for law, *before in seen_of]
        value, predicted, path, steep = tuple(zip(*steps, strict=True)) if steps else ((),) * 4
        return updates, Tracked(seen.names, seen.start, value, predicted, path, steep, seen.steps + 1)

    return optax.GradientTransformationExtraArgs(init, update)


def _watched(
    law: Law, params: PyTree, update: PyTree, after: PyTree, s: RealLike, predicted: Array, path: Array, steep: Array
) -> tuple[Array, Array, Array, Array]:
    """Value, prediction and path after a step, and how steep the law is there."""
    factor, value = 1 - jnp.asarray(s, predicted.dtype), law(after)
    if law.degree == 1:
        change = jnp.zeros_like(predicted)
    elif law.degree == 2:
        change = law(update)
    else:
        before, slope = jax.jvp(law.function, (params,), (update,))
        change = value - before - slope
    predicted = factor ** (law.degree or 1) * predicted + change
    return value, predicted, path + steep * _movement(law, update), _steepness(law, after)


def _steepness(law: Law, params: PyTree) -> Float[Array, "..."]:
    """With `_movement` an upper bound of |⟨∇h(θ), u⟩|, by Cauchy and Schwarz; kept for the next step, which begins there."""
    if law.size is None or law.degree is None:
        return gradient_norms(law, params)
    return 2 * jnp.sqrt(law.size(params)) if law.degree == 2 else jnp.ones_like(law(params))


def _movement(law: Law, update: PyTree) -> Float[Array, "..."]:
    if law.size is None or law.degree is None:
        return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(update)))
    return law.size(update) if law.degree == 1 else jnp.sqrt(law.size(update))


def drift(optimiser_state: PyTree) -> Drift:
    """What `track` saw so far, found anywhere in the state of an optimiser.

    Raises ArgumentError where there is no tracker in it, or more than one.
    """
    leaves = jax.tree.leaves(optimiser_state, is_leaf=lambda leaf: isinstance(leaf, Tracked))
    found = [leaf for leaf in leaves if isinstance(leaf, Tracked)]
    if len(found) != 1:
        remedy = "Chain mf.noether.track(laws) once, after the optimiser, and pass the state of the chain."
        raise argument_error("optimiser_state", "a state with one tracker", Words(f"one with {len(found)}"), remedy)
    seen = found[0]
    start, value, predicted, path = (
        tuple(map(np.asarray, each)) for each in (seen.start, seen.value, seen.predicted, seen.path)
    )
    return Drift(seen.names, start, value, predicted, path, int(seen.steps))


def drift_along(laws: Checked[Law | Sequence[Law]], states: Checked[PyTree]) -> Drift:
    """The same for a run that was saved: parameters after every update, arrays [T, …] with the start first.

    Updates are the differences of the states, so that all of them have to be there for `predicted` to be what finite steps
    must do; `value` and `start` are right for any. Raises ArgumentError for fewer than two states.
    """
    tracker, counts = track(laws), {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(states)}
    if len(counts) != 1 or counts & {(), (0,), (1,)}:
        remedy = "Stack the parameters after every update, the start first."
        raise argument_error("states", "a pytree of arrays with the same first axis, of two states at least", states, remedy)

    def advance(seen: tuple[PyTree, PyTree], after: PyTree) -> tuple[tuple[PyTree, PyTree], None]:
        params, state = seen
        _, state = tracker.update(jax.tree.map(jnp.subtract, after, params), state, params)
        return (after, state), None

    first, rest = (jax.tree.map(lambda leaf, part=part: jnp.asarray(leaf)[part], states) for part in (0, slice(1, None)))
    return drift(jax.lax.scan(advance, (first, tracker.init(first)), rest)[0][1])


def _differences(
    arrays: Sequence[Float[np.ndarray, "..."]], others: Sequence[Float[np.ndarray, "..."]]
) -> tuple[Float[np.ndarray, "..."], ...]:
    return tuple(np.asarray(array - other) for array, other in zip(arrays, others, strict=True))


def _verdict(kept: Sequence[bool]) -> str:
    if all(kept):
        return "kept up to finite steps"
    which = "" if not any(kept) else f"{len(kept) - sum(kept)} of {len(kept)} "
    return f"{which}broken by the optimiser"


def _largest(array: Float[np.ndarray, "..."]) -> float:
    return float(np.max(np.abs(array), initial=0.0))
