"""The session really is as strict, and as precise, as conftest.py says."""

import os

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

import mfsym.errors as instrumented
from mfsym.errors import ArgumentError, check_integer


@pytest.mark.float32
def test_precision_follows_the_environment():
    expected = jnp.float32 if os.environ["JAX_ENABLE_X64"].lower() in ("0", "false") else jnp.float64
    assert jnp.zeros(1).dtype == expected


@pytest.mark.float32
def test_promotion_is_strict():
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((2, 3)) + jnp.ones(3)
    with pytest.raises(Exception, match="dtype promotion"):
        jnp.ones(2, jnp.float32) + jnp.ones(2, jnp.int32)


def test_annotations_are_checked():
    assert "jaxtyping" in type(instrumented.__spec__.loader).__module__


def test_an_argument_that_the_library_checks_is_left_to_it():
    """`Checked` keeps the checker of annotations silent where the library has words of its own, and only there."""
    with pytest.raises(ArgumentError, match="`width` must be an integer"):
        check_integer("width", "wide", 1)  # annotated IntLike
    with pytest.raises(TypeCheckError):
        check_integer("width", 3, "one")  # annotated int
