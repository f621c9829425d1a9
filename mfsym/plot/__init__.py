"""Figures: both routes side by side, densities over the angle and their film, cross-checks, laws of a loop, error budgets.

Everything is drawn on figures of their own: no backend is chosen, no setting is changed and nothing is shown. τ⁺ is
orange and τ⁻ blue throughout (the palette of Okabe & Ito); the reduced route is a line, clouds are markers or bars.
Matplotlib is imported when a figure is drawn, not before.
"""

from .angle import densities as densities
from .film import film as film
from .laws import charges as charges
from .rates import rates as rates
from .record import overview as overview
from .stacks import budget as budget
from .widths import coordinates as coordinates
from .widths import slopes as slopes
from .widths import transfer as transfer
