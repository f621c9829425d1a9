"""What a search for the subspace of strongly invariant laws has found."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ..errors import Words, argument_error, check_instance
from ..groups import Action
from ..types import Checked
from .subspaces import Subspace, fixed_subspace


class Stage(eqx.Module):
    """One run of a search: from neurons in E, plain training, and what has left E at its end.

    - `dim`: dimension of E. `risk`: F at the end, of the neurons as training left them.
    - `spectrum` [p]: eigenvalues of the second moment of (I − P)z, largest first, of its mean over searches on batches; for
      E = {0} of the velocity there. `floor`: what noise alone would hardly have made of the largest. `joined`: how many of
      them count as signals.
    """

    dim: int = eqx.field(static=True)
    risk: float = eqx.field(static=True)
    spectrum: Float[np.ndarray, " p"]
    floor: float = eqx.field(static=True)
    joined: int = eqx.field(static=True)

    def __repr__(self) -> str:
        largest = ", ".join(f"{value:.2g}" for value in self.spectrum[:4])
        ending = ", …" if len(self.spectrum) > 4 else ""
        left = f"out of it {largest}{ending} against a floor of {self.floor:.2g}"
        return f"E of dimension {self.dim}: risk {self.risk:.4g}; {left}"


class DiscoveryReport(eqx.Module):
    """The subspace that `mf.discover` ends with, and the runs that led there. It prints as a table.

    - `subspace`: the last E, kept by training on these data, as far as the floor of the last stage can tell.
    - `stages`: one `Stage` for every run.
    """

    subspace: Subspace
    stages: tuple[Stage, ...]

    @property
    def dims(self) -> tuple[int, ...]:
        """Dimensions of E, from {0} on."""
        return tuple(stage.dim for stage in self.stages)

    @property
    def dim(self) -> int:
        """Dimension of the subspace that was found."""
        return self.subspace.dim

    @property
    def informative(self) -> bool:
        """False where neurons at 0 do not move by more than the floor, so that nothing was learnt."""
        return self.dim > 0

    @property
    def decided(self) -> bool:
        """False where what left the last subspace is above the floor, though not by the factor that was asked for."""
        return self.dim == self.subspace.basis.shape[1] or float(self.stages[-1].spectrum[0]) <= self.stages[-1].floor

    def sine(self, action: Checked[Action]) -> float:
        """The sine of the largest angle between the subspace that was found and E^G; 1 where the dimensions differ."""
        check_instance("action", action, Action, "Build it with mf.action(unit, inputs, outputs).")
        if action.dim != self.subspace.basis.shape[1]:
            got = Words(f"one on neurons of {action.dim} numbers")
            remedy = "Build the action from the unit of the problem."
            raise argument_error("action", f"on neurons of {self.subspace.basis.shape[1]} numbers", got, remedy)
        fixed, found = (np.asarray(each.basis, float) for each in (fixed_subspace(action), self.subspace))
        if fixed.shape != found.shape:
            return 1.0
        return float(np.linalg.norm(found - found @ fixed.T @ fixed, 2)) if self.dim else 0.0

    def sentence(self) -> str:
        """What was found, in one sentence."""
        size = self.subspace.basis.shape[1]
        if not self.informative:
            still = "Neurons at 0 do not move by more than the floor"
            return f"{still}: a stationary start carries no information about strongly invariant laws."
        if self.dim == size:
            return f"Training leaves every smaller subspace: no strong invariance, E is the whole space of {size} numbers."
        floor = self.stages[-1].floor
        if not self.decided:
            found = f"{self.stages[-1].spectrum[0]:.2g}, squared, against a floor of {floor:.2g}"
            return f"Undecided: training leaves a subspace of dimension {self.dim} of {size} by {found}. Lower the noise."
        return f"Training keeps a subspace of dimension {self.dim} of {size}: what left it is below {floor:.2g}, squared."

    def __repr__(self) -> str:
        return "\n".join([self.sentence(), *(f"  {stage}" for stage in self.stages)])
