"""Types of matplotlib by name, so that annotations say what is drawn on while matplotlib is not imported yet."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NewType, TypeAlias

import numpy as np

from ..types import Checked

if TYPE_CHECKING:
    from matplotlib.artist import Artist as Artist
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
    from matplotlib.text import Text as Text
    from PIL.Image import Image as Image
else:
    Artist, Axes, Figure, Image, Text = (NewType(name, object) for name in ("Artist", "Axes", "Figure", "Image", "Text"))

Row: TypeAlias = Sequence[Axes] | np.ndarray  # of axes, from left to right
AxesLike: TypeAlias = Checked[Axes | Sequence[Axes] | np.ndarray]  # what a caller wants to be drawn on
