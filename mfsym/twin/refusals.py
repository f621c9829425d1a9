"""Why a loop has no exact twin, and what comes closest."""

from ..errors import NoTwinError

COORDINATEWISE = (
    "its optimiser divides gradients by their own size (Adam, RMSprop, sign updates), coordinate by coordinate, which does "
    "not commute with the rotations that reduce the problem",
    "`mf.descend(problem, cloud, steps, optimiser=...)` on a wide cloud, or gradient descent with momentum",
)
CLIPPING = (
    "its optimiser clips gradients: their size is that of one finite network, and a clipped coordinate does not commute "
    "with the rotations that reduce the problem",
    "the same loop without clipping, where its threshold is never met, or `mf.descend` on a wide cloud",
)
NESTEROV = (
    "Nesterov's momentum takes the gradient half a step ahead, and only the heavy ball is here",
    "momentum=β without nesterov: for small steps both are where the flow is at t/(1 − β)",
)
DECOUPLED = (
    "its weight decay is decoupled from its momentum; decay is here part of the gradient that momentum remembers",
    "coupled decay (`optax.add_decayed_weights` first in the chain, weight_decay= of torch.optim.SGD), or no momentum, with "
    "which both are one",
)
SCHEDULE = (
    "what it makes of a gradient changes from step to step, and not as the learning rate of a heavy ball changes it, which "
    "multiplies what momentum has gathered",
    "`optax.sgd(schedule, momentum=β)`, with a constant decay in front",
)
SCHEDULES = (
    "its layers follow different schedules, and a `Training` has one",
    "one schedule for all layers, times a number each",
)
OTHER_MEMORY = (
    "its updates are no sum η Σ_j β^j (gradient + decay) over past steps, which gradient descent and the heavy ball are",
    "`mf.descend(problem, cloud, steps, optimiser=...)` on a wide cloud",
)
DEPTH = (
    "it has more than one hidden layer, and what the symmetry leaves is known for two layers of weights",
    "a network Linear, activation, Linear",
)


def no_twin(reason: str, closest: str) -> NoTwinError:
    """The one form of every refusal of a twin."""
    return NoTwinError(f"This loop has no exact twin: {reason}. What comes closest: {closest}.")
