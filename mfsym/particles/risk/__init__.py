"""Risks of a cloud: objects with a value and a velocity, exact, empirical or sampled."""

from .base import AbstractRisk as AbstractRisk
from .choose import risk_of as risk_of
from .empirical import EmpiricalRisk as EmpiricalRisk
from .exact import ExactRisk as ExactRisk
from .sampled import SampledRisk as SampledRisk
