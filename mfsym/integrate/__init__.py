"""Time stepping: the only room that calls diffrax."""

from .casts import cast_floats as cast_floats
from .casts import strong as strong
from .dynamics import AbstractDynamics as AbstractDynamics
from .dynamics import ratio_of_norms as ratio_of_norms
from .dynamics import relative_speed as relative_speed
from .meter import close_meter as close_meter
from .meter import open_meter as open_meter
from .meter import step_meter as step_meter
from .methods import SSPRK104 as SSPRK104
from .noise import AbstractNoise as AbstractNoise
from .run import integrate as integrate
from .run import require_complete as require_complete
from .stepping import MAX_STEPS as MAX_STEPS
from .stepping import Stepping as Stepping
