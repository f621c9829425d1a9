"""Strict settings for the whole session; JAX_ENABLE_X64=0 runs it in single precision."""

import os
import runpy
from pathlib import Path

os.environ.setdefault("JAX_ENABLE_X64", "1")  # read by jax when it is first imported
os.environ.setdefault("MPLBACKEND", "Agg")  # figures need no screen
# Three quarters of the suite's time is XLA's compiler: keep its programs in one folder for each user. The module is run by
# its path, as importing it would import equinox before the settings are made.
runpy.run_path(str(Path(__file__).parents[1] / "mfsym" / "startup.py"))["keep_compiled_programs"]("mfsym-tests")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure(config):
    config.addinivalue_line("markers", "float32: also meaningful, and run, in single precision")
    config.addinivalue_line("markers", "slow: run by `make test-slow`, not by `make test`")
    config.addinivalue_line("markers", "study: a long study, run by `make test-studies` only")
    config.addinivalue_line("markers", "processor: about sizes and products of a CPU, skipped on an accelerator")


COSTLY = {line for line in (Path(__file__).parent / "costly.txt").read_text().splitlines() if not line.startswith("#")}


def pytest_collection_modifyitems(items):
    """Studies and tests that were measured as costly are slow as well, which `-m "not slow"` leaves out; tests of a
    processor run on one."""
    elsewhere = jax.default_backend() != "cpu"
    for item in items:
        if item.get_closest_marker("study") or item.nodeid in COSTLY:
            item.add_marker(pytest.mark.slow)
        if elsewhere and item.get_closest_marker("processor"):
            item.add_marker(pytest.mark.skip(reason="true of processors only"))


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
