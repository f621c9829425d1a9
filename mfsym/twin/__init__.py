"""The infinite-width twin of a training loop: somebody's network, optimiser and loss as a `Problem`, a `Training` and a clock."""

from .twin import Twin as Twin
from .twin import twin as twin
