"""What accompanies a run: where it stops, the checkpoints it writes, its progress bar."""

from ..storage.checkpoints import Checkpoints as Checkpoints
from .control import Control as Control
from .observers import Observers as Observers
from .segments import Bar as Bar
from .segments import run_segments as run_segments
from .stop import Stop as Stop
from .stop import cut_after as cut_after
from .stop import differences as differences
from .stop import fill_unreached as fill_unreached
from .stop import first_hit as first_hit
from .stop import reached_times as reached_times
