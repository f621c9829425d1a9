"""Every kind of reduction that `mf.reduce` may return."""

from .blocks.quotient import BlockReduction
from .moments import OddReduction
from .point import PointReduction
from .quotient import AngleReduction

Reduction = AngleReduction | PointReduction | BlockReduction | OddReduction
KINDS = (AngleReduction, PointReduction, BlockReduction, OddReduction)
