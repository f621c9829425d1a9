"""Schemes that bring a symmetry into training, as transforms of any risk of a cloud."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...errors import Words, argument_error, check_flags, check_instance, check_is, is_traced
from ...groups import Action
from ...problem.problem import Problem
from ...problem.symmetric_units import AveragedUnit, FixedUnit
from ...problem.units import AbstractUnit
from ...risks import (
    AbstractPredictorRisk,
    AbstractRisk,
    AugmentedRisk,
    AveragedRisk,
    FixedRisk,
    MovedSamplesRisk,
    SampledRisk,
)
from ...symmetry.equivariance import check_equivariant
from ...types import Checked, IntLike

_ACTION = "Build it with mf.action(unit, inputs, outputs)."
_PAIRS = 16  # of predictions and values at which a loss is looked at
_SHARE = 2 / 3  # of the digits, to which it must be invariant


class AbstractScheme(eqx.Module):
    """What training does to respect a group: the risk that is descended in place of that of the problem, and its network."""

    action: eqx.AbstractVar[Action]

    @abc.abstractmethod
    def of(self, risk: AbstractRisk) -> AbstractPredictorRisk:
        """The transform of a risk."""

    @abc.abstractmethod
    def model(self, unit: AbstractUnit) -> AbstractUnit:
        """The unit with which a cloud that was trained in this way predicts."""


class DataAugmentation(AbstractScheme):
    """Training on the data moved by every element of a group: R^DA(μ) = ∫ R(M_g#μ) dg, the mean of the risks of the images.

    The network is the plain one. In full it takes |G| plain steps of the memory of one; `sampled` moves every one of the
    fresh inputs of a step by one random element, which has the same mean and another noise: it leaves a strongly invariant
    start, which the full form keeps for any data.

    Arguments: `degree` of the quadrature over an infinite group, by default that of the action, with which E^G is kept; the
    mean over the group is exact if it resolves the unit as well. Raises ArgumentError for a group without a known rule,
    which can be `sampled`. (Maass & Fontbona 2024.)
    """

    action: Action
    sampled: bool = eqx.field(static=True)
    elements: Float[Array, "q k k"] | None
    weights: Float[Array, " q"] | None

    def __init__(self, action: Checked[Action], *, degree: Checked[IntLike | None] = None, sampled: Checked[bool] = False):
        self.action = check_instance("action", action, Action, _ACTION)
        check_flags(sampled=sampled)
        self.sampled = bool(sampled)
        if sampled and degree is not None:
            raise argument_error("degree", "left out where elements are sampled", degree, "Leave out one of the two.")
        self.elements, self.weights = (None, None) if sampled else action.quadrature(degree)

    def of(self, risk):
        """The mean of the risks of the images, or the risk on inputs that are moved at random."""
        if self.elements is not None and self.weights is not None:
            moves = self.action.moves(self.elements)
            return AugmentedRisk(risk, moves, moves.inverse(), self.weights)
        expected, remedy = "given where elements are sampled", "Pass samples=n, step= and key=, or leave out sampled=True."
        fresh = check_is("samples", risk, SampledRisk, expected, remedy, Words("a risk without"))
        return MovedSamplesRisk(fresh, self.action)

    def model(self, unit):
        """The unit itself."""
        return unit


class FeatureAveraging(AbstractScheme):
    """Training the network that is averaged over a group: R^FA(μ) = R(∫ M_g#μ dg), the risk of the mean of the images.

    Its network is Q_G Φ_μ, Φ of the mean of the images. A step holds |G| images of all neurons at once.

    Arguments: `degree` as in `DataAugmentation`. Raises ArgumentError for a group without a known rule, and for one whose
    rule has unequal weights (SO(3), O(3)): a cloud has equal ones; there `AveragedUnit` is the same.
    (Maass & Fontbona 2024.)
    """

    action: Action
    degree: int | None = eqx.field(static=True)
    elements: Float[Array, "q k k"]

    def __init__(self, action: Checked[Action], *, degree: Checked[IntLike | None] = None):
        self.action = check_instance("action", action, Action, _ACTION)
        self.elements, weights = action.quadrature(degree)
        self.degree = None if degree is None else int(degree)
        if not is_traced(weights) and not np.allclose(weights, weights[0], rtol=1e-6):
            got = Words(f"{action.group!r}, with weights from {min(weights):.3g} to {max(weights):.3g}")
            remedy = "Take unit=mf.AveragedUnit(unit, action) in the problem and no scheme, or a finite subgroup."
            raise argument_error("action", "one of a group whose quadrature has equal weights", got, remedy)

    def of(self, risk):
        """The risk of the mean of the images."""
        moves = self.action.moves(self.elements)
        return AveragedRisk(risk, moves, moves.inverse())

    def model(self, unit):
        """The unit averaged over the group."""
        return AveragedUnit(unit, self.action, self.degree)


class EquivariantArchitecture(AbstractScheme):
    """Training neurons that the group fixes: R^EA(μ) = R(P#μ), P the projection on E^G.

    Its network is Φ of P#μ, so that from any start only P z learns; weight decay acts on all of z. (Maass & Fontbona 2024.)
    """

    action: Action

    def __init__(self, action: Checked[Action]):
        self.action = check_instance("action", action, Action, _ACTION)

    def of(self, risk):
        """The risk of the fixed part."""
        return FixedRisk(risk, self.action)

    def model(self, unit):
        """The unit of the fixed part of a neuron."""
        return FixedUnit(unit, self.action)


def check_scheme(scheme: Checked[AbstractScheme], problem: Problem | None) -> AbstractScheme:
    """A scheme that the problem allows: a unit that is equivariant under its action, and a loss that ρ̂ leaves as it is.

    Without a problem neither is known; traced ones cannot be looked at.
    """
    remedy = "Use mf.DataAugmentation(action), mf.FeatureAveraging(action) or mf.EquivariantArchitecture(action)."
    check_instance("scheme", scheme, AbstractScheme, remedy)
    if problem is None:
        return scheme
    _check_neurons(problem, scheme.action)
    if any(map(is_traced, jax.tree.leaves((problem, scheme.action)))):
        return scheme
    with jax.ensure_compile_time_eval():
        check_equivariant(problem.unit, scheme.action)
        _check_loss(problem, scheme.action)
    return scheme


def _check_neurons(problem: Problem, action: Action) -> None:
    """The unit takes the neurons and the inputs that the action moves."""
    dtype = jnp.result_type(float)
    try:
        jax.eval_shape(lambda z, x: problem.unit(z, x), action.shapes(dtype), jax.ShapeDtypeStruct((problem.dim,), dtype))
    except Exception as error:
        name = type(problem.unit).__name__
        got = Words(f"one of neurons {action.shapes(dtype)}, on which {name} fails with {type(error).__name__}")
        expected = f"one whose action moves the neurons of {name} and inputs of dimension {problem.dim}"
        raise argument_error("scheme", expected, got, "Build it with mf.action(problem.unit, …).") from error


def _check_loss(problem: Problem, action: Action) -> None:
    """ℓ(ρ̂ f, ρ̂ y) = ℓ(f, y) at random predictions, values that come and random elements."""
    key, element_key = jax.random.split(jax.random.key(0))
    y = problem.sample(key, _PAIRS)[1]
    f = jax.random.normal(key, y.shape, y.dtype)
    elements = action.group.sample(element_key, _PAIRS)
    moved = (jax.vmap(action.move_output)(elements, each) for each in (f, y))
    losses = jax.vmap(problem.loss)
    plain, there = np.asarray(losses(f, y), float), np.asarray(losses(*moved), float)
    apart = np.abs(there - plain).max() / max(np.abs(plain).max(), np.finfo(float).tiny)
    if not apart <= float(jnp.finfo(y.dtype).eps) ** _SHARE:
        got = Words(f"a {type(problem.loss).__name__} that changes by {apart:.2g} of itself where both are moved")
        expected = "one whose loss is the same for moved predictions and moved values"
        raise argument_error("scheme", expected, got, "The square loss allows every action; others permutations of outputs.")
