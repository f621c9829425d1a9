"""The experiments of Hajjar & Chizat (arXiv:2211.08771) and of the notebooks of its authors, networks beside their limit;
and those of Maass & Fontbona (arXiv:2405.19995), networks under a symmetry.

`FIGURES[name].compute(key)` runs one, `FIGURES[name].draw(record)` draws it; `python -m mfsym figures NAME` does both.
Settings are those of the authors unless a docstring says otherwise; limits come from the reduced route.
"""

from . import (
    clouds,
    deep,
    dimension,
    discovery,
    distances,
    histograms,
    images,
    labels,
    long_time,
    masses,
    noether,
    odd,
    perpendicular,
    staircase,
    teachers,
)
from .base import Experiment as Experiment

FIGURES: dict[str, Experiment] = {
    "odd": odd.EXPERIMENT,
    "histograms": histograms.EXPERIMENT,
    "distances": distances.EXPERIMENT,
    "masses": masses.EXPERIMENT,
    "perpendicular": perpendicular.EXPERIMENT,
    "staircase": staircase.EXPERIMENT,
    "dimension": dimension.EXPERIMENT,
    "long_time": long_time.EXPERIMENT,
    "labels": labels.EXPERIMENT,
    "teachers": teachers.EXPERIMENT,
    "clouds": clouds.EXPERIMENT,
    "discovery": discovery.EXPERIMENT,
    "images": images.EXPERIMENT,
    "noether": noether.EXPERIMENT,
    "deep": deep.EXPERIMENT,
}
