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


def fourth_moment(inputs: AbstractInputs) -> Float[Array, ""]:
    """E‖x‖⁴."""
    return inputs.second_moment**2 * (1.0 if chi_scale(inputs) is None else 1 + 2 / inputs.dim)
