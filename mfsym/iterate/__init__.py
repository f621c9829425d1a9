"""Training step by step: one engine for every rule that moves a state from step to step."""

from .descent import Descent as Descent
from .descent import OptimisedDescent as OptimisedDescent
from .langevin import Langevin as Langevin
from .rule import AbstractRule as AbstractRule
from .run import iterate as iterate
from .scan import scan_in_parts as scan_in_parts
from .times import StepTimes as StepTimes
from .times import times_between_steps as times_between_steps
from .times import times_of_every as times_of_every
from .times import times_of_whole_steps as times_of_whole_steps
