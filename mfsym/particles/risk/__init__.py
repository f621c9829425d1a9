"""Exact risks of a cloud by closed forms, and which risk a problem has."""

from .choose import model_of as model_of
from .choose import risk_of as risk_of
from .choose import risk_on_data as risk_on_data
from .choose import risk_to_follow as risk_to_follow
from .exact import ExactRisk as ExactRisk
from .schemes import AbstractScheme as AbstractScheme
