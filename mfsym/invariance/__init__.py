"""Strongly invariant laws: the subspace of neurons that training keeps, whether it is stable, and what it costs."""

from .gaps import GapReport as GapReport
from .gaps import invariance_gap as invariance_gap
from .reports import DiscoveryReport as DiscoveryReport
from .search import discover as discover
from .subspaces import Subspace as Subspace
from .transversal import TransversalRate as TransversalRate
from .transversal import transversal_rate as transversal_rate
