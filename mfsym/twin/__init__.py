"""The twin of a training loop: the network, optimiser and loss of somebody as a `Problem`, a `Training` and a clock."""

from .build import Twin as Twin
from .build import twin as twin
