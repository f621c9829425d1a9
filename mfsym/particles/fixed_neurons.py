"""What a run records of every state: functions of a user, or the distance to the neurons that a group fixes."""

from ..groups import Action
from ..symmetry.fixed_distance import FixedDistance
from ..types import Checked, Observe


def observers_of(observe: Checked[Action | Observe | None]) -> Observe | None:
    """What a caller wants to see of every state; of an action, how far it is from the neurons that the group fixes."""
    if not isinstance(observe, Action):
        return observe
    return {"rmd_fixed": FixedDistance(observe, True), "distance_fixed": FixedDistance(observe, False)}
