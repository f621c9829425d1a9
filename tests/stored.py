"""Things to save, and what it means that the same thing came back."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from budgets import constant_budget, constant_stability

import mfsym as mf


def same(one: Any, other: Any) -> bool:
    """Whether two trees agree in structure, static fields, kinds of leaves, dtypes, weak types and bits."""
    leaves, structure = jax.tree.flatten(one)
    others, its_structure = jax.tree.flatten(other)
    return structure == its_structure and all(map(_same_leaf, leaves, others))


def _same_leaf(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if not hasattr(one, "dtype"):
        return one is other if callable(one) else repr(one) == repr(other)
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
        return same(jax.random.key_data(one), jax.random.key_data(other))
    weak = getattr(one, "weak_type", False) == getattr(other, "weak_type", False)
    return weak and np.asarray(one).tobytes() == np.asarray(other).tobytes()


def bump(x):
    return jnp.exp(-jnp.sum(x**2))


class Wave(eqx.Module):
    """A user's function with arrays and static fields."""

    frequency: jax.Array
    given: str = eqx.field(static=True)

    def __call__(self, z):
        return jnp.sin(self.frequency.astype(z.dtype) * z)


class Pair(NamedTuple):
    """A user's cloud."""

    left: Any
    right: Any


@dataclasses.dataclass(frozen=True)
class Note:
    text: str
    numbers: tuple


def gap(prediction, value):
    """A loss."""
    return (prediction - value) ** 4


def gate(neuron, x):
    """A unit of several outputs."""
    return neuron * jnp.tanh(x)


def place(x):
    """Every input stays where it is."""
    return jnp.eye(2, dtype=x.dtype)


def split(prediction, value):
    """A loss of several outputs."""
    return jnp.sum(gap(prediction, value))


GIVEN = {
    "bump": bump,
    "gap": gap,
    "gate": gate,
    "place": place,
    "split": split,
    "Wave": Wave,
    "Pair": Pair,
    "Note": Note,
}  # what `load` must be given


def cloud(width: int = 4, dim: int = 3) -> mf.Particles:
    a, b = jax.random.normal(jax.random.key(1), (width,)), jax.random.normal(jax.random.key(2), (width, dim))
    return mf.Particles(a, b)


def _targets() -> dict[str, Any]:
    turn = mf.complete_basis(np.array([[0.6, 0.8, 0.0]]))
    return {
        "subspace norm": mf.SubspaceNorm(2, 1.25),
        "linear": mf.LinearTarget([1.0, -0.5, 0.25]),
        "teacher": mf.Teacher(cloud(), mf.LeakyReLU(0.1)),
        "block norms": mf.BlockNorms((1, 2), (0.5, 2.0)),
        "jax.numpy": mf.SingleIndex(jnp.tanh, kinks=(0.0, -0.5)),
        "jax.nn": mf.SingleIndex(jax.nn.relu),
        "built in": mf.SingleIndex(abs),
        "norm": mf.MultiIndex(jnp.linalg.norm, 2),
        "radial": mf.RadialIndex(jnp.tanh, 2, kinks=(1.0,)),
        "own function": mf.FunctionTarget(bump, parity="even"),
        "own module": mf.SingleIndex(Wave(jnp.asarray(2.0), "given")),
        "rotated": mf.Rotated(mf.SubspaceNorm(1), turn),
    }


_INPUTS = {
    "sphere": lambda: mf.Sphere(3, 2.0),
    "data": lambda: mf.Empirical(np.arange(6.0).reshape(2, 3)),
    "weighted data": lambda: mf.Empirical(np.eye(3), weights=[0.5, 0.25, 0.25]),
    "blocks": lambda: mf.GaussianBlocks((1, 2), (1.0, 0.5)),
    "covariance": lambda: mf.GaussianCovariance(np.diag([1.0, 2.0, 3.0])),
}
_UNITS = (mf.LeakyReLU(0.2), mf.Identity(), mf.GELU(), mf.SiLU(), mf.Neuron(jnp.tanh))
_STARTS = {
    "angular": lambda: mf.AngularStart(jnp.cos, 0.5, 0.25),
    "unbalanced": lambda: mf.UnbalancedStart(2.0, 0.5),
    "gaussian": lambda: mf.GaussianStart(0.5, 2.0),
    "independent": lambda: mf.IndependentStart("normal", "sphere", 0.5, 2.0),
}


_LOSSES = {
    "logistic": mf.Logistic,
    "huber": lambda: mf.Huber(0.5),
    "own loss": lambda: mf.FunctionLoss(gap),
}


def _labelled() -> dict[str, mf.Problem]:
    """Problems of labels, of one output and of several."""
    several, gates = mf.Empirical(np.eye(3), np.eye(3)), mf.FunctionUnit(gate, np.zeros(3))
    return {
        "labels": mf.Problem(mf.Empirical(np.eye(3), [1.0, 0.0, -1.0])),
        "classes": mf.Problem(several, unit=gates, loss=mf.CrossEntropy(), start=mf.NormalStart(0.5)),
        "own loss of outputs": mf.Problem(several, unit=mf.FunctionUnit(gate), loss=mf.FunctionLoss(split, (3,))),
        "modules": mf.Problem(several, unit=mf.ModuleUnit(Wave(jnp.asarray(2.0), "given"))),
        "matrices": mf.Problem(several, unit=mf.MatrixUnit(jax.nn.sigmoid), start=mf.NormalStart()),
        "vectors": mf.Problem(mf.Gaussian(3), mf.Teacher(_pairs(), _VECTORS), _VECTORS),
        "layers": mf.Problem(several, unit=mf.MLPUnit((2, 4), jnp.tanh)),
    }


_VECTORS = mf.VectorUnit(jnp.tanh, 0.5)


def _pairs() -> tuple[jax.Array, jax.Array]:
    """Two neurons of vectors."""
    return jnp.eye(2, 3), jnp.ones((2, 2))


def problems() -> dict[str, mf.Problem]:
    """At least one problem with every class of inputs, target, unit, loss and start."""
    linear = mf.LinearTarget([1.0, 0.0, 0.0])
    found = {name: mf.Problem(mf.Gaussian(3), target) for name, target in _targets().items()}
    found |= {name: mf.Problem(inputs(), linear) for name, inputs in _INPUTS.items()}
    found |= {type(unit).__name__: mf.Problem(mf.Gaussian(3), linear, unit) for unit in _UNITS}
    found |= {name: mf.Problem(mf.Gaussian(3), linear, start=start()) for name, start in _STARTS.items()}
    biased = mf.BiasedStart(mf.GaussianStart(), 0.5, 0.25)
    found |= {"biases": mf.Problem(mf.Gaussian(3), linear, mf.Neuron(jnp.tanh), start=biased)}
    found |= _labelled() | _symmetric() | _restricted()
    index = mf.SingleIndex(jnp.tanh)
    return found | {name: mf.Problem(mf.Gaussian(3), index, loss=loss()) for name, loss in _LOSSES.items()}


def _groups() -> dict[str, Any]:
    """Every class of groups, of their representations, and actions."""
    plane, space, turns = mf.O(2), mf.SO(3), mf.dihedral(3)
    both, signed = mf.product(turns, plane), mf.generate(mf.Symmetry(-1, -np.eye(2)))
    blocks = mf.BlockOrthogonal((1, 2), (0,))
    return {
        "plane": (2 * plane.standard + plane.determinant, plane.frequency(2) * plane.trivial(3)),
        "images": mf.representation(plane, plane.components, plane.algebra),
        "listed": mf.representation(turns, turns.components),
        "factors": both.of_factor(0, turns.regular),
        "actions": (
            mf.action(mf.VectorUnit(jnp.tanh), space.standard, space.trivial(2)),
            mf.action(mf.ReLU(), signed.inputs, signed.outputs),
            mf.action(mf.ReLU(), blocks.inputs, blocks.outputs),
        ),
    }


def _swapped() -> tuple[mf.MatrixUnit, mf.Action]:
    """Matrices under an exchange of two coordinates."""
    unit, swap = mf.MatrixUnit(jax.nn.sigmoid), mf.generate([[0.0, 1.0], [1.0, 0.0]])
    return unit, mf.action(unit, swap.standard, swap.standard)


def _symmetric() -> dict[str, mf.Problem]:
    """Problems of the units and starts that hold an action."""
    unit, action = _swapped()
    data, start = mf.Empirical(np.eye(2), np.eye(2)), mf.NormalStart(fixed_by=action)
    units = {
        "averaged unit": mf.AveragedUnit(unit, action),
        "fixed unit": mf.FixedUnit(unit, action),
        "canonical unit": mf.CanonicalUnit(unit, action, place),
    }
    return {name: mf.Problem(data, unit=each, start=start) for name, each in units.items()}


def _schemes() -> tuple[Any, ...]:
    """Every scheme, and a training with confined noise."""
    _, action = _swapped()
    schemes = mf.DataAugmentation(action), mf.DataAugmentation(action, sampled=True), mf.FeatureAveraging(action)
    return *schemes, mf.EquivariantArchitecture(action), mf.Training(step=0.1, temperature=0.1, confine=action)


def _restricted() -> dict[str, mf.Problem]:
    """Problems restricted to the neurons that a group fixes, of targets averaged over it."""
    unit, action = _swapped()
    problem = mf.Problem(mf.Gaussian(2), mf.symmetrised(mf.FunctionTarget(jnp.tanh), action), unit)
    return {"averaged target": problem, "restricted": mf.restrict(problem, action)}


def plain_things() -> dict[str, Any]:
    """Every kind of value that a file can hold."""
    return {
        "numbers": (None, True, 0, -(2**80), 0.1, -0.0, float("inf"), float("nan"), "ä\n", 5e-324),
        "containers": {"b": [1, (2,), {}], "a": (), "": {(4, 5): [], (3,): [[[1.5]]]}},
        "numpy": (np.arange(6).reshape(2, 3)[:, ::2], np.float32(0.5), np.bool_(True), np.zeros((0, 3)), np.asarray(3)),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "small types": (
            jnp.arange(3, dtype=jnp.bfloat16),
            jnp.arange(3, dtype=jnp.float16),
            jnp.array([1 + 2j], "complex64"),
        ),
        "weak": (jnp.asarray(2), jnp.asarray(2.5), jnp.broadcast_to(jnp.asarray(-0.0), (3,)), jnp.array([True, False])),
        "keys": (jax.random.key(7), jax.random.split(jax.random.key(7), 3), jax.random.key(7, impl="rbg")),
        "training": mf.Training(rate_a=2.0, weight_decay=0.1, step=0.01, momentum=0.9, schedule=[1.0, 0.5]),
        "schemes": _schemes(),
        "noise": mf.Training(step=0.01, temperature=0.1),
        "symmetries": (
            mf.Symmetry(-1.0, jnp.eye(2)),
            mf.generate(mf.Symmetry(-1, -np.eye(2))),
            mf.BlockOrthogonal((1, 2), (0,)),
        ),
        "groups": _groups(),
        "own classes": Pair(Note("it's", (1.0, None)), Pair(cloud(), {"cloud": (jnp.ones(3), jnp.ones((3, 2)))})),
        "budget": constant_budget(samples=True),
        "stability": constant_stability(),
        "checkpoints": mf.Checkpoints("somewhere", every=0, keep=3),
    }


THINGS: dict[str, Any] = {**problems(), **plain_things(), "cloud": cloud()}
