"""The session really is as strict, and as precise, as conftest.py says."""

import os

import jax.numpy as jnp
import pytest

import mfsym.errors as instrumented


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
