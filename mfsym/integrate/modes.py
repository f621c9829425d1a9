"""The mode of differentiation of a run, and our words for what JAX says where the other one is asked for.

A loop with an unknown number of steps is differentiated in one of two modes, which its code decides: "reverse" stores
some of its states, "forward" carries derivatives along.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import PyTree

from ..errors import Words, argument_error, is_traced

_SECOND = 'Second derivatives are jax.jacfwd(jax.jacfwd(f)) with derivative="forward".'


def _refuse(change: object, x: object) -> NoReturn:
    expected = "'reverse' under jax.grad, jax.vjp and jax.jacrev"
    raise argument_error("derivative", expected, "forward", f'Pass derivative="reverse". {_SECOND}')


# The identity, whose derivative cannot be pulled back.
_forward_only = Primitive("forward_only")
_forward_only.def_impl(lambda x: x)
_forward_only.def_abstract_eval(lambda x: x)
ad.deflinear2(_forward_only, _refuse)
batching.defvectorized(_forward_only)
mlir.register_lowering(_forward_only, lambda context, x: [x])


def in_mode(derivative: str, results: PyTree) -> PyTree:
    """The results of a run, which say what is wrong if a run in forward mode is differentiated in reverse mode."""

    def guard(leaf: PyTree) -> PyTree:
        floating = eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
        return _forward_only.bind(leaf) if floating and is_traced(leaf) else leaf

    return jax.tree.map(guard, results) if derivative == "forward" else results


@contextmanager
def words_for_mode(derivative: str) -> Iterator[None]:
    """Say what is wrong where a run in reverse mode is differentiated in forward mode."""
    try:
        yield
    except TypeError as error:
        if derivative != "reverse" or "custom_vjp" not in str(error):
            raise
        expected = "'forward' under jax.jvp, jax.jacfwd and jax.hessian"
        got = Words("'reverse', which only jax.grad, jax.vjp and jax.jacrev can differentiate, and only once")
        raise argument_error("derivative", expected, got, f'Pass derivative="forward". {_SECOND}') from error
