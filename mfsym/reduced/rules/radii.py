"""The law of ‖x‖ for inputs that rotations leave as they are."""

import functools

from jaxtyping import Array, Float

from ...problem.inputs import AbstractInputs, Gaussian


@functools.singledispatch
def chi_scale(inputs: AbstractInputs) -> Float[Array, ""] | None:
    """s where ‖x‖/s has the chi law of d degrees of freedom; None where ‖x‖ is one number, √E‖x‖²."""
    return None


@chi_scale.register
def _(inputs: Gaussian):
    return inputs.scale
