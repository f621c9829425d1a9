"""Both routes on one problem, and a verdict on their difference.

A cloud of m neurons is biased by O(1/m) and scattered by O(m^{-1/2}), so no single run is held against a tolerance:
means over seeds are extrapolated to infinite width, and their difference to the reference is judged by its standard
error.
"""

from .check import CrossCheckReport as CrossCheckReport
from .check import cross_check as cross_check
from .clouds import Runs as Runs
from .clouds import run_clouds as run_clouds
from .judgement import Comparison as Comparison
from .judgement import Judgement as Judgement
from .judgement import judge as judge
