"""Risks of a state: objects with a value and a velocity; those on data, and those on fresh samples."""

from .base import AbstractPredictorRisk as AbstractPredictorRisk
from .base import AbstractRisk as AbstractRisk
from .check import check_risk as check_risk
from .empirical import EmpiricalRisk as EmpiricalRisk
from .outputs import cloud_outputs as cloud_outputs
from .sampled import SampledRisk as SampledRisk
from .schemes import AugmentedRisk as AugmentedRisk
from .schemes import AveragedRisk as AveragedRisk
from .schemes import FixedRisk as FixedRisk
from .schemes import MovedSamplesRisk as MovedSamplesRisk
from .streams import stream as stream
