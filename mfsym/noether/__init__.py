"""What training cannot change: conserved quantities of any parametrisation, counted, found and followed."""

from .clouds import cloud_law as cloud_law
from .counting import LawCount as LawCount
from .counting import count_fields as count_fields
from .counting import count_laws as count_laws
from .discovery import Discovery as Discovery
from .discovery import LawCheck as LawCheck
from .discovery import check_law as check_law
from .discovery import discover as discover
from .laws import Law as Law
from .laws import balance as balance
from .laws import entry_sums as entry_sums
from .laws import exponential_bias as exponential_bias
from .laws import positive_sums as positive_sums
from .laws import squared_norm as squared_norm
from .laws import unit_norms as unit_norms
from .linear_symmetries import LinearSymmetries as LinearSymmetries
from .linear_symmetries import symmetries as symmetries
from .monitor import Drift as Drift
from .monitor import drift as drift
from .monitor import track as track
from .steps import StepDefect as StepDefect
from .steps import drift_order as drift_order
from .steps import step_defect as step_defect
