"""The twin of a training loop: the network, optimiser and loss of somebody as a `Problem`, a `Training` and a clock."""

from .twin import Twin as Twin
from .twin import twin as twin
