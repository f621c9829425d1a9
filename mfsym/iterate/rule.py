"""What can be iterated: a rule that makes the next state of the present one and of what it remembers."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PyTree, Real


class AbstractRule(eqx.Module):
    """A rule (z_k, memory) ↦ (z_{k+1}, memory), with things to observe. Arrays in it are leaves.

    The memory is any pytree of arrays and belongs to the run: it is in its checkpoints. A rule that draws at random keeps
    its key there.
    """

    @abc.abstractmethod
    def prepare(self) -> "AbstractRule":
        """The same rule with every table that it needs; called once per run, compiled with it."""

    @abc.abstractmethod
    def time(self, index: Real[Array, "*T"]) -> Float[Array, "*T"]:
        """The clock after so many steps; a fraction of one counts as that part of its time."""

    @abc.abstractmethod
    def memory(self, state: PyTree) -> PyTree:
        """What the rule remembers at the start."""

    @abc.abstractmethod
    def velocity(self, index: Real[Array, ""], state: PyTree) -> PyTree:
        """The gradient velocity of a state in flow time."""

    @abc.abstractmethod
    def move(self, state: PyTree, memory: PyTree, velocity: PyTree) -> tuple[PyTree, PyTree]:
        """The state and the memory one step later."""

    @abc.abstractmethod
    def observe(self, index: Real[Array, ""], state: PyTree) -> dict[str, Array]:
        """Observables of a state; must contain `risk`."""
