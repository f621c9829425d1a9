"""Strict settings for the whole session; JAX_ENABLE_X64=0 runs it in single precision."""

import os
from pathlib import Path

os.environ.setdefault("JAX_ENABLE_X64", "1")  # read by jax when it is first imported
os.environ.setdefault("MPLBACKEND", "Agg")  # figures need no screen

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure(config):
    config.addinivalue_line("markers", "float32: also meaningful, and run, in single precision")
    config.addinivalue_line("markers", "slow: run by `make test-slow`, not by `make test`")


_MAPS = Path("/proc/self/maps")
_MANY_MAPS = 30_000


def pytest_runtest_teardown():
    """Every compiled function holds memory maps. Linux gives a process 65 530 by default; XLA crashes where none is left."""
    if _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MANY_MAPS:
        jax.clear_caches()


@pytest.fixture
def standard_promotion():
    """For the few tests that call a library which mixes dtypes (optax.adam raises a float to an int32)."""
    with jax.numpy_dtype_promotion("standard"):
        yield
