"""A quick second start: compiled programs are kept in a folder of the user and read by the next process.

Three quarters of the time of a short run is XLA's compiler. JAX can keep what it compiled, by machine and versions, but
never a program that calls back to Python; every loop of diffrax does so, to ask equinox's `error_if` about times that
mfsym has checked before. Both switches are read when jax and equinox are imported, so they belong to whoever owns the
process: the command line here, the tests, a user who sets them before the first import. A library leaves them alone.
"""

import os
import sys
from pathlib import Path


def cache_folder(name: str = "mfsym") -> Path:
    """The folder of the user for compiled programs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / name


def keep_compiled_programs(name: str = "mfsym") -> None:
    """Set what the environment does not say yet; must run before jax and equinox are imported."""
    settings = {
        "EQX_ON_ERROR": "off",
        "JAX_COMPILATION_CACHE_DIR": str(cache_folder(name)),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    for variable, value in settings.items():
        os.environ.setdefault(variable, value)


def is_command_line() -> bool:
    """Whether this process was started as `python -m mfsym`: sys.argv[0] is "-m" while Python looks for the module."""
    return sys.argv[:1] == ["-m"]
