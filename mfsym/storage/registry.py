"""What a file may name: the library's classes, and functions of JAX from a fixed list."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

_NUMPY = (
    *("abs", "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "cbrt", "ceil"),
    *("clip", "cos", "cosh", "deg2rad", "divide", "dot", "exp", "exp2", "expm1", "fabs", "floor", "heaviside"),
    *("hypot", "i0", "log", "log10", "log1p", "log2", "logaddexp", "max", "maximum", "mean", "min", "minimum"),
    *("multiply", "negative", "positive", "power", "prod", "reciprocal", "rint", "round", "sign", "sin"),
    *("sinc", "sinh", "sqrt", "square", "std", "subtract", "sum", "tan", "tanh", "trunc", "var"),
)
_NN = (
    *("celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "identity", "leaky_relu"),
    *("log_sigmoid", "logsumexp", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softplus"),
    *("squareplus", "swish", "tanh"),
)
_SPECIAL = ("entr", "erf", "erfc", "expit", "gammaln", "i0e", "i1", "i1e", "log_ndtr", "logsumexp", "ndtr", "xlogy")


@functools.cache
def known_functions() -> dict[str, Callable]:
    """The functions that a file may name, by name: mathematics only, nothing that reads, writes or calls."""
    spaces = (("jax.numpy", jnp, _NUMPY), ("jax.nn", jax.nn, _NN), ("jax.scipy.special", jax.scipy.special, _SPECIAL))
    found = {f"{space}.{name}": getattr(module, name) for space, module, names in spaces for name in names}
    return {**found, "jax.numpy.linalg.norm": jnp.linalg.norm, "abs": abs}


def name_of_function(function: object) -> str | None:
    """The name of a function of the list, or None."""
    return next((name for name, known in known_functions().items() if known is function), None)


def known_classes() -> dict[str, type]:
    """The library's own classes that hold data, by room and name: "problem.Gaussian", "solution.Solution".

    They are those in memory, which importing the library has made: nothing is imported because a file names it.
    """
    tuples = [kind for kind in tuple.__subclasses__() if hasattr(kind, "_fields")]
    return {_title(kind): kind for kind in (*_below(eqx.Module), *tuples) if _is_ours(kind)}


def name_of_class(kind: type) -> str | None:
    """The name of one of the library's own classes, or None."""
    return _title(kind) if _is_ours(kind) else None


def _below(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *_below(child))]


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("mfsym.") and not kind.__name__.startswith(("_", "Abstract"))


def _title(kind: type) -> str:
    """The room, which outlives the files in it, and the class."""
    return f"{kind.__module__.split('.')[1]}.{kind.__name__}"
