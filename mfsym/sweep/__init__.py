"""Many problems at once."""

from .result import Sweep as Sweep
from .run import sweep as sweep
