"""Whether a risk that a caller brings fits the state that it is to move."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..errors import Words, argument_error, check_instance
from ..types import Checked, Scalar, State
from .base import AbstractRisk

_REMEDY = "Derive it from mfsym.risks.AbstractRisk."


def check_risk(risk: Checked[AbstractRisk], state: State) -> AbstractRisk:
    """An AbstractRisk whose value of the state is a scalar, and whose velocity is a tree like it; nothing is run.

    Raises ArgumentError saying what came instead.
    """
    check_instance("risk", risk, AbstractRisk, _REMEDY)
    expected = "one whose value is a scalar and whose velocity has the arrays of the state"
    start = jnp.zeros((), jnp.result_type(*jax.tree.leaves(state)))
    try:
        value, velocity = eqx.filter_eval_shape(_evaluated, risk, start, state)
    except Exception as error:
        got = Words(f"one that fails on it with {type(error).__name__}: {error}")
        raise argument_error("risk", expected, got, _REMEDY) from error
    if _arrays(value) != _arrays(start):
        raise argument_error("risk", expected, Words(f"one with the value {_arrays(value)[1]}"), _REMEDY)
    if _arrays(velocity) != _arrays(state):
        got = Words(f"one with the velocity {_arrays(velocity)[1]} of a state {_arrays(state)[1]}")
        raise argument_error("risk", expected, got, _REMEDY)
    return risk


def _evaluated(risk: AbstractRisk, t: Scalar, state: State) -> tuple[PyTree, PyTree]:
    now = risk.prepare().at_time(t)
    return now.value(state), now.velocity(state)


def _arrays(tree: PyTree) -> tuple[object, list[str]]:
    """The structure of a tree, and its arrays in words."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [f"{jnp.result_type(leaf).name}{list(jnp.shape(leaf))}" for leaf in leaves]
