"""Actions on inputs, outputs and neurons: what they are by hand, what they leave fixed, which units are equivariant."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from particle_problems import random_cloud
from stored import same

import mfsym as mf
from mfsym.errors import ArgumentError
from mfsym.groups import is_same_group
from mfsym.symmetry.equivariance import check_equivariant

SWAP = mf.generate([[0.0, 1.0], [1.0, 0.0]])
QUARTER = mf.cyclic(4)
SIGNED = mf.generate(mf.Symmetry(-1, -np.eye(3)), mf.Symmetry(1, np.eye(3)[[1, 0, 2]]))


def matrix_unit(neuron, x):
    return jax.nn.sigmoid(neuron @ x)


def vector_unit(neuron, x):
    return neuron["v"] * jnp.tanh(neuron["u"] @ x)


def network(neuron, x):
    """Two layers with biases, d → h → c."""
    first, second = neuron
    return second[0] @ jax.nn.relu(first[0] @ x + first[1]) + second[1]


def layers(inputs, hidden, outputs):
    return [((hidden, inputs), (hidden,)), ((outputs, hidden), (outputs,))]


MATRICES = mf.MatrixUnit(jax.nn.sigmoid)
PAIRS = mf.VectorUnit(jnp.tanh, 0.5)
DEEP = mf.MLPUnit((4, 4), jax.nn.relu)


def matrix_action(inputs, outputs):
    return mf.action(MATRICES, inputs, outputs)


def vector_action(inputs, outputs):
    return mf.action(mf.FunctionUnit(vector_unit), inputs, outputs, axes={"u": (inputs,), "v": (outputs,)})


def network_action(inputs, hidden, outputs):
    return mf.action(mf.FunctionUnit(network), inputs, outputs, axes=layers(inputs, hidden, outputs))


def random_neurons(action, count, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: jnp.asarray(rng.standard_normal((count, *s.shape))), action.shapes(np.dtype(float)))


ACTIONS = {
    "matrices": matrix_action(SWAP.standard, SWAP.standard),
    "images": matrix_action(QUARTER.regular, QUARTER.regular),
    "vectors": vector_action(mf.SO(2).standard, mf.SO(2).frequency(2)),
    "space": vector_action(mf.O(3).standard, mf.O(3).determinant),
    "network": network_action(QUARTER.regular, QUARTER.regular, QUARTER.trivial()),
    "signs": mf.action(mf.ReLU(), SIGNED.inputs, SIGNED.outputs),
}


def test_the_matrices_of_the_paper():
    """z ↦ g z gᵀ under the swap; E^G is spanned by I/√2 and the swap/√2 (Maass & Fontbona 2024)."""
    action, z = ACTIONS["matrices"], jnp.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(action.move(SWAP.elements[1], z), [[4.0, 3.0], [2.0, 1.0]])
    np.testing.assert_allclose(mf.fixed_part(z, action), np.full((2, 2), 2.5), rtol=1e-15)
    assert action.dim_fixed == 2 and action.dim == 4
    expected = np.array([np.eye(2), np.eye(2)[::-1]]) / np.sqrt(2)
    np.testing.assert_allclose(mf.fixed_basis(action), expected, rtol=1e-15)


def test_dimensions_of_a_network_on_images():
    """Quarter turns of 2 × 2 images, a hidden layer like an image, an invariant output: 4 + 1 + 1 + 1 of 25."""
    action = ACTIONS["network"]
    assert (action.dim, action.dim_fixed) == (25, 7)
    (maps, hidden), (outer, bias) = action.leaves
    assert [leaf.basis.shape[0] for leaf in (maps, hidden, outer, bias)] == [4, 1, 1, 1]


@pytest.mark.parametrize("name", ACTIONS)
def test_the_projection_is_the_mean_over_the_group(name):
    """By the quadrature that the action asks for, for clouds; coordinates give it back, and P is idempotent."""
    action, cloud = ACTIONS[name], random_neurons(ACTIONS[name], 3)
    elements, weights = action.quadrature()
    images = jax.jit(jax.vmap(action.move, in_axes=(0, None)))(elements, cloud)
    mean = jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, 1), images)
    projected = mf.fixed_part(cloud, action)
    again = action.combination(action.coordinates(cloud))
    for expected, *found in zip(*map(jax.tree.leaves, (mean, projected, again, action.project(projected))), strict=True):
        for each in found:
            np.testing.assert_allclose(each, expected, atol=1e-14)
    basis = action.coordinates(mf.fixed_basis(action))
    np.testing.assert_allclose(basis, np.eye(action.dim_fixed), atol=1e-14)


@pytest.mark.parametrize("name", ["matrices", pytest.param("network", marks=pytest.mark.slow)])
def test_the_image_of_a_cloud_has_the_image_of_its_network(name):
    """act() on clouds, inputs and functions says one thing."""
    unit = {"matrices": MATRICES, "network": mf.FunctionUnit(network)}[name]
    action, cloud, element = ACTIONS[name], random_neurons(ACTIONS[name], 5), ACTIONS[name].group.elements[1]
    x = jnp.asarray(np.random.default_rng(1).standard_normal((4, action.inputs.size)))
    model = lambda cloud: lambda x: jnp.mean(jax.vmap(unit, in_axes=(0, None))(cloud, x), axis=0)  # noqa: E731
    turned = jax.vmap(mf.act(element, model(cloud), action))(x)
    np.testing.assert_allclose(turned, jax.vmap(model(mf.act(element, cloud, action)))(x), atol=1e-14)
    np.testing.assert_allclose(mf.act(element, x, action)[0], action.inputs.at(np.asarray(element)[None])[0] @ x[0])


def test_the_action_of_signed_symmetries_is_the_old_one():
    """(a, b) ↦ (s a, T b), for images and for orbits."""
    cloud, action = random_cloud(4, 3), ACTIONS["signs"]
    for index, element in enumerate(action.group.elements):
        expected = mf.act(SIGNED[index], cloud)
        found = mf.act(element, cloud, action)
        np.testing.assert_allclose(found.a, expected.a)
        np.testing.assert_allclose(found.b, expected.b)
    found, expected = (mf.orbit_cloud(cloud, group) for group in (action, SIGNED))
    np.testing.assert_array_equal(found.b, expected.b)
    np.testing.assert_array_equal(found.a[::4], cloud.a)


def test_orbits_are_closed():
    """Every image is in the union, the first one of each neuron is itself, and one in E^G stands there |G| times."""
    action, cloud = ACTIONS["images"], random_neurons(ACTIONS["images"], 3)
    orbit = mf.orbit_cloud(cloud, action)
    assert orbit.shape == (12, 4, 4)
    np.testing.assert_array_equal(orbit[::4], cloud)
    moved = action.move(action.group.elements[1], orbit)
    assert sorted(map(tuple, np.asarray(moved).reshape(12, -1))) == sorted(map(tuple, np.asarray(orbit).reshape(12, -1)))
    fixed = mf.orbit_cloud(mf.fixed_part(cloud, action)[:1], action)
    np.testing.assert_allclose(fixed, np.broadcast_to(fixed[:1], fixed.shape), atol=1e-15)


def turned(name):
    """The same unit with representations under which it is not equivariant."""
    rotation = QUARTER.standard
    return {
        "network": lambda: (
            mf.FunctionUnit(network),
            network_action(QUARTER.regular, 2 * rotation, QUARTER.trivial()),
        ),
        "signs": lambda: (mf.ReLU(), mf.action(mf.ReLU(), SIGNED.inputs, SIGNED.outputs, hidden=SIGNED.outputs)),
        "matrices": lambda: (MATRICES, matrix_action(rotation, rotation)),
        "deep": lambda: (DEEP, mf.action(DEEP, rotation, QUARTER.trivial(), hidden=2 * rotation)),
    }[name]()


def deep_module(key):
    return eqx.nn.MLP(4, 1, 4, 1, activation=jax.nn.relu, key=key)


RIGHT = {
    "matrices": lambda: (MATRICES, ACTIONS["matrices"]),
    "images": lambda: (MATRICES, ACTIONS["images"]),
    "pairs": lambda: (PAIRS, mf.action(PAIRS, mf.SO(3).standard, mf.SO(3).standard)),
    "deep": lambda: (DEEP, mf.action(DEEP, QUARTER.regular, QUARTER.trivial(2), hidden=QUARTER.regular)),
    "deep with one layer that nothing moves": lambda: (
        DEEP,
        mf.action(DEEP, QUARTER.regular, QUARTER.trivial(2), hidden=(QUARTER.regular, None)),
    ),
    "vectors": lambda: (mf.FunctionUnit(vector_unit), ACTIONS["vectors"]),
    "space": lambda: (mf.FunctionUnit(lambda z, x: z["v"][0] * jnp.tanh(z["u"] @ x)), ACTIONS["space"]),
    "network": lambda: (mf.FunctionUnit(network), ACTIONS["network"]),
    "signs": lambda: (mf.ReLU(), ACTIONS["signs"]),
    "odd slope": lambda: (mf.GELU(), mf.action(mf.GELU(), SIGNED.inputs, SIGNED.outputs)),
    "bias": lambda: (mf.Neuron(jax.nn.silu), mf.action(mf.Neuron(jax.nn.silu), SIGNED.inputs, SIGNED.outputs)),
    "odd activation": lambda: (
        mf.Neuron(jnp.tanh),
        mf.action(mf.Neuron(jnp.tanh), SIGNED.inputs, SIGNED.outputs, hidden=SIGNED.outputs),
    ),
    "rotations of all blocks": lambda: (
        mf.ReLU(),
        mf.action(mf.ReLU(), mf.BlockOrthogonal((2, 1), kept=(1,)).inputs, mf.BlockOrthogonal((2, 1), kept=(1,)).outputs),
    ),
}


QUICK = ("matrices", "signs")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in RIGHT if name not in QUICK)]
)
def test_units_are_equivariant(name):
    report = mf.equivariance_defect(*RIGHT[name](), samples=64, elements=4)
    assert report.defect < 1e-12 and report.holds
    assert "equivariant to" in repr(report)


@pytest.mark.parametrize(
    "name", ["signs", *(pytest.param(name, marks=pytest.mark.slow) for name in ("network", "matrices", "deep"))]
)
def test_units_that_are_not_equivariant_are_seen(name):
    unit, action = turned(name)
    report = mf.equivariance_defect(unit, action)
    assert report.defect > 1e-2 and not report.holds
    assert report.defect == max(report.defects) and len(report.defects) == report.generators + 8
    element = np.asarray(report.element)
    assert any(np.allclose(element, each) for each in action.group.elements)
    with pytest.raises(ArgumentError, match=rf"^Argument `action` must be .* a defect of .* under {report.name}, \[\["):
        check_equivariant(unit, action)


@pytest.mark.slow
def test_modules_carry_representations_on_their_leaves():
    """An equinox network on images, by a list in the order of its leaves; with None for an axis that nothing acts on."""
    unit, image = mf.ModuleUnit(deep_module(jax.random.key(0))), QUARTER.regular
    action = mf.action(unit, image, QUARTER.trivial(), axes=[(image, image), (image,), (None, image), (None,)])
    assert mf.equivariance_defect(unit, action).holds and action.dim_fixed == 7
    wrong = mf.action(unit, image, QUARTER.trivial(), axes=[(image, image), (None,), (None, image), (None,)])
    assert mf.equivariance_defect(unit, wrong).defect > 1e-2
    modules = eqx.filter(eqx.filter_vmap(deep_module)(jax.random.split(jax.random.key(1), 3)), eqx.is_inexact_array)
    assert jax.tree.structure(mf.fixed_part(modules, action)) == jax.tree.structure(modules)


def test_actions_are_pytrees_that_can_be_stored(tmp_path):
    """Passed to compiled functions as arguments; groups and bases come back to the bit."""
    action, cloud = ACTIONS["network"], random_neurons(ACTIONS["network"], 2)
    found = eqx.filter_jit(lambda action, cloud: action.move(action.group.elements[1], action.project(cloud)))(action, cloud)
    np.testing.assert_allclose(jax.tree.leaves(found)[0], jax.tree.leaves(mf.fixed_part(cloud, action))[0], atol=1e-15)
    mf.save(tmp_path / "action.mfsym", {"action": action, "others": [ACTIONS["space"], ACTIONS["signs"]]})
    again = mf.load(tmp_path / "action.mfsym")
    assert same(again["action"], action) and same(again["others"], [ACTIONS["space"], ACTIONS["signs"]])
    assert is_same_group(again["action"].group, QUARTER)


WRONG = {
    "no axes": (lambda: mf.action(mf.FunctionUnit(matrix_unit), SWAP.standard, SWAP.standard), "axes"),
    "two groups": (lambda: matrix_action(SWAP.standard, QUARTER.standard), "outputs"),
    "inputs of another size": (lambda: mf.action(mf.FunctionUnit(matrix_unit), QUARTER.regular, QUARTER.standard,
                                                 axes=(QUARTER.standard, QUARTER.standard)), "unit"),
    "outputs of another size": (lambda: mf.action(mf.ReLU(), QUARTER.standard, QUARTER.standard), "axes"),
    "axes of another shape": (lambda: mf.action(mf.FunctionUnit(matrix_unit, np.zeros((2, 2))), SWAP.standard,
                                                SWAP.standard, axes=(SWAP.standard,)), "axes"),
    "axes of another structure": (lambda: mf.action(mf.FunctionUnit(matrix_unit, np.zeros((2, 2))), SWAP.standard,
                                                    SWAP.standard, axes={"z": (SWAP.standard,)}), "axes"),
    "cloud of other neurons": (lambda: mf.fixed_part(random_cloud(3, 2), ACTIONS["matrices"]), "cloud"),
    "cloud of other shapes": (lambda: mf.orbit_cloud(jnp.zeros((5, 3, 2)), ACTIONS["matrices"]), "cloud"),
    "an infinite orbit": (lambda: mf.orbit_cloud(random_neurons(ACTIONS["vectors"], 2), ACTIONS["vectors"]), "group"),
    "no rule": (lambda: vector_action(mf.SO(4).standard, mf.SO(4).trivial()).quadrature(), "group"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_actions(name):
    call, argument = WRONG[name]
    with pytest.raises(ArgumentError, match=f"^Argument `{argument}` must be "):
        call()
