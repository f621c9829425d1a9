"""What an optax transformation does, found from its responses: closures do not say what they are made of.

A heavy ball with decay answers the gradients g and weights z of a run by −η_k u_k, u_k = β u_{k−1} + g_k + λ z_k. Its
numbers are read from the answers to one gradient, to a constant one and to one constant weight, and must then predict the
answers to gradients and weights of many sizes over as many steps as the loop has. What fails is asked further, why.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from ..errors import argument_error
from .refusals import CLIPPING, COORDINATEWISE, DECOUPLED, NESTEROV, OTHER_MEMORY, SCHEDULE, no_twin

_FIRST = 6  # steps from which the numbers are read
_TOLERANCE = 1e-4  # relative, of predictions
_SIZE = 3  # at most so many entries along an axis of a weight

Leaves = list[np.ndarray]  # of every layer, [steps, …]
Numbers = tuple[np.ndarray, float, float]


def numbers_of(optimiser: optax.GradientTransformation, parameters: PyTree, steps: int) -> list[Numbers]:
    """η [steps or more], λ and β of every leaf of the parameters; raises NoTwinError if it is no heavy ball."""
    small = [np.zeros([min(size, _SIZE) for size in leaf.shape]) for leaf in jax.tree.leaves(parameters)]

    def answers(gradients: Leaves, weights: Leaves) -> Leaves:
        return _answers(optimiser, parameters, gradients, weights)

    count, generator = max(steps, 2 * _FIRST), np.random.default_rng(0)
    shapes = [(count, *leaf.shape) for leaf in small]
    g, z = ([generator.standard_normal(shape) for shape in shapes] for _ in range(2))
    sizes = 10.0 ** generator.uniform(-4, 4, (2, count))
    nothing = [np.zeros(shape) for shape in shapes]
    first = answers([_at(leaf, 0) for leaf in g], nothing)
    steady, drift = answers(_held(g), nothing), answers(nothing, _held(z))
    starts = [_beginning(*each) for each in zip(g, steady, strict=True)]
    begun = max((start for start in starts if start is not None), default=0)  # rates may be 0 at first
    one, held = (answers([leaf * _from(begun, leaf, last) for leaf in _held(g)], nothing) for last in (begun + 1, count))
    found = [_numbers(begun, *each) for each in zip(g, one, held, steady, z, drift, strict=True)]
    tests = [[_scaled(leaf, size) for leaf in leaves] for leaves, size in zip((g, z), sizes, strict=True)]
    seen = answers(*tests)
    if all(_alike(_heavy_ball(*n, *t), s) for n, s, *t in zip(found, seen, *tests, strict=True)):
        return found
    raise no_twin(*_reason(answers, g, nothing, first, drift))


def _at(leaf: np.ndarray, step: int) -> np.ndarray:
    """The row of one step, and 0 at all others."""
    return np.where(np.arange(len(leaf)).reshape(-1, *[1] * (leaf.ndim - 1)) == step, leaf, 0.0)


def _scaled(leaf: np.ndarray, size: np.ndarray) -> np.ndarray:
    return leaf * size.reshape(-1, *[1] * (leaf.ndim - 1))


def _answers(optimiser: optax.GradientTransformation, parameters: PyTree, gradients: Leaves, weights: Leaves) -> Leaves:
    """The updates of a whole run, leaf by leaf, [steps, …]; compiled, as loops are long."""
    floats = [[jnp.asarray(leaf, jnp.result_type(float)) for leaf in leaves] for leaves in (gradients, weights)]
    structure = jax.tree.structure(parameters)
    rows = tuple(jax.tree.unflatten(structure, leaves) for leaves in floats)

    @jax.jit
    def run(rows):
        def step(state, row):
            updates, state = optimiser.update(row[0], state, row[1])
            return state, updates

        state = optimiser.init(jax.tree.map(lambda leaf: leaf[0], rows[1]))
        return jax.lax.scan(step, state, rows)[1]

    try:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return [np.asarray(leaf, float) for leaf in jax.tree.leaves(run(rows))]
    except TypeError as error:
        remedy = "Pass a chain that needs the gradient and the weights only."
        raise argument_error("optimiser", "one that can be followed", optimiser, remedy) from error


def _held(leaves: Leaves) -> Leaves:
    """The first row at every step."""
    return [np.repeat(leaf[:1], len(leaf), axis=0) for leaf in leaves]


def _from(first: int, leaf: np.ndarray, last: int) -> np.ndarray:
    """1 from one step to before another, and else 0."""
    steps = np.arange(len(leaf)).reshape(-1, *[1] * (leaf.ndim - 1))
    return ((steps >= first) & (steps < last)).astype(float)


def _along(answer: np.ndarray, row: np.ndarray) -> np.ndarray:
    """What every answer [steps, …] takes off along a row, in units of it."""
    return -np.tensordot(answer, row, row.ndim) / np.sum(row**2)


def _beginning(g: np.ndarray, steady: np.ndarray) -> int | None:
    """The first of two steps with a rate; None for a leaf at rest."""
    moves = _along(steady, g[0]) != 0
    both = np.flatnonzero(moves[:-1] & moves[1:])
    return int(both[0]) if len(both) else None


def _numbers(begun: int, g, one, held, steady, z, drift) -> Numbers:
    """η, λ and β of a leaf: from what is left, one step after the first with a rate, of `one` gradient at that step and of
    one `held` from there on, β/(1 + β); and from those held all the time, η_k Σ_{i≤k} β^i."""
    late, both = _along(one, g[0])[begun + 1], _along(held, g[0])[begun + 1]
    momentum = late / (both - late) if late != both else np.inf
    if not both or not 0 <= momentum < 1:
        return np.zeros(len(g)), 0.0, 0.0
    gathered = _along(steady, g[0])
    rates = gathered / np.cumsum(momentum ** np.arange(len(g)))
    largest = int(np.argmax(np.abs(gathered)))
    return rates, float(_along(drift, z[0])[largest] / gathered[largest]), float(momentum)


def _heavy_ball(rates: np.ndarray, decay: float, momentum: float, g: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Its updates [steps, …]."""
    memory, updates = np.zeros(g.shape[1:]), []
    for rate, gradient, weight in zip(rates, g, z, strict=True):
        memory = momentum * memory + gradient + decay * weight
        updates.append(-rate * memory)
    return np.stack(updates)


def _alike(expected: np.ndarray, seen: np.ndarray) -> bool:
    """Equal, relative to the largest so far."""
    axes = tuple(range(1, expected.ndim))
    largest = np.maximum.accumulate(np.max(np.abs(expected), axis=axes, initial=0.0))
    return bool(np.all(np.max(np.abs(expected - seen), axis=axes, initial=0.0) <= _TOLERANCE * largest + 1e-300))


def _reason(answers: Callable, g: Leaves, nothing: Leaves, first: Leaves, drift: Leaves) -> tuple[str, str]:
    """Why the answers are not those of a heavy ball."""
    one, ten = (answers([size * leaf for leaf in g], nothing) for size in (1e-6, 1e-5))
    large = answers([1e3 * leaf for leaf in g], nothing)
    if not _same(ten, [10 * leaf for leaf in one]):
        return COORDINATEWISE
    if not _same(large, [1e9 * leaf for leaf in one]):
        return CLIPPING if _norm(large) < 0.99 * 1e9 * _norm(one) else COORDINATEWISE
    for step in sorted({1, len(g[0]) // 2, len(g[0]) - 1}):
        late = answers([_moved(leaf, step) for leaf in g], nothing)
        if not _same([leaf[step:] for leaf in late], [leaf[: len(leaf) - step] for leaf in first]):
            return SCHEDULE
    if _is_nesterov(g, first):
        return NESTEROV
    if not _norm(drift):
        return OTHER_MEMORY
    if _same(drift, _held(drift)):
        return DECOUPLED
    one, other = (_sizes(leaves) for leaves in (drift, answers(_held(g), nothing)))
    return OTHER_MEMORY if np.allclose(one, other, rtol=0, atol=10 * _TOLERANCE) else SCHEDULE  # of the decay


def _sizes(leaves: Leaves) -> np.ndarray:
    """How large the answers to something constant are at every step, relative to the largest."""
    sizes = np.sqrt(sum(np.sum(leaf.reshape(len(leaf), -1) ** 2, axis=1) for leaf in leaves))
    return sizes / np.max(sizes)


def _moved(leaf: np.ndarray, step: int) -> np.ndarray:
    """The first row, at a later step."""
    later = np.zeros_like(leaf)
    later[step] = leaf[0]
    return later


def _is_nesterov(g: Leaves, first: Leaves) -> bool:
    """After one gradient: η(1 + β), then η β^{k+1}."""
    for gradient, answer in zip(g, first, strict=True):
        h = [-np.sum(answer[k] * gradient[0]) / np.sum(gradient[0] ** 2) for k in range(3)]
        momentum = h[2] / h[1] if h[1] else 0.0
        if not momentum or abs(h[0] - h[1] / momentum**2 * (1 + momentum)) > _TOLERANCE * abs(h[0]):
            return False
    return True


def _norm(leaves: Leaves) -> float:
    return float(np.sqrt(sum(np.sum(leaf**2) for leaf in leaves)))


def _same(one: Leaves, other: Leaves) -> bool:
    difference = [a - b for a, b in zip(one, other, strict=True)]
    return _norm(difference) <= 10 * _TOLERANCE * max(_norm(one), _norm(other))
