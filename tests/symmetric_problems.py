"""Groups with units that are equivariant under them, and clouds, data and risks of these, for the tests of the schemes."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from maass_fontbona import SWAP, UNIT

import mfsym as mf


class Case(NamedTuple):
    """An action, its unit, and the degree of a quadrature that resolves the unit to rounding (None: the group is finite)."""

    action: mf.Action
    unit: Any
    degree: int | None
    outputs: int


def _swap():
    """C₂ on R² by exchanging coordinates, on matrices by exchanging rows and columns."""
    group = mf.generate(jnp.array(SWAP))
    return Case(mf.action(UNIT, group.standard, group.standard), UNIT, None, 2)


def _images():
    """C₄ turning images of 2 × 2 pixels, whose four classes turn with them; a network with a layer that does too."""
    group, unit = mf.cyclic(4), mf.MLPUnit((4,), jnp.tanh)
    return Case(mf.action(unit, group.regular, group.regular, hidden=group.regular), unit, None, 4)


def _triangle():
    """The six symmetries of a triangle, which are not abelian and no permutations here, turning inputs and outputs of a pair
    of vectors, a number beside each of them that stays."""
    group, unit = mf.dihedral(3), mf.VectorUnit(jax.nn.sigmoid, 0.5)
    sides = group.standard + group.trivial()
    return Case(mf.action(unit, sides, sides), unit, None, 3)


def _sets():
    """S₃ permuting three inputs and three outputs."""
    group = mf.symmetric(3)
    return Case(mf.action(UNIT, group.standard, group.standard), UNIT, None, 3)


def _rotations():
    """SO(2) turning inputs and outputs, a number beside each of them that stays."""
    group, unit = mf.SO(2), mf.VectorUnit(jnp.tanh, 0.3)
    sides = group.standard + group.trivial()
    return Case(mf.action(unit, sides, sides), unit, 40, 3)


def _product():
    """C₂ × C₃ on the two parts of the inputs, which are the outputs too."""
    both = mf.product(mf.generate(jnp.array(SWAP)), mf.symmetric(3))
    return Case(mf.action(UNIT, both.standard, both.standard), UNIT, None, 5)


CASES = {
    "C2": _swap,
    "C4 on images": _images,
    "D3": _triangle,
    "S3 on sets": _sets,
    "SO(2)": _rotations,
    "C2 x S3": _product,
}


def marks_of(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """The first case is fast; the triangle, and the rotations, which are a quadrature, are slow; the others are a study."""
    if name == "C2":
        return ()
    return (pytest.mark.slow,) if name in ("D3", "SO(2)") else (pytest.mark.study,)


@functools.cache
def case(name: str) -> Case:
    return CASES[name]()


def cloud_of(name: str, width: int, seed: int = 0):
    """A random cloud."""
    action, _, _, _ = case(name)
    shapes, structure = jax.tree.flatten(action.shapes(jnp.result_type(float)))
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    drawn = [0.7 * jax.random.normal(k, (width, *s.shape), s.dtype) for k, s in zip(keys, shapes, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def data_of(name: str, count: int = 6, symmetric: bool = False) -> mf.Empirical:
    """Labelled rows in general position; or, `symmetric`, their images under the group as well, with their labels."""
    action, _, degree, outputs = case(name)
    generator = np.random.default_rng(5)
    x = jnp.asarray(generator.standard_normal((count, action.inputs.size)))
    y = jnp.asarray(generator.standard_normal((count, outputs)))
    if not symmetric:
        return mf.Empirical(x, y, np.arange(1.0, count + 1) / (count * (count + 1) / 2))
    elements, weights = action.quadrature(degree)
    xs, ys = (jax.vmap(move, (0, None))(elements, v) for move, v in ((action.move_input, x), (action.move_output, y)))
    shares = jnp.repeat(weights / count, count)
    return mf.Empirical(xs.reshape(-1, x.shape[1]), ys.reshape(-1, outputs), shares / jnp.sum(shares))


def problem_of(name: str, **options) -> mf.Problem:
    return mf.Problem(data_of(name, **options), unit=case(name).unit, start=mf.NormalStart(0.7))


def distance(one, other) -> float:
    """The largest difference of two clouds."""
    return max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def schemes_of(name: str) -> dict[str, Any]:
    """DA, FA and EA of a case, with a quadrature that resolves its unit."""
    action, _, degree, _ = case(name)
    return {
        "DA": mf.DataAugmentation(action, degree=degree),
        "FA": mf.FeatureAveraging(action, degree=degree),
        "EA": mf.EquivariantArchitecture(action),
    }
